//! The event log: what is recorded replays to the same steps, what is damaged is told, what was written stays readable.
use std::path::PathBuf;
use std::sync::Arc;

use pinnace_agent_core::limits::{EVENT_RECORD_MAX_BYTES, OUTBOX_MAX_WINDOWS};
use pinnace_agent_core::log::{Entry, LogError, LogReader, LogWriter, MAGIC, whole_until};
use pinnace_agent_core::{
    Config, Event, FetchError, HttpId, Intervals, Job, Key, LoadedInfo, SlotError, Step, Stored, WindowDraft,
};
use pinnace_protocol::ids::{DeviceId, Digest, TenantId};
use pinnace_protocol::message::{FailCode, Failure, Health};
use pinnace_protocol::sketch::Profile;
use pinnace_protocol::time::{ClockTrust, Mono, Now, Wall};
use pinnace_protocol::topic::Down;

use crate::plane::{Http, Mqtt};
use crate::repo::{Assigned, Bundle, Repo};
use crate::tape::{Played, Tape, play};
use crate::windows;
use crate::world::{GOOD, Stimulus, World};

/// Numbers that look random and repeat from their seed (SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// Lets anything happen to a recorded device; returns its log and how many starts were recorded.
fn live(repo: &Repo, bundles: &[Bundle], seed: u64) -> (Vec<u8>, usize) {
    let mut chance = Chance(seed);
    let mut world = World::new(repo.clone());
    let profile = windows::profile();
    world.layout = Some(Arc::clone(profile.layout()));
    world.tape = Some(Tape::new(Some(profile.to_json())));
    world.twice = chance.below(4) == 0;
    world.fuses = (0..chance.below(4)).map(|_| chance.below(120)).collect();
    let before = world.starts;
    world.start();
    let mut generation = 0;
    for _ in 0..600 {
        match chance.below(40) {
            0 | 1 => {
                generation += 1;
                let bundle = &bundles[chance.below(bundles.len() as u64) as usize];
                world.assign(Assigned { rollback: chance.below(3) == 0, ..Assigned::new(bundle, generation) });
            }
            2 => world.queue.push_back(Stimulus::LinkDown),
            3..5 => world.queue.push_back(Stimulus::LinkUp),
            5 => world.queue.push_back(Stimulus::Revert),
            6..10 => {
                let id = chance.below(1000);
                let draft = WindowDraft { sketch: windows::count(&profile, id).encode(), ..world.draft(id) };
                world.queue.push_back(Stimulus::Window(draft));
            }
            10 => world.plane.mqtt = [Mqtt::Answers, Mqtt::Silent, Mqtt::Tampers][chance.below(3) as usize],
            11 => world.plane.http = [Http::Answers, Http::Fails, Http::BusyOnce][chance.below(3) as usize],
            12 => world.disk_full = 1,
            13 if chance.below(4) == 0 => world.start(),
            _ => {}
        }
        world.turn();
    }
    (world.tape.unwrap().bytes, (world.starts - before) as usize)
}

#[test]
fn what_is_recorded_replays_to_the_same_steps() {
    let mut repo = Repo::new();
    let bundles: Vec<Bundle> = (1..4).map(|version| repo.release_with(version, 100_000, |_| {})).collect();
    let mut all = Played::default();
    for seed in 0..12 {
        let (bytes, starts) = live(&repo, &bundles, seed);
        let played = play(&bytes).unwrap();
        assert_eq!((played.starts, played.other), (starts, 0), "seed {seed}");
        assert_eq!(played.equal, played.starts + played.turns, "every step is on record, seed {seed}");
        all.starts += played.starts;
        all.turns += played.turns;
    }
    assert!(all.turns > 5_000 && all.starts > 24, "{all:?}");
}

#[test]
fn windows_merge_in_a_replay_because_the_profile_is_on_record() {
    let profile = windows::profile();
    let mut repo = Repo::new();
    let v1 = repo.release_with(1, 40_000, |_| {});
    let logs = [Some(profile.to_json()), None].map(|json| {
        let mut world = World::new(repo.clone());
        world.layout = Some(Arc::clone(profile.layout()));
        world.tape = Some(Tape::new(json));
        world.start();
        world.install(&Assigned::new(&v1, 1));
        world.queue.push_back(Stimulus::LinkDown);
        world.settle();
        windows::close(&mut world, 0..OUTBOX_MAX_WINDOWS as u64 + 10, |id| windows::count(&profile, id).encode());
        world.tape.unwrap().bytes
    });
    assert_eq!(play(&logs[0]).unwrap().other, 0);
    assert!(play(&logs[1]).unwrap().other > 0, "without the profile the windows cannot be merged");
}

#[test]
fn a_payload_is_stored_once_for_each_start() {
    let (now, payload) = (golden_now(5), vec![7; 50_000]);
    let event = Event::Message { kind: Down::Chunk, payload: &payload };
    let mut writer = LogWriter::new();
    let first = writer.turn(now, &event, None).unwrap().len();
    let second = writer.turn(now, &event, None).unwrap().len();
    assert!(first > 50_000 && second < 200, "{first}, {second}");
    assert!(LogWriter::new().turn(now, &event, None).unwrap().len() > 50_000, "another start stands for itself");

    let payload = vec![7; EVENT_RECORD_MAX_BYTES];
    let result = writer.turn(now, &Event::Message { kind: Down::Chunk, payload: &payload }, None);
    assert!(matches!(result, Err(LogError::TooLarge { .. })));
}

/// Checks that an error of a damaged log is one for people.
fn told(error: &LogError) {
    assert!(error.to_string().contains("\n  hint: "), "{error}");
}

#[test]
fn a_cut_log_says_where_and_a_flipped_bit_is_found() {
    let bytes = golden();
    for cut in 0..bytes.len() {
        match play_only(&bytes[..cut]) {
            Ok(()) => assert_eq!(whole_until(&bytes[..cut]), Ok(cut), "only whole records are a whole log"),
            Err(e) => {
                told(&e);
                assert!(matches!(e, LogError::Torn { .. }) || (cut == 0 && e == LogError::NotALog), "{cut}: {e}");
                // A power cut may leave zeros behind what it left of a record's place.
                let blank = whole_until(&bytes[..cut]).unwrap_or(0);
                let zeroed = [&bytes[..blank], &[0; 50]].concat();
                assert!(blank == 0 || whole_until(&zeroed) == Ok(blank));
            }
        }
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let e = play_only(&flipped).expect_err("a flipped bit is found");
        told(&e);
        assert!(matches!(e, LogError::Damaged { .. } | LogError::Format(_) | LogError::NotALog), "bit {bit}: {e}");
    }
}

#[test]
fn whatever_the_bytes_reading_ends_in_a_typed_error() {
    let mut chance = Chance(3);
    let golden = golden();
    for _ in 0..3000 {
        // Records with right checksums and wrong content.
        let mut body: Vec<u8> = match chance.below(2) {
            0 => (0..chance.below(60)).map(|_| chance.below(256) as u8).collect(),
            _ => {
                let from = chance.below(golden.len() as u64) as usize;
                golden[from..].iter().take(chance.below(200) as usize).copied().collect()
            }
        };
        let mut bytes = MAGIC.to_vec();
        let length = body.len() as u32;
        bytes.extend(length.to_be_bytes());
        bytes.extend((!length).to_be_bytes());
        let sum = Digest::of(&body);
        bytes.append(&mut body);
        bytes.extend(&sum.0[..8]);
        if let Err(e) = play_only(&bytes) {
            told(&e);
        }
    }
}

/// Reads a log whole, events and all, without an agent.
fn play_only(bytes: &[u8]) -> Result<(), LogError> {
    let mut reader = LogReader::new(bytes)?;
    while let Some(entry) = reader.entry()? {
        if let Entry::Turn { event, .. } = &entry {
            reader.event(event)?;
        }
    }
    Ok(())
}

fn golden_now(ms: u64) -> Now {
    Now { mono: Mono(ms), wall: Wall { unix_ms: 1_800_000_000_000 + ms, trust: ClockTrust::Unknown } }
}

fn golden_profile() -> Profile {
    windows::profile()
}

/// One of each event, as the first version wrote them.
fn golden_events<'a>(large: &'a [u8], present: &'a [(Digest, u64)]) -> Vec<Event<'a>> {
    let failure = Failure { code: FailCode::Golden, text: "vector 3".into() };
    let layout = Some(Arc::clone(golden_profile().layout()));
    let draft = WindowDraft {
        bundle: "rain/v1".parse().unwrap(),
        profile: Digest::of(b"profile"),
        from_unix_ms: 1,
        to_unix_ms: 2,
        rows: 3,
        sketch: vec![7; 9],
    };
    vec![
        Event::LinkUp { nonce: [5; 16] },
        Event::LinkDown,
        Event::Message { kind: Down::Director, payload: b"small" },
        Event::Message { kind: Down::Ack, payload: large },
        Event::Message { kind: Down::Chunk, payload: large },
        Event::HttpDone { id: HttpId(1), result: Ok(b"body") },
        Event::HttpDone { id: HttpId(2), result: Err(FetchError::NotFound) },
        Event::HttpDone { id: HttpId(3), result: Err(FetchError::Busy { retry_after_s: 7 }) },
        Event::HttpDone { id: HttpId(4), result: Err(FetchError::TooLarge) },
        Event::HttpDone { id: HttpId(5), result: Err(FetchError::Network("refused".into())) },
        Event::HttpDone { id: HttpId(6), result: Err(FetchError::Status(500)) },
        Event::SlotPrepared { job: Job(1) },
        Event::SlotScanned { job: Job(2), present },
        Event::SlotSealed { job: Job(3) },
        Event::SlotFailed { job: Job(4), error: SlotError::DiskFull { need: 9, free: 8 } },
        Event::SlotFailed { job: Job(5), error: SlotError::Io("torn".into()) },
        Event::Loaded {
            job: Job(6),
            result: Ok(LoadedInfo { variant: "fp32".into(), engine: "tract".into(), layout }),
        },
        Event::Loaded { job: Job(7), result: Err(failure) },
        Event::Trial { job: Job(8), stats: GOOD },
        Event::WindowClosed(draft),
        Event::Health(Health { temperature_decic: -40, uptime_s: 77, ..Health::default() }),
        Event::LocalRevert,
        Event::Stopping,
        Event::Tick,
    ]
}

fn golden_start() -> (Config, Stored) {
    let plane_key = ed25519_dalek::SigningKey::from_bytes(&[9; 32]).verifying_key().to_bytes();
    let config = Config {
        tenant: TenantId::parse("acme").unwrap(),
        device: DeviceId::parse("dev-1").unwrap(),
        agent: "0.1.0".into(),
        device_profile: "gateway".into(),
        arch: "x86_64".into(),
        labels: vec!["site=north".into()],
        engines: vec!["tract".into()],
        memory_mib: 256,
        bundle_max_bytes: 8 << 20,
        // Read from bytes, as a reader does: the same key has many forms in memory.
        plane_key: ed25519_dalek::VerifyingKey::from_bytes(&plane_key).unwrap(),
        verifier: pinnace_protocol::signature::Verifier::STRICT,
        image_root: b"image root".to_vec(),
        director_root: vec![b'd'; 300],
        not_before_s: 1,
        new_epoch: u64::MAX,
        seed: 3,
        intervals: Intervals::default(),
    };
    let records = vec![
        (Key::State, vec![1, 2]),
        (Key::Manifest, vec![3; 400]),
        (Key::DirectorRoot, Vec::new()),
        (Key::Meta("7.rain.json".into()), vec![4]),
        (Key::Window(12), vec![5]),
    ];
    let stored =
        Stored { floors: [Some(vec![6]), None], pointers: [None, Some(vec![8])], records, factory: Some(vec![9]) };
    (config, stored)
}

fn golden_file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/event-log-1.bin")
}

fn golden() -> Vec<u8> {
    std::fs::read(golden_file()).unwrap()
}

fn golden_written_now() -> Vec<u8> {
    let (config, stored) = golden_start();
    let (large, present) = (vec![0xab; 300], [(Digest::of(b"blob"), 0), (Digest::of(b"blob"), u64::MAX)]);
    let json = golden_profile().to_json();
    let mut writer = LogWriter::new();
    let mut bytes = MAGIC.to_vec();
    bytes.extend(writer.start(&config, &stored, golden_now(1)).unwrap());
    bytes.extend(writer.step(&Step::default()).unwrap());
    for (ms, event) in (2..).zip(golden_events(&large, &present)) {
        bytes.extend(writer.turn(golden_now(ms), &event, Some(&json)).unwrap());
    }
    bytes.extend(writer.full().unwrap());
    bytes
}

/// Writes the golden file of a new format; a file of a released format is never written again.
#[test]
#[ignore = "writes into the source tree"]
fn write_the_golden_file() {
    std::fs::write(golden_file(), golden_written_now()).unwrap();
}

#[test]
fn the_first_format_is_read_for_ever() {
    let bytes = golden();
    let mut reader = LogReader::new(&bytes).unwrap();
    let Some(Entry::Start(start)) = reader.entry().unwrap() else { panic!("a log begins with a start") };
    let (config, stored) = golden_start();
    assert_eq!(format!("{:?}", start.config), format!("{config:?}"));
    assert_eq!(format!("{:?}", start.stored), format!("{stored:?}"));
    assert_eq!(start.now, golden_now(1));
    let Some(Entry::Step(digest)) = reader.entry().unwrap() else { panic!("the start's step comes next") };
    assert_eq!((digest.commit, digest.then), (None, None));

    let (large, present) = (vec![0xab; 300], [(Digest::of(b"blob"), 0), (Digest::of(b"blob"), u64::MAX)]);
    for (ms, expected) in (2..).zip(golden_events(&large, &present)) {
        let Some(Entry::Turn { now, event }) = reader.entry().unwrap() else { panic!("{expected:?} is missing") };
        assert_eq!(now, golden_now(ms));
        assert_eq!(format!("{:?}", reader.event(&event).unwrap()), format!("{expected:?}"));
    }
    assert!(matches!(reader.entry(), Ok(Some(Entry::Full))));
    assert!(matches!(reader.entry(), Ok(None)));
    assert_eq!(golden_written_now(), bytes, "this version still writes the first format; otherwise keep both files");
}
