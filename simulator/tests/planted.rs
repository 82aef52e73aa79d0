//! Every check sees the bugs that were planted for it, and shrinks them to a short story: a check that never fires
//! proves nothing.
use pinnace_simulator::limits::STORY_LINES;
use pinnace_simulator::{Case, Check, Options, Plant, run_planted, run_planted_fast, shrink, usual_hours};

/// Faults that a shrunk case still has, at most.
const FAULTS_MAX: usize = 8;

/// Returns the case in which the right check caught the bug, and how many seeds that took.
fn caught(plant: Plant) -> Result<(Case, u64), String> {
    let (check, profile, seeds) = plant.caught_by();
    let mut others = Vec::new();
    for seed in 0..seeds {
        let options = Options { seed, devices: 6, hours: usual_hours(profile), profile };
        let case = Case::draw(&options);
        match run_planted_fast(&case, plant).violation {
            Some(violation) if violation.check == check => return Ok((case, seed + 1)),
            Some(violation) => others.push(violation.check),
            None => {}
        }
    }
    Err(format!("{plant}: {check} did not catch it within {seeds} seeds of {profile}; others did: {others:?}"))
}

#[test]
fn every_bug_is_caught_by_its_check_and_shrinks_to_a_short_story() {
    let mut missed = Vec::new();
    for plant in Plant::ALL {
        let (case, seeds) = match caught(plant) {
            Ok(found) => found,
            Err(why) => {
                missed.push(why);
                continue;
            }
        };
        let Some(shrunk) = shrink(&case, |case| run_planted_fast(case, plant), |case| run_planted(case, plant)) else {
            missed.push(format!("{plant}: the case does not fail again"));
            continue;
        };
        let (plan, violation) = (&shrunk.case.plan, shrunk.verdict.violation.as_ref());
        let (check, lines) = violation.map_or((None, 0), |v| (Some(v.check), v.story.len()));
        println!(
            "{plant:?}: seed {seeds}, {} -> {} faults, {} devices, {} versions, story of {lines}, {} runs",
            case.plan.faults.len(),
            plan.faults.len(),
            plan.joins_ms.len(),
            plan.wishes.len(),
            shrunk.runs
        );
        if check != Some(plant.caught_by().0) || lines == 0 || lines > STORY_LINES || plan.faults.len() > FAULTS_MAX {
            missed.push(format!("{plant}: shrunk to {check:?}, {lines} lines, {} faults", plan.faults.len()));
        }
        if !shrunk.verdict.is_repeatable {
            missed.push(format!("{plant}: a second run went another way"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn every_invariant_has_two_planted_bugs() {
    for check in Check::ALL {
        let mine = Plant::ALL.iter().filter(|plant| plant.caught_by().0 == check).count();
        assert!(mine >= 2, "{check} has {mine}");
    }
}
