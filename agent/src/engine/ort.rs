//! ONNX Runtime, when its library is on the device.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ort::environment::Environment;
use ort::ep::{self, ExecutionProvider as _, ExecutionProviderDispatch};
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session};
use ort::value::TensorRef;
use pinnace_firmware_targets::Provider;
use pinnace_protocol::manifest::{Signature, Task};

use super::Model;
use super::error::{EngineError, panic_text, reason};
use super::matrix::{Answers, Matrix};

const ENGINE: &str = "ort";

/// The library can be opened once per process; who comes later gets the same answer.
static ENVIRONMENT: OnceLock<Result<Environment, String>> = OnceLock::new();

/// A session with the options of its runs: only the wanted output is asked for.
type Shared = Mutex<(Session, RunOptions<HasSelectedOutputs>)>;

/// A loaded model. All handles share one session: ONNX Runtime spreads one inference over threads by itself.
struct OrtModel {
    shared: Arc<Shared>,
    input: String,
    output: String,
    features: usize,
    classify: bool,
}

/// Opens the library and returns its version; only a probe process may call it with an untried file.
///
/// The version is the one in the file's name, links resolved (`libonnxruntime.so.1.32.0`); empty when it has none:
/// the library itself only tells of its build.
pub(super) fn open(library: &Path) -> Result<String, EngineError> {
    environment(library)?;
    let file = library.canonicalize().unwrap_or_else(|_| library.to_path_buf());
    let name = file.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    Ok(name.split_once(".so.").map_or_else(String::new, |(_, version)| reason(version)))
}

fn environment(library: &Path) -> Result<&'static Environment, EngineError> {
    let opened = ENVIRONMENT.get_or_init(|| {
        let open = || -> Result<Environment, String> {
            let builder = ort::init_from(library).map_err(|e| e.to_string())?;
            builder.with_name("pinnace").with_telemetry(false).build().map_err(|e| e.to_string())
        };
        catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|p| Err(panic_text(&*p)))
    });
    opened.as_ref().map_err(|why| EngineError::Library { why: reason(&format!("{}: {why}", library.display())) })
}

/// Loads a model with the library.
pub(super) fn load(
    library: &Path,
    model: &[u8],
    signature: &Signature,
    threads: usize,
    providers: &[Provider],
) -> Result<Box<dyn Model>, EngineError> {
    let session = open_session(library, model, threads, providers)?;
    if !session.inputs().iter().map(|i| i.name()).eq([signature.input.as_str()]) {
        let names: Vec<_> = session.inputs().iter().map(|i| i.name().to_owned()).collect();
        let why =
            format!("the manifest names the input `{}`, the model has {}", signature.input, reason(&names.join(", ")));
        return Err(EngineError::Signature { why });
    }
    if !session.outputs().iter().any(|o| o.name() == signature.output) {
        let names: Vec<_> = session.outputs().iter().map(|o| o.name().to_owned()).collect();
        let why = format!("there is no output `{}`, only {}", signature.output, reason(&names.join(", ")));
        return Err(EngineError::Signature { why });
    }
    // Only the wanted output: labels and maps beside it cost time and are not used.
    let options = RunOptions::new()
        .map_err(|e| EngineError::Malformed { engine: ENGINE.into(), why: reason(&e.to_string()) })?
        .with_outputs(OutputSelector::no_default().with(signature.output.as_str()));
    Ok(Box::new(OrtModel {
        shared: Arc::new(Mutex::new((session, options))),
        input: signature.input.clone(),
        output: signature.output.clone(),
        features: signature.features.len(),
        classify: signature.task == Task::Classification,
    }))
}

/// Returns a session of the model with its operators resolved; a panic of the binding is an error.
pub(super) fn open_session(
    library: &Path,
    model: &[u8],
    threads: usize,
    providers: &[Provider],
) -> Result<Session, EngineError> {
    let environment = environment(library)?;
    let opened = catch_unwind(AssertUnwindSafe(|| session(environment, model, threads, providers)));
    opened
        .map_err(|p| EngineError::Panicked { engine: ENGINE.into(), why: panic_text(&*p) })?
        .map_err(|why| classify_failure(&why))
}

/// Returns whether the opened library was built with a provider; the CPU is always there.
pub(super) fn has(provider: Provider) -> bool {
    match provider {
        Provider::Cpu => true,
        Provider::Xnnpack => ep::XNNPACK::is_available().unwrap_or(false),
        Provider::OpenVino => ep::OpenVINO::is_available().unwrap_or(false),
        Provider::Cuda => ep::CUDA::is_available().unwrap_or(false),
    }
}

fn dispatch(provider: Provider) -> ExecutionProviderDispatch {
    match provider {
        Provider::Cpu => ep::CPU::default().build(),
        Provider::Xnnpack => ep::XNNPACK::default().build(),
        Provider::OpenVino => ep::OpenVINO::default().build(),
        Provider::Cuda => ep::CUDA::default().build(),
    }
}

fn session(environment: &Environment, model: &[u8], threads: usize, providers: &[Provider]) -> Result<Session, String> {
    let builder = Session::builder(environment).map_err(|e| e.to_string())?;
    let builder = builder.with_optimization_level(GraphOptimizationLevel::All).map_err(|e| e.to_string())?;
    let builder = builder.with_intra_threads(threads.max(1)).map_err(|e| e.to_string())?;
    // One that does not start (no such device) leaves its nodes to the next, at last to the CPU.
    let wanted: Vec<_> = providers.iter().map(|p| dispatch(*p).fail_silently()).collect();
    let builder = builder.with_execution_providers(wanted).map_err(|e| e.to_string())?;
    // Spinning threads would burn a small device's CPU between requests.
    let mut builder = builder.with_intra_op_spinning(false).map_err(|e| e.to_string())?;
    builder.commit_from_memory(model).map_err(|e| e.to_string())
}

/// Turns ONNX Runtime's words for an unknown operator into the typed error.
fn classify_failure(why: &str) -> EngineError {
    let named = ["is not a registered function/op", "Could not find an implementation for "];
    if named.iter().any(|text| why.contains(text)) {
        let name = why
            .split_once("Could not find an implementation for ")
            .map(|(_, rest)| rest)
            .or_else(|| why.rsplit_once(": ").map(|(_, rest)| rest))
            .and_then(|rest| rest.split(['(', ' ']).next())
            .unwrap_or(why);
        return EngineError::UnknownOperators { engine: ENGINE.into(), operators: vec![reason(name)] };
    }
    EngineError::Malformed { engine: ENGINE.into(), why: reason(why) }
}

impl OrtModel {
    fn run_inner(&self, rows: &Matrix) -> Result<Vec<f32>, String> {
        let input =
            TensorRef::from_array_view(([rows.rows(), self.features], rows.values())).map_err(|e| e.to_string())?;
        // A poisoned lock only means that another thread panicked beside the session, which is C++ and unharmed.
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let (session, options) = &mut *shared;
        let outputs = session
            .run_with_options(ort::inputs![self.input.as_str() => input], &*options)
            .map_err(|e| e.to_string())?;
        let output = outputs.get(&self.output).ok_or("no output")?;
        let (shape, values) = output.try_extract_tensor::<f32>().map_err(|e| e.to_string())?;
        if shape.first().copied() != i64::try_from(rows.rows()).ok() || shape.len() > 2 {
            return Err(format!("the output has shape {shape:?} for {} rows", rows.rows()));
        }
        Ok(values.to_vec())
    }
}

impl Model for OrtModel {
    fn run(&mut self, rows: &Matrix) -> Result<Answers, EngineError> {
        if rows.columns() != self.features || rows.rows() == 0 {
            return Err(EngineError::Input { found: rows.values().len(), expected: self.features });
        }
        let values = catch_unwind(AssertUnwindSafe(|| self.run_inner(rows)))
            .map_err(|p| EngineError::Panicked { engine: ENGINE.into(), why: panic_text(&*p) })?
            .map_err(|why| EngineError::Run { engine: ENGINE.into(), why: reason(&why) })?;
        let columns = values.len() / rows.rows();
        Ok(Answers::new(Matrix::new(columns, values)?, self.classify))
    }

    fn share(&self) -> Result<Box<dyn Model>, EngineError> {
        Ok(Box::new(Self {
            shared: Arc::clone(&self.shared),
            input: self.input.clone(),
            output: self.output.clone(),
            features: self.features,
            classify: self.classify,
        }))
    }
}
