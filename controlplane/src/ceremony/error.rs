//! What can be wrong with a draft or a signature.
use pinnace_protocol::trust::TrustError;

use super::short;

/// Says why a draft cannot be made, signed or put together; nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// A document in it cannot be read.
    #[error("{what}: {source}\n  hint: make the draft again with `pinnace keys rotate`, from the published metadata")]
    Trust {
        /// Which document.
        what: String,
        /// What is wrong with it.
        source: TrustError,
    },
    /// The file is not what it should be.
    #[error("{what} is not usable: {why}\n  hint: {hint}")]
    Malformed {
        /// Which file.
        what: &'static str,
        /// What is wrong with it.
        why: String,
        /// What to do.
        hint: &'static str,
    },
    /// The key is not one of those that must sign.
    #[error("key {} has no part in this draft\n  hint: it needs signatures of {wanted}", short(key))]
    ForeignKey {
        /// Its id.
        key: String,
        /// Who is wanted.
        wanted: String,
    },
    /// A signature does not verify.
    #[error(
        "the signature of key {} over {role} does not fit this draft\n  hint: the draft was changed after it was signed, or the file belongs to another draft; sign again",
        short(key)
    )]
    BadSignature {
        /// The document.
        role: String,
        /// The key's id.
        key: String,
    },
    /// The signature is for a document that is not in the draft.
    #[error(
        "a signature is for {role} version {version}, which is not in this draft\n  hint: the file belongs to another draft"
    )]
    NotInDraft {
        /// The document.
        role: String,
        /// Its version.
        version: u64,
    },
    /// Signatures are missing.
    #[error("the draft is not ready: {}\n  hint: `pinnace keys sign` it with these keys, and name the signature files", .0.join("; "))]
    Missing(Vec<String>),
    /// No key of that id.
    #[error("role `{role}` has no key `{key}`\n  hint: it has {}", have.join(", "))]
    NoSuchKey {
        /// The role.
        role: String,
        /// What was asked for.
        key: String,
        /// The keys it has.
        have: Vec<String>,
    },
    /// The key is there already.
    #[error("role `{role}` has key {} already\n  hint: make a new one with `pinnace keys generate`", short(key))]
    KnownKey {
        /// The role.
        role: String,
        /// The key's id.
        key: String,
    },
    /// The threshold cannot be met, or one key would be enough where it must not be.
    #[error("role `{role}` would need {threshold} of {keys} keys\n  hint: {hint}")]
    Threshold {
        /// The role.
        role: String,
        /// Signatures needed.
        threshold: u64,
        /// Different keys.
        keys: usize,
        /// What to do.
        hint: &'static str,
    },
    /// No such role.
    #[error(
        "there is no role `{role}` to change\n  hint: roles are root, targets, snapshot, timestamp, director-root, director, and the families published: {}", families.join(", ")
    )]
    UnknownRole {
        /// What was asked for.
        role: String,
        /// The families there are.
        families: Vec<String>,
    },
    /// Nothing would change.
    #[error("{role} can only be changed by naming keys\n  hint: use --add, --remove or --threshold")]
    NothingToDo {
        /// The role.
        role: String,
    },
}

impl DraftError {
    pub(super) fn trust(what: impl Into<String>) -> impl FnOnce(TrustError) -> Self {
        let what = what.into();
        move |source| Self::Trust { what, source }
    }

    pub(super) fn draft(why: impl Into<String>) -> Self {
        let hint = "make it again with `pinnace keys rotate` or `pinnace keys init`";
        Self::Malformed { what: "the draft", why: why.into(), hint }
    }
}
