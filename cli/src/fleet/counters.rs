//! What the whole fleet has done so far: counters that every device adds to, and latencies in buckets.
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pinnace_protocol::ids::BundleRef;

/// Buckets for each doubling: a quantile is at most 7 % off.
const STEPS: u32 = 16;
/// Doublings covered, from one microsecond: over an hour.
const DOUBLINGS: u32 = 32;

/// A number that only devices change.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
    /// Takes one away.
    pub fn less(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
    /// Returns the number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Durations in buckets of equal ratio.
#[derive(Debug)]
pub struct Latencies(Vec<AtomicU64>);

impl Default for Latencies {
    fn default() -> Self {
        Self((0..STEPS * DOUBLINGS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Latencies {
    /// Counts a duration.
    pub fn observe(&self, took: Duration) {
        let us = (took.as_micros().max(1)) as f64;
        let at = (us.log2() * f64::from(STEPS)) as usize;
        if let Some(bucket) = self.0.get(at.min(self.0.len() - 1)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the duration below which `share` of them lie, milliseconds; `None` when there are none.
    pub fn quantile_ms(&self, share: f64) -> Option<f64> {
        let counts: Vec<u64> = self.0.iter().map(|b| b.load(Ordering::Relaxed)).collect();
        let all: u64 = counts.iter().sum();
        let wanted = (share * all as f64).ceil() as u64;
        let mut seen = 0;
        let at = counts.iter().position(|n| {
            seen += n;
            seen >= wanted.max(1)
        })?;
        // The middle of the bucket.
        Some(((at as f64 + 0.5) / f64::from(STEPS)).exp2() / 1000.0)
    }
}

/// Everything that is counted.
#[derive(Debug, Default)]
pub struct Counters {
    /// Devices that joined in this run.
    pub joined: Count,
    /// Devices that are connected now.
    pub connected: Count,
    /// Devices that were connected at least once.
    pub arrived: Count,
    /// Connections after the first of each device.
    pub reconnects: Count,
    /// Attempts to connect that failed, and connections that broke.
    pub breaks: Count,
    /// Messages to the plane.
    pub sent: Count,
    /// Messages from the plane.
    pub received: Count,
    /// Messages dropped because a device's queue was full; the core sends again what matters.
    pub dropped: Count,
    /// Windows closed and made durable.
    pub closed: Count,
    /// Windows published for the first time.
    pub published: Count,
    /// Windows published again.
    pub resent: Count,
    /// Windows that the plane acknowledged.
    pub acknowledged: Count,
    /// Requests to the device address.
    pub http: Count,
    /// Trials begun.
    pub trials: Count,
    /// Models that became active after a trial or as the way back.
    pub promotions: Count,
    /// Lines that cores logged as errors.
    pub errors: Count,
    /// From hello to the director's answer to it.
    pub hello: Latencies,
    /// From the first publication of a window to its acknowledgement.
    pub window: Latencies,
    healthy: Mutex<BTreeMap<BundleRef, u64>>,
    /// One error, as an example for people.
    example: Mutex<Option<String>>,
}

impl Counters {
    /// Notes that a device is healthy on another bundle than before.
    pub fn moved(&self, from: Option<&BundleRef>, to: Option<&BundleRef>) {
        // The map is whole between any two statements, so a panic elsewhere does not matter.
        let mut healthy = self.healthy.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bundle) = from
            && let Some(n) = healthy.get_mut(bundle)
        {
            *n = n.saturating_sub(1);
        }
        if let Some(bundle) = to {
            *healthy.entry(bundle.clone()).or_insert(0) += 1;
        }
        healthy.retain(|_, n| *n > 0);
    }

    /// Returns how many devices are healthy on which bundle.
    pub fn healthy(&self) -> BTreeMap<String, u64> {
        let healthy = self.healthy.lock().unwrap_or_else(PoisonError::into_inner);
        healthy.iter().map(|(bundle, n)| (bundle.to_string(), *n)).collect()
    }

    /// Counts an error and keeps its words when it is the first.
    pub fn error(&self, text: String) {
        self.errors.add(1);
        self.example.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(text);
    }

    /// Returns the words of the first error.
    pub fn first_error(&self) -> Option<String> {
        self.example.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_near() {
        let latencies = Latencies::default();
        assert_eq!(latencies.quantile_ms(0.5), None);
        (1..=1000).for_each(|ms| latencies.observe(Duration::from_millis(ms)));
        for (share, expected) in [(0.5, 500.0), (0.95, 950.0)] {
            let found = latencies.quantile_ms(share).unwrap();
            assert!((found / expected - 1.0).abs() < 0.07, "{found}");
        }
        latencies.observe(Duration::MAX);
    }

    #[test]
    fn a_device_is_healthy_on_one_bundle() {
        let counters = Counters::default();
        let (a, b) = ("rain/v1".parse().unwrap(), "rain/v2".parse().unwrap());
        counters.moved(None, Some(&a));
        counters.moved(None, Some(&a));
        counters.moved(Some(&a), Some(&b));
        assert_eq!(counters.healthy(), BTreeMap::from([("rain/v1".into(), 1), ("rain/v2".into(), 1)]));
        counters.moved(Some(&b), None);
        assert_eq!(counters.healthy().len(), 1);
    }
}
