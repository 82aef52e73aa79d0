//! Linear models as plain operators: standardise, one-hot, multiply.

use super::graph::Builder;
use super::proto::int;
use crate::learn::LinearModel;

/// Element type "32-bit float" of the `Cast` operator.
const TO_FLOAT: i64 = super::proto::FLOAT as i64;

/// Adds the model and returns the name of its raw scores, `[N, C]` with C >= 2.
pub(super) fn add(graph: &mut Builder, model: &LinearModel, input: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    if !model.numeric.is_empty() {
        parts.push(numeric(graph, model, input));
    }
    for &(column, codes) in model.categorical.iter().filter(|&&(_, codes)| codes > 0) {
        parts.push(one_hot(graph, input, column, codes));
    }
    let columns = match &parts[..] {
        [one] => one.clone(),
        _ => {
            let names: Vec<&str> = parts.iter().map(String::as_str).collect();
            graph.node("Concat", &names, "columns", vec![int("axis", 1)])
        }
    };
    // One raw score stands for the second of two classes against a zero.
    let padding = vec![0.0f32; usize::from(model.bias.len() == 1)];
    let classes = model.bias.len() + padding.len();
    let padded = |row: &[f32]| [&padding[..], row].concat();
    let weights: Vec<f32> = model.weights.iter().flat_map(|row| padded(row)).collect();
    let weights = graph.floats("weights", &[model.weights.len(), classes], &weights);
    let bias = graph.floats("bias", &[1, classes], &padded(&model.bias));
    let product = graph.node("MatMul", &[&columns, &weights], "product", vec![]);
    graph.node("Add", &[&product, &bias], "raw", vec![])
}

/// Adds (x - mean) * scale with 0 for missing values. Means are taken away before anything is
/// multiplied: folded into the bias, large means would cost precision in f32.
fn numeric(graph: &mut Builder, model: &LinearModel, input: &str) -> String {
    let n = model.numeric.len();
    let all: Vec<i64> = model.numeric.iter().map(|&c| i64::from(c)).collect();
    let chosen = if model.categorical.is_empty() {
        input.to_owned()
    } else {
        let places = graph.ints("numeric_columns", &all);
        graph.node("Gather", &[input, &places], "numeric", vec![int("axis", 1)])
    };
    let means = graph.floats("means", &[1, n], &model.means);
    let scales = graph.floats("scales", &[1, n], &model.scales);
    let zero = graph.floats("zero", &[1, 1], &[0.0]);
    let centred = graph.node("Sub", &[&chosen, &means], "centred", vec![]);
    let scaled = graph.node("Mul", &[&centred, &scales], "scaled", vec![]);
    let missing = graph.node("IsNaN", &[&chosen], "missing", vec![]);
    graph.node("Where", &[&missing, &zero, &scaled], "standard", vec![])
}

/// Adds one column per code; a missing or unknown code equals none of them.
fn one_hot(graph: &mut Builder, input: &str, column: u32, codes: u32) -> String {
    let place = graph.ints(&format!("category_{column}_column"), &[i64::from(column)]);
    let known: Vec<f32> = (0..codes).map(|c| c as f32).collect();
    let known = graph.floats(&format!("category_{column}_codes"), &[1, known.len()], &known);
    let axis = vec![int("axis", 1)];
    let cell = graph.node("Gather", &[input, &place], &format!("category_{column}"), axis);
    let equal = format!("category_{column}_equal");
    let equal = graph.node("Equal", &[&cell, &known], &equal, vec![]);
    let hot = format!("category_{column}_hot");
    graph.node("Cast", &[&equal], &hot, vec![int("to", TO_FLOAT)])
}
