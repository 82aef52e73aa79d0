//! ONNX models and golden vectors, as the agent reads them before anything runs.
use std::sync::LazyLock;

use pinnace_agent::engine::{golden, inspect};
use pinnace_protocol::manifest::{Feature, FeatureKind, Signature, Task};

use crate::target::{Budget, Form, Target};
use crate::verdict::{Verdict, magnitude, variant};

pub const ONNX: Target = Target {
    name: "onnx",
    what: "an ONNX file: container, graph, operators, inputs and outputs against the manifest",
    form: Form::Protobuf,
    max_bytes: 16 * 1024,
    // An empty attribute is two bytes in the file and most of a kilobyte in memory.
    budget: Budget { base: 8 * 1024 * 1024, per_byte: 2048 },
    cost: 2,
    words: &[
        "features",
        "probabilities",
        "label",
        "value",
        "MatMul",
        "Softmax",
        "ArgMax",
        "TreeEnsembleClassifier",
        "If",
        "Loop",
        "Scan",
        "Constant",
        "ConstantOfShape",
        "Gather",
        "Teleport",
        "ai.onnx.ml",
        "axis",
        "/etc/passwd",
    ],
    run: onnx,
    repair: None,
};

pub const GOLDEN: Target = Target {
    name: "golden",
    what: "the golden vectors of a bundle",
    form: Form::Json,
    max_bytes: 16 * 1024,
    budget: Budget { base: 64 * 1024, per_byte: 100 },
    cost: 1,
    words: &["input", "expected", "rtol", "atol", "null", "1e39", "-1e39", "0.0", "1e-5"],
    run: golden_vectors,
    repair: None,
};

/// The signature of the sample models: eight numbers in, three classes out.
static SIGNATURE: LazyLock<Signature> = LazyLock::new(|| {
    let feature = |i| Feature { name: format!("f{i}"), kind: FeatureKind::Numeric, unit: String::new() };
    Signature {
        task: Task::Classification,
        input: "features".into(),
        output: "probabilities".into(),
        label_output: Some("label".into()),
        classes: ["0", "1", "2"].map(str::to_owned).into(),
        features: (0..8).map(feature).collect(),
    }
});

fn onnx(input: &[u8]) -> Verdict {
    match inspect(input, &SIGNATURE) {
        Ok(found) => Verdict::accepted(format!("{} nodes", magnitude(found.operators as u64))),
        Err(fault) => Verdict::refused(&variant(&fault), fault),
    }
}

fn golden_vectors(input: &[u8]) -> Verdict {
    match golden::parse(input) {
        Ok(golden) => {
            assert_eq!(golden.input.len(), golden.expected.len());
            let written = serde_json::to_vec(&golden).expect("numbers can be written");
            assert_eq!(golden::parse(&written).ok(), Some(golden.clone()), "they say the same when written again");
            Verdict::accepted(format!("{} rows", magnitude(golden.input.len() as u64)))
        }
        Err(fault) => Verdict::refused(&variant(&fault), fault),
    }
}
