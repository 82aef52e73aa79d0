//! Replays of event logs: equal steps are equal, another step is found and told, a broken file is refused with a hint.
use ed25519_dalek::SigningKey;
use pinnace_agent_core::log::{LogError, LogWriter, MAGIC};
use pinnace_agent_core::{Agent, Config, Event, Intervals, Step, Stored};
use pinnace_protocol::ids::{DeviceId, TenantId};
use pinnace_protocol::message::Health;
use pinnace_protocol::signature::Verifier;
use pinnace_protocol::time::{ClockTrust, Mono, Now, Wall};
use pinnace_protocol::topic::Down;
use pinnace_simulator::field_log::{End, replay};

fn config() -> Config {
    Config {
        tenant: TenantId::parse("acme").unwrap(),
        device: DeviceId::parse("dev-1").unwrap(),
        agent: "0.1.0".into(),
        device_profile: "gateway".into(),
        arch: "x86_64".into(),
        labels: Vec::new(),
        engines: Vec::new(),
        memory_mib: 64,
        bundle_max_bytes: 1 << 20,
        plane_key: SigningKey::from_bytes(&[9; 32]).verifying_key(),
        verifier: Verifier::STRICT,
        image_root: b"no root".to_vec(),
        director_root: b"no root".to_vec(),
        not_before_s: 1,
        new_epoch: 7,
        seed: 3,
        intervals: Intervals::default(),
    }
}

fn now(ms: u64) -> Now {
    Now { mono: Mono(ms), wall: Wall { unix_ms: 1_800_000_000_000 + ms, trust: ClockTrust::Unknown } }
}

/// Records one process start of so many turns. At turn `lie` the device is told something that is not on record, as if
/// its judgement depended on it.
fn record(turns: u64, lie: Option<u64>) -> (Vec<u8>, Vec<usize>) {
    let (mut writer, mut bytes, mut ends) = (LogWriter::new(), Vec::new(), Vec::new());
    bytes.extend(writer.start(&config(), &Stored::default(), now(1)).unwrap());
    let (mut agent, step) = Agent::recover(config(), Stored::default(), now(1));
    bytes.extend(writer.step(&step).unwrap());
    for turn in 1..=turns {
        let at = now(turn * 1000);
        let event = match turn % 4 {
            0 => Event::LinkDown,
            1 => Event::LinkUp { nonce: [turn as u8; 16] },
            2 => Event::Health(Health { memory_mib: turn as u32, ..Health::default() }),
            _ => Event::Message { kind: Down::Chunk, payload: b"no frame" },
        };
        bytes.extend(writer.turn(at, &event, None).unwrap());
        let mut step = Step::default();
        if lie == Some(turn) {
            agent.handle(at, Event::LinkUp { nonce: [0xff; 16] }, &mut step);
        } else {
            agent.handle(at, event, &mut step);
        }
        ends.push(MAGIC.len() + bytes.len());
        bytes.extend(writer.step(&step).unwrap());
    }
    ([MAGIC.as_slice(), &bytes].concat(), ends)
}

#[test]
fn every_step_of_every_start_is_compared_and_the_last_turns_are_a_story() {
    let (first, _) = record(30, None);
    let (second, ends) = record(41, None);
    let bytes = [&first, &second[MAGIC.len()..]].concat();
    let replayed = replay(&bytes).unwrap();
    assert_eq!((replayed.starts, replayed.turns, replayed.compared), (2, 71, 73), "{replayed}");
    assert_eq!((&replayed.differs, &replayed.end, replayed.last.len()), (&None, &End::Whole, 20));
    assert_eq!(replayed.last[19].to_string().lines().next(), Some("0:00:41.000 connected to the broker"));
    assert!(replayed.to_string().ends_with("71 turns of 2 starts, 73 steps compared: all equal"), "{replayed}");

    // The process was killed before it could say what its last turn led to.
    let replayed = replay(&second[..ends[40]]).unwrap();
    assert_eq!((replayed.turns, replayed.end), (41, End::InTurn("connected to the broker".into())));
    let replayed = replay(&second[..ends[40] + 3]).unwrap();
    assert_eq!((replayed.turns, &replayed.end), (41, &End::Torn(LogError::Torn { at: ends[40] })), "{replayed}");

    let full = [second.as_slice(), &LogWriter::new().full().unwrap(), &first[MAGIC.len()..]].concat();
    assert_eq!(replay(&full).unwrap().end, End::Whole);
    let full = [second.as_slice(), &LogWriter::new().full().unwrap()].concat();
    let replayed = replay(&full).unwrap();
    assert!(replayed.end == End::Full && replayed.to_string().contains("the file was full"), "{replayed}");
}

#[test]
fn a_step_that_depends_on_what_is_no_event_is_found_where_it_happened() {
    let (bytes, _) = record(40, Some(23));
    let replayed = replay(&bytes).unwrap();
    let differs = replayed.differs.clone().expect("another step");
    assert_eq!((differs.start, differs.turn), (1, 23), "{replayed}");
    assert_eq!(differs.event, "8 bytes came that are no frame");
    assert_eq!((replayed.turns, replayed.last.len()), (23, 20), "the replay ends there");
    assert!(replayed.to_string().contains("of turn 23 of start 1 differs"), "{replayed}");
}

#[test]
fn a_log_without_a_start_says_so() {
    let replayed = replay(&MAGIC).unwrap();
    assert_eq!((replayed.starts, &replayed.end), (0, &End::Whole));
    assert!(replayed.to_string().starts_with("nothing is on record"), "{replayed}");
}

#[test]
fn what_is_no_whole_log_is_refused_with_a_hint() {
    let (bytes, _) = record(5, None);
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    let mut newer = bytes;
    newer[7] = b'2';
    for spoilt in [flipped, newer, b"notes".to_vec(), Vec::new()] {
        let error = replay(&spoilt).expect_err("no whole log").to_string();
        assert!(error.contains("\n  hint: "), "{error}");
    }
}
