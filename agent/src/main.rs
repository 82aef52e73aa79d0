//! pinnace-agent: the daemon on a device. `pinnace agent` is the same program.
use std::process::ExitCode;

use clap::Parser;
use pinnace_agent::cli::{self, AgentCommand};
use pinnace_agent::log_ring::ToRing;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Fetches, verifies, runs and watches signed models on this device.
#[derive(Parser)]
#[command(name = "pinnace-agent", version, arg_required_else_help = true)]
struct Cli {
    /// What to do.
    #[command(subcommand)]
    command: AgentCommand,
}

fn main() -> ExitCode {
    // Models are tried in a child process first; that child is this program.
    if pinnace_agent::engine::probe_main() {
        return ExitCode::SUCCESS;
    }
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| "info,sled=warn,tract=warn,rumqttc=warn,ort=warn".into());
    // To people and, once the agent runs, to the ring on disk.
    let on_disk = tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).with_writer(|| ToRing);
    let shown = tracing_subscriber::fmt::layer().with_target(false).with_writer(std::io::stderr);
    tracing_subscriber::registry().with(filter).with(shown).with(on_disk).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("error: the runtime does not start: {e}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(cli::run(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}
