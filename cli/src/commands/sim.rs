//! `pinnace sim`: fleets on virtual time (exit codes: 0 every invariant held, 1 one was violated), or for load.
use pinnace_simulator::{Options, Profile, Verdict};

use crate::args::SimCommand;
use crate::output::{Failure, line};

/// Runs the command.
pub async fn run(command: SimCommand) -> Result<(), Failure> {
    match command {
        SimCommand::Fleet(args) => crate::fleet::run(*args).await,
        SimCommand::Run { seed, devices, hours, profile } => {
            let options = options(&seed, devices, hours, &profile)?;
            let verdict = pinnace_simulator::run(&options);
            line(verdict.to_string());
            judge(&verdict)
        }
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
