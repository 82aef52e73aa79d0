//! `pinnace sim`: fleets on virtual time, every failure replayable from its seed.
//!
//! Exit codes: 0 every invariant held, 1 one was violated, 2 what was given cannot be used, 3 the same seed went two
//! ways, 4 the time was over before all seeds had run.
pub mod args;
mod field;
mod gate;
mod many;
mod one;
mod serve;
mod source;

use std::path::Path;

use pinnace_simulator::{Case, Options, Profile, Verdict, parse_seed};

use crate::output::{Failure, line};
use args::{Fleet, SimCommand};

/// Exit code: what was given cannot be used.
const USAGE: u8 = 2;
/// Exit code: the same seed went two ways.
const NONDETERMINISM: u8 = 3;
/// Exit code: the time was over before all seeds had run.
const BUDGET: u8 = 4;

/// Runs the command.
pub async fn run(command: SimCommand) -> Result<(), Failure> {
    match command {
        SimCommand::Run(args) => one::run(&args),
        SimCommand::Sweep(args) => many::sweep(&args),
        SimCommand::CrashSweep(args) => many::crash_sweep(&args),
        SimCommand::Meta(args) => many::meta(&args),
        SimCommand::Gate(args) => gate::run(&args),
        SimCommand::Replay(args) => one::replay(&args),
        SimCommand::ReplayLog { file } => field::replay(&file),
        SimCommand::Minimize(args) => one::minimize(&args),
        SimCommand::Scenario(args) => one::scenario(&args),
        SimCommand::Serve(args) => serve::run(args).await,
        SimCommand::Fleet(args) => crate::fleet::run(*args).await,
    }
}

fn unusable(text: impl Into<String>) -> Failure {
    Failure::coded(USAGE, text)
}

/// Returns the options that a person wrote.
fn options(fleet: &Fleet) -> Result<Options, Failure> {
    let seed = parse_seed(&fleet.seed).map_err(unusable)?;
    let profile: Profile = fleet.profile.parse().map_err(unusable)?;
    Ok(Options { seed, devices: fleet.devices, hours: fleet.hours, profile })
}

/// Reads a case from a file.
fn read_case(file: &Path) -> Result<Case, Failure> {
    let text = std::fs::read_to_string(file).map_err(|e| unusable(format!("{}: {e}", file.display())))?;
    Case::from_json(&text).map_err(|why| unusable(format!("{}: {why}", file.display())))
}

/// Writes a report or a case.
fn write(file: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(file, text).map_err(|e| Failure::error(format!("{} cannot be written: {e}", file.display())))?;
    line(format!("written: {}", file.display()));
    Ok(())
}

/// Returns the threads of this machine.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Says how a run ended; an error when something did not hold.
fn judge(verdict: &Verdict, replay: &str) -> Result<(), Failure> {
    if !verdict.is_repeatable {
        let text = format!(
            "the same run went two ways: the simulation is not deterministic\n  hint: please report it with `{replay}`"
        );
        return Err(Failure::coded(NONDETERMINISM, text));
    }
    match &verdict.violation {
        None => Ok(()),
        Some(violation) => Err(Failure::error(format!("{violation}\n  hint: replay it with `{replay}`"))),
    }
}
