//! Who else may name targets, and for which paths.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::key::{Extra, TufKey};
use super::limits::{DELEGATIONS_LISTED_MAX, ROLE_NAME_MAX};
use super::metadata::{RoleKeys, TOP_LEVEL, check_keys};
use super::open::open_object;
use crate::ids::hex_text;

/// Lists delegated roles in order of trust, with their keys.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Delegations {
    /// Keys by id.
    pub keys: BTreeMap<String, TufKey>,
    /// Roles, the most trusted first.
    pub roles: Vec<DelegatedRole>,
    /// Unknown fields.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Trusts a role for some paths.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DelegatedRole {
    /// Its name; also its file name.
    pub name: String,
    /// Ids of its keys, each once.
    pub keyids: Vec<String>,
    /// Different public keys that must sign, from 1.
    pub threshold: u64,
    /// Whether the search ends here for the paths that match.
    pub terminating: bool,
    /// Patterns of the paths; `*` and `?` match within one part between slashes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
    /// Instead of patterns: beginnings of the path's SHA-256, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_hash_prefixes: Option<Vec<String>>,
    /// Unknown fields.
    #[serde(flatten)]
    pub extra: Extra,
}

open_object!(Delegations {
    keys: BTreeMap<String, TufKey> = "keys",
    roles: Vec<DelegatedRole> = "roles",
}, extra => Delegations { keys, roles, extra });

open_object!(DelegatedRole {
    name: String = "name",
    keyids: Vec<String> = "keyids",
    threshold: u64 = "threshold",
    terminating: bool = "terminating",
    paths: Option<Vec<String>> = "paths" or None,
    path_hash_prefixes: Option<Vec<String>> = "path_hash_prefixes" or None,
}, extra => DelegatedRole { name, keyids, threshold, terminating, paths, path_hash_prefixes, extra });

impl Delegations {
    /// Says what is wrong with the list.
    ///
    /// # Errors
    /// One sentence naming the fault.
    pub fn check(&self) -> Result<(), String> {
        if self.extra.contains_key("succinct_roles") {
            return Err("succinct roles are not supported".into());
        }
        if self.roles.len() > DELEGATIONS_LISTED_MAX {
            return Err(format!("{} delegations, the most allowed is {DELEGATIONS_LISTED_MAX}", self.roles.len()));
        }
        let mut seen = BTreeSet::new();
        for role in &self.roles {
            let name = role.name.as_str();
            if name.is_empty() || name.len() > ROLE_NAME_MAX || TOP_LEVEL.contains(&name) {
                return Err(format!("`{name}` cannot be the name of a delegated role"));
            }
            if !seen.insert(name) {
                return Err(format!("role `{name}` is delegated to twice"));
            }
            if role.paths.is_some() == role.path_hash_prefixes.is_some() {
                return Err(format!("role `{name}` needs either `paths` or `path_hash_prefixes`"));
            }
            check_keys(name, &role.keyids, role.threshold)?;
        }
        Ok(())
    }

    /// Returns the roles trusted for a path in order; a terminating one is the last and says so.
    pub fn for_path<'a>(&'a self, path: &str) -> (Vec<&'a DelegatedRole>, bool) {
        let mut found = Vec::new();
        for role in self.roles.iter().filter(|role| role.covers(path)) {
            found.push(role);
            if role.terminating {
                return (found, true);
            }
        }
        (found, false)
    }
}

impl DelegatedRole {
    /// Tells whether the role is trusted for this path.
    pub fn covers(&self, path: &str) -> bool {
        let by_pattern = self.paths.iter().flatten().any(|pattern| path_matches(pattern, path));
        by_pattern
            || self.path_hash_prefixes.as_ref().is_some_and(|prefixes| {
                let digest = hex_text(&Sha256::digest(path));
                prefixes.iter().any(|prefix| digest.starts_with(prefix.as_str()))
            })
    }

    /// Returns its keys and threshold in the form that verification takes.
    pub fn role_keys(&self) -> RoleKeys {
        RoleKeys { keyids: self.keyids.clone(), threshold: self.threshold, extra: Extra::new() }
    }
}

/// Tells whether a path matches a pattern part by part, so that `*` never crosses a slash.
pub fn path_matches(pattern: &str, path: &str) -> bool {
    pattern.split('/').count() == path.split('/').count()
        && pattern.split('/').zip(path.split('/')).all(|(pattern, part)| part_matches(pattern, part))
}

/// Matches one part with one remembered star: time is at most the product of both lengths.
fn part_matches(pattern: &str, part: &str) -> bool {
    let (pattern, part): (Vec<char>, Vec<char>) = (pattern.chars().collect(), part.chars().collect());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < part.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == part[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                p = at + 1;
                t = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}
