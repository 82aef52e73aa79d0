//! What a device answers equals what ONNX Runtime answers in Python, for both learners and both engines.
use std::path::Path;
use std::process::Command;

use pinnace_tests::agent::Agent;
use pinnace_tests::bundles::{only_engine, train};
use pinnace_tests::data::{RAIN, SURVIVED, passengers, read, weather};
use pinnace_tests::plane::Plane;
use pinnace_tests::source_root;
use pinnace_tests::wait::{STEP_S, wait_until};
use serde_json::{Value, json};

/// Largest difference of a probability.
const TOLERANCE: f64 = 1e-5;
/// Rows compared.
const ROWS: usize = 200;
/// Columns of the passengers that hold numbers; all of the weather's do.
const NUMBERS: [&str; 3] = ["class", "age", "fare"];

/// Returns ONNX Runtime's probabilities for the rows in `csv`, row by row.
fn python(bundle: &Path, csv: &Path) -> Vec<f64> {
    let program = std::env::var("PINNACE_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = source_root().join("tests/python/onnx_predict.py");
    let output = Command::new(&program).arg(script).arg(bundle).arg(csv).output();
    let output =
        output.unwrap_or_else(|e| panic!("{program}: {e}\n  hint: name a Python with onnxruntime in PINNACE_PYTHON"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n  hint: name a Python with onnxruntime in PINNACE_PYTHON");
    let values: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    values.as_array().expect("a list").iter().filter_map(Value::as_f64).collect()
}

fn compare(family: &str, label: &str, learn: &Path, ask: &Path, numeric: &[&str]) {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let plane = Plane::start(dir);
    let library = std::env::var("PINNACE_ORT_LIB").ok().filter(|path| !path.is_empty());
    let more: Vec<String> = library.iter().flat_map(|path| ["--ort".to_owned(), path.clone()]).collect();
    let agent = Agent::start_with(&plane, dir, "gateway", &[], &more);
    let (header, rows) = read(ask);
    // The weather's first column has no name and is no feature.
    let columns: Vec<usize> = (0..header.len()).filter(|i| header[*i] != label && !header[*i].is_empty()).collect();
    let pick = |cells: &[String]| columns.iter().map(|i| cells[*i].clone()).collect::<Vec<_>>();
    let (names, rows) = (pick(&header), rows.iter().map(|r| pick(r)).collect::<Vec<_>>());

    let engines: &[&str] = if library.is_some() { &["tract", "ort"] } else { &["tract"] };
    let cases = engines.iter().flat_map(|e| [(*e, "boosting"), (*e, "logistic")]);
    for (version, (engine, learner)) in (1..).zip(cases) {
        let bundle = train(learn, label, family, version, learner, &[]);
        only_engine(&bundle, engine);
        plane.publish(&bundle);
        let name = format!("{family}/v{version}");
        let id = plane.roll_out(&name, &[]);
        // The trial lives from applications' requests, as on a real device.
        wait_until(&format!("{name} on {engine}"), STEP_S, || {
            for row in rows.iter().take(40) {
                // Not ready before the first model has come.
                let _ = agent.infer(family, &names, std::slice::from_ref(row), numeric);
            }
            let page = plane.get(&format!("/v1/rollouts/{id}"))?;
            assert_ne!(page["state"], "rolled-back", "{page}");
            if page["state"] == "completed" { Ok(()) } else { Err(page["sentence"].to_string()) }
        });
        let status = agent.wait_serving(&name, STEP_S);
        assert!(status["model"]["engine"].as_str().is_some_and(|e| e.starts_with(engine)), "{status}");

        let expected = python(&bundle, ask);
        let found = agent.infer(family, &names, &rows, numeric).unwrap();
        assert_eq!((found.len(), expected.len()), (2 * rows.len(), 2 * rows.len()));
        let worst = found.iter().zip(&expected).map(|(f, e)| (f - e).abs()).fold(0.0, f64::max);
        assert!(worst <= TOLERANCE, "{name} ({learner}, {engine}) differs by {worst}");
        let varied = found.iter().any(|f| (f - found[0]).abs() > 0.01);
        assert!(varied, "answers that are all alike prove nothing");
        println!("{name}: {learner} on {engine} agrees within {worst:.1e} on {} rows", rows.len());
    }
}

#[test]
fn weather_is_predicted_as_by_onnxruntime() {
    let temp = tempfile::tempdir().unwrap();
    let learn = weather(&temp.path().join("learn.csv"), 0, 1000);
    let ask = weather(&temp.path().join("ask.csv"), 5000, 5000 + ROWS);
    let (header, _) = read(&ask);
    let numeric: Vec<&str> = header.iter().map(String::as_str).collect();
    compare("rain", RAIN, &learn, &ask, &numeric);
}

#[test]
fn passengers_with_categories_and_gaps_are_predicted_as_by_onnxruntime() {
    let temp = tempfile::tempdir().unwrap();
    let learn = passengers(&temp.path().join("learn.csv"), 800, 1);
    let ask = passengers(&temp.path().join("ask.csv"), ROWS, 2);
    // A port that no passenger of the training came from.
    let text = std::fs::read_to_string(&ask).unwrap().replacen(",S,", ",Z,", 1);
    std::fs::write(&ask, text).unwrap();
    compare("survival", SURVIVED, &learn, &ask, &NUMBERS);
}

#[test]
fn requests_that_fit_no_model_are_refused_and_nothing_is_counted() {
    let temp = tempfile::tempdir().unwrap();
    let plane = Plane::start(temp.path());
    let agent = Agent::start(&plane, temp.path(), "gateway", None);
    let answer = agent.post("/v2/models/rain/infer", &json!({ "inputs": [] })).unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(agent.status().unwrap()["inferences"], 0);
}
