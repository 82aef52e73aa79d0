//! Many seeds: every invariant holds.
use pinnace_simulator::{Options, Profile, run};

fn sweep(profile: Profile, seeds: std::ops::Range<u64>) {
    let (mut cuts, mut windows, mut promotions) = (0, 0, 0);
    for seed in seeds {
        let options = Options { seed, devices: 3 + (seed % 6) as u32, hours: 9, profile };
        let verdict = run(&options);
        if let Some(violation) = &verdict.violation {
            panic!("{violation}\n{verdict}\n{}", verdict.replay);
        }
        // Not crashes: a bad bundle may end the process in a calm fleet too.
        cuts += verdict.counts.power_cuts;
        windows += verdict.counts.windows;
        promotions += verdict.counts.promotions;
    }
    // A sweep in which nothing happens proves nothing.
    assert!(windows > 500 && promotions > 50, "{windows} windows, {promotions} promotions");
    assert_eq!(cuts > 0, profile != Profile::Calm, "{cuts} power cuts");
}

#[test]
fn calm() {
    sweep(Profile::Calm, 0..12);
}

#[test]
fn chaos() {
    sweep(Profile::Chaos, 0..50);
}

#[test]
fn powerloss() {
    sweep(Profile::Powerloss, 0..50);
}

#[test]
fn hostile() {
    sweep(Profile::Hostile, 0..25);
}
