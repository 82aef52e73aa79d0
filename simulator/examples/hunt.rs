//! Runs many seeds, prints what was found and how fast: `hunt <profile> <first seed> <seeds> [devices] [hours]`.
use std::time::Instant;

use pinnace_simulator::{Options, run};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: u64| words.get(at).and_then(|w| w.parse().ok()).unwrap_or(default);
    let profile = words.first().and_then(|w| w.parse().ok()).unwrap_or(pinnace_simulator::Profile::Chaos);
    let started = Instant::now();
    let (first, seeds) = (number(1, 0), number(2, 10));
    let (mut events, mut broken) = (0, 0);
    for seed in first..first + seeds {
        let devices = number(3, 3 + seed % 6) as u32;
        let verdict = run(&Options { seed, devices, hours: number(4, 9) as u32, profile });
        events += verdict.events;
        if let Some(violation) = &verdict.violation {
            broken += 1;
            println!("{violation}\n{verdict}\n  {}\n", verdict.replay());
        } else if seeds < 4 {
            println!("{verdict}\n");
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{seeds} seeds, {broken} broken, {events} events, {seconds:.1} s, {:.0} events/s",
        events as f64 / seconds
    );
}
