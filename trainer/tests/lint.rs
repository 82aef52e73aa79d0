//! The linter says what is in a model, refuses what must not be there, and its clean copy says less and means the same.

use pinnace_trainer::lint::{Dim, LintError, MODEL_MAX_BYTES, Report, clean, lint};
use proptest::prelude::*;

/// Returns a field that holds bytes (a text or a message).
fn bytes(number: u8, value: &[u8]) -> Vec<u8> {
    assert!(value.len() < 1 << 14);
    let length = [value.len() as u8 & 0x7f | 0x80, (value.len() >> 7) as u8];
    [&varint(u64::from(number) << 3 | 2)[..], &length, value].concat()
}

/// Returns a field that holds a number.
fn number(number: u8, value: u64) -> Vec<u8> {
    [varint(u64::from(number) << 3), varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn dim(name: &str) -> Vec<u8> {
    let extent = name.parse().map_or_else(|_| bytes(2, name.as_bytes()), |n| number(1, n));
    bytes(1, &extent)
}

/// Returns an input, output or note of shape, f32.
fn info(name: &str, dims: &[&str]) -> Vec<u8> {
    let shape: Vec<u8> = dims.iter().flat_map(|d| dim(d)).collect();
    let tensor = [number(1, 1), bytes(2, &shape)].concat();
    [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat()
}

fn node(operator: &str, domain: &str, attribute: &[u8]) -> Vec<u8> {
    let attribute = if attribute.is_empty() { Vec::new() } else { bytes(5, attribute) };
    [bytes(4, operator.as_bytes()), bytes(7, domain.as_bytes()), attribute].concat()
}

/// Returns a tensor of f32.
fn tensor(name: &str, dims: &[u64], raw: usize) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|d| number(1, *d)).collect();
    [dims, number(2, 1), bytes(8, name.as_bytes()), bytes(9, &vec![7; raw])].concat()
}

fn external(location: &str) -> Vec<u8> {
    let entry = [bytes(1, b"location"), bytes(2, location.as_bytes())].concat();
    [tensor("w", &[2], 0), bytes(13, &entry), number(14, 1)].concat()
}

fn model(graph: &[Vec<u8>]) -> Vec<u8> {
    let opset = |domain: &str, version| bytes(8, &[bytes(1, domain.as_bytes()), number(2, version)].concat());
    let head = [number(1, 8), bytes(2, b"tests"), bytes(3, b"1"), opset("", 17), opset("ai.onnx.ml", 3)].concat();
    // A field that nobody knows: a clean copy keeps it.
    [head, bytes(7, &graph.concat()), bytes(99, b"kept")].concat()
}

fn sample() -> Vec<u8> {
    let branch = bytes(1, &node("Neg", "", &[]));
    model(&[
        bytes(1, &node("MatMul", "", &[])),
        bytes(1, &node("If", "", &[bytes(1, b"then_branch"), bytes(6, &branch)].concat())),
        bytes(1, &node("Neg", "", &[])),
        bytes(1, &node("Scaler", "ai.onnx.ml", &[])),
        bytes(5, &tensor("w", &[2, 3], 24)),
        bytes(11, &info("features", &["N", "width"])),
        bytes(11, &info("w", &["2", "3"])),
        bytes(12, &info("probabilities", &["N", "width"])),
        bytes(13, &info("between", &["N", "9"])),
    ])
}

fn operators(report: &Report) -> Vec<(String, i64, usize)> {
    report.operators.iter().map(|o| (format!("{}.{}", o.domain, o.name), o.version, o.count)).collect()
}

#[test]
fn a_report_says_what_is_in_the_model() {
    let report = lint(&sample()).unwrap();
    assert_eq!((report.ir_version, report.producer.as_str(), report.value_infos), (8, "tests 1", 1));
    assert_eq!((report.tensors, report.tensor_bytes, report.int8), (1, 24, false));
    let expected =
        [("ai.onnx.If", 17, 1), ("ai.onnx.MatMul", 17, 1), ("ai.onnx.Neg", 17, 2), ("ai.onnx.ml.Scaler", 3, 1)];
    assert_eq!(operators(&report), expected.map(|(n, v, c)| (n.to_owned(), v, c)));
    // `w` is a constant, whatever the graph calls it.
    let names: Vec<_> = report.inputs.iter().map(|p| (p.name.as_str(), p.element.as_str())).collect();
    assert_eq!(names, [("features", "FLOAT")]);
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    assert!(report.findings[0].contains("`features` leaves width open"), "{:?}", report.findings);
}

#[test]
fn static_int8_and_domains_without_a_version_are_findings() {
    let quantised = lint(&model(&[bytes(1, &node("QuantizeLinear", "", &[]))])).unwrap();
    assert!(quantised.int8 && quantised.findings[0].contains("ONNX Runtime only"), "{:?}", quantised.findings);
    let unknown = lint(&model(&[bytes(1, &node("Teleport", "far.away", &[]))])).unwrap();
    assert!(unknown.findings[0].contains("far.away"), "{:?}", unknown.findings);
}

#[test]
fn a_clean_copy_has_numbers_for_names_no_notes_and_all_else() {
    let freeze = [("width".to_owned(), 300)];
    let cleaned = clean(&sample(), &freeze).unwrap();
    let (before, after) = (lint(&sample()).unwrap(), lint(&cleaned).unwrap());
    assert_eq!((after.value_infos, after.findings.len()), (0, 0), "{:?}", after.findings);
    assert_eq!(after.inputs[0].dims, Some(vec![Dim::Named("N".into()), Dim::Fixed(300)]));
    assert_eq!(after.outputs[0].dims, Some(vec![Dim::Named("N".into()), Dim::Fixed(300)]));
    assert_eq!(
        (after.operators, after.tensor_bytes, after.opsets),
        (before.operators, before.tensor_bytes, before.opsets)
    );
    assert!(cleaned.ends_with(b"kept"), "a field that this version does not know");
    // Nothing is left to clean.
    assert_eq!(clean(&cleaned, &[]).unwrap(), cleaned);
    let error = clean(&sample(), &[("batch".into(), 1)]).unwrap_err();
    assert_eq!(error, LintError::NoSuchDimension { name: "batch".into(), found: "N, width".into() });
}

#[test]
fn weights_in_other_files_are_refused_with_the_reason() {
    for (location, reason) in [
        ("/etc/hostname", "absolute"),
        ("C:\\weights", "absolute"),
        ("../weights.bin", "outside"),
        ("a/../../weights.bin", "outside"),
        ("weights.bin", "another file"),
    ] {
        let found = [bytes(5, &external(location)), bytes(1, &node("Constant", "", &bytes(5, &external(location))))];
        for part in found {
            match lint(&model(&[part])).unwrap_err() {
                LintError::External { tensor, location: at, why } => {
                    assert!(tensor == "w" && at == location && why.contains(reason), "{tensor} {at} {why}");
                }
                other => panic!("{other}"),
            }
        }
    }
}

#[test]
fn tensors_that_lie_about_their_size_are_refused() {
    let huge = u64::MAX >> 1;
    for (dims, raw) in [(&[2, 3][..], 23), (&[2, 3], 25), (&[huge], 8), (&[huge, huge], 8), (&[u64::MAX], 4), (&[], 8)]
    {
        let error = lint(&model(&[bytes(5, &tensor("w", dims, raw))])).unwrap_err();
        assert!(matches!(&error, LintError::Malformed { part, .. } if part == "tensor `w`"), "{dims:?} {raw}: {error}");
        assert!(error.to_string().contains("\n  hint: "));
    }
    lint(&model(&[bytes(5, &tensor("w", &[], 4)), bytes(5, &tensor("v", &[0, 9], 0))])).unwrap();
}

#[test]
fn what_is_no_model_is_refused() {
    for bytes in [&b""[..], b"not a model", &[0xff; 64], &[0x3a, 0x02]] {
        assert!(matches!(lint(bytes), Err(LintError::Malformed { .. })), "{bytes:?}");
    }
    let two = [model(&[]), model(&[])].concat();
    assert!(matches!(lint(&two), Err(LintError::Malformed { .. })));
    assert_eq!(lint(&vec![0; MODEL_MAX_BYTES + 1]), Err(LintError::TooLarge { bytes: MODEL_MAX_BYTES + 1 }));
}

#[test]
fn graphs_within_graphs_have_an_end() {
    let mut graph = bytes(1, &node("Neg", "", &[]));
    for _ in 0..40 {
        graph = bytes(1, &node("If", "", &bytes(6, &graph)));
    }
    let error = lint(&model(&[graph])).unwrap_err();
    assert!(matches!(error, LintError::TooMany { what: "graphs inside one another", .. }), "{error}");
}

#[test]
fn what_the_trainer_writes_is_clean() {
    use pinnace_trainer::data::{CsvOptions, parse_csv};
    use pinnace_trainer::learn::{Params, train};
    let rows: String =
        (0..200).map(|i| format!("{},{},{}\n", i % 17, i % 5, if i % 17 > 8 { "a" } else { "b" })).collect();
    let data = parse_csv(format!("x,y,label\n{rows}").as_bytes(), "rows", &CsvOptions::classes("label")).unwrap();
    for params in [Params::boosting(), Params::logistic()] {
        let trained = train(&data, None, &params, &mut |_| std::ops::ControlFlow::Continue(())).unwrap();
        let model = pinnace_trainer::onnx::export(&trained);
        let report = lint(&model).unwrap();
        assert_eq!((report.findings.len(), report.value_infos), (0, 0), "{:?}", report.findings);
        assert_eq!(clean(&model, &[]).unwrap(), model);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>()) {
        let mut bytes = sample();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(1 + cut.index(bytes.len()));
        if let Ok(cleaned) = clean(&bytes, &[]) {
            prop_assert_eq!(clean(&cleaned, &[]), Ok(cleaned));
        }
    }
}
