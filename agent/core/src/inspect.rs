//! What is on a device's disk, for people: read without changing anything, and without believing damaged records.
use alloc::vec::Vec;

use pinnace_protocol::ids::{BundleRef, Digest};
use pinnace_protocol::message::Failure;

use crate::api::{Key, SlotName};
use crate::state::{Installed, Stage, State, is_sound_pointers};

/// A bundle in a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotUse {
    /// Which slot.
    pub slot: SlotName,
    /// Which bundle.
    pub bundle: BundleRef,
    /// `Released::to_ledger` of the bundle: proves its bytes.
    pub released: Vec<u8>,
}

/// A bundle that is left alone for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftAlone {
    /// Digest of its manifest.
    pub manifest: Digest,
    /// Failed attempts.
    pub attempts: u32,
    /// Seconds since 1970 until which it is left alone; 0 when it is not.
    pub until_s: u64,
    /// Why the last attempt failed.
    pub failure: Failure,
}

/// What a device remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// The model that serves.
    pub active: Option<SlotUse>,
    /// The one before.
    pub fallback: Option<SlotUse>,
    /// The one on its way, and whether all its bytes are there.
    pub candidate: Option<(SlotUse, bool)>,
    /// What the device should run.
    pub target: Option<BundleRef>,
    /// Bundles with failed attempts.
    pub attempts: Vec<LeftAlone>,
    /// Windows that wait for the plane.
    pub windows: usize,
    /// Windows merged or dropped for want of space, ever.
    pub windows_lost: u64,
}

/// Returns what the ledger's records say; `None` when the state record is missing or damaged.
pub fn remembered(records: &[(Key, Vec<u8>)]) -> Option<Remembered> {
    let state = records.iter().find(|(key, _)| *key == Key::State).and_then(|(_, bytes)| State::decode(bytes))?;
    let used = |i: Installed| SlotUse { slot: i.slot, bundle: i.bundle, released: i.released };
    let attempts = state.attempts.into_iter().map(|a| LeftAlone {
        manifest: a.manifest,
        attempts: a.count,
        until_s: a.until_s,
        failure: a.failure,
    });
    Some(Remembered {
        active: state.active.map(used),
        fallback: state.fallback.map(used),
        candidate: state.candidate.map(|c| (used(c.what), c.stage == Stage::Sealed)),
        target: state.target.map(|t| t.bundle),
        attempts: attempts.collect(),
        windows: records.iter().filter(|(key, _)| matches!(key, Key::Window(_))).count(),
        windows_lost: state.windows_lost,
    })
}

/// Returns whether one slot of the pointers file is whole.
pub fn are_pointers_sound(bytes: &[u8]) -> bool {
    is_sound_pointers(bytes)
}
