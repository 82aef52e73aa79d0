//! The control plane as a device sees it: answers hellos and wants, serves files, counts windows once.
use std::collections::{BTreeMap, BTreeSet};

use ed25519_dalek::SigningKey;
use pinnace_agent_core::{FetchError, UpMessage};
use pinnace_protocol::cbor;
use pinnace_protocol::ids::{DeviceId, TenantId};
use pinnace_protocol::join::{METADATA_PATH, TARGETS_PATH};
use pinnace_protocol::message::{
    Ack, CommandDone, Frame, FrameBody, Hello, Report, Want, WantBody, Window, seal_from_plane,
};
use pinnace_protocol::topic::Down;

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
        }
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

    fn answer(&self, want: &Want) -> Vec<(Down, Vec<u8>)> {
        if self.mqtt == Mqtt::Silent {
            return vec![];
        }
        let spoil = |mut bytes: Vec<u8>| {
            if self.mqtt == Mqtt::Tampers {
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
                let whole = self.repo.blob(blob).unwrap();
                let cut = |i: u64| whole.chunks(32 * 1024).nth(i as usize).unwrap().to_vec();
                indices.iter().map(|i| FrameBody::Chunk { blob: *blob, index: *i, bytes: spoil(cut(*i)) }).collect()
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
        let file = match path.strip_prefix(METADATA_PATH) {
            Some(name) => self.repo.metadata.get(name),
            None => self.repo.targets.get(path.strip_prefix(TARGETS_PATH).unwrap()),
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
