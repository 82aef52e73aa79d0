//! The threads that compute: workers answer requests, one shadow computes the other model of a trial.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pinnace_protocol::manifest::Signature;
use tokio::sync::oneshot;

use super::Shared;
use super::batch::Batch;
use super::error::InferError;
use super::limits;
use super::queue::Next;
use super::recorder::Entry;
use super::served::{ModelInfo, Served};
use super::stage::Stage;
use super::trial::{Trial, TrialMode};
use crate::engine::{Answers, EngineError, Model};

/// A request on its way to a worker.
pub(super) struct Job {
    pub(super) id: Option<String>,
    pub(super) batch: Batch,
    pub(super) labels: Vec<Option<usize>>,
    pub(super) position: Option<u64>,
    pub(super) queued: Instant,
    pub(super) reply: oneshot::Sender<Result<Answer, InferError>>,
}

/// What an application gets.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The answers, row by row.
    pub answers: Answers,
    /// Who answered.
    pub model: Arc<ModelInfo>,
    /// Time the model took, microseconds.
    pub latency_us: u32,
}

/// A request that the other model of a trial still has to compute.
pub(super) struct ShadowJob {
    id: Option<String>,
    batch: Batch,
    labels: Vec<Option<usize>>,
    answers: Answers,
    trial: Arc<Trial>,
    follower: Arc<Served>,
    follower_is_candidate: bool,
}

/// One thread's handles of models; few at a time, dropped when their model leaves the stage.
#[derive(Default)]
struct Handles {
    open: Vec<(u64, Box<dyn Model>)>,
}

impl Handles {
    fn run(&mut self, served: &Served, batch: &Batch) -> Result<(Answers, Duration), EngineError> {
        let at = match self.open.iter().position(|(id, _)| *id == served.id) {
            Some(at) => at,
            None => {
                self.open.push((served.id, served.handle()?));
                self.open.len() - 1
            }
        };
        let rows = batch.matrix_for(&served.info.signature);
        let start = Instant::now();
        let result = self.open[at].1.run(&rows);
        let took = start.elapsed();
        if matches!(result, Err(EngineError::Panicked { .. })) {
            // Its inner state may be half-written: the next request gets a fresh handle.
            self.open.swap_remove(at);
        }
        result.map(|answers| (answers, took))
    }

    fn keep_only(&mut self, stage: &Stage) {
        let here = |id: u64| [&stage.active, &stage.candidate].iter().any(|s| s.as_ref().is_some_and(|s| s.id == id));
        self.open.retain(|(id, _)| here(*id));
    }
}

/// Answers requests until the queue is closed and empty. `index` names the thread for draining.
pub(super) fn work(shared: &Shared, index: usize) {
    let mut handles = Handles::default();
    loop {
        let next = shared.requests.pop(limits::IDLE_WAIT);
        // After taking a job, so that a job queued after a swap is never computed with the stage before it.
        let stage = shared.stage();
        handles.keep_only(&stage);
        shared.seen(index, stage.epoch);
        match next {
            Next::Job(job) => serve(shared, &stage, &mut handles, job),
            Next::Idle => shared.recorder().close_if_due(),
            Next::Closed => return,
        }
    }
}

fn serve(shared: &Shared, stage: &Stage, handles: &mut Handles, job: Job) {
    if job.reply.is_closed() {
        // The application has hung up: nobody wants the answer.
        return;
    }
    if job.queued.elapsed() > limits::REQUEST_TIME {
        let _ = job.reply.send(Err(InferError::Deadline { limit: limits::REQUEST_TIME }));
        return;
    }
    let Some(lead) = stage.lead() else {
        let _ = job.reply.send(Err(InferError::NotReady));
        return;
    };
    let queue = job.queued.elapsed();
    let result = handles.run(lead.served, &job.batch);
    let took = result.as_ref().map_or(Duration::ZERO, |(_, took)| *took);
    let latency_us = micros(took);
    lead.served.count(result.is_ok().then_some(job.batch.rows()), took, queue);
    if let Some((trial, mode)) = &stage.trial {
        if lead.is_candidate {
            trial.candidate(job.batch.rows(), result.as_ref().ok().map(|(a, _)| a), latency_us);
            if *mode == TrialMode::Serve
                && stage.active.is_some()
                && let Some(why) = trial.guard()
            {
                shared.step_back(trial, why);
            }
        } else if result.is_ok() {
            trial.baseline(latency_us);
        }
    }
    let entry = Entry {
        served: lead.served,
        batch: &job.batch,
        answers: result.as_ref().ok().map(|(a, _)| a),
        latency_us,
        labels: &job.labels,
        position: job.position,
    };
    shared.recorder().count(&entry);
    shared.counted(&result, job.batch.rows(), latency_us);
    match result {
        Ok((answers, _)) => {
            let follower = stage.follower();
            let usable = (0..answers.rows()).all(|row| answers.is_finite(row));
            if let (true, false, Some((active, trial))) = (lead.is_candidate, usable, &follower) {
                fall_back(handles, active.served, trial, job);
                return;
            }
            remember(shared, &job, lead.served.id, &answers);
            if let Some((part, trial)) = follower {
                let later = ShadowJob {
                    id: job.id.clone(),
                    batch: job.batch,
                    labels: job.labels,
                    answers: answers.clone(),
                    trial: Arc::clone(trial),
                    follower: Arc::clone(part.served),
                    follower_is_candidate: part.is_candidate,
                };
                if shared.shadows.push(later).is_err() {
                    shared.shadow_dropped();
                }
            }
            let model = Arc::clone(&lead.served.info);
            let _ = job.reply.send(Ok(Answer { answers, model, latency_us }));
        }
        Err(error) => match stage.follower() {
            Some((active, trial)) if lead.is_candidate => fall_back(handles, active.served, trial, job),
            _ => {
                let _ = job.reply.send(Err(error.into()));
            }
        },
    }
}

/// Lets the active model answer what the serving candidate could not: a trial costs an application nothing.
fn fall_back(handles: &mut Handles, active: &Arc<Served>, trial: &Trial, job: Job) {
    let reply = handles.run(active, &job.batch).map(|(answers, took)| {
        trial.baseline(micros(took));
        active.count(Some(answers.rows()), took, Duration::ZERO);
        Answer { answers, model: Arc::clone(&active.info), latency_us: micros(took) }
    });
    let _ = job.reply.send(reply.map_err(InferError::from));
}

fn remember(shared: &Shared, job: &Job, lead: u64, answers: &Answers) {
    // Rows whose outcome came along need not wait for one.
    if let Some(id) = &job.id
        && job.labels.iter().all(Option::is_none)
    {
        shared.recent().remember(id, lead, answers);
    }
}

/// Computes the other model of trials until the queue is closed.
pub(super) fn shadow(shared: &Shared, index: usize) {
    let mut handles = Handles::default();
    loop {
        let next = shared.shadows.pop(limits::IDLE_WAIT);
        let stage = shared.stage();
        handles.keep_only(&stage);
        shared.seen(index, stage.epoch);
        match next {
            Next::Job(job) => follow(shared, &stage, &mut handles, &job),
            Next::Idle => {}
            Next::Closed => return,
        }
    }
}

fn follow(shared: &Shared, stage: &Stage, handles: &mut Handles, job: &ShadowJob) {
    let current = stage.trial.as_ref().is_some_and(|(trial, _)| Arc::ptr_eq(trial, &job.trial));
    if !current {
        // The trial is over: nobody reads its counters any more.
        return;
    }
    let result = handles.run(&job.follower, &job.batch);
    let rows = job.batch.rows();
    match (result, job.follower_is_candidate) {
        (Ok((answers, took)), true) => {
            job.trial.candidate(rows, Some(&answers), micros(took));
            compare(shared, job, &answers, &job.answers);
        }
        (Ok((answers, took)), false) => {
            job.trial.baseline(micros(took));
            compare(shared, job, &job.answers, &answers);
        }
        (Err(_), true) => job.trial.candidate(rows, None, 0),
        (Err(error), false) => tracing::debug!("the active model did not answer for comparison: {error}"),
    }
}

fn compare(shared: &Shared, job: &ShadowJob, candidate: &Answers, active: &Answers) {
    if let Some(id) = &job.id {
        shared.recent().add_both(id, &job.trial, candidate, active);
    }
    job.trial.compare(candidate, active, &job.labels);
}

/// Returns the index of a class label.
pub(super) fn class_index(signature: &Signature, label: &str) -> Option<usize> {
    let exact = signature.classes.iter().position(|c| c == label);
    // `1.0` and `1` name the same class when the labels are numbers.
    exact.or_else(|| {
        let number: f64 = label.trim().parse().ok()?;
        signature.classes.iter().position(|c| c.parse::<f64>() == Ok(number))
    })
}

fn micros(took: Duration) -> u32 {
    // Rounded up: a tenth of a microsecond is not nothing.
    u32::try_from(took.as_nanos().div_ceil(1000)).unwrap_or(u32::MAX)
}
