//! The bill of materials: CycloneDX 1.6 with the model, its data, its files and how good it was found to be.
use pinnace_protocol::ids::Digest;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::PRODUCER;
use crate::evaluate::Evaluation;
use crate::learn::{Algorithm, Task, TrainedModel};
use crate::limits::MAX_BOM_CATEGORIES;
use crate::onnx;

/// What a bill is made from; time and digests are passed in.
pub struct MlBom<'a> {
    /// Name of the model.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Date, RFC 3339.
    pub date: &'a str,
    /// The model.
    pub model: &'a TrainedModel,
    /// The model's file.
    pub file: (&'a str, Digest),
    /// The files that belong to it.
    pub others: &'a [(&'a str, Digest)],
    /// Name of the training data and SHA-256 of its file.
    pub data: (&'a str, Digest),
    /// Figures on the holdout.
    pub evaluation: &'a Evaluation,
    /// How the holdout was chosen, in a few words.
    pub holdout: &'a str,
    /// Fields of the model card that a person has still to fill in.
    pub open_fields: usize,
}

/// Returns the bill as JSON.
pub fn bom(of: &MlBom<'_>) -> Value {
    let (family, architecture) = match &of.model.params.algorithm {
        Algorithm::Boosting(_) => {
            ("gradient-boosted decision trees", "histogram gradient boosting, ONNX TreeEnsembleClassifier")
        }
        Algorithm::Logistic(_) => ("linear model", "logistic regression, ONNX MatMul"),
    };
    let task = match &of.model.task {
        Task::Classify(_) => "classification",
        Task::Regress => "regression",
    };
    let files = of.others.iter().map(|(name, digest)| {
        json!({ "type": "file", "bom-ref": format!("file:{name}"), "name": name, "hashes": hashes(digest) })
    });
    let data = json!({
        "type": "data",
        "bom-ref": "data",
        "name": of.data.0,
        "hashes": hashes(&of.data.1),
        "data": [{
            "type": "dataset",
            "name": of.data.0,
            "description": format!(
                "{} rows learnt from and {} kept to judge the model; label `{}`",
                of.model.training_rows,
                rows(of.evaluation),
                of.model.label
            ),
        }],
    });
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial_number(of),
        "version": 1,
        "metadata": {
            "timestamp": of.date,
            "tools": { "components": [{ "type": "application", "name": PRODUCER.0, "version": PRODUCER.1 }] },
            "component": {
                "type": "machine-learning-model",
                "bom-ref": "model",
                "name": of.name,
                "version": of.version,
                "description": format!("Predicts `{}` by {family}; the file is {}", of.model.label, of.file.0),
                "hashes": hashes(&of.file.1),
                "modelCard": {
                    "modelParameters": {
                        "approach": { "type": "supervised" },
                        "task": task,
                        "architectureFamily": family,
                        "modelArchitecture": architecture,
                        "datasets": [{ "ref": "data" }],
                        "inputs": [{ "format": input(of.model) }],
                        "outputs": outputs(&of.model.task),
                    },
                    "quantitativeAnalysis": { "performanceMetrics": metrics(of.evaluation) },
                    "considerations": { "technicalLimitations": limitations(of) },
                },
            },
        },
        "components": std::iter::once(data).chain(files).collect::<Vec<_>>(),
        "dependencies": [{ "ref": "model", "dependsOn": ["data"] }],
    })
}

fn hashes(digest: &Digest) -> Value {
    json!([{ "alg": "SHA-256", "content": digest.to_hex() }])
}

/// Returns a UUID made from the content, so that the same content has the same serial number everywhere.
fn serial_number(of: &MlBom<'_>) -> String {
    let mut all = Sha256::new();
    for text in [of.name, of.version, of.date] {
        all.update((text.len() as u64).to_be_bytes());
        all.update(text);
    }
    for digest in [&of.file.1, &of.data.1].into_iter().chain(of.others.iter().map(|(_, digest)| digest)) {
        all.update(digest.0);
    }
    let mut id: [u8; 16] = [0; 16];
    id.copy_from_slice(&all.finalize()[..16]);
    // Version 8 of RFC 9562: 122 bits of the maker's choice.
    id[6] = id[6] & 0x0f | 0x80;
    id[8] = id[8] & 0x3f | 0x80;
    let hex = hex::encode(id);
    format!("urn:uuid:{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn input(model: &TrainedModel) -> String {
    let features = model.features.iter().map(|f| match f.categories.len() {
        0 => format!("{} (number)", f.name),
        n => format!("{} (one of {n}, by index)", f.name),
    });
    let features: Vec<_> = features.collect();
    format!("float32 tensor `{}` [rows, {}]: {}", onnx::INPUT, features.len(), features.join(", "))
}

fn outputs(task: &Task) -> Value {
    match task {
        Task::Classify(classes) => {
            let names = match classes.len() {
                0..=MAX_BOM_CATEGORIES => format!(": {}", classes.join(", ")),
                _ => String::new(),
            };
            json!([
                { "format": format!("float32 tensor `{}` [rows, {}]{names}", onnx::PROBABILITIES, classes.len()) },
                { "format": format!("int64 tensor `{}` [rows]", onnx::LABEL) },
            ])
        }
        Task::Regress => json!([{ "format": format!("float32 tensor `{}` [rows, 1]", onnx::VALUE) }]),
    }
}

fn rows(evaluation: &Evaluation) -> usize {
    match evaluation {
        Evaluation::Classify(found) => found.rows,
        Evaluation::Regress(found) => found.rows,
    }
}

fn metrics(evaluation: &Evaluation) -> Value {
    let figures = match evaluation {
        Evaluation::Classify(found) => vec![
            ("accuracy", Some(found.accuracy)),
            ("AUC", found.auc),
            ("log loss", Some(found.log_loss)),
            ("Brier score", Some(found.brier)),
            ("calibration error", Some(found.calibration_error)),
        ],
        Evaluation::Regress(found) => vec![
            ("root mean squared error", Some(found.rmse)),
            ("mean absolute error", Some(found.mae)),
            ("R2", found.r2),
        ],
    };
    let figures = figures.into_iter().filter_map(|(kind, value)| {
        // As text, as the format wants it; a figure that is not defined for these rows is left out.
        value.map(|value| json!({ "type": kind, "value": format!("{value:.6}"), "slice": "holdout" }))
    });
    Value::Array(figures.collect())
}

fn limitations(of: &MlBom<'_>) -> Vec<String> {
    let mut out = vec![
        format!(
            "Judged on {} rows, held out: {}. Nothing is known about rows unlike them.",
            rows(of.evaluation),
            of.holdout
        ),
        "A missing value or an unknown category is NaN in the input.".to_owned(),
    ];
    if of.open_fields > 0 {
        out.push(format!(
            "Users, use cases and ethical considerations are not stated here: {} fields of the model card (card.md) \
             wait for a person.",
            of.open_fields
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{CsvOptions, parse_csv};
    use crate::evaluate::evaluate;
    use crate::learn::{Params, train};
    use std::ops::ControlFlow;

    /// Returns the bill of a model of a small table.
    fn sample(options: &CsvOptions, params: &Params, date: &str) -> Value {
        let mut csv = String::from("wind,sky,rain\n");
        for row in 0..200 {
            csv += &format!("{},{},{}\n", row % 7, ["clear", "grey"][row % 2], u8::from(row % 7 + row % 2 > 4));
        }
        let data = parse_csv(csv.as_bytes(), "table.csv", options).unwrap();
        let model = train(&data, None, params, &mut |_| ControlFlow::Continue(())).unwrap();
        let evaluation = evaluate(&model, &data).unwrap();
        bom(&MlBom {
            name: "rain",
            version: "3",
            date,
            model: &model,
            file: ("model.onnx", Digest([1; 32])),
            others: &[("card.md", Digest([2; 32]))],
            data: ("table.csv", Digest([3; 32])),
            evaluation: &evaluation,
            holdout: "none",
            open_fields: 7,
        })
    }

    #[test]
    fn says_what_the_model_is_and_how_good() {
        let bom = sample(&CsvOptions::classes("rain"), &Params::logistic(), "2027-01-15T08:00:09Z");
        let model = &bom["metadata"]["component"];
        assert_eq!(model["hashes"][0]["content"], "01".repeat(32));
        let card = &model["modelCard"];
        assert_eq!(card["modelParameters"]["task"], "classification");
        assert_eq!(
            card["modelParameters"]["inputs"][0]["format"],
            "float32 tensor `features` [rows, 2]: wind (number), sky (one of 2, by index)"
        );
        assert_eq!(card["modelParameters"]["outputs"][0]["format"], "float32 tensor `probabilities` [rows, 2]: 0, 1");
        let metrics = card["quantitativeAnalysis"]["performanceMetrics"].as_array().unwrap();
        let kinds: Vec<_> = metrics.iter().map(|m| m["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["accuracy", "AUC", "log loss", "Brier score", "calibration error"]);
        assert!(metrics.iter().all(|m| m["value"].as_str().is_some_and(|v| v.parse::<f64>().is_ok())));
        assert_eq!(card["considerations"]["technicalLimitations"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn a_regression_has_other_figures_and_one_output() {
        let bom = sample(&CsvOptions::values("wind"), &Params::boosting(), "2027-01-15T08:00:09Z");
        let card = &bom["metadata"]["component"]["modelCard"];
        assert_eq!(card["modelParameters"]["outputs"].as_array().unwrap().len(), 1);
        assert_eq!(card["quantitativeAnalysis"]["performanceMetrics"][0]["type"], "root mean squared error");
    }

    #[test]
    fn the_serial_number_is_of_the_content() {
        let options = CsvOptions::classes("rain");
        let number = |date: &str| {
            let bom = sample(&options, &Params::logistic(), date);
            bom["serialNumber"].as_str().unwrap().to_owned()
        };
        let first = number("2027-01-15T08:00:09Z");
        assert_eq!(first, number("2027-01-15T08:00:09Z"));
        assert_ne!(first, number("2027-01-15T08:00:10Z"));
        let parts: Vec<_> = first.strip_prefix("urn:uuid:").unwrap().split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(&first[23..24], "8", "the version of the UUID");
    }
}
