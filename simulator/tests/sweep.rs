//! Many seeds: every invariant holds, and enough happens on the way.
use pinnace_simulator::{Profile, Sweep};

fn sweep(profile: Profile, seeds: u64) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let swept = Sweep { profiles: vec![profile], first: 0, seeds, devices: None, hours: None, threads, budget: None }
        .run(|_, _| {});
    for verdict in &swept.failures {
        if let Some(violation) = &verdict.violation {
            println!("{violation}\n{verdict}\n{}\n", verdict.replay());
        }
    }
    assert!(swept.held(), "{} of {} seeds, {:?}", swept.failed, swept.runs, swept.false_rollbacks());
    // A sweep in which nothing happens proves nothing.
    assert!(swept.counts.windows > 10 * seeds, "{:?}", swept.counts);
    assert_eq!(swept.counts.power_cuts > 0, !profile.is_quiet(), "{:?}", swept.counts);
}

#[test]
fn calm() {
    sweep(Profile::Calm, 40);
}

#[test]
fn chaos() {
    sweep(Profile::Chaos, 100);
}

#[test]
fn powerloss() {
    sweep(Profile::Powerloss, 100);
}

#[test]
fn hostile() {
    sweep(Profile::Hostile, 80);
}

#[test]
fn drift() {
    sweep(Profile::Drift, 60);
}
