//! From what is published to the next draft: keys added, removed or replaced, thresholds changed, lives extended.
use std::collections::{BTreeMap, BTreeSet};

use pinnace_protocol::trust::metadata::{ROOT, SNAPSHOT, TARGETS, TIMESTAMP, TOP_LEVEL};
use pinnace_protocol::trust::{RoleKeys, Root, Targets, TufKey, author};

use super::draft::{Document, Draft, Repository};
use super::error::DraftError;
use super::short;
use crate::limits::ROLE_KEYS_MAX;

/// Digits of a key id that name it at least: fewer are a slip.
const ID_DIGITS_MIN: usize = 4;

/// What happens to the keys of a role.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Change {
    /// Keys that come in.
    pub add: Vec<TufKey>,
    /// Keys that go, by the beginning of their id.
    pub remove: Vec<String>,
    /// Different keys that must sign from now on; as before when `None`.
    pub threshold: Option<u64>,
}

/// What is published, as files, for a draft to follow.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Present {
    /// The newest root of the repository.
    pub root: Vec<u8>,
    /// The top-level targets; none for the director.
    pub targets: Vec<u8>,
    /// The families' targets, by name.
    pub families: BTreeMap<String, Vec<u8>>,
}

/// When the new documents expire, seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    /// A root.
    pub root: u64,
    /// Top-level targets.
    pub targets: u64,
    /// A family's targets.
    pub family: u64,
}

impl Change {
    /// Returns whether only the expiry moves.
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty() && self.threshold.is_none()
    }

    /// Returns keys and threshold of a role after the change.
    ///
    /// # Errors
    /// [`DraftError`] for a key that is not there, one that is there already, or a threshold that cannot be met.
    fn apply(
        &self,
        role: &str,
        holders: &RoleKeys,
        known: &BTreeMap<String, TufKey>,
    ) -> Result<(Vec<TufKey>, u64), DraftError> {
        let mut keys: Vec<(String, TufKey)> =
            holders.keyids.iter().filter_map(|id| Some((id.clone(), known.get(id)?.clone()))).collect();
        for wanted in &self.remove {
            let fits = |id: &str| wanted.len() >= ID_DIGITS_MIN && id.starts_with(wanted.as_str());
            let found: Vec<usize> = (0..keys.len()).filter(|index| fits(&keys[*index].0)).collect();
            let &[index] = found.as_slice() else {
                let have = keys.iter().map(|(id, _)| short(id).to_owned()).collect();
                return Err(DraftError::NoSuchKey { role: role.into(), key: wanted.clone(), have });
            };
            keys.remove(index);
        }
        for key in &self.add {
            // The same key under another id would be counted once by devices, and twice by people.
            if keys.iter().any(|(_, one)| one.public() == key.public()) {
                return Err(DraftError::KnownKey { role: role.into(), key: key.key_id() });
            }
            keys.push((key.key_id(), key.clone()));
        }
        let threshold = self.threshold.unwrap_or(holders.threshold);
        let keys: Vec<TufKey> = keys.into_iter().map(|(_, key)| key).collect();
        check_threshold(role, &keys, threshold)?;
        Ok((keys, threshold))
    }
}

/// Checks that a threshold can be met, and that a role which the plane signs alone needs one signature.
pub(super) fn check_threshold(role: &str, keys: &[TufKey], threshold: u64) -> Result<(), DraftError> {
    let publics: BTreeSet<_> = keys.iter().filter_map(TufKey::public).collect();
    let refused = |hint| Err(DraftError::Threshold { role: role.into(), threshold, keys: publics.len(), hint });
    if threshold == 0 || threshold > publics.len() as u64 {
        return refused("a threshold is at least 1 and at most the number of different keys");
    }
    if publics.len() > ROLE_KEYS_MAX || publics.len() != keys.len() {
        return refused("name each key once, and not more than 32");
    }
    if matches!(role, SNAPSHOT | TIMESTAMP) && threshold != 1 {
        return refused("the control plane signs this role with one key of its own; leave its threshold at 1");
    }
    Ok(())
}

fn read<T: pinnace_protocol::trust::Body>(role: &str, bytes: &[u8]) -> Result<T, DraftError> {
    let cap = pinnace_protocol::trust::limits::TARGETS_MAX_BYTES;
    let envelope = pinnace_protocol::trust::Envelope::parse(role, bytes, cap).map_err(DraftError::trust(role))?;
    envelope.body(role).map_err(DraftError::trust(role))
}

/// Drafts the change of one role: `root`, `targets`, `snapshot`, `timestamp` or a family of the image repository.
///
/// With an empty change, root, targets and families only live longer. New keys of `targets` or of a family sign its
/// document anew in the same draft: what the old keys signed is void from then on.
///
/// # Errors
/// [`DraftError`]; nothing is left half done.
pub fn image(present: &Present, role: &str, change: &Change, expiry: Expiry) -> Result<Draft, DraftError> {
    match role {
        ROOT => root(Repository::Image, &present.root, &[ROOT], change, expiry, Vec::new(), Vec::new()),
        SNAPSHOT | TIMESTAMP if change.is_empty() => Err(DraftError::NothingToDo { role: role.into() }),
        SNAPSHOT | TIMESTAMP => root(Repository::Image, &present.root, &[role], change, expiry, Vec::new(), Vec::new()),
        TARGETS => {
            let old: Targets = read(TARGETS, &present.targets)?;
            let next = Document::unsigned(TARGETS, &author::next(&old, expiry.targets))?;
            let now = Document::of(TARGETS, &present.targets)?;
            if change.is_empty() {
                return Draft::new(Repository::Image, vec![next], vec![Document::of(ROOT, &present.root)?, now]);
            }
            root(Repository::Image, &present.root, &[TARGETS], change, expiry, vec![next], vec![now])
        }
        family => self::family(present, family, change, expiry),
    }
}

/// Drafts the change of the director's root keys (`director-root`) or of its one online key (`director`).
///
/// # Errors
/// [`DraftError`]; nothing is left half done.
pub fn director(present_root: &[u8], role: &str, change: &Change, expiry: Expiry) -> Result<Draft, DraftError> {
    let roles: &[&str] = match role {
        "director-root" => &[ROOT],
        "director" if change.is_empty() => return Err(DraftError::NothingToDo { role: role.into() }),
        // Signed together for every device: three keys would be stolen together.
        "director" => &[TARGETS, SNAPSHOT, TIMESTAMP],
        _ => return Err(DraftError::UnknownRole { role: role.into(), families: Vec::new() }),
    };
    root(Repository::Director, present_root, roles, change, expiry, Vec::new(), Vec::new())
}

fn root(
    repository: Repository,
    present: &[u8],
    roles: &[&str],
    change: &Change,
    expiry: Expiry,
    documents: Vec<Document>,
    now: Vec<Document>,
) -> Result<Draft, DraftError> {
    let old: Root = read(ROOT, present)?;
    let mut new = author::next(&old, expiry.root);
    for role in roles {
        let holders = old.role(role).map_err(DraftError::trust(ROOT))?;
        let (keys, threshold) = change.apply(role, holders, &old.keys)?;
        new.set_role(role, &keys, threshold);
    }
    let mut all = vec![Document::unsigned(ROOT, &new)?];
    all.extend(documents);
    let mut present = vec![Document::of(ROOT, present)?];
    present.extend(now);
    Draft::new(repository, all, present)
}

fn family(present: &Present, family: &str, change: &Change, expiry: Expiry) -> Result<Draft, DraftError> {
    let top: Targets = read(TARGETS, &present.targets)?;
    let unknown = || DraftError::UnknownRole {
        role: family.into(),
        families: present.families.keys().filter(|name| !TOP_LEVEL.contains(&name.as_str())).cloned().collect(),
    };
    let bytes = present.families.get(family).ok_or_else(unknown)?;
    let old: Targets = read(family, bytes)?;
    let mut documents = Vec::new();
    if !change.is_empty() {
        let mut next = author::next(&top, expiry.targets);
        let list = next.delegations.as_mut().ok_or_else(unknown)?;
        let known = list.keys.clone();
        let role = list.roles.iter_mut().find(|role| role.name == family).ok_or_else(unknown)?;
        let (keys, threshold) = change.apply(family, &role.role_keys(), &known)?;
        role.keyids = keys.iter().map(TufKey::key_id).collect();
        role.threshold = threshold;
        list.keys.extend(keys.into_iter().map(|key| (key.key_id(), key)));
        // Keys that no family names any more would only make the document longer.
        let roles = &list.roles;
        list.keys.retain(|id, _| roles.iter().any(|role| role.keyids.contains(id)));
        documents.push(Document::unsigned(TARGETS, &next)?);
    }
    documents.push(Document::unsigned(family, &author::next(&old, expiry.family))?);
    let now = vec![
        Document::of(ROOT, &present.root)?,
        Document::of(TARGETS, &present.targets)?,
        Document::of(family, bytes)?,
    ];
    Draft::new(Repository::Image, documents, now)
}
