//! Processes that end with the test, and commands that are run to their end.
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::wait::wait_until;

/// Seconds that a process has to end after it was asked.
const STOP_S: u64 = 60;

/// Returns the program under test.
///
/// # Panics
/// When it was not built.
pub fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("PINNACE_BIN") {
        return named.into();
    }
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.parent()?.join("pinnace")));
    match beside.filter(|path| path.is_file()) {
        Some(path) => path,
        None => panic!(
            "the program `pinnace` is not beside the tests\n  hint: build it first (`cargo build --profile ci -p pinnace`), or name it with PINNACE_BIN"
        ),
    }
}

fn command(before: &[String], program: &Path) -> Command {
    let mut command = match before.split_first() {
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
        None => Command::new(program),
    };
    // A developer's settings must not decide a test.
    for name in [
        "PINNACE_URL",
        "PINNACE_DATA",
        "PINNACE_TOKEN",
        "PINNACE_AGENT_HOME",
        "PINNACE_ORT_LIB",
        "ORT_DYLIB_PATH",
        "RUST_LOG",
    ] {
        command.env_remove(name);
    }
    command
}

/// How a command ended and what it said.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Ran {
    /// Returns the output of a command that must succeed.
    ///
    /// # Panics
    /// When it did not.
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    /// Returns all that was said by a command that must end with this code.
    ///
    /// # Panics
    /// When it ended with another.
    pub fn failed(self, code: i32) -> String {
        let said = format!("{}{}", self.out, self.err);
        assert_eq!(self.code, code, "{said}");
        said
    }

    /// Returns the one error of a command that must fail: it begins with `error:` and ends in a hint.
    ///
    /// # Panics
    /// When it succeeded, panicked, or gave no error of that form.
    pub fn refused(self) -> String {
        assert!(self.code == 1 || self.code == 4, "exit code {}: {}{}", self.code, self.out, self.err);
        let errors = self.err.matches("error: ").count();
        assert!(errors == 1 && self.err.contains("\n  hint: "), "one error with a hint was expected:\n{}", self.err);
        self.err
    }
}

/// Runs `pinnace` with `args` to its end.
///
/// # Panics
/// When it cannot be started.
pub fn pinnace(args: &[&str]) -> Ran {
    let output = command(&[], &binary()).args(args).stdin(Stdio::null()).output().expect("pinnace can be started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}

/// A process that runs beside the test and ends with it.
pub struct Process {
    child: Child,
    log: PathBuf,
    /// Length of the log before this start.
    log_from: usize,
}

impl Process {
    /// Starts `pinnace` with `args`; `before` are words in front of it (e.g. `nsenter …`). Both its outputs are
    /// appended to `log`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn pinnace(before: &[String], args: &[String], log: &Path) -> Self {
        let mut command = command(before, &binary());
        // The kernel ends it when the thread that started it ends, however that happens.
        command.args(args).arg("--die-with-parent").arg(std::process::id().to_string());
        Self::start(command, log)
    }

    /// Starts another program.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn other(program: &str, args: &[String], log: &Path) -> Self {
        // util-linux is part of every Debian; the program ends with the thread that started it.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", program]).args(args);
        Self::start(command, log)
    }

    fn start(mut command: Command, log: &Path) -> Self {
        let out = OpenOptions::new().create(true).append(true).open(log).expect("the log can be written");
        let log_from = out.metadata().map_or(0, |m| m.len()) as usize;
        let err = out.try_clone().expect("a file handle can be cloned");
        let child = command.stdin(Stdio::null()).stdout::<File>(out).stderr(err).spawn();
        let child = child.unwrap_or_else(|e| panic!("{command:?} cannot be started: {e}"));
        Self { child, log: log.into(), log_from }
    }

    /// Returns the process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns everything it has written since this start.
    pub fn said(&self) -> String {
        let all = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(all.get(self.log_from..).unwrap_or_default()).into_owned()
    }

    /// Waits until it has written `text`, and returns what follows on that line.
    ///
    /// # Panics
    /// When that takes longer than `seconds`, or the process ended before.
    pub fn wait_for(&mut self, text: &str, seconds: u64) -> String {
        wait_until(&format!("the words `{text}`"), seconds, || {
            let said = self.said();
            match said.split_once(text) {
                Some((_, after)) if after.contains('\n') => Ok(after.lines().next().unwrap_or_default().to_owned()),
                _ => {
                    if let Ok(Some(status)) = self.child.try_wait() {
                        panic!("it ended ({status}) before it said `{text}`:\n{said}");
                    }
                    Err(said)
                }
            }
        })
    }

    /// Kills it with signal 9 and waits until it is gone.
    pub fn kill_9(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop and returns how it ended.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(&mut self) -> ExitStatus {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        self.ended(STOP_S)
    }

    /// Waits until it ends by itself and returns how it did.
    ///
    /// # Panics
    /// When it does not within `seconds`.
    pub fn ended(&mut self, seconds: u64) -> ExitStatus {
        wait_until("the end of the process", seconds, || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err("it runs".to_owned()),
            Err(e) => Err(e.to_string()),
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_9();
        if std::thread::panicking() {
            let said = self.said();
            let from = said.len().saturating_sub(6000);
            let from = (from..said.len()).find(|at| said.is_char_boundary(*at)).unwrap_or(0);
            eprintln!("---- {}\n{}", self.log.display(), &said[from..]);
        }
    }
}
