//! The built-in engine: tract, pure Rust, always there; with our operators for the models of scikit-learn, LightGBM and
//! XGBoost.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use pinnace_operators::registry;
use pinnace_protocol::manifest::{Signature, Task};
use tract_onnx::pb;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::dims;
use tract_onnx::tract_core::model::TypedSimpleState;

use super::error::{EngineError, panic_text, reason};
use super::matrix::{Answers, Matrix};
use super::{Model, limits};

/// How this engine is named in reports.
pub(super) const LABEL: &str = "tract 0.23";
const ENGINE: &str = "tract";

/// A loaded model: one plan for a single row, one for any number of rows.
struct TractModel {
    single: Arc<TypedRunnableModel>,
    batch: Option<Arc<TypedRunnableModel>>,
    single_state: TypedSimpleState,
    batch_state: Option<TypedSimpleState>,
    features: usize,
    classify: bool,
}

/// Loads a model; panics inside tract become errors.
pub(super) fn load(model: &[u8], signature: &Signature) -> Result<Box<dyn Model>, EngineError> {
    let loaded = catch_unwind(AssertUnwindSafe(|| load_inner(model, signature)));
    loaded.unwrap_or_else(|p| Err(EngineError::Panicked { engine: ENGINE.into(), why: panic_text(&*p) }))
}

/// Returns the reader of ONNX files with every operator that this engine knows.
pub(super) fn onnx() -> tract_onnx::Onnx {
    registry::onnx()
}

/// Reads a whole model and refuses it when its graph names operators that are not known here.
pub(super) fn parse(model: &[u8]) -> Result<pb::ModelProto, EngineError> {
    let onnx = onnx();
    let proto = onnx.proto_model_for_read(&mut &*model).map_err(|e| malformed(&e))?;
    let unknown = proto.graph.as_ref().map(|g| unknown_operators(g, |op| onnx.op_register.0.contains_key(op)));
    match unknown {
        Some(operators) if !operators.is_empty() => {
            Err(EngineError::UnknownOperators { engine: ENGINE.into(), operators })
        }
        _ => Ok(proto),
    }
}

fn malformed(error: &TractError) -> EngineError {
    EngineError::Malformed { engine: ENGINE.into(), why: reason(&format!("{error:#}")) }
}

/// What a look at a model found; nothing that could be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inspected {
    /// Operators that the wanted output needs.
    pub operators: usize,
}

/// Reads a model as far as loading does before it plans anything: container, graph, operators, inputs and outputs.
///
/// # Errors
/// [`EngineError`] when the built-in engine could not load it; a panic on the way is an error too.
pub fn inspect(model: &[u8], signature: &Signature) -> Result<Inspected, EngineError> {
    let look = || Ok(Inspected { operators: read(&onnx(), model, signature)?.1 });
    catch_unwind(AssertUnwindSafe(look))
        .unwrap_or_else(|p| Err(EngineError::Panicked { engine: ENGINE.into(), why: panic_text(&*p) }))
}

/// Returns the model cut down to the wanted output, and how many operators that needs.
fn read(onnx: &tract_onnx::Onnx, model: &[u8], signature: &Signature) -> Result<(pb::ModelProto, usize), EngineError> {
    let mut proto = onnx.proto_model_for_read(&mut &*model).map_err(|e| malformed(&e))?;
    let graph = proto
        .graph
        .as_mut()
        .ok_or_else(|| EngineError::Malformed { engine: ENGINE.into(), why: "it holds no graph".into() })?;
    keep_only(graph, &signature.output)?;
    let unknown = unknown_operators(graph, |op| onnx.op_register.0.contains_key(op));
    if !unknown.is_empty() {
        return Err(EngineError::UnknownOperators { engine: ENGINE.into(), operators: unknown });
    }
    check_input(graph, signature)?;
    let operators = graph.node.len();
    Ok((proto, operators))
}

fn load_inner(model: &[u8], signature: &Signature) -> Result<Box<dyn Model>, EngineError> {
    let onnx = onnx();
    let (proto, _) = read(&onnx, model, signature)?;
    let features = signature.features.len();
    // Without a path, tract refuses tensors that live in other files: a model must not name paths of the device.
    // Parsed once: both plans share the operators, and with them a forest.
    let parsed = onnx.parse(&proto, None).map_err(|e| malformed(&e))?.model;
    let plan = |batch: bool| -> TractResult<Arc<TypedRunnableModel>> {
        let graph = parsed.clone();
        let rows = if batch { TDim::from(graph.symbols.sym("N")) } else { TDim::from(1) };
        let fact = f32::fact(dims!(rows, features));
        graph.with_input_fact(0, fact.into())?.into_optimized()?.into_runnable()
    };
    let single = plan(false).map_err(|e| malformed(&e))?;
    // A graph that fixes its rows to one has no plan for many: its rows are then asked one by one.
    let batch = if model.len() <= limits::BATCH_PLAN_MAX_BYTES { plan(true).ok() } else { None };
    Ok(Box::new(TractModel::new(single, batch, features, signature.task == Task::Classification)?))
}

/// Cuts the graph down to what the wanted output needs: labels and maps beside it need no operators.
fn keep_only(graph: &mut pb::GraphProto, output: &str) -> Result<(), EngineError> {
    if !graph.output.iter().any(|o| o.name == output) {
        let names: Vec<_> = graph.output.iter().take(limits::NAMED_OPERATORS_MAX).map(|o| o.name.as_str()).collect();
        let why = format!("there is no output `{output}`, only {}", reason(&names.join(", ")));
        return Err(EngineError::Signature { why });
    }
    graph.output.retain(|o| o.name == output);
    let makers: HashMap<&str, usize> =
        graph.node.iter().enumerate().flat_map(|(i, n)| n.output.iter().map(move |o| (o.as_str(), i))).collect();
    let mut wanted = HashSet::new();
    let mut open = vec![output];
    while let Some(name) = open.pop() {
        if let Some(&maker) = makers.get(name)
            && wanted.insert(maker)
        {
            let node = &graph.node[maker];
            // Bodies of loops and branches read names of the graph around them: keep everything then.
            if node.attribute.iter().any(|a| a.g.is_some() || !a.graphs.is_empty()) {
                return Ok(());
            }
            open.extend(node.input.iter().map(String::as_str));
        }
    }
    let mut index = 0;
    graph.node.retain(|_| {
        index += 1;
        wanted.contains(&(index - 1))
    });
    Ok(())
}

fn unknown_operators(graph: &pb::GraphProto, known: impl Fn(&str) -> bool) -> Vec<String> {
    let mut unknown: Vec<String> = Vec::new();
    for node in &graph.node {
        let name = reason(&node.op_type);
        if !known(&node.op_type) && !unknown.contains(&name) && unknown.len() < limits::NAMED_OPERATORS_MAX {
            unknown.push(name);
        }
    }
    unknown
}

fn check_input(graph: &pb::GraphProto, signature: &Signature) -> Result<(), EngineError> {
    let constants: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let inputs: Vec<&str> = graph.input.iter().map(|i| i.name.as_str()).filter(|n| !constants.contains(n)).collect();
    if inputs != [signature.input.as_str()] {
        let why =
            format!("the manifest names the input `{}`, the model has {}", signature.input, reason(&inputs.join(", ")));
        return Err(EngineError::Signature { why });
    }
    Ok(())
}

impl TractModel {
    fn new(
        single: Arc<TypedRunnableModel>,
        batch: Option<Arc<TypedRunnableModel>>,
        features: usize,
        classify: bool,
    ) -> Result<Self, EngineError> {
        let single_state = single.spawn().map_err(|e| malformed(&e))?;
        let batch_state = batch.as_ref().map(|p| p.spawn()).transpose().map_err(|e| malformed(&e))?;
        Ok(Self { single, batch, single_state, batch_state, features, classify })
    }

    fn run_inner(&mut self, rows: &Matrix) -> TractResult<Vec<f32>> {
        match &mut self.batch_state {
            Some(state) if rows.rows() > 1 => run_state(state, rows.rows(), self.features, rows.values()),
            _ => {
                let mut out = Vec::new();
                for row in 0..rows.rows() {
                    out.extend(run_state(&mut self.single_state, 1, self.features, rows.row(row))?);
                }
                Ok(out)
            }
        }
    }
}

fn run_state(state: &mut TypedSimpleState, rows: usize, features: usize, values: &[f32]) -> TractResult<Vec<f32>> {
    let input = Tensor::from_shape(&[rows, features], values)?;
    let outputs = state.run(tvec!(input.into_tvalue()))?;
    let output = outputs.first().ok_or_else(|| TractError::msg("no output"))?;
    let found = output.to_plain_array_view::<f32>()?;
    if found.shape().first() != Some(&rows) || found.ndim() > 2 {
        return Err(TractError::msg(format!("the output has shape {:?} for {rows} rows", found.shape())));
    }
    Ok(found.iter().copied().collect())
}

impl Model for TractModel {
    fn run(&mut self, rows: &Matrix) -> Result<Answers, EngineError> {
        if rows.columns() != self.features || rows.rows() == 0 {
            return Err(EngineError::Input { found: rows.values().len(), expected: self.features });
        }
        let values = catch_unwind(AssertUnwindSafe(|| self.run_inner(rows)))
            .map_err(|p| EngineError::Panicked { engine: ENGINE.into(), why: panic_text(&*p) })?
            .map_err(|e| EngineError::Run { engine: ENGINE.into(), why: reason(&format!("{e:#}")) })?;
        let columns = values.len() / rows.rows();
        Ok(Answers::new(Matrix::new(columns, values)?, self.classify))
    }

    fn share(&self) -> Result<Box<dyn Model>, EngineError> {
        Ok(Box::new(Self::new(Arc::clone(&self.single), self.batch.clone(), self.features, self.classify)?))
    }
}
