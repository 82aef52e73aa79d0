//! What the device remembers: one CBOR document in the ledger, and the pointers beside it.
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use pinnace_protocol::cbor;
use pinnace_protocol::ids::{BundleRef, Digest, Family, RolloutId};
use pinnace_protocol::manifest::TrialPolicy;
use pinnace_protocol::message::{CommandKind, CommandOutcome, Failure};
use pinnace_protocol::transfer::PatchOffer;
use serde::{Deserialize, Serialize};

use crate::api::SlotName;
use crate::limits::{ATTEMPTS_REMEMBERED_MAX, FAMILIES_MAX, STATE_MAX_BYTES};

/// The format of both records.
const FORMAT: u8 = 1;
/// Bytes of the checksum at the end of the pointers.
const SUM_BYTES: usize = 32;

/// A bundle in a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Installed {
    pub(crate) slot: SlotName,
    /// `Released::to_ledger`.
    #[serde(with = "serde_bytes")]
    pub(crate) released: Vec<u8>,
    pub(crate) bundle: BundleRef,
    pub(crate) manifest: Digest,
    pub(crate) release_counter: u64,
    /// Of the assignment that brought it.
    pub(crate) generation: u64,
    pub(crate) rollout: Option<RolloutId>,
}

/// How far a candidate has come, as far as a restart must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// Chunks are missing.
    Fetching,
    /// Every byte was made durable.
    Sealed,
}

/// A bundle on its way to be active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Candidate {
    pub(crate) what: Installed,
    pub(crate) stage: Stage,
    /// Loads it may still use up.
    pub(crate) tries_left: u32,
    /// Taken back rather than tried: golden vectors are enough.
    pub(crate) rollback: bool,
    pub(crate) trial: TrialPolicy,
    /// Short cuts that the plane offered; kept so that a power cut does not turn a small update into a large one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) patches: Vec<PatchOffer>,
}

/// What the device was last told to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) generation: u64,
    pub(crate) rollout: Option<RolloutId>,
    pub(crate) bundle: BundleRef,
    pub(crate) manifest: Digest,
}

/// A target that was given up for good: only a newer generation makes it worth another try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) generation: u64,
    pub(crate) manifest: Digest,
    pub(crate) failure: Failure,
}

/// Failed attempts to fetch one bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempts {
    pub(crate) manifest: Digest,
    pub(crate) count: u32,
    /// Seconds since 1970 until which it is left alone; 0 when it is not.
    pub(crate) until_s: u64,
    /// Why the last one failed.
    pub(crate) failure: Failure,
}

/// Everything the device remembers but floors, metadata and windows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    format: u8,
    pub(crate) epoch: u64,
    pub(crate) boot: u64,
    /// Highest generation accepted.
    pub(crate) generation: u64,
    /// Lowest release counter accepted, by family.
    pub(crate) releases: BTreeMap<Family, u64>,
    pub(crate) active: Option<Installed>,
    pub(crate) fallback: Option<Installed>,
    pub(crate) candidate: Option<Candidate>,
    pub(crate) target: Option<Target>,
    pub(crate) refused: Option<Refused>,
    pub(crate) attempts: Vec<Attempts>,
    pub(crate) next_window: u64,
    /// No window from this number on was ever published, so those may still be merged and numbered anew.
    pub(crate) sent_below: u64,
    pub(crate) windows_lost: u64,
    /// Whether an operator wants no install to begin.
    #[serde(default)]
    pub(crate) paused: bool,
    /// What applications have used up of their say about one target.
    #[serde(default)]
    pub(crate) vetoed: Vetoed,
    /// The last command that was taken on; no other of its number or below ever is.
    #[serde(default)]
    pub(crate) told: Option<Told>,
}

/// Seconds that applications have put off the target of one generation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Vetoed {
    pub(crate) generation: u64,
    pub(crate) used_s: u32,
}

/// A command that was taken on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) number: u64,
    pub(crate) kind: CommandKind,
    /// How it ended and one sentence; none while it is being carried out.
    pub(crate) ended: Option<(CommandOutcome, String)>,
}

impl State {
    /// Returns the state of a device that remembers nothing.
    pub(crate) fn new(epoch: u64) -> Self {
        Self {
            format: FORMAT,
            epoch,
            boot: 0,
            generation: 0,
            releases: BTreeMap::new(),
            active: None,
            fallback: None,
            candidate: None,
            target: None,
            refused: None,
            attempts: Vec::new(),
            next_window: 0,
            sent_below: 0,
            windows_lost: 0,
            paused: false,
            vetoed: Vetoed::default(),
            told: None,
        }
    }

    /// Returns the record.
    pub(crate) fn encode(&self) -> Vec<u8> {
        // The protocol's own types always encode; an empty record would read as damaged.
        cbor::encode(self).unwrap_or_default()
    }

    /// Reads the record; `None` when it is damaged or of another format.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        cbor::decode::<Self>(bytes, STATE_MAX_BYTES).ok().filter(|s| s.format == FORMAT)
    }

    /// Returns the record of what must survive even the loss of the ledger.
    pub(crate) fn pointers(&self) -> Vec<u8> {
        let body = Pointers {
            format: FORMAT,
            generation: self.generation,
            releases: self.releases.clone(),
            active: self.active.clone(),
            fallback: self.fallback.clone(),
        };
        let mut out = cbor::encode(&body).unwrap_or_default();
        let sum = Digest::of(&out);
        out.extend_from_slice(&sum.0);
        out
    }

    /// Takes over pointers, when they are sound; returns whether they were.
    pub(crate) fn adopt_pointers(&mut self, bytes: &[u8]) -> bool {
        let Some(p) = Pointers::read(bytes) else { return false };
        if p.generation >= self.generation {
            self.generation = p.generation;
            self.active = p.active;
            self.fallback = p.fallback;
        }
        for (family, floor) in p.releases {
            self.raise_release(&family, floor);
        }
        true
    }

    /// Returns whether a pointers record knows of a later assignment: then this state is an older copy, or its commit
    /// was cut short.
    pub(crate) fn is_older_than(&self, pointers: &[u8]) -> bool {
        Pointers::read(pointers).is_some_and(|p| p.generation > self.generation)
    }

    /// Returns the lowest release counter that may be installed of `family`.
    pub(crate) fn release_floor(&self, family: &Family) -> u64 {
        self.releases.get(family).copied().unwrap_or(0)
    }

    /// Raises the release floor of `family`; never lowers it.
    pub(crate) fn raise_release(&mut self, family: &Family, counter: u64) {
        if self.releases.contains_key(family) || self.releases.len() < FAMILIES_MAX {
            let floor = self.releases.entry(family.clone()).or_insert(0);
            *floor = counter.max(*floor);
        }
    }

    /// Returns whether `slot` holds the active or the fallback model, so that nothing may write to it.
    pub(crate) fn is_protected(&self, slot: SlotName) -> bool {
        slot == SlotName::Factory || [&self.active, &self.fallback].into_iter().flatten().any(|i| i.slot == slot)
    }

    /// Forgets what was held against bundles because documents or bytes were not genuine; returns whether there was any.
    pub(crate) fn forgive(&mut self) -> bool {
        let before = (self.refused.is_some(), self.attempts.len());
        self.refused = self.refused.take().filter(|refused| !refused.failure.code.is_integrity());
        self.attempts.retain(|attempts| !attempts.failure.code.is_integrity());
        before != (self.refused.is_some(), self.attempts.len())
    }

    /// Returns the remembered attempts at a bundle.
    pub(crate) fn attempts_at(&self, manifest: &Digest) -> Option<&Attempts> {
        self.attempts.iter().find(|a| a.manifest == *manifest)
    }

    /// Forgets the failed attempts at a bundle; returns whether there were any.
    pub(crate) fn forget_attempts(&mut self, manifest: &Digest) -> bool {
        let before = self.attempts.len();
        self.attempts.retain(|a| a.manifest != *manifest);
        self.attempts.len() != before
    }

    /// Counts a failed attempt at a bundle and returns how many there are now.
    pub(crate) fn count_attempt(&mut self, manifest: Digest, failure: &Failure) -> u32 {
        if let Some(known) = self.attempts.iter_mut().find(|a| a.manifest == manifest) {
            known.count = known.count.saturating_add(1);
            known.failure = failure.clone();
            return known.count;
        }
        if self.attempts.len() >= ATTEMPTS_REMEMBERED_MAX {
            let first = self.attempts.iter().enumerate().min_by_key(|(_, a)| a.until_s).map(|(at, _)| at);
            first.map(|at| self.attempts.remove(at));
        }
        self.attempts.push(Attempts { manifest, count: 1, until_s: 0, failure: failure.clone() });
        1
    }

    /// Returns why the present target was given up, if it was.
    pub(crate) fn refusal(&self) -> Option<&Failure> {
        let target = self.target.as_ref()?;
        let refused = self.refused.as_ref()?;
        (refused.generation == target.generation && refused.manifest == target.manifest).then_some(&refused.failure)
    }
}

/// Enough to find a runnable model when the ledger is lost.
#[derive(Serialize, Deserialize)]
struct Pointers {
    format: u8,
    generation: u64,
    releases: BTreeMap<Family, u64>,
    active: Option<Installed>,
    fallback: Option<Installed>,
}

/// Returns whether these bytes are a whole pointers record.
pub(crate) fn is_sound_pointers(bytes: &[u8]) -> bool {
    Pointers::read(bytes).is_some()
}

impl Pointers {
    /// Reads a record; `None` when it is damaged or of another format.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(SUM_BYTES)?)?;
        if Digest::of(body).0[..] != *sum {
            return None;
        }
        cbor::decode::<Self>(body, STATE_MAX_BYTES).ok().filter(|p| p.format == FORMAT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinnace_protocol::message::FailCode;

    fn installed(slot: SlotName) -> Installed {
        Installed {
            slot,
            released: alloc::vec![1, 2, 3],
            bundle: "rain/v3".parse().unwrap(),
            manifest: Digest::of(b"m"),
            release_counter: 3,
            generation: 7,
            rollout: Some(RolloutId::parse("r1").unwrap()),
        }
    }

    fn full() -> State {
        let mut state = State::new(9);
        state.generation = 7;
        state.active = Some(installed(SlotName::A));
        state.candidate = Some(Candidate {
            what: installed(SlotName::B),
            stage: Stage::Fetching,
            tries_left: 3,
            rollback: false,
            trial: TrialPolicy::default(),
            patches: Vec::new(),
        });
        state.raise_release(&Family::parse("rain").unwrap(), 2);
        state.count_attempt(Digest::of(b"x"), &Failure { code: FailCode::Network, text: "no".into() });
        state
    }

    #[test]
    fn the_record_reads_back_and_damage_is_noticed() {
        let state = full();
        let bytes = state.encode();
        assert_eq!(State::decode(&bytes), Some(state));
        assert_eq!(State::decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(State::decode(&[]), None);
    }

    #[test]
    fn pointers_bring_back_the_model_and_the_floors_and_no_damaged_one_does() {
        let state = full();
        let bytes = state.pointers();
        let mut fresh = State::new(1);
        assert!(fresh.adopt_pointers(&bytes));
        assert_eq!((fresh.active, fresh.generation, fresh.releases), (state.active, 7, state.releases));
        for i in 0..bytes.len() {
            let mut torn = bytes.clone();
            torn[i] ^= 1;
            assert!(!State::new(1).adopt_pointers(&torn), "byte {i}");
        }
    }

    #[test]
    fn attempts_are_bounded() {
        let mut state = State::new(1);
        let failure = Failure { code: FailCode::Network, text: "no".into() };
        for i in 0..40_u64 {
            assert_eq!(state.count_attempt(Digest::of(&i.to_le_bytes()), &failure), 1);
        }
        assert_eq!(state.attempts.len(), ATTEMPTS_REMEMBERED_MAX);
    }
}
