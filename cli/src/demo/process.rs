//! Starts the demo's processes, starts them again when they die, and ends them all with the demo.
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};

/// Times one process is started again before the demo gives it up.
const RESTARTS_MAX: u32 = 50;
/// Time a process has to end after it was asked.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Makes this process end when its parent ends, however that happens; `parent` is the expected parent's id.
///
/// # Errors
/// A text when the parent is already gone or the system refuses.
pub fn die_with_parent(parent: i32) -> Result<(), String> {
    set_parent_process_death_signal(Some(Signal::TERM))
        .map_err(|e| format!("cannot follow the parent process: {e}"))?;
    // The parent may have died before the line above took effect.
    match getppid() {
        Some(pid) if pid.as_raw_nonzero().get() == parent => Ok(()),
        _ => Err("the parent process is gone".into()),
    }
}

/// Says that a process ended although nobody asked it to.
#[derive(Debug, Clone)]
pub struct Died {
    /// Its name.
    pub name: String,
    /// How it ended.
    pub how: String,
    /// Whether it is started again.
    pub restarted: bool,
}

struct Child {
    pid: Arc<Mutex<Option<Pid>>>,
    thread: JoinHandle<()>,
}

/// Runs named processes until it is stopped.
pub struct Supervisor {
    exe: PathBuf,
    log_dir: PathBuf,
    stopping: Arc<AtomicBool>,
    children: Vec<Child>,
    died: std::sync::mpsc::Sender<Died>,
}

impl Supervisor {
    /// Returns a supervisor that starts this program again with other arguments; each process writes its log below
    /// `log_dir`. What dies is told to `died`.
    ///
    /// # Errors
    /// An I/O error when this program's own file or the log folder cannot be found.
    pub fn new(log_dir: &Path, died: std::sync::mpsc::Sender<Died>) -> io::Result<Self> {
        std::fs::create_dir_all(log_dir)?;
        let exe = std::env::current_exe()?;
        Ok(Self { exe, log_dir: log_dir.into(), stopping: Arc::default(), children: Vec::new(), died })
    }

    /// Starts a process and keeps it running.
    pub fn start(&mut self, name: &str, args: &[String]) {
        let pid = Arc::new(Mutex::new(None));
        let keeper = Keeper {
            name: name.into(),
            exe: self.exe.clone(),
            args: args.to_vec(),
            log: self.log_dir.join(format!("{name}.log")),
            pid: pid.clone(),
            stopping: self.stopping.clone(),
            died: self.died.clone(),
        };
        // One thread a process: the kernel ends a child when the thread that started it ends, so that thread stays.
        let thread = std::thread::spawn(move || keeper.run());
        self.children.push(Child { pid, thread });
    }

    /// Ends all processes: asks first, and insists after a while.
    pub fn stop(self) {
        self.stopping.store(true, Ordering::SeqCst);
        let signal = |signal| {
            for child in &self.children {
                if let Some(pid) = *child.pid.lock().unwrap_or_else(PoisonError::into_inner) {
                    // It may have ended by itself a moment ago.
                    let _ = kill_process(pid, signal);
                }
            }
        };
        signal(Signal::TERM);
        let asked = Instant::now();
        while asked.elapsed() < STOP_LIMIT && self.children.iter().any(|c| !c.thread.is_finished()) {
            std::thread::sleep(Duration::from_millis(20));
        }
        signal(Signal::KILL);
        for child in self.children {
            let _ = child.thread.join();
        }
    }
}

struct Keeper {
    name: String,
    exe: PathBuf,
    args: Vec<String>,
    log: PathBuf,
    pid: Arc<Mutex<Option<Pid>>>,
    stopping: Arc<AtomicBool>,
    died: std::sync::mpsc::Sender<Died>,
}

impl Keeper {
    fn run(&self) {
        for attempt in 0..=RESTARTS_MAX {
            if self.stopping.load(Ordering::SeqCst) {
                return;
            }
            let how = match self.once() {
                Ok(status) => status.to_string(),
                Err(e) => format!("could not be started: {e}"),
            };
            if self.stopping.load(Ordering::SeqCst) {
                return;
            }
            let restarted = attempt < RESTARTS_MAX;
            if self.died.send(Died { name: self.name.clone(), how, restarted }).is_err() {
                return;
            }
            // A process that cannot start must not spin; one that was killed comes back soon.
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn once(&self) -> io::Result<std::process::ExitStatus> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        let mut child = {
            let mut pid = self.pid.lock().unwrap_or_else(PoisonError::into_inner);
            if self.stopping.load(Ordering::SeqCst) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let child = Command::new(&self.exe)
                .args(&self.args)
                .arg("--die-with-parent")
                .arg(std::process::id().to_string())
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log)
                .spawn()?;
            *pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            child
        };
        let status = child.wait();
        *self.pid.lock().unwrap_or_else(PoisonError::into_inner) = None;
        status
    }
}
