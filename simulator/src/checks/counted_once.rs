//! S7: a window is counted at most once, and the totals are the sum of the counted windows, byte for byte.
use std::collections::{BTreeMap, BTreeSet};

use pinnace_controlplane_core::windows::{Aggregate, Dedupe};
use pinnace_controlplane_core::{Batch, Row, Table};
use pinnace_protocol::ids::{BundleRef, DeviceId, Digest};
use pinnace_protocol::message::{Ack, Window};
use pinnace_protocol::sketch::{Live, Profile};

use crate::env::place;

/// Which windows of one ledger epoch are counted.
#[derive(Debug, Clone, Default)]
struct Seen {
    watermark: u64,
    above: BTreeSet<u64>,
}

impl Seen {
    fn has(&self, seq: u64) -> bool {
        seq < self.watermark || self.above.contains(&seq)
    }
}

/// A window as first published; its content until it is counted.
#[derive(Debug)]
struct First {
    digest: Digest,
    content: Option<Window>,
}

/// What was published, what is stored, and the sum that must come out.
#[derive(Debug, Default)]
pub struct CountedOnce {
    published: BTreeMap<(usize, u64, u64), First>,
    seen: BTreeMap<(usize, u64), Seen>,
    sums: BTreeMap<(usize, BundleRef), Live>,
    /// Rows of the counted windows, and of the stored totals.
    rows: BTreeMap<BundleRef, (u64, u64)>,
    aggregates: BTreeMap<String, Aggregate>,
    profiles: BTreeMap<BundleRef, Profile>,
    /// Windows counted.
    pub windows: u64,
}

impl CountedOnce {
    /// A device publishes a window: a number means one window for ever.
    pub fn published(&mut self, device: usize, window: &Window) -> Result<(), String> {
        let digest = Digest::of(&window.sketch);
        let key = (device, window.epoch, window.seq);
        let first = self.published.entry(key).or_insert_with(|| First { digest, content: Some(window.clone()) });
        if first.digest == digest { Ok(()) } else { Err(format!("number {} means two windows", window.seq)) }
    }

    /// The plane publishes an acknowledgement: everything in it is stored already.
    pub fn acknowledged(&self, device: usize, ack: &Ack) -> Result<(), String> {
        let none = Seen::default();
        let seen = self.seen.get(&(device, ack.epoch)).unwrap_or(&none);
        let wrong = ack.above.iter().find(|seq| !seen.has(**seq));
        if ack.watermark > seen.watermark || wrong.is_some() {
            return Err(format!(
                "windows up to {} are acknowledged, up to {} are stored",
                ack.watermark, seen.watermark
            ));
        }
        Ok(())
    }

    /// Rows became durable.
    pub fn stored(&mut self, batch: &Batch, names: &[DeviceId]) -> Result<(), String> {
        for row in &batch.put {
            match row {
                Row::Bundle(bundle) => {
                    let profile = Profile::from_json(&bundle.profile).map_err(|e| e.to_string())?;
                    self.profiles.insert(bundle.bundle.clone(), profile);
                }
                Row::Dedupe(dedupe) => self.dedupe(dedupe, names)?,
                Row::Aggregate(aggregate) => {
                    self.rows.entry(aggregate.bundle.clone()).or_default().1 += aggregate.rows;
                    let before = self.aggregates.insert(row.key(), aggregate.clone());
                    self.leave(before.as_ref());
                }
                Row::Device(_) | Row::Rollout(_) | Row::Member(_) | Row::Event(_) => {}
            }
        }
        for key in batch.delete.iter().filter(|key| key.table == Table::Aggregate) {
            let before = self.aggregates.remove(&key.key);
            self.leave(before.as_ref());
        }
        self.compare_rows()
    }

    /// A total is no longer stored.
    fn leave(&mut self, before: Option<&Aggregate>) {
        let Some(before) = before else { return };
        if let Some((_, stored)) = self.rows.get_mut(&before.bundle) {
            *stored -= before.rows;
        }
    }

    fn dedupe(&mut self, row: &Dedupe, names: &[DeviceId]) -> Result<(), String> {
        let device = place(names, &row.device).ok_or("a device that never was")?;
        for epoch in &row.epochs {
            let before = self.seen.get(&(device, epoch.epoch)).cloned().unwrap_or_default();
            let now = Seen { watermark: epoch.watermark, above: epoch.above.clone() };
            if now.watermark < before.watermark || before.above.iter().any(|seq| !now.has(*seq)) {
                return Err(format!("windows of {} are forgotten", row.device));
            }
            let new =
                (before.watermark..now.watermark).chain(now.above.iter().copied()).filter(|seq| !before.has(*seq));
            for seq in new.collect::<Vec<_>>() {
                self.count(device, epoch.epoch, seq)?;
            }
            self.seen.insert((device, epoch.epoch), now);
        }
        Ok(())
    }

    fn count(&mut self, device: usize, epoch: u64, seq: u64) -> Result<(), String> {
        let window = self.published.get_mut(&(device, epoch, seq)).and_then(|first| first.content.take());
        let window = window.ok_or_else(|| format!("window {seq} is counted and was never published"))?;
        let profile = self.profiles.get(&window.bundle).ok_or("a window of an unknown bundle is counted")?;
        let live = Live::decode(profile, &window.sketch).map_err(|e| e.to_string())?;
        let sum = self.sums.entry((device, window.bundle.clone())).or_insert_with(|| Live::new(profile));
        sum.merge(&live).map_err(|e| e.to_string())?;
        self.rows.entry(window.bundle).or_default().0 += window.rows;
        self.windows += 1;
        Ok(())
    }

    /// After every commit: the number of rows.
    fn compare_rows(&self) -> Result<(), String> {
        match self.rows.iter().find(|(_, (counted, stored))| counted != stored) {
            None => Ok(()),
            Some((bundle, (counted, stored))) => {
                Err(format!("{bundle}: {stored} rows are in the totals, {counted} in the counted windows"))
            }
        }
    }

    /// From time to time and in the end: every byte.
    pub fn compare_bytes(&self) -> Result<(), String> {
        for (bundle, profile) in &self.profiles {
            let (mut stored, mut expected) = (Live::new(profile), Live::new(profile));
            for aggregate in self.aggregates.values().filter(|a| a.bundle == *bundle) {
                let live = Live::decode(profile, &aggregate.sketch).map_err(|e| e.to_string())?;
                stored.merge(&live).map_err(|e| e.to_string())?;
            }
            for (_, live) in self.sums.iter().filter(|((_, b), _)| b == bundle) {
                expected.merge(live).map_err(|e| e.to_string())?;
            }
            if stored.encode() != expected.encode() {
                return Err(format!("{bundle}: the totals are not the sum of the counted windows"));
            }
        }
        Ok(())
    }

    /// Returns the rows of all counted windows.
    pub fn counted_rows(&self) -> u64 {
        self.rows.values().map(|(counted, _)| counted).sum()
    }

    /// Returns the sum of a device's counted windows of one bundle.
    pub fn sum(&self, device: usize, bundle: &BundleRef) -> Option<&Live> {
        self.sums.get(&(device, bundle.clone()))
    }
}
