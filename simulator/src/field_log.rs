//! Replays an event log that an agent recorded in the field: the same judgement, turn by turn, on this machine.
//!
//! The log of each process start is fed to a fresh [`Agent`]; every step must have the digests that the device wrote.
//! When one has not, the device's judgement depends on something that is no event (or it was another version), and the
//! replay ends there with the turns before it as a story.
use std::collections::VecDeque;
use std::fmt;

use pinnace_agent_core::log::{Entry, LogError, LogReader, Start, StepDigest};
use pinnace_agent_core::{Agent, Effect, Event, Key, Op, Step, UpMessage};
use pinnace_protocol::cbor;
use pinnace_protocol::limits::PAYLOAD_MAX_BYTES;
use pinnace_protocol::message::{Frame, FrameBody, WantBody};
use pinnace_protocol::time::Now;
use pinnace_protocol::topic::Down;

use crate::Moment;

/// Bytes of a log: no agent writes more.
pub const MAX_BYTES: u64 = pinnace_agent_core::limits::EVENT_LOG_MAX_BYTES;
/// Turns of the story: enough to see what led to the last one, few enough for a screen.
const STORY_TURNS: usize = 20;
/// Effects told of one turn; a window of chunks is told by its first ones.
const EFFECTS_TOLD: usize = 6;

/// One turn in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// When, by the device's monotonic clock: milliseconds since its process started.
    pub at: Moment,
    /// The event in words.
    pub event: String,
    /// What followed, in words: the commit first.
    pub effects: Vec<String>,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.at, self.event)?;
        self.effects.iter().try_for_each(|effect| write!(f, "\n      {effect}"))
    }
}

/// The first turn whose step is another one here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which process start of the log, from 1.
    pub start: u64,
    /// Which turn of that start, from 1; 0 is the start itself.
    pub turn: u64,
    /// The event in words.
    pub event: String,
    /// What differs: the commit, the effects, or both.
    pub what: &'static str,
}

/// How a log ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With a whole turn.
    Whole,
    /// In a turn whose step is not on record: the process ended while or right after it judged this.
    InTurn(String),
    /// The file was full: the device went on without recording.
    Full,
    /// In the middle of a record.
    Torn(LogError),
}

/// What a replay found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// The device, as tenant/device.
    pub device: String,
    /// Version of the agent that recorded the last start replayed.
    pub recorded_by: String,
    /// Process starts replayed.
    pub starts: u64,
    /// Turns replayed, over all starts.
    pub turns: u64,
    /// Steps compared, the starts' own among them.
    pub compared: u64,
    /// Where it first differed.
    pub differs: Option<Difference>,
    /// How the log ends; [`End::Whole`] when the replay ended before, at a difference.
    pub end: End,
    /// The last turns, oldest first.
    pub last: Vec<Told>,
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, recorded_by, .. } = self;
        if self.starts == 0 {
            return f.write_str("nothing is on record: the agent ended before its first start was");
        }
        let (turns, starts) = (count(self.turns, "turn"), count(self.starts, "start"));
        let compared = count(self.compared, "step");
        writeln!(f, "{device}, recorded by agent {recorded_by}")?;
        for told in &self.last {
            writeln!(f, "    {told}")?;
        }
        write!(f, "  {turns} of {starts}, {compared} compared: ")?;
        match &self.differs {
            None => f.write_str("all equal")?,
            Some(d) => write!(f, "{} of turn {} of start {} differs, at: {}", d.what, d.turn, d.start, d.event)?,
        }
        match &self.end {
            End::Whole => Ok(()),
            End::InTurn(event) => write!(f, "\n  the process ended in its last turn, at: {event}"),
            End::Full => f.write_str("\n  the file was full there; the device went on without recording"),
            End::Torn(why) => write!(f, "\n  {why}"),
        }
    }
}

/// Feeds a log to fresh agents and compares every step.
///
/// # Errors
/// [`LogError`] when it is no event log, damaged, or not understood. A log that only ends in the middle of a record is
/// replayed up to there; so ends every log of a device that lost its power.
pub fn replay(bytes: &[u8]) -> Result<Replayed, LogError> {
    let mut reader = LogReader::new(bytes)?;
    let mut replay = Replay::default();
    let end = loop {
        match reader.entry() {
            Ok(Some(entry)) => replay.entry(&reader, entry)?,
            Ok(None) => break replay.end(),
            Err(why @ LogError::Torn { .. }) => break End::Torn(why),
            Err(e) => return Err(e),
        }
        if replay.differs.is_some() {
            break End::Whole;
        }
    };
    Ok(Replayed {
        device: replay.device,
        recorded_by: replay.recorded_by,
        starts: replay.starts,
        turns: replay.turns,
        compared: replay.compared,
        differs: replay.differs,
        end,
        last: replay.last.into(),
    })
}

#[derive(Default)]
struct Replay {
    agent: Option<Agent>,
    /// What the last start or turn led to here, until the device's word is compared with it.
    open: Option<StepDigest>,
    device: String,
    recorded_by: String,
    starts: u64,
    turns: u64,
    /// Turns of this start.
    turn: u64,
    compared: u64,
    differs: Option<Difference>,
    full: bool,
    last: VecDeque<Told>,
}

impl Replay {
    fn entry(&mut self, reader: &LogReader<'_>, entry: Entry) -> Result<(), LogError> {
        match entry {
            Entry::Start(start) => self.start(start),
            Entry::Turn { now, event } => {
                // Between the mark of a full file and the next start nothing is on record, so this is not reached.
                let Some(agent) = &mut self.agent else { return Ok(()) };
                let event = reader.event(&event)?;
                let words = event_words(&event);
                let mut step = Step::default();
                agent.handle(now, event, &mut step);
                self.turns += 1;
                self.turn += 1;
                self.told(now, words, &step);
            }
            Entry::Step(recorded) => self.compare(recorded),
            Entry::Full => (self.full, self.agent) = (true, None),
        }
        Ok(())
    }

    fn start(&mut self, start: Start) {
        let Start { config, stored, now } = start;
        self.device = format!("{}/{}", config.tenant, config.device);
        self.recorded_by.clone_from(&config.agent);
        self.starts += 1;
        (self.turn, self.full) = (0, false);
        let words = format!("start {} of {}: {} records in the ledger", self.starts, self.device, stored.records.len());
        let (agent, step) = Agent::recover(config, stored, now);
        self.agent = Some(agent);
        self.told(now, words, &step);
    }

    fn told(&mut self, now: Now, event: String, step: &Step) {
        self.open = Some(StepDigest::of(step));
        if self.last.len() == STORY_TURNS {
            self.last.pop_front();
        }
        self.last.push_back(Told { at: Moment(now.mono.0), event, effects: step_words(step) });
    }

    fn compare(&mut self, recorded: StepDigest) {
        let Some(here) = self.open.take() else { return };
        self.compared += 1;
        let what = match (here.commit == recorded.commit, here.then == recorded.then) {
            (true, true) => return,
            (false, true) => "the commit",
            (true, false) => "an effect",
            (false, false) => "the step",
        };
        let event = self.last.back().map(|told| told.event.clone()).unwrap_or_default();
        self.differs = Some(Difference { start: self.starts, turn: self.turn, event, what });
    }

    fn end(&self) -> End {
        match (&self.open, self.full) {
            (_, true) => End::Full,
            (Some(_), false) => End::InTurn(self.last.back().map(|told| told.event.clone()).unwrap_or_default()),
            (None, false) => End::Whole,
        }
    }
}

fn event_words(event: &Event<'_>) -> String {
    match event {
        Event::LinkUp { .. } => "connected to the broker".into(),
        Event::LinkDown => "the broker is gone".into(),
        Event::Message { kind: Down::Director, payload } => format!("an assignment came, {} bytes", payload.len()),
        Event::Message { kind: Down::Ack, .. } => "an acknowledgement came".into(),
        Event::Message { kind: Down::Chunk, payload } => match cbor::decode::<Frame>(payload, PAYLOAD_MAX_BYTES) {
            Ok(Frame { body: FrameBody::Meta { name, bytes: Some(bytes) } }) => {
                format!("document {name} came, {} bytes", bytes.len())
            }
            Ok(Frame { body: FrameBody::Meta { name, bytes: None } }) => format!("there is no document {name}"),
            Ok(Frame { body: FrameBody::RoundOver { blob } }) => format!("the round of blob {} is over", blob.short()),
            Ok(Frame { body: FrameBody::Chunk { blob, index, bytes } }) => {
                format!("chunk {index} of blob {} came, {} bytes", blob.short(), bytes.len())
            }
            Err(_) => format!("{} bytes came that are no frame", payload.len()),
        },
        Event::Message { kind: Down::Command, payload } => format!("a command came, {} bytes", payload.len()),
        Event::HttpDone { id, result: Ok(bytes) } => format!("request {} gave {} bytes", id.0, bytes.len()),
        Event::HttpDone { id, result: Err(e) } => format!("request {} failed: {e:?}", id.0),
        Event::SlotPrepared { .. } => "the slot has room".into(),
        Event::SlotFilled { result: Ok(present), .. } => {
            format!("{} chunks were made of what is there", present.len())
        }
        Event::SlotFilled { result: Err(why), .. } => format!("no chunks could be made: {why}"),
        Event::SlotScanned { present, .. } => format!("the slot was scanned: {} chunks are there", present.len()),
        Event::SlotSealed { .. } => "the slot is durable".into(),
        Event::SlotFailed { error, .. } => format!("slot work failed: {error:?}"),
        Event::Loaded { result: Ok(info), .. } => format!("loaded: {} by {}", info.variant, info.engine),
        Event::Loaded { result: Err(f), .. } => format!("not loaded ({}): {}", f.code.as_str(), f.text),
        Event::Trial { stats, .. } => format!(
            "trial: {} answered, {} failed, {} of {} otherwise than the active model",
            stats.inferences, stats.errors, stats.disagreements, stats.compared
        ),
        Event::WindowClosed(draft) => format!("a window of {} rows of {} closed", draft.rows, draft.bundle),
        Event::Health(health) => format!("health: {} MiB used, {} answered", health.memory_mib, health.inferences),
        Event::LocalRevert => "somebody on the device takes the newest model back".into(),
        Event::Stopping => "the process will end".into(),
        Event::Tick => "time passed".into(),
        Event::Surroundings { conditions, .. } => format!("around it: {conditions:?}"),
        Event::Veto { seconds, reason } => format!("an application asks to wait {seconds} s: {reason}"),
        Event::CommandEnded { number, result: Ok((text, _)) } => format!("command {number} is done: {text}"),
        Event::CommandEnded { number, result: Err(why) } => format!("command {number} is not done: {why:?}"),
    }
}

fn step_words(step: &Step) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(batch) = &step.commit {
        let floors = batch.floors.iter().map(|_| "floors".to_string());
        let pointers = batch.pointers.iter().map(|_| "pointers".to_string());
        let ops = batch.ops.iter().map(|op| match op {
            Op::Put { key, .. } => key_words(key),
            Op::Delete { key } => format!("no {}", key_words(key)),
        });
        words.push(format!("commits {}", several(floors.chain(pointers).chain(ops).collect())));
    }
    let effects = step.then.iter().map(effect_words);
    words.extend(effects.clone().take(EFFECTS_TOLD));
    if effects.len() > EFFECTS_TOLD {
        words.push(format!("and {} more effects", effects.len() - EFFECTS_TOLD));
    }
    words
}

fn key_words(key: &Key) -> String {
    match key {
        Key::State => "state".into(),
        Key::Manifest => "the candidate's manifest".into(),
        Key::DirectorRoot => "the director's root".into(),
        Key::Meta(name) => format!("document {name}"),
        Key::Window(seq) => format!("window {seq}"),
    }
}

/// Returns a number of things in words.
fn count(number: u64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

fn several(names: Vec<String>) -> String {
    match names.len().checked_sub(EFFECTS_TOLD) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..EFFECTS_TOLD].join(", ")),
    }
}

fn effect_words(effect: &Effect) -> String {
    match effect {
        Effect::Publish(UpMessage::Hello(_)) => "publishes a hello".into(),
        Effect::Publish(UpMessage::Report(r)) => match (&r.target, &r.failure) {
            (Some(target), Some(failure)) => format!("reports {target} {:?}: {}", r.phase, failure.text),
            (Some(target), None) => format!("reports {target} {:?}, {} % fetched", r.phase, r.progress_ppm / 10_000),
            (None, _) => format!("reports {:?}", r.phase),
        },
        Effect::Publish(UpMessage::Window(w)) => format!("publishes window {} of {} rows", w.seq, w.rows),
        Effect::Publish(UpMessage::Want(want)) => match &want.body {
            WantBody::Meta { name } => format!("wants document {name}"),
            WantBody::Missing { blob, missing } => format!("misses {} chunks of blob {}", missing.len(), blob.short()),
            WantBody::Chunks { blob, indices } => format!("wants {} chunks of blob {}", indices.len(), blob.short()),
        },
        Effect::Publish(UpMessage::Done(done)) => {
            format!(
                "says that command {} ({}) is {}: {}",
                done.number,
                done.kind.as_str(),
                done.outcome.as_str(),
                done.text
            )
        }
        Effect::Command { number, kind } => format!("carries out command {number}: {}", kind.as_str()),
        Effect::HttpGet { id, path, .. } => format!("asks by HTTP for {path} (request {})", id.0),
        Effect::Prepare { slot, plan, .. } => format!("prepares slot {slot} for {} blobs", plan.blobs.len()),
        Effect::Scan { slot, .. } => format!("scans slot {slot}"),
        Effect::WriteChunk { slot, blob, index, .. } => {
            format!("writes chunk {index} of blob {} to slot {slot}", blob.short())
        }
        Effect::Listen { blobs } => format!("listens to {} blobs", blobs.len()),
        Effect::Patch { slot, blob, base, .. } => {
            format!("makes blob {} in slot {slot} of what slot {base} holds", blob.short())
        }
        Effect::Restore { slot, blob, stripe, .. } => {
            format!("makes stripe {stripe} of blob {} in slot {slot} whole", blob.short())
        }
        Effect::Seal { slot, .. } => format!("seals slot {slot}"),
        Effect::Load { slot, role, .. } => format!("loads slot {slot} as {role:?}"),
        Effect::StartTrial { slot, .. } => format!("tries slot {slot}"),
        Effect::Promote { slot } => format!("makes slot {slot} active"),
        Effect::DropCandidate { slot } => format!("drops the candidate of slot {slot}"),
        Effect::Erase { slot } => format!("erases slot {slot}"),
        Effect::Log { level, text } => format!("says ({level:?}): {text}"),
    }
}
