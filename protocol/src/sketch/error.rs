//! Tells what was wrong with a profile, a row or a window, where, and what to do about it.

use super::limits;
use alloc::string::String;
use thiserror::Error;

/// Says why a profile could not be built or read.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ProfileError {
    /// The document is larger than any profile.
    #[error("the profile is {bytes} bytes, more than {limit}\n  hint: leave out features or classes", limit = limits::MAX_PROFILE_BYTES)]
    TooLarge {
        /// Size that was offered.
        bytes: usize,
    },
    /// The document is not the JSON of a profile.
    #[error(
        "the profile is not readable: {reason}\n  hint: a profile is written by the trainer; build the bundle again"
    )]
    Json {
        /// What the parser found, and where.
        reason: String,
    },
    /// The document has another version.
    #[error("the profile has format {found}, this software reads {expected}\n  hint: use software of the same release as the trainer", expected = limits::PROFILE_FORMAT)]
    Format {
        /// Version in the document.
        found: u32,
    },
    /// One part contradicts the rules of a profile.
    #[error(
        "the profile is wrong at {place}: {rule}\n  hint: a profile is written by the trainer; build the bundle again"
    )]
    Invalid {
        /// Feature or section.
        place: String,
        /// Rule that does not hold.
        rule: &'static str,
    },
    /// A column cannot serve as reference.
    #[error("column {column} cannot be profiled: {reason}\n  hint: {hint}")]
    Column {
        /// Name of the column.
        column: String,
        /// What is wrong.
        reason: &'static str,
        /// What helps.
        hint: &'static str,
    },
}

/// Says why a row, prediction or outcome was not counted; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RowError {
    /// The row has another number of values than the profile has features.
    #[error(
        "the row has {found} values, the profile {expected} features\n  hint: pass one value per feature, in the order of the profile"
    )]
    Width {
        /// Values in the row.
        found: usize,
        /// Features in the profile.
        expected: usize,
    },
    /// The class index is not one of the profile's.
    #[error(
        "class {found} does not exist, the profile knows {classes}\n  hint: pass the index of the class in the profile's order"
    )]
    Class {
        /// Index that was passed.
        found: usize,
        /// Number of classes in the profile (zero: it has no prediction part).
        classes: usize,
    },
    /// The window is full.
    #[error("the window holds {limit} rows and takes no more\n  hint: close the window and open the next", limit = limits::MAX_ROWS)]
    Full,
}

/// Says why a window could not be read or merged; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WindowError {
    /// More bytes than any window has.
    #[error("the window is {bytes} bytes, more than {limit}\n  hint: it was not written by this software", limit = limits::MAX_WINDOW_BYTES)]
    TooLarge {
        /// Size that was offered.
        bytes: usize,
    },
    /// Another version of the encoding.
    #[error("the window has format {found}, this software reads {expected}\n  hint: upgrade the older side", expected = limits::WINDOW_FORMAT)]
    Format {
        /// Version byte that was found.
        found: u8,
    },
    /// Counted against another profile.
    #[error(
        "the window was counted against another profile\n  hint: look up the profile by the bundle that the device ran"
    )]
    Profile,
    /// The bytes end too early.
    #[error("the window ends early at byte {at}\n  hint: it was cut on its way; ask the device to send it again")]
    Short {
        /// Offset of the end.
        at: usize,
    },
    /// The bytes go on after the end.
    #[error("the window goes on after its end at byte {at}\n  hint: it was not written by this software")]
    Trailing {
        /// Offset of the first byte too many.
        at: usize,
    },
    /// A value contradicts the rules of a window.
    #[error("the window is wrong before byte {at}: {rule}\n  hint: it was damaged or not written by this software")]
    Invalid {
        /// Offset after the offending value.
        at: usize,
        /// Rule that does not hold.
        rule: &'static str,
    },
    /// The sum of both windows would exceed what the counters hold.
    #[error("together the windows hold more than {limit} rows\n  hint: roll up fewer windows into one", limit = limits::MAX_ROWS)]
    Full,
}
