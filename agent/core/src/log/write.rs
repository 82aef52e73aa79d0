//! Turns starts, turns and steps into records. Where they go is the shell's business.
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use pinnace_protocol::cbor;
use pinnace_protocol::ids::Digest;
use pinnace_protocol::time::Now;

use super::form::{ConfigForm, Payload, Record, Recorded, StartForm, StoredForm};
use super::step::StepDigest;
use super::{LogError, frame};
use crate::api::{Config, Event, Step, Stored};
use crate::limits::{EVENT_INLINE_MAX_BYTES, EVENT_PAYLOADS_MAX};

/// Writes the records of one process start; what a call returns is appended to the log whole.
#[derive(Debug, Default)]
pub struct LogWriter {
    /// Payloads that this start has stored already.
    known: BTreeSet<Digest>,
}

impl LogWriter {
    /// Returns a writer for one process start; a new file begins with [`super::MAGIC`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns what [`crate::Agent::recover`] is given.
    ///
    /// # Errors
    /// [`LogError::TooLarge`].
    pub fn start(&mut self, config: &Config, stored: &Stored, now: Now) -> Result<Vec<u8>, LogError> {
        let mut keep = Keep { known: &mut self.known, out: Vec::new(), failed: None };
        let mut each = |bytes: &[u8]| keep.payload(bytes);
        let (config, stored) = (ConfigForm::of(config, &mut each), StoredForm::of(stored, &mut each));
        keep.finish(&Record::Start(StartForm { now, config, stored }))
    }

    /// Returns what [`crate::Agent::handle`] is given; `profile` is the JSON behind the layout of a
    /// [`Event::Loaded`], without which the log could not merge windows.
    ///
    /// # Errors
    /// [`LogError::TooLarge`].
    pub fn turn(&mut self, now: Now, event: &Event<'_>, profile: Option<&[u8]>) -> Result<Vec<u8>, LogError> {
        let mut keep = Keep { known: &mut self.known, out: Vec::new(), failed: None };
        let event = Recorded::of(event, profile, &mut |bytes| keep.payload(bytes));
        keep.finish(&Record::Turn { now, event })
    }

    /// Returns what the start or turn before led to.
    ///
    /// # Errors
    /// [`LogError::TooLarge`].
    pub fn step(&self, step: &Step) -> Result<Vec<u8>, LogError> {
        record(&Record::Step(StepDigest::of(step)))
    }

    /// Returns the mark that the rest of this start is not on record.
    ///
    /// # Errors
    /// [`LogError::TooLarge`].
    pub fn full(&self) -> Result<Vec<u8>, LogError> {
        record(&Record::Full)
    }
}

/// Stores payloads in front of the record that names them.
struct Keep<'a> {
    known: &'a mut BTreeSet<Digest>,
    out: Vec<u8>,
    failed: Option<LogError>,
}

impl Keep<'_> {
    fn payload(&mut self, bytes: &[u8]) -> Payload {
        if bytes.len() <= EVENT_INLINE_MAX_BYTES {
            return Payload::Inline(bytes.to_vec());
        }
        let digest = Digest::of(bytes);
        if !self.known.contains(&digest) {
            if let Err(e) = append(&Record::Payload(bytes.to_vec()), &mut self.out) {
                self.failed = Some(e);
            }
            // Beyond the bound a payload is stored again each time: larger, never wrong.
            if self.known.len() < EVENT_PAYLOADS_MAX {
                self.known.insert(digest);
            }
        }
        Payload::Stored(digest)
    }

    fn finish(mut self, last: &Record) -> Result<Vec<u8>, LogError> {
        match self.failed {
            Some(e) => Err(e),
            None => append(last, &mut self.out).map(|()| self.out),
        }
    }
}

fn append(record: &Record, out: &mut Vec<u8>) -> Result<(), LogError> {
    // The log's own types always encode.
    frame::append(&cbor::encode(record).unwrap_or_default(), out)
}

fn record(record: &Record) -> Result<Vec<u8>, LogError> {
    let mut out = Vec::new();
    append(record, &mut out).map(|()| out)
}
