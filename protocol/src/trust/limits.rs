//! Named bounds of everything that trust reads, keeps or walks.

/// Bytes a root document may have; checked before parsing. Python-tuf stops at 500 kB.
pub const ROOT_MAX_BYTES: usize = 512 * 1024;
/// Bytes a timestamp document may have; it names one file.
pub const TIMESTAMP_MAX_BYTES: usize = 16 * 1024;
/// Bytes a snapshot document may have when the timestamp names no length.
pub const SNAPSHOT_MAX_BYTES: usize = 2 * 1024 * 1024;
/// Bytes a targets document may have when the snapshot names no length.
pub const TARGETS_MAX_BYTES: usize = 5 * 1024 * 1024;
/// Levels of nesting a JSON document may have; checked before parsing, so that a parser's stack is never at risk.
pub const JSON_DEPTH_MAX: usize = 32;
/// Objects and lists that any JSON document may hold, however small its cap.
pub const JSON_CONTAINERS_FREE: usize = 256;
/// Bytes of a document's cap for each further object or list: ours need 57 and more. A parsed one costs up to 700 bytes
/// of memory even when two stand for it in the document, so without this bound 5 MiB would take half a gigabyte.
pub const JSON_BYTES_PER_CONTAINER: usize = 48;
/// Bytes of a document's cap for each value: ours need 20 and more, a parsed one costs up to 64.
pub const JSON_BYTES_PER_VALUE: usize = 12;
/// Signatures one document may carry; each costs one verification of about 50 µs.
pub const SIGNATURES_MAX: usize = 64;
/// Delegated roles one look-up visits; more are treated as "not found", as python-tuf does.
pub const DELEGATIONS_MAX: usize = 32;
/// Delegations one targets document may list; each costs a pattern match.
pub const DELEGATIONS_LISTED_MAX: usize = 1024;
/// Root rotations followed in one refresh; the next refresh continues from there.
pub const ROOT_ROTATIONS_MAX: usize = 256;
/// Stored roots replayed from the factory root at start: about 0.1 ms each.
pub const STORED_ROOTS_MAX: usize = 1024;
/// Bytes a delegated role's name may have: it becomes a file name.
pub const ROLE_NAME_MAX: usize = 128;
/// Bytes a target path may have.
pub const TARGET_PATH_MAX: usize = 1024;
/// Roles of one repository whose version floor is remembered: one per model family a device has met.
pub const FLOOR_ROLES_MAX: usize = 256;
/// Bytes a floor record may have: two repositories of `FLOOR_ROLES_MAX` names, escaped.
pub const FLOOR_RECORD_MAX_BYTES: usize = 256 * 1024;
/// Bytes a director bundle may have: one retained MQTT message; about 3 KB is usual.
pub const DIRECTOR_BUNDLE_MAX_BYTES: usize = 64 * 1024;
/// Director roots one bundle may carry: rotations a sleeping device may have missed.
pub const DIRECTOR_ROOTS_MAX: usize = 16;
/// Bytes of the roots in one director bundle, quoted as JSON strings; the rest needs some 4 KB.
pub const DIRECTOR_ROOTS_BYTES: usize = 40 * 1024;
/// Bytes a manifest may have.
pub const MANIFEST_MAX_BYTES: u64 = 64 * 1024;
/// Blobs one bundle may list.
pub const BUNDLE_BLOBS_MAX: usize = 256;
/// Bytes a released record may have in the ledger: a path and a small custom section.
pub const RELEASED_RECORD_MAX_BYTES: usize = 64 * 1024;
