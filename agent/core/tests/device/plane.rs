//! The control plane as a device sees it: answers hellos and wants, serves files, counts windows once.
use std::collections::{BTreeMap, BTreeSet};

use ed25519_dalek::SigningKey;
use pinnace_agent_core::{FetchError, UpMessage};
use pinnace_protocol::cbor;
use pinnace_protocol::ids::{DeviceId, Digest, TenantId};
use pinnace_protocol::join::{METADATA_PATH, PATCHES_PATH, TARGETS_PATH};
use pinnace_protocol::message::{
    Ack, CommandDone, Frame, FrameBody, Hello, Report, Want, WantBody, Window, seal_from_plane,
};
use pinnace_protocol::topic::Down;
use pinnace_protocol::transfer::Bitmap;

use crate::repo::{Assigned, Repo};

/// What MQTT does to wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mqtt {
    Answers,
    Silent,
    Tampers,
}

/// What HTTP does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Http {
    Answers,
    Fails,
    Tampers,
    BusyOnce,
}

#[derive(Clone)]
pub struct Plane {
    pub repo: Repo,
    pub key: SigningKey,
    pub assigned: Option<Assigned>,
    pub mqtt: Mqtt,
    pub http: Http,
    pub acks: bool,
    /// Nobody who holds a key answers: files are served, and that is all.
    pub deaf: bool,
    pub now_s: u64,
    pub reports: Vec<Report>,
    pub hellos: Vec<Hello>,
    pub wants: usize,
    pub gets: usize,
    /// What the device said of commands.
    pub done: Vec<CommandDone>,
    /// Windows by epoch and number: folded once.
    pub folded: BTreeMap<(u64, u64), Window>,
    /// Of a thousand chunks published to all, so many are lost.
    pub loses: u64,
    /// Whether anything is published to all; a plane of an earlier version does not know how.
    pub broadcasts: bool,
    /// Every second chunk for this device alone is lost.
    pub halves: bool,
    /// A range over HTTP gives no answer within any time.
    pub http_hangs: bool,
    /// Chunks sent: to all, and to this device alone.
    pub sent: (u64, u64),
    /// Patches by their digest.
    pub patches: BTreeMap<Digest, Vec<u8>>,
    random: u64,
}

impl Plane {
    pub fn new(repo: Repo) -> Self {
        Self {
            repo,
            key: SigningKey::from_bytes(&[9; 32]),
            assigned: None,
            mqtt: Mqtt::Answers,
            http: Http::Answers,
            acks: true,
            deaf: false,
            now_s: crate::repo::NOW_S,
            reports: Vec::new(),
            hellos: Vec::new(),
            wants: 0,
            gets: 0,
            done: Vec::new(),
            folded: BTreeMap::new(),
            loses: 0,
            broadcasts: true,
            halves: false,
            http_hangs: false,
            sent: (0, 0),
            patches: BTreeMap::new(),
            random: 1,
        }
    }

    /// Lets chance go on, so that another seed loses other chunks.
    pub fn publish_nothing(&mut self) -> bool {
        self.chance(0)
    }

    fn chance(&mut self, permille: u64) -> bool {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % 1000 < permille
    }

    /// Publishes to all what is missing, and all parity when that is most of it.
    fn publish_missing(&mut self, digest: &Digest, missing: &Bitmap) -> Vec<FrameBody> {
        let (blob, chunks) = self.repo.chunks(digest);
        let mut indices: Vec<u64> = missing.iter().collect();
        if indices.len() as u64 * 2 > blob.layout().count() {
            indices.extend(blob.layout().count()..chunks.len() as u64);
        }
        let mut frames = Vec::new();
        for index in indices {
            self.sent.0 += 1;
            if !self.chance(self.loses) {
                frames.push(FrameBody::Chunk { blob: *digest, index, bytes: chunks[index as usize].clone() });
            }
        }
        frames.push(FrameBody::RoundOver { blob: *digest });
        frames
    }

    /// Takes a message of the device and returns the answers.
    pub fn take(&mut self, tenant: &TenantId, device: &DeviceId, message: UpMessage) -> Vec<(Down, Vec<u8>)> {
        match message {
            UpMessage::Hello(_) | UpMessage::Window(_) if self.deaf => vec![],
            UpMessage::Hello(hello) => {
                self.repo.device_root = hello.director_root;
                let director = self.direct(device, Some(&hello.nonce));
                let ack = self.ack(tenant, device, hello.counter.epoch);
                self.hellos.push(hello);
                vec![(Down::Director, director), (Down::Ack, ack)]
            }
            UpMessage::Report(report) => {
                self.reports.push(report);
                vec![]
            }
            UpMessage::Window(window) => {
                let epoch = window.epoch;
                let seq = window.seq;
                let known = self.folded.entry((epoch, seq)).or_insert_with(|| window.clone());
                assert_eq!(*known, window, "one number, one window");
                if self.acks { vec![(Down::Ack, self.ack(tenant, device, epoch))] } else { vec![] }
            }
            UpMessage::Done(done) => {
                self.done.push(done);
                vec![]
            }
            UpMessage::Want(want) => {
                self.wants += 1;
                self.answer(&want)
            }
        }
    }

    pub fn direct(&mut self, device: &DeviceId, nonce: Option<&[u8]>) -> Vec<u8> {
        self.repo.direct(device.as_str(), nonce, self.now_s, self.assigned.as_ref())
    }

    pub fn ack(&self, tenant: &TenantId, device: &DeviceId, epoch: u64) -> Vec<u8> {
        let seqs: BTreeSet<u64> = self.folded.keys().filter(|(e, _)| *e == epoch).map(|(_, s)| *s).collect();
        let watermark = (0..).find(|s| !seqs.contains(s)).unwrap();
        let above = seqs.range(watermark..).copied().collect();
        seal_from_plane(&self.key, tenant, device, Down::Ack.as_str(), &Ack { epoch, watermark, above }).unwrap()
    }

    fn answer(&mut self, want: &Want) -> Vec<(Down, Vec<u8>)> {
        if self.mqtt == Mqtt::Silent {
            return vec![];
        }
        let tampers = self.mqtt == Mqtt::Tampers;
        let spoil = |mut bytes: Vec<u8>| {
            if tampers {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 0x40;
            }
            bytes
        };
        let frames: Vec<FrameBody> = match &want.body {
            WantBody::Meta { name } => {
                let file = self.repo.metadata.get(name).or_else(|| self.repo.targets.get(name)).cloned();
                let bytes = file.map(|f| serde_bytes::ByteBuf::from(spoil(f)));
                vec![FrameBody::Meta { name: name.clone(), bytes }]
            }
            WantBody::Chunks { blob, indices } => {
                let chunks = match self.patches.get(blob) {
                    Some(patch) => patch.chunks(32 * 1024).map(<[u8]>::to_vec).collect(),
                    None if self.repo.blob(blob).is_none() => return vec![],
                    None => self.repo.chunks(blob).1,
                };
                self.sent.1 += indices.len() as u64;
                let is_kept = |i: &&u64| !self.halves || i.is_multiple_of(2) || indices.len() == 1;
                let cut =
                    |i: &u64| FrameBody::Chunk { blob: *blob, index: *i, bytes: spoil(chunks[*i as usize].clone()) };
                indices.iter().filter(is_kept).map(cut).collect()
            }
            WantBody::Missing { .. } if !self.broadcasts => vec![],
            WantBody::Missing { blob, missing } => {
                let frames = self.publish_missing(blob, missing);
                let spoilt = |frame| match frame {
                    FrameBody::Chunk { blob, index, bytes } => FrameBody::Chunk { blob, index, bytes: spoil(bytes) },
                    other => other,
                };
                frames.into_iter().map(spoilt).collect()
            }
        };
        frames.into_iter().map(|body| (Down::Chunk, cbor::encode(&Frame { body }).unwrap())).collect()
    }

    pub fn get(&mut self, path: &str, range: Option<(u64, u64)>) -> Result<Vec<u8>, FetchError> {
        self.gets += 1;
        match self.http {
            Http::Fails => return Err(FetchError::Network("refused".into())),
            Http::BusyOnce => {
                self.http = Http::Answers;
                return Err(FetchError::Busy { retry_after_s: 7 });
            }
            Http::Answers | Http::Tampers => {}
        }
        let patch = path.strip_prefix(PATCHES_PATH).map(|hex| Digest::from_hex(hex).unwrap());
        let file = match (path.strip_prefix(METADATA_PATH), patch) {
            (Some(name), _) => self.repo.metadata.get(name),
            (None, Some(patch)) => self.patches.get(&patch),
            (None, None) => self.repo.targets.get(path.strip_prefix(TARGETS_PATH).unwrap()),
        };
        let mut bytes = file.cloned().ok_or(FetchError::NotFound)?;
        if let Some((from, length)) = range {
            bytes = bytes[from as usize..(from + length) as usize].to_vec();
        }
        if self.http == Http::Tampers {
            bytes[0] ^= 1;
        }
        Ok(bytes)
    }
}
