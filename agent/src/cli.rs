//! The agent's commands, shared by `pinnace-agent` and `pinnace agent`.
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use pinnace_protocol::ids::{DeviceId, Digest};

use crate::doctor::{self, Findings, Mark, Places};
use crate::engine::ProbePolicy;
use crate::files::{self, FileError};
use crate::http;
use crate::join;
use crate::ledger::LedgerKind;
use crate::log_ring::{LineLevel, Reader};
use crate::run;
use crate::sources::{SourceConfig, SourceError};

/// Seconds a local request may take.
const LOCAL_LIMIT_S: u64 = 10;
/// Bytes of a maker's certificate with its chain, or of its key.
const IDEVID_MAX_BYTES: u64 = 64 * 1024;
/// Bytes of an answer of the local API.
const LOCAL_MAX_BYTES: usize = 4 * 1024 * 1024;

/// The agent's commands.
#[derive(Subcommand)]
pub enum AgentCommand {
    /// Join a control plane with a token, or with the certificate of the device's maker.
    Join(JoinArgs),
    /// Run: fetch, verify, serve, watch.
    Run(Box<RunArgs>),
    /// Show what a running agent serves and how it fares.
    Status(LocalArgs),
    /// Show the log that the agent keeps on disk; also without a running agent.
    Logs(LogsArgs),
    /// Look for what may go wrong with this device, before it does; also without a running agent.
    Doctor(DoctorArgs),
    /// Ask a running agent to take the newest model back.
    Revert(LocalArgs),
}

/// Where the agent keeps everything.
#[derive(Args, Clone)]
pub struct Home {
    /// Folder for identity, ledger and models.
    #[arg(long, env = "PINNACE_AGENT_HOME", default_value = "/var/lib/pinnace-agent")]
    pub home: PathBuf,
}

/// `join`.
#[derive(Args)]
pub struct JoinArgs {
    /// The token, as `pinnace device invite` printed it.
    #[arg(required_unless_present = "idevid_cert", conflicts_with = "idevid_cert")]
    pub token: Option<String>,
    /// Name of this device.
    #[arg(long)]
    pub device: String,
    /// Certificate of the device's maker (IDevID) with its chain, PEM, instead of a token.
    #[arg(long, requires_all = ["idevid_key", "plane", "anchor_hash"])]
    pub idevid_cert: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long, requires = "idevid_cert")]
    pub idevid_key: Option<PathBuf>,
    /// Address of the control plane's API, e.g. http://plane.example:7878.
    #[arg(long, requires = "idevid_cert")]
    pub plane: Option<String>,
    /// SHA-256 of the control plane's trust anchor, 64 digits; `pinnace up --vendor-ca` prints it.
    #[arg(long, requires = "idevid_cert")]
    pub anchor_hash: Option<String>,
    /// Hardware class.
    #[arg(long, default_value = "x86-gateway")]
    pub profile: String,
    /// Labels, `key=value`.
    #[arg(long)]
    pub label: Vec<String>,
    /// Folder.
    #[command(flatten)]
    pub home: Home,
}

/// `run`.
#[derive(Args)]
pub struct RunArgs {
    /// Folder.
    #[command(flatten)]
    pub home: Home,
    /// Join with this token first, when the device has no identity yet.
    #[arg(long, requires = "device")]
    pub join: Option<String>,
    /// Name of this device, for joining.
    #[arg(long)]
    pub device: Option<String>,
    /// Hardware class, for joining.
    #[arg(long, default_value = "x86-gateway")]
    pub profile: String,
    /// Labels, `key=value`, for joining.
    #[arg(long)]
    pub label: Vec<String>,
    /// Address of the local API (loopback).
    #[arg(long, default_value = "127.0.0.1:7890")]
    pub listen: SocketAddr,
    /// Unix socket of the local API.
    #[arg(long)]
    pub socket: Option<PathBuf>,
    /// Library of ONNX Runtime; looked for in the usual places when left out.
    #[arg(long, env = "PINNACE_ORT_LIB")]
    pub ort: Option<PathBuf>,
    /// Rows of one statistics window.
    #[arg(long, default_value_t = 10_000)]
    pub window_rows: u64,
    /// Seconds after which a window closes however few rows it has.
    #[arg(long, default_value_t = 300)]
    pub window_seconds: u64,
    /// Seconds between two reports when nothing changes.
    #[arg(long, default_value_t = 60)]
    pub heartbeat: u64,
    /// Settings of the device's owner; agent.toml in the folder when left out. Read again on SIGHUP.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Store of a new ledger; by the device profile when left out. One that is there is kept.
    #[arg(long, value_enum)]
    pub ledger: Option<LedgerKind>,
    /// Record every turn in this file, for `pinnace sim replay-log`; at most 64 MiB, and as much in FILE.1.
    #[arg(long, value_name = "FILE")]
    pub event_log: Option<PathBuf>,
    /// A file whose rows are predicted through the same router.
    #[command(flatten)]
    pub source: SourceArgs,
}

/// A file whose rows are predicted.
#[derive(Args, Clone)]
pub struct SourceArgs {
    /// CSV or NDJSON file to predict, row by row.
    #[arg(long)]
    pub source: Option<PathBuf>,
    /// Rows per second; as fast as possible when left out.
    #[arg(long, requires = "source")]
    pub rate: Option<f64>,
    /// Rows to leave out at the start of the file.
    #[arg(long, default_value_t = 0)]
    pub skip: u64,
    /// Take only every this many rows, so that devices can share a file.
    #[arg(long, default_value_t = 1)]
    pub stride: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    pub offset: u64,
    /// Rows to take at most.
    #[arg(long)]
    pub limit: Option<u64>,
    /// Column that holds the true answer.
    #[arg(long)]
    pub label_column: Option<String>,
}

impl SourceArgs {
    /// Returns the replay that is asked for; none when no file is named.
    ///
    /// # Errors
    /// [`SourceError`] when the file's kind is unknown or a number makes no sense.
    pub fn config(&self) -> Result<Option<SourceConfig>, SourceError> {
        let Some(path) = &self.source else { return Ok(None) };
        let config = SourceConfig {
            rate: self.rate,
            skip: self.skip,
            stride: self.stride,
            offset: self.offset,
            limit: self.limit,
            label: self.label_column.clone(),
            ..SourceConfig::of_file(path)?
        };
        config.check()?;
        Ok(Some(config))
    }
}

/// `logs`.
#[derive(Args)]
pub struct LogsArgs {
    /// Folder.
    #[command(flatten)]
    pub home: Home,
    /// Go on showing what comes.
    #[arg(short, long)]
    pub follow: bool,
    /// Only since then: a time such as 2026-11-27T10:00, or so long ago: 30m, 2h, 1d.
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// Only of at least this importance.
    #[arg(long, value_enum, default_value = "info")]
    pub level: LineLevel,
}

/// `doctor`.
#[derive(Args)]
pub struct DoctorArgs {
    /// Folder.
    #[command(flatten)]
    pub home: Home,
    /// Where the local API is.
    #[command(flatten)]
    pub local: LocalArgs,
    /// Library of ONNX Runtime; looked for in the usual places when left out.
    #[arg(long, env = "PINNACE_ORT_LIB")]
    pub ort: Option<PathBuf>,
    /// Print JSON: a list of `check`, `state` (ok, warn, FAIL), `found`, `hint`.
    #[arg(long)]
    pub json: bool,
}

/// Where the local API is.
#[derive(Args)]
pub struct LocalArgs {
    /// Address of the local API.
    #[arg(long, default_value = "127.0.0.1:7890")]
    pub listen: SocketAddr,
}

/// Says why a command failed; the text ends in a hint.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Joining failed.
    #[error(transparent)]
    Join(#[from] join::JoinError),
    /// Running failed.
    #[error(transparent)]
    Run(#[from] run::RunError),
    /// The device's name is not one.
    #[error(transparent)]
    Name(#[from] pinnace_protocol::ids::IdError),
    /// The anchor's hash is not one.
    #[error("--anchor-hash is not a SHA-256\n  hint: 64 hexadecimal digits, as `pinnace up` prints them")]
    AnchorHash,
    /// A file of the factory cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The doctor found something that does not work.
    #[error("checks that fail: {0}\n  hint: follow the hints above, then run `pinnace-agent doctor` again")]
    Unwell(usize),
    /// `--since` is no time.
    #[error("--since `{0}` is no time\n  hint: 2026-11-27T10:00, or so long ago: 30m, 2h, 1d")]
    Since(String),
    /// Models cannot be probed.
    #[error(transparent)]
    Engine(#[from] crate::engine::EngineError),
    /// The local API does not answer.
    #[error(
        "no agent answers at {0}: {1}\n  hint: start it with `pinnace-agent run`, or name its address with --listen"
    )]
    Local(SocketAddr, String),
}

/// Carries out a command.
///
/// # Errors
/// [`AgentError`].
pub async fn run(command: AgentCommand) -> Result<(), AgentError> {
    match command {
        AgentCommand::Join(args) => {
            let device = DeviceId::parse(&args.device)?;
            let identity = match factory(&args)? {
                Some(factory) => {
                    join::join_by_vendor(&args.home.home, &factory, device, &args.profile, args.label).await?
                }
                None => {
                    let token = args.token.unwrap_or_default();
                    join::join(&args.home.home, &token, device, &args.profile, args.label).await?
                }
            };
            println!("Joined {} as {}. Next: pinnace-agent run", identity.anchor.https_url, identity.device.device);
            Ok(())
        }
        AgentCommand::Run(args) => Ok(run::run(*args).await?),
        AgentCommand::Status(args) => {
            let body = local(&args, reqwest::Method::GET, "/v1/status").await?;
            println!("{body}");
            Ok(())
        }
        AgentCommand::Doctor(args) => doctor(args).await,
        AgentCommand::Logs(args) => logs(args).await,
        AgentCommand::Revert(args) => {
            local(&args, reqwest::Method::POST, "/v1/revert").await?;
            println!("The agent was asked to take its newest model back; `pinnace-agent status` shows what serves.");
            Ok(())
        }
    }
}

/// Between two looks at a log that is followed.
const FOLLOW: Duration = Duration::from_millis(500);

async fn logs(args: LogsArgs) -> Result<(), AgentError> {
    use std::io::Write as _;
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let since = args.since.as_deref().map(|text| since(text, now_s).ok_or_else(|| AgentError::Since(text.into())));
    let mut reader = Reader::new(&args.home.home, args.level, &since.transpose()?.unwrap_or_default());
    loop {
        let mut out = std::io::stdout().lock();
        for line in reader.lines() {
            if writeln!(out, "{line}").is_err() {
                // Nobody reads any more.
                return Ok(());
            }
        }
        drop(out);
        if !args.follow {
            return Ok(());
        }
        tokio::time::sleep(FOLLOW).await;
    }
}

/// Returns the moment that `--since` names, as the beginning of a time in the log; none when it names none.
fn since(text: &str, now_s: u64) -> Option<String> {
    if text.len() >= 10 && text.as_bytes().get(4) == Some(&b'-') && text.is_ascii() {
        return Some(text.to_owned());
    }
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    let ago: u64 = number.parse::<u64>().ok()?.checked_mul(seconds)?;
    let at = jiff::Timestamp::from_second(i64::try_from(now_s.saturating_sub(ago)).ok()?).ok()?;
    Some(at.to_string().trim_end_matches('Z').to_owned())
}

async fn doctor(args: DoctorArgs) -> Result<(), AgentError> {
    let places = Places {
        home: args.home.home,
        listen: args.local.listen,
        root: "/".into(),
        now_s: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        ort: args.ort,
        policy: ProbePolicy::this_program()?,
        uid: rustix::process::geteuid().as_raw(),
    };
    let Findings(found) = doctor::look(&places).await;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&found).unwrap_or_default());
    } else {
        for finding in &found {
            println!("{:4}  {:16}  {}", finding.state.as_str(), finding.check, finding.found);
            if !finding.hint.is_empty() {
                println!("{:24}hint: {}", "", finding.hint);
            }
        }
    }
    match found.iter().filter(|finding| finding.state == Mark::Fail).count() {
        0 => Ok(()),
        failed => Err(AgentError::Unwell(failed)),
    }
}

/// Returns what the factory gave the device, when it is named.
fn factory(args: &JoinArgs) -> Result<Option<join::Factory>, AgentError> {
    let (Some(cert), Some(key), Some(url), Some(hash)) =
        (&args.idevid_cert, &args.idevid_key, &args.plane, &args.anchor_hash)
    else {
        return Ok(None);
    };
    let anchor = Digest::from_hex(hash).ok_or(AgentError::AnchorHash)?;
    let read = |path: &Path| {
        let bytes = files::read_bounded(path, IDEVID_MAX_BYTES)?;
        let missing = || FileError::new("read", path, std::io::ErrorKind::NotFound.into());
        Ok::<_, AgentError>(String::from_utf8_lossy(&bytes.ok_or_else(missing)?).into_owned())
    };
    let (cert_pem, key_pem) = (read(cert)?, read(key)?);
    Ok(Some(join::Factory { url: url.trim_end_matches('/').to_owned(), anchor, cert_pem, key_pem }))
}

async fn local(args: &LocalArgs, method: reqwest::Method, path: &str) -> Result<String, AgentError> {
    let failed = |why: String| AgentError::Local(args.listen, why);
    let client = http::client(None).map_err(|e| failed(e.to_string()))?;
    let request = client
        .request(method, format!("http://{}{path}", args.listen))
        .timeout(std::time::Duration::from_secs(LOCAL_LIMIT_S));
    let response = request.send().await.map_err(|e| failed(e.without_url().to_string()))?;
    let status = response.status();
    let body = http::read_body(response, LOCAL_MAX_BYTES).await.map_err(failed)?;
    let body = String::from_utf8_lossy(&body).into_owned();
    if status.is_success() { Ok(body) } else { Err(failed(format!("status {status}: {body}"))) }
}
