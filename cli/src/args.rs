//! The command line: nouns, then verbs.
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Train, sign, roll out and watch models on fleets of edge devices.
#[derive(Parser)]
#[command(name = "pinnace", version, about, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// Say more in the log (twice: everything).
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// End when the process with this id ends.
    #[arg(long, global = true, hide = true)]
    pub die_with_parent: Option<i32>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Show the whole loop on this machine: train, sign, roll out, drift, retrain, a bad model taken back.
    Demo(DemoArgs),
    /// Start the control plane: registry, broker, rollout engine, dashboard.
    Up(UpArgs),
    /// Write what a Mosquitto needs to serve the fleet: certificate, access rules, revocation list, configuration.
    BrokerFiles(BrokerFilesArgs),
    /// Train a model from a CSV file and put it into a bundle.
    Train(TrainArgs),
    /// Sign a bundle and publish it to the registry.
    Publish(PublishArgs),
    /// Keys: make, show, first ceremony, rotate, sign elsewhere, publish.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Check keys, expiry, disk, clock and database of a control plane. Exit code: 1 when something fails.
    Doctor(DoctorArgs),
    /// Devices: list, show, invite, withdraw an invitation, release, label, revoke.
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Bundles: list, inspect; sign, export and verify for third parties.
    #[command(subcommand)]
    Bundle(BundleCommand),
    /// Rollouts: start, watch, pause, promote, abort.
    #[command(subcommand)]
    Rollout(RolloutCommand),
    /// Show how live data differ from the reference.
    Drift(DriftArgs),
    /// Show what happened, oldest first.
    Events(EventsArgs),
    /// Run this program as a device's agent (the same as `pinnace-agent`).
    #[command(subcommand)]
    Agent(pinnace_agent::cli::AgentCommand),
    /// Simulate fleets: on virtual time, every failure replayable from its seed; or real connections, for load.
    #[command(subcommand)]
    Sim(crate::simulate::args::SimCommand),
}

/// `pinnace demo`.
#[derive(Args)]
pub struct DemoArgs {
    /// Weather stations to start.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..=64))]
    pub devices: u32,
    /// Folder for everything the demo writes; a temporary one, removed at the end, when left out.
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// End when the story is told; the status code says whether every step happened.
    #[arg(long)]
    pub exit: bool,
    /// Address of the dashboard; a free port when 7878 is taken.
    #[arg(long, default_value = "127.0.0.1:7878")]
    pub http: SocketAddr,
}

/// Where the control plane is and who we are there.
#[derive(Args, Clone)]
pub struct Plane {
    /// Address of the control plane.
    #[arg(long, env = "PINNACE_URL", default_value = "http://127.0.0.1:7878", global = true)]
    pub url: String,
    /// Data folder of the control plane, to read the admin token from.
    #[arg(long, env = "PINNACE_DATA", default_value = "pinnace-data", global = true)]
    pub data: PathBuf,
    /// Admin token; read from the data folder when left out.
    #[arg(long, env = "PINNACE_TOKEN", hide_env_values = true, global = true)]
    pub token: Option<String>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Format::Table, global = true)]
    pub output: Format,
}

/// How to print.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// `pinnace up`.
#[derive(Args)]
pub struct UpArgs {
    /// Folder for database, blobs and keys.
    #[arg(long, env = "PINNACE_DATA", default_value = "pinnace-data")]
    pub data: PathBuf,
    /// Address of API and dashboard (plain HTTP: keep it on loopback or behind a proxy).
    #[arg(long, default_value = "127.0.0.1:7878")]
    pub http: SocketAddr,
    /// Address devices join and fetch at (TLS).
    #[arg(long, default_value = "127.0.0.1:7879")]
    pub https: SocketAddr,
    /// Address of the embedded broker (MQTT 5, TLS with client certificates).
    #[arg(long, default_value = "127.0.0.1:7883")]
    pub mqtt: SocketAddr,
    /// Use this broker (`host:port`, TLS) instead of the embedded one.
    #[arg(long, conflicts_with = "mqtt")]
    pub broker: Option<String>,
    /// Host name or address that devices reach this machine by.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    /// Trust anchors of makers, PEM: their devices may join by their own certificates (IDevID), without a token.
    #[arg(long)]
    pub vendor_ca: Option<PathBuf>,
    /// The only serial numbers that may: a file with one in each line.
    #[arg(long, requires = "vendor_ca")]
    pub vendor_serials: Option<PathBuf>,
    /// Tenant.
    #[arg(long, default_value = "default")]
    pub tenant: String,
    /// Count intervals by this many windows of each device instead of by time (for replayed data).
    #[arg(long)]
    pub interval_windows: Option<u64>,
    /// Seconds of one interval.
    #[arg(long, default_value_t = 300, conflicts_with = "interval_windows")]
    pub interval: u64,
    /// Rows an interval needs before it is judged.
    #[arg(long, default_value_t = 1000)]
    pub interval_rows: u64,
}

/// `pinnace broker-files`.
#[derive(Args)]
pub struct BrokerFilesArgs {
    /// Data folder of the control plane; made when it is not there.
    #[arg(long, env = "PINNACE_DATA", default_value = "pinnace-data")]
    pub data: PathBuf,
    /// Address that Mosquitto listens on.
    #[arg(long, default_value = "0.0.0.0:8883")]
    pub listen: SocketAddr,
    /// Host name or address that devices reach it by; more than one may be named.
    #[arg(long)]
    pub name: Vec<String>,
    /// Tenant.
    #[arg(long, default_value = "default")]
    pub tenant: String,
    /// Folder for the files.
    #[arg(long)]
    pub out: PathBuf,
}

/// `pinnace train`.
#[derive(Args)]
pub struct TrainArgs {
    /// CSV file with a header, rows in the order of time.
    pub csv: PathBuf,
    /// Column to predict.
    #[arg(long)]
    pub label: String,
    /// Model family, e.g. `rain`.
    #[arg(long)]
    pub family: String,
    /// Version, from 1; also the release counter.
    #[arg(long)]
    pub version: u64,
    /// Learner.
    #[arg(long, value_enum, default_value_t = Learner::Boosting)]
    pub learner: Learner,
    /// Predict a number instead of a class.
    #[arg(long)]
    pub regression: bool,
    /// First row to use, from 0.
    #[arg(long)]
    pub from: Option<usize>,
    /// Row to stop before.
    #[arg(long)]
    pub to: Option<usize>,
    /// Columns to leave out.
    #[arg(long)]
    pub drop: Vec<String>,
    /// Seed of every random choice.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Rows that one drift decision will be based on.
    #[arg(long, default_value_t = 500)]
    pub block_rows: u32,
    /// Folder for the bundle.
    #[arg(long)]
    pub out: PathBuf,
}

/// Which learner.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Learner {
    /// Histogram gradient boosting.
    Boosting,
    /// Logistic regression.
    Logistic,
}

/// `pinnace publish`.
#[derive(Args)]
pub struct PublishArgs {
    /// Folder of the bundle.
    pub bundle: PathBuf,
    /// Folder of the offline keys; `keys` in the data folder when left out.
    #[arg(long)]
    pub keys: Option<PathBuf>,
    /// Sign nothing here: write this draft, for trainer and approver to sign where their keys are.
    #[arg(long, conflicts_with_all = ["keys", "signed"])]
    pub draft: Option<PathBuf>,
    /// Publish what this draft says, with the signature files beside it.
    #[arg(long, conflicts_with_all = ["keys", "hardware"])]
    pub signed: Option<PathBuf>,
    /// Public half of the trainer's key, for the draft of a new family.
    #[arg(long, requires_all = ["draft", "approver"])]
    pub trainer: Option<PathBuf>,
    /// Public half of the approver's key, for the draft of a new family.
    #[arg(long, requires_all = ["draft", "trainer"])]
    pub approver: Option<PathBuf>,
    /// Hardware classes it is released for; all known ones when left out.
    #[arg(long)]
    pub hardware: Vec<String>,
    /// The control plane.
    #[command(flatten)]
    pub plane: Plane,
}

/// `pinnace keys`.
#[derive(Subcommand)]
pub enum KeysCommand {
    /// Make a key: FILE holds the secret (mode 0600), FILE.pub the public half.
    Generate {
        /// Where to write it; never overwritten.
        file: PathBuf,
    },
    /// Show who holds which role, or what a key, draft or metadata file is.
    Show {
        /// A key file, its `.pub`, a draft, or signed metadata; the running control plane when left out.
        file: Option<PathBuf>,
        /// The control plane.
        #[command(flatten)]
        plane: Plane,
    },
    /// Draft the first metadata of a fleet from public halves; the offline keys stay where they are.
    Init(KeysInitArgs),
    /// Draft a change of a role's keys, or (with no key named) a later end of its documents.
    Rotate(KeysRotateArgs),
    /// Sign a draft with one key: says in clear words what is signed, writes DRAFT.<key>.sig.json.
    Sign {
        /// The draft.
        draft: PathBuf,
        /// The key file.
        #[arg(long)]
        key: PathBuf,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
    /// Put a draft and its signatures together, judge it as a device would, and hand it to the control plane.
    ///
    /// First metadata go into the data folder instead, where `pinnace up` finds them.
    Publish {
        /// The draft.
        draft: PathBuf,
        /// Signature files; those beside the draft when left out.
        signatures: Vec<PathBuf>,
        /// The control plane.
        #[command(flatten)]
        plane: Plane,
    },
}

/// `pinnace keys init`.
#[derive(Args)]
pub struct KeysInitArgs {
    /// Public half of a root key; name three, made on three machines.
    #[arg(long, required = true)]
    pub root: Vec<PathBuf>,
    /// Root keys that must sign.
    #[arg(long, default_value_t = 2)]
    pub root_threshold: u64,
    /// Public half of a director root key; the root keys when left out.
    #[arg(long)]
    pub director_root: Vec<PathBuf>,
    /// Public half of a targets key: it names who trains and approves each family.
    #[arg(long, required = true)]
    pub targets: Vec<PathBuf>,
    /// Targets keys that must sign.
    #[arg(long, default_value_t = 1)]
    pub targets_threshold: u64,
    /// Folder of the plane's own keys (snapshot, timestamp, director): `keys/online` in its data folder, or their
    /// public halves; keys that are missing are made there.
    #[arg(long, default_value = "pinnace-data/keys/online")]
    pub online: PathBuf,
    /// Days that the roots are good for.
    #[arg(long, default_value_t = 365)]
    pub days: u64,
    /// Folder for the drafts.
    #[arg(long, default_value = ".")]
    pub out: PathBuf,
}

/// `pinnace keys rotate`.
#[derive(Args)]
pub struct KeysRotateArgs {
    /// root, targets, snapshot, timestamp, director-root, director, or a model family (its trainer and approver).
    pub role: String,
    /// Public half of a key that comes in.
    #[arg(long)]
    pub add: Vec<PathBuf>,
    /// Key that goes: the beginning of its id, or its public half.
    #[arg(long)]
    pub remove: Vec<String>,
    /// Signatures needed from now on.
    #[arg(long)]
    pub threshold: Option<u64>,
    /// Days that the new documents are good for; the usual life of each when left out.
    #[arg(long)]
    pub days: Option<u64>,
    /// Folder with the published metadata (`<version>.<role>.json`) instead of a running control plane.
    #[arg(long)]
    pub from: Option<PathBuf>,
    /// The draft; named after role and version in this folder when left out.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// The control plane.
    #[command(flatten)]
    pub plane: Plane,
}

/// `pinnace doctor`.
#[derive(Args)]
pub struct DoctorArgs {
    /// The control plane; what can be seen in its data folder is checked too.
    #[command(flatten)]
    pub plane: Plane,
}

/// `pinnace device`.
#[derive(Subcommand)]
pub enum DeviceCommand {
    /// List all devices.
    Ls {
        /// The control plane.
        #[command(flatten)]
        plane: Plane,
    },
    /// Show one device: what it runs, what it should run, and why.
    Show {
        /// Its name.
        device: String,
        /// The control plane.
        #[command(flatten)]
        plane: Plane,
    },
    /// Make a token that lets a device join, or several.
    Invite {
        /// The only name it admits; also lets a device of that name join again.
        #[arg(conflicts_with_all = ["uses", "allow"])]
        device: Option<String>,
        /// Devices it admits; one, or as many as are listed, when left out.
        #[arg(long)]
        uses: Option<u64>,
        /// The only names it admits, each once: a file with one in each line (of CSV the first column), or `a,b,c`.
        #[arg(long, value_name = "FILE|NAME,…")]
        allow: Option<String>,
        /// Seconds it is good for; a day when left out.
        #[arg(long)]
        life: Option<u64>,
        /// The control plane.
        #[command(flatten)]
        plane: Plane,
    },
    /// List the newest invitations, or whom one of them admitted and may admit.
    Invitations {
        /// Its id.
        id: Option<String>,
        /// The control plane.
        #[command(flatten)]
        plane: Plane,
    },
    /// Withdraw an invitation: it admits nobody any more. Who joined with it stays.
    Uninvite {
        /// Its id, as `pinnace device invitations` shows it.
        id: String,
        /// The control plane.
        #[command(flatten)]
        plane: Plane,
    },
    /// Give one device a signed command and wait for its answer; carried out at most once.
    Command {
        /// Its name.
        device: String,
        /// What: revert, pause, resume, collect-diagnostics, renew or restart.
        kind: String,
        /// Seconds for which it is good, should the device be offline.
        #[arg(long, value_name = "SECONDS")]
        life: Option<u64>,
        /// Seconds to wait for the answer.
        #[arg(long, value_name = "SECONDS", default_value_t = 30)]
        wait: u64,
        /// The control plane.
        #[command(flatten)]
        plane: Plane,
    },
    /// Release a device that was quarantined because it existed twice: the copy is gone, or it was a restored disk.
    Release {
        /// Its name.
        device: String,
        /// The control plane.
        #[command(flatten)]
        plane: Plane,
    },
    /// Void a device's certificates: stolen, sold, scrapped. It comes back with an invitation for its name alone.
    ///
    /// Device API and embedded broker refuse it at once and close its connections. A broker of your own goes by the
    /// revocation list: docs/BROKERS.md.
    Revoke {
        /// Its name.
        device: String,
        /// The control plane.
        #[command(flatten)]
        plane: Plane,
    },
    /// Replace the labels of a device.
    Label {
        /// Its name.
        device: String,
        /// `key=value` each.
        labels: Vec<String>,
        /// The control plane.
        #[command(flatten)]
        plane: Plane,
    },
}

/// `pinnace bundle`.
#[derive(Subcommand)]
pub enum BundleCommand {
    /// List published bundles.
    Ls {
        /// The control plane.
        #[command(flatten)]
        plane: Plane,
    },
    /// Check and describe a bundle's folder.
    Inspect {
        /// The folder.
        dir: PathBuf,
    },
    /// Say what is in a model, refuse what must not be, and ask every engine its golden vectors.
    Lint(LintArgs),
    /// Sign the bundle in a folder for third parties; `publish` does it too.
    Sign {
        /// The folder.
        dir: PathBuf,
        /// Folder of the offline keys.
        #[arg(long)]
        keys: PathBuf,
    },
    /// Write a published bundle into a folder, for tools of third parties (`docs/SUPPLY_CHAIN.md`).
    Export {
        /// The bundle, e.g. `rain/v3`.
        bundle: String,
        /// The folder; made, or empty.
        dir: PathBuf,
        /// First root of the image repository (`1.root.json`), from its owner; the control plane's word is taken when
        /// left out.
        #[arg(long)]
        root: Option<PathBuf>,
        /// The control plane.
        #[command(flatten)]
        plane: Plane,
    },
    /// Check the bundle in a folder as a third party would: with a public key and nothing else.
    Verify {
        /// The folder.
        dir: PathBuf,
        /// The trainer's public key (PEM), from the publisher and not from this folder.
        #[arg(long)]
        key: PathBuf,
    },
}

/// `pinnace bundle lint`.
#[derive(Args)]
pub struct LintArgs {
    /// An ONNX model, or a bundle's folder.
    pub model: PathBuf,
    /// Golden vectors of a model without a bundle, in the form of a bundle's `golden.json`.
    #[arg(long)]
    pub golden: Option<PathBuf>,
    /// Output to compare with them; the first of f32 when left out.
    #[arg(long)]
    pub tensor: Option<String>,
    /// Freeze a named dimension, e.g. `width=30`.
    #[arg(long, value_name = "NAME=VALUE")]
    pub dim: Vec<String>,
    /// Write a clean copy: dimensions frozen, notes of shapes left out.
    #[arg(long, value_name = "FILE")]
    pub clean: Option<PathBuf>,
    /// Library of ONNX Runtime; looked for in the usual places when left out.
    #[arg(long, env = "PINNACE_ORT_LIB")]
    pub ort: Option<PathBuf>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub output: Format,
}

/// `pinnace rollout`.
#[derive(Subcommand)]
pub enum RolloutCommand {
    /// List rollouts, newest first.
    Ls {
        /// The control plane.
        #[command(flatten)]
        plane: Plane,
    },
    /// Start bringing a bundle to the fleet, in waves.
    Start {
        /// The bundle, e.g. `rain/v3`.
        bundle: String,
        /// Policy file (JSON); fields left out have their defaults.
        #[arg(long)]
        policy: Option<PathBuf>,
        /// Only devices with these labels, `key=value` joined by commas.
        #[arg(long)]
        target: Option<String>,
        /// Stay and watch.
        #[arg(long)]
        watch: bool,
        /// The control plane.
        #[command(flatten)]
        plane: Plane,
    },
    /// Show where a rollout stands. Exit code: 0 completed or going on, 1 failed or rolled back.
    Status {
        /// The rollout.
        rollout: String,
        /// The control plane.
        #[command(flatten)]
        plane: Plane,
    },
    /// Follow a rollout to its end. Exit code: 0 completed, 1 rolled back, 124 when the time is over.
    Watch {
        /// The rollout.
        rollout: String,
        /// Seconds to wait at most.
        #[arg(long, default_value_t = 86_400)]
        timeout: u64,
        /// The control plane.
        #[command(flatten)]
        plane: Plane,
    },
    /// Let a draft begin.
    Approve {
        /// The rollout.
        rollout: String,
        /// The control plane.
        #[command(flatten)]
        plane: Plane,
    },
    /// Stop offering; what was offered goes on.
    Pause {
        /// The rollout.
        rollout: String,
        /// The control plane.
        #[command(flatten)]
        plane: Plane,
    },
    /// Go on after a pause.
    Resume {
        /// The rollout.
        rollout: String,
        /// The control plane.
        #[command(flatten)]
        plane: Plane,
    },
    /// Open the next wave now.
    Promote {
        /// The rollout.
        rollout: String,
        /// The control plane.
        #[command(flatten)]
        plane: Plane,
    },
    /// Take the bundle back from every device that has it.
    Abort {
        /// The rollout.
        rollout: String,
        /// Why, for the history.
        #[arg(long, default_value = "the operator asked for it")]
        reason: String,
        /// The control plane.
        #[command(flatten)]
        plane: Plane,
    },
}

/// `pinnace drift`.
#[derive(Args)]
pub struct DriftArgs {
    /// The bundle, e.g. `rain/v3`; the newest one that runs somewhere when left out.
    pub bundle: Option<String>,
    /// The control plane.
    #[command(flatten)]
    pub plane: Plane,
}

/// `pinnace events`.
#[derive(Args)]
pub struct EventsArgs {
    /// Stay and show what comes.
    #[arg(short, long)]
    pub follow: bool,
    /// How many of the newest.
    #[arg(long, default_value_t = 50)]
    pub last: usize,
    /// The control plane.
    #[command(flatten)]
    pub plane: Plane,
}
