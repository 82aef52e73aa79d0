//! Operating characteristics of G1 by simulation: how often it aborts what is good, how soon what is bad.
mod world;

use pinnace_controlplane_core::gates::failures::{against, in_favour};
use world::Rng;

/// Devices report one after the other; returns after how many the odds reach `needed`, if at all.
fn aborts_after(rng: &mut Rng, rate: f64, devices: u32, needed: f64) -> Option<u32> {
    let mut failed = 0;
    (1..=devices).find(|n| {
        failed += u32::from(rng.share() < rate);
        against(*n, failed, 0.05) >= needed
    })
}

fn share_aborted(seed: u64, rate: f64, needed: f64, runs: usize) -> f64 {
    let mut rng = Rng(seed);
    (0..runs).filter(|_| aborts_after(&mut rng, rate, 300, needed).is_some()).count() as f64 / runs as f64
}

#[test]
fn good_bundles_are_almost_never_aborted_though_every_device_is_a_look() {
    // At the limit itself the promise is 1 %; three standard errors of 2,000 runs are 0.7 %.
    assert!(share_aborted(1, 0.05, 100.0, 2000) <= 0.017);
    // At a base rate of 2 % and odds of 20 (alpha .05) the design's figure is 0.3 % in 600 runs.
    assert!(share_aborted(2, 0.02, 20.0, 2000) <= 0.01);
    assert_eq!(share_aborted(3, 0.0, 100.0, 50), 0.0);
}

#[test]
fn bad_bundles_are_caught_early() {
    let mut rng = Rng(4);
    let mut after: Vec<u32> = (0..500).map(|_| aborts_after(&mut rng, 0.5, 300, 100.0).unwrap_or(u32::MAX)).collect();
    after.sort_unstable();
    assert!(after[250] <= 6, "a coin-flip bundle takes {} devices", after[250]);
    assert!(after[475] <= 15, "19 of 20 such bundles take at most {}", after[475]);
    assert_eq!(aborts_after(&mut rng, 1.0, 300, 100.0), Some(2), "a bricking one takes two");
}

#[test]
fn bad_bundles_are_almost_never_promoted() {
    let mut rng = Rng(5);
    let runs = 2000;
    let promoted = (0..runs)
        .filter(|_| {
            let mut failed = 0;
            (1..=500).any(|n| {
                failed += u32::from(rng.share() < 0.10);
                in_favour(n, failed, 0.10) >= 20.0
            })
        })
        .count();
    let share = promoted as f64 / f64::from(runs);
    // The promise is 5 %; three standard errors are 1.5 %.
    assert!(share <= 0.065, "{share}");
}

#[test]
fn unfinished_devices_can_only_weaken_both_odds() {
    for n in 1..60 {
        for failed in 0..=n {
            for open in 0..(n - failed) {
                let healthy = n - failed - open;
                // However the open ones end, the odds at the end are at least those told now.
                for more in 0..=open {
                    assert!(against(n, failed + more, 0.05) >= against(n, failed, 0.05));
                    assert!(in_favour(n, failed + more, 0.10) >= in_favour(n, n - healthy, 0.10) * (1.0 - 1e-12));
                }
            }
        }
    }
}
