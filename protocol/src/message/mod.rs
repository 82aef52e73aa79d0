//! The messages between device and plane. CBOR with small integer keys; fields are only ever added at the end.
//!
//! What a device sends is wrapped in an [`Envelope`] signed with its report key, so that a broker cannot fake
//! "healthy". What the plane sends is either signed metadata, content checked against it, or an [`Ack`]
//! sealed by the plane's own key, since a forged acknowledgement would lose windows.
mod command;
mod down;
mod envelope;
mod up;

pub use command::{Command, CommandDone, CommandKind, CommandOutcome};
pub use down::{Ack, Frame, FrameBody};
pub use envelope::{
    Envelope, EnvelopeError, ReportKey, open, open_from_plane, open_from_plane_with, open_with, seal, seal_from_plane,
    seal_from_plane_with, seal_with,
};
pub use up::{
    Counter, FailCode, Failure, Health, Hello, LogLines, Phase, Report, Running, TrialStats, Want, WantBody, Window,
};
