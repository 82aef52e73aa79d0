//! Statistics windows: each counted exactly once, into the aggregate of its bundle and interval.
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use pinnace_protocol::drift::Level;
use pinnace_protocol::ids::{BundleRef, DeviceId};
use pinnace_protocol::limits::{EPOCHS_MAX, WINDOW_MAX_AHEAD, WINDOW_MAX_BYTES};
use pinnace_protocol::message::{Ack, Window};
use pinnace_protocol::sketch::Live;
use serde::{Deserialize, Serialize};

use crate::Steward;
use crate::api::{Effect, IntervalBy};
use crate::clone::window_print;
use crate::history::{Entry, EventKind};
use crate::limits::{PRINTS_REMEMBERED, WINDOW_MAX_ROWS};
use crate::row::{RowKey, Table, aggregate_key};
use crate::turn::Turn;

/// What an interval said when it was compared with the reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assessed {
    /// Rows at that moment.
    pub rows: u64,
    /// The highest level of any feature.
    pub level: Level,
    /// Share (0..=1) of the model's importance that drifted.
    pub share: f64,
    /// In one sentence.
    pub sentence: String,
}

/// The sum of all windows of one bundle in one interval (or in a few merged ones).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Aggregate {
    /// Whose reference the bins belong to.
    pub bundle: BundleRef,
    /// First interval.
    pub first: u64,
    /// Last interval; more than `first` after a merge.
    pub last: u64,
    /// Windows folded.
    pub windows: u64,
    /// Rows folded.
    pub rows: u64,
    /// The encoded counters.
    #[serde(with = "serde_bytes")]
    pub sketch: Vec<u8>,
    /// What it said when it had enough rows.
    pub assessed: Option<Assessed>,
}

/// Which windows of one ledger epoch were folded: all below the watermark and those above it listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochSeen {
    /// The epoch.
    pub epoch: u64,
    /// Every window with a smaller sequence number is folded (or was refused for good).
    pub watermark: u64,
    /// Folded windows at or above the watermark.
    pub above: BTreeSet<u64>,
    /// What the newest of them looked like, oldest first; at most [`PRINTS_REMEMBERED`].
    #[serde(default)]
    pub prints: Vec<(u64, u64)>,
    /// Below this an operator has judged: two contents of one number do not count again.
    #[serde(default)]
    pub judged: u64,
}

/// Which windows of one device were folded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dedupe {
    /// The device.
    pub device: DeviceId,
    /// Its ledger epochs, oldest first.
    pub epochs: Vec<EpochSeen>,
}

/// What a sequence number says of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// Not folded yet.
    New,
    /// Folded before.
    Seen,
    /// Further ahead than the plane remembers; the device will send it again.
    TooFar,
}

impl EpochSeen {
    fn sight(&self, seq: u64) -> Sight {
        if seq < self.watermark || self.above.contains(&seq) {
            Sight::Seen
        } else if seq - self.watermark >= WINDOW_MAX_AHEAD {
            Sight::TooFar
        } else {
            Sight::New
        }
    }

    fn mark(&mut self, seq: u64) {
        self.above.insert(seq);
        while self.above.remove(&self.watermark) {
            self.watermark += 1;
        }
    }

    /// Notes what a window looks like.
    fn print(&mut self, seq: u64, print: u64) {
        if self.prints.len() == PRINTS_REMEMBERED {
            self.prints.remove(0);
        }
        self.prints.push((seq, print));
    }

    /// Begins anew to compare contents: an operator has judged what was heard.
    pub(crate) fn judge(&mut self) {
        let heard = self.prints.iter().map(|(seq, _)| seq.saturating_add(1)).max().unwrap_or(0);
        self.judged = self.judged.max(heard).max(self.watermark);
        self.prints.clear();
    }

    /// Returns whether a window of this number and another content was heard before.
    fn contradicts(&self, seq: u64, print: u64) -> bool {
        seq >= self.judged && self.prints.iter().any(|(known, other)| *known == seq && *other != print)
    }

    fn ack(&self) -> Ack {
        Ack { epoch: self.epoch, watermark: self.watermark, above: self.above.iter().copied().collect() }
    }
}

impl Dedupe {
    pub(crate) fn new(device: DeviceId) -> Self {
        Self { device, epochs: Vec::new() }
    }

    fn epoch(&mut self, epoch: u64) -> &mut EpochSeen {
        let at = match self.epochs.iter().position(|e| e.epoch == epoch) {
            Some(at) => at,
            None => {
                if self.epochs.len() == EPOCHS_MAX {
                    self.epochs.remove(0);
                }
                self.epochs.push(EpochSeen {
                    epoch,
                    watermark: 0,
                    above: BTreeSet::new(),
                    prints: Vec::new(),
                    judged: 0,
                });
                self.epochs.len() - 1
            }
        };
        &mut self.epochs[at]
    }

    fn knows(&self, epoch: u64) -> bool {
        self.epochs.iter().any(|e| e.epoch == epoch)
    }
}

impl Steward {
    /// Returns what is counted of a device's epoch.
    pub(crate) fn ack(&self, device: &DeviceId, epoch: u64) -> Ack {
        let seen = self.dedupe.get(device).and_then(|d| d.epochs.iter().find(|e| e.epoch == epoch));
        seen.map_or(Ack { epoch, watermark: 0, above: Vec::new() }, EpochSeen::ack)
    }

    /// Folds a window once; acknowledges what is counted (or refused for good) after the commit.
    pub(crate) fn on_window(&mut self, turn: &mut Turn, id: &DeviceId, window: &Window) {
        let Some(device) = self.devices.get(id) else {
            self.refused += 1;
            return;
        };
        let dedupe = self.dedupe.entry(id.clone()).or_insert_with(|| Dedupe::new(id.clone()));
        // A new epoch is believed only from a hello, so that old ledgers cannot be replayed into new counts.
        if device.epoch() != Some(window.epoch) && !dedupe.knows(window.epoch) {
            self.refused += 1;
            return;
        }
        let is_present = device.epoch() == Some(window.epoch);
        let seen = dedupe.epoch(window.epoch);
        let print = window_print(window);
        if is_present && seen.contradicts(window.seq, print) {
            let why = format!("window {} came with two contents", window.seq);
            self.quarantine_clone(turn, id, why);
        }
        let is_cloned = self.devices.get(id).is_some_and(|d| d.is_cloned());
        let Some(dedupe) = self.dedupe.get_mut(id) else { return };
        if is_cloned {
            // Neither counted nor acknowledged: after a release it comes again. What was heard by then is judged with it.
            dedupe.epoch(window.epoch).print(window.seq, print);
            turn.dedupes.insert(id.clone());
            self.refused += 1;
            return;
        }
        let seen = dedupe.epoch(window.epoch);
        match seen.sight(window.seq) {
            Sight::New => {
                seen.mark(window.seq);
                seen.print(window.seq, print);
                turn.dedupes.insert(id.clone());
                if let Err(why) = self.fold(turn, window) {
                    self.reject(turn, id, window, why);
                }
            }
            Sight::Seen | Sight::TooFar => {}
        }
        turn.then.push(Effect::Ack { device: id.clone(), ack: self.ack(id, window.epoch) });
    }

    fn fold(&mut self, turn: &mut Turn, window: &Window) -> Result<(), String> {
        if window.rows > WINDOW_MAX_ROWS || window.sketch.len() > WINDOW_MAX_BYTES {
            return Err("it is larger than any window".to_string());
        }
        let Some((bundle, profile)) = self.bundles.get(&window.bundle).zip(self.profiles.get(&window.bundle)) else {
            return Err(format!("its bundle {} was never published here", window.bundle));
        };
        let live = Live::decode(profile, &window.sketch).map_err(|e| first_line(&e))?;
        if u64::from(live.rows()) != window.rows {
            return Err(format!("it says {} rows and holds {}", window.rows, live.rows()));
        }
        let index = match self.config.interval {
            // A device's clock may be anything; counts never go before the bundle or after now.
            IntervalBy::Seconds(s) => {
                window.to_unix_ms.clamp(bundle.published_at_ms.min(turn.now_ms), turn.now_ms) / 1000 / s.max(1)
            }
            IntervalBy::Windows(n) => window.seq / n.max(1),
        };
        let (key, changed) = self.intervals.fold(&window.bundle, index, live).map_err(|e| first_line(&e))?;
        turn.aggregates.extend(changed.put);
        for (bundle, first) in changed.gone {
            turn.aggregates.remove(&(bundle.clone(), first));
            turn.gone.push(RowKey { table: Table::Aggregate, key: aggregate_key(&bundle, first) });
        }
        self.watch(turn, &window.bundle, key);
        Ok(())
    }

    /// Counts a window that can never be read; its device is not asked for it again.
    fn reject(&mut self, turn: &mut Turn, id: &DeviceId, window: &Window, why: String) {
        let Some(device) = self.devices.get_mut(id) else { return };
        device.rejected_windows += 1;
        turn.devices.insert(id.clone());
        // The first and every doubling: a broken device must not fill the history.
        if device.rejected_windows.is_power_of_two() {
            let text = format!(
                "Window {} of {id} could not be counted: {why} ({} so far).",
                window.seq, device.rejected_windows
            );
            self.record(turn, Entry::new(EventKind::WindowRejected, text).device(id).bundle(&window.bundle));
        }
    }
}

fn first_line(error: &impl core::fmt::Display) -> String {
    let text = format!("{error}");
    String::from(text.split('\n').next().unwrap_or_default())
}
