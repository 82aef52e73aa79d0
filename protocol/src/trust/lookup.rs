//! Targets documents: verified against their pins and delegators, loaded one by one as a look-up needs them.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use super::client::{ImageClient, cap, check_size, missing};
use super::delegation::Delegations;
use super::envelope::{check_expiry, load};
use super::error::TrustError;
use super::limits::{DELEGATIONS_MAX, TARGET_PATH_MAX, TARGETS_MAX_BYTES};
use super::metadata::{ROOT, RoleKeys, TARGETS, Targets};
use super::names::metadata_name;
use super::request::{Document, Fetch, Request, VerifiedTarget};

impl ImageClient {
    /// Returns what a look-up wants next, and at last the target or `None` when no trusted role names it.
    ///
    /// Refreshes first where that is not done yet. Delegated roles are loaded one at a time, depth first, in order of
    /// trust, at most `DELEGATIONS_MAX`.
    pub fn find(&mut self, path: &str) -> Request<Option<VerifiedTarget>> {
        match self.poll() {
            Request::Fetch(fetch) => return Request::Fetch(fetch),
            Request::Failed(fault) => return Request::Failed(fault),
            Request::Done(()) => {}
        }
        if let Some(fault) = self.lookup_fault.take() {
            return Request::Failed(fault);
        }
        match self.walk(path) {
            Ok(answer) => answer,
            Err(fault) => Request::Failed(fault),
        }
    }

    /// Takes a role's document from the store when it is still exactly what is pinned; says whether it did.
    pub(super) fn use_stored(&mut self, parent: &str, role: &str) -> Result<bool, TrustError> {
        let Some(stored) = self.files.get(&metadata_name(role, None)) else { return Ok(false) };
        let Ok(targets) = self.verify_role(parent, role, stored) else { return Ok(false) };
        self.raise(&[(role, targets.header.version)])?;
        self.roles.insert((parent.into(), role.into()), targets);
        Ok(true)
    }

    pub(super) fn accept_role(&mut self, parent: &str, role: &str, bytes: &[u8]) -> Result<(), TrustError> {
        let targets = self.verify_role(parent, role, bytes)?;
        self.accept(&[(role, targets.header.version)], role, bytes)?;
        self.roles.insert((parent.into(), role.into()), targets);
        Ok(())
    }

    fn verify_role(&self, parent: &str, role: &str, bytes: &[u8]) -> Result<Targets, TrustError> {
        let pin = self.snapshot()?.pin(role)?;
        self.floors.image.check(role, pin.version)?;
        check_size(role, bytes, cap(pin.length, TARGETS_MAX_BYTES))?;
        pin.check_bytes(role, bytes)?;
        let cap = TARGETS_MAX_BYTES;
        let targets: Targets = if parent == ROOT {
            load(role, bytes, cap, self.root.role(TARGETS)?, &self.root.keys, self.verifier)?
        } else {
            let (keys, delegations) = self.delegated_keys(parent, role)?;
            load(role, bytes, cap, &keys, &delegations.keys, self.verifier)?
        };
        pin.check_version(role, targets.header.version)?;
        check_expiry(role, &targets, self.now)?;
        Ok(targets)
    }

    fn delegated_keys(&self, parent: &str, role: &str) -> Result<(RoleKeys, &Delegations), TrustError> {
        self.roles
            .iter()
            .filter(|((_, name), _)| name == parent)
            .filter_map(|(_, targets)| targets.delegations.as_ref())
            .find_map(|list| Some((list.roles.iter().find(|r| r.name == role)?.role_keys(), list)))
            .ok_or_else(|| missing(role))
    }

    /// Walks the delegations from the top with what is loaded; stops to ask for the first document that is not.
    fn walk(&mut self, path: &str) -> Result<Request<Option<VerifiedTarget>>, TrustError> {
        check_size("the target path", path.as_bytes(), TARGET_PATH_MAX)?;
        let mut to_visit: Vec<(String, String)> = Vec::from([(ROOT.into(), TARGETS.into())]);
        let mut visited = BTreeSet::new();
        while let Some(step) = to_visit.pop() {
            let (parent, role) = &step;
            if visited.len() > DELEGATIONS_MAX {
                break;
            }
            if !visited.insert(role.clone()) {
                continue;
            }
            if !self.roles.contains_key(&step) && !self.use_stored(parent, role)? {
                let fetch = self.fetch_role(role)?;
                self.awaited = Some(step);
                return Ok(Request::Fetch(fetch));
            }
            let Some(targets) = self.roles.get(&step) else { return Err(missing(role)) };
            if let Some(file) = targets.targets.get(path) {
                if file.name_digest().is_none() {
                    return Err(TrustError::malformed(path, "it has no digest of an algorithm that is known"));
                }
                return Ok(Request::Done(Some(VerifiedTarget {
                    path: path.into(),
                    file: file.clone(),
                    role: role.clone(),
                    consistent: self.root.consistent_snapshot,
                })));
            }
            let Some(delegations) = &targets.delegations else { continue };
            let (children, ends) = delegations.for_path(path);
            if ends {
                to_visit.clear();
            }
            to_visit.extend(children.iter().rev().map(|child| (role.clone(), child.name.clone())));
        }
        Ok(Request::Done(None))
    }

    pub(super) fn fetch_role(&self, role: &str) -> Result<Fetch, TrustError> {
        let pin = self.snapshot()?.pin(role)?;
        Ok(Fetch {
            what: Document::Targets { role: role.into(), version: pin.version },
            name: metadata_name(role, self.root.consistent_snapshot.then_some(pin.version)),
            max_bytes: cap(pin.length, TARGETS_MAX_BYTES),
        })
    }
}
