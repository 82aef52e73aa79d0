//! `pinnace keys rotate`: the draft of a change.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pinnace_controlplane::ceremony::change::{self, Change, Expiry, Present};
use pinnace_controlplane::ceremony::{Draft, describe};
use pinnace_controlplane::keys;
use pinnace_controlplane::limits::{FAMILY_LIFE_S, ROOT_LIFE_S, TARGETS_LIFE_S};
use pinnace_protocol::trust::limits::TARGETS_MAX_BYTES;
use pinnace_protocol::trust::metadata::{ROOT, TARGETS};
use pinnace_protocol::trust::names::metadata_name;

use super::{next_steps, publics, read, write_new};
use crate::args::{KeysRotateArgs, Plane};
use crate::client::Client;
use crate::output::{Failure, line};

/// Runs the command.
pub async fn run(args: KeysRotateArgs) -> Result<(), Failure> {
    let role = args.role.as_str();
    let director = matches!(role, "director" | "director-root");
    let change = Change {
        add: publics(&args.add)?,
        remove: args.remove.iter().map(|text| id(text)).collect::<Result<_, _>>()?,
        threshold: args.threshold,
    };
    let now = super::super::now();
    let after = |usual: u64| now.saturating_add(args.days.map_or(usual, |days| days.saturating_mul(86_400)));
    let expiry = Expiry { root: after(ROOT_LIFE_S), targets: after(TARGETS_LIFE_S), family: after(FAMILY_LIFE_S) };
    let draft = if director {
        let root = match &args.from {
            Some(dir) => newest(dir, ROOT)?,
            None => Client::new(&args.plane)?.director_root().await?,
        };
        change::director(&root, role, &change, expiry)?
    } else {
        let present = match &args.from {
            Some(dir) => from_files(dir)?,
            None => from_plane(&args.plane, role).await?,
        };
        change::image(&present, role, &change, expiry)?
    };
    for text in describe(&draft, now)? {
        line(text);
    }
    let path = args.out.unwrap_or_else(|| default_name(role, &draft));
    write_new(&path, &draft.to_bytes()?)?;
    line(format!("Draft written: {}", path.display()));
    next_steps(&path, &draft)
}

/// Returns a key's id: of its public half when `text` is such a file.
fn id(text: &str) -> Result<String, Failure> {
    let path = Path::new(text);
    if path.is_file() { Ok(keys::read_public(path)?.key_id()) } else { Ok(text.into()) }
}

/// Names the draft after what it makes, e.g. `timestamp-root-4.draft.json`.
fn default_name(role: &str, draft: &Draft) -> PathBuf {
    let first = draft.documents.first();
    let version = first.and_then(|one| one.metadata.pointer("/signed/version")?.as_u64()).unwrap_or(0);
    let document = first.map_or("", |one| one.role.as_str());
    if document == role || role == "director-root" {
        format!("{role}-{version}.draft.json").into()
    } else {
        format!("{role}-{document}-{version}.draft.json").into()
    }
}

async fn from_plane(plane: &Plane, wanted: &str) -> Result<Present, Failure> {
    let client = Client::new(plane)?;
    let repository = client.repository().await?;
    let mut present =
        Present { root: client.metadata(&metadata_name(ROOT, Some(repository.root))).await?, ..Present::default() };
    for role in &repository.roles {
        if role.role == TARGETS {
            present.targets = client.metadata(&role.file).await?;
        } else {
            // Only the one that changes is read; of the others the names are enough.
            let bytes = if role.role == wanted { client.metadata(&role.file).await? } else { Vec::new() };
            present.families.insert(role.role.clone(), bytes);
        }
    }
    Ok(present)
}

fn from_files(dir: &Path) -> Result<Present, Failure> {
    let mut families = BTreeMap::new();
    for (role, path) in listed(dir)? {
        if !matches!(role.as_str(), ROOT | TARGETS | "snapshot" | "timestamp") {
            families.insert(role, read(&path, TARGETS_MAX_BYTES)?);
        }
    }
    Ok(Present { root: newest(dir, ROOT)?, targets: newest(dir, TARGETS)?, families })
}

/// Returns the newest file of each role, `<version>.<role>.json`.
fn listed(dir: &Path) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let fault = |e: std::io::Error| {
        Failure::error(format!("{} cannot be read: {e}\n  hint: name the folder of the metadata", dir.display()))
    };
    let mut found = BTreeMap::<String, (u64, PathBuf)>::new();
    for entry in std::fs::read_dir(dir).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let parts = name.strip_suffix(".json").and_then(|stem| stem.split_once('.'));
        let Some((version, role)) = parts.and_then(|(version, role)| Some((version.parse::<u64>().ok()?, role))) else {
            continue;
        };
        if found.get(role).is_none_or(|(have, _)| *have < version) {
            found.insert(role.to_owned(), (version, path));
        }
    }
    Ok(found.into_iter().map(|(role, (_, path))| (role, path)).collect())
}

fn newest(dir: &Path, role: &str) -> Result<Vec<u8>, Failure> {
    let path = listed(dir)?.remove(role).ok_or_else(|| {
        Failure::error(format!(
            "{} has no <version>.{role}.json\n  hint: name the folder of the published metadata",
            dir.display()
        ))
    })?;
    read(&path, TARGETS_MAX_BYTES)
}
