//! Operating characteristics of G1 by simulation: how often it aborts what is good, how soon what is bad.
mod world;

use pinnace_controlplane_core::gates::failures::{against, in_favour};
use world::Rng;

const DEVICES: u32 = 300;

/// The smallest number of failures that aborts, for every number of devices: computed once for thousands of runs.
fn abort_line(needed: f64) -> Vec<u32> {
    let mut line = vec![u32::MAX];
    for n in 1..=DEVICES {
        line.push((1..=n).find(|k| against(n, *k, 0.05) >= needed).unwrap_or(u32::MAX));
    }
    line
}

/// The largest number of failures that still promotes, where there is one.
fn promote_line(needed: f64) -> Vec<Option<u32>> {
    (0..=DEVICES).map(|n| (0..=n).rev().find(|k| in_favour(n, *k, 0.10) >= needed)).collect()
}

/// Devices report one after the other; returns after how many the odds abort, if at all.
fn aborts_after(rng: &mut Rng, rate: f64, line: &[u32]) -> Option<u32> {
    let mut failed = 0;
    (1..=DEVICES).find(|n| {
        failed += u32::from(rng.share() < rate);
        failed >= line[*n as usize]
    })
}

fn share_aborted(seed: u64, rate: f64, needed: f64, runs: usize) -> f64 {
    let (mut rng, line) = (Rng(seed), abort_line(needed));
    (0..runs).filter(|_| aborts_after(&mut rng, rate, &line).is_some()).count() as f64 / runs as f64
}

#[test]
fn good_bundles_are_almost_never_aborted_though_every_device_is_a_look() {
    // At the limit itself the promise is 1 %; three standard errors of 10,000 runs are 0.3 %.
    let at_the_limit = share_aborted(1, 0.05, 100.0, 10_000);
    assert!(at_the_limit <= 0.013, "{at_the_limit}");
    // At a base rate of 2 % and odds of 20 (alpha .05) the design's figure is 0.3 %.
    let below = share_aborted(2, 0.02, 20.0, 10_000);
    assert!(below <= 0.005, "{below}");
    assert_eq!(share_aborted(3, 0.0, 100.0, 50), 0.0);
}

#[test]
fn bad_bundles_are_caught_early() {
    let (mut rng, line) = (Rng(4), abort_line(100.0));
    let mut after: Vec<u32> = (0..500).map(|_| aborts_after(&mut rng, 0.5, &line).unwrap_or(u32::MAX)).collect();
    after.sort_unstable();
    assert!(after[250] <= 6, "a coin-flip bundle takes {} devices", after[250]);
    assert!(after[475] <= 15, "19 of 20 such bundles take at most {}", after[475]);
    assert_eq!(aborts_after(&mut rng, 1.0, &line), Some(2), "a bricking one takes two");
}

#[test]
fn bad_bundles_are_almost_never_promoted() {
    let (mut rng, line) = (Rng(5), promote_line(20.0));
    assert_eq!(line.iter().position(Option::is_some), Some(42));
    let runs = 10_000;
    let promoted = (0..runs)
        .filter(|_| {
            let mut failed = 0;
            (1..=DEVICES).any(|n| {
                failed += u32::from(rng.share() < 0.10);
                line[n as usize].is_some_and(|most| failed <= most)
            })
        })
        .count();
    let share = promoted as f64 / f64::from(runs);
    // The promise is 5 %; three standard errors are 0.7 %.
    assert!(share <= 0.057, "{share}");
}

#[test]
fn unfinished_devices_can_only_weaken_both_odds() {
    for n in 1..40 {
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
