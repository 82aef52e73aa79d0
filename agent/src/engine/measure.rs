//! Measures what a model takes: time of its answers, memory of the process.
use std::time::Instant;

use pinnace_protocol::manifest::Golden;
use serde::{Deserialize, Serialize};

use super::error::EngineError;
use super::{Matrix, Model, limits};

/// Times of single rows, nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Times {
    /// Median.
    pub(super) p50_ns: u64,
    /// 95 of 100 are not above it.
    pub(super) p95_ns: u64,
}

/// Times the golden rows, one by one and again, [`limits::TIMED_RUNS`] in all.
pub(super) fn times(model: &mut dyn Model, golden: &Golden, features: usize) -> Result<Times, EngineError> {
    let mut times = Vec::with_capacity(limits::TIMED_RUNS);
    for row in golden.input.iter().cycle().take(limits::TIMED_RUNS) {
        let row = Matrix::new(features, row.iter().map(|v| v.unwrap_or(f32::NAN)).collect())?;
        let start = Instant::now();
        model.run(&row)?;
        times.push(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    times.sort_unstable();
    let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len().saturating_sub(1)));
    Ok(Times { p50_ns: at(50).copied().unwrap_or(0), p95_ns: at(95).copied().unwrap_or(0) })
}

/// Memory of this process in RAM, KiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Resident {
    /// What it has written: pages of programs and libraries are none of a model's.
    pub(super) own_kib: u64,
    /// All of it.
    pub(super) now_kib: u64,
    /// The most of it since it started.
    pub(super) peak_kib: u64,
}

/// Returns the memory of this process; 0 where the system does not tell, which admits every model.
pub(super) fn resident() -> Resident {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let [own_kib, now_kib, peak_kib] = ["RssAnon:", "VmRSS:", "VmHWM:"].map(|name| field(&status, name));
    Resident { own_kib, now_kib, peak_kib }
}

/// Returns the memory that this process has written, or its share where it has it with others (PSS), KiB; 0 where the
/// system does not tell.
pub(super) fn proportional_kib() -> u64 {
    field(&std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default(), "Pss_Anon:")
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_written_to_is_seen() {
        let (before, shared) = (resident(), proportional_kib());
        let block = std::hint::black_box(vec![1_u8; 64 << 20]);
        let (after, grown) = (resident(), proportional_kib());
        assert!(after.own_kib >= before.own_kib + 32 * 1024 && after.peak_kib >= after.now_kib, "{before:?} {after:?}");
        assert!(grown >= shared + 32 * 1024, "{shared} {grown}");
        drop(block);
    }
}
