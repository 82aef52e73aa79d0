//! The history: append-only, every entry carries the digest of the one before.
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use pinnace_protocol::cbor;
use pinnace_protocol::ids::{BundleRef, DeviceId, Digest, RolloutId};
use serde::{Deserialize, Serialize};

use crate::gates::Reason;
use crate::limits::{EVENTS_IN_MEMORY, WORDS_MAX_BYTES};

/// What an entry is about. Order is the stored form: only ever add at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A device was admitted.
    DeviceJoined,
    /// An operator changed labels.
    LabelsSet,
    /// A bundle was signed and stored.
    BundlePublished,
    /// A rollout was created.
    RolloutCreated,
    /// A person let a draft begin.
    RolloutApproved,
    /// Devices of a wave are being offered the bundle.
    WaveStarted,
    /// A wave's evidence is there; it is watched for the bake time.
    WaveBaking,
    /// A rollout stopped offering.
    RolloutPaused,
    /// A rollout goes on.
    RolloutResumed,
    /// Every wave passed.
    RolloutCompleted,
    /// A rollout was given up; carries the reasons.
    RolloutAborted,
    /// Every exposed device was told to go back.
    RollingBack,
    /// Every exposed device is back.
    RolledBack,
    /// Some devices did not come back in time.
    RollbackStuck,
    /// A device was offered a bundle.
    DeviceOffered,
    /// A device verified the assignment and began.
    DeviceAccepted,
    /// A device passed its trial.
    DeviceHealthy,
    /// A device gave the bundle up, or fell silent.
    DeviceFailed,
    /// A device will be offered the bundle again.
    DeviceRetries,
    /// A device never answered the offer.
    DeviceUnreachable,
    /// A device is back on what it had.
    DeviceRolledBack,
    /// A device that joined late was given the fleet's bundle.
    DeviceAssigned,
    /// A window could not be read.
    WindowRejected,
    /// An interval was compared with the reference.
    Drift,
    /// Drift persists: a new model should be trained.
    RetrainWanted,
    /// A person opened the next wave by hand.
    WavePromoted,
    /// Keys or the expiry of a role changed in one of the repositories.
    KeysChanged,
    /// A device's messages contradict one another: it exists twice.
    DeviceCloned,
    /// A person released a device that was taken for two.
    DeviceReleased,
    /// A person gave a device a command.
    CommandGiven,
    /// A device said how a command ended.
    CommandDone,
}

/// A named value beside the sentence, for machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// Its name, e.g. `feature`.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// One entry of the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventRecord {
    /// Position, from 0, without gaps.
    pub seq: u64,
    /// Steward time, milliseconds since 1970.
    pub at_ms: u64,
    /// What it is about.
    pub kind: EventKind,
    /// Who: a person's name, `steward`, or `device`.
    pub actor: String,
    /// The device, when it is about one.
    pub device: Option<DeviceId>,
    /// The rollout, when it is about one.
    pub rollout: Option<RolloutId>,
    /// The bundle, when it is about one.
    pub bundle: Option<BundleRef>,
    /// One plain sentence.
    pub text: String,
    /// Why, for machines.
    pub reasons: Vec<Reason>,
    /// More values.
    pub details: Vec<Detail>,
    /// Digest of the entry before; zeros for the first.
    pub previous: Digest,
    /// SHA-256 over everything above, CBOR.
    pub digest: Digest,
}

/// An entry before it has a place.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub kind: EventKind,
    pub actor: String,
    pub device: Option<DeviceId>,
    pub rollout: Option<RolloutId>,
    pub bundle: Option<BundleRef>,
    pub text: String,
    pub reasons: Vec<Reason>,
    pub details: Vec<Detail>,
}

impl Entry {
    /// Returns an entry of the steward itself.
    pub(crate) fn new(kind: EventKind, text: String) -> Self {
        Self {
            kind,
            actor: "steward".into(),
            device: None,
            rollout: None,
            bundle: None,
            text,
            reasons: Vec::new(),
            details: Vec::new(),
        }
    }
    pub(crate) fn by(mut self, actor: &str) -> Self {
        self.actor = cut(actor);
        self
    }
    pub(crate) fn device(mut self, device: &DeviceId) -> Self {
        self.device = Some(device.clone());
        self
    }
    pub(crate) fn rollout(mut self, rollout: &RolloutId) -> Self {
        self.rollout = Some(rollout.clone());
        self
    }
    pub(crate) fn bundle(mut self, bundle: &BundleRef) -> Self {
        self.bundle = Some(bundle.clone());
        self
    }
    pub(crate) fn reasons(mut self, reasons: Vec<Reason>) -> Self {
        self.reasons = reasons;
        self
    }
    pub(crate) fn detail(mut self, name: &str, value: String) -> Self {
        self.details.push(Detail { name: name.into(), value });
        self
    }
}

/// Cuts a person's words to the limit, at a character.
pub(crate) fn cut(words: &str) -> String {
    let mut out = String::new();
    for c in words.chars() {
        if out.len() + c.len_utf8() > WORDS_MAX_BYTES {
            break;
        }
        out.push(if c.is_control() { ' ' } else { c });
    }
    out
}

/// Says where a history was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the history was changed at entry {seq}: {why}\n  hint: compare with a backup; entries before {seq} are intact"
)]
pub struct ChainError {
    /// The first entry that does not fit.
    pub seq: u64,
    /// What does not fit.
    pub why: &'static str,
}

fn digest_of(record: &EventRecord) -> Digest {
    let r = record;
    let parts = (
        (r.seq, r.at_ms, r.kind, &r.actor, &r.device, &r.rollout),
        (&r.bundle, &r.text, &r.reasons, &r.details, &r.previous),
    );
    // Plain data always encodes; were it not so, the empty digest would not verify and be noticed.
    Digest::of(&cbor::encode(&parts).unwrap_or_default())
}

/// Checks consecutive entries, oldest first; they need not begin with the first ever.
///
/// # Errors
/// [`ChainError`] naming the first entry that was changed, lost or inserted.
pub fn verify_chain(records: &[EventRecord]) -> Result<(), ChainError> {
    let mut before: Option<&EventRecord> = None;
    for record in records {
        let broken = |why| Err(ChainError { seq: record.seq, why });
        match before {
            Some(b) if b.seq.checked_add(1) != Some(record.seq) => return broken("an entry is missing or was put in"),
            Some(b) if b.digest != record.previous => return broken("it does not follow the entry before"),
            None if record.seq == 0 && record.previous != Digest([0; 32]) => {
                return broken("the first entry names one before it");
            }
            _ => {}
        }
        if digest_of(record) != record.digest {
            return broken("its content does not fit its digest");
        }
        before = Some(record);
    }
    Ok(())
}

/// The end of the chain and its newest entries.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct History {
    recent: VecDeque<EventRecord>,
    next: u64,
    head: Option<Digest>,
}

impl History {
    /// Takes a stored entry in; entries come in any order at recovery, so the caller sorts them.
    pub(crate) fn restore(&mut self, record: EventRecord) {
        self.next = record.seq.saturating_add(1);
        self.head = Some(record.digest);
        self.keep(record);
    }

    /// Adds an entry to the chain and returns it.
    pub(crate) fn append(&mut self, entry: Entry, at_ms: u64) -> EventRecord {
        let mut record = EventRecord {
            seq: self.next,
            at_ms,
            kind: entry.kind,
            actor: entry.actor,
            device: entry.device,
            rollout: entry.rollout,
            bundle: entry.bundle,
            text: entry.text,
            reasons: entry.reasons,
            details: entry.details,
            previous: self.head.unwrap_or(Digest([0; 32])),
            digest: Digest([0; 32]),
        };
        record.digest = digest_of(&record);
        self.restore(record.clone());
        record
    }

    fn keep(&mut self, record: EventRecord) {
        if self.recent.len() == EVENTS_IN_MEMORY {
            self.recent.pop_front();
        }
        self.recent.push_back(record);
    }

    /// Returns the newest entries, oldest first.
    pub(crate) fn recent(&self) -> impl DoubleEndedIterator<Item = &EventRecord> {
        self.recent.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn any_change_of_the_history_is_noticed() {
        let mut history = History::default();
        let records: Vec<_> =
            (0..5).map(|i| history.append(Entry::new(EventKind::Drift, format!("entry {i}")), i)).collect();
        verify_chain(&records).unwrap();
        verify_chain(&records[2..]).unwrap();
        let changes: [fn(&mut Vec<EventRecord>); 5] = [
            |r| r[2].text.push('!'),
            |r| drop(r.remove(2)),
            |r| r.swap(2, 3),
            |r| r[2].at_ms += 1,
            |r| {
                r[2].text.push('!');
                r[2].digest = digest_of(&r[2]);
            },
        ];
        for (i, change) in changes.into_iter().enumerate() {
            let mut forged = records.clone();
            change(&mut forged);
            assert!(verify_chain(&forged).is_err(), "change {i}");
        }
    }

    #[test]
    fn words_are_cut_and_cleaned() {
        assert_eq!(cut("a\nb"), "a b");
        assert_eq!(cut(&"ä".repeat(WORDS_MAX_BYTES)).len(), WORDS_MAX_BYTES);
    }
}
