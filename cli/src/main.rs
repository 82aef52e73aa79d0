//! pinnace: sign a model once, land it on every device, watch it there, take it back by itself when it goes wrong.
mod args;
mod client;
mod commands;
mod demo;
mod fleet;
mod open_files;
mod output;
mod simulate;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Command};

/// Simulated fleets allocate for every message: with the system's allocator they take a third longer.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Models are tried in a child process first; that child is this program.
    if pinnace_agent::engine::probe_main() {
        return ExitCode::SUCCESS;
    }
    let cli = Cli::parse();
    if let Some(parent) = cli.die_with_parent
        && let Err(why) = demo::process::die_with_parent(parent)
    {
        return output::failure(&why);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return output::failure(&format!("the runtime does not start: {e}")),
    };
    output::logging(cli.verbose, &cli.command);
    let result = runtime.block_on(async {
        match cli.command {
            Command::Demo(a) => demo::run(a).await,
            Command::Up(a) => commands::up::run(a).await,
            Command::BrokerFiles(a) => commands::broker::run(&a).await,
            Command::Train(a) => commands::train::run(a),
            Command::Publish(a) => commands::publish::run(a).await,
            Command::Keys(c) => commands::keys::run(c).await,
            Command::Doctor(a) => commands::doctor::run(a).await,
            Command::Device(c) => commands::device::run(c).await,
            Command::Bundle(c) => commands::bundle::run(c).await,
            Command::Rollout(c) => commands::rollout::run(c).await,
            Command::Drift(a) => commands::drift::run(a).await,
            Command::Events(a) => commands::events::run(a).await,
            Command::Agent(c) => pinnace_agent::cli::run(c).await.map_err(|e| output::Failure::error(e.to_string())),
            Command::Sim(c) => simulate::run(c).await,
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
