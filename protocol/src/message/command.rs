//! What an operator may ask of one device: a closed list, signed by the plane, numbered, with an end.
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use super::up::Counter;

/// Everything that can be asked; there is no other word, and no shell behind any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CommandKind {
    /// Take the newest model back, as on the device itself.
    Revert,
    /// Begin no install until [`CommandKind::Resume`]; what serves goes on, and the way back stays open.
    Pause,
    /// End a pause.
    Resume,
    /// Send status and log; only when the device's owner has consented in its settings.
    CollectDiagnostics,
    /// Ask for a new certificate now.
    Renew,
    /// End in an orderly way and start again.
    Restart,
}

impl CommandKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Revert, Self::Pause, Self::Resume, Self::CollectDiagnostics, Self::Renew, Self::Restart];

    /// Returns the word used in commands, logs and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revert => "revert",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::CollectDiagnostics => "collect-diagnostics",
            Self::Renew => "renew",
            Self::Restart => "restart",
        }
    }

    /// Reads the word; `None` for any other.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A command to one device. The envelope's signature covers tenant and device; the number only grows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Greater than that of every command before it to this device.
    pub number: u64,
    /// Seconds since 1970 after which it is no longer carried out.
    pub expires_s: u64,
    /// What.
    pub kind: CommandKind,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CommandOutcome {
    /// Carried out.
    Done,
    /// Not carried out: nothing to do, no consent, or too late.
    Refused,
    /// Tried in vain.
    Failed,
}

impl CommandOutcome {
    /// Returns the word for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// A device's word on a command; repeated with every connection, so that one lost message costs nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandDone {
    /// Order of this message.
    pub counter: Counter,
    /// The command's number.
    pub number: u64,
    /// What was asked.
    pub kind: CommandKind,
    /// How it ended.
    pub outcome: CommandOutcome,
    /// One sentence; at most [`crate::limits::TEXT_MAX_BYTES`].
    pub text: String,
    /// What was collected; at most [`crate::limits::DIAGNOSTICS_MAX_BYTES`] in at most
    /// [`crate::limits::DIAGNOSTICS_MAX_LINES`] lines. Only in the first message, for diagnostics.
    pub lines: Vec<String>,
}
