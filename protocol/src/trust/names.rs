//! File names of a repository, the same for whoever writes and whoever reads.

use alloc::format;
use alloc::string::String;
use core::fmt::Write;

use crate::ids::hex_text;

/// How the names of stored roots begin. [`metadata_name`] never writes an `@`, so no role's name can collide.
pub(super) const STORED_ROOT_PREFIX: &str = "root@";

/// Returns the name under which a device keeps this version of the root.
pub fn stored_root_name(version: u64) -> String {
    format!("{STORED_ROOT_PREFIX}{version}.json")
}

/// Returns a role's file name: `role.json`, or `7.role.json` in a consistent snapshot.
///
/// Everything outside `A-Z a-z 0-9 - _ . ~` is percent-encoded, so a role's name cannot leave its directory.
pub fn metadata_name(role: &str, version: Option<u64>) -> String {
    let mut name = version.map_or_else(String::new, |version| format!("{version}."));
    for byte in role.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => name.push(char::from(byte)),
            // Writing into a String cannot fail.
            other => _ = write!(name, "%{other:02X}"),
        }
    }
    name.push_str(".json");
    name
}

/// Returns a target's file name: its path, with the hash before the last part in a consistent snapshot.
pub fn target_name(path: &str, sha256: Option<&[u8; 32]>) -> String {
    sha256.map_or_else(|| path.into(), |sha256| hashed_name(path, &hex_text(sha256)))
}

/// Returns a target's file name with this digest, in hex, before the last part of its path.
pub(super) fn hashed_name(path: &str, digest: &str) -> String {
    let (directory, base) = path.rfind('/').map_or(("", path), |at| path.split_at(at + 1));
    format!("{directory}{digest}.{base}")
}
