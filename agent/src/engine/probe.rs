//! Tries libraries and models in a child process first, so that none of them can take the agent down.
//!
//! The child is this program again with [`PROBE_ARGUMENT`]. It reads a 4-byte length (little-endian), that many bytes
//! of JSON ([`Request`]), then the model up to the end; it answers with one JSON document ([`Reply`]).

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use pinnace_firmware_targets::{EngineName, Provider};
use pinnace_protocol::manifest::{Golden, Signature, Task};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::error::{EngineError, reason};
use super::measure::{self, Times};
use super::{Model, golden, limits, tract};

/// The hidden first argument that makes the program a probe.
pub const PROBE_ARGUMENT: &str = "__probe-model";

/// Where models and libraries are tried first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbePolicy {
    /// In a child process: this program, whose `main` calls [`probe_main`] first.
    Child(PathBuf),
    /// In this process: for programs whose `main` does not call [`probe_main`], such as a library's tests.
    InProcess,
}

impl ProbePolicy {
    /// Returns a child process of this very program.
    ///
    /// # Errors
    /// [`EngineError::Probe`] when the system does not say where the program lies.
    pub fn this_program() -> Result<Self, EngineError> {
        let exe = std::env::current_exe().map_err(|e| EngineError::Probe { why: e.to_string() })?;
        Ok(Self::Child(exe))
    }
}

/// What a child is asked to try.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) engine: EngineName,
    /// ONNX Runtime's library.
    pub(super) library: Option<PathBuf>,
    /// Address space allowed, MiB.
    pub(super) memory_mib: u64,
    pub(super) threads: usize,
    /// What ONNX Runtime computes with, best first.
    pub(super) providers: Vec<Provider>,
    pub(super) job: Job,
}

/// The two things that are tried.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Job {
    /// Open the library.
    Library,
    /// Load the model and ask the golden vectors.
    Model { signature: Signature, golden: Golden },
}

/// What the child found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Report {
    /// Version of the library; empty for tract.
    pub(super) version: String,
    /// The providers asked for that the library has.
    pub(super) providers: Vec<Provider>,
    /// Times of one row; 0 when no model was tried.
    pub(super) times: Times,
    /// Memory that the loaded model took, KiB.
    pub(super) memory_kib: u64,
    /// The most that loading and asking it took, KiB.
    pub(super) peak_kib: u64,
}

type Reply = Result<Report, EngineError>;

/// Acts as the probe when the program was started as one, and returns whether it was.
///
/// Programs that load models call it first in `main` and return at once when it answers `true`.
pub fn probe_main() -> bool {
    if std::env::args_os().nth(1).is_none_or(|a| a != PROBE_ARGUMENT) {
        return false;
    }
    let reply = serve(&mut std::io::stdin().lock());
    // The parent reads the error from the reply; when even that cannot be written it sees an empty one.
    if let Ok(json) = serde_json::to_vec(&reply) {
        let mut out = std::io::stdout().lock();
        if out.write_all(&json).and_then(|()| out.flush()).is_err() {
            std::process::exit(1);
        }
    }
    // Skips destructors of libraries that may hang.
    std::process::exit(0)
}

fn serve(input: &mut impl Read) -> Reply {
    let io = |e: std::io::Error| EngineError::Probe { why: e.to_string() };
    let mut length = [0; 4];
    input.read_exact(&mut length).map_err(io)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > limits::PROBE_HEADER_MAX_BYTES {
        return Err(EngineError::Probe { why: format!("a header of {length} bytes") });
    }
    let mut header = vec![0; length];
    input.read_exact(&mut header).map_err(io)?;
    let request: Request = serde_json::from_slice(&header).map_err(|e| EngineError::Probe { why: e.to_string() })?;
    let bytes = request.memory_mib.saturating_mul(1024 * 1024);
    let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
    setrlimit(Resource::As, limit).map_err(|e| EngineError::Probe { why: e.to_string() })?;
    let mut model = Vec::new();
    input.take(limits::MODEL_MAX_BYTES as u64).read_to_end(&mut model).map_err(io)?;
    try_here(&request, &model)
}

/// Does what a request asks in this process.
fn try_here(request: &Request, model: &[u8]) -> Reply {
    let version = match (request.engine, &request.library) {
        (EngineName::Tract, _) => String::new(),
        #[cfg(feature = "ort")]
        (EngineName::Ort, Some(library)) => super::ort::open(library)?,
        (EngineName::Ort, _) => {
            return Err(EngineError::Library { why: "no library, or this program was built without it".into() });
        }
    };
    match &request.job {
        Job::Library => Ok(Report { version, providers: available(request), ..Report::default() }),
        Job::Model { signature, golden } => {
            // The library and the model's bytes are in memory by now: what comes is the model's.
            let before = measure::resident();
            let mut loaded = load(request, model, signature)?;
            let classify = signature.task == Task::Classification;
            golden::ask(request.engine.as_str(), &mut *loaded, golden, signature.features.len(), classify)?;
            let times = measure::times(&mut *loaded, golden, signature.features.len())?;
            let after = measure::resident();
            Ok(Report {
                version,
                providers: Vec::new(),
                times,
                memory_kib: after.own_kib.saturating_sub(before.own_kib),
                peak_kib: after.peak_kib.saturating_sub(before.now_kib),
            })
        }
    }
}

fn load(request: &Request, model: &[u8], signature: &Signature) -> Result<Box<dyn Model>, EngineError> {
    match (request.engine, &request.library) {
        (EngineName::Tract, _) => tract::load(model, signature),
        #[cfg(feature = "ort")]
        (EngineName::Ort, Some(library)) => {
            super::ort::load(library, model, signature, request.threads, &request.providers)
        }
        (EngineName::Ort, _) => Err(EngineError::Library { why: "no library".into() }),
    }
}

/// Returns those of the request's providers that the opened library has.
#[cfg(feature = "ort")]
fn available(request: &Request) -> Vec<Provider> {
    request.providers.iter().copied().filter(|p| super::ort::has(*p)).collect()
}

/// Returns none: this program was built without ONNX Runtime.
#[cfg(not(feature = "ort"))]
fn available(_: &Request) -> Vec<Provider> {
    Vec::new()
}

/// Tries a request where the policy says and returns what was found.
///
/// # Errors
/// What the engine said; or [`EngineError::Crashed`] and [`EngineError::TimedOut`] when the child died or had to be
/// ended; or [`EngineError::Probe`] when it could not be started.
pub(super) fn run(policy: &ProbePolicy, request: &Request, model: &[u8], limit: Duration) -> Reply {
    match policy {
        ProbePolicy::InProcess => try_here(request, model),
        ProbePolicy::Child(program) => in_child(program, request, model, limit),
    }
}

fn in_child(program: &std::path::Path, request: &Request, model: &[u8], limit: Duration) -> Reply {
    let failed = |why: String| EngineError::Probe { why: reason(&why) };
    let engine = request.engine.as_str();
    let header = serde_json::to_vec(request).map_err(|e| failed(e.to_string()))?;
    let length = u32::try_from(header.len()).map_err(|e| failed(e.to_string()))?;
    let mut child = Command::new(program)
        .arg(PROBE_ARGUMENT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| failed(format!("{}: {e}", program.display())))?;
    let (mut stdin, stdout) = match (child.stdin.take(), child.stdout.take()) {
        (Some(stdin), Some(stdout)) => (stdin, stdout),
        _ => return Err(failed("the child has no pipes".into())),
    };
    let (done, reply) = mpsc::channel();
    let status = thread::scope(|scope| {
        scope.spawn(move || {
            // A child that dies early closes the pipe; what it says or how it ended tells more than this error.
            let sent = stdin.write_all(&length.to_le_bytes()).and_then(|()| stdin.write_all(&header));
            sent.and_then(|()| stdin.write_all(model)).is_ok()
        });
        scope.spawn(move || {
            let mut text = Vec::new();
            let read = stdout.take(limits::PROBE_REPLY_MAX_BYTES).read_to_end(&mut text);
            // The receiver waits below unless it gave up; then nobody needs the text.
            let _ = done.send(read.map(|_| text));
        });
        let text = reply.recv_timeout(limit);
        // Ends the child in every case: its pipes close and both threads finish.
        let status = end(&mut child, text.is_ok());
        (text, status)
    });
    match status {
        (Err(_), _) => Err(EngineError::TimedOut { engine: engine.into(), seconds: limit.as_secs() }),
        (Ok(Err(e)), _) => Err(failed(e.to_string())),
        (Ok(Ok(text)), status) => match serde_json::from_slice::<Reply>(&text) {
            Ok(reply) => reply,
            Err(_) => Err(EngineError::Crashed { engine: engine.into(), how: how_it_ended(&status) }),
        },
    }
}

/// Waits for a child that closed its output; kills it first when it did not.
fn end(child: &mut Child, closed: bool) -> Option<ExitStatus> {
    if !closed {
        // Fails only when the child has already ended.
        let _ = child.kill();
    }
    child.wait().ok()
}

fn how_it_ended(status: &Option<ExitStatus>) -> String {
    status.map_or_else(|| "unknown".into(), |s| s.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Instant;

    fn library_request() -> Request {
        let engine = EngineName::Ort;
        Request {
            engine,
            library: Some("/x.so".into()),
            memory_mib: 64,
            threads: 1,
            providers: Vec::new(),
            job: Job::Library,
        }
    }

    #[test]
    fn a_child_that_hangs_is_ended_at_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("hangs");
        std::fs::write(&program, "#!/bin/sh\nexec sleep 600\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let start = Instant::now();
        let found = run(&ProbePolicy::Child(program), &library_request(), &[0; 1 << 20], Duration::from_millis(200));
        assert!(matches!(found, Err(EngineError::TimedOut { .. })), "{found:?}");
        assert!(start.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn headers_that_lie_are_refused() {
        let huge = u32::MAX.to_le_bytes();
        for mut input in [&b""[..], b"\x02", &huge, b"\x02\0\0\0{}", b"\xff\0\0\0{}"] {
            assert!(matches!(serve(&mut input), Err(EngineError::Probe { .. })), "{input:?}");
        }
    }
}
