//! The event log: everything that decides, on record. Fed to a fresh agent it gives the same steps, anywhere.
//!
//! ```text
//! file    = "PNEVLOG1" record*
//! record  = length (u32) | its complement (u32) | CBOR | first 8 bytes of the CBOR's SHA-256
//! records = (payload* start step? (payload* turn step?)* full?)*      one `start` for each process start
//! ```
//!
//! A turn is on record before it is judged, the digest of its step after: a turn that ends the process is the last of
//! its start. Large payloads are stored once for each start and named by digest. Numbers are big-endian. Variants and
//! fields are only ever added at the end and never renamed, so that a file can be read for ever (`tests/data/event-log-1.bin`).
//!
//! No private key is ever in a log: the core has none. What is in it: the device's names, signed public documents,
//! windows (counts, no rows), bundle content.
mod form;
mod frame;
mod read;
mod step;
mod write;

use alloc::string::String;

use pinnace_protocol::ids::Digest;

use crate::limits::EVENT_RECORD_MAX_BYTES;

pub use form::{Payload, Recorded, RecordedLoad};
pub use frame::{MAGIC, whole_until};
pub use read::{Entry, LogReader, Start};
pub use step::StepDigest;
pub use write::LogWriter;

/// Says why bytes are no event log, or how far they are one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// It begins otherwise.
    #[error("this is not an event log of an agent\n  hint: record one with `pinnace-agent run --event-log FILE`")]
    NotALog,
    /// A format that this version does not know.
    #[error("the event log has format {}, this program reads format 1\n  hint: replay it with the version that recorded it", char::from(*.0))]
    Format(u8),
    /// The last record is not whole.
    #[error(
        "the event log ends in the middle of a record, at byte {at}\n  hint: the power was cut, or it was copied while it was written; everything before is whole"
    )]
    Torn {
        /// Where the record begins.
        at: usize,
    },
    /// A checksum is wrong.
    #[error(
        "the event log is damaged in the record at byte {at}\n  hint: copy it from the device again; if that does not help, the device's disk is failing (`dmesg`)"
    )]
    Damaged {
        /// Where the record begins.
        at: usize,
    },
    /// Whole, but not understood.
    #[error(
        "the event log's record at byte {at} is not understood: {why}\n  hint: replay it with the version that recorded it"
    )]
    Unknown {
        /// Where the record begins.
        at: usize,
        /// What is wrong.
        why: String,
    },
    /// A turn names a payload that is nowhere before it.
    #[error(
        "the event log does not hold the payload {0} of one of its turns\n  hint: the file was put together by hand; take it whole, as the agent wrote it"
    )]
    NoPayload(Digest),
    /// A record that would be larger than any reader reads.
    #[error(
        "a record of {bytes} bytes does not fit into an event log, at most {EVENT_RECORD_MAX_BYTES} do\n  hint: recording ends here; please report this"
    )]
    TooLarge {
        /// Its bytes.
        bytes: usize,
    },
}
