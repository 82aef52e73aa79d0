//! Puts an agent together and runs it: identity, memory, engines, router, link, local API, source.
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pinnace_agent_core::api::{Config, Intervals};
use pinnace_firmware_targets::{DeviceProfile, ProfileError};
use pinnace_protocol::ids::DeviceId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::cli::RunArgs;
use crate::driver::{Ask, Driver, DriverError, Hands, Inbox, Memory};
use crate::engine::{EngineError, Engines, LibrarySearch, ProbePolicy};
use crate::event_log::EventLog;
use crate::fetch::Fetcher;
use crate::files::{self, FileError};
use crate::health::HealthProbe;
use crate::http::{self, ClientIdentity, TlsSetupError};
use crate::identity::{Identity, IdentityError};
use crate::join::{self, JoinError};
use crate::ledger::{LedgerError, LedgerKind};
use crate::link::{self, LinkConfig};
use crate::log_ring;
use crate::notify::{Notifier, NotifyEnv};
use crate::renewal::Renewer;
use crate::router::{Router, RouterConfig, RouterError, WindowLimits};
use crate::serve::{self, ServeError, SourceStatus, Status, StatusBoard};
use crate::settings::{Settings, SettingsError};
use crate::slots::Slots;
use crate::sources::{self, SourceConfig, SourceError};
use crate::worker::Worker;

/// Messages that may wait for the driver from each side.
const CHANNEL: usize = 64;
/// Seconds since 1970 when this source was written: no device's clock can be right and earlier.
pub(crate) const NOT_BEFORE_S: u64 = 1_795_000_000;
/// Bytes of a MiB.
const MIB: u64 = 1024 * 1024;

/// Says why an agent cannot start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Joining failed.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// No usable identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The ledger is not to be had.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The driver had to stop.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// Disk trouble.
    #[error(transparent)]
    File(#[from] FileError),
    /// No such device profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The engines cannot be tried.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The router cannot start.
    #[error(transparent)]
    Router(#[from] RouterError),
    /// The local API cannot listen.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
    /// The owner's settings cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The file source cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Something in the identity is unusable.
    #[error("the trust anchor's {0} is not usable\n  hint: join again with a new token")]
    Anchor(&'static str),
    /// The system refuses something basic.
    #[error("the system refuses {what}: {why}\n  hint: look at the limits of this user (`ulimit -a`)")]
    System {
        /// What.
        what: &'static str,
        /// What it said.
        why: String,
    },
}

/// Runs an agent until it is asked to stop (SIGTERM, Ctrl-C).
///
/// # Errors
/// [`RunError`] when it cannot start, or when a commit failed: the supervisor starts it again and recovery decides.
pub async fn run(args: RunArgs) -> Result<(), RunError> {
    let home = args.home.home.clone();
    files::create_dir(&home)?;
    let identity = identity(&args).await?;
    let profile = pinnace_firmware_targets::builtin(&identity.device.device_profile)?;
    let source = args.source.config()?;
    if let Err(e) = log_ring::keep(&home, u64::from(profile.storage.log_mib) * MIB) {
        tracing::warn!("the log is not kept on disk: {e}");
    }

    let search = LibrarySearch::of_this_system(args.ort.clone(), Vec::new());
    let policy = ProbePolicy::this_program()?;
    let engines = tokio::task::block_in_place(|| Engines::discover(&profile, &search, policy));
    let engines = Arc::new(engines.remembering(home.join("choices.json")));
    for note in engines.notes() {
        tracing::info!("{note}");
    }

    let folder = home.join("ledger");
    let kind =
        args.ledger.or_else(|| LedgerKind::found_in(&folder)).unwrap_or_else(|| LedgerKind::of_profile(&profile));
    let memory = Memory::new(&home, kind.open(&folder)?);
    let (stored, position) = memory.load()?;
    let limits = WindowLimits { rows: args.window_rows, interval: Duration::from_secs(args.window_seconds) };
    let (router, windows) = Router::start(RouterConfig::of_profile(&profile, limits))?;

    let (events, link) = mpsc::channel(CHANNEL);
    let (fetch_done, fetched) = mpsc::channel(CHANNEL);
    let (work_done, done) = mpsc::channel(CHANNEL);
    let (asks_in, asks) = mpsc::channel(CHANNEL);
    let (renew, renewals) = mpsc::channel(1);
    let restart = CancellationToken::new();
    let board = StatusBoard::new(Status {
        device: identity.device.device.to_string(),
        device_profile: profile.name.clone(),
        engines: engines.capabilities(),
        notes: engines.notes().to_vec(),
        ..Status::default()
    });
    board.update(|s| s.link.address = identity.anchor.mqtt.clone());

    let client = ClientIdentity::new(&identity.cert_pem, &identity.key_pem)?;
    let renewer = Renewer::new(home.clone(), &identity, client.clone());
    let tls = http::tls_config(&identity.anchor.ca_pem, Some(client))?;
    let (host, port) = identity
        .anchor
        .mqtt
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host.to_string(), port.parse().ok()?)))
        .ok_or(RunError::Anchor("broker address"))?;
    let config = config(&args, &identity, &profile, &engines)?;
    let seed = config.seed;
    let sender = link::start(
        LinkConfig {
            host,
            port,
            tls: tls.clone(),
            tenant: identity.device.tenant.clone(),
            device: identity.device.device.clone(),
        },
        events,
    );
    let worker = Worker::start(Slots::open(&home)?, engines, router.clone(), work_done)
        .map_err(|e| RunError::System { what: "a thread", why: e.to_string() })?;
    let hands = Hands {
        sender,
        fetcher: Fetcher::new(http::client(Some(tls))?, &identity.anchor.https_url, fetch_done),
        worker,
        router: router.clone(),
        board: board.clone(),
        report_key: identity.report_key,
        notifier: Notifier::open(&NotifyEnv::of_this_process()),
        settings: Settings::load(&home, args.config.as_deref())?,
        renew,
        restart: restart.clone(),
        home: home.clone(),
    };
    let log = args.event_log.as_deref().map_or_else(EventLog::off, EventLog::open);
    let driver = Driver::recover(config, stored, memory, hands, HealthProbe::new(&home), log)?;

    let stop = CancellationToken::new();
    api(&args, &router, &board, asks_in.clone(), &stop).await?;
    let commands = (renewals, asks_in.clone());
    tokio::spawn(renewer.run(identity.cert_pem, seed, board.clone(), commands, stop.clone()));
    tokio::spawn(reload(home.clone(), args.config.clone(), asks_in, stop.clone()));
    if let Some(source) = source {
        tokio::spawn(replay(source, router, position.unwrap_or(0), board, stop.clone()));
    }
    let driver = tokio::spawn(driver.run(Inbox { link, fetched, done, windows, asks }, stop.clone()));
    let mut driver = std::pin::pin!(driver);
    let ended = tokio::select! {
        ended = &mut driver => ended,
        () = restart.cancelled() => {
            tracing::info!("an operator asks to start again: the last window is closed and kept");
            stop.cancel();
            driver.await
        }
        () = asked_to_stop() => {
            tracing::info!("stopping: the last window is closed and kept");
            stop.cancel();
            driver.await
        }
    };
    stop.cancel();
    match ended {
        Ok(result) => {
            result?;
            if restart.is_cancelled() { Err(start_again()) } else { Ok(()) }
        }
        Err(e) => Err(RunError::System { what: "the driver's task", why: e.to_string() }),
    }
}

async fn identity(args: &RunArgs) -> Result<Identity, RunError> {
    let home = &args.home.home;
    match (&args.join, &args.device) {
        (Some(token), Some(device)) if !Identity::exists(home) => {
            let device = DeviceId::parse(device)
                .map_err(|e| RunError::System { what: "this device name", why: e.to_string() })?;
            Ok(join::join(home, token, device, &args.profile, args.label.clone()).await?)
        }
        _ => Ok(Identity::load(home)?),
    }
}

fn config(args: &RunArgs, identity: &Identity, profile: &DeviceProfile, engines: &Engines) -> Result<Config, RunError> {
    let anchor = &identity.anchor;
    let mut key = [0; 32];
    hex::decode_to_slice(&anchor.plane_key, &mut key).map_err(|_| RunError::Anchor("message key"))?;
    let plane_key = ed25519_dalek::VerifyingKey::from_bytes(&key).map_err(|_| RunError::Anchor("message key"))?;
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|e| RunError::System { what: "random bytes", why: e.to_string() })?;
    let (epoch, seed) = random.split_at(8);
    let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |n, b| (n << 8) | u64::from(*b));
    Ok(Config {
        tenant: identity.device.tenant.clone(),
        device: identity.device.device.clone(),
        agent: env!("CARGO_PKG_VERSION").into(),
        device_profile: identity.device.device_profile.clone(),
        arch: std::env::consts::ARCH.into(),
        labels: identity.device.labels.clone(),
        engines: engines.capabilities().into_iter().map(|c| c.label).collect(),
        memory_mib: profile.agent.memory_mib,
        // Two bundles and the ledger share the space.
        bundle_max_bytes: u64::from(profile.storage.free_mib) * MIB / 3,
        plane_key,
        verifier: pinnace_protocol::signature::Verifier::STRICT,
        image_root: anchor.image_root.clone().into_bytes(),
        director_root: anchor.director_root.clone().into_bytes(),
        not_before_s: NOT_BEFORE_S.max(anchor.issued),
        new_epoch: number(epoch),
        seed: number(seed),
        intervals: Intervals { heartbeat_ms: args.heartbeat.max(1) * 1000, ..Intervals::default() },
    })
}

async fn api(
    args: &RunArgs,
    router: &Router,
    board: &StatusBoard,
    asks: mpsc::Sender<Ask>,
    stop: &CancellationToken,
) -> Result<(), RunError> {
    let app = serve::app(router.clone(), board.clone()).merge(serve::asks(asks));
    let listener = serve::bind_tcp(args.listen).await?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!("applications are served at http://{address}/v2");
    }
    let ended = stop.clone();
    tokio::spawn(serve::serve_tcp(listener, app.clone(), async move { ended.cancelled().await }));
    if let Some(path) = &args.socket {
        let listener = serve::bind_unix(&PathBuf::from(path)).await?;
        let ended = stop.clone();
        tokio::spawn(serve::serve_unix(listener, app, async move { ended.cancelled().await }));
    }
    Ok(())
}

/// Replays the file source and shows on the board how far it is.
async fn replay(config: SourceConfig, router: Router, position: u64, board: StatusBoard, stop: CancellationToken) {
    let path = config.path.display().to_string();
    let shown = board.clone();
    let progress = move |report: &sources::SourceReport| {
        let status = SourceStatus {
            path: path.clone(),
            position: report.position,
            rows: report.rows,
            bad_cells: report.bad_cells,
            finished: report.finished,
        };
        shown.update(|s| s.source = Some(status));
    };
    match sources::replay(config, router, position, stop, progress).await {
        Ok(report) if report.finished => tracing::info!("the source is read to its end: {} rows answered", report.rows),
        Ok(_) => {}
        Err(e) => {
            tracing::error!("{e}");
            board.update(|s| s.notes.push(e.to_string()));
        }
    }
}

/// Becomes the same program anew, with the same process id, so that no supervisor is needed for it. Returns only when the
/// system refuses; a supervisor then does it.
fn start_again() -> RunError {
    use std::os::unix::process::CommandExt as _;
    let again = std::env::current_exe().map(|program| {
        let mut command = std::process::Command::new(program);
        command.args(std::env::args_os().skip(1)).exec()
    });
    let why = match again {
        Ok(e) | Err(e) => e.to_string(),
    };
    RunError::System { what: "to start the agent again", why }
}

/// Reads the settings again with every SIGHUP; a file that does not read changes nothing.
async fn reload(home: PathBuf, named: Option<PathBuf>, asks: mpsc::Sender<Ask>, stop: CancellationToken) {
    let Ok(mut hangup) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) else { return };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(()) = hangup.recv() => {}
        }
        match Settings::load(&home, named.as_deref()) {
            Ok(settings) => {
                if asks.send(Ask::Settings(Box::new(settings))).await.is_err() {
                    return;
                }
            }
            Err(e) => tracing::error!("the settings stay as they were: {e}"),
        }
    }
}

async fn asked_to_stop() {
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminate => {}
    }
}
