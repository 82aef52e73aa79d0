//! `pinnace sim fleet`: light devices by the thousand against a real control plane.
//!
//! Each is the agent's own core with its own certificate, report key and connection; only disk, engine and sources are
//! of memory and air. What the plane and the broker see is what a fleet of that size would send.
mod chance;
mod counters;
mod disk;
mod fetch;
mod home;
mod join;
pub mod limits;
mod load;
mod model;
mod process;
mod report;
mod shell;
mod store;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::args::Format;
use crate::client::Client;
use crate::commands::asked_to_stop;
use crate::open_files;
use crate::output::Failure;
use crate::simulate::args::FleetArgs;
use counters::Counters;
use home::Home;
use join::Names;
use limits::{DRAIN_LIMIT, FILES_BESIDES, FILES_PER_DEVICE, HEARTBEAT_MIN_S, LINE_EVERY, LOOK, STOP_LIMIT};
use load::Mould;
use report::{Lines, Mark, Marks, Report, Teller};
use store::Store;

/// How all devices behave.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Between two reports when nothing changes.
    pub heartbeat: Duration,
    /// Of one window; none for a fleet without statistics.
    pub window: Option<Duration>,
    /// Rows of one window.
    pub rows: u32,
    /// Devices whose trials fail, per mille.
    pub failing: u32,
}

/// What all devices share.
pub struct Shared {
    settings: Settings,
    counters: Counters,
    store: Store,
    draining: AtomicBool,
    stop: CancellationToken,
}

impl Shared {
    /// Returns whether no window may be closed any more: the run ends.
    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// Runs the command.
pub async fn run(args: FleetArgs) -> Result<(), Failure> {
    let json = args.json || args.plane.output == Format::Json;
    let teller = Teller { json };
    let wanted = FILES_BESIDES + u64::from(args.devices) * FILES_PER_DEVICE;
    let allowed = open_files::raise();
    if allowed < wanted {
        return Err(Failure::error(format!(
            "{} devices need {wanted} open files, the system allows {allowed}\n  hint: raise the limit (`ulimit -Hn`), or use several machines",
            args.devices
        )));
    }
    let settings = Settings {
        heartbeat: Duration::from_secs(args.heartbeat.max(HEARTBEAT_MIN_S)),
        window: (args.window > 0).then(|| Duration::from_secs(args.window)),
        rows: args.rows,
        failing: args.failing,
    };
    let shared = Arc::new(Shared {
        settings,
        counters: Counters::default(),
        store: Store::default(),
        draining: AtomicBool::new(false),
        stop: CancellationToken::new(),
    });
    let mut marks = Marks { begun: Mark::now(args.plane_pid), joined: None, connected: None };
    if args.plane_pid.is_some_and(|pid| process::Usage::of(Some(pid)).is_none()) {
        return Err(Failure::error("--plane-pid names no process\n  hint: `pgrep -f 'pinnace up'` shows its id"));
    }
    let mut tasks = JoinSet::new();
    let told = {
        let mut told = std::pin::pin!(tell(&args, &shared, &mut marks, &mut tasks, teller));
        tokio::select! {
            told = &mut told => told,
            () = asked_to_stop() => Ok(()),
        }
    };
    told?;
    drain(&shared, teller).await;
    let report = Report::new(u64::from(args.devices), &shared.counters, &marks, &Mark::now(args.plane_pid));
    shared.stop.cancel();
    // What does not end in time is cut; everything that counts was acknowledged before.
    let _ = tokio::time::timeout(STOP_LIMIT, async { while tasks.join_next().await.is_some() {} }).await;
    report.print(json);
    Ok(())
}

/// Joins, connects, and watches until the time is over.
async fn tell(
    args: &FleetArgs,
    shared: &Arc<Shared>,
    marks: &mut Marks,
    tasks: &mut JoinSet<()>,
    teller: Teller,
) -> Result<(), Failure> {
    let client = Client::new(&args.plane)?;
    let names = Names {
        prefix: args.prefix.clone(),
        count: args.devices,
        device_profile: args.profile.clone(),
        labels: args.label.clone(),
    };
    let bar = teller.bar("joining");
    let joined = join::join(&client, &names, Home::open(args.home.as_deref())?, &shared.counters, &bar).await?;
    bar.finish_and_clear();
    marks.joined = Some(Mark::now(args.plane_pid));
    teller.line(&format!(
        "{} devices have identities, {} of them joined now in {:.1} s.",
        joined.members.len(),
        joined.new,
        joined.took.as_secs_f64()
    ));

    let bar = teller.bar("connecting");
    let mould = Mould::new(Arc::clone(shared), joined.anchor, args.broker.as_deref(), &args.profile, &args.label)?;
    mould.start(tasks, &joined.members, args.connect_rate, &bar).await?;
    drop(joined.members);
    bar.finish_and_clear();
    marks.connected = Some(Mark::now(args.plane_pid));
    teller.line(&format!("{} devices are connected. Ctrl-C ends the fleet.", shared.counters.connected.get()));

    let mut lines = Lines::new(&shared.counters);
    let watch = async {
        loop {
            tokio::time::sleep(LINE_EVERY).await;
            teller.line(&lines.next(&shared.counters));
        }
    };
    match args.seconds {
        // Its time being over is how it should end.
        Some(seconds) => drop(tokio::time::timeout(Duration::from_secs(seconds), watch).await),
        None => watch.await,
    }
    Ok(())
}

/// Closes no more windows and waits for the acknowledgements of those that were.
async fn drain(shared: &Shared, teller: Teller) {
    shared.draining.store(true, Ordering::Relaxed);
    let counters = &shared.counters;
    let missing = || counters.closed.get().saturating_sub(counters.acknowledged.get());
    let done = async {
        while missing() > 0 {
            tokio::time::sleep(LOOK).await;
        }
    };
    if missing() > 0 {
        teller.line(&format!("Waiting for the acknowledgements of {} windows.", missing()));
    }
    tokio::select! {
        _ = tokio::time::timeout(DRAIN_LIMIT, done) => {}
        // Asked a second time.
        () = asked_to_stop() => {}
    }
}
