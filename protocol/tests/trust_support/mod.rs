//! A small repository, a director and a device with durable files, for the trust tests.
#![expect(dead_code, reason = "each test binary uses its own part of the support")]

use std::collections::BTreeMap;

use pinnace_protocol::trust::author::{self, DirectorOrder, direct, publish, sign};
use pinnace_protocol::trust::{
    Floors, ImageClient, Recovered, Request, Response, Root, Signer, SigningKey, Snapshot, Store, TargetFile, Targets,
    Timestamp, TrustError, TrustedState, TufKey, VerifiedDirector, VerifiedTarget, verify_director,
};
use serde_json::{Value, json};

/// 2027-01-15, unix seconds: the wall clock of all tests.
pub const NOW: u64 = 1_800_000_000;
pub const DAY: u64 = 86_400;
pub const NONCE: &str = "00112233445566778899aabbccddeeff";

pub type Files = BTreeMap<String, Vec<u8>>;

pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32])
}

pub fn public(seeds: &[u8]) -> Vec<TufKey> {
    seeds.iter().map(|seed| key(*seed).key()).collect()
}

pub fn sign_with(body: &impl pinnace_protocol::trust::Body, seeds: &[u8]) -> Vec<u8> {
    let keys: Vec<SigningKey> = seeds.iter().map(|seed| key(*seed)).collect();
    let signers: Vec<&dyn Signer> = keys.iter().map(|key| key as &dyn Signer).collect();
    sign(body, &signers).expect("a document of the test can be signed")
}

pub fn custom(release: u64) -> Value {
    json!({ "hardware_ids": ["pi4"], "release_counter": release, "model": "shuttle" })
}

/// Root keys 1, 2, 3 (2 of 3); targets 10; snapshot 20; timestamp 30; family `shuttle` 40 and 41 (2 of 2).
pub struct Repo {
    pub files: Files,
    pub root: Root,
    pub targets: Targets,
    pub family: Targets,
    pub snapshot: Option<Snapshot>,
    pub timestamp: Option<Timestamp>,
    pub snapshot_key: u8,
    pub timestamp_key: u8,
}

impl Repo {
    pub fn new() -> Self {
        let root = Root::new(
            1,
            NOW + 365 * DAY,
            &[
                ("root", &public(&[1, 2, 3]), 2),
                ("targets", &public(&[10]), 1),
                ("snapshot", &public(&[20]), 1),
                ("timestamp", &public(&[30]), 1),
            ],
        );
        let mut targets = Targets::new(1, NOW + 90 * DAY);
        targets.delegate("shuttle", &public(&[40, 41]), 2, &["shuttle-*"], true);
        let mut repo = Self {
            files: Files::new(),
            root,
            targets,
            family: Targets::new(1, NOW + 90 * DAY),
            snapshot: None,
            timestamp: None,
            snapshot_key: 20,
            timestamp_key: 30,
        };
        repo.family.targets.insert("shuttle-1".into(), TargetFile::of(b"manifest one", Some(custom(1))));
        repo.files.insert("1.root.json".into(), sign_with(&repo.root, &[1, 2]));
        repo.publish();
        repo
    }

    pub fn factory(&self) -> &[u8] {
        &self.files["1.root.json"]
    }

    pub fn publish(&mut self) {
        let targets = sign_with(&self.targets, &[10]);
        let family = sign_with(&self.family, &[40, 41]);
        self.publish_bytes(&[("targets", &targets), ("shuttle", &family)], NOW + 7 * DAY, NOW + DAY);
    }

    pub fn publish_bytes(&mut self, roles: &[(&str, &[u8])], snapshot_expires: u64, timestamp_expires: u64) {
        let previous = self.snapshot.as_ref().zip(self.timestamp.as_ref());
        let published = publish(
            previous,
            roles,
            (&key(self.snapshot_key), snapshot_expires),
            (&key(self.timestamp_key), timestamp_expires),
        )
        .expect("the test's documents can be published");
        self.files.extend(published.files);
        self.snapshot = Some(published.snapshot);
        self.timestamp = Some(published.timestamp);
    }

    /// Releases a manifest of the family and publishes it.
    pub fn release(&mut self, path: &str, manifest: &[u8], custom: Value) {
        self.family = author::next(&self.family, NOW + 90 * DAY);
        self.family.targets.insert(path.into(), TargetFile::of(manifest, Some(custom)));
        self.publish();
    }

    /// Writes the next root after `change`, signed by these keys.
    pub fn rotate(&mut self, change: impl FnOnce(&mut Root), signers: &[u8]) {
        self.root = author::next(&self.root, NOW + 365 * DAY);
        change(&mut self.root);
        self.files.insert(format!("{}.root.json", self.root.header.version), sign_with(&self.root, signers));
    }

    /// Replaces one pinned document and re-pins it, as the holder of the online keys could.
    pub fn repin(&mut self, role: &str, bytes: &[u8]) {
        self.publish_bytes(&[(role, bytes)], NOW + 7 * DAY, NOW + DAY);
    }
}

/// A device: factory root, metadata directory, two floor slots.
#[derive(Clone)]
pub struct Device {
    pub factory: Vec<u8>,
    pub files: Files,
    pub slots: [Option<Vec<u8>>; 2],
    pub written: usize,
    pub log: Vec<String>,
}

impl Device {
    pub fn new(factory: &[u8]) -> Self {
        Self { factory: factory.into(), files: Files::new(), slots: [None, None], written: 0, log: Vec::new() }
    }

    pub fn floors(&self) -> Floors {
        match Floors::recover(self.slots[0].as_deref(), self.slots[1].as_deref()) {
            Recovered::Floors(floors) => floors,
            Recovered::BothLost => Floors::default(),
        }
    }

    pub fn client(&self, now: u64) -> Result<ImageClient, TrustError> {
        Ok(ImageClient::new(TrustedState::load(&self.factory, self.files.clone())?, self.floors(), now))
    }

    pub fn store(&mut self, effects: Vec<Store>) {
        for effect in effects {
            match effect {
                Store::RaiseFloors(floors) => {
                    self.log.push("floors".into());
                    self.slots[self.written % 2] = Some(floors.encode());
                    self.written += 1;
                }
                Store::PutMetadata { name, bytes } => {
                    self.log.push(format!("put {name}"));
                    self.files.insert(name, bytes);
                }
                Store::RemoveMetadata { name } => {
                    self.log.push(format!("remove {name}"));
                    self.files.remove(&name);
                }
            }
        }
    }

    /// Refreshes from a mirror's files; keeps what was stored even when the refresh fails.
    pub fn refresh(&mut self, mirror: &Files, now: u64) -> Result<ImageClient, TrustError> {
        let mut client = self.client(now)?;
        loop {
            match client.poll() {
                Request::Fetch(fetch) => {
                    self.log.push(format!("get {}", fetch.name));
                    let response = mirror.get(&fetch.name).map_or(Response::NotFound, |b| Response::Bytes(b));
                    self.store(client.feed(response));
                }
                Request::Done(()) => return Ok(client),
                Request::Failed(fault) => return Err(fault),
            }
        }
    }

    pub fn find(&mut self, mirror: &Files, now: u64, path: &str) -> Result<Option<VerifiedTarget>, TrustError> {
        let mut client = self.client(now)?;
        self.look_up(&mut client, mirror, path)
    }

    pub fn look_up(
        &mut self,
        client: &mut ImageClient,
        mirror: &Files,
        path: &str,
    ) -> Result<Option<VerifiedTarget>, TrustError> {
        loop {
            match client.find(path) {
                Request::Fetch(fetch) => {
                    self.log.push(format!("get {}", fetch.name));
                    let response = mirror.get(&fetch.name).map_or(Response::NotFound, |b| Response::Bytes(b));
                    self.store(client.feed(response));
                }
                Request::Done(target) => return Ok(target),
                Request::Failed(fault) => return Err(fault),
            }
        }
    }
}

/// Director root: keys 51, 52 (2 of 2); online key 60 for the three others.
pub fn director_root(version: u64, online: u8) -> Root {
    let online = public(&[online]);
    Root::new(
        version,
        NOW + 365 * DAY,
        &[
            ("root", &public(&[51, 52]), 2),
            ("targets", &online, 1),
            ("snapshot", &online, 1),
            ("timestamp", &online, 1),
        ],
    )
}

pub fn director_root_bytes(version: u64, online: u8) -> Vec<u8> {
    sign_with(&director_root(version, online), &[51, 52])
}

pub fn order<'a>(file: Option<&'a TargetFile>, sequence: u64) -> DirectorOrder<'a> {
    DirectorOrder {
        device: "dev-1",
        nonce: Some(NONCE),
        issued: NOW,
        expires: NOW + 7 * DAY,
        sequence,
        generation: sequence,
        assignment: file.map(|file| ("shuttle-1", file)),
        roots: &[],
    }
}

pub fn direct_bytes(order: &DirectorOrder<'_>, online: u8) -> Vec<u8> {
    direct(order, &key(online)).and_then(|bundle| bundle.encode()).expect("the test's order can be signed")
}

pub fn verify(bytes: &[u8], floors: &Floors) -> Result<VerifiedDirector, TrustError> {
    verify_director(bytes, &director_root_bytes(1, 60), "dev-1", Some(NONCE), floors, NOW)
}

/// Returns the kind of the fault; panics when there is none.
pub fn kind<T>(outcome: Result<T, TrustError>) -> &'static str {
    match outcome {
        Ok(_) => panic!("it was accepted"),
        Err(fault) => fault.kind(),
    }
}
