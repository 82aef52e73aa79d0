//! The operators as tract meets them: registered, with strings, with outputs left out, and broken.

use pinnace_operators::registry;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto, TypeProto, ValueInfoProto,
    attribute_proto::AttributeType, tensor_shape_proto, type_proto,
};
use tract_onnx::prelude::*;

const FLOAT: i32 = 1;
const STRING: i32 = 8;

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: kind as i32, ..AttributeProto::default() }
}

fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { ints: ints.to_vec(), ..attribute(name, AttributeType::Ints) }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { i, ..attribute(name, AttributeType::Int) }
}

fn floats(name: &str, floats: &[f32]) -> AttributeProto {
    AttributeProto { floats: floats.to_vec(), ..attribute(name, AttributeType::Floats) }
}

fn text(name: &str, text: &str) -> AttributeProto {
    AttributeProto { s: text.into(), ..attribute(name, AttributeType::String) }
}

fn texts(name: &str, texts: &[&str]) -> AttributeProto {
    let strings = texts.iter().map(|t| (*t).into()).collect();
    AttributeProto { strings, ..attribute(name, AttributeType::Strings) }
}

fn node(op: &str, inputs: &[&str], outputs: &[&str], attributes: Vec<AttributeProto>) -> NodeProto {
    let names = |list: &[&str]| list.iter().map(|n| (*n).to_owned()).collect();
    let (input, output) = (names(inputs), names(outputs));
    NodeProto { op_type: op.into(), input, output, attribute: attributes, ..NodeProto::default() }
}

fn value(name: &str, elem_type: i32) -> ValueInfoProto {
    let any = || tensor_shape_proto::Dimension::default();
    let shape = Some(TensorShapeProto { dim: vec![any(), any()] });
    let tensor = type_proto::Tensor { elem_type, shape };
    let r#type = Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() });
    ValueInfoProto { name: name.into(), r#type, ..ValueInfoProto::default() }
}

/// A graph of these nodes, from input `x` to output `y`; rows are unknown.
fn load(nodes: Vec<NodeProto>, kind: DatumType, columns: usize) -> TractResult<Arc<TypedRunnableModel>> {
    let elem_type = if kind == String::datum_type() { STRING } else { FLOAT };
    let graph = GraphProto {
        node: nodes,
        input: vec![value("x", elem_type)],
        output: vec![ValueInfoProto { name: "y".into(), ..ValueInfoProto::default() }],
        ..GraphProto::default()
    };
    let opset = |domain: &str, version| OperatorSetIdProto { domain: domain.into(), version };
    let opset_import = vec![opset("", 17), opset("ai.onnx.ml", 3)];
    let proto = ModelProto { graph: Some(graph), opset_import, ..ModelProto::default() };
    let model = registry::onnx().parse(&proto, None)?.model;
    let rows: TDim = model.symbols.sym("N").into();
    let fact = kind.fact([rows, columns.into()]);
    model.with_input_fact(0, fact.into())?.into_optimized()?.into_runnable()
}

fn words(rows: &[&str]) -> TValue {
    let words = rows.iter().map(|r| (*r).to_owned()).collect::<Vec<_>>();
    Tensor::from(tract_ndarray::Array2::from_shape_vec((rows.len(), 1), words).unwrap()).into_tvalue()
}

fn numbers(columns: usize, values: &[f32]) -> TValue {
    Tensor::from_shape(&[values.len() / columns, columns], values).unwrap().into_tvalue()
}

fn stump(outputs: &[&str], breaks: impl Fn(&mut Vec<AttributeProto>)) -> Vec<NodeProto> {
    let mut attributes = vec![
        ints("nodes_treeids", &[0, 0, 0]),
        ints("nodes_nodeids", &[0, 1, 2]),
        ints("nodes_featureids", &[0, 0, 0]),
        texts("nodes_modes", &["BRANCH_LEQ", "LEAF", "LEAF"]),
        floats("nodes_values", &[0.5, 0.0, 0.0]),
        ints("nodes_truenodeids", &[1, 0, 0]),
        ints("nodes_falsenodeids", &[2, 0, 0]),
        ints("class_treeids", &[0, 0]),
        ints("class_nodeids", &[1, 2]),
        ints("class_ids", &[0, 2]),
        floats("class_weights", &[1.0, 2.0]),
        texts("classlabels_strings", &["low", "middle", "high"]),
    ];
    breaks(&mut attributes);
    vec![node("TreeEnsembleClassifier", &["x"], outputs, attributes)]
}

#[test]
fn every_operator_that_is_named_is_registered() {
    let register = registry::onnx().op_register;
    for name in registry::OPERATORS {
        assert!(register.0.contains_key(name), "{name}");
    }
    assert!(register.0.contains_key("Conv"), "tract's own stay");
}

#[test]
fn labels_may_be_strings_and_outputs_may_be_left_out() {
    let asked = || tvec!(numbers(1, &[0.0, 1.0, f32::NAN]));
    let labels = load(stump(&["y", "scores"], |_| ()), f32::datum_type(), 1).unwrap().run(asked()).unwrap();
    let labels = labels[0].to_plain_array_view::<String>().unwrap();
    assert_eq!(labels.as_slice().unwrap(), ["low", "high", "high"]);
    let scores = load(stump(&["", "y"], |_| ()), f32::datum_type(), 1).unwrap().run(asked()).unwrap();
    let wanted = [[1.0, 0.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 2.0]];
    assert_eq!(scores[0].to_plain_array_view::<f32>().unwrap(), tract_ndarray::arr2(&wanted).into_dyn());
}

#[test]
fn scores_pass_through_where_a_map_would_be_made() {
    let mut nodes = stump(&["label", "scores"], |_| ());
    nodes.push(node("ZipMap", &["scores"], &["y"], vec![texts("classlabels_strings", &["low", "middle", "high"])]));
    let scores = load(nodes, f32::datum_type(), 1).unwrap().run(tvec!(numbers(1, &[0.0]))).unwrap();
    assert_eq!(scores[0].shape(), [1, 3]);
}

#[test]
fn a_broken_ensemble_is_refused_when_it_is_loaded() {
    let refusal = |breaks: &dyn Fn(&mut Vec<AttributeProto>)| {
        format!("{:#}", load(stump(&["y"], breaks), f32::datum_type(), 1).unwrap_err())
    };
    let said = refusal(&|a| a[5].ints[0] = 7);
    assert!(said.contains("node 7 of tree 0 is pointed to and not there") && said.contains("hint:"), "{said}");
    let said = refusal(&|a| a[5].ints[0] = 0);
    assert!(said.contains("leads back to itself"), "{said}");
    let said = refusal(&|a| a[9].ints[1] = 3);
    assert!(said.contains("target 3 is out of range"), "{said}");
    let said = refusal(&|a| a[4].floats.truncate(1));
    assert!(said.contains("`nodes_values` has 1 entries, 3 were expected"), "{said}");
    let said = refusal(&|a| a[3].strings[0] = "BRANCH_SIDEWAYS".into());
    assert!(said.contains("BRANCH_SIDEWAYS"), "{said}");
}

#[test]
fn texts_become_counts_and_categories_become_columns() {
    let shape = AttributeProto { ints: vec![-1], ..attribute("value_ints", AttributeType::Ints) };
    let nodes = vec![
        node("Constant", &[], &["shape"], vec![shape]),
        node("Reshape", &["x", "shape"], &["flat"], vec![]),
        node("StringNormalizer", &["flat"], &["small"], vec![text("case_change_action", "LOWER")]),
        node(
            "Tokenizer",
            &["small"],
            &["tokens"],
            vec![text("tokenexp", "[a-z]+"), text("pad_value", "#"), int("mincharnum", 1), int("mark", 0)],
        ),
        node("Flatten", &["tokens"], &["rows"], vec![int("axis", 1)]),
        node(
            "TfIdfVectorizer",
            &["rows"],
            &["y"],
            vec![
                text("mode", "TF"),
                int("min_gram_length", 1),
                int("max_gram_length", 1),
                int("max_skip_count", 0),
                ints("ngram_counts", &[0]),
                ints("ngram_indexes", &[0, 1]),
                texts("pool_strings", &["pump", "loud"]),
            ],
        ),
    ];
    let plan = load(nodes, String::datum_type(), 1).unwrap();
    // The same plan for one and for several rows, and rows of other lengths.
    let one = plan.run(tvec!(words(&["Pump"]))).unwrap();
    assert_eq!(one[0].to_plain_array_view::<f32>().unwrap(), tract_ndarray::arr2(&[[1.0, 0.0]]).into_dyn());
    let two = plan.run(tvec!(words(&["a PUMP, a pump", "loud"]))).unwrap();
    assert_eq!(two[0].to_plain_array_view::<f32>().unwrap(), tract_ndarray::arr2(&[[2.0, 0.0], [0.0, 1.0]]).into_dyn());

    let encoder = node("OneHotEncoder", &["x"], &["y"], vec![texts("cats_strings", &["oslo", "rome"])]);
    let town = load(vec![encoder], String::datum_type(), 1).unwrap();
    let found = town.run(tvec!(words(&["rome", "bonn"]))).unwrap();
    assert_eq!(found[0].to_plain_array_view::<f32>().unwrap().as_slice().unwrap(), [0.0, 1.0, 0.0, 0.0]);
    assert_eq!(found[0].shape(), [2, 1, 2]);

    let keys = vec![texts("keys_strings", &["oslo"]), ints("values_int64s", &[4]), int("default_int64", -2)];
    let encoder = load(vec![node("LabelEncoder", &["x"], &["y"], keys)], String::datum_type(), 1).unwrap();
    let found = encoder.run(tvec!(words(&["rome", "oslo"]))).unwrap();
    assert_eq!(found[0].to_plain_array_view::<i64>().unwrap().as_slice().unwrap(), [-2, 4]);
}
