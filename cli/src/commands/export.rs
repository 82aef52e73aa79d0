//! Fetches a published bundle as a device would, without believing the control plane, and writes it into a folder.
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use pinnace_protocol::ids::{BundleRef, Digest};
use pinnace_protocol::limits::MANIFEST_MAX_BYTES;
use pinnace_protocol::manifest::{Manifest, target_path};
use pinnace_protocol::trust::limits::ROOT_MAX_BYTES;
use pinnace_protocol::trust::{Floors, ImageClient, Request, Response, TrustedState, VerifiedTarget};
use pinnace_trainer::bundle::{Bundle, MANIFEST_FILE};

use crate::client::Client;
use crate::output::Failure;

/// Documents fetched for one look-up: 256 changes of the root, and what lies below it.
const DOCUMENTS_MAX: usize = 320;
/// The image repository's first root.
const FIRST_ROOT: &str = "1.root.json";

/// Fetches `bundle`, checked from `root` down (the control plane's first root when `None`), into folder `dir`.
///
/// # Errors
/// [`Failure`] when the folder is not empty, the bundle is not released, or anything differs from what was signed;
/// nothing is written then.
pub async fn export(client: &Client, bundle: &BundleRef, root: Option<Vec<u8>>, dir: &Path) -> Result<Bundle, Failure> {
    std::fs::create_dir_all(dir)?;
    if std::fs::read_dir(dir)?.next().is_some() {
        return Err(Failure::error(format!(
            "{} is not empty\n  hint: name a new folder; a file that nobody signed would spoil the bundle",
            dir.display()
        )));
    }
    let root = match root {
        Some(root) => root,
        None => client.metadata_if_any(FIRST_ROOT, ROOT_MAX_BYTES).await?.unwrap_or_default(),
    };
    let released = look_up(client, &root, &target_path(bundle)).await?.ok_or_else(|| {
        Failure::error(format!("{bundle} is not released\n  hint: `pinnace bundle ls` lists what is"))
    })?;
    let sha256 = released.sha256().map(Digest).ok_or_else(|| {
        Failure::error(format!("{bundle} is released without a SHA-256\n  hint: publish it with `pinnace publish`"))
    })?;
    let bytes = fetch(client, &released.file_name(), released.length(), sha256).await?;
    let manifest = Manifest::parse(&bytes)?;
    let mut contents = Vec::with_capacity(manifest.blobs.len());
    for blob in &manifest.blobs {
        // Content is named by its digest twice: a target's file name begins with its digest, and its path is one.
        let file = format!("{}.{}", blob.sha256, blob.target_path());
        contents.push(fetch(client, &file, blob.length, blob.sha256).await?);
    }
    for (blob, content) in manifest.blobs.iter().zip(&contents) {
        std::fs::write(dir.join(&blob.name), content)?;
    }
    // The very bytes that were signed, and last: a folder with a manifest is a whole bundle.
    std::fs::write(dir.join(MANIFEST_FILE), bytes)?;
    Ok(Bundle { manifest, contents })
}

/// Returns what the offline keys say of the target at `path`.
async fn look_up(client: &Client, root: &[u8], path: &str) -> Result<Option<VerifiedTarget>, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let mut image = ImageClient::new(TrustedState::load(root, BTreeMap::new())?, Floors::default(), now);
    for _ in 0..DOCUMENTS_MAX {
        let wanted = match image.find(path) {
            Request::Done(found) => return Ok(found),
            Request::Failed(fault) => return Err(fault.into()),
            Request::Fetch(wanted) => wanted,
        };
        let document = client.metadata_if_any(&wanted.name, wanted.max_bytes).await?;
        // Nothing is kept: this is one look, not a device that must never go back.
        let _ = image.feed(document.as_deref().map_or(Response::NotFound, Response::Bytes));
    }
    Err(Failure::error("the repository asks for documents without end\n  hint: ask the operator of the control plane"))
}

/// Returns a released file, which must be what was signed.
async fn fetch(client: &Client, file: &str, length: u64, digest: Digest) -> Result<Vec<u8>, Failure> {
    let max = usize::try_from(length).unwrap_or(MANIFEST_MAX_BYTES);
    let bytes = client.target(file, max).await?;
    if bytes.len() as u64 != length || Digest::of(&bytes) != digest {
        return Err(Failure::error(format!(
            "what came as {file} is not what was signed\n  hint: do not use it; ask the operator of the control plane"
        )));
    }
    Ok(bytes)
}
