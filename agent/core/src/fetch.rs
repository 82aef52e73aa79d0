//! Chunks of the candidate's blobs: by MQTT, the rest by HTTP ranges; nothing unverified reaches the disk.
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

use pinnace_protocol::ids::Digest;
use pinnace_protocol::join::TARGETS_PATH;
use pinnace_protocol::limits::WANT_MAX_CHUNKS;
use pinnace_protocol::manifest::Manifest;
use pinnace_protocol::message::{FailCode, Failure, WantBody};
use pinnace_protocol::time::Mono;
use pinnace_protocol::trust::names::target_name;

use crate::Agent;
use crate::api::{Effect, FetchError, HttpId, Job, Level, SlotName};
use crate::limits::{RANGE_MAX_CHUNKS, RETRY_AFTER_MAX_S, STALLS_MAX, STRIKES_MAX};
use crate::turn::Turn;
use crate::work::{Asked, Source, Work};

/// A download in progress.
#[derive(Debug)]
pub(crate) struct Fetch {
    job: Job,
    slot: SlotName,
    blobs: Vec<BlobFetch>,
    source: Source,
    /// Index of the blob and of its chunks that were asked for and have not come.
    wanted: (usize, BTreeSet<u64>),
    /// First chunk of the range that was asked for over HTTP.
    range_from: u64,
    pub(crate) asked: Asked,
    stalls: u32,
    strikes: u32,
}

#[derive(Debug)]
struct BlobFetch {
    digest: Digest,
    path: alloc::string::String,
    length: u64,
    chunk: u64,
    digests: Vec<Digest>,
    missing: BTreeSet<u64>,
}

impl BlobFetch {
    fn chunk_len(&self, index: u64) -> u64 {
        self.length.saturating_sub(index.saturating_mul(self.chunk)).min(self.chunk)
    }
}

impl Fetch {
    fn new(job: Job, slot: SlotName, manifest: &Manifest, present: &[(Digest, u64)], source: Source) -> Self {
        let mut blobs: Vec<BlobFetch> = Vec::with_capacity(manifest.blobs.len());
        for b in &manifest.blobs {
            // Two names for the same content are one file.
            if blobs.iter().all(|known| known.digest != b.sha256) {
                blobs.push(BlobFetch {
                    digest: b.sha256,
                    path: format!("{TARGETS_PATH}{}", target_name(&b.target_path(), Some(&b.sha256.0))),
                    length: b.length,
                    chunk: b.chunk,
                    digests: b.chunk_digests(),
                    missing: (0..b.chunk_count()).collect(),
                });
            }
        }
        for (digest, index) in present {
            if let Some(blob) = blobs.iter_mut().find(|b| b.digest == *digest) {
                blob.missing.remove(index);
            }
        }
        let (wanted, asked) = ((0, BTreeSet::new()), Asked::Later { at: Mono(0) });
        Self { job, slot, blobs, source, wanted, range_from: 0, asked, stalls: 0, strikes: 0 }
    }

    pub(crate) fn job(&self) -> Job {
        self.job
    }

    fn progress_ppm(&self) -> u32 {
        let total: u64 = self.blobs.iter().map(|b| b.length).sum();
        let missing: u64 = self.blobs.iter().map(|b| b.missing.iter().map(|i| b.chunk_len(*i)).sum::<u64>()).sum();
        let ppm = u128::from(total - missing) * 1_000_000 / u128::from(total.max(1));
        u32::try_from(ppm).unwrap_or(1_000_000)
    }

    /// Says whether another source should be asked after a wrong chunk.
    fn strike(&mut self) -> bool {
        self.strikes += 1;
        self.strikes >= STRIKES_MAX
    }

    fn use_http(&mut self) {
        (self.source, self.strikes, self.stalls) = (Source::Http, 0, 0);
    }
}

/// What a chunk turned out to be.
enum Chunk {
    /// Not missing: a duplicate, or not ours.
    Needless,
    /// Right, and on its way to the disk.
    Taken,
    /// Another length or digest than signed.
    Wrong,
}

impl Agent {
    /// Begins to fetch what is not on disk yet.
    pub(crate) fn fetch(
        &mut self,
        turn: &mut Turn,
        job: Job,
        slot: SlotName,
        manifest: &Manifest,
        present: &[(Digest, u64)],
    ) {
        let source = if self.link.up { Source::Mqtt } else { Source::Http };
        let fetch = Fetch::new(job, slot, manifest, present, source);
        self.next_chunks(turn, Box::new(fetch));
    }

    /// Asks for the next missing chunks, or seals the slot when there are none.
    fn next_chunks(&mut self, turn: &mut Turn, mut fetch: Box<Fetch>) {
        self.reporter.progress_ppm = fetch.progress_ppm();
        let Some(at) = fetch.blobs.iter().position(|b| !b.missing.is_empty()) else {
            return self.seal(turn, fetch.slot);
        };
        let blob = &fetch.blobs[at];
        let until = turn.mono().plus_ms(self.config.intervals.progress_ms);
        let wanted: BTreeSet<u64> = match fetch.source {
            Source::Mqtt => {
                let wanted: BTreeSet<u64> = blob.missing.iter().take(WANT_MAX_CHUNKS).copied().collect();
                self.want(turn, WantBody::Chunks { blob: blob.digest, indices: wanted.iter().copied().collect() });
                fetch.asked = Asked::Mqtt { until };
                wanted
            }
            Source::Http => {
                let first = blob.missing.first().copied().unwrap_or(0);
                let run = (first..first.saturating_add(RANGE_MAX_CHUNKS)).take_while(|i| blob.missing.contains(i));
                let wanted: BTreeSet<u64> = run.collect();
                let length: u64 = wanted.iter().map(|i| blob.chunk_len(*i)).sum();
                let (id, path) = (self.new_http(), blob.path.clone());
                turn.effect(Effect::HttpGet { id, path, range: Some((first * blob.chunk, length)), max: length });
                fetch.asked = Asked::Http { id, until };
                fetch.range_from = first;
                wanted
            }
        };
        fetch.wanted = (at, wanted);
        self.work = Work::Fetching(fetch);
    }

    /// Checks one chunk and hands it to the disk.
    fn take_chunk(turn: &mut Turn, fetch: &mut Fetch, digest: &Digest, index: u64, bytes: &[u8]) -> Chunk {
        let (job, slot) = (fetch.job, fetch.slot);
        let Some(blob) = fetch.blobs.iter_mut().find(|b| b.digest == *digest) else { return Chunk::Needless };
        if !blob.missing.contains(&index) {
            return Chunk::Needless;
        }
        let signed = usize::try_from(index).ok().and_then(|at| blob.digests.get(at));
        if bytes.len() as u64 != blob.chunk_len(index) || signed != Some(&Digest::of(bytes)) {
            turn.log(
                Level::Error,
                format!("chunk {index} of blob {} is not what was signed: refused", blob.digest.short()),
            );
            return Chunk::Wrong;
        }
        blob.missing.remove(&index);
        fetch.wanted.1.remove(&index);
        fetch.stalls = 0;
        let offset = index * blob.chunk;
        turn.effect(Effect::WriteChunk { job, slot, blob: *digest, index, offset, bytes: bytes.to_vec() });
        Chunk::Taken
    }

    fn take_fetch(&mut self, is_wanted: impl Fn(&Fetch) -> bool) -> Option<Box<Fetch>> {
        match core::mem::replace(&mut self.work, Work::Idle) {
            Work::Fetching(fetch) if is_wanted(&fetch) => Some(fetch),
            other => {
                self.work = other;
                None
            }
        }
    }

    /// Takes a chunk that came over MQTT, asked for or broadcast.
    pub(crate) fn chunk_by_mqtt(&mut self, turn: &mut Turn, digest: &Digest, index: u64, bytes: &[u8]) {
        let Some(mut fetch) = self.take_fetch(|_| true) else { return };
        match Self::take_chunk(turn, &mut fetch, digest, index, bytes) {
            Chunk::Taken if fetch.source == Source::Mqtt => {
                if fetch.wanted.1.is_empty() {
                    return self.next_chunks(turn, fetch);
                }
                fetch.asked = Asked::Mqtt { until: turn.mono().plus_ms(self.config.intervals.progress_ms) };
            }
            Chunk::Wrong if fetch.source == Source::Mqtt => {
                if fetch.strike() {
                    turn.log(Level::Warn, "too many wrong chunks over MQTT: HTTP is asked for the rest");
                    fetch.use_http();
                }
                return self.next_chunks(turn, fetch);
            }
            // An HTTP request is under way; what it brings twice is needless then.
            Chunk::Taken | Chunk::Wrong | Chunk::Needless => {}
        }
        self.reporter.progress_ppm = fetch.progress_ppm();
        self.work = Work::Fetching(fetch);
    }

    /// Takes the answer to a range request.
    pub(crate) fn chunks_by_http(&mut self, turn: &mut Turn, id: HttpId, result: &Result<&[u8], FetchError>) {
        let Some(mut fetch) = self.take_fetch(|f| f.asked.is_http(id)) else { return };
        let bytes = match result {
            Ok(bytes) => *bytes,
            Err(FetchError::Busy { retry_after_s }) => {
                let wait = u64::from((*retry_after_s).clamp(1, RETRY_AFTER_MAX_S)) * 1000;
                fetch.asked = Asked::Later { at: turn.mono().plus_ms(wait) };
                self.work = Work::Fetching(fetch);
                return;
            }
            Err(e) => {
                let what = format!("blob {}", fetch.blobs[fetch.wanted.0].digest.short());
                return self.http_failed(turn, &what, e);
            }
        };
        let (at, wanted) = (fetch.wanted.0, core::mem::take(&mut fetch.wanted.1));
        let (digest, chunk) = (fetch.blobs[at].digest, fetch.blobs[at].chunk);
        let mut wrong = false;
        // Chunks that came by broadcast meanwhile are still part of the range, so it is counted from its start.
        for (index, piece) in (fetch.range_from..).zip(bytes.chunks(chunk as usize)) {
            wrong |= matches!(Self::take_chunk(turn, &mut fetch, &digest, index, piece), Chunk::Wrong);
        }
        let short = wanted.iter().any(|i| fetch.blobs[at].missing.contains(i));
        if (wrong || short) && fetch.strike() {
            self.work = Work::Idle;
            let text = format!("blob {} came with wrong or missing bytes from every source", digest.short());
            return self.attempt_failed(turn, Failure { code: FailCode::Integrity, text });
        }
        self.next_chunks(turn, fetch);
    }

    /// Time is up for what was asked.
    pub(crate) fn fetch_late(&mut self, turn: &mut Turn, mut fetch: Box<Fetch>) {
        match fetch.asked {
            Asked::Later { .. } => self.next_chunks(turn, fetch),
            Asked::Mqtt { .. } => {
                fetch.stalls += 1;
                if fetch.stalls >= STALLS_MAX || !self.link.up {
                    turn.log(Level::Info, "no chunk came over MQTT in time: HTTP is asked for the rest");
                    fetch.use_http();
                }
                self.next_chunks(turn, fetch);
            }
            Asked::Http { .. } => {
                let e = FetchError::Network("no answer in time".into());
                self.http_failed(turn, "blobs", &e);
            }
        }
    }

    /// The link is gone: what was asked over it is asked over HTTP.
    pub(crate) fn fetch_link_down(&mut self, turn: &mut Turn) {
        if let Some(mut fetch) = self.take_fetch(|f| f.source == Source::Mqtt) {
            fetch.use_http();
            self.next_chunks(turn, fetch);
        }
    }
}
