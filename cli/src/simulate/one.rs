//! One run: drawn, replayed, made small.
use std::path::Path;

use pinnace_simulator::scenario::{Scenario, ScenarioVerdict};
use pinnace_simulator::{Case, Moment, parse_seed, report, run_case, run_fast, run_told, run_until, shrink};

use super::args::{MinimizeArgs, ReplayArgs, RunArgs, ScenarioArgs};
use super::{judge, options, read_case, unusable, write};
use crate::output::{Failure, json, line};

/// `pinnace sim run`.
pub fn run(args: &RunArgs) -> Result<(), Failure> {
    let case = Case::draw(&options(&args.fleet)?);
    if let Some(file) = &args.save {
        write(file, &case.to_json().map_err(Failure::error)?)?;
    }
    finish(&case, args.html.as_deref(), args.json, None)
}

/// `pinnace sim replay`.
pub fn replay(args: &ReplayArgs) -> Result<(), Failure> {
    let case = read_case(&args.case)?;
    if args.until.is_some() || args.device.is_some() {
        let until = match &args.until {
            Some(text) => Moment::parse(text).map_err(unusable)?,
            None => Moment(u64::MAX),
        };
        let (device, count) = (args.device.unwrap_or(0), case.plan.joins_ms.len());
        if device >= count {
            return Err(unusable(format!(
                "there is no device {device}\n  hint: the case has devices 0 to {}",
                count - 1
            )));
        }
        run_until(&case, until, device).iter().for_each(line);
        return Ok(());
    }
    let again = format!("pinnace sim replay {}", args.case.display());
    finish(&case, args.html.as_deref(), false, Some(again))
}

fn finish(case: &Case, html: Option<&Path>, as_json: bool, again: Option<String>) -> Result<(), Failure> {
    let verdict = if html.is_some() { run_told(case) } else { run_case(case) };
    let again = again.unwrap_or_else(|| verdict.replay());
    if as_json {
        json(&report::verdict_json(&verdict));
    } else {
        line(verdict.to_string());
    }
    if let Some(file) = html {
        write(file, &report::page(&verdict, &again))?;
    }
    judge(&verdict, &again)
}

/// `pinnace sim minimize`.
pub fn minimize(args: &MinimizeArgs) -> Result<(), Failure> {
    let case = read_case(&args.case)?;
    let Some(mut shrunk) = shrink(&case, run_fast, run_case) else {
        return Err(unusable("the case violates nothing\n  hint: only failing cases can be made smaller"));
    };
    let (before, after) = (&case.plan, &shrunk.case.plan);
    line(format!(
        "{} runs: devices {} -> {}, faults {} -> {}, versions {} -> {}",
        shrunk.runs,
        before.joins_ms.len(),
        after.joins_ms.len(),
        before.faults.len(),
        after.faults.len(),
        before.wishes.len(),
        after.wishes.len()
    ));
    for planned in &after.faults {
        let whose = planned.fault.device().map_or(String::new(), |device| format!("d{device:05}: "));
        line(format!("  {} {whose}{}", Moment(planned.at_ms), planned.fault));
    }
    if let Some(violation) = &shrunk.verdict.violation {
        line(violation.to_string());
        shrunk.case.note = format!("{}: {}", violation.node, violation.sentence);
    }
    let out = args.out.clone().unwrap_or_else(|| args.case.with_extension("small.case"));
    write(&out, &shrunk.case.to_json().map_err(Failure::error)?)
}

/// `pinnace sim scenario`.
pub fn scenario(args: &ScenarioArgs) -> Result<(), Failure> {
    let text = std::fs::read_to_string(&args.file).map_err(|e| unusable(format!("{}: {e}", args.file.display())))?;
    let named = |why: String| unusable(format!("{}: {why}", args.file.display()));
    let mut scenario = Scenario::parse(&text).map_err(named)?;
    if let Some(seed) = &args.seed {
        parse_seed(seed).map_err(unusable)?;
        scenario.seed.clone_from(seed);
    }
    let folder = args.file.parent().unwrap_or_else(|| Path::new("."));
    let prepared = super::source::prepare(&scenario, folder)?;
    let verdicts: Vec<ScenarioVerdict> = (0..args.seeds.max(1)).map(|at| scenario.run(&prepared, at)).collect();
    let again = |told: &ScenarioVerdict| {
        format!("pinnace sim scenario {} --seed {:x}", args.file.display(), told.verdict.options.seed)
    };
    if args.json {
        json(&serde_json::json!(verdicts.iter().map(|told| told.to_json(&again(told))).collect::<Vec<_>>()));
    } else {
        verdicts.iter().for_each(|verdict| line(verdict.to_string()));
    }
    if let Some(file) = &args.junit {
        write(file, &pinnace_simulator::scenario::junit(&scenario, &verdicts))?;
    }
    let worst = verdicts.iter().find(|verdict| !verdict.passed());
    if let (Some(file), Some(told)) = (&args.html, worst.or(verdicts.first())) {
        write(file, &report::scenario_page(told, &again(told)))?;
    }
    let failed = verdicts.iter().filter(|verdict| !verdict.passed()).count();
    if failed == 0 {
        return Ok(());
    }
    Err(Failure::error(format!(
        "{failed} of {} runs of `{}` did not do what is expected\n  hint: `--html FILE` draws the first of them",
        verdicts.len(),
        scenario.name
    )))
}
