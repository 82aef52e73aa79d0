//! Runs ONNX test cases as the agent's engines do: `onnx_worker tract`, or `onnx_worker ort LIBRARY`.
//!
//! Reads one folder a line from standard input, each with `model.onnx` and `test_data_set_*/{input,output}_N.pb`, and
//! answers each with one line: `pass`, or `fail` and why. Who asks sets the time limit and counts a death as a failure.

use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pinnace_agent::engine::conformance::{AnyTensor, run_ort, run_tract};
use pinnace_agent::engine::limits::MODEL_MAX_BYTES;

/// Relative tolerance, of each value.
const RTOL: f64 = 1e-3;
/// Absolute tolerance, in units of the largest magnitude expected.
const ATOL: f64 = 1e-5;
/// Tensors of one direction in one data set.
const TENSORS_MAX: usize = 64;
/// Data sets of one case.
const SETS_MAX: usize = 16;

/// Runs a model with an engine.
type Run = dyn Fn(&[u8], &[AnyTensor]) -> Result<Vec<AnyTensor>, String>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let run: Box<Run> = match words.as_slice() {
        [engine] if engine == "tract" => Box::new(|model, inputs| run_tract(model, inputs).map_err(|e| e.to_string())),
        [engine, library] if engine == "ort" => {
            let library = PathBuf::from(library);
            Box::new(move |model, inputs| run_ort(&library, model, inputs).map_err(|e| e.to_string()))
        }
        _ => {
            eprintln!("usage: onnx_worker tract | onnx_worker ort LIBRARY");
            return ExitCode::FAILURE;
        }
    };
    // Panics inside an engine are answers here, not noise.
    std::panic::set_hook(Box::new(|_| ()));
    for folder in std::io::stdin().lock().lines() {
        let Ok(folder) = folder else { return ExitCode::FAILURE };
        let answer = match case(Path::new(&folder), &*run) {
            Ok(()) => "pass".to_owned(),
            Err(why) => format!("fail\t{}", why.split_whitespace().collect::<Vec<_>>().join(" ")),
        };
        let mut out = std::io::stdout().lock();
        if writeln!(out, "{answer}").and_then(|()| out.flush()).is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Runs one case: every data set.
fn case(folder: &Path, run: &Run) -> Result<(), String> {
    let model = read(&folder.join("model.onnx"))?;
    let sets = (0..SETS_MAX).map(|i| folder.join(format!("test_data_set_{i}"))).take_while(|set| set.is_dir());
    let mut asked = 0;
    for set in sets {
        let inputs = tensors(&set, "input")?;
        let expected = tensors(&set, "output")?;
        let found = run(&model, &inputs)?;
        if found.len() != expected.len() {
            return Err(format!("{} outputs, expected {}", found.len(), expected.len()));
        }
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            if let Some(why) = expected.difference(found, RTOL, ATOL) {
                return Err(format!("output {index}: {why}"));
            }
        }
        asked += 1;
    }
    if asked == 0 { Err("no data set".into()) } else { Ok(()) }
}

fn tensors(set: &Path, kind: &str) -> Result<Vec<AnyTensor>, String> {
    let paths = (0..TENSORS_MAX).map(|i| set.join(format!("{kind}_{i}.pb"))).take_while(|path| path.is_file());
    paths.map(|path| AnyTensor::from_proto(&read(&path)?).map_err(|e| e.to_string())).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let length = std::fs::metadata(path).map_err(|e| format!("{}: {e}", path.display()))?.len();
    if length > MODEL_MAX_BYTES as u64 {
        return Err(format!("{} has {length} bytes", path.display()));
    }
    std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))
}
