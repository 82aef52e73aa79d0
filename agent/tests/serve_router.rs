//! The router: no request is dropped by a swap, every row is counted once, trials compare on identical inputs.

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use common::{Behaviour, FEATURES, constant, fake, loaded, sample};
use pinnace_agent::engine::{Answers, EngineError, Matrix};
use pinnace_agent::router::{
    Batch, Cell, ClosedWindow, Feedback, InferError, Request, Router, RouterConfig, RouterError, TrialMode,
    WindowLimits,
};
use pinnace_protocol::manifest::TrialPolicy;
use pinnace_protocol::message::TrialStats;
use pinnace_protocol::sketch::{Live, Profile, Value};

/// Longer than any test machine needs; only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(60);

fn config(rows: u64, interval: Duration) -> RouterConfig {
    RouterConfig { workers: 2, max_inflight: 64, windows: WindowLimits { rows, interval } }
}

fn quiet() -> RouterConfig {
    config(1_000_000, Duration::from_secs(3600))
}

fn request(router: &Router, row: &[f32]) -> Request {
    let cells = row.iter().map(|v| if v.is_nan() { Cell::Null } else { Cell::Number(*v) }).collect();
    let batch = Batch::new(&router.signature().unwrap(), cells).unwrap();
    Request { id: None, batch, labels: vec![], position: None }
}

/// Closes everything and returns all windows in order.
fn all_windows(router: &Router, mut windows: tokio::sync::mpsc::Receiver<ClosedWindow>) -> Vec<ClosedWindow> {
    let rest = router.shutdown();
    let mut all = Vec::new();
    while let Ok(window) = windows.try_recv() {
        all.push(window);
    }
    all.extend(rest);
    all
}

/// Waits until the trial's counters satisfy `enough`; the shadow computes after the answer.
async fn trial_until(router: &Router, enough: impl Fn(&TrialStats) -> bool) -> TrialStats {
    let wait = async {
        loop {
            let stats = router.trial_stats().expect("a trial is on");
            if enough(&stats) {
                return stats;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the shadow catches up")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swaps_under_load_drop_nothing_and_count_every_row_once() {
    let (router, mut windows) = Router::start(config(97, Duration::from_secs(3600))).unwrap();
    router.install(loaded("linear", 1)).unwrap();
    let row = sample("linear").rows()[0].clone();
    let collected = tokio::spawn(async move {
        let mut all = Vec::new();
        while let Some(window) = windows.recv().await {
            all.push(window);
        }
        all
    });
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (router, row) = (router.clone(), row.clone());
            tokio::spawn(async move {
                let mut by_version: BTreeMap<u64, u64> = BTreeMap::new();
                for _ in 0..400 {
                    let answer = router.infer(request(&router, &row)).await.expect("no request is dropped");
                    *by_version.entry(answer.model.bundle.version).or_default() += 1;
                }
                by_version
            })
        })
        .collect();
    let swapper = router.clone();
    let swaps = tokio::task::spawn_blocking(move || {
        for version in 2..=5 {
            swapper.set_candidate(loaded("linear_other", version)).unwrap();
            swapper.start_trial(TrialMode::Serve, TrialPolicy { p95_us: u32::MAX, ..TrialPolicy::default() }).unwrap();
            let epoch = swapper.promote().unwrap();
            assert!(swapper.drain(epoch, PATIENCE));
        }
    });
    let mut answered: BTreeMap<u64, u64> = BTreeMap::new();
    for client in clients {
        for (version, rows) in client.await.unwrap() {
            *answered.entry(version).or_default() += rows;
        }
    }
    swaps.await.unwrap();
    let stopping = router.clone();
    let rest = tokio::task::spawn_blocking(move || stopping.shutdown()).await.unwrap();
    let mut counted: BTreeMap<u64, u64> = BTreeMap::new();
    for window in collected.await.unwrap().iter().chain(&rest) {
        *counted.entry(window.bundle.version).or_default() += window.rows;
    }
    assert_eq!(counted, answered);
    assert_eq!(answered.values().sum::<u64>(), 8 * 400);
}

#[tokio::test]
async fn a_window_holds_exactly_what_a_reference_count_holds() {
    let (router, windows) = Router::start(quiet()).unwrap();
    router.install(loaded("mlp", 1)).unwrap();
    let sample = sample("mlp");
    let mut expected = Live::new(&Profile::from_json(&sample.profile()).unwrap());
    for (i, row) in sample.rows().iter().enumerate() {
        let label = i % 3;
        let request = Request { labels: vec![Some(label)], position: Some(i as u64 + 1), ..request(&router, row) };
        let answer = router.infer(request).await.unwrap();
        let values: Vec<Value<'_>> =
            row.iter().map(|v| if v.is_nan() { Value::Null } else { Value::from(*v) }).collect();
        let (class, score) = answer.answers.class(0).unwrap();
        expected.update_row(&values).unwrap();
        expected.observe_prediction(class, f64::from(score), answer.latency_us).unwrap();
        expected.observe_outcome(f64::from(score), class, label).unwrap();
    }
    let closed = all_windows(&router, windows);
    assert_eq!(closed.len(), 1);
    let window = &closed[0];
    assert_eq!(window.sketch, expected.encode());
    assert_eq!((window.rows, window.source_position), (12, Some(12)));
    assert!(window.from_unix_ms > 0 && window.from_unix_ms <= window.to_unix_ms);
}

#[tokio::test]
async fn windows_close_by_rows_by_time_and_when_the_model_changes() {
    let (router, mut windows) = Router::start(config(5, Duration::from_secs(3600))).unwrap();
    router.install(loaded("linear", 1)).unwrap();
    let row = sample("linear").rows()[0].clone();
    for position in 1..=12 {
        router.infer(Request { position: Some(position), ..request(&router, &row) }).await.unwrap();
    }
    router.install(loaded("linear", 2)).unwrap();
    router.infer(request(&router, &row)).await.unwrap();
    let seen = |w: &ClosedWindow| (w.bundle.version, w.rows, w.source_position);
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(seen(&windows.recv().await.unwrap()));
    }
    all.extend(all_windows(&router, windows).iter().map(seen));
    assert_eq!(all, [(1, 5, Some(5)), (1, 5, Some(10)), (1, 2, Some(12)), (2, 1, Some(12))]);

    let (router, mut windows) = Router::start(config(1000, Duration::from_millis(1))).unwrap();
    router.install(loaded("linear", 1)).unwrap();
    router.infer(request(&router, &row)).await.unwrap();
    let by_time = tokio::time::timeout(PATIENCE, windows.recv()).await.unwrap().unwrap();
    assert_eq!(by_time.rows, 1);
    router.shutdown();
}

#[tokio::test]
async fn windows_that_nobody_takes_pile_up_to_a_bound_and_lose_no_row() {
    let (router, windows) = Router::start(config(1, Duration::from_secs(3600))).unwrap();
    router.install(loaded("linear", 1)).unwrap();
    let row = sample("linear").rows()[0].clone();
    let mut rows = 0;
    for _ in 0..40 {
        router.infer(request(&router, &row)).await.unwrap();
        rows += 1;
    }
    let mut refused = false;
    for version in 2..60 {
        match router.install(loaded("linear", version)) {
            Ok(_) => {
                router.infer(request(&router, &row)).await.unwrap();
                rows += 1;
            }
            Err(error) => {
                assert!(matches!(error, RouterError::WindowsWaiting { .. }), "{error}");
                refused = true;
            }
        }
    }
    assert!(refused, "a stuck driver must be noticed");
    assert_eq!(all_windows(&router, windows).iter().map(|w| w.rows).sum::<u64>(), rows);
}

#[tokio::test]
async fn a_shadow_trial_compares_on_the_same_inputs_and_learns_outcomes() {
    let (router, _windows) = Router::start(quiet()).unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    router.install(fake(1, constant(0.9, &seen))).unwrap();
    let answer_by_row: Behaviour = Arc::new(|rows: &Matrix| {
        let p = if rows.row(0)[0] > 0.0 { 0.8 } else { 0.3 };
        Ok(Answers::new(Matrix::new(2, vec![1.0 - p, p])?, true))
    });
    router.set_candidate(fake(2, answer_by_row)).unwrap();
    assert_eq!(router.trial_stats(), None);
    router.start_trial(TrialMode::Shadow, TrialPolicy::default()).unwrap();
    for i in 0..30 {
        let mut row = [0.5; FEATURES];
        row[0] = if i % 3 == 0 { -1.0 } else { 1.0 };
        let mut request = request(&router, &row);
        // Half of the outcomes come along, the others are told later.
        request.id = Some(format!("r{i}"));
        request.labels = if i % 2 == 0 { vec![Some(1)] } else { vec![] };
        let answer = router.infer(request).await.unwrap();
        assert_eq!((answer.model.bundle.version, answer.answers.labels[0]), (1, 1));
    }
    let stats = trial_until(&router, |s| s.compared == 30).await;
    assert_eq!((stats.inferences, stats.errors, stats.disagreements, stats.judged), (30, 0, 10, 15));
    assert!(stats.varied && stats.p95_us > 0 && stats.baseline_p95_us > 0);
    for i in (1..30).step_by(2) {
        assert_eq!(router.feedback(&format!("r{i}"), &["1".into()]), Feedback::Counted(1));
    }
    let stats = router.trial_stats().unwrap();
    assert_eq!((stats.judged, stats.active_right, stats.candidate_right), (30, 30, 20));
    assert_eq!(router.feedback("r1", &["1".into()]), Feedback::Unknown);
    assert_eq!(seen.load(Ordering::SeqCst), 30);
    router.drop_candidate();
    assert!(router.trial_stats().is_none() && router.candidate().is_none());
    router.shutdown();
}

#[tokio::test]
async fn a_serving_candidate_that_fails_costs_the_application_nothing() {
    let (router, windows) = Router::start(quiet()).unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    router.install(fake(1, constant(0.9, &seen))).unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let broken: Behaviour = Arc::new(move |rows: &Matrix| match counter.fetch_add(1, Ordering::SeqCst) % 2 {
        0 => Err(EngineError::Run { engine: "fake".into(), why: "on purpose".into() }),
        _ => Ok(Answers::new(Matrix::new(2, vec![f32::NAN; 2 * rows.rows()])?, true)),
    });
    router.set_candidate(fake(2, broken)).unwrap();
    router.start_trial(TrialMode::Serve, TrialPolicy::default()).unwrap();
    for _ in 0..40 {
        let answer = router.infer(request(&router, &[0.0; FEATURES])).await.unwrap();
        assert_eq!((answer.model.bundle.version, answer.answers.labels[0]), (1, 1));
    }
    let stats = router.trial_stats().unwrap();
    // The guard let the active model answer again after 24 attempts (20 at least, looked at every 8).
    assert!(stats.errors >= 12 && stats.not_finite >= 12 && !stats.varied, "{stats:?}");
    assert_eq!(router.answering().unwrap().bundle.version, 1);
    let rows: u64 = all_windows(&router, windows).iter().map(|w| w.rows).sum();
    assert_eq!(rows, 40);
}

#[tokio::test]
async fn a_slow_candidate_is_sent_back_to_the_shadow_by_the_guard() {
    let (router, _windows) = Router::start(quiet()).unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    router.install(fake(1, constant(0.9, &seen))).unwrap();
    router.set_candidate(fake(2, constant(0.8, &seen))).unwrap();
    // No inference takes less than a microsecond (latencies are rounded up), so this budget is always missed.
    router.start_trial(TrialMode::Serve, TrialPolicy { p95_us: 0, ..TrialPolicy::default() }).unwrap();
    let mut versions = Vec::new();
    for _ in 0..40 {
        versions.push(router.infer(request(&router, &[0.0; FEATURES])).await.unwrap().model.bundle.version);
    }
    assert_eq!(versions.iter().filter(|v| **v == 2).count(), 24, "{versions:?}");
    assert_eq!(versions.last(), Some(&1));
    let stats = trial_until(&router, |s| s.compared == 40).await;
    assert_eq!(stats.inferences, 40);
    router.shutdown();
}

#[tokio::test]
async fn the_first_candidate_of_a_device_answers_alone() {
    let (router, _windows) = Router::start(quiet()).unwrap();
    let matrix = vec![Cell::Number(0.0); FEATURES];
    let signature = Arc::new(sample("linear").signature);
    let request = Request { id: None, batch: Batch::new(&signature, matrix).unwrap(), labels: vec![], position: None };
    assert_eq!(router.infer(request.clone()).await.unwrap_err(), InferError::NotReady);
    assert_eq!(router.start_trial(TrialMode::Serve, TrialPolicy::default()), Err(RouterError::NoCandidate));
    router.set_candidate(loaded("linear", 1)).unwrap();
    assert_eq!(router.infer(request.clone()).await.unwrap_err(), InferError::NotReady);
    router.start_trial(TrialMode::Shadow, TrialPolicy::default()).unwrap();
    router.infer(request.clone()).await.unwrap();
    let stats = router.trial_stats().unwrap();
    assert_eq!((stats.inferences, stats.compared, stats.baseline_p95_us), (1, 0, 0));
    router.promote().unwrap();
    router.infer(request.clone()).await.unwrap();
    assert_eq!(router.promote(), Err(RouterError::NoCandidate));
    router.shutdown();
    assert_eq!(router.infer(request).await.unwrap_err(), InferError::Stopping);
}

#[tokio::test]
async fn too_many_requests_are_refused_and_the_rest_is_answered() {
    let config = RouterConfig { workers: 1, max_inflight: 2, ..quiet() };
    let (router, _windows) = Router::start(config).unwrap();
    let (entered, has_entered) = mpsc::channel();
    let (release, gate) = mpsc::channel::<()>();
    let (entered, gate) = (Mutex::new(entered), Mutex::new(gate));
    let slow: Behaviour = Arc::new(move |rows: &Matrix| {
        entered.lock().unwrap().send(()).unwrap();
        gate.lock().unwrap().recv().unwrap();
        Ok(Answers::new(Matrix::new(2, [0.4, 0.6].repeat(rows.rows()))?, true))
    });
    router.install(fake(1, slow)).unwrap();
    let ask = |router: &Router| {
        let router = router.clone();
        tokio::spawn(async move { router.infer(request(&router, &[0.0; FEATURES])).await })
    };
    let running = ask(&router);
    let _has_entered = tokio::task::spawn_blocking(move || has_entered.recv_timeout(PATIENCE).map(|()| has_entered))
        .await
        .unwrap()
        .unwrap();
    let waiting = ask(&router);
    while router.inflight() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(router.infer(request(&router, &[0.0; FEATURES])).await.unwrap_err(), InferError::Busy { limit: 2 });
    assert_eq!(router.metrics().counts().refused, 1);
    release.send(()).unwrap();
    release.send(()).unwrap();
    running.await.unwrap().unwrap();
    waiting.await.unwrap().unwrap();
    router.shutdown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_model_is_gone_from_memory() {
    let (router, _windows) = Router::start(quiet()).unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let behaviour = constant(0.9, &seen);
    let weak = Arc::downgrade(&behaviour);
    router.install(fake(1, behaviour)).unwrap();
    for _ in 0..8 {
        router.infer(request(&router, &[0.0; FEATURES])).await.unwrap();
    }
    let epoch = router.install(loaded("linear", 2)).unwrap();
    let draining = router.clone();
    assert!(tokio::task::spawn_blocking(move || draining.drain(epoch, PATIENCE)).await.unwrap());
    assert!(weak.upgrade().is_none(), "someone still holds the old model");
    router.shutdown();
}

#[tokio::test]
async fn feedback_is_checked_before_it_counts() {
    let (router, windows) = Router::start(quiet()).unwrap();
    router.install(loaded("linear", 1)).unwrap();
    let rows = sample("linear").rows();
    let cells = rows[..2].concat().into_iter().map(Cell::Number).collect();
    let batch = Batch::new(&router.signature().unwrap(), cells).unwrap();
    router.infer(Request { id: Some("two".into()), batch, labels: vec![], position: None }).await.unwrap();
    let tell = |labels: &[&str]| router.feedback("two", &labels.iter().map(|l| (*l).into()).collect::<Vec<String>>());
    assert_eq!(tell(&["1"]), Feedback::Rows { expected: 2 });
    assert_eq!(tell(&["1", "7"]), Feedback::Label { index: 1 });
    assert_eq!(tell(&["1.0", "0"]), Feedback::Counted(2));
    assert_eq!(tell(&["1", "0"]), Feedback::Unknown);
    let closed = all_windows(&router, windows);
    let profile = Profile::from_json(&sample("linear").profile()).unwrap();
    let live = Live::decode(&profile, &closed[0].sketch).unwrap();
    assert_eq!((live.rows(), live.predictions().outcomes()), (2, 2));
}
