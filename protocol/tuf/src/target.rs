//! Fetches a target: verified whole before it has its name.
use std::fs;
use std::path::Path;

use pinnace_protocol::trust::TrustError;
use pinnace_protocol::trust::names::metadata_name;

use crate::error::{Fault, disk};
use crate::fetch::join;
use crate::refresh::Session;
use crate::store::write;

/// Bytes of a target: this program holds it in memory while it hashes it.
const TARGET_MAX_BYTES: u64 = 1 << 30;

/// Fetches the target `path` into the folder `into`, unless it is there already.
///
/// # Errors
/// [`Fault`]; nothing is stored then.
pub fn download(session: &mut Session, path: &str, targets_url: &str, into: &Path) -> Result<(), Fault> {
    let target = session.find(path)?;
    if target.length() > TARGET_MAX_BYTES {
        let (found, cap) = (target.length(), TARGET_MAX_BYTES);
        return Err(TrustError::TooLarge { what: path.into(), found, cap }.into());
    }
    fs::create_dir_all(into).map_err(disk("create", into))?;
    // The same file each time, and never outside the folder: as names of metadata, without their ending.
    let name = metadata_name(path, None);
    let file = into.join(name.strip_suffix(".json").unwrap_or(&name));
    if fs::read(&file).is_ok_and(|bytes| target.check(&bytes).is_ok()) {
        return Ok(());
    }
    let url = join(targets_url, &target.file_name());
    let bytes = session.fetcher.get(&url, target.length())?;
    let bytes = bytes.ok_or(TrustError::Missing { what: url })?;
    target.check(&bytes)?;
    write(&file, &bytes)
}
