//! The bytes of the candidate's blobs: patches first, then what others are sent too, then alone over MQTT, then over HTTP.
//! Nothing unverified reaches the disk.
//!
//! One file, one role: `piece` what is missing of one file, `pace` how much is asked for at once, this one the order of
//! things, `incoming` what comes.
mod incoming;
mod pace;
mod piece;

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use pinnace_protocol::ids::Digest;
use pinnace_protocol::limits::{PATCH_OFFERS_MAX, WANT_MAX_CHUNKS};
use pinnace_protocol::manifest::Manifest;
use pinnace_protocol::message::{FailCode, Failure, WantBody};
use pinnace_protocol::time::Mono;
use pinnace_protocol::transfer::PatchOffer;

use crate::Agent;
use crate::api::{Effect, FetchError, Job, Level, SlotName};
use crate::limits::{
    LISTEN_JITTER_MS, LISTEN_MIN_CHUNKS, LISTEN_ROUNDS_MAX, RANGE_MAX_CHUNKS, SLOT_WORK_MAX_MS, STALLS_MAX, STRIKES_MAX,
};
use crate::turn::Turn;
use crate::work::{Asked, Source, Work};

use pace::Pace;
pub(crate) use pace::answer_ms;
use piece::{PatchFetch, Piece};

/// Which file something is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Blob(usize),
    Patch(usize),
}

/// Where the device stands with what the plane publishes to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// Listens, and will say what it misses.
    Jitter,
    /// Has said what it misses; so many chunks came since.
    Open { came: u64 },
    /// What is missing is asked for alone.
    Over,
}

/// Why a source is left.
enum Fault {
    /// Wrong or missing bytes, several times.
    Wrong(Digest),
    /// No progress, or no answer.
    Silent,
    /// An answer that is none.
    Answer(FetchError),
}

/// A download in progress.
#[derive(Debug)]
pub(crate) struct Fetch {
    job: Job,
    slot: SlotName,
    blobs: Vec<Piece>,
    patches: Vec<PatchFetch>,
    source: Source,
    /// Sources that failed in this attempt: MQTT, HTTP.
    spent: [bool; 2],
    /// What was asked for and has not come.
    wanted: (Which, BTreeSet<u64>),
    /// First chunk of the range that was asked for over HTTP.
    range_from: u64,
    pub(crate) asked: Asked,
    strikes: u32,
    pace: Pace,
    round: Round,
    rounds: u32,
}

impl Fetch {
    fn new(job: Job, slot: SlotName, manifest: &Manifest, present: &[(Digest, u64)], source: Source) -> Self {
        let mut blobs: Vec<Piece> = Vec::with_capacity(manifest.blobs.len());
        for b in &manifest.blobs {
            // Two names for the same content are one file.
            if blobs.iter().all(|known| known.digest != b.sha256) {
                blobs.push(Piece::blob(b));
            }
        }
        let mut fetch = Self {
            job,
            slot,
            blobs,
            patches: Vec::new(),
            source,
            spent: [false; 2],
            wanted: (Which::Blob(0), BTreeSet::new()),
            range_from: 0,
            asked: Asked::Later { at: Mono(0) },
            strikes: 0,
            pace: Pace::new(source),
            round: Round::Jitter,
            rounds: 0,
        };
        fetch.fill(present);
        fetch
    }

    pub(crate) fn job(&self) -> Job {
        self.job
    }

    /// Notes chunks that are on disk.
    fn fill(&mut self, present: &[(Digest, u64)]) {
        for (digest, index) in present {
            if let Some(blob) = self.blobs.iter_mut().find(|b| b.digest == *digest) {
                blob.is_there(*index);
            }
        }
    }

    fn piece(&self, which: Which) -> &Piece {
        match which {
            Which::Blob(at) => &self.blobs[at],
            Which::Patch(at) => &self.patches[at].piece,
        }
    }

    fn progress_ppm(&self) -> u32 {
        let total: u64 = self.blobs.iter().map(|b| b.length).sum();
        let missing: u64 = self.blobs.iter().map(Piece::missing_bytes).sum();
        let ppm = u128::from(total - missing) * 1_000_000 / u128::from(total.max(1));
        u32::try_from(ppm).unwrap_or(1_000_000)
    }

    fn use_source(&mut self, source: Source) {
        (self.source, self.strikes, self.pace) = (source, 0, Pace::new(source));
    }

    /// Returns the blobs of which enough is missing that others will be sent it too.
    fn worth_listening(&self) -> Vec<Digest> {
        self.blobs.iter().filter(|b| b.wanted_count() >= LISTEN_MIN_CHUNKS).map(|b| b.digest).collect()
    }
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
        let mut fetch = Fetch::new(job, slot, manifest, present, source);
        let offers = self.state.candidate.as_ref().map(|c| c.patches.clone()).unwrap_or_default();
        for offer in offers.into_iter().take(PATCH_OFFERS_MAX) {
            // One for each blob: they are held in memory.
            let is_first = fetch.patches.iter().all(|known| known.offer.to != offer.to);
            fetch.patches.extend(self.patch(&fetch, offer).filter(|_| is_first));
        }
        self.next_chunks(turn, Box::new(fetch));
    }

    /// Returns a patch that can be used: its base is here, and less is fetched with it than without.
    fn patch(&self, fetch: &Fetch, offer: PatchOffer) -> Option<PatchFetch> {
        let to = fetch.blobs.iter().find(|b| b.digest == offer.to)?;
        // Old and new blob and the patch are in memory together.
        let memory = to.length.saturating_mul(2).saturating_add(offer.length);
        if offer.length >= to.missing_bytes() || memory > u64::from(self.config.memory_mib) << 20 {
            return None;
        }
        let held = [&self.state.active, &self.state.fallback].into_iter().flatten();
        let base = held.into_iter().find(|held| held.manifest == offer.base)?.slot;
        let piece = Piece::patch(&offer)?;
        let bytes = vec![0; usize::try_from(offer.length).ok()?];
        Some(PatchFetch { piece, offer, base, bytes })
    }

    /// Asks for the next missing chunks, or seals the slot when there are none.
    fn next_chunks(&mut self, turn: &mut Turn, mut fetch: Box<Fetch>) {
        self.reporter.progress_ppm = fetch.progress_ppm();
        let Some(at) = fetch.blobs.iter().position(|b| !b.is_whole()) else {
            return self.seal(turn, fetch.slot);
        };
        let blob = fetch.blobs[at].digest;
        // Broadcasts may have brought most of it meanwhile.
        let missing = fetch.blobs[at].missing_bytes();
        fetch.patches.retain(|p| p.offer.to != blob || p.piece.missing_bytes() < missing);
        if let Some(patch) = fetch.patches.iter().position(|p| p.offer.to == blob) {
            if fetch.patches[patch].piece.is_whole() {
                let patch = fetch.patches.remove(patch);
                return self.apply_patch(turn, fetch, patch);
            }
            return self.ask_alone(turn, fetch, Which::Patch(patch));
        }
        if fetch.blobs[at].wanted_count() == 0
            && let Some((stripe, parity)) = fetch.blobs[at].take_restorable()
        {
            let (job, slot) = (self.new_job(), fetch.slot);
            turn.effect(Effect::Restore { job, slot, blob, stripe, parity });
            return self.wait_for_disk(turn, fetch, job);
        }
        let is_shared = fetch.source == Source::Mqtt && fetch.blobs[at].wanted_count() >= LISTEN_MIN_CHUNKS;
        match fetch.round {
            Round::Jitter if is_shared => self.listen(turn, fetch),
            Round::Open { .. } if is_shared => self.say_missing(turn, fetch, at),
            _ => self.ask_alone(turn, fetch, Which::Blob(at)),
        }
    }

    fn apply_patch(&mut self, turn: &mut Turn, fetch: Box<Fetch>, patch: PatchFetch) {
        let (job, slot) = (self.new_job(), fetch.slot);
        let PatchFetch { offer, base, bytes, .. } = patch;
        turn.effect(Effect::Patch { job, slot, blob: offer.to, base, from: offer.from, patch: bytes });
        self.wait_for_disk(turn, fetch, job);
    }

    fn wait_for_disk(&mut self, turn: &Turn, mut fetch: Box<Fetch>, job: Job) {
        fetch.asked = Asked::Disk { job, until: turn.mono().plus_ms(SLOT_WORK_MAX_MS) };
        self.work = Work::Fetching(fetch);
    }

    /// Listens to what others are sent; says what is missing a little later, so that a fleet does not speak at once.
    fn listen(&mut self, turn: &mut Turn, mut fetch: Box<Fetch>) {
        turn.effect(Effect::Listen { blobs: fetch.worth_listening() });
        self.listening = true;
        fetch.round = Round::Open { came: 0 };
        let wait = self.jitter.backoff_ms(LISTEN_JITTER_MS, 0, LISTEN_JITTER_MS);
        fetch.asked = Asked::Later { at: turn.mono().plus_ms(wait) };
        self.work = Work::Fetching(fetch);
    }

    fn say_missing(&mut self, turn: &mut Turn, mut fetch: Box<Fetch>, at: usize) {
        let blob = &fetch.blobs[at];
        let body = WantBody::Missing { blob: blob.digest, missing: blob.wanted_map() };
        self.want(turn, body);
        fetch.rounds += 1;
        fetch.round = Round::Open { came: 0 };
        fetch.wanted = (Which::Blob(at), BTreeSet::new());
        fetch.asked = Asked::Round { until: turn.mono().plus_ms(self.config.intervals.progress_ms) };
        self.work = Work::Fetching(fetch);
    }

    /// Nothing more is published to all, or nothing came for a while: again if it helped, else alone.
    fn round_over(&mut self, turn: &mut Turn, mut fetch: Box<Fetch>) {
        let helped = matches!(fetch.round, Round::Open { came } if came > 0);
        fetch.round = if helped && fetch.rounds < LISTEN_ROUNDS_MAX { Round::Jitter } else { Round::Over };
        self.next_chunks(turn, fetch);
    }

    /// Asks for missing chunks of one file, for this device alone.
    fn ask_alone(&mut self, turn: &mut Turn, mut fetch: Box<Fetch>, which: Which) {
        let (now, progress_ms) = (turn.mono(), self.config.intervals.progress_ms);
        let max = match fetch.source {
            Source::Mqtt => WANT_MAX_CHUNKS as u64,
            Source::Http => RANGE_MAX_CHUNKS,
        };
        let window = fetch.pace.window(now, max);
        let piece = fetch.piece(which);
        let mut wanted: BTreeSet<u64> = piece.wanted().take(usize::try_from(window).unwrap_or(1)).collect();
        fetch.asked = match fetch.source {
            Source::Mqtt => {
                let body = WantBody::Chunks { blob: piece.digest, indices: wanted.iter().copied().collect() };
                self.want(turn, body);
                Asked::Mqtt { until: now.plus_ms(fetch.pace.patience_ms(progress_ms)) }
            }
            Source::Http => {
                let first = wanted.first().copied().unwrap_or(0);
                wanted = (first..).zip(&wanted).take_while(|(run, index)| run == *index).map(|(run, _)| run).collect();
                let start = piece.cuts.range(first).map_or(0, |(start, _)| start);
                let length: u64 = wanted.iter().map(|i| piece.cuts.len(*i)).sum();
                let (id, path) = (self.new_http(), piece.path.clone());
                turn.effect(Effect::HttpGet { id, path, range: Some((start, length)), max: length });
                fetch.range_from = first;
                Asked::Http { id, until: now.plus_ms(answer_ms(length, progress_ms)) }
            }
        };
        fetch.wanted = (which, wanted);
        self.work = Work::Fetching(fetch);
    }

    /// Leaves the present source for the other one; when both have failed, the attempt has.
    fn next_source(&mut self, turn: &mut Turn, mut fetch: Box<Fetch>, fault: Fault) {
        let (at, other) = match fetch.source {
            Source::Mqtt => (0, Source::Http),
            Source::Http => (1, Source::Mqtt),
        };
        fetch.spent[at] = true;
        let is_patch = matches!(fetch.wanted.0, Which::Patch(_));
        let is_nowhere = is_patch && matches!(fault, Fault::Answer(FetchError::NotFound));
        let is_usable = !fetch.spent[1 - at] && (other == Source::Http || self.link.up);
        if is_usable && !is_nowhere {
            let why: String = match &fault {
                Fault::Wrong(_) => "wrong or missing bytes".into(),
                Fault::Silent => "no progress".into(),
                Fault::Answer(e) => format!("{e:?}"),
            };
            turn.log(Level::Warn, format!("{}: {why}; {} is asked for the rest", fetch.source.name(), other.name()));
            fetch.use_source(other);
            return self.next_chunks(turn, fetch);
        }
        if let Which::Patch(patch) = fetch.wanted.0 {
            // A short cut that leads nowhere is no fault of the bundle, nor of a source.
            fetch.patches.remove(patch);
            fetch.spent = [false; 2];
            fetch.use_source(if self.link.up { Source::Mqtt } else { Source::Http });
            turn.log(Level::Warn, "a patch cannot be fetched: the whole is");
            return self.next_chunks(turn, fetch);
        }
        let what = format!("blob {}", fetch.piece(fetch.wanted.0).digest.short());
        self.work = Work::Idle;
        match fault {
            Fault::Wrong(blob) => {
                let text = format!("blob {} came with wrong or missing bytes from every source", blob.short());
                self.attempt_failed(turn, Failure { code: FailCode::Integrity, text });
            }
            Fault::Silent => self.http_failed(turn, &what, &FetchError::Network("no answer in time".into())),
            Fault::Answer(e) => self.http_failed(turn, &what, &e),
        }
    }

    /// Time is up for what was asked.
    pub(crate) fn fetch_late(&mut self, turn: &mut Turn, mut fetch: Box<Fetch>) {
        match fetch.asked {
            Asked::Later { .. } => self.next_chunks(turn, fetch),
            Asked::Round { .. } => self.round_over(turn, fetch),
            Asked::Mqtt { .. } => {
                if fetch.pace.stalled() >= STALLS_MAX || !self.link.up {
                    return self.next_source(turn, fetch, Fault::Silent);
                }
                self.next_chunks(turn, fetch);
            }
            Asked::Http { .. } => self.next_source(turn, fetch, Fault::Silent),
            Asked::Disk { .. } => {
                let text = "the slot gave no answer in time".into();
                self.attempt_failed(turn, Failure { code: FailCode::DiskFull, text });
            }
        }
    }

    /// The link is gone: what was asked over it is asked over HTTP.
    pub(crate) fn fetch_link_down(&mut self, turn: &mut Turn) {
        let is_waiting = |f: &Fetch| f.source == Source::Mqtt && !matches!(f.asked, Asked::Disk { .. });
        let Some(mut fetch) = self.take_fetch(is_waiting) else { return };
        if fetch.spent[1] {
            return self.next_source(turn, fetch, Fault::Silent);
        }
        fetch.use_source(Source::Http);
        self.next_chunks(turn, fetch);
    }

    /// Counts a wrong answer; leaves the source after several.
    fn strike(&mut self, turn: &mut Turn, mut fetch: Box<Fetch>, blob: Digest) {
        fetch.strikes += 1;
        if fetch.strikes >= STRIKES_MAX {
            return self.next_source(turn, fetch, Fault::Wrong(blob));
        }
        self.next_chunks(turn, fetch);
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

    /// Stops listening when nothing is fetched that others are sent too.
    pub(crate) fn listen_no_longer(&mut self, turn: &mut Turn) {
        if self.listening && !matches!(self.work, Work::Fetching(_)) {
            self.listening = false;
            turn.effect(Effect::Listen { blobs: Vec::new() });
        }
    }
}
