//! `pinnace sim`: fleets on virtual time. Exit codes: 0 every invariant held, 1 one was violated, 2 unusable input,
//! 3 the same events gave another step.
use std::path::Path;

use pinnace_simulator::field_log;
use pinnace_simulator::{Options, Profile, Verdict};

use crate::args::SimCommand;
use crate::output::{Failure, line};

/// Exit code: what was given cannot be used.
const USAGE: u8 = 2;
/// Exit code: the same events gave another step.
const NONDETERMINISM: u8 = 3;

/// Runs the command.
pub fn run(command: SimCommand) -> Result<(), Failure> {
    match command {
        SimCommand::Run { seed, devices, hours, profile } => {
            let options = options(&seed, devices, hours, &profile)?;
            let verdict = pinnace_simulator::run(&options);
            line(verdict.to_string());
            judge(&verdict)
        }
        SimCommand::ReplayLog { file } => replay_log(&file),
        SimCommand::Sweep { seeds, first, devices, hours, profile } => {
            let mut options = options(&first, devices, hours, &profile)?;
            let started = std::time::Instant::now();
            let mut events = 0;
            for done in 0..seeds {
                let verdict = pinnace_simulator::run(&options);
                events += verdict.events;
                if verdict.violation.is_some() {
                    line(verdict.to_string());
                    line(format!("{done} seeds before it held."));
                    return judge(&verdict);
                }
                options.seed = options.seed.wrapping_add(1);
            }
            line(format!(
                "{seeds} seeds held every invariant: {events} events in {:.1} s.",
                started.elapsed().as_secs_f64()
            ));
            Ok(())
        }
    }
}

fn replay_log(file: &Path) -> Result<(), Failure> {
    let unusable = |why: String| Failure::coded(USAGE, format!("{}: {why}", file.display()));
    let hint = "the file is what `pinnace-agent run --event-log FILE` wrote; copy it from the device";
    let length = std::fs::metadata(file).map_err(|e| unusable(format!("{e}\n  hint: {hint}")))?.len();
    if length > field_log::MAX_BYTES {
        return Err(unusable(format!("{length} bytes are more than an agent writes\n  hint: {hint}")));
    }
    let bytes = std::fs::read(file).map_err(|e| unusable(format!("{e}\n  hint: {hint}")))?;
    let replayed = field_log::replay(&bytes).map_err(|e| unusable(e.to_string()))?;
    line(replayed.to_string());
    match &replayed.differs {
        None => Ok(()),
        Some(_) => Err(Failure::coded(
            NONDETERMINISM,
            format!(
                "the same events gave another step here than on the device\n  hint: agent {} recorded it, this is {}: other versions may judge otherwise; the same version must not, please report it with the file",
                replayed.recorded_by,
                env!("CARGO_PKG_VERSION")
            ),
        )),
    }
}

fn options(seed: &str, devices: u32, hours: u32, profile: &str) -> Result<Options, Failure> {
    let seed = u64::from_str_radix(seed.trim_start_matches("0x"), 16)
        .map_err(|_| Failure::error(format!("`{seed}` is no seed\n  hint: up to 16 hexadecimal digits, e.g. 7f3a")))?;
    let profile: Profile = profile.parse().map_err(Failure::error)?;
    Ok(Options { seed, devices, hours, profile })
}

fn judge(verdict: &Verdict) -> Result<(), Failure> {
    match &verdict.violation {
        None => Ok(()),
        Some(violation) => Err(Failure::error(format!("{violation}\n  hint: replay it with `{}`", verdict.replay))),
    }
}
