//! ONNX: a trained model as bytes that ONNX Runtime and tract both run, and run alike.
//!
//! The graph: one input `features` (f32 `[N, F]`, NaN for missing, categories as codes);
//! outputs `probabilities` (f32 `[N, C]`) and `label` (i64 `[N]`, an index into the classes), or
//! `value` (f32 `[N, 1]`) for a regression.
//!
//! It keeps to what both engines get right. Trees become `TreeEnsembleClassifier` nodes that
//! only add up raw scores: probabilities and labels come from plain `Softmax` and `ArgMax`,
//! because engines differ in how they finish a two-class ensemble. Missing values follow the
//! direction that each split learnt (`nodes_missing_value_tracks_true`). Linear models use plain
//! operators throughout (`Sub`, `Mul`, `IsNaN`, `Where`, `Equal`, `MatMul`), not `Scaler` and
//! `LinearClassifier`, which are not to be had everywhere.
//!
//! The same model gives the same bytes.

mod graph;
mod linear;
mod proto;
mod trees;

use prost::Message;

use crate::PRODUCER;
use crate::learn::{Learned, Task, TrainedModel};
use graph::Builder;

/// Name of the input tensor.
pub const INPUT: &str = "features";
/// Name of the output tensor with class probabilities.
pub const PROBABILITIES: &str = "probabilities";
/// Name of the output tensor with the index of the most probable class.
pub const LABEL: &str = "label";
/// Name of the output tensor of a regression.
pub const VALUE: &str = "value";

/// Version of the file format; 8 is read by everything since 2022.
const IR_VERSION: i64 = 8;
/// Operator set of the plain operators.
const OPSET: i64 = 17;
/// Operator set of `ai.onnx.ml`: the last one with `TreeEnsembleClassifier` not deprecated.
const OPSET_ML: i64 = 3;

/// Returns the bytes of an ONNX model.
pub fn export(model: &TrainedModel) -> Vec<u8> {
    let mut graph = Builder::default();
    let raw = match &model.learned {
        Learned::Trees(ensemble) => trees::add(&mut graph, ensemble, INPUT),
        Learned::Linear(linear) => linear::add(&mut graph, linear, INPUT),
    };
    let outputs = match &model.task {
        Task::Classify(classes) => {
            graph.node("Softmax", &[&raw], PROBABILITIES, vec![proto::int("axis", 1)]);
            let flags = vec![proto::int("axis", 1), proto::int("keepdims", 0)];
            graph.node("ArgMax", &[PROBABILITIES], LABEL, flags);
            vec![
                proto::value(PROBABILITIES, proto::FLOAT, Some(classes.len())),
                proto::value(LABEL, proto::INT64, None),
            ]
        }
        Task::Regress => {
            // Raw scores have a column for "class 0", which is always zero.
            let column = graph.ints("value_column", &[1]);
            graph.node("Gather", &[&raw, &column], VALUE, vec![proto::int("axis", 1)]);
            vec![proto::value(VALUE, proto::FLOAT, Some(1))]
        }
    };
    let input = proto::value(INPUT, proto::FLOAT, Some(model.features.len()));
    let uses_ml = matches!(model.learned, Learned::Trees(_));
    let mut opset_import = vec![proto::OperatorSetId { domain: String::new(), version: OPSET }];
    if uses_ml {
        let domain = graph::ML_DOMAIN.to_owned();
        opset_import.push(proto::OperatorSetId { domain, version: OPSET_ML });
    }
    proto::Model {
        ir_version: IR_VERSION,
        producer_name: PRODUCER.0.to_owned(),
        producer_version: PRODUCER.1.to_owned(),
        graph: Some(graph.finish("model", vec![input], outputs)),
        opset_import,
        metadata_props: metadata(model),
    }
    .encode_to_vec()
}

/// Returns what a reader of the file wants to know and the graph does not say.
fn metadata(model: &TrainedModel) -> Vec<proto::StringEntry> {
    let json = |value: serde_json::Result<String>| value.unwrap_or_default();
    let entry = |key: &str, value: String| proto::StringEntry { key: key.to_owned(), value };
    vec![
        entry("pinnace.producer", format!("{} {}", PRODUCER.0, PRODUCER.1)),
        entry("pinnace.label", model.label.clone()),
        entry("pinnace.task", json(serde_json::to_string(&model.task))),
        entry("pinnace.features", json(serde_json::to_string(&model.features))),
        entry("pinnace.params", json(serde_json::to_string(&model.params))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{Params, quiet, train};

    fn model() -> TrainedModel {
        let csv = "x,c,y\n1,a,0\n2,b,1\n3,a,0\n4,b,1\n,a,1\n6,,0\n";
        let options = crate::data::CsvOptions::classes("y");
        let data = crate::data::parse_csv(csv.as_bytes(), "t.csv", &options).expect("valid");
        train(&data, None, &Params::logistic(), &mut quiet).expect("learns")
    }

    #[test]
    fn the_same_model_gives_the_same_bytes() {
        assert_eq!(export(&model()), export(&model()));
    }

    #[test]
    fn the_bytes_read_back_as_the_graph() {
        let bytes = export(&model());
        let read = proto::Model::decode(&bytes[..]).expect("own bytes");
        let graph = read.graph.expect("graph");
        assert_eq!(graph.input[0].name, INPUT);
        assert_eq!(graph.output.iter().map(|o| &o.name[..]).collect::<Vec<_>>(), [PROBABILITIES, LABEL]);
        assert_eq!(read.metadata_props[1].value, "y");
    }
}
