//! Many runs: sweeps over seeds, over crashes, and every seed twice.
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use pinnace_simulator::{Case, CrashSweep, CrashSwept, Options, Profile, Sweep, Swept, parse_seed, report, run_fast};

use super::args::{CrashArgs, MetaArgs, SweepArgs};
use super::{BUDGET, NONDETERMINISM, threads, unusable, write};
use crate::output::{Failure, line};

/// Returns a progress bar that is silent where nobody looks.
pub(super) fn bar(length: u64, what: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} {msg} {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.with_prefix(what.to_owned())
}

/// `pinnace sim sweep`.
pub fn sweep(args: &SweepArgs) -> Result<(), Failure> {
    let profiles = match &args.profile {
        Some(name) => vec![name.parse::<Profile>().map_err(unusable)?],
        None => Profile::ALL.to_vec(),
    };
    let sweep = Sweep {
        profiles,
        first: parse_seed(&args.first).map_err(unusable)?,
        seeds: args.seeds,
        devices: args.devices,
        hours: args.hours,
        threads: threads(),
        budget: args.budget.as_deref().map(duration).transpose()?,
    };
    let swept = run_sweep(&sweep);
    if args.coverage {
        line(swept.coverage.table());
    }
    tell(&swept);
    if let Some(file) = &args.junit {
        write(file, &report::junit(&swept))?;
    }
    if let Some(file) = &args.json {
        write(file, &format!("{:#}\n", report::sweep_json(&swept)))?;
    }
    if let Some(folder) = &args.save {
        std::fs::create_dir_all(folder).map_err(|e| Failure::error(format!("{}: {e}", folder.display())))?;
        for verdict in &swept.failures {
            let mut case = Case::draw(&verdict.options);
            case.violated = verdict.violation.as_ref().map(|v| v.check);
            let name = format!("{}-{:x}.case", verdict.options.profile, verdict.options.seed);
            write(&folder.join(name), &case.to_json().map_err(Failure::error)?)?;
        }
    }
    let missing = swept.coverage.missing();
    if args.require_coverage && !missing.is_empty() {
        return Err(Failure::error(format!(
            "never met: {}\n  hint: run more seeds; what stays unmet is not tested",
            missing.join("; ")
        )));
    }
    judge_sweep(&swept)
}

/// Runs a sweep with a progress bar.
pub(super) fn run_sweep(sweep: &Sweep) -> Swept {
    let bar = bar(sweep.seeds, "seeds");
    let swept = sweep.run(|done, failed| {
        bar.set_position(done);
        if failed > 0 {
            bar.set_message(format!("{failed} failed"));
        }
    });
    bar.finish_and_clear();
    swept
}

fn tell(swept: &Swept) {
    for verdict in &swept.failures {
        if let Some(violation) = &verdict.violation {
            line(format!("{violation}\n{verdict}\n  replay it with `{}`\n", verdict.replay()));
        }
    }
    let seconds = swept.took.as_secs_f64();
    line(format!(
        "{} seeds, {} violations: {} events in {seconds:.1} s ({:.0} events/s, {:.1} seeds/s); {} power cuts, {} crashes, \
         {} windows counted; gates took {} of {} good rollouts back",
        swept.runs,
        swept.failed,
        swept.events,
        swept.events as f64 / seconds,
        swept.runs as f64 / seconds,
        swept.counts.power_cuts,
        swept.counts.crashes,
        swept.counts.windows,
        swept.counts.false_rollbacks,
        swept.counts.good_rollouts
    ));
}

/// Says how a sweep ended.
pub(super) fn judge_sweep(swept: &Swept) -> Result<(), Failure> {
    if swept.failures.iter().any(|verdict| !verdict.is_repeatable) {
        return Err(Failure::coded(NONDETERMINISM, "a run went two ways: the simulation is not deterministic"));
    }
    if swept.failed > 0 {
        return Err(Failure::error(format!("{} of {} seeds violated an invariant", swept.failed, swept.runs)));
    }
    if let Some(why) = swept.false_rollbacks() {
        return Err(Failure::error(why));
    }
    if swept.is_cut {
        return Err(Failure::coded(BUDGET, "the time was over before all seeds had run; those that ran held"));
    }
    Ok(())
}

/// `pinnace sim crash-sweep`.
pub fn crash_sweep(args: &CrashArgs) -> Result<(), Failure> {
    let swept = run_crashes(args.depth, args.stride);
    judge_crashes(&swept)
}

/// Enumerates crashes with a counter.
pub(super) fn run_crashes(depth: u32, stride: u64) -> CrashSwept {
    let bar = ProgressBar::new_spinner().with_prefix("histories");
    let swept =
        CrashSweep { depth, stride, threads: threads() }.run(|done| bar.set_message(format!("{done} histories")));
    bar.finish_and_clear();
    let stories: Vec<String> = swept.boundaries.iter().map(|(name, count)| format!("{name} {count}")).collect();
    line(format!(
        "{} histories, {} violations in {:.1} s; boundaries: {}",
        swept.histories,
        swept.failed,
        swept.took.as_secs_f64(),
        stories.join(", ")
    ));
    swept
}

/// Says how the crashes ended.
pub(super) fn judge_crashes(swept: &CrashSwept) -> Result<(), Failure> {
    for (history, violation) in &swept.failures {
        let how = if history.power { "the power goes" } else { "the process dies" };
        line(format!(
            "{}: {how} after {:?} boundaries, images {:?}\n  {violation}",
            history.story, history.ends, history.images
        ));
    }
    match swept.failed {
        0 => Ok(()),
        failed => Err(Failure::error(format!("{failed} of {} histories violated an invariant", swept.histories))),
    }
}

/// `pinnace sim meta`.
pub fn meta(args: &MetaArgs) -> Result<(), Failure> {
    let first = parse_seed(&args.first).map_err(unusable)?;
    run_meta(first, args.seeds, args.print)
}

/// Runs every seed twice, the second time on another thread.
pub(super) fn run_meta(first: u64, seeds: u64, print: bool) -> Result<(), Failure> {
    let bar = bar(seeds, "twice");
    for at in 0..seeds {
        let profile = Profile::ALL[at as usize % Profile::ALL.len()];
        let hours = pinnace_simulator::usual_hours(profile);
        let options = Options { seed: first.wrapping_add(at), devices: 5, hours, profile };
        let case = Case::draw(&options);
        let one = run_fast(&case);
        let two = std::thread::scope(|scope| scope.spawn(|| run_fast(&case)).join());
        let same = two.is_ok_and(|two| two == one);
        if !same {
            let text =
                format!("seed {:x} of {profile} went two ways: the simulation is not deterministic", options.seed);
            return Err(Failure::coded(NONDETERMINISM, text));
        }
        if print {
            line(format!("{:x} {profile} {} {:016x}", options.seed, one.events, one.trace));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    line(format!("{seeds} seeds went the same way twice."));
    Ok(())
}

/// Reads a time such as `90s`, `5m` or `1h`.
fn duration(text: &str) -> Result<Duration, Failure> {
    let wrong = || unusable(format!("`{}` is no time\n  hint: e.g. 90s, 5m or 1h", text.escape_debug()));
    let (number, unit) = text.split_at(text.len() - text.chars().last().map_or(0, char::len_utf8));
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(duration("5m").ok(), Some(Duration::from_secs(300)));
        for wrong in ["", "5", "m", "5 m", "99999999999999999999h", "ü"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
