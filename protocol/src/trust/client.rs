//! The image repository's client: asks for documents, judges them, says what to store. No clock, disk or socket.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::envelope::{check_expiry, load};
use super::error::TrustError;
use super::floors::Floors;
use super::limits::{ROOT_MAX_BYTES, ROOT_ROTATIONS_MAX, SNAPSHOT_MAX_BYTES, TIMESTAMP_MAX_BYTES};
use super::metadata::{ROOT, Root, SNAPSHOT, Snapshot, TARGETS, TIMESTAMP, Targets, Timestamp};
use super::names::{metadata_name, stored_root_name};
use super::request::{Document, Fetch, Request, Response};
use super::state::{Store, TrustedState, next_root};
use crate::signature::Verifier;

/// Where a refresh stands.
#[derive(Debug, Clone, PartialEq)]
enum Stage {
    Root,
    Timestamp,
    Snapshot,
    Targets,
    Ready,
    Failed(TrustError),
}

/// Refreshes the image repository and looks targets up: `poll` or `find`, fetch, `feed`, until done.
#[derive(Debug, Clone)]
pub struct ImageClient {
    pub(super) root: Arc<Root>,
    pub(super) files: BTreeMap<String, Arc<[u8]>>,
    pub(super) floors: Floors,
    pub(super) now: u64,
    pub(super) verifier: Verifier,
    stage: Stage,
    rotations: usize,
    timestamp: Option<Timestamp>,
    snapshot: Option<Snapshot>,
    /// Verified targets documents by (delegating role, role): a role two others delegate to is verified for each.
    pub(super) roles: BTreeMap<(String, String), Targets>,
    /// The (delegating role, role) that a look-up waits for.
    pub(super) awaited: Option<(String, String)>,
    pub(super) lookup_fault: Option<TrustError>,
    effects: Vec<Store>,
}

impl ImageClient {
    /// Builds a client for one refresh; `now` is the wall clock, unix seconds, never trusted below the time floor.
    pub fn new(trusted: TrustedState, floors: Floors, now: u64) -> Self {
        let TrustedState { root, files, verifier } = trusted;
        Self {
            now: floors.judge_time(now),
            root,
            files,
            floors,
            verifier,
            stage: Stage::Root,
            rotations: 0,
            timestamp: None,
            snapshot: None,
            roles: BTreeMap::new(),
            awaited: None,
            lookup_fault: None,
            effects: Vec::new(),
        }
    }

    /// Returns what the refresh wants next.
    pub fn poll(&self) -> Request<()> {
        let pinned = |version| self.root.consistent_snapshot.then_some(version);
        let fetch = match &self.stage {
            Stage::Root => {
                let version = self.root.header.version.saturating_add(1);
                Fetch {
                    what: Document::Root(version),
                    name: metadata_name(ROOT, Some(version)),
                    max_bytes: ROOT_MAX_BYTES,
                }
            }
            Stage::Timestamp => Fetch {
                what: Document::Timestamp,
                name: metadata_name(TIMESTAMP, None),
                max_bytes: TIMESTAMP_MAX_BYTES,
            },
            Stage::Snapshot => match self.timestamp().and_then(Timestamp::snapshot) {
                Ok(pin) => Fetch {
                    what: Document::Snapshot { version: pin.version },
                    name: metadata_name(SNAPSHOT, pinned(pin.version)),
                    max_bytes: cap(pin.length, SNAPSHOT_MAX_BYTES),
                },
                Err(fault) => return Request::Failed(fault),
            },
            Stage::Targets => match self.fetch_role(TARGETS) {
                Ok(fetch) => fetch,
                Err(fault) => return Request::Failed(fault),
            },
            Stage::Ready => return Request::Done(()),
            Stage::Failed(fault) => return Request::Failed(fault.clone()),
        };
        Request::Fetch(fetch)
    }

    /// Takes the answer to the last [`Request::Fetch`] and returns what to store, to be carried out in order.
    #[must_use = "floors and metadata must be stored before the next step"]
    pub fn feed(&mut self, response: Response<'_>) -> Vec<Store> {
        let outcome = match (&self.stage, response) {
            (Stage::Root, Response::NotFound) => self.finish_roots(),
            (Stage::Root, Response::Bytes(bytes)) => self.accept_root(bytes),
            (Stage::Timestamp, Response::Bytes(bytes)) => self.accept_timestamp(bytes),
            (Stage::Snapshot, Response::Bytes(bytes)) => self.accept_snapshot(bytes),
            (Stage::Targets, Response::Bytes(bytes)) => {
                self.accept_role(ROOT, TARGETS, bytes).map(|()| self.stage = Stage::Ready)
            }
            (Stage::Timestamp, Response::NotFound) => Err(missing(TIMESTAMP)),
            (Stage::Snapshot, Response::NotFound) => Err(missing(SNAPSHOT)),
            (Stage::Targets, Response::NotFound) => Err(missing(TARGETS)),
            (Stage::Ready, response) => {
                if let Some((parent, role)) = self.awaited.take() {
                    let outcome = match response {
                        Response::Bytes(bytes) => self.accept_role(&parent, &role, bytes),
                        Response::NotFound => Err(missing(&role)),
                    };
                    // One broken family must not stop the look-up of another: the fault belongs to this look-up.
                    self.lookup_fault = outcome.err();
                }
                Ok(())
            }
            (Stage::Failed(_), _) => Ok(()),
        };
        if let Err(fault) = outcome {
            self.stage = Stage::Failed(fault);
        }
        core::mem::take(&mut self.effects)
    }

    /// Returns the floors as raised so far.
    pub fn floors(&self) -> &Floors {
        &self.floors
    }

    /// Returns the newest verified root.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Returns a copy of the state to start the next refresh from, as it is now.
    pub fn state(&self) -> TrustedState {
        TrustedState { root: Arc::clone(&self.root), files: self.files.clone(), verifier: self.verifier }
    }

    /// Returns the state to start the next refresh from; equal to loading what was stored.
    pub fn into_state(self) -> (TrustedState, Floors) {
        (TrustedState { root: self.root, files: self.files, verifier: self.verifier }, self.floors)
    }

    fn accept_root(&mut self, bytes: &[u8]) -> Result<(), TrustError> {
        let new = next_root(&self.root, bytes, self.verifier)?;
        let version = new.header.version;
        let retires = self.root.retires_keys(&new, &[TIMESTAMP, SNAPSHOT]);
        let before = self.floors.clone();
        let starts_over = self.floors.image.raise_root(version, retires);
        self.store_floors(&before);
        if starts_over {
            // A stolen online key may have pushed versions out of reach: forget them together with the key.
            for name in [metadata_name(TIMESTAMP, None), metadata_name(SNAPSHOT, None)] {
                self.files.remove(&name);
                self.effects.push(Store::RemoveMetadata { name });
            }
        }
        self.effects.push(Store::PutMetadata { name: stored_root_name(version), bytes: bytes.into() });
        self.root = Arc::new(new);
        self.rotations += 1;
        if self.rotations < ROOT_ROTATIONS_MAX { Ok(()) } else { self.finish_roots() }
    }

    /// Judges the newest root and loads the stored timestamp, if it is still signed by this root's keys.
    fn finish_roots(&mut self) -> Result<(), TrustError> {
        self.floors.image.check_root(self.root.header.version)?;
        check_expiry(ROOT, &*self.root, self.now)?;
        let keys = self.root.role(TIMESTAMP)?;
        self.timestamp = self
            .files
            .get(&metadata_name(TIMESTAMP, None))
            .and_then(|bytes| load(TIMESTAMP, bytes, TIMESTAMP_MAX_BYTES, keys, &self.root.keys, self.verifier).ok());
        if let Some(stored) = &self.timestamp {
            // Where the floor record was lost, a sound stored document puts its floor back.
            let (version, pin) = (stored.header.version, stored.snapshot()?.version);
            self.raise(&[(TIMESTAMP, version), (SNAPSHOT, pin)])?;
        }
        self.stage = Stage::Timestamp;
        Ok(())
    }

    fn accept_timestamp(&mut self, bytes: &[u8]) -> Result<(), TrustError> {
        let new: Timestamp =
            load(TIMESTAMP, bytes, TIMESTAMP_MAX_BYTES, self.root.role(TIMESTAMP)?, &self.root.keys, self.verifier)?;
        let (version, pin) = (new.header.version, new.snapshot()?.version);
        self.floors.image.check(TIMESTAMP, version)?;
        self.floors.image.check(SNAPSHOT, pin)?;
        if let Some(old) = &self.timestamp {
            not_below(TIMESTAMP, version, old.header.version)?;
            if version == old.header.version {
                check_expiry(TIMESTAMP, old, self.now)?;
                return self.enter_snapshot();
            }
            not_below(SNAPSHOT, pin, old.snapshot()?.version)?;
        }
        check_expiry(TIMESTAMP, &new, self.now)?;
        self.accept(&[(TIMESTAMP, version), (SNAPSHOT, pin)], TIMESTAMP, bytes)?;
        self.timestamp = Some(new);
        self.enter_snapshot()
    }

    /// Loads the stored snapshot: either it is the pinned one, or it still guards against a rollback.
    fn enter_snapshot(&mut self) -> Result<(), TrustError> {
        let keys = self.root.role(SNAPSHOT)?;
        self.snapshot = self
            .files
            .get(&metadata_name(SNAPSHOT, None))
            .and_then(|bytes| load(SNAPSHOT, bytes, SNAPSHOT_MAX_BYTES, keys, &self.root.keys, self.verifier).ok());
        let pin = self.timestamp()?.snapshot()?.version;
        match &self.snapshot {
            Some(stored) if stored.header.version == pin && check_expiry(SNAPSHOT, stored, self.now).is_ok() => {
                self.check_snapshot_floors(stored)?;
                self.enter_targets()
            }
            _ => {
                self.stage = Stage::Snapshot;
                Ok(())
            }
        }
    }

    fn accept_snapshot(&mut self, bytes: &[u8]) -> Result<(), TrustError> {
        let pin = self.timestamp()?.snapshot()?;
        check_size(SNAPSHOT, bytes, cap(pin.length, SNAPSHOT_MAX_BYTES))?;
        pin.check_bytes(SNAPSHOT, bytes)?;
        let new: Snapshot =
            load(SNAPSHOT, bytes, SNAPSHOT_MAX_BYTES, self.root.role(SNAPSHOT)?, &self.root.keys, self.verifier)?;
        pin.check_version(SNAPSHOT, new.header.version)?;
        self.check_snapshot_floors(&new)?;
        for (name, old) in self.snapshot.iter().flat_map(|old| &old.meta) {
            not_below(name, new.meta.get(name).map_or(0, |new| new.version), old.version)?;
        }
        check_expiry(SNAPSHOT, &new, self.now)?;
        self.accept(&[(SNAPSHOT, new.header.version)], SNAPSHOT, bytes)?;
        self.snapshot = Some(new);
        self.enter_targets()
    }

    /// Checks that no role that was ever used went back or vanished.
    fn check_snapshot_floors(&self, snapshot: &Snapshot) -> Result<(), TrustError> {
        for (role, floor) in self.floors.image.roles() {
            if role != TIMESTAMP && role != SNAPSHOT {
                not_below(role, snapshot.pin(role).map_or(0, |pin| pin.version), *floor)?;
            }
        }
        Ok(())
    }

    fn enter_targets(&mut self) -> Result<(), TrustError> {
        self.stage = if self.use_stored(ROOT, TARGETS)? { Stage::Ready } else { Stage::Targets };
        Ok(())
    }

    fn timestamp(&self) -> Result<&Timestamp, TrustError> {
        self.timestamp.as_ref().ok_or_else(|| missing(TIMESTAMP))
    }

    pub(super) fn snapshot(&self) -> Result<&Snapshot, TrustError> {
        self.snapshot.as_ref().ok_or_else(|| missing(SNAPSHOT))
    }

    /// Raises floors and then stores the document: in this order, or a crash in between would lose the floor.
    pub(super) fn accept(&mut self, raise: &[(&str, u64)], role: &str, bytes: &[u8]) -> Result<(), TrustError> {
        self.raise(raise)?;
        let name = metadata_name(role, None);
        self.files.insert(name.clone(), bytes.into());
        self.effects.push(Store::PutMetadata { name, bytes: bytes.into() });
        Ok(())
    }

    pub(super) fn raise(&mut self, raise: &[(&str, u64)]) -> Result<(), TrustError> {
        let before = self.floors.clone();
        for (role, version) in raise {
            self.floors.image.raise(role, *version)?;
        }
        self.store_floors(&before);
        Ok(())
    }

    fn store_floors(&mut self, before: &Floors) {
        if self.floors != *before {
            self.effects.push(Store::RaiseFloors(self.floors.clone()));
        }
    }
}

pub(super) fn cap(pinned: Option<u64>, most: usize) -> usize {
    pinned.and_then(|length| usize::try_from(length).ok()).map_or(most, |length| length.min(most))
}

pub(super) fn check_size(what: &str, bytes: &[u8], cap: usize) -> Result<(), TrustError> {
    if bytes.len() <= cap {
        return Ok(());
    }
    Err(TrustError::TooLarge { what: what.into(), found: bytes.len() as u64, cap: cap as u64 })
}

fn not_below(role: &str, found: u64, floor: u64) -> Result<(), TrustError> {
    if found >= floor { Ok(()) } else { Err(TrustError::Rollback { role: role.into(), found, floor }) }
}

pub(super) fn missing(what: &str) -> TrustError {
    TrustError::Missing { what: what.into() }
}
