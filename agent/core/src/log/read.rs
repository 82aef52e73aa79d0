//! Reads a log back, record by record; trusts no byte of it.
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use pinnace_protocol::cbor;
use pinnace_protocol::ids::Digest;
use pinnace_protocol::sketch::Profile;
use pinnace_protocol::time::Now;

use super::form::{Payload, Record, Recorded, RecordedLoad, StartForm};
use super::step::StepDigest;
use super::{LogError, frame};
use crate::api::{Config, Event, LoadedInfo, Stored};
use crate::limits::EVENT_RECORD_MAX_BYTES;

/// What [`crate::Agent::recover`] was given.
#[derive(Debug)]
pub struct Start {
    /// What the shell knew; signatures are judged strictly.
    pub config: Config,
    /// What was on disk.
    pub stored: Stored,
    /// When.
    pub now: Now,
}

/// One entry of a log.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time")]
pub enum Entry {
    /// A process began.
    Start(Start),
    /// Something happened; [`LogReader::event`] makes it an event again.
    Turn {
        /// When.
        now: Now,
        /// What.
        event: Recorded,
    },
    /// What the start or turn before led to.
    Step(StepDigest),
    /// The file was full: the rest of this start is not on record.
    Full,
}

/// Walks a log.
#[derive(Debug)]
pub struct LogReader<'a> {
    bytes: &'a [u8],
    at: usize,
    payloads: BTreeMap<Digest, Vec<u8>>,
}

impl<'a> LogReader<'a> {
    /// Returns a reader that stands before the first entry.
    ///
    /// # Errors
    /// [`LogError`] when it is no log, or one of another format.
    pub fn new(bytes: &'a [u8]) -> Result<Self, LogError> {
        Ok(Self { bytes, at: frame::begin(bytes)?, payloads: BTreeMap::new() })
    }

    /// Returns the offset of the next record.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Returns the next entry; `None` at the end.
    ///
    /// # Errors
    /// [`LogError`] says what is wrong with the record there; the reader stays before it.
    pub fn entry(&mut self) -> Result<Option<Entry>, LogError> {
        loop {
            let Some((body, after)) = frame::next(self.bytes, self.at)? else { return Ok(None) };
            let record = cbor::decode::<Record>(body, EVENT_RECORD_MAX_BYTES).map_err(|e| {
                // The first line says what, the reader's own hint fits better than that of a message.
                self.unknown(e.to_string().lines().next().unwrap_or_default().into())
            })?;
            let entry = match record {
                Record::Payload(bytes) => {
                    self.payloads.insert(Digest::of(&bytes), bytes);
                    self.at = after;
                    continue;
                }
                Record::Start(form) => Entry::Start(self.start(form)?),
                Record::Turn { now, event } => Entry::Turn { now, event },
                Record::Step(digest) => Entry::Step(digest),
                Record::Full => Entry::Full,
            };
            self.at = after;
            return Ok(Some(entry));
        }
    }

    /// Returns the event of a turn as the core takes it.
    ///
    /// # Errors
    /// [`LogError::NoPayload`], or [`LogError::Unknown`] for a profile that is none.
    pub fn event<'e>(&'e self, recorded: &'e Recorded) -> Result<Event<'e>, LogError> {
        Ok(match recorded {
            Recorded::LinkUp { nonce } => Event::LinkUp { nonce: *nonce },
            Recorded::LinkDown => Event::LinkDown,
            Recorded::Message { kind, payload } => Event::Message { kind: *kind, payload: self.payload(payload)? },
            Recorded::HttpDone { id, result } => {
                let result = match result {
                    Ok(payload) => Ok(self.payload(payload)?),
                    Err(e) => Err(e.clone()),
                };
                Event::HttpDone { id: *id, result }
            }
            Recorded::SlotPrepared { job } => Event::SlotPrepared { job: *job },
            Recorded::SlotScanned { job, present } => Event::SlotScanned { job: *job, present },
            Recorded::SlotSealed { job } => Event::SlotSealed { job: *job },
            Recorded::SlotFilled { job, present, failed } => {
                let result = failed.as_ref().map_or(Ok(present.as_slice()), |why| Err(why.clone()));
                Event::SlotFilled { job: *job, result }
            }
            Recorded::SlotFailed { job, error } => Event::SlotFailed { job: *job, error: error.clone() },
            Recorded::Loaded { job, result } => {
                let result = match result {
                    Ok(load) => Ok(self.loaded(load)?),
                    Err(failure) => Err(failure.clone()),
                };
                Event::Loaded { job: *job, result }
            }
            Recorded::Trial { job, stats } => Event::Trial { job: *job, stats: *stats },
            Recorded::WindowClosed(draft) => Event::WindowClosed(draft.clone()),
            Recorded::Health(health) => Event::Health(*health),
            Recorded::LocalRevert => Event::LocalRevert,
            Recorded::Stopping => Event::Stopping,
            Recorded::Tick => Event::Tick,
            Recorded::Surroundings { conditions, policy } => {
                Event::Surroundings { conditions: *conditions, policy: policy.clone() }
            }
            Recorded::Veto { seconds, reason } => Event::Veto { seconds: *seconds, reason: reason.clone() },
            Recorded::CommandEnded { number, result } => {
                Event::CommandEnded { number: *number, result: result.clone() }
            }
        })
    }

    fn loaded(&self, load: &RecordedLoad) -> Result<LoadedInfo, LogError> {
        let layout = match &load.profile {
            Some(payload) => {
                let profile = Profile::from_json(self.payload(payload)?);
                let profile = profile.map_err(|e| self.unknown(format!("its profile is none: {e}")))?;
                Some(profile.layout().clone())
            }
            None => None,
        };
        Ok(LoadedInfo { variant: load.variant.clone(), engine: load.engine.clone(), layout })
    }

    fn payload<'e>(&'e self, payload: &'e Payload) -> Result<&'e [u8], LogError> {
        match payload {
            Payload::Inline(bytes) => Ok(bytes),
            Payload::Stored(digest) => self.payloads.get(digest).map(Vec::as_slice).ok_or(LogError::NoPayload(*digest)),
        }
    }

    fn start(&self, form: StartForm) -> Result<Start, LogError> {
        let open = |payload: Payload| self.payload(&payload).map(<[u8]>::to_vec);
        let config = form.config.open(&open)?.ok_or_else(|| self.unknown("the plane's key is none".into()))?;
        let stored = form.stored.open(&open)?;
        let stored = stored.map_err(|key| self.unknown(format!("a stored record is named `{key}`")))?;
        Ok(Start { config, stored, now: form.now })
    }

    fn unknown(&self, why: String) -> LogError {
        LogError::Unknown { at: self.at, why }
    }
}
