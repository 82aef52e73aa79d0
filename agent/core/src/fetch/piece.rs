//! One file that is fetched in chunks: what of it is missing, and what parity can make up for.
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use pinnace_protocol::ids::Digest;
use pinnace_protocol::join::{PATCHES_PATH, TARGETS_PATH};
use pinnace_protocol::manifest::Blob;
use pinnace_protocol::transfer::{Bitmap, Cuts, PatchOffer, Stripes};
use pinnace_protocol::trust::names::target_name;

use crate::api::ParityChunk;

/// A blob of the bundle, or a patch.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) digest: Digest,
    /// Where HTTP has it.
    pub(super) path: String,
    pub(super) cuts: Cuts,
    pub(super) length: u64,
    digests: Vec<Digest>,
    parity_digests: Vec<Digest>,
    stripes: Stripes,
    /// Data chunks that are not there.
    missing: BTreeSet<u64>,
    /// How many of them are in each stripe.
    missing_in: Vec<u64>,
    /// Parity chunks that are there, by stripe.
    parity: Vec<BTreeMap<u64, Vec<u8>>>,
}

/// What a chunk turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunk {
    /// Not missing: a duplicate, or of no use.
    Needless,
    /// As signed, and data.
    Data,
    /// As signed, and parity.
    Parity,
    /// Another length or digest than signed.
    Wrong,
}

impl Piece {
    pub(super) fn blob(blob: &Blob) -> Self {
        let path = format!("{TARGETS_PATH}{}", target_name(&blob.target_path(), Some(&blob.sha256.0)));
        let cuts = blob.layout();
        Self::new(blob.sha256, path, blob.length, cuts, blob.chunk_digests(), blob.parity_digests())
    }

    /// Returns a patch; `None` when the offer is not sound.
    pub(super) fn patch(offer: &PatchOffer) -> Option<Self> {
        let path = format!("{PATCHES_PATH}{}", offer.sha256);
        Some(Self::new(offer.sha256, path, offer.length, offer.cuts(), offer.chunk_digests()?, Vec::new()))
    }

    fn new(
        digest: Digest,
        path: String,
        length: u64,
        cuts: Cuts,
        digests: Vec<Digest>,
        parity_digests: Vec<Digest>,
    ) -> Self {
        let stripes = Stripes::new(cuts.count(), parity_digests.len() as u64);
        let stripe_count = usize::try_from(stripes.count()).unwrap_or(0);
        let mut piece = Self {
            digest,
            path,
            length,
            digests,
            parity_digests,
            stripes,
            missing: (0..cuts.count()).collect(),
            missing_in: vec![0; stripe_count],
            parity: vec![BTreeMap::new(); stripe_count],
            cuts,
        };
        for index in 0..piece.cuts.count() {
            if let Some(count) = piece.stripe_of(index).and_then(|at| piece.missing_in.get_mut(at)) {
                *count += 1;
            }
        }
        piece
    }

    fn stripe_of(&self, index: u64) -> Option<usize> {
        self.stripes.of(index).and_then(|stripe| usize::try_from(stripe).ok())
    }

    /// Returns whether every byte is there.
    pub(super) fn is_whole(&self) -> bool {
        self.missing.is_empty()
    }

    /// Notes a chunk as there.
    pub(super) fn is_there(&mut self, index: u64) {
        if self.missing.remove(&index)
            && let Some(at) = self.stripe_of(index)
        {
            self.missing_in[at] -= 1;
            if self.missing_in[at] == 0 {
                self.parity[at].clear();
            }
        }
    }

    /// Returns the bytes that are missing.
    pub(super) fn missing_bytes(&self) -> u64 {
        self.missing.iter().map(|index| self.cuts.len(*index)).sum()
    }

    /// Judges a chunk; `index` counts parity behind the data.
    pub(super) fn judge(&self, index: u64, bytes: &[u8]) -> Chunk {
        let data = self.cuts.count();
        let Some(at) = self.stripe_of(index) else { return Chunk::Needless };
        let (signed, length, kind) = if index < data {
            if !self.missing.contains(&index) {
                return Chunk::Needless;
            }
            (usize::try_from(index).ok().and_then(|at| self.digests.get(at)), self.cuts.len(index), Chunk::Data)
        } else {
            let is_of_use = self.missing_in[at] > self.parity[at].len() as u64;
            if !is_of_use || self.parity[at].contains_key(&index) {
                return Chunk::Needless;
            }
            let signed = usize::try_from(index - data).ok().and_then(|at| self.parity_digests.get(at));
            (signed, self.cuts.longest().next_multiple_of(2), Chunk::Parity)
        };
        if bytes.len() as u64 == length && signed == Some(&Digest::of(bytes)) { kind } else { Chunk::Wrong }
    }

    /// Keeps a parity chunk that was judged.
    pub(super) fn keep_parity(&mut self, index: u64, bytes: &[u8]) {
        if let Some(at) = self.stripe_of(index) {
            self.parity[at].insert(index, bytes.to_vec());
        }
    }

    /// Returns the bytes of all parity that is kept.
    pub(super) fn parity_bytes(&self) -> usize {
        self.parity.iter().flat_map(BTreeMap::values).map(Vec::len).sum()
    }

    fn can_be_made(&self, at: usize) -> bool {
        self.missing_in[at] > 0 && self.missing_in[at] <= self.parity[at].len() as u64
    }

    /// Returns a stripe whose missing chunks can be made of what is there, and takes its parity out.
    pub(super) fn take_restorable(&mut self) -> Option<(u64, Vec<ParityChunk>)> {
        let at = (0..self.missing_in.len()).find(|at| self.can_be_made(*at))?;
        let parity = core::mem::take(&mut self.parity[at]);
        Some((at as u64, parity.into_iter().map(|(index, bytes)| ParityChunk { index, bytes }).collect()))
    }

    /// Returns how many missing chunks cannot be made of others.
    pub(super) fn wanted_count(&self) -> u64 {
        (0..self.missing_in.len()).filter(|at| !self.can_be_made(*at)).map(|at| self.missing_in[at]).sum()
    }

    /// Returns the missing chunks that cannot be made of others, lowest first.
    pub(super) fn wanted(&self) -> impl Iterator<Item = u64> + '_ {
        self.missing.iter().copied().filter(|index| self.stripe_of(*index).is_some_and(|at| !self.can_be_made(at)))
    }

    /// Returns the chunks of [`Piece::wanted`] as a set for the wire.
    pub(super) fn wanted_map(&self) -> Bitmap {
        Bitmap::of(self.wanted())
    }

    /// Returns whether a data chunk is missing.
    pub(super) fn is_missing(&self, index: u64) -> bool {
        self.missing.contains(&index)
    }
}

/// A patch that is fetched into memory.
#[derive(Debug)]
pub(super) struct PatchFetch {
    pub(super) piece: Piece,
    pub(super) offer: PatchOffer,
    /// Where the old blob is.
    pub(super) base: crate::api::SlotName,
    pub(super) bytes: Vec<u8>,
}
