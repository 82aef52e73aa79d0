//! `pinnace keys publish`: draft and signatures become metadata that devices follow.
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use pinnace_controlplane::api::types::{KeysRequest, SignedDocument};
use pinnace_controlplane::ceremony::{Draft, Signatures, describe, first};
use pinnace_controlplane::limits::SIGNATURE_FILE_MAX_BYTES;
use pinnace_protocol::signature::Verifier;
use pinnace_protocol::trust::first_root;
use pinnace_protocol::trust::metadata::ROOT;
use pinnace_protocol::trust::names::metadata_name;
use pinnace_protocol::trust::state::next_root;

use super::{read, show, write_new};
use crate::args::Plane;
use crate::client::Client;
use crate::output::{Failure, line};

/// Signature files that are taken beside a draft.
const SIGNATURE_FILES_MAX: usize = 64;

/// Runs the command.
pub async fn run(path: &Path, mut signatures: Vec<PathBuf>, plane: &Plane) -> Result<(), Failure> {
    if signatures.is_empty() {
        signatures = beside(path)?;
    }
    let draft = signed(path, &signatures)?;
    if draft.is_first() { into_folder(&draft, plane) } else { to_plane(&draft, plane).await }
}

/// Returns the draft with these signatures, judged as a device would.
///
/// # Errors
/// [`Failure`] naming the file that does not fit, or the signatures that are missing.
pub fn signed(path: &Path, signatures: &[PathBuf]) -> Result<Draft, Failure> {
    let mut draft = super::draft(path)?;
    for file in signatures {
        let named = |e| Failure::error(format!("{}: {e}", file.display()));
        let parsed = Signatures::parse(&read(file, SIGNATURE_FILE_MAX_BYTES)?).map_err(named)?;
        draft.attach(&parsed).map_err(named)?;
    }
    for text in describe(&draft, super::super::now())? {
        line(text);
    }
    draft.check_complete()?;
    // The same functions that devices follow roots with, on the very bytes that will be published.
    for (role, bytes) in draft.files()?.iter().filter(|(role, _)| role == ROOT) {
        let checked = match draft.present.iter().find(|one| one.role == *role) {
            Some(present) => next_root(&first_root(&present.bytes()?, Verifier::STRICT)?, bytes, Verifier::STRICT),
            None => first_root(bytes, Verifier::STRICT),
        };
        checked.map_err(|e| Failure::error(format!("a device would not follow: {e}\n  hint: {}", e.hint())))?;
    }
    Ok(draft)
}

/// Returns the signature files beside a draft, by name.
pub fn beside(draft: &Path) -> Result<Vec<PathBuf>, Failure> {
    let dir = draft.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let begins = format!("{}.", draft.file_name().unwrap_or_default().to_string_lossy());
    let fault = |e: std::io::Error| {
        Failure::error(format!("{} cannot be read: {e}\n  hint: name the signature files", dir.display()))
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(&begins) && name.ends_with(".sig.json") && found.len() < SIGNATURE_FILES_MAX {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn into_folder(draft: &Draft, plane: &Plane) -> Result<(), Failure> {
    if plane.data.join("plane.sqlite").exists() {
        return Err(Failure::error(format!(
            "{} belongs to a control plane that has its first metadata already\n  hint: change its keys with `pinnace keys rotate`, or name a new folder with --data",
            plane.data.display()
        )));
    }
    let dir = first::folder(&plane.data, draft.repository);
    for (role, bytes) in draft.files()? {
        write_new(&dir.join(metadata_name(&role, Some(1))), &bytes)?;
    }
    line(format!("First {} metadata are in {}.", draft.repository.name(), dir.display()));
    line(format!(
        "When image and director both are there: pinnace up --data {} (with the online keys in {})",
        plane.data.display(),
        plane.data.join("keys/online").display()
    ));
    Ok(())
}

async fn to_plane(draft: &Draft, plane: &Plane) -> Result<(), Failure> {
    let documents = draft.files()?.into_iter();
    let documents = documents.map(|(role, bytes)| SignedDocument { role, metadata: BASE64.encode(bytes) });
    let request = KeysRequest { repository: draft.repository, documents: documents.collect() };
    let reply = Client::new(plane)?.publish_keys(&request).await?;
    line("Published: devices follow at their next look.");
    show::table(&reply);
    Ok(())
}
