//! An event log in memory, and a fresh agent that it is fed to.
use pinnace_agent_core::log::{Entry, LogError, LogReader, LogWriter, MAGIC, StepDigest};
use pinnace_agent_core::{Agent, Config, Event, Step, Stored};
use pinnace_protocol::time::Now;

/// Records one device.
pub struct Tape {
    pub bytes: Vec<u8>,
    /// The JSON of the profile that the world's engine loads.
    pub profile: Option<Vec<u8>>,
    writer: LogWriter,
}

impl Tape {
    pub fn new(profile: Option<Vec<u8>>) -> Self {
        Self { bytes: MAGIC.to_vec(), profile, writer: LogWriter::new() }
    }

    pub fn start(&mut self, config: &Config, stored: &Stored, now: Now) {
        self.writer = LogWriter::new();
        self.bytes.extend(self.writer.start(config, stored, now).unwrap());
    }

    pub fn turn(&mut self, now: Now, event: &Event<'_>) {
        self.bytes.extend(self.writer.turn(now, event, self.profile.as_deref()).unwrap());
    }

    pub fn step(&mut self, step: &Step) {
        self.bytes.extend(self.writer.step(step).unwrap());
    }
}

/// What a replay came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Played {
    pub starts: usize,
    pub turns: usize,
    pub equal: usize,
    pub other: usize,
}

/// Feeds a log to fresh agents and counts the steps that are equal.
pub fn play(bytes: &[u8]) -> Result<Played, LogError> {
    let mut reader = LogReader::new(bytes)?;
    let (mut played, mut agent, mut here) = (Played::default(), None, None);
    while let Some(entry) = reader.entry()? {
        match entry {
            Entry::Start(start) => {
                played.starts += 1;
                let (fresh, step) = Agent::recover(start.config, start.stored, start.now);
                (agent, here) = (Some(fresh), Some(StepDigest::of(&step)));
            }
            Entry::Turn { now, event } => {
                played.turns += 1;
                let mut step = Step::default();
                agent.as_mut().expect("a start comes first").handle(now, reader.event(&event)?, &mut step);
                here = Some(StepDigest::of(&step));
            }
            Entry::Step(recorded) if here == Some(recorded) => played.equal += 1,
            Entry::Step(_) => played.other += 1,
            Entry::Full => agent = None,
        }
    }
    Ok(played)
}
