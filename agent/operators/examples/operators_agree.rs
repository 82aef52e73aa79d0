//! Runs frozen models on tract with the pack and holds the answers against those of ONNX Runtime.
//!
//! usage: operators_agree CASES_DIR KNOWN_DIFFERENCES [--quiet]
//!
//! A case is `NAME.onnx` with `NAME.json`: inputs, and outputs as ONNX Runtime gave them. Every model is asked twice: all
//! rows at once (rows unknown when it is loaded), and each of the first rows alone. Numbers agree within rtol 1e-3 and
//! atol 1e-5 of the greatest; labels and strings exactly. `KNOWN_DIFFERENCES` lists `NAME: reason`; what it lists must
//! differ, and nothing else may. Ends with 1 when not.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use pinnace_operators::registry;
use serde_json::Value;
use tract_onnx::prelude::*;

const RTOL: f64 = 1e-3;
const ATOL: f64 = 1e-5;
/// Rows that are asked alone, too.
const SINGLE_ROWS: usize = 12;

#[derive(Debug)]
enum Values {
    Numbers(Vec<f64>),
    Strings(Vec<String>),
}

struct Named {
    name: String,
    kind: String,
    shape: Vec<usize>,
    values: Values,
}

fn number(value: &Value) -> f64 {
    match value.as_str() {
        Some("inf") => f64::INFINITY,
        Some("-inf") => f64::NEG_INFINITY,
        _ => value.as_f64().unwrap_or(f64::NAN),
    }
}

fn named(value: &Value) -> Named {
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let list = value["values"].as_array().map(Vec::as_slice).unwrap_or_default();
    let values = if text("kind") == "string" {
        Values::Strings(list.iter().map(|v| v.as_str().unwrap_or_default().to_owned()).collect())
    } else {
        Values::Numbers(list.iter().map(number).collect())
    };
    let shape = value["shape"].as_array().map(Vec::as_slice).unwrap_or_default();
    let shape = shape.iter().map(|d| usize::try_from(d.as_u64().unwrap_or(0)).unwrap_or(0)).collect();
    Named { name: text("name"), kind: text("kind"), shape, values }
}

impl Named {
    fn datum_type(&self) -> DatumType {
        match self.kind.as_str() {
            "f32" => f32::datum_type(),
            "f64" => f64::datum_type(),
            "bool" => bool::datum_type(),
            "i32" => i32::datum_type(),
            "string" => String::datum_type(),
            _ => i64::datum_type(),
        }
    }

    /// Rows from `first` on as a tensor.
    fn tensor(&self, first: usize, rows: usize) -> TractResult<Tensor> {
        let width: usize = self.shape[1..].iter().product();
        let range = first * width..(first + rows) * width;
        let mut shape = self.shape.clone();
        shape[0] = rows;
        Ok(match &self.values {
            Values::Numbers(v) => {
                let tensor = Tensor::from_shape(&shape, &v[range])?;
                tensor.cast_to_dt(self.datum_type())?.into_owned()
            }
            Values::Strings(v) => tract_ndarray::Array::from_shape_vec(shape, v[range].to_vec())?.into(),
        })
    }
}

/// Loads a model for a number of rows; none: for any.
fn load(model: &[u8], inputs: &[Named], rows: Option<usize>) -> TractResult<Arc<TypedRunnableModel>> {
    let onnx = registry::onnx();
    let proto = onnx.proto_model_for_read(&mut &*model)?;
    let mut graph = onnx.parse(&proto, None)?.model;
    let count = rows.map_or_else(|| graph.symbols.sym("N").into(), TDim::from);
    for (i, input) in inputs.iter().enumerate() {
        let mut shape: TVec<TDim> = input.shape.iter().map(|d| TDim::from(*d)).collect();
        shape[0] = count.clone();
        graph = graph.with_input_fact(i, input.datum_type().fact(&*shape).into())?;
    }
    graph.into_optimized()?.into_runnable()
}

/// Returns how far an answer is off, in units of what is allowed, or why it cannot be compared.
fn compare(found: &Tensor, expected: &Named, first: usize, rows: usize, all_rows: usize) -> Result<f64, String> {
    // What an answer has for each row; what has no rows is compared as a whole.
    let by_rows = expected.shape.first() == Some(&all_rows);
    let width: usize = if by_rows { expected.shape[1..].iter().product() } else { 1 };
    let range = if by_rows { first * width..(first + rows) * width } else { 0..expected.shape.iter().product() };
    let mut shape = expected.shape.clone();
    if by_rows {
        shape[0] = rows;
    }
    if found.shape() != shape && !(found.len() == range.len() && shape.iter().product::<usize>() == found.len()) {
        return Err(format!("{}: shape {:?}, not {shape:?}", expected.name, found.shape()));
    }
    match &expected.values {
        Values::Strings(wanted) => {
            let view = found.to_plain_array_view::<String>().map_err(|e| e.to_string())?;
            let wrong = view.iter().zip(&wanted[range]).filter(|(f, w)| f != w).count();
            if wrong == 0 { Ok(0.0) } else { Err(format!("{}: {wrong} strings differ", expected.name)) }
        }
        Values::Numbers(wanted) => {
            let found = found.cast_to::<f64>().map_err(|e| e.to_string())?;
            let view = found.to_plain_array_view::<f64>().map_err(|e| e.to_string())?;
            let exact = matches!(expected.kind.as_str(), "i64" | "i32" | "bool");
            let highest = wanted.iter().filter(|w| w.is_finite()).fold(0.0f64, |m, w| m.max(w.abs()));
            let mut worst = 0.0f64;
            for (i, (f, w)) in view.iter().zip(&wanted[range]).enumerate() {
                if f == w || (f.is_nan() && w.is_nan()) {
                    continue;
                }
                let allowed = ATOL * highest + RTOL * w.abs();
                let off = (f - w).abs() / allowed;
                if exact || off > 1.0 || off.is_nan() {
                    return Err(format!("{}: {f} at {}, not {w}", expected.name, first * width + i));
                }
                worst = worst.max(off);
            }
            Ok(worst)
        }
    }
}

fn ask(plan: &Arc<TypedRunnableModel>, inputs: &[Named], first: usize, rows: usize) -> TractResult<TVec<TValue>> {
    let tensors = inputs.iter().map(|i| Ok(i.tensor(first, rows)?.into_tvalue()));
    plan.run(tensors.collect::<TractResult<TVec<_>>>()?)
}

fn run_plan(
    plan: TractResult<Arc<TypedRunnableModel>>,
    inputs: &[Named],
    outputs: &[Named],
    blocks: &[(usize, usize)],
) -> Result<f64, String> {
    let plan = plan.map_err(|e| format!("{e:#}"))?;
    let mut worst = 0.0f64;
    for (first, rows) in blocks {
        let found = ask(&plan, inputs, *first, *rows).map_err(|e| format!("{e:#}"))?;
        for (found, expected) in found.iter().zip(outputs) {
            worst = worst.max(compare(found, expected, *first, *rows, inputs[0].shape[0])?);
        }
    }
    Ok(worst)
}

/// What a case came to: how far off, and what went wrong for all rows or for single ones.
fn judge(folder: &Path, name: &str) -> Result<f64, String> {
    let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).map_err(|e| e.to_string())?;
    let case: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let list = |key: &str| case[key].as_array().map(Vec::as_slice).unwrap_or_default().iter().map(named).collect();
    let (inputs, outputs): (Vec<Named>, Vec<Named>) = (list("inputs"), list("outputs"));
    let model = std::fs::read(folder.join(format!("{name}.onnx"))).map_err(|e| e.to_string())?;
    let rows = inputs[0].shape[0];
    let together = run_plan(load(&model, &inputs, None), &inputs, &outputs, &[(0, rows)]);
    let together = together.map_err(|e| format!("all rows: {e}"))?;
    if case["rows_alone"] == Value::Bool(false) {
        return Ok(together);
    }
    let alone: Vec<(usize, usize)> = (0..rows.min(SINGLE_ROWS)).map(|i| (i, 1)).collect();
    let alone = run_plan(load(&model, &inputs, Some(1)), &inputs, &outputs, &alone);
    Ok(together.max(alone.map_err(|e| format!("single rows: {e}"))?))
}

fn known(path: &str) -> std::io::Result<BTreeMap<String, String>> {
    let lines = std::fs::read_to_string(path)?;
    let lines = lines.lines().filter(|l| !l.starts_with('#'));
    Ok(lines.filter_map(|l| l.split_once(": ").map(|(n, r)| (n.to_owned(), r.to_owned()))).collect())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, known_path, rest @ ..] = arguments.as_slice() else {
        eprintln!("usage: operators_agree CASES_DIR KNOWN_DIFFERENCES [--quiet]");
        return ExitCode::from(2);
    };
    let quiet = rest.iter().any(|a| a == "--quiet");
    let folder = Path::new(folder);
    let mut known = known(known_path).expect("the list of known differences can be read");
    let entries = std::fs::read_dir(folder).expect("the folder of cases can be read");
    let mut names: Vec<String> = entries
        .filter_map(|e| Some(e.ok()?.path().with_extension("").file_name()?.to_str()?.to_owned()))
        .filter(|name| folder.join(format!("{name}.onnx")).exists())
        .collect();
    names.sort();
    names.dedup();
    let (mut agreed, mut listed, mut wrong) = (0, 0, 0);
    for name in &names {
        let judged = std::panic::catch_unwind(|| judge(folder, name)).unwrap_or_else(|_| Err("panicked".to_owned()));
        match (judged, known.remove(name)) {
            (Ok(worst), None) => {
                agreed += 1;
                if !quiet {
                    println!("{name:<40} agrees, {:.1} % of what is allowed", worst * 100.0);
                }
            }
            (Err(why), Some(reason)) => {
                listed += 1;
                if !quiet {
                    println!("{name:<40} differs as listed ({reason}): {why}");
                }
            }
            (Ok(_), Some(reason)) => {
                wrong += 1;
                println!("{name:<40} AGREES, take it from the list ({reason})");
            }
            (Err(why), None) => {
                wrong += 1;
                println!("{name:<40} DIFFERS: {}", why.chars().take(600).collect::<String>());
            }
        }
    }
    for (name, reason) in &known {
        wrong += 1;
        println!("{name:<40} is listed ({reason}) and was not asked");
    }
    println!("{agreed} models agree, {listed} differ as listed, {wrong} are wrong");
    ExitCode::from(u8::from(wrong > 0 || names.is_empty()))
}
