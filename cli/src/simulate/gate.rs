//! Everything that a change has to pass, in one command and a few minutes.
use std::time::Instant;

use pinnace_simulator::{Case, Options, Profile, Sweep, parse_seed, run_last};

use super::args::GateArgs;
use super::many::{judge_crashes, judge_sweep, run_crashes, run_meta, run_sweep};
use super::{judge, threads, unusable, write};
use crate::output::{Failure, line, table};

/// `pinnace sim gate`.
pub fn run(args: &GateArgs) -> Result<(), Failure> {
    let first = parse_seed(&args.first).map_err(unusable)?;
    let started = Instant::now();
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut result = Ok(());
    let mut note = |name: String, began: Instant, outcome: Result<(), Failure>| {
        let word = if outcome.is_ok() { "held" } else { "FAILED" };
        rows.push(vec![name, format!("{:.1} s", began.elapsed().as_secs_f64()), word.into()]);
        if let Err(failure) = outcome
            && result.is_ok()
        {
            result = Err(failure);
        }
    };

    // One world is one thread: the large fleet runs beside the rest. One rollout shows what a large fleet shows.
    let mut large = Case::draw(&Options { seed: first, devices: args.devices, hours: 1, profile: Profile::Calm });
    large.plan.wishes.truncate(1);
    let saved = large.clone();
    std::thread::scope(|scope| {
        let began = Instant::now();
        let fleet = scope.spawn(move || (run_last(&large), began.elapsed()));
        let rest = threads().saturating_sub(1).max(1);

        let began = Instant::now();
        let sweep = Sweep {
            profiles: Profile::ALL.to_vec(),
            first,
            seeds: args.seeds,
            devices: None,
            hours: None,
            threads: rest,
            budget: None,
        };
        let swept = run_sweep(&sweep);
        for verdict in &swept.failures {
            if let Some(violation) = &verdict.violation {
                line(format!("{violation}\n  replay it with `{}`\n", verdict.replay()));
            }
        }
        note(format!("{} seeds, {} events", swept.runs, swept.events), began, judge_sweep(&swept));

        if args.require_coverage {
            let missing = swept.coverage.missing();
            let outcome = match missing.is_empty() {
                true => Ok(()),
                false => Err(Failure::error(format!("never met by any seed: {}", missing.join("; ")))),
            };
            note("faults and states met by the seeds".into(), Instant::now(), outcome);
        }

        let began = Instant::now();
        let crashes = run_crashes(1, 1);
        note(format!("{} histories of crashes", crashes.histories), began, judge_crashes(&crashes));

        let began = Instant::now();
        note(format!("{} seeds twice", args.meta), began, run_meta(first, args.meta, false));

        let outcome = match fleet.join() {
            Ok((verdict, took)) => {
                let speed = verdict.events as f64 / took.as_secs_f64();
                let name = format!("{} devices, {} events, {speed:.0} events/s", args.devices, verdict.events);
                let again = if verdict.violation.is_none() { String::new() } else { keep(&saved) };
                (format!("{name}, done after {:.1} s", took.as_secs_f64()), judge(&verdict, &again))
            }
            Err(_) => (format!("{} devices", args.devices), Err(Failure::error("the large fleet panicked"))),
        };
        note(outcome.0, Instant::now(), outcome.1);
    });
    table(&["what", "time", "outcome"], rows, "");
    line(format!("{:.1} s in all", started.elapsed().as_secs_f64()));
    result
}

/// Writes the large fleet's case and returns the command that replays it.
fn keep(case: &Case) -> String {
    let file = std::env::temp_dir().join(format!("pinnace-{:x}.case", case.options.seed));
    let written = case.to_json().map_err(Failure::error).and_then(|text| write(&file, &text));
    match written {
        Ok(()) => format!("pinnace sim replay {}", file.display()),
        // The temporary folder is not writable: the same gate draws the same case.
        Err(_) => format!("pinnace sim gate --first {:x} --devices {}", case.options.seed, case.options.devices),
    }
}
