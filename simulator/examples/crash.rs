//! Enumerates every crash of an install: `crash <depth> <stride>`.
use pinnace_simulator::CrashSweep;

fn main() {
    let words: Vec<u64> = std::env::args().skip(1).filter_map(|w| w.parse().ok()).collect();
    let depth = words.first().copied().unwrap_or(1) as u32;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let swept = CrashSweep { depth, stride: words.get(1).copied().unwrap_or(1), threads }.run(|_| {});
    for (history, violation) in &swept.failures {
        println!("{history:?}\n{violation}\n");
    }
    println!("{} histories, {} broken, {:?}, {:?}", swept.histories, swept.failed, swept.boundaries, swept.took);
}
