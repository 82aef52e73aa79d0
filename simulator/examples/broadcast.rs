//! Counts what a fleet costs to serve with a bundle of 256 chunks, by the share of messages lost:
//! `broadcast [devices] [loss per mille]…`. Real cores on both sides; chunks of 64 bytes stand for 32 KiB each.
use std::collections::BTreeMap;

use pinnace_simulator::{Case, Options, Profile, run_last};

/// As the program `pinnace` does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CHUNKS: u64 = 256;
const CHUNK_BYTES: u32 = 64;

fn main() -> Result<(), String> {
    let mut numbers = Vec::new();
    for word in std::env::args().skip(1) {
        numbers.push(word.parse::<u32>().map_err(|e| format!("{word}: {e}"))?);
    }
    let devices = numbers.first().copied().unwrap_or(1000);
    let losses = numbers.get(1..).filter(|given| !given.is_empty()).unwrap_or(&[0, 10, 50, 500]);
    println!("{devices} devices, {CHUNKS} chunks; alone they would need {}", u64::from(devices) * CHUNKS);
    println!("{:>6} {:>10} {:>8} {:>9} {:>8}", "loss", "published", "alone", "restored", "healthy");
    for loss in losses {
        let mut case = Case::draw(&Options { seed: 1, devices, hours: 24, profile: Profile::Calm });
        let plan = &mut case.plan;
        plan.wishes.truncate(1);
        (plan.fates, plan.faults) = (BTreeMap::new(), Vec::new());
        plan.model_bytes = BTreeMap::from([(1, CHUNKS * u64::from(CHUNK_BYTES))]);
        (plan.chunks, plan.patches) = (Some(CHUNKS as u32), false);
        plan.base.loss_permille = *loss;
        // All are there, as in a fleet that gets its next version.
        plan.joins_ms.iter_mut().zip(0..).for_each(|(at, device)| *at = 1_000 + device * 7 % 5_000);
        // One device first, then all others at once.
        (plan.policy.canary, plan.policy.waves_permille) = (1, vec![1000]);
        let verdict = run_last(&case);
        if let Some(violation) = &verdict.violation {
            return Err(violation.to_string());
        }
        let c = &verdict.counts;
        println!(
            "{:>5.1}% {:>10} {:>8} {:>9} {:>8}",
            f64::from(*loss) / 10.0,
            c.broadcasts,
            c.chunks_alone,
            c.restored,
            c.promotions
        );
    }
    Ok(())
}
