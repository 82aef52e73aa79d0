//! A draft in words: what is signed, what changes against the version before, who is still missing.
use std::collections::{BTreeMap, BTreeSet};

use pinnace_protocol::signature::Verifier;
use pinnace_protocol::trust::limits::ROOT_MAX_BYTES;
use pinnace_protocol::trust::metadata::{ROOT, SNAPSHOT, TARGETS, TIMESTAMP};
use pinnace_protocol::trust::released::FIELD_RELEASE;
use pinnace_protocol::trust::{PublicKey, RoleKeys, Root, Targets, TufKey, first_root, iso_time};
use serde_json::Value;

use super::draft::{Document, Draft, Repository};
use super::error::DraftError;
use super::short;
use crate::limits::WORDS_LISTED_MAX;

/// Returns the draft in words, line by line; `now` is seconds since 1970.
///
/// # Errors
/// [`DraftError`] when a document cannot be read.
pub fn describe(draft: &Draft, now: u64) -> Result<Vec<String>, DraftError> {
    let mut lines = Vec::new();
    for document in &draft.documents {
        match document.role.as_str() {
            ROOT => root(draft, now, &mut lines)?,
            role => targets(draft, role, now, &mut lines)?,
        }
    }
    warn_of_present(draft, &mut lines)?;
    for need in draft.needs()? {
        let yes = need.keys.iter().filter(|key| key.signed).map(super::NeededKey::name).collect::<Vec<_>>();
        let by = if yes.is_empty() { String::new() } else { format!(" (by {})", yes.join(", ")) };
        let (role, whose) = (&need.role, need.whose());
        let (valid, needed) = (need.valid, need.threshold);
        match need.still_missing() {
            None => lines.push(format!("signatures of {role}: {valid} of {needed} {whose}{by}: enough")),
            Some(missing) => {
                lines.push(format!("signatures of {role}: {valid} of {needed} {whose}{by}; still missing: {missing}"));
            }
        }
    }
    Ok(lines.into_iter().map(|text| text.chars().map(printable).collect()).collect())
}

/// Returns what a draft changes in one sentence, for the history.
///
/// # Errors
/// [`DraftError`] when a document cannot be read.
pub fn summary(draft: &Draft) -> Result<String, DraftError> {
    let mut parts = Vec::new();
    for document in &draft.documents {
        let mut lines = Vec::new();
        match document.role.as_str() {
            ROOT => root(draft, 0, &mut lines)?,
            role => targets(draft, role, 0, &mut lines)?,
        }
        let told = |text: &&String| CHANGES.iter().any(|word| text.contains(word));
        let changes: Vec<&str> = lines.iter().filter(told).map(|text| text.trim()).collect();
        let heading = lines.first().map_or("", |text| text.trim_end_matches(':'));
        let changes = if changes.is_empty() { "signed anew".to_owned() } else { changes.join(", ") };
        parts.push(format!("{heading}: {changes}"));
    }
    Ok(parts.join("; ").chars().map(printable).collect())
}

/// How a line says that keys change.
const CHANGES: [&str; 4] = ["is replaced by", "is removed", "is added", "signatures are needed"];

/// Replaces what could move the cursor or turn the direction of writing: names in a draft are a stranger's text, and
/// the person who signs must see all of it.
fn printable(c: char) -> char {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if c.is_control() || turns { '\u{fffd}' } else { c }
}

fn heading(draft: &Draft, role: &str, before: Option<u64>, version: u64, lines: &mut Vec<String>) {
    let which = draft.repository.name();
    lines.push(match before {
        Some(before) => format!("{which} {role} {before} -> {version}:"),
        None => format!("{which} {role} {version}, the first:"),
    });
}

/// Says until when a document is valid, and warns where that is no longer than before or past.
fn validity(expires: u64, before: Option<u64>, now: u64) -> String {
    let days = expires.saturating_sub(now) / 86_400;
    let mut text = format!("  valid until {} ({days} days)", iso_time::format(expires));
    if expires <= now {
        text.push_str(" - THAT IS PAST: no device would accept it");
    } else if let Some(before) = before.filter(|before| *before > expires) {
        text.push_str(&format!(" - EARLIER than before ({})", iso_time::format(before)));
    }
    text
}

fn root(draft: &Draft, now: u64, lines: &mut Vec<String>) -> Result<(), DraftError> {
    let Some(new) = draft.body::<Root>(ROOT)? else { return Ok(()) };
    let old = draft.present_body::<Root>(ROOT)?;
    heading(draft, ROOT, old.as_ref().map(|old| old.header.version), new.header.version, lines);
    if let Some(old) = &old {
        for role in [ROOT, TARGETS, SNAPSHOT, TIMESTAMP] {
            let before = (old.role(role).map_err(DraftError::trust(ROOT))?, &old.keys);
            let after = (new.role(role).map_err(DraftError::trust(ROOT))?, &new.keys);
            changes(role, before, after, lines);
        }
        if old.retires_keys(&new, &[SNAPSHOT, TIMESTAMP]) {
            lines.push("  devices forget the versions that the old online keys signed: they start over".into());
        }
        if new.consistent_snapshot != old.consistent_snapshot {
            lines.push("  FILE NAMES CHANGE (consistent_snapshot): no ceremony of ours does this".into());
        }
    }
    lines.push("  after it, these keys count:".into());
    for role in [ROOT, TARGETS, SNAPSHOT, TIMESTAMP] {
        let holders = new.role(role).map_err(DraftError::trust(ROOT))?;
        lines.push(format!("    {role:<9} {}", ids(holders, &new.keys)));
    }
    if new.role(ROOT).is_ok_and(|holders| holders.threshold < 2) {
        lines.push("  ONE root key is enough: whoever takes it takes the fleet".into());
    }
    lines.push(validity(new.header.expires, old.map(|old| old.header.expires), now));
    Ok(())
}

fn targets(draft: &Draft, role: &str, now: u64, lines: &mut Vec<String>) -> Result<(), DraftError> {
    let Some(new) = draft.body::<Targets>(role)? else { return Ok(()) };
    let old = draft.present_body::<Targets>(role)?;
    heading(draft, role, old.as_ref().map(|old| old.header.version), new.header.version, lines);
    files(old.as_ref(), &new, lines);
    delegations(old.as_ref(), &new, lines);
    lines.push(validity(new.header.expires, old.map(|old| old.header.expires), now));
    Ok(())
}

/// Names keys by what they are: the ids in a document are opaque, and could be those of other keys.
fn name_of(id: &str, known: &BTreeMap<String, TufKey>) -> String {
    match known.get(id).map(TufKey::key_id) {
        Some(true_id) if true_id == id => short(id).to_owned(),
        Some(true_id) => format!("{} (LISTED AS {})", short(&true_id), short(id)),
        None => format!("{} (NO SUCH KEY)", short(id)),
    }
}

/// Names all keys of a role and how many must sign, e.g. `2 of 3: 9e7cd19e, 28394216, f5fef8b5`.
fn ids(holders: &RoleKeys, known: &BTreeMap<String, TufKey>) -> String {
    let names = holders.keyids.iter().map(|id| name_of(id, known)).collect::<Vec<_>>();
    format!("{} of {}: {}", holders.threshold, names.len(), names.join(", "))
}

type Holders<'a> = (&'a RoleKeys, &'a BTreeMap<String, TufKey>);

/// Says what happens to the keys of a role.
fn changes(role: &str, (old, old_keys): Holders<'_>, (new, new_keys): Holders<'_>, lines: &mut Vec<String>) {
    let (before, after) = (old.publics(old_keys), new.publics(new_keys));
    let of = |holders: &RoleKeys, keys: &BTreeMap<String, TufKey>, gone_from: &BTreeSet<PublicKey>| {
        let other =
            |id: &&String| keys.get(*id).and_then(TufKey::identity).is_none_or(|public| !gone_from.contains(&public));
        holders.keyids.iter().filter(other).map(|id| name_of(id, keys)).collect::<Vec<_>>()
    };
    let (removed, added) = (of(old, old_keys, &after), of(new, new_keys, &before));
    let mut said = false;
    if removed.len() == added.len() {
        for (from, to) in removed.iter().zip(&added) {
            lines.push(format!("  {role}: key {from} is replaced by {to}"));
            said = true;
        }
    } else {
        for key in &removed {
            lines.push(format!("  {role}: key {key} is removed"));
        }
        for key in &added {
            lines.push(format!("  {role}: key {key} is added"));
        }
        said = true;
    }
    if old.threshold != new.threshold {
        let (was, is) = (old.threshold, new.threshold);
        lines.push(format!("  {role}: {is} signatures are needed, {was} before"));
        said = true;
    }
    if !said {
        lines.push(format!("  {role}: keys unchanged"));
    }
}

/// Says which files come, go or change.
fn files(old: Option<&Targets>, new: &Targets, lines: &mut Vec<String>) {
    let none = BTreeMap::new();
    let before = old.map_or(&none, |old| &old.targets);
    let (mut said, mut blobs, mut bytes) = (Vec::new(), 0_usize, 0_u64);
    for (path, file) in &new.targets {
        let custom = file.custom.as_ref();
        let release = custom.and_then(|custom| custom.get(FIELD_RELEASE)).and_then(Value::as_u64);
        match before.get(path) {
            // Named by its content: nobody can mean anything else by it.
            None if file.sha256().is_some_and(|sha256| hex::encode(sha256) == *path) && custom.is_none() => {
                blobs += 1;
                bytes = bytes.saturating_add(file.length);
            }
            None => {
                let release = release.map_or_else(String::new, |release| format!(", release {release}"));
                said.push(format!("  releases {path} ({} bytes{release})", file.length));
            }
            Some(one) if one.length != file.length || one.hashes != file.hashes => {
                said.push(format!("  CHANGES {path}: other content under the same name"));
            }
            Some(one) if one.custom != file.custom => said.push(format!("  CHANGES what is said of {path}")),
            Some(_) => {}
        }
    }
    for path in before.keys().filter(|path| !new.targets.contains_key(*path)) {
        said.push(format!("  TAKES BACK {path}"));
    }
    match (said.is_empty() && blobs == 0, new.targets.len()) {
        (true, 0) => lines.push("  no files".into()),
        (true, count) => lines.push(format!("  files unchanged ({count} listed)")),
        (false, _) => {}
    }
    let more = said.len().saturating_sub(WORDS_LISTED_MAX);
    // What is unusual must not drown in a long list.
    said.sort_by_key(|line| !line.trim_start().starts_with(|c: char| c.is_uppercase()));
    lines.extend(said.into_iter().take(WORDS_LISTED_MAX));
    if blobs > 0 {
        lines.push(format!("  with {blobs} blobs named by their digest ({bytes} bytes)"));
    }
    if more > 0 {
        lines.push(format!("  and {more} more files"));
    }
}

/// Says which families are trusted, and how their keys change.
fn delegations(old: Option<&Targets>, new: &Targets, lines: &mut Vec<String>) {
    let none = Vec::new();
    let before = old.and_then(|old| old.delegations.as_ref());
    let after = new.delegations.as_ref();
    let (old_roles, new_roles) = (before.map_or(&none, |d| &d.roles), after.map_or(&none, |d| &d.roles));
    let (mut said, mut same) = (Vec::new(), 0_usize);
    for role in new_roles {
        match old_roles.iter().find(|one| one.name == role.name) {
            None => said.push(format!(
                "  family {}: trusted from now on, {}",
                role.name,
                ids(&role.role_keys(), after.map_or(&BTreeMap::new(), |d| &d.keys))
            )),
            Some(one) if one == role => same += 1,
            Some(one) => {
                let nothing = BTreeMap::new();
                let old_keys = before.map_or(&nothing, |d| &d.keys);
                let new_keys = after.map_or(&nothing, |d| &d.keys);
                let name = format!("family {}", role.name);
                changes(&name, (&one.role_keys(), old_keys), (&role.role_keys(), new_keys), &mut said);
                if one.paths != role.paths || one.path_hash_prefixes != role.path_hash_prefixes {
                    said.push(format!("  family {}: THE PATHS IT IS TRUSTED FOR CHANGE", role.name));
                }
            }
        }
    }
    for role in old_roles.iter().filter(|one| !new_roles.iter().any(|role| role.name == one.name)) {
        said.push(format!("  family {}: NO LONGER TRUSTED", role.name));
    }
    if same > 0 {
        said.push(format!("  {same} {} unchanged", if same == 1 { "family" } else { "families" }));
    }
    let more = said.len().saturating_sub(WORDS_LISTED_MAX);
    lines.extend(said.into_iter().take(WORDS_LISTED_MAX));
    if more > 0 {
        lines.push(format!("  and {more} more changes of families"));
    }
}

/// Warns when the root that the draft calls the present one is not signed by its own keys: then the comparison is with
/// something that nobody ever published.
fn warn_of_present(draft: &Draft, lines: &mut Vec<String>) -> Result<(), DraftError> {
    let Some(document) = draft.present.iter().find(|one: &&Document| one.role == ROOT) else { return Ok(()) };
    let bytes = document.bytes()?;
    let sound = bytes.len() <= ROOT_MAX_BYTES && first_root(&bytes, Verifier::STRICT).is_ok();
    if !sound {
        let which = match draft.repository {
            Repository::Image => "image",
            Repository::Director => "director",
        };
        lines.push(format!("THE {which} ROOT IT IS COMPARED WITH IS NOT SIGNED BY ITS OWN KEYS: do not sign this"));
    }
    Ok(())
}
