//! What survives a power cut, and how the shell reads it.
use std::collections::BTreeMap;

use pinnace_agent_core::{Key, SlotName, Stored};
use pinnace_protocol::cbor;
use pinnace_protocol::ids::{BundleRef, Digest, Family, RolloutId};
use pinnace_protocol::manifest::Manifest;
use pinnace_protocol::trust::{Floors, Recovered, Released, VerifiedBundle};
use serde::Deserialize;

/// A slot's content.
#[derive(Clone, Default)]
pub struct SlotDisk {
    pub manifest: Vec<u8>,
    pub blobs: BTreeMap<Digest, Vec<u8>>,
    pub sealed: bool,
}

/// What survives a power cut.
#[derive(Clone, Default)]
pub struct Disk {
    pub floors: [Option<Vec<u8>>; 2],
    pub pointers: [Option<Vec<u8>>; 2],
    pub records: BTreeMap<Key, Vec<u8>>,
    pub slots: BTreeMap<SlotName, SlotDisk>,
    pub factory: Option<Vec<u8>>,
}

/// The pointers record as the core writes it; fields in the same order.
#[derive(Deserialize)]
pub struct Pointers {
    _format: u8,
    _generation: u64,
    _releases: BTreeMap<Family, u64>,
    pub active: Option<Pointer>,
    pub fallback: Option<Pointer>,
}

#[derive(Deserialize)]
pub struct Pointer {
    pub slot: SlotName,
    #[serde(with = "serde_bytes")]
    pub released: Vec<u8>,
    _bundle: BundleRef,
    _manifest: Digest,
    _counter: u64,
    _generation: u64,
    _rollout: Option<RolloutId>,
}

impl Disk {
    pub fn pointers(&self) -> Option<Pointers> {
        // The first slot is written first; a damaged one does not decode.
        let body = |bytes: &'_ Vec<u8>| {
            let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
            (Digest::of(body).0[..] == *sum).then(|| cbor::decode(body, 1 << 20).ok())?
        };
        self.pointers.iter().flatten().find_map(body)
    }

    pub fn floors(&self) -> Floors {
        match Floors::recover(self.floors[0].as_deref(), self.floors[1].as_deref()) {
            Recovered::Floors(floors) => floors,
            Recovered::BothLost => Floors::default(),
        }
    }

    pub fn stored(&self) -> Stored {
        Stored {
            floors: self.floors.clone(),
            pointers: self.pointers.clone(),
            records: self.records.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            factory: self.factory.clone(),
        }
    }
}

impl SlotDisk {
    pub fn present(&self) -> Vec<(Digest, u64)> {
        let manifest = Manifest::parse(&self.manifest).unwrap();
        let mut present = Vec::new();
        for blob in &manifest.blobs {
            for (index, (piece, digest)) in
                blob.layout().pieces(&self.blobs[&blob.sha256]).zip(blob.chunk_digests()).enumerate()
            {
                if Digest::of(piece) == digest {
                    present.push((blob.sha256, index as u64));
                }
            }
        }
        present
    }
}

impl Disk {
    /// Verifies a slot as the shell does before an engine sees it.
    pub fn bundle(&self, slot: SlotName, released: &[u8]) -> Result<VerifiedBundle, String> {
        let disk = self.slots.get(&slot).filter(|s| s.sealed).ok_or("the slot is empty or not sealed")?;
        let released = Released::from_ledger(released).map_err(|e| e.to_string())?;
        let manifest = released.open_manifest(&disk.manifest).map_err(|e| e.to_string())?;
        let parsed = Manifest::parse(manifest.bytes()).map_err(|e| e.to_string())?;
        let listed: Vec<_> = parsed.blobs.iter().map(|b| (b.sha256.0, b.length)).collect();
        let blobs = disk.blobs.iter().map(|(d, b)| (d.0, b.clone())).collect();
        VerifiedBundle::seal(manifest, &listed, blobs).map_err(|e| e.to_string())
    }
}
