//! Two copies of one identity, found by what only two can have said.
//!
//! Evidence is what a device signed, and nothing else: a broker may hold back, repeat and reorder messages as it likes,
//! and a single honest device must never look like two. So only contradictions count:
//! - In one process start the messages are numbered, and each connection has a nonce of its own. Hellos of one nonce form
//!   an unbroken run of numbers. A number under two nonces, or a nonce inside the run of another, means two processes
//!   with one start number, and start numbers are durable before the first message.
//! - A number that belongs to a hello cannot belong to a report.
//! - A window's number means one content from the moment that it was first published, which is durable before.
//!
//! A device restored from an old copy of its disk contradicts itself as a clone does; an operator says which it was.
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use pinnace_protocol::ids::{DeviceId, Digest};
use pinnace_protocol::message::{Counter, Window};
use serde::{Deserialize, Serialize};

use crate::Steward;
use crate::api::{Done, Refusal};
use crate::fleet::Device;
use crate::history::{Entry, EventKind, cut};
use crate::limits::CONNECTIONS_REMEMBERED;
use crate::turn::Turn;
use crate::windows::EpochSeen;

/// The hellos of one connection: numbers `first` to `last` of a process start had this nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Said {
    /// Process start.
    pub boot: u64,
    /// Lowest number heard.
    pub first: u64,
    /// Highest number heard.
    pub last: u64,
    /// Beginning of the nonce.
    pub nonce: u64,
}

/// Why a device is taken for two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cloned {
    /// Since when, steward time in milliseconds.
    pub since_ms: u64,
    /// The contradiction, in one sentence.
    pub why: String,
}

/// What was heard of the present ledger epoch, as far as it can be contradicted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// The newest connections, in the order of their numbers; at most [`CONNECTIONS_REMEMBERED`].
    pub said: Vec<Said>,
    /// Up to here an operator has judged: older contradictions do not count again.
    pub judged: Counter,
}

impl Heard {
    /// Notes a hello of the present epoch, however late it comes; returns the contradiction, if it is one.
    pub(crate) fn hello(&mut self, counter: &Counter, nonce: &[u8]) -> Option<String> {
        if self.is_judged(counter) {
            return None;
        }
        let Counter { boot, seq, .. } = *counter;
        let nonce = nonce.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte));
        let known = self.said.iter().position(|s| s.boot == boot && s.nonce == nonce);
        let run = match known {
            Some(at) => {
                let s = self.said[at];
                Said { first: s.first.min(seq), last: s.last.max(seq), ..s }
            }
            None => Said { boot, first: seq, last: seq, nonce },
        };
        let crosses = |s: &&Said| s.boot == boot && s.nonce != nonce && s.first <= run.last && run.first <= s.last;
        if self.said.iter().any(|s| crosses(&s)) {
            return Some(format!("process start {boot} used message number {seq} in two connections"));
        }
        match known {
            Some(at) => self.said[at] = run,
            None => {
                let at = self.said.partition_point(|s| *s < run);
                self.said.insert(at, run);
                if self.said.len() > CONNECTIONS_REMEMBERED {
                    self.said.remove(0);
                }
            }
        }
        None
    }

    fn is_judged(&self, counter: &Counter) -> bool {
        counter.epoch == self.judged.epoch && *counter <= self.judged
    }

    /// Begins with another ledger epoch, whose numbers have nothing to do with these.
    pub(crate) fn enter_epoch(&mut self) {
        self.said.clear();
    }

    /// Returns how a report's number contradicts the hellos heard, if it does.
    pub(crate) fn report(&self, counter: &Counter) -> Option<String> {
        let Counter { boot, seq, .. } = *counter;
        let is_hello = |s: &Said| s.boot == boot && (s.first == seq || s.last == seq);
        let found = !self.is_judged(counter) && self.said.iter().any(is_hello);
        found.then(|| format!("process start {boot} gave message number {seq} to a hello and to a report"))
    }
}

/// Returns what tells the content of one window from another's.
pub(crate) fn window_print(window: &Window) -> u64 {
    let mut text = Vec::with_capacity(window.sketch.len() + 32);
    for number in [window.from_unix_ms, window.to_unix_ms, window.rows, window.bundle.version] {
        text.extend_from_slice(&number.to_le_bytes());
    }
    text.extend_from_slice(&window.sketch);
    Digest::of(&text).0.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

impl Device {
    /// Returns whether it is taken for two: it keeps what it runs, gets nothing new, and is not counted.
    pub fn is_cloned(&self) -> bool {
        self.cloned.is_some()
    }

    /// Begins anew to look for contradictions: an operator has judged what there was, or the identity is a new one.
    pub(crate) fn trust_again(&mut self) {
        self.cloned = None;
        let said = self.present.said.iter().map(|s| Counter { epoch: self.hello.epoch, boot: s.boot, seq: s.last });
        let newest = said.fold(self.hello.max(self.report), Counter::max);
        self.present = Heard { said: Vec::new(), judged: newest };
    }
}

impl Steward {
    /// Takes a device for two copies of one: from now on it is left as it is.
    pub(crate) fn quarantine_clone(&mut self, turn: &mut Turn, id: &DeviceId, why: String) {
        let Some(device) = self.devices.get_mut(id).filter(|d| !d.is_cloned()) else { return };
        let text = format!(
            "{id} exists twice: {why}. It is quarantined: its windows are not counted and it gets nothing new. Find the \
             copy, then invite the device anew; or release it, when it was restored from an old copy of its disk."
        );
        device.cloned = Some(Cloned { since_ms: turn.now_ms, why });
        turn.devices.insert(id.clone());
        // No rollout waits for it, and none is judged by it.
        self.end_memberships(turn, id);
        self.record(turn, Entry::new(EventKind::DeviceCloned, text).device(id));
    }

    /// An operator has judged: the device is one again.
    pub(crate) fn release_clone(&mut self, turn: &mut Turn, actor: &str, id: &DeviceId) -> Result<Done, Refusal> {
        let device = self.devices.get_mut(id).ok_or_else(|| Refusal::UnknownDevice(id.clone()))?;
        if !device.is_cloned() {
            return Err(Refusal::NotQuarantined(id.clone()));
        }
        device.trust_again();
        turn.devices.insert(id.clone());
        self.forget_prints(turn, id);
        let text = format!("{} released {id} from quarantine.", cut(actor));
        self.record(turn, Entry::new(EventKind::DeviceReleased, text).by(actor).device(id));
        self.enrol_late(turn, id, true);
        self.give_baseline(turn, id);
        Ok(Done::Ok)
    }

    /// Forgets what windows looked like, so that the judged ones are not held against the device again.
    pub(crate) fn forget_prints(&mut self, turn: &mut Turn, id: &DeviceId) {
        if let Some(dedupe) = self.dedupe.get_mut(id) {
            dedupe.epochs.iter_mut().for_each(EpochSeen::judge);
            turn.dedupes.insert(id.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(boot: u64, seq: u64) -> Counter {
        Counter { epoch: 1, boot, seq }
    }

    #[test]
    fn a_number_under_two_nonces_and_a_run_inside_another_are_contradictions() {
        let mut heard = Heard::default();
        assert_eq!(heard.hello(&at(3, 1), &[7; 16]), None);
        assert_eq!(heard.hello(&at(3, 1), &[7; 16]), None, "sent twice");
        assert!(heard.hello(&at(3, 1), &[8; 16]).is_some());
        assert_eq!(heard.hello(&at(3, 4), &[8; 16]), None, "the next connection");
        assert!(heard.hello(&at(3, 6), &[7; 16]).is_some(), "the first one again after it");
        assert_eq!(heard.hello(&at(4, 1), &[9; 16]), None, "another start");
        assert!(heard.report(&at(3, 4)).is_some());
        assert_eq!((heard.report(&at(3, 2)), heard.report(&at(5, 1))), (None, None));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_what_was_judged_stays_judged() {
        let mut heard = Heard::default();
        for boot in 0..100 {
            assert_eq!(heard.hello(&at(boot, 1), &boot.to_be_bytes()), None);
        }
        assert_eq!(heard.said.len(), CONNECTIONS_REMEMBERED);
        assert_eq!(heard.said.last().map(|s| s.boot), Some(99));
        heard.judged = at(99, 1);
        heard.said.clear();
        for nonce in 0..3_u64 {
            assert_eq!(heard.hello(&at(99, 1), &nonce.to_be_bytes()), None);
        }
    }
}
