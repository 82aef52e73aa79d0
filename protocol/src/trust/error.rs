//! What can be wrong with something that asks to be trusted.

use alloc::string::String;

/// Names why a document, an assignment or a file is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// A document is longer than its cap; it was not parsed.
    #[error("{what} has {found} bytes, the most allowed is {cap}")]
    TooLarge {
        /// The document.
        what: String,
        /// Its length, bytes.
        found: u64,
        /// The cap, bytes.
        cap: u64,
    },
    /// A JSON document nests deeper than allowed; it was not parsed.
    #[error("{what} nests deeper than {cap} levels")]
    TooDeep {
        /// The document.
        what: String,
        /// The cap, levels.
        cap: usize,
    },
    /// A JSON document holds more objects, lists or values than its cap allows; it was not parsed.
    #[error("{what} holds more than {cap} {of}")]
    TooMany {
        /// The document.
        what: String,
        /// What there are too many of.
        of: &'static str,
        /// The cap.
        cap: usize,
    },
    /// A document does not have the form it must have.
    #[error("{what} is malformed: {detail}")]
    Malformed {
        /// The document.
        what: String,
        /// What is wrong and where.
        detail: String,
    },
    /// Too few different keys of the role signed the document.
    #[error("{role} carries {valid} valid signatures of its keys, {needed} are needed")]
    Threshold {
        /// The role that must have signed.
        role: String,
        /// Different public keys with a valid signature.
        valid: usize,
        /// Different public keys needed.
        needed: u64,
    },
    /// A document is past its expiry; nothing may be installed because of it.
    #[error("{role} expired at {expires}, it is {now} (unix seconds)")]
    Expired {
        /// The role.
        role: String,
        /// Its expiry, unix seconds.
        expires: u64,
        /// The time it was judged by, unix seconds.
        now: u64,
    },
    /// A document is older than one already seen, or dropped something already seen.
    #[error("{role} version {found} is older than version {floor} seen before")]
    Rollback {
        /// The role.
        role: String,
        /// The version offered; 0 when the role vanished.
        found: u64,
        /// The oldest version that may still be accepted.
        floor: u64,
    },
    /// A document is not the version that the document above it names.
    #[error("{role} is version {found}, version {expected} is pinned")]
    Version {
        /// The role.
        role: String,
        /// The version offered.
        found: u64,
        /// The version pinned.
        expected: u64,
    },
    /// Bytes do not hash to the digest that is signed.
    #[error("{what} does not hash to the signed digest")]
    Hash {
        /// The file.
        what: String,
    },
    /// Bytes do not have the signed length.
    #[error("{what} has {found} bytes, {expected} are signed")]
    Length {
        /// The file.
        what: String,
        /// Its length, bytes.
        found: u64,
        /// The signed length, bytes.
        expected: u64,
    },
    /// Something that must be there is not.
    #[error("{what} is missing")]
    Missing {
        /// The file, role or field.
        what: String,
    },
    /// The director's assignment names another device.
    #[error("the assignment is for device `{found}`, this is `{expected}`")]
    WrongDevice {
        /// This device.
        expected: String,
        /// The device named.
        found: String,
    },
    /// The director and the image repository disagree about a target.
    #[error("director and image repository disagree on {field}")]
    Mismatch {
        /// The field they disagree on.
        field: String,
    },
    /// A blob was handed in that the manifest does not list.
    #[error("blob {digest} is not listed in the manifest")]
    Unlisted {
        /// Its SHA-256, hex.
        digest: String,
    },
    /// A stored record fails its checksum or has an unknown form.
    #[error("stored {what} is damaged: {detail}")]
    Damaged {
        /// The record.
        what: String,
        /// What is wrong with it.
        detail: String,
    },
}

impl TrustError {
    /// Returns a short stable slug for metrics, reports and tests.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too-large",
            Self::TooDeep { .. } => "too-deep",
            Self::TooMany { .. } => "too-many",
            Self::Malformed { .. } => "malformed",
            Self::Threshold { .. } => "threshold",
            Self::Expired { .. } => "expired",
            Self::Rollback { .. } => "rollback",
            Self::Version { .. } => "mix-and-match",
            Self::Hash { .. } => "hash",
            Self::Length { .. } => "length",
            Self::Missing { .. } => "missing",
            Self::WrongDevice { .. } => "wrong-device",
            Self::Mismatch { .. } => "mismatch",
            Self::Unlisted { .. } => "unlisted",
            Self::Damaged { .. } => "damaged",
        }
    }

    /// Returns what to do about it, in one sentence.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } | Self::TooDeep { .. } | Self::TooMany { .. } => {
                "no honest repository writes this; look at who serves it"
            }
            Self::Malformed { .. } => "publish the document again with `pinnace`, or fetch it from another mirror",
            Self::Threshold { .. } => {
                "sign with more of the role's keys, or check that this device trusts the right root"
            }
            Self::Expired { .. } => {
                "sign a fresh version, and check this machine's clock; what runs already keeps running"
            }
            Self::Rollback { .. } => {
                "an old copy is being served: look at the mirror; to start versions over, replace all online keys in a new root"
            }
            Self::Version { .. } | Self::Hash { .. } | Self::Length { .. } => {
                "files of different publications are mixed, or bytes changed on the way: fetch again from another source"
            }
            Self::Missing { .. } => "publish it, or check the repository's address",
            Self::WrongDevice { .. } => {
                "the message was delivered to the wrong device: check the broker's access rules"
            }
            Self::Mismatch { .. } => "assign the target exactly as it was released",
            Self::Unlisted { .. } => "hand in only the blobs that the manifest lists",
            Self::Damaged { .. } => "it is ignored and the other slot is used; check the disk",
        }
    }

    /// Builds the error for a document of the wrong form.
    pub(crate) fn malformed(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Malformed { what: what.into(), detail: detail.into() }
    }
}
