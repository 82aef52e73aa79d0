//! What comes while a bundle is fetched: chunks by MQTT and HTTP, and word from the disk.
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use pinnace_protocol::ids::Digest;

use super::piece::{Chunk, Piece};
use super::{Fault, Fetch, Round, Which};
use crate::Agent;
use crate::api::{Effect, FetchError, HttpId, Job, Level};
use crate::limits::{PARITY_HELD_MAX_BYTES, RETRY_AFTER_MAX_S};
use crate::turn::Turn;
use crate::work::{Asked, Source, Work};

impl Fetch {
    fn find(&self, digest: &Digest) -> Option<Which> {
        let blob = self.blobs.iter().position(|b| b.digest == *digest).map(Which::Blob);
        blob.or_else(|| self.patches.iter().position(|p| p.piece.digest == *digest).map(Which::Patch))
    }

    /// Checks one chunk and hands it to the disk, or keeps it in memory.
    fn take(&mut self, turn: &mut Turn, digest: &Digest, index: u64, bytes: &[u8]) -> Chunk {
        let Some(which) = self.find(digest) else { return Chunk::Needless };
        let chunk = self.piece(which).judge(index, bytes);
        match (chunk, which) {
            (Chunk::Needless, _) => return chunk,
            (Chunk::Wrong, _) => {
                let text = format!("chunk {index} of {} is not what was signed: refused", digest.short());
                turn.log(Level::Error, text);
                return chunk;
            }
            (Chunk::Data, Which::Blob(at)) => {
                let blob = &mut self.blobs[at];
                blob.is_there(index);
                let (job, slot, offset) = (self.job, self.slot, blob.cuts.range(index).map_or(0, |(start, _)| start));
                turn.effect(Effect::WriteChunk { job, slot, blob: *digest, index, offset, bytes: bytes.to_vec() });
            }
            (Chunk::Data, Which::Patch(at)) => {
                let patch = &mut self.patches[at];
                let start = patch.piece.cuts.range(index).and_then(|(start, _)| usize::try_from(start).ok());
                // Judged: offset and length are those of the plan, and the buffer has its length.
                let place = start.and_then(|start| patch.bytes.get_mut(start..start + bytes.len()));
                if let Some(place) = place {
                    place.copy_from_slice(bytes);
                    patch.piece.is_there(index);
                }
            }
            (Chunk::Parity, Which::Blob(at)) => {
                let held: usize = self.blobs.iter().map(Piece::parity_bytes).sum();
                if held + bytes.len() > PARITY_HELD_MAX_BYTES {
                    return Chunk::Needless;
                }
                self.blobs[at].keep_parity(index, bytes);
            }
            // A patch has no parity.
            (Chunk::Parity, Which::Patch(_)) => return Chunk::Needless,
        }
        if self.wanted.0 == which {
            self.wanted.1.remove(&index);
        }
        self.pace.progressed();
        chunk
    }
}

impl Agent {
    /// Takes a chunk that came over MQTT, asked for or published to all.
    pub(crate) fn chunk_by_mqtt(&mut self, turn: &mut Turn, digest: &Digest, index: u64, bytes: &[u8]) {
        let Some(mut fetch) = self.take_fetch(|_| true) else { return };
        let (now, progress_ms) = (turn.mono(), self.config.intervals.progress_ms);
        match (fetch.take(turn, digest, index, bytes), fetch.asked) {
            (Chunk::Wrong, Asked::Mqtt { .. } | Asked::Round { .. }) => return self.strike(turn, fetch, *digest),
            (Chunk::Data | Chunk::Parity, Asked::Mqtt { .. }) => {
                if fetch.wanted.1.is_empty() {
                    fetch.pace.answered(now);
                    return self.next_chunks(turn, fetch);
                }
                fetch.asked = Asked::Mqtt { until: now.plus_ms(fetch.pace.patience_ms(progress_ms)) };
            }
            (Chunk::Data | Chunk::Parity, Asked::Round { .. }) => {
                if let Round::Open { came } = &mut fetch.round {
                    *came += 1;
                }
                if fetch.piece(fetch.wanted.0).wanted_count() == 0 {
                    // The next file has a round of its own.
                    (fetch.round, fetch.rounds) = (Round::Jitter, 0);
                    return self.next_chunks(turn, fetch);
                }
                fetch.asked = Asked::Round { until: now.plus_ms(progress_ms) };
            }
            // An HTTP request or work on the disk is under way; what it brings twice is needless then.
            _ => {}
        }
        self.reporter.progress_ppm = fetch.progress_ppm();
        self.work = Work::Fetching(fetch);
    }

    /// The plane has published what several devices missed of a blob.
    pub(crate) fn round_ended(&mut self, turn: &mut Turn, blob: &Digest) {
        let is_it = |f: &Fetch| matches!(f.asked, Asked::Round { .. }) && f.piece(f.wanted.0).digest == *blob;
        if let Some(fetch) = self.take_fetch(is_it) {
            self.round_over(turn, fetch);
        }
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
            Err(e) => return self.next_source(turn, fetch, Fault::Answer(e.clone())),
        };
        self.take_range(turn, fetch, bytes);
    }

    fn take_range(&mut self, turn: &mut Turn, mut fetch: Box<Fetch>, bytes: &[u8]) {
        let (which, asked) = (fetch.wanted.0, core::mem::take(&mut fetch.wanted.1));
        let digest = fetch.piece(which).digest;
        let (mut rest, mut wrong) = (bytes, false);
        // Chunks that came by broadcast meanwhile are still part of the range, so it is counted from its start.
        for index in fetch.range_from.. {
            let length = usize::try_from(fetch.piece(which).cuts.len(index)).unwrap_or(0);
            let Some((chunk, after)) = rest.split_at_checked(length).filter(|_| length > 0) else { break };
            wrong |= fetch.take(turn, &digest, index, chunk) == Chunk::Wrong;
            rest = after;
        }
        let short = asked.iter().any(|index| fetch.piece(which).is_missing(*index));
        if wrong || short {
            return self.strike(turn, fetch, digest);
        }
        fetch.pace.answered(turn.mono());
        self.next_chunks(turn, fetch);
    }

    /// Chunks were made on disk, of a patch or of parity; or they were not, and are fetched.
    pub(crate) fn filled(&mut self, turn: &mut Turn, job: Job, result: &Result<&[(Digest, u64)], String>) {
        let is_it = |f: &Fetch| matches!(f.asked, Asked::Disk { job: mine, .. } if mine == job);
        let Some(mut fetch) = self.take_fetch(is_it) else { return };
        match result {
            Ok(present) => fetch.fill(present),
            Err(why) => turn.log(Level::Warn, format!("a short cut led nowhere, the rest is fetched: {why}")),
        }
        if fetch.source == Source::Mqtt && !self.link.up {
            fetch.use_source(Source::Http);
        }
        self.next_chunks(turn, fetch);
    }
}
