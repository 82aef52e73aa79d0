//! Says what is wrong with a device profile, where, and what to do about it.

use crate::limits;

/// Says why a device profile cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// No profile of that name is built in.
    #[error("there is no device profile `{name}`\n  hint: use one of {known}, or pass the path of a .toml file")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// More bytes than any profile has.
    #[error(
        "the device profile has {bytes} bytes, at most {} are read\n  hint: pass a profile .toml file, not something else",
        limits::PROFILE_MAX_BYTES
    )]
    TooLarge {
        /// Bytes received.
        bytes: usize,
    },
    /// Not TOML, or TOML of another shape.
    #[error(
        "the device profile does not parse: {why}\n  hint: compare it with firmware-targets/profiles/x86-gateway.toml"
    )]
    Parse {
        /// What the parser found, with line and column.
        why: String,
    },
    /// Parses, but a value contradicts the rules.
    #[error("device profile `{profile}`, field `{field}`: {why}\n  hint: {hint}")]
    Invalid {
        /// Name of the profile.
        profile: String,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        why: String,
        /// What helps.
        hint: &'static str,
    },
}
