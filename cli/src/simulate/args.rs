//! What `pinnace sim` can be asked.
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::args::Plane;

/// `pinnace sim`.
#[derive(Subcommand)]
pub enum SimCommand {
    /// Run one fleet from one seed.
    Run(RunArgs),
    /// Run many seeds, on all cores.
    Sweep(SweepArgs),
    /// Cut the power at every operation of an install, with every image of the disk.
    CrashSweep(CrashArgs),
    /// Run seeds twice and compare: nothing may depend on anything but the seed.
    Meta(MetaArgs),
    /// Everything that a change has to pass: seeds, crashes, a large fleet, repeated runs.
    Gate(GateArgs),
    /// Run a saved case again, up to a moment, and tell a device's story.
    Replay(ReplayArgs),
    /// Replay what a device recorded with `pinnace-agent run --event-log FILE`.
    ReplayLog {
        /// The event log.
        file: PathBuf,
    },
    /// Make a failing case small.
    Minimize(MinimizeArgs),
    /// Run your fleet, your policy and your bundle, and check what you expect of them.
    Scenario(ScenarioArgs),
    /// Show a simulated fleet in the dashboard.
    Serve(ServeArgs),
    /// Connect many light devices of the real protocol to a running control plane, for load.
    Fleet(Box<FleetArgs>),
}

/// A fleet.
#[derive(Args, Clone)]
pub struct Fleet {
    /// The seed, hexadecimal; of a commit hash the first 16 digits count.
    #[arg(long, default_value = "1")]
    pub seed: String,
    /// Devices.
    #[arg(long, default_value_t = 20)]
    pub devices: u32,
    /// Virtual hours at most.
    #[arg(long, default_value_t = 24)]
    pub hours: u32,
    /// What goes wrong: calm, chaos, powerloss, hostile or drift.
    #[arg(long, default_value = "chaos")]
    pub profile: String,
}

/// `pinnace sim run`.
#[derive(Args)]
pub struct RunArgs {
    /// The fleet.
    #[command(flatten)]
    pub fleet: Fleet,
    /// Save the run as a case, to be edited and replayed.
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Write a page with the timeline, the exposure and the gates' evidence.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `pinnace sim sweep`.
#[derive(Args)]
pub struct SweepArgs {
    /// How many seeds.
    #[arg(long, default_value_t = 200)]
    pub seeds: u64,
    /// First seed, hexadecimal; in CI give the commit hash.
    #[arg(long, default_value = "1")]
    pub first: String,
    /// Devices of each fleet; three to eight by the seed when left out.
    #[arg(long)]
    pub devices: Option<u32>,
    /// Virtual hours at most; what the profile needs when left out.
    #[arg(long)]
    pub hours: Option<u32>,
    /// What goes wrong: calm, chaos, powerloss, hostile or drift; all in turn when left out.
    #[arg(long)]
    pub profile: Option<String>,
    /// End after this time, e.g. 5m.
    #[arg(long, value_name = "TIME")]
    pub budget: Option<String>,
    /// Write JUnit XML.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Save the failing runs as cases into this folder.
    #[arg(long, value_name = "DIR")]
    pub save: Option<PathBuf>,
    /// Print which faults met which phase.
    #[arg(long)]
    pub coverage: bool,
    /// Fail when a required meeting of fault and phase never happened.
    #[arg(long)]
    pub require_coverage: bool,
}

/// `pinnace sim crash-sweep`.
#[derive(Args)]
pub struct CrashArgs {
    /// Sudden ends in one history: 1 or 2.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=2))]
    pub depth: u32,
    /// Of the histories with two ends, take every how-manieth first one.
    #[arg(long, default_value_t = 1)]
    pub stride: u64,
}

/// `pinnace sim meta`.
#[derive(Args)]
pub struct MetaArgs {
    /// How many seeds.
    #[arg(long, default_value_t = 20)]
    pub seeds: u64,
    /// First seed, hexadecimal.
    #[arg(long, default_value = "1")]
    pub first: String,
    /// Print each run's hash, to be compared with another machine's.
    #[arg(long)]
    pub print: bool,
}

/// `pinnace sim gate`.
#[derive(Args)]
pub struct GateArgs {
    /// First seed, hexadecimal; in CI give the commit hash.
    #[arg(long, default_value = "1")]
    pub first: String,
    /// Seeds over all profiles.
    #[arg(long, default_value_t = 2_000)]
    pub seeds: u64,
    /// Devices of the large fleet, for one virtual hour.
    #[arg(long, default_value_t = 100_000)]
    pub devices: u32,
    /// Seeds run twice.
    #[arg(long, default_value_t = 20)]
    pub meta: u64,
    /// Fail when a required meeting of fault and phase never happened; for fixed seeds, some 2,000 of them.
    #[arg(long)]
    pub require_coverage: bool,
}

/// `pinnace sim replay`.
#[derive(Args)]
pub struct ReplayArgs {
    /// The case.
    pub case: PathBuf,
    /// Stop at this virtual time, e.g. 12:03:11.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Tell this device's story.
    #[arg(long)]
    pub device: Option<usize>,
    /// Write a page with the timeline, the exposure and the gates' evidence.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// `pinnace sim minimize`.
#[derive(Args)]
pub struct MinimizeArgs {
    /// The case.
    pub case: PathBuf,
    /// Where to write the small one; beside the case when left out.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `pinnace sim scenario`.
#[derive(Args)]
pub struct ScenarioArgs {
    /// The scenario, TOML.
    pub file: PathBuf,
    /// Run it from so many seeds; every one has to pass.
    #[arg(long, default_value_t = 1)]
    pub seeds: u64,
    /// The first seed, hexadecimal, instead of the file's.
    #[arg(long, value_name = "HEX")]
    pub seed: Option<String>,
    /// Write JUnit XML.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write a page of the first seed that fails, or of the first.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `pinnace sim serve`.
#[derive(Args)]
pub struct ServeArgs {
    /// The fleet.
    #[command(flatten)]
    pub fleet: Fleet,
    /// Virtual seconds in one second, e.g. 60x.
    #[arg(long, default_value = "60x")]
    pub speed: String,
    /// Where the dashboard listens.
    #[arg(long, default_value = "127.0.0.1:7979")]
    pub listen: SocketAddr,
}

/// `pinnace sim fleet`.
#[derive(Args)]
pub struct FleetArgs {
    /// Devices.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(crate::fleet::limits::DEVICES_MAX)))]
    pub devices: u32,
    /// First part of their names; a number follows.
    #[arg(long, default_value = "light")]
    pub prefix: String,
    /// Hardware class they say they are.
    #[arg(long, default_value = "x86-gateway")]
    pub profile: String,
    /// Labels, `key=value`.
    #[arg(long, default_value = "fleet=light")]
    pub label: Vec<String>,
    /// Seconds between two reports of a device when nothing changes.
    #[arg(long, default_value_t = 60)]
    pub heartbeat: u64,
    /// Seconds of one statistics window; 0 for none.
    #[arg(long, default_value_t = 300)]
    pub window: u64,
    /// Rows of one window.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(crate::fleet::limits::ROWS_MAX)))]
    pub rows: u32,
    /// Devices whose trials report errors, per mille.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub failing: u32,
    /// Devices that begin to connect in a second.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pub connect_rate: u32,
    /// Connect to this broker (`host:port`) instead of the one that the control plane names.
    #[arg(long)]
    pub broker: Option<String>,
    /// Folder to keep identities in, so that the next run need not join again.
    #[arg(long)]
    pub home: Option<PathBuf>,
    /// End this many seconds after the devices have connected.
    #[arg(long)]
    pub seconds: Option<u64>,
    /// Process id of the control plane on this machine, to tell what it uses.
    #[arg(long)]
    pub plane_pid: Option<u32>,
    /// Print the last table as JSON; everything else goes to standard error.
    #[arg(long)]
    pub json: bool,
    /// The control plane.
    #[command(flatten)]
    pub plane: Plane,
}
