//! `pinnace keys show`: who holds what, and what a file is.
use std::path::Path;

use pinnace_controlplane::api::types::KeysReply;
use pinnace_controlplane::ceremony::{Draft, describe, short};
use pinnace_controlplane::keys;
use pinnace_controlplane::limits::DRAFT_MAX_BYTES;
use pinnace_protocol::trust::metadata::{ROOT, SNAPSHOT, TARGETS, TIMESTAMP};
use pinnace_protocol::trust::{Body as _, Envelope, Root, Signer as _, Targets, TufKey, iso_time};

use super::{of, read, until};
use crate::args::{Format, Plane};
use crate::client::Client;
use crate::output::{self, Failure, line};

/// Shows the roles of a running plane.
pub async fn plane(plane: &Plane) -> Result<(), Failure> {
    let reply = Client::new(plane)?.keys().await?;
    if plane.output == Format::Json {
        output::json(&serde_json::to_value(&reply)?);
        return Ok(());
    }
    table(&reply);
    if reply.development_keys {
        line("DEVELOPMENT KEY SET: offline keys lie beside the control plane; see `pinnace keys init`.");
    }
    Ok(())
}

/// Prints the roles.
pub fn table(reply: &KeysReply) {
    let rows = reply.roles.iter().map(|role| {
        let ids: Vec<&str> = role.keys.iter().map(|key| short(&key.id)).collect();
        let places: Vec<&str> = role.keys.iter().map(|key| key.place.as_deref().unwrap_or("elsewhere")).collect();
        let mut places: Vec<String> = places.into_iter().map(ToOwned::to_owned).collect();
        places.dedup();
        let version = if role.version == 0 { "-".into() } else { role.version.to_string() };
        vec![
            role.name(),
            ids.join(" "),
            of(role.threshold, role.keys.len()),
            version,
            until(role.expires, reply.now),
            places.join(" "),
        ]
    });
    output::table(&["role", "keys", "needed", "version", "expires in", "where"], rows.collect(), "No roles.");
}

/// Says what a file is: a key, a public half, a draft, or signed metadata. A secret is never printed.
pub fn file(path: &Path) -> Result<(), Failure> {
    if let Ok(key) = keys::read_public(path) {
        return key_line("public half", &key);
    }
    if let Ok(key) = keys::read(path) {
        return key_line("SECRET half", &key.key());
    }
    let bytes = read(path, DRAFT_MAX_BYTES)?;
    let draft = match Draft::parse(&bytes) {
        Ok(draft) => draft,
        Err(not_a_draft) => return metadata(path, &bytes, &not_a_draft.to_string()),
    };
    for text in describe(&draft, super::super::now())? {
        line(text);
    }
    Ok(())
}

fn key_line(what: &str, key: &TufKey) -> Result<(), Failure> {
    line(format!("{what} of key {} (id {})", short(&key.key_id()), key.key_id()));
    line(format!("  public  {}", key.keyval.public));
    Ok(())
}

fn metadata(path: &Path, bytes: &[u8], not_a_draft: &str) -> Result<(), Failure> {
    let name = path.display().to_string();
    let unknown = || {
        Failure::error(format!(
            "{name} is no key, no draft and no metadata\n  hint: as a draft it fails with: {}",
            not_a_draft.replace('\n', " ")
        ))
    };
    let envelope = Envelope::parse(&name, bytes, DRAFT_MAX_BYTES).map_err(|_| unknown())?;
    let signed: Vec<&str> = envelope.signatures().keys().map(|id| short(id)).collect();
    let said = |kind: &str, version: u64, expires: u64| {
        let by = if signed.is_empty() { "nobody".to_owned() } else { signed.join(", ") };
        line(format!("{kind} version {version}, until {}, signed by {by} (not verified)", iso_time::format(expires)));
    };
    if let Ok(root) = envelope.body::<Root>(&name) {
        said(ROOT, root.header.version, root.header.expires);
        let rows = [ROOT, TARGETS, SNAPSHOT, TIMESTAMP].into_iter().filter_map(|role| {
            let holders = root.roles.get(role)?;
            let ids: Vec<&str> = holders.keyids.iter().map(|id| short(id)).collect();
            Some(vec![role.into(), of(holders.threshold, ids.len()), ids.join(" ")])
        });
        output::table(&["role", "needed", "keys"], rows.collect(), "");
        return Ok(());
    }
    let targets = envelope.body::<Targets>(&name).map_err(|_| unknown())?;
    said(TARGETS, targets.header().version, targets.header().expires);
    let rows = targets.delegations.iter().flat_map(|list| &list.roles).map(|role| {
        let ids: Vec<&str> = role.keyids.iter().map(|id| short(id)).collect();
        vec![role.name.clone(), of(role.threshold, ids.len()), ids.join(" ")]
    });
    output::table(
        &["family", "needed", "keys"],
        rows.collect(),
        &format!("{} files, no families.", targets.targets.len()),
    );
    Ok(())
}
