//! Every engine computes what ONNX Runtime computed when the samples were made, or refuses.

mod common;

use common::{FEATURES, gateway, sample, sample_with_answers, tract_only};
use pinnace_agent::engine::{EngineError, Engines, LibrarySearch, Matrix, ProbePolicy};
use pinnace_protocol::message::FailCode;

const SAMPLES: [&str; 6] = ["linear", "linear_other", "mlp", "trees", "regression", "single"];

fn answers_rightly(engines: &Engines, engine: &str) {
    for name in SAMPLES {
        let sample = sample(name);
        let mut loaded = engines.load(&sample.bundle(1, &[engine])).unwrap_or_else(|e| panic!("{engine} {name}: {e}"));
        assert!(loaded.engine.starts_with(engine), "{}", loaded.engine);
        let rows = sample.rows();
        let all = Matrix::new(FEATURES, rows.concat()).unwrap();
        // The sample with a fixed row count is answered row by row; ONNX Runtime cannot, so it is not asked.
        let together = (engine == "tract" || name != "single").then(|| loaded.model.run(&all).unwrap());
        let mut shared = loaded.model.share().unwrap();
        for (i, row) in rows.iter().enumerate() {
            let alone = shared.run(&Matrix::new(FEATURES, row.clone()).unwrap()).unwrap();
            let expected = &sample.golden.expected[i];
            for found in
                std::iter::once(alone.probabilities.row(0)).chain(together.iter().map(|t| t.probabilities.row(i)))
            {
                assert_eq!(found.len(), expected.len());
                for (f, e) in found.iter().zip(expected) {
                    assert!(
                        (f - e).abs() <= 1e-5 + 1e-3 * e.abs(),
                        "{engine} {name} row {i}: {found:?}, not {expected:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn tract_gives_the_numbers_of_onnx_runtime() {
    answers_rightly(&tract_only(), "tract");
}

#[cfg(feature = "ort")]
#[test]
fn onnx_runtime_gives_the_same_numbers_when_its_library_is_here() {
    let Some(library) = std::env::var_os("PINNACE_ORT_LIB") else {
        let ci = std::env::var("CI").is_ok_and(|v| v == "true");
        assert!(
            !ci,
            "CI=true but PINNACE_ORT_LIB is not set: point it at libonnxruntime.so (the wheel `onnxruntime` has one)"
        );
        println!("skipped: PINNACE_ORT_LIB is not set");
        return;
    };
    let search = LibrarySearch { configured: Some(library.into()), ..LibrarySearch::default() };
    let engines = Engines::discover(&gateway(), &search, ProbePolicy::InProcess);
    assert_eq!(engines.capabilities()[0].engine.as_str(), "ort", "{:?}", engines.notes());
    for name in SAMPLES.iter().filter(|n| **n != "single") {
        let bundle = sample(name).bundle(1, &["ort"]);
        let label = engines.load(&bundle).unwrap().engine;
        let version = label.strip_prefix("ort").unwrap().trim_start();
        assert!(version.chars().all(|c| c.is_ascii_digit() || c == '.'), "{label} is a name with a version");
    }
    let unknown = sample_with_answers("unknown_operator", "linear").bundle(1, &["ort"]);
    match engines.load(&unknown).unwrap_err() {
        EngineError::UnknownOperators { operators, .. } => assert!(operators[0].contains("Teleport"), "{operators:?}"),
        EngineError::Malformed { why, .. } => assert!(why.contains("far.away"), "{why}"),
        other => panic!("{other}"),
    }
    let outside = sample_with_answers("outside_file", "linear").bundle(1, &["ort"]);
    assert_eq!(engines.load(&outside).unwrap_err().fail_code(), FailCode::Load);
}

#[test]
fn what_no_engine_can_run_is_refused_by_name() {
    let engines = tract_only();
    let load = |model: &[u8]| {
        let sample = common::Sample { model: model.to_vec(), ..sample("linear") };
        engines.load(&sample.bundle(1, &["tract"])).unwrap_err()
    };
    let unknown = load(&sample_with_answers("unknown_operator", "linear").model);
    assert_eq!(unknown, EngineError::UnknownOperators { engine: "tract".into(), operators: vec!["Teleport".into()] });
    assert!(unknown.to_string().contains("\n  hint: "));

    let outside = load(&sample_with_answers("outside_file", "linear").model).to_string();
    assert!(outside.contains("external data was detected"), "{outside}");

    let whole = sample("mlp").model;
    for model in [&whole[..whole.len() / 2], &whole[1..], b"not a model at all", &[0xff; 4096], &[b'\n'; 64]] {
        let error = load(model);
        assert_eq!(error.fail_code(), FailCode::Load, "{error}");
        assert!(error.to_string().len() < 1024, "{error}");
    }
}

#[test]
fn no_cut_of_a_model_takes_the_process_down() {
    let engines = tract_only();
    let whole = sample("trees");
    for length in (1..whole.model.len()).step_by(97) {
        let cut = common::Sample { model: whole.model[..length].to_vec(), ..whole.clone() };
        assert!(engines.load(&cut.bundle(1, &["tract"])).is_err(), "{length} bytes");
    }
    for at in (0..whole.model.len()).step_by(61) {
        let mut flipped = whole.clone();
        flipped.model[at] ^= 0x55;
        // Either refused or, when the byte does not matter, answered rightly: the golden vectors decide.
        if let Err(error) = engines.load(&flipped.bundle(1, &["tract"])) {
            assert!(matches!(error.fail_code(), FailCode::Load | FailCode::Golden | FailCode::Errors), "{error}");
        }
    }
}

#[test]
fn a_wrong_answer_to_a_golden_vector_is_refused_with_its_place() {
    let mut wrong = sample("mlp");
    wrong.golden.expected[4][2] += 0.01;
    let error = tract_only().load(&wrong.bundle(1, &["tract"])).unwrap_err();
    assert!(matches!(error, EngineError::Golden { row: 4, column: 2, .. }), "{error}");
    assert_eq!(error.fail_code(), FailCode::Golden);

    let mut bad = sample("mlp");
    bad.golden.input[1].push(None);
    let error = tract_only().load(&bad.bundle(1, &["tract"])).unwrap_err();
    assert!(matches!(error, EngineError::GoldenFile { .. }), "{error}");
}

#[test]
fn a_signature_that_is_not_the_model_s_is_refused() {
    let engines = tract_only();
    let mut input = sample("linear");
    input.signature.input = "rows".into();
    let mut output = sample("linear");
    output.signature.output = "logits".into();
    for (what, wrong) in [("input", input), ("output", output)] {
        let error = engines.load(&wrong.bundle(1, &["tract"])).unwrap_err();
        assert!(matches!(error, EngineError::Signature { .. }), "{what}: {error}");
    }
}

#[test]
fn a_device_without_an_allowed_engine_says_what_it_has() {
    let error = tract_only().load(&sample("linear").bundle(1, &["ort"])).unwrap_err();
    assert_eq!(error, EngineError::NoEngine { wanted: "ort".into(), available: "tract".into() });
    assert!(tract_only().notes()[0].contains("PINNACE_ORT_LIB"));
}

#[test]
fn rows_of_another_width_are_an_error_and_the_model_goes_on() {
    let mut loaded = common::loaded("mlp", 1);
    assert!(matches!(loaded.model.run(&Matrix::new(7, vec![0.0; 7]).unwrap()), Err(EngineError::Input { .. })));
    assert!(matches!(loaded.model.run(&Matrix::new(8, vec![]).unwrap()), Err(EngineError::Input { .. })));
    assert_eq!(loaded.model.run(&Matrix::new(8, vec![0.0; 8]).unwrap()).unwrap().rows(), 1);
}
