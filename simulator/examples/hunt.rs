//! Runs many seeds on all cores, prints what was found and how fast:
//! `hunt <profile|all> <first seed> <seeds> [devices] [hours]`.
use std::thread::available_parallelism;

use pinnace_simulator::{Profile, Sweep};

/// As the program `pinnace` does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| words.get(at).and_then(|w| w.parse::<u64>().ok());
    let profile = words.first().and_then(|w| w.parse().ok());
    let sweep = Sweep {
        profiles: profile.map_or(Profile::ALL.to_vec(), |profile| vec![profile]),
        first: number(1).unwrap_or(0),
        seeds: number(2).unwrap_or(10),
        devices: number(3).map(|n| n as u32),
        hours: number(4).map(|n| n as u32),
        threads: available_parallelism().map_or(1, usize::from),
        budget: None,
    };
    let swept = sweep.run(|_, _| {});
    for verdict in &swept.failures {
        if let Some(violation) = &verdict.violation {
            println!("{violation}\n{verdict}\n  {}\n", verdict.replay());
        }
    }
    println!("{}\n\nnever met: {:?}", swept.coverage.table(), swept.coverage.missing());
    let seconds = swept.took.as_secs_f64();
    println!(
        "{} seeds, {} broken, {} of {} good rollouts taken back, {} events, {seconds:.1} s, {:.0} events/s, {:.1} seeds/s",
        swept.runs,
        swept.failed,
        swept.counts.false_rollbacks,
        swept.counts.good_rollouts,
        swept.events,
        swept.events as f64 / seconds,
        swept.runs as f64 / seconds
    );
}
