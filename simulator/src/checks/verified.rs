//! S1: what an engine is handed is what the offline keys released, byte for byte.
use pinnace_protocol::ids::Digest;

use crate::repo::Repo;

/// Checks the bytes that an engine is handed against the release itself, not against what the device believes.
pub fn verified<'a>(repo: &Repo, manifest: &[u8], blob: impl Fn(&Digest) -> Option<&'a [u8]>) -> Result<(), String> {
    let digest = Digest::of(manifest);
    let release = repo.by_digest(&digest).ok_or_else(|| format!("manifest {digest:?} was never released"))?;
    for (entry, content) in release.bundle.manifest.blobs.iter().zip(&release.bundle.contents) {
        if blob(&entry.sha256) != Some(content.as_slice()) {
            return Err(format!(
                "blob `{}` of {} is not the released one",
                entry.name,
                release.bundle.manifest.bundle_ref()
            ));
        }
    }
    Ok(())
}
