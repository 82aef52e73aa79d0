//! Counters of this process, for health, status and Prometheus.

use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds of the latency buckets, microseconds.
pub const LATENCY_BOUNDS_US: [u32; 12] =
    [25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000];

/// What the router has done since the process started.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: AtomicU64,
    rows: AtomicU64,
    failed_rows: AtomicU64,
    failed_requests: AtomicU64,
    refused: AtomicU64,
    shadow_dropped: AtomicU64,
    feedback: AtomicU64,
    latency_sum_us: AtomicU64,
    latency: [AtomicU64; LATENCY_BOUNDS_US.len() + 1],
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Requests answered.
    pub requests: u64,
    /// Rows answered.
    pub rows: u64,
    /// Rows that failed.
    pub failed_rows: u64,
    /// Requests that failed.
    pub failed_requests: u64,
    /// Requests refused because too many waited.
    pub refused: u64,
    /// Comparisons dropped because the shadow was too slow.
    pub shadow_dropped: u64,
    /// Outcomes told.
    pub feedback: u64,
    /// Sum of all latencies, microseconds.
    pub latency_sum_us: u64,
    /// Requests per latency bucket of [`LATENCY_BOUNDS_US`], the last one above all bounds.
    pub latency: [u64; LATENCY_BOUNDS_US.len() + 1],
}

impl Metrics {
    pub(super) fn answered(&self, rows: usize, latency_us: u32) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.latency_sum_us.fetch_add(u64::from(latency_us), Ordering::Relaxed);
        let bucket = LATENCY_BOUNDS_US.partition_point(|bound| *bound < latency_us);
        self.latency[bucket].fetch_add(1, Ordering::Relaxed);
    }
    pub(super) fn failed(&self, rows: usize) {
        self.failed_requests.fetch_add(1, Ordering::Relaxed);
        self.failed_rows.fetch_add(rows as u64, Ordering::Relaxed);
    }
    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
    pub(super) fn shadow_dropped(&self) {
        self.shadow_dropped.fetch_add(1, Ordering::Relaxed);
    }
    pub(super) fn feedback(&self, rows: usize) {
        self.feedback.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Returns the counters as they are now.
    pub fn counts(&self) -> Counts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            requests: get(&self.requests),
            rows: get(&self.rows),
            failed_rows: get(&self.failed_rows),
            failed_requests: get(&self.failed_requests),
            refused: get(&self.refused),
            shadow_dropped: get(&self.shadow_dropped),
            feedback: get(&self.feedback),
            latency_sum_us: get(&self.latency_sum_us),
            latency: std::array::from_fn(|i| get(&self.latency[i])),
        }
    }
}
