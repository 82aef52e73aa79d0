//! Events, configuration and what was stored, in the form in which they are kept. Fields and variants are only ever
//! added at the end.
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use ed25519_dalek::VerifyingKey;
use pinnace_protocol::ids::{DeviceId, Digest, TenantId};
use pinnace_protocol::message::{Failure, Health, TrialStats};
use pinnace_protocol::signature::Verifier;
use pinnace_protocol::time::Now;
use pinnace_protocol::topic::Down;
use serde::{Deserialize, Serialize};

use super::StepDigest;
use crate::api::{
    CommandRefusal, Conditions, Config, DeferPolicy, Event, FetchError, HttpId, Intervals, Job, Key, LoadedInfo,
    SlotError, Stored, WindowDraft,
};

/// Bytes in a record, or where they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// Here.
    Inline(#[serde(with = "serde_bytes")] Vec<u8>),
    /// In an earlier record, with this SHA-256.
    Stored(Digest),
}

/// One record of a log.
#[derive(Debug, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "one at a time")]
pub(super) enum Record {
    /// Bytes that later records name.
    Payload(#[serde(with = "serde_bytes")] Vec<u8>),
    /// A process began.
    Start(StartForm),
    /// Something happened.
    Turn { now: Now, event: Recorded },
    /// What the start or turn before led to.
    Step(StepDigest),
    /// The file was full: the rest of this start is not on record.
    Full,
}

/// An event as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is the variant of `Event` with its name")]
pub enum Recorded {
    LinkUp {
        #[serde(with = "serde_bytes")]
        nonce: [u8; 16],
    },
    LinkDown,
    Message {
        kind: Down,
        payload: Payload,
    },
    HttpDone {
        id: HttpId,
        result: Result<Payload, FetchError>,
    },
    SlotPrepared {
        job: Job,
    },
    SlotScanned {
        job: Job,
        #[serde(with = "chunks")]
        present: Vec<(Digest, u64)>,
    },
    SlotSealed {
        job: Job,
    },
    SlotFailed {
        job: Job,
        error: SlotError,
    },
    Loaded {
        job: Job,
        result: Result<RecordedLoad, Failure>,
    },
    Trial {
        job: Job,
        stats: TrialStats,
    },
    WindowClosed(WindowDraft),
    Health(Health),
    LocalRevert,
    Stopping,
    Tick,
    SlotFilled {
        job: Job,
        #[serde(with = "chunks")]
        present: Vec<(Digest, u64)>,
        /// Why there are none.
        failed: Option<String>,
    },
    Surroundings {
        conditions: Conditions,
        policy: DeferPolicy,
    },
    Veto {
        seconds: u32,
        reason: String,
    },
    CommandEnded {
        number: u64,
        result: Result<(String, Vec<String>), CommandRefusal>,
    },
}

/// A [`LoadedInfo`] as it is kept: the profile itself instead of its compiled form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordedLoad {
    /// Variant in use.
    pub variant: String,
    /// Engine in use.
    pub engine: String,
    /// The reference profile's JSON, by which windows may be merged; none when the bundle has none.
    pub profile: Option<Payload>,
}

impl Recorded {
    /// Returns `event` as it is kept; `profile` is the JSON behind the layout of a [`Event::Loaded`].
    pub(super) fn of(event: &Event<'_>, profile: Option<&[u8]>, keep: &mut impl FnMut(&[u8]) -> Payload) -> Self {
        match event {
            Event::LinkUp { nonce } => Self::LinkUp { nonce: *nonce },
            Event::LinkDown => Self::LinkDown,
            Event::Message { kind, payload } => Self::Message { kind: *kind, payload: keep(payload) },
            Event::HttpDone { id, result } => {
                let result = match result {
                    Ok(bytes) => Ok(keep(bytes)),
                    Err(e) => Err(e.clone()),
                };
                Self::HttpDone { id: *id, result }
            }
            Event::SlotPrepared { job } => Self::SlotPrepared { job: *job },
            Event::SlotScanned { job, present } => Self::SlotScanned { job: *job, present: present.to_vec() },
            Event::SlotSealed { job } => Self::SlotSealed { job: *job },
            Event::SlotFilled { job, result } => Self::SlotFilled {
                job: *job,
                present: result.as_ref().map(|present| present.to_vec()).unwrap_or_default(),
                failed: result.as_ref().err().cloned(),
            },
            Event::SlotFailed { job, error } => Self::SlotFailed { job: *job, error: error.clone() },
            Event::Loaded { job, result } => {
                let result = match result {
                    Ok(LoadedInfo { variant, engine, layout }) => Ok(RecordedLoad {
                        variant: variant.clone(),
                        engine: engine.clone(),
                        profile: profile.filter(|_| layout.is_some()).map(keep),
                    }),
                    Err(failure) => Err(failure.clone()),
                };
                Self::Loaded { job: *job, result }
            }
            Event::Trial { job, stats } => Self::Trial { job: *job, stats: *stats },
            Event::WindowClosed(draft) => Self::WindowClosed(draft.clone()),
            Event::Health(health) => Self::Health(*health),
            Event::LocalRevert => Self::LocalRevert,
            Event::Stopping => Self::Stopping,
            Event::Tick => Self::Tick,
            Event::Surroundings { conditions, policy } => {
                Self::Surroundings { conditions: *conditions, policy: policy.clone() }
            }
            Event::Veto { seconds, reason } => Self::Veto { seconds: *seconds, reason: reason.clone() },
            Event::CommandEnded { number, result } => Self::CommandEnded { number: *number, result: result.clone() },
        }
    }
}

/// What a start was made from, as it is kept.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StartForm {
    pub(super) now: Now,
    pub(super) config: ConfigForm,
    pub(super) stored: StoredForm,
}

/// A [`Config`] as it is kept. Nothing in it is secret: keys are public halves, seeds only spread load.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ConfigForm {
    tenant: TenantId,
    device: DeviceId,
    agent: String,
    device_profile: String,
    arch: String,
    labels: Vec<String>,
    engines: Vec<String>,
    memory_mib: u32,
    bundle_max_bytes: u64,
    #[serde(with = "serde_bytes")]
    plane_key: [u8; 32],
    image_root: Payload,
    director_root: Payload,
    not_before_s: u64,
    new_epoch: u64,
    seed: u64,
    intervals: Intervals,
}

impl ConfigForm {
    pub(super) fn of(config: &Config, keep: &mut impl FnMut(&[u8]) -> Payload) -> Self {
        Self {
            tenant: config.tenant.clone(),
            device: config.device.clone(),
            agent: config.agent.clone(),
            device_profile: config.device_profile.clone(),
            arch: config.arch.clone(),
            labels: config.labels.clone(),
            engines: config.engines.clone(),
            memory_mib: config.memory_mib,
            bundle_max_bytes: config.bundle_max_bytes,
            plane_key: config.plane_key.to_bytes(),
            image_root: keep(&config.image_root),
            director_root: keep(&config.director_root),
            not_before_s: config.not_before_s,
            new_epoch: config.new_epoch,
            seed: config.seed,
            intervals: config.intervals,
        }
    }

    /// Returns the configuration, or the error of `open`; the inner `None` when the plane's key is no key.
    pub(super) fn open<E>(self, open: &impl Fn(Payload) -> Result<Vec<u8>, E>) -> Result<Option<Config>, E> {
        let Ok(plane_key) = VerifyingKey::from_bytes(&self.plane_key) else { return Ok(None) };
        Ok(Some(Config {
            tenant: self.tenant,
            device: self.device,
            agent: self.agent,
            device_profile: self.device_profile,
            arch: self.arch,
            labels: self.labels,
            engines: self.engines,
            memory_mib: self.memory_mib,
            bundle_max_bytes: self.bundle_max_bytes,
            plane_key,
            // Signatures of the field are real.
            verifier: Verifier::STRICT,
            image_root: open(self.image_root)?,
            director_root: open(self.director_root)?,
            not_before_s: self.not_before_s,
            new_epoch: self.new_epoch,
            seed: self.seed,
            intervals: self.intervals,
        }))
    }
}

/// [`Stored`] as it is kept.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredForm {
    floors: [Option<Payload>; 2],
    pointers: [Option<Payload>; 2],
    records: Vec<(String, Payload)>,
    factory: Option<Payload>,
}

impl StoredForm {
    pub(super) fn of(stored: &Stored, keep: &mut impl FnMut(&[u8]) -> Payload) -> Self {
        let mut each = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(&mut *keep);
        let floors = [each(&stored.floors[0]), each(&stored.floors[1])];
        let pointers = [each(&stored.pointers[0]), each(&stored.pointers[1])];
        let factory = each(&stored.factory);
        let records = stored.records.iter().map(|(key, bytes)| (key.to_text(), keep(bytes))).collect();
        Self { floors, pointers, records, factory }
    }

    /// Returns what was stored, or the error of `open`; the inner error is a key that this version does not know.
    pub(super) fn open<E>(self, open: &impl Fn(Payload) -> Result<Vec<u8>, E>) -> Result<Result<Stored, String>, E> {
        let [f0, f1] = self.floors.map(|payload| payload.map(open).transpose());
        let [p0, p1] = self.pointers.map(|payload| payload.map(open).transpose());
        let mut records = Vec::with_capacity(self.records.len());
        for (key, payload) in self.records {
            match Key::parse(&key) {
                Some(key) => records.push((key, open(payload)?)),
                None => return Ok(Err(key)),
            }
        }
        let factory = self.factory.map(open).transpose()?;
        Ok(Ok(Stored { floors: [f0?, f1?], pointers: [p0?, p1?], records, factory }))
    }
}

/// Chunks on disk as one byte string, 40 bytes each: a large bundle has more of them than a document may have items.
mod chunks {
    use super::{Digest, ToString as _, Vec};
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    const EACH: usize = 40;

    pub(super) fn serialize<S: Serializer>(present: &[(Digest, u64)], out: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(present.len() * EACH);
        for (blob, index) in present {
            bytes.extend_from_slice(&blob.0);
            bytes.extend_from_slice(&index.to_be_bytes());
        }
        out.serialize_bytes(&bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(reader: D) -> Result<Vec<(Digest, u64)>, D::Error> {
        let bytes = serde_bytes::ByteBuf::deserialize(reader)?;
        let wrong = || D::Error::custom("a list of chunks is 40 bytes for each".to_string());
        let each = bytes.chunks(EACH).map(|chunk| {
            let (blob, index) = chunk.split_first_chunk::<32>()?;
            Some((Digest(*blob), u64::from_be_bytes(index.try_into().ok()?)))
        });
        each.collect::<Option<_>>().ok_or_else(wrong)
    }
}
