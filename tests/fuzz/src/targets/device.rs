//! A device's whole judgement: an event log, fed to a fresh agent core. What is on disk, what is said by the broker and
//! what is fetched may all be hostile; the core must go on, with steps of bounded size.
use pinnace_agent_core::limits::{EVENT_RECORD_MAX_BYTES, OUTBOX_MAX_WINDOWS};
use pinnace_agent_core::log::{Entry, LogReader, MAGIC, StepDigest, whole_until};
use pinnace_agent_core::{Agent, Step};
use pinnace_protocol::cbor;
use pinnace_protocol::ids::Digest;

use crate::target::{Budget, Form, Target};
use crate::verdict::{Verdict, magnitude, variant};

pub const TARGET: Target = Target {
    name: "device",
    what: "an event log fed to a fresh agent core: damaged disks, hostile messages, answers nobody asked for",
    form: Form::Bytes,
    max_bytes: 24 * 1024,
    // A log holds whole documents, and the core keeps what it verified.
    budget: Budget { base: 2 * 1024 * 1024, per_byte: 400 },
    cost: 1,
    words: &["PNEVLOG1", "Message", "HttpDone", "LinkUp", "Director", "Ack", "Chunk", "Tick", "Loaded", "Trial"],
    run,
    repair: Some(repair),
};

/// Effects of one step at most: a scan asks for a window of chunks, a connection sends what waits in the outbox.
const EFFECTS_MAX: usize = OUTBOX_MAX_WINDOWS + 64;

fn run(input: &[u8]) -> Verdict {
    if let Ok(whole) = whole_until(input) {
        assert!(whole <= input.len());
    }
    let mut reader = match LogReader::new(input) {
        Ok(reader) => reader,
        Err(fault) => return Verdict::refused(&variant(&fault), fault),
    };
    let (mut agent, mut here): (Option<Agent>, Option<StepDigest>) = (None, None);
    let (mut turns, mut equal, mut other) = (0_u64, 0_u64, 0_u64);
    loop {
        let entry = match reader.entry() {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            Err(fault) => {
                let detail = format!("{fault} after {} turns, {}", magnitude(turns), magnitude(equal));
                return Verdict::refused(&variant(&fault), detail);
            }
        };
        match entry {
            Entry::Start(start) => {
                let (fresh, step) = Agent::recover(start.config, start.stored, start.now);
                check(&step);
                (agent, here) = (Some(fresh), Some(StepDigest::of(&step)));
            }
            Entry::Turn { now, event } => {
                turns += 1;
                let mut step = Step::default();
                let event = match reader.event(&event) {
                    Ok(event) => event,
                    Err(fault) => return Verdict::refused(&variant(&fault), fault),
                };
                let Some(agent) = &mut agent else { return Verdict::refused("turn before start", "") };
                agent.handle(now, event, &mut step);
                _ = agent.next_deadline();
                check(&step);
                here = Some(StepDigest::of(&step));
            }
            Entry::Step(recorded) if here.as_ref() == Some(&recorded) => equal += 1,
            Entry::Step(_) => other += 1,
            Entry::Full => agent = None,
        }
    }
    let word = if other == 0 { "replays".into() } else { "goes another way".into() };
    Verdict { word, detail: format!("{} {} {}", magnitude(turns), magnitude(equal), magnitude(other)) }
}

fn check(step: &Step) {
    assert!(step.then.len() <= EFFECTS_MAX, "{} effects in one step", step.then.len());
    // Serialising is what a recording shell does with it.
    assert!(cbor::encode(&step.commit).is_ok());
}

/// Makes the frame of every record right again, as far as lengths lead; every fifth time only the checksums.
fn repair(input: &[u8], _: u64) -> Option<Vec<u8>> {
    let mut out = MAGIC.to_vec();
    let mut rest = input.get(MAGIC.len()..)?;
    while let Some((head, after)) = rest.split_at_checked(8) {
        let length = u32::from_be_bytes(head.get(..4)?.try_into().ok()?) as usize;
        // A length that leads nowhere: the rest is one record.
        let length = if length <= EVENT_RECORD_MAX_BYTES && length + 8 <= after.len() {
            length
        } else {
            after.len().saturating_sub(8)
        };
        let body = &after[..length];
        let word = u32::try_from(length).ok()?;
        out.extend_from_slice(&word.to_be_bytes());
        out.extend_from_slice(&(!word).to_be_bytes());
        out.extend_from_slice(body);
        out.extend_from_slice(&Digest::of(body).0[..8]);
        rest = after.get(length + 8..).unwrap_or_default();
    }
    Some(out)
}
