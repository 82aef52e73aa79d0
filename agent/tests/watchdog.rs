//! The service manager hears of a driver that turns, and nothing more of one that stands still.
mod common;

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::Duration;

use pinnace_agent::driver::{Driver, Hands, Inbox, Memory};
use pinnace_agent::event_log::EventLog;
use pinnace_agent::fetch::Fetcher;
use pinnace_agent::health::HealthProbe;
use pinnace_agent::http;
use pinnace_agent::ledger::{Change, Ledger, LedgerError};
use pinnace_agent::link::{self, LinkConfig};
use pinnace_agent::notify::{Notifier, NotifyEnv};
use pinnace_agent::router::{ClosedWindow, Router, RouterConfig, WindowLimits};
use pinnace_agent::serve::StatusBoard;
use pinnace_agent::settings::Settings;
use pinnace_agent::slots::Slots;
use pinnace_agent::worker::Worker;
use pinnace_agent_core::api::{Config, Intervals, Stored};
use pinnace_protocol::ids::{DeviceId, Digest, TenantId};
use pinnace_protocol::message::ReportKey;
use pinnace_protocol::signature::Verifier;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Microseconds of the watchdog: it is fed at least three times within them.
const WATCHDOG_US: u64 = 300_000;
/// Seconds that a message may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A ledger on a disk that stops answering at the first window, until it is let go.
struct Stuck {
    reached: std_mpsc::Sender<()>,
    go_on: std_mpsc::Receiver<()>,
}

impl Ledger for Stuck {
    fn load(&self) -> Result<Vec<(String, Vec<u8>)>, LedgerError> {
        Ok(Vec::new())
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), LedgerError> {
        let is_window = |c: &Change| matches!(c, Change::Put { key, .. } if key.starts_with("window/"));
        if changes.iter().any(is_window) {
            self.reached.send(()).unwrap();
            self.go_on.recv().unwrap();
        }
        Ok(())
    }
}

fn config(key: &ReportKey) -> Config {
    Config {
        tenant: TenantId::parse("acme").unwrap(),
        device: DeviceId::parse("dev-1").unwrap(),
        agent: "0".into(),
        device_profile: "x86-gateway".into(),
        arch: "x86_64".into(),
        labels: Vec::new(),
        engines: Vec::new(),
        memory_mib: 64,
        bundle_max_bytes: 1 << 20,
        plane_key: key.verifying_key(),
        verifier: Verifier::STRICT,
        image_root: Vec::new(),
        director_root: Vec::new(),
        not_before_s: 0,
        new_epoch: 1,
        seed: 1,
        intervals: Intervals::default(),
    }
}

fn next(socket: &UnixDatagram) -> io::Result<String> {
    let mut buffer = [0; 512];
    let n = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..n]).into_owned())
}

/// Reads until a message begins with `wanted`, and returns it.
fn until(socket: &UnixDatagram, wanted: &str) -> String {
    loop {
        let message = next(socket).unwrap_or_else(|e| panic!("{wanted} did not come: {e}"));
        if message.starts_with(wanted) {
            return message;
        }
    }
}

fn notifier(path: &Path) -> Notifier {
    Notifier::open(&NotifyEnv {
        socket: Some(path.into()),
        watchdog_us: Some(WATCHDOG_US.to_string()),
        watchdog_pid: Some(std::process::id().to_string()),
    })
}

fn window() -> ClosedWindow {
    ClosedWindow {
        bundle: "demo/v1".parse().unwrap(),
        profile: Digest::of(b"profile"),
        from_unix_ms: 1,
        to_unix_ms: 2,
        rows: 1,
        sketch: vec![1],
        source_position: None,
    }
}

#[test]
fn the_watchdog_hears_of_a_loop_that_turns_and_of_no_other() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let _inside = runtime.enter();
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();

    let (reached, is_stuck) = std_mpsc::channel();
    let (let_go, go_on) = std_mpsc::channel();
    let key = ReportKey::from_bytes(&[7; 32]);
    let authority = rcgen::generate_simple_self_signed(["nobody".to_owned()]).unwrap().cert.pem();
    let tls = http::tls_config(&authority, None).unwrap();
    let (link_events, link) = mpsc::channel(4);
    let (fetch_done, fetched) = mpsc::channel(4);
    let (work_done, done) = mpsc::channel(4);
    let (closed, windows) = mpsc::channel(4);
    let (_asks, asks) = mpsc::channel(1);
    let (renew, _renewals) = mpsc::channel(1);
    let profile = common::gateway();
    let limits = WindowLimits { rows: 10, interval: Duration::from_secs(60) };
    let (router, _router_windows) = Router::start(RouterConfig::of_profile(&profile, limits)).unwrap();
    let sender = link::start(
        LinkConfig {
            // Nobody listens there.
            host: "127.0.0.1".into(),
            port: 1,
            tls: tls.clone(),
            tenant: TenantId::parse("acme").unwrap(),
            device: DeviceId::parse("dev-1").unwrap(),
        },
        link_events,
    );
    let slots = Slots::open(temp.path()).unwrap();
    let worker = Worker::start(slots, Arc::new(common::tract_only()), router.clone(), work_done).unwrap();
    let hands = Hands {
        sender,
        fetcher: Fetcher::new(http::client(Some(tls)).unwrap(), "https://127.0.0.1:1", fetch_done),
        worker,
        router,
        board: StatusBoard::default(),
        report_key: key.clone(),
        notifier: notifier(&path),
        settings: Settings::default(),
        renew,
        restart: CancellationToken::new(),
        home: temp.path().into(),
    };
    let memory = Memory::new(temp.path(), Box::new(Stuck { reached, go_on }));
    let probe = HealthProbe::new(temp.path());
    let driver = Driver::recover(config(&key), Stored::default(), memory, hands, probe, EventLog::off()).unwrap();
    let stop = CancellationToken::new();
    let running = runtime.spawn(driver.run(Inbox { link, fetched, done, windows, asks }, stop.clone()));

    until(&socket, "READY=1");
    assert_eq!(until(&socket, "STATUS="), "STATUS=has no model yet; offline");
    for _ in 0..4 {
        until(&socket, "WATCHDOG=1");
    }

    closed.blocking_send(window()).unwrap();
    is_stuck.recv_timeout(LIMIT).unwrap();
    // What was sent before it stood still is read first; then nothing comes for as long as the watchdog waits.
    socket.set_nonblocking(true).unwrap();
    while next(&socket).is_ok() {}
    socket.set_nonblocking(false).unwrap();
    socket.set_read_timeout(Some(Duration::from_micros(2 * WATCHDOG_US))).unwrap();
    let silence = next(&socket).unwrap_err();
    assert_eq!(silence.kind(), io::ErrorKind::WouldBlock, "a loop that stands still feeds nobody");

    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let_go.send(()).unwrap();
    until(&socket, "WATCHDOG=1");
    stop.cancel();
    drop(closed);
    runtime.block_on(running).unwrap().unwrap();
    until(&socket, "STOPPING=1");
}
