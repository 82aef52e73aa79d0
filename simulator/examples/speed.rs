//! Times one fleet on one core: `speed [devices] [hours] [profile]`.
use std::time::Instant;

use pinnace_simulator::{Case, Options, Profile, run_last};

/// As the program `pinnace` does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), String> {
    let mut args = std::env::args().skip(1);
    let mut number = |default: u32| args.next().map_or(Ok(default), |n| n.parse().map_err(|e| format!("{n}: {e}")));
    let (devices, hours) = (number(1000)?, number(24)?);
    let profile: Profile = args.next().unwrap_or_else(|| "calm".into()).parse()?;
    let case = Case::draw(&Options { seed: 1, devices, hours, profile });
    let began = Instant::now();
    let verdict = run_last(&case);
    let took = began.elapsed().as_secs_f64();
    println!("{verdict}");
    println!("{} events in {took:.2} s: {:.0} events/s", verdict.events, verdict.events as f64 / took);
    let held = verdict.violation.is_none();
    if held { Ok(()) } else { Err("an invariant did not hold".into()) }
}
