//! The folded windows in memory: per bundle a line of intervals, bounded by merging old neighbours.
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use pinnace_protocol::ids::BundleRef;
use pinnace_protocol::sketch::{Live, Profile, WindowError};

use crate::limits::{BUNDLES_WATCHED, INTERVALS_FRESH, INTERVALS_MAX};
use crate::windows::{Aggregate, Assessed};

/// One interval.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Interval {
    pub first: u64,
    pub last: u64,
    pub windows: u64,
    pub live: Live,
    pub assessed: Option<Assessed>,
}

impl Interval {
    pub(crate) fn rows(&self) -> u64 {
        u64::from(self.live.rows())
    }

    fn span(&self) -> u64 {
        self.last - self.first + 1
    }

    /// Adds a later neighbour.
    fn absorb(&mut self, later: &Self) -> Result<(), WindowError> {
        self.live.merge(&later.live)?;
        self.last = later.last;
        self.windows += later.windows;
        if later.assessed.is_some() {
            self.assessed.clone_from(&later.assessed);
        }
        Ok(())
    }

    pub(crate) fn row(&self, bundle: &BundleRef) -> Aggregate {
        Aggregate {
            bundle: bundle.clone(),
            first: self.first,
            last: self.last,
            windows: self.windows,
            rows: self.rows(),
            sketch: self.live.encode(),
            assessed: self.assessed.clone(),
        }
    }
}

/// Keys of the rows that a fold changed and deleted.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Changed {
    pub put: Vec<(BundleRef, u64)>,
    pub gone: Vec<(BundleRef, u64)>,
}

/// All intervals of all bundles.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Intervals(BTreeMap<BundleRef, BTreeMap<u64, Interval>>);

impl Intervals {
    pub(crate) fn restore(&mut self, row: Aggregate, profile: &Profile) -> Result<(), WindowError> {
        let live = Live::decode(profile, &row.sketch)?;
        let Aggregate { first, last, windows, assessed, .. } = row;
        let interval = Interval { first, last: last.max(first), windows, live, assessed };
        self.0.entry(row.bundle).or_default().insert(first, interval);
        Ok(())
    }

    pub(crate) fn of(&self, bundle: &BundleRef) -> impl DoubleEndedIterator<Item = &Interval> {
        self.0.get(bundle).into_iter().flat_map(BTreeMap::values)
    }

    pub(crate) fn get(&self, bundle: &BundleRef, first: u64) -> Option<&Interval> {
        self.0.get(bundle)?.get(&first)
    }

    pub(crate) fn get_mut(&mut self, bundle: &BundleRef, first: u64) -> Option<&mut Interval> {
        self.0.get_mut(bundle)?.get_mut(&first)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&BundleRef, &Interval)> {
        self.0.iter().flat_map(|(bundle, line)| line.values().map(move |interval| (bundle, interval)))
    }

    /// Adds a window to the interval that holds `index`; returns that interval's key besides the changed rows.
    pub(crate) fn fold(&mut self, bundle: &BundleRef, index: u64, window: Live) -> Result<(u64, Changed), WindowError> {
        let mut changed = Changed::default();
        if !self.0.contains_key(bundle) {
            self.make_room(&mut changed);
        }
        let line = self.0.entry(bundle.clone()).or_default();
        let holder = line.range(..=index).next_back().filter(|(_, i)| i.last >= index).map(|(first, _)| *first);
        let key = if let Some(first) = holder {
            // A merge that fails changes nothing.
            if let Some(interval) = line.get_mut(&first) {
                interval.live.merge(&window)?;
                interval.windows += 1;
            }
            first
        } else {
            line.insert(index, Interval { first: index, last: index, windows: 1, live: window, assessed: None });
            index
        };
        changed.put.push((bundle.clone(), key));
        let key =
            if line.len() > INTERVALS_MAX { merge_one(line, bundle, INTERVALS_FRESH, key, &mut changed) } else { key };
        Ok((key, changed))
    }

    /// A bundle more begins to be counted: the one with the oldest data is merged into a single interval.
    fn make_room(&mut self, changed: &mut Changed) {
        let many = |line: &BTreeMap<u64, Interval>| line.len() > 1;
        if self.0.values().filter(|line| many(line)).count() < BUNDLES_WATCHED {
            return;
        }
        let oldest = self.0.iter().filter(|(_, line)| many(line)).min_by_key(|(b, line)| (line.keys().next_back(), *b));
        let Some(bundle) = oldest.map(|(bundle, _)| bundle.clone()) else { return };
        if let Some(line) = self.0.get_mut(&bundle) {
            // Each merge takes one interval away, and a line holds at most one more than its bound.
            for _ in 0..=INTERVALS_MAX {
                let before = line.len();
                merge_one(line, &bundle, 0, 0, changed);
                if line.len() == before {
                    break;
                }
            }
        }
        changed.put.retain(|key| !changed.gone.contains(key));
    }
}

/// Merges the two neighbours with the shortest span together, oldest first, outside the `fresh` newest intervals.
/// Returns where the interval `key` is afterwards.
fn merge_one(
    line: &mut BTreeMap<u64, Interval>,
    bundle: &BundleRef,
    fresh: usize,
    key: u64,
    changed: &mut Changed,
) -> u64 {
    let keys: Vec<u64> = line.keys().copied().collect();
    let mergeable = &keys[..keys.len().saturating_sub(fresh)];
    let mut pairs: Vec<(u64, u64, u64)> = mergeable
        .windows(2)
        .filter_map(|pair| Some((line.get(&pair[0])?.span() + line.get(&pair[1])?.span(), pair[0], pair[1])))
        .collect();
    pairs.sort_unstable();
    for (_, earlier, later) in pairs {
        let Some(second) = line.get(&later).cloned() else { continue };
        // Only neighbours of more than 2^32 rows together cannot be merged; there are few of those.
        if line.get_mut(&earlier).is_some_and(|first| first.absorb(&second).is_ok()) {
            line.remove(&later);
            changed.put.retain(|(_, k)| *k != later);
            changed.put.push((bundle.clone(), earlier));
            changed.gone.push((bundle.clone(), later));
            return if key == later { earlier } else { key };
        }
    }
    key
}
