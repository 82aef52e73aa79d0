//! pinnace-agent: the daemon on a device. `pinnace agent` is the same program.
use std::process::ExitCode;

use clap::Parser;
use pinnace_agent::cli::{self, AgentCommand};

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
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
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
