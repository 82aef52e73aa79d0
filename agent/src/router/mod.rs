//! Routes every request, whatever its source, to the model that answers; counts it; compares two models in a trial.
//!
//! One thread pool computes, one shadow thread computes the other model of a trial. A swap replaces a pointer: requests
//! that run finish on the model they began with, the next ones see the new one, none is dropped. Every answered row is
//! counted once, in the window of the bundle that answered it.

mod batch;
mod error;
mod latency;
pub mod limits;
mod metrics;
mod queue;
mod recent;
mod recorder;
mod served;
mod stage;
mod trial;
mod worker;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pinnace_firmware_targets::DeviceProfile;
use pinnace_protocol::manifest::{Signature, TrialPolicy};
use pinnace_protocol::message::TrialStats;
use pinnace_protocol::sketch::Layout;
use tokio::sync::{mpsc, oneshot};

pub use batch::{Batch, Cell};
pub use error::{InferError, RouterError};
pub use metrics::{Counts, LATENCY_BOUNDS_US, Metrics};
pub use recorder::{ClosedWindow, WindowLimits};
pub use served::{ModelCounters, ModelInfo};
pub use trial::TrialMode;
pub use worker::Answer;

use crate::engine::{Answers, EngineError, LoadedModel};
use queue::Queue;
use recent::Recent;
use recorder::Recorder;
use served::Served;
use stage::Stage;
use trial::Trial;
use worker::{Job, ShadowJob};

/// How a router is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouterConfig {
    /// Inference threads, 1 to [`limits::WORKERS_MAX`].
    pub workers: usize,
    /// Requests that wait or run at the same time.
    pub max_inflight: usize,
    /// When windows close.
    pub windows: WindowLimits,
}

impl RouterConfig {
    /// Returns the setup that a device profile asks for.
    pub fn of_profile(profile: &DeviceProfile, windows: WindowLimits) -> Self {
        let inference = &profile.inference;
        Self { workers: inference.threads as usize, max_inflight: inference.max_inflight as usize, windows }
    }
}

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Names it for feedback; unique per request.
    pub id: Option<String>,
    /// The rows.
    pub batch: Batch,
    /// True class per row, where it is already known; empty when it is not.
    pub labels: Vec<Option<usize>>,
    /// Next row of the file source, when the request comes from it.
    pub position: Option<u64>,
}

/// What became of a feedback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feedback {
    /// Counted, for this many rows.
    Counted(usize),
    /// No answer of that id is remembered: too old, already told, or never given.
    Unknown,
    /// The number of labels is not the number of rows.
    Rows {
        /// Rows of the answer.
        expected: usize,
    },
    /// A label is none of the model's classes.
    Label {
        /// Which of the labels, from 0.
        index: usize,
    },
}

/// Answers requests. Cheap to clone; all clones are the same router.
#[derive(Clone)]
pub struct Router {
    shared: Arc<Shared>,
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

/// What threads and handles of a router share.
pub(in crate::router) struct Shared {
    stage: RwLock<Arc<Stage>>,
    requests: Queue<Job>,
    shadows: Queue<ShadowJob>,
    recorder: Mutex<Recorder>,
    recent: Mutex<Recent>,
    inflight: AtomicUsize,
    max_inflight: usize,
    stopping: AtomicBool,
    next_id: AtomicU64,
    seen: Mutex<Vec<u64>>,
    seen_changed: Condvar,
    metrics: Metrics,
}

/// Locks; a thread that panicked left counters that are at worst one behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn stage(&self) -> Arc<Stage> {
        Arc::clone(&self.stage.read().unwrap_or_else(PoisonError::into_inner))
    }
    fn recorder(&self) -> MutexGuard<'_, Recorder> {
        lock(&self.recorder)
    }
    fn recent(&self) -> MutexGuard<'_, Recent> {
        lock(&self.recent)
    }

    /// Puts a new stage in place and closes the window when somebody else answers now.
    fn change(&self, change: impl FnOnce(&mut Stage)) -> u64 {
        let mut place = self.stage.write().unwrap_or_else(PoisonError::into_inner);
        let lead = |stage: &Stage| stage.lead().map(|part| part.served.id);
        let before = lead(&place);
        let mut next = Stage::clone(&place);
        change(&mut next);
        next.epoch += 1;
        let (epoch, swapped) = (next.epoch, lead(&next) != before);
        *place = Arc::new(next);
        drop(place);
        if swapped {
            self.recorder().close();
        }
        self.requests.wake_all();
        self.shadows.wake_all();
        epoch
    }

    /// Lets the active model answer again, because a guard tripped; the trial goes on in the shadow.
    fn step_back(&self, trial: &Arc<Trial>, why: &str) {
        let serving = |stage: &Stage| {
            stage.trial.as_ref().is_some_and(|(t, mode)| Arc::ptr_eq(t, trial) && *mode == TrialMode::Serve)
        };
        if serving(&self.stage()) {
            tracing::warn!("the candidate no longer answers: {why}; the active model does");
            self.change(|stage| {
                if serving(stage) {
                    stage.trial = Some((Arc::clone(trial), TrialMode::Shadow));
                }
            });
        }
    }

    /// Notes that a thread has let go of every model before `epoch`.
    fn seen(&self, index: usize, epoch: u64) {
        let mut seen = lock(&self.seen);
        if let Some(mine) = seen.get_mut(index)
            && *mine != epoch
        {
            *mine = epoch;
            self.seen_changed.notify_all();
        }
    }

    fn counted(&self, result: &Result<(Answers, Duration), EngineError>, rows: usize, latency_us: u32) {
        match result {
            Ok(_) => self.metrics.answered(rows, latency_us),
            Err(error) => {
                self.metrics.failed(rows);
                tracing::warn!("an inference failed: {error}");
            }
        }
    }

    fn shadow_dropped(&self) {
        self.metrics.shadow_dropped();
    }
}

/// Counts a request in flight for as long as it lives.
struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Router {
    /// Starts the threads and returns the router with the closed windows, in order.
    ///
    /// # Errors
    /// [`RouterError::Thread`] when the system refuses a thread.
    pub fn start(config: RouterConfig) -> Result<(Self, mpsc::Receiver<ClosedWindow>), RouterError> {
        let (out, windows) = mpsc::channel(limits::CLOSED_WINDOWS_MAX);
        let workers = config.workers.clamp(1, limits::WORKERS_MAX);
        let max_inflight = config.max_inflight.max(1);
        let shared = Arc::new(Shared {
            stage: RwLock::default(),
            requests: Queue::new(max_inflight),
            shadows: Queue::new(limits::SHADOW_QUEUE_MAX),
            recorder: Mutex::new(Recorder::new(config.windows, out)),
            recent: Mutex::default(),
            inflight: AtomicUsize::new(0),
            max_inflight,
            stopping: AtomicBool::new(false),
            next_id: AtomicU64::new(1),
            seen: Mutex::new(vec![0; workers + 1]),
            seen_changed: Condvar::new(),
            metrics: Metrics::default(),
        });
        let router = Self { shared, threads: Arc::default() };
        for index in 0..workers {
            router.spawn(format!("infer-{index}"), move |shared| worker::work(shared, index))?;
        }
        router.spawn("shadow".into(), move |shared| worker::shadow(shared, workers))?;
        Ok((router, windows))
    }

    fn spawn(&self, name: String, run: impl Fn(&Shared) + Send + 'static) -> Result<(), RouterError> {
        let shared = Arc::clone(&self.shared);
        // Panics of engines are caught where they happen; this is for our own defects: the pool must not shrink.
        let body = move || while catch_unwind(AssertUnwindSafe(|| run(&shared))).is_err() {};
        let thread = std::thread::Builder::new().name(name).spawn(body);
        lock(&self.threads).push(thread.map_err(|e| RouterError::Thread { why: e.to_string() })?);
        Ok(())
    }

    /// Answers one request.
    ///
    /// # Errors
    /// [`InferError`]: no model, too many requests or rows, out of time, stopping, or the engine failed.
    pub async fn infer(&self, request: Request) -> Result<Answer, InferError> {
        let shared = &self.shared;
        if shared.stopping.load(Ordering::Acquire) {
            return Err(InferError::Stopping);
        }
        let rows = request.batch.rows();
        if rows > limits::REQUEST_MAX_ROWS {
            return Err(InferError::TooManyRows { rows, limit: limits::REQUEST_MAX_ROWS });
        }
        let busy = InferError::Busy { limit: shared.max_inflight };
        if shared.inflight.fetch_add(1, Ordering::AcqRel) >= shared.max_inflight {
            shared.inflight.fetch_sub(1, Ordering::AcqRel);
            shared.metrics.refused();
            return Err(busy);
        }
        let _counted = InFlight(&shared.inflight);
        let (reply, answer) = oneshot::channel();
        let Request { id, batch, labels, position } = request;
        let job = Job { id, batch, labels, position, queued: Instant::now(), reply };
        if shared.requests.push(job).is_err() {
            let stopping = shared.stopping.load(Ordering::Acquire);
            return Err(if stopping { InferError::Stopping } else { busy });
        }
        match tokio::time::timeout(limits::REQUEST_TIME, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) if shared.stopping.load(Ordering::Acquire) => Err(InferError::Stopping),
            // The worker let go of the request without an answer: only a defect of ours does that.
            Ok(Err(_)) => {
                let (engine, why) = ("the router".into(), "a worker let go of the request".into());
                Err(InferError::Engine(EngineError::Panicked { engine, why }))
            }
            Err(_) => Err(InferError::Deadline { limit: limits::REQUEST_TIME }),
        }
    }

    /// Makes a loaded model the one that answers; ends a running trial.
    ///
    /// # Errors
    /// [`RouterError`] when its reference does not fit or closed windows pile up; nothing changed then.
    pub fn install(&self, loaded: LoadedModel) -> Result<u64, RouterError> {
        self.shared.recorder().check_room()?;
        let served = self.admit(loaded)?;
        let change =
            |stage: &mut Stage| *stage = Stage { epoch: stage.epoch, active: Some(served), ..Stage::default() };
        Ok(self.shared.change(change))
    }

    /// Keeps a loaded model as the candidate; it answers nobody until [`Router::start_trial`].
    ///
    /// # Errors
    /// [`RouterError::Profile`] when its reference does not fit.
    pub fn set_candidate(&self, loaded: LoadedModel) -> Result<u64, RouterError> {
        self.shared.recorder().check_room()?;
        let served = self.admit(loaded)?;
        Ok(self.shared.change(|stage| {
            stage.candidate = Some(served);
            stage.trial = None;
        }))
    }

    fn admit(&self, loaded: LoadedModel) -> Result<Arc<Served>, RouterError> {
        Ok(Arc::new(Served::new(self.shared.next_id.fetch_add(1, Ordering::Relaxed), loaded)?))
    }

    /// Starts to try the candidate.
    ///
    /// # Errors
    /// [`RouterError::NoCandidate`], or [`RouterError::WindowsWaiting`].
    pub fn start_trial(&self, mode: TrialMode, policy: TrialPolicy) -> Result<u64, RouterError> {
        self.shared.recorder().check_room()?;
        if self.shared.stage().candidate.is_none() {
            return Err(RouterError::NoCandidate);
        }
        let trial = Arc::new(Trial::new(policy));
        Ok(self.shared.change(|stage| stage.trial = stage.candidate.is_some().then_some((trial, mode))))
    }

    /// Returns what the running trial has counted; none when there is no trial.
    pub fn trial_stats(&self) -> Option<TrialStats> {
        self.shared.stage().trial.as_ref().map(|(trial, _)| trial.stats())
    }

    /// Makes the candidate the active model.
    ///
    /// # Errors
    /// [`RouterError::NoCandidate`], or [`RouterError::WindowsWaiting`].
    pub fn promote(&self) -> Result<u64, RouterError> {
        self.shared.recorder().check_room()?;
        if self.shared.stage().candidate.is_none() {
            return Err(RouterError::NoCandidate);
        }
        Ok(self.shared.change(|stage| {
            if let Some(candidate) = stage.candidate.take() {
                stage.active = Some(candidate);
            }
            stage.trial = None;
        }))
    }

    /// Lets go of the candidate, if there is one; the active model answers everything again.
    pub fn drop_candidate(&self) -> u64 {
        self.shared.change(|stage| {
            stage.candidate = None;
            stage.trial = None;
        })
    }

    /// Waits until no thread holds a model that left before `epoch`, and returns whether that happened in time.
    ///
    /// Blocks; call it outside the async runtime.
    pub fn drain(&self, epoch: u64, limit: Duration) -> bool {
        let seen = lock(&self.shared.seen);
        let behind = |seen: &mut Vec<u64>| seen.iter().any(|s| *s < epoch);
        let waited = self.shared.seen_changed.wait_timeout_while(seen, limit, behind);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Tells how an earlier answer turned out: one label per row of the request.
    pub fn feedback(&self, id: &str, labels: &[String]) -> Feedback {
        let shared = &self.shared;
        let stage = shared.stage();
        let mut recent = shared.recent();
        let Some((lead, expected)) = recent.look(id) else { return Feedback::Unknown };
        if expected != labels.len() {
            return Feedback::Rows { expected };
        }
        let models = || [&stage.active, &stage.candidate].into_iter().flatten();
        let answered = models().find(|m| m.id == lead);
        // Versions of one family share their classes, so a later version reads the labels of an earlier one.
        let Some(reader) = answered.or_else(|| models().next()) else { return Feedback::Unknown };
        let mut classes = Vec::with_capacity(labels.len());
        for (index, label) in labels.iter().enumerate() {
            match worker::class_index(&reader.info.signature, label) {
                Some(class) => classes.push(class),
                None => return Feedback::Label { index },
            }
        }
        let Some(known) = recent.take(id) else { return Feedback::Unknown };
        drop(recent);
        // Outcomes belong to the bundle that answered; when it has left, its window is closed and they are late.
        if let Some(served) = answered {
            let mut recorder = shared.recorder();
            for ((class, score), actual) in known.rows.iter().zip(&classes) {
                recorder.outcome(served, *score, *class, *actual);
            }
        }
        if let Some((trial, pairs)) = &known.both {
            for ((candidate, active), actual) in pairs.iter().zip(&classes) {
                trial.judge(candidate == actual, active == actual);
            }
        }
        shared.metrics.feedback(classes.len());
        Feedback::Counted(classes.len())
    }

    /// Returns the index of a class label for the model that answers; none for a label it does not know.
    pub fn class_index(&self, label: &str) -> Option<usize> {
        let stage = self.shared.stage();
        worker::class_index(&stage.lead()?.served.info.signature, label)
    }

    /// Returns the signature by which requests are read now; none when no model is ready.
    pub fn signature(&self) -> Option<Arc<Signature>> {
        Some(Arc::clone(&self.shared.stage().lead()?.served.info.signature))
    }

    /// Returns who answers now.
    pub fn answering(&self) -> Option<Arc<ModelInfo>> {
        Some(Arc::clone(&self.shared.stage().lead()?.served.info))
    }

    /// Returns the active model and what it has done.
    pub fn active(&self) -> Option<(Arc<ModelInfo>, ModelCounters)> {
        self.shared.stage().active.as_ref().map(|s| (Arc::clone(&s.info), s.counters()))
    }

    /// Returns the candidate and what it has done.
    pub fn candidate(&self) -> Option<(Arc<ModelInfo>, ModelCounters)> {
        self.shared.stage().candidate.as_ref().map(|s| (Arc::clone(&s.info), s.counters()))
    }

    /// Returns the compiled reference of the candidate, else of the active model: the outbox merges windows with it.
    pub fn layouts(&self) -> Vec<Arc<Layout>> {
        let stage = self.shared.stage();
        [&stage.active, &stage.candidate].into_iter().flatten().filter_map(|s| s.layout()).collect()
    }

    /// Returns the counters of this process.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Returns how many requests wait or run.
    pub fn inflight(&self) -> usize {
        self.shared.inflight.load(Ordering::Acquire)
    }

    /// Returns how many requests wait to be computed by the other model of a trial.
    pub fn shadow_queue(&self) -> usize {
        self.shared.shadows.len()
    }

    /// Closes the open window now, however small.
    pub fn close_window(&self) {
        self.shared.recorder().close();
    }

    /// Takes no more requests, finishes those that wait, ends the threads, closes the last window.
    ///
    /// Returns the windows that the receiver had no room for; they come after those in the receiver, which then ends.
    /// Blocks; call it outside the async runtime.
    pub fn shutdown(&self) -> Vec<ClosedWindow> {
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.requests.close();
        self.shared.shadows.close();
        let threads: Vec<_> = lock(&self.threads).drain(..).collect();
        for thread in threads {
            // Their panics were caught inside.
            let _ = thread.join();
        }
        self.shared.recorder().finish()
    }
}
