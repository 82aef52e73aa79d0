//! Measures what docs/PERF.md says of engines: `engine_figures [LIBRARY]`, with ONNX Runtime when its library is named.
//!
//! Start to first inference with and without a remembered choice, swaps by availability under load, memory. Small models
//! (8 features, a few KB): what is measured is the agent and not the model.
#[path = "../tests/common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::{gateway, sample};
use pinnace_agent::engine::{Engines, LibrarySearch, ProbePolicy, probe_main};
use pinnace_agent::ledger::SledLedger;
use pinnace_agent::router::{Batch, Cell, Request, Router, RouterConfig, TrialMode, WindowLimits};
use pinnace_protocol::manifest::TrialPolicy;

/// Clients that ask without a pause.
const CLIENTS: usize = 4;
/// Swaps under their load.
const SWAPS: u64 = 40;
/// Time that the clients have to themselves before each swap.
const BETWEEN: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    if probe_main() {
        return;
    }
    let library = std::env::args().nth(1).map(PathBuf::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(library));
}

async fn run(library: Option<PathBuf>) {
    let home = tempfile::tempdir().unwrap();
    for what in ["tried", "remembered"] {
        let (took, engine) = start(home.path(), &library).await;
        println!("start to first inference, {what}: {:.1} ms with {engine}", ms(took));
    }
    let (router, mut windows) = Router::start(config()).unwrap();
    // Somebody takes the windows that each swap closes, as the driver does.
    tokio::spawn(async move { while windows.recv().await.is_some() {} });
    let engines = engines(home.path(), &library);
    router.install(engines.load(&bundle(1)).unwrap()).unwrap();
    println!("PSS with one model: {} KiB", kib("smaps_rollup", "Pss:"));
    swaps(router, engines).await;
    println!("most RAM since the start: {} KiB", kib("status", "VmHWM:"));
}

fn config() -> RouterConfig {
    RouterConfig::of_profile(&gateway(), WindowLimits { rows: 10_000_000, interval: Duration::from_secs(3600) })
}

fn engines(home: &Path, library: &Option<PathBuf>) -> Engines {
    let search = LibrarySearch { configured: library.clone(), ..LibrarySearch::default() };
    let policy = ProbePolicy::this_program().unwrap();
    Engines::discover(&gateway(), &search, policy).remembering(home.join("choices.json"))
}

fn bundle(version: u64) -> pinnace_protocol::trust::VerifiedBundle {
    sample(if version.is_multiple_of(2) { "linear_other" } else { "linear" }).bundle(version, &["ort", "tract"])
}

/// Does what an agent does from its start to its first answer: ledger, engines, router, model, one request.
async fn start(home: &Path, library: &Option<PathBuf>) -> (Duration, String) {
    let began = Instant::now();
    let ledger = SledLedger::open(&home.join("ledger")).unwrap();
    let engines = engines(home, library);
    let (router, _windows) = Router::start(config()).unwrap();
    router.install(engines.load(&bundle(1)).unwrap()).unwrap();
    let answer = router.infer(request(&router)).await.unwrap();
    let took = began.elapsed();
    drop(ledger);
    let stopping = router.clone();
    tokio::task::spawn_blocking(move || stopping.shutdown()).await.unwrap();
    (took, answer.model.engine.clone())
}

fn request(router: &Router) -> Request {
    let cells = sample("linear").rows()[0].iter().map(|v| Cell::Number(*v)).collect();
    let batch = Batch::new(&router.signature().unwrap(), cells).unwrap();
    Request { id: None, batch, labels: vec![], position: None }
}

/// Swaps models while clients ask; a refused or failed request is one that was dropped.
async fn swaps(router: Router, engines: Engines) {
    let (stop, answered, dropped, slowest) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicU64::new(0)),
    );
    let prepared = request(&router);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (router, stop, answered) = (router.clone(), Arc::clone(&stop), Arc::clone(&answered));
            let (dropped, slowest, prepared) = (Arc::clone(&dropped), Arc::clone(&slowest), prepared.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    match router.infer(prepared.clone()).await {
                        Ok(_) => answered.fetch_add(1, Ordering::Relaxed),
                        Err(_) => dropped.fetch_add(1, Ordering::Relaxed),
                    };
                    slowest
                        .fetch_max(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
                }
            })
        })
        .collect();
    let swapper = router.clone();
    let began = Instant::now();
    let (mut loads, mut takeovers) = tokio::task::spawn_blocking(move || {
        let (mut loads, mut takeovers) = (Vec::new(), Vec::new());
        for version in 2..2 + SWAPS {
            std::thread::sleep(BETWEEN);
            let began = Instant::now();
            swapper.set_candidate(engines.load(&bundle(version)).unwrap()).unwrap();
            swapper.start_trial(TrialMode::Serve, TrialPolicy { p95_us: u32::MAX, ..TrialPolicy::default() }).unwrap();
            loads.push(began.elapsed());
            let began = Instant::now();
            let epoch = swapper.promote().unwrap();
            assert!(swapper.drain(epoch, PATIENCE), "the old model is let go of");
            takeovers.push(began.elapsed());
        }
        (loads, takeovers)
    })
    .await
    .unwrap();
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    loads.sort_unstable();
    takeovers.sort_unstable();
    let middle = |times: &[Duration]| times.get(times.len() / 2).copied().unwrap_or_default();
    println!(
        "{SWAPS} swaps, {CLIENTS} clients: {} answered ({:.0}/s), {} dropped, slowest answer {:.1} ms",
        answered.load(Ordering::Relaxed),
        answered.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64(),
        dropped.load(Ordering::Relaxed),
        slowest.load(Ordering::Relaxed) as f64 / 1e3
    );
    println!(
        "trial and load of the new model: median {:.1} ms; takeover, until the old one is let go of: median {:.3} ms, longest {:.3} ms",
        ms(middle(&loads)),
        ms(middle(&takeovers)),
        ms(takeovers.last().copied().unwrap_or_default())
    );
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn kib(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
}
