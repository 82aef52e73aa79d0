//! The oldest that may still be accepted: kept apart from the metadata, in two slots.
//!
//! A metadata file can be cut, emptied or replaced by an old copy; the floors still refuse what is older.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::error::TrustError;
use super::limits::{FLOOR_RECORD_MAX_BYTES, FLOOR_ROLES_MAX};
use super::record;

const MAGIC: &[u8; record::MAGIC_LEN] = b"PNFLOOR1";

/// Holds the version floors of one repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepoFloors {
    /// The newest root seen.
    root: u64,
    /// The root version that last retired the online keys; floors of an older epoch are void.
    epoch: u64,
    /// The newest version seen of every other role.
    roles: BTreeMap<String, u64>,
}

impl RepoFloors {
    /// Returns the newest root version seen; 0 for none.
    pub fn root(&self) -> u64 {
        self.root
    }

    /// Returns the newest version seen of a role; 0 for none.
    pub fn role(&self, role: &str) -> u64 {
        self.roles.get(role).copied().unwrap_or(0)
    }

    /// Returns all roles with a floor, root excepted.
    pub fn roles(&self) -> &BTreeMap<String, u64> {
        &self.roles
    }

    /// Checks a version of a role.
    ///
    /// # Errors
    /// `Rollback` when it is below the floor.
    pub fn check(&self, role: &str, found: u64) -> Result<(), TrustError> {
        not_below(role, found, self.role(role))
    }

    /// Checks a root version.
    ///
    /// # Errors
    /// `Rollback` when it is below the floor.
    pub fn check_root(&self, found: u64) -> Result<(), TrustError> {
        not_below(super::metadata::ROOT, found, self.root)
    }

    /// Raises the floor of a role; never lowers it.
    ///
    /// # Errors
    /// `TooLarge` when `FLOOR_ROLES_MAX` roles are known already.
    pub fn raise(&mut self, role: &str, version: u64) -> Result<(), TrustError> {
        if !self.roles.contains_key(role) && self.roles.len() >= FLOOR_ROLES_MAX {
            return Err(TrustError::TooLarge {
                what: "the list of roles with a version floor".into(),
                found: self.roles.len() as u64 + 1,
                cap: FLOOR_ROLES_MAX as u64,
            });
        }
        let floor = self.roles.entry(role.into()).or_insert(0);
        *floor = version.max(*floor);
        Ok(())
    }

    /// Raises the root floor; when this root retires the online keys, all other floors start over, once.
    ///
    /// Returns whether they started over.
    pub fn raise_root(&mut self, version: u64, retires_online_keys: bool) -> bool {
        self.root = version.max(self.root);
        let starts_over = retires_online_keys && version > self.epoch;
        if starts_over {
            self.epoch = version;
            self.roles.clear();
        }
        starts_over
    }

    /// Returns the join: the newer epoch's floors, and within one epoch the higher of each.
    fn join(&self, other: &Self) -> Self {
        let roles = match self.epoch.cmp(&other.epoch) {
            Ordering::Greater => self.roles.clone(),
            Ordering::Less => other.roles.clone(),
            Ordering::Equal => {
                let mut roles = self.roles.clone();
                for (role, version) in &other.roles {
                    let floor = roles.entry(role.clone()).or_insert(0);
                    *floor = (*version).max(*floor);
                }
                roles
            }
        };
        Self { root: self.root.max(other.root), epoch: self.epoch.max(other.epoch), roles }
    }

    /// Tells whether the join with `other` changes nothing here.
    fn covers(&self, other: &Self) -> bool {
        let roles = match self.epoch.cmp(&other.epoch) {
            Ordering::Greater => true,
            Ordering::Less => false,
            Ordering::Equal => other.roles.iter().all(|(role, version)| self.roles.get(role) >= Some(version)),
        };
        roles && self.root >= other.root
    }
}

fn not_below(role: &str, found: u64, floor: u64) -> Result<(), TrustError> {
    if found >= floor { Ok(()) } else { Err(TrustError::Rollback { role: role.into(), found, floor }) }
}

/// Holds all floors of a device: two repositories and the time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floors {
    /// Floors of the image repository.
    pub image: RepoFloors,
    /// Floors of the director repository.
    pub director: RepoFloors,
    /// The latest authenticated time, unix seconds; belongs to the director's epoch.
    time: u64,
}

/// Tells what two slots gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovered {
    /// At least one slot was sound; this is the join.
    Floors(Floors),
    /// No slot was sound, or the device is new: install nothing until a nonce-bound director timestamp arrived.
    BothLost,
}

impl Floors {
    /// Returns the latest authenticated time, unix seconds.
    pub fn time(&self) -> u64 {
        self.time
    }

    /// Raises the time floor to an authenticated time: a signed issue time, or this build's. Never the wall clock.
    pub fn raise_time(&mut self, authenticated: u64) {
        self.time = authenticated.max(self.time);
    }

    /// Returns the time to judge expiry by: the wall clock, but never before the time floor.
    pub fn judge_time(&self, wall_clock: u64) -> u64 {
        wall_clock.max(self.time)
    }

    /// Raises the director's root floor; a root that retires its online keys also voids the time they vouched for.
    pub fn raise_director_root(&mut self, version: u64, retires_online_keys: bool) {
        if self.director.raise_root(version, retires_online_keys) {
            self.time = 0;
        }
    }

    /// Returns the join of two states: never below either, except where a newer epoch voided the older one.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        let time = match self.director.epoch.cmp(&other.director.epoch) {
            Ordering::Greater => self.time,
            Ordering::Less => other.time,
            Ordering::Equal => self.time.max(other.time),
        };
        Self { image: self.image.join(&other.image), director: self.director.join(&other.director), time }
    }

    /// Tells whether nothing is lost that `other` holds: [`Floors::join`] of both would be `self`.
    pub fn covers(&self, other: &Self) -> bool {
        let time = self.director.epoch > other.director.epoch || self.time >= other.time;
        time && self.image.covers(&other.image) && self.director.covers(&other.director)
    }

    /// Returns the checksummed record to store in a slot.
    pub fn encode(&self) -> Vec<u8> {
        // Maps with string keys and whole numbers always serialise; an empty body would be refused on reading.
        record::seal(MAGIC, &serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads a record.
    ///
    /// # Errors
    /// `Damaged` or `TooLarge`.
    pub fn decode(bytes: &[u8]) -> Result<Self, TrustError> {
        let body = record::open("floors", MAGIC, bytes, FLOOR_RECORD_MAX_BYTES)?;
        serde_json::from_slice(body).map_err(|e| TrustError::Damaged { what: "floors".into(), detail: e.to_string() })
    }

    /// Reads two slots and joins what is sound.
    pub fn recover(slot_a: Option<&[u8]>, slot_b: Option<&[u8]>) -> Recovered {
        let read = |slot: Option<&[u8]>| slot.and_then(|bytes| Self::decode(bytes).ok());
        // Equal but for the moments between two writes: then one says it all.
        let slot_b = slot_b.filter(|_| slot_a != slot_b);
        match (read(slot_a), read(slot_b)) {
            (Some(a), Some(b)) => Recovered::Floors(a.join(&b)),
            (Some(one), None) | (None, Some(one)) => Recovered::Floors(one),
            (None, None) => Recovered::BothLost,
        }
    }
}
