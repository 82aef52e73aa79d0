//! An event log that a real agent recorded, through a rollout and a kill, replays to the same steps.
use pinnace_protocol::ids::Digest;
use pinnace_tests::agent::Agent;
use pinnace_tests::bundles::train;
use pinnace_tests::data::{RAIN, weather};
use pinnace_tests::plane::Plane;
use pinnace_tests::process::pinnace;
use pinnace_tests::wait::{STEP_S, wait_until};

/// Bytes that a log begins with.
const MAGIC_BYTES: usize = 8;
/// Bytes in front of a record: its length twice.
const HEAD_BYTES: usize = 8;
/// Bytes of its checksum behind it.
const SUM_BYTES: usize = 8;

/// Changes the digest of the last step on record, with a right checksum.
fn with_another_step(log: &[u8]) -> Vec<u8> {
    let mut changed = log.to_vec();
    let (mut at, mut last) = (MAGIC_BYTES, None);
    while at < log.len() {
        let body = at + HEAD_BYTES;
        let end = body + u32::from_be_bytes(log[at..at + 4].try_into().unwrap()) as usize;
        // A map of one variant, by its name; the digests are the last of it.
        if log[body..end].starts_with(b"\xa1\x64Step") && end - body > 32 {
            last = Some((body, end));
        }
        at = end + SUM_BYTES;
    }
    let (body, end) = last.expect("a step with a commit or an effect");
    let digest_at = (body..end - 32).rev().find(|at| log[*at..at + 2] == [0x58, 32]).expect("a digest") + 2;
    changed[digest_at] ^= 1;
    let sum = Digest::of(&changed[body..end]);
    changed[end..end + SUM_BYTES].copy_from_slice(&sum.0[..SUM_BYTES]);
    changed
}

#[test]
fn what_a_device_recorded_through_a_rollout_and_a_kill_replays_to_the_same_steps() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let plane = Plane::start(dir);
    let live = weather(&dir.join("live.csv"), 600, 3600);
    for version in 1..3 {
        let csv = weather(&dir.join("learn.csv"), 0, 600);
        plane.publish(&train(&csv, RAIN, "rain", version, "logistic", &[]));
    }
    let log = dir.join("events");
    let file = log.display().to_string();
    let live = live.display().to_string();
    let args = ["--event-log", &file, "--source", &live, "--label-column", RAIN, "--rate", "40"].map(String::from);
    let mut agent = Agent::start_with(&plane, dir, "station-1", &[], &args);
    let id = plane.roll_out("rain/v1", &[]);
    plane.wait_rollout(&id, &["completed"], STEP_S);
    agent.wait_serving("rain/v1", STEP_S);

    let id = plane.roll_out("rain/v2", &[]);
    wait_until("the fetch of rain/v2", STEP_S, || match agent.status() {
        Ok(s) if s["target"]["bundle"]["version"] == 2 => Ok(()),
        Ok(s) => Err(s["target"].to_string()),
        Err(why) => Err(why),
    });
    agent.kill_9();
    let first = std::fs::metadata(&log).unwrap().len();
    agent.restart();
    plane.wait_rollout(&id, &["completed"], STEP_S);
    agent.wait_serving("rain/v2", STEP_S);
    let rows = plane.rows().unwrap();
    wait_until("some more rows", STEP_S, || match plane.rows() {
        Ok(counted) if counted > rows => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert!(agent.process.stop().success());

    let said = pinnace(&["sim", "replay-log", &file]).ok();
    assert!(said.contains(" of 2 starts, ") && said.contains("all equal"), "{said}");
    assert!(said.contains("default/station-1") && said.contains("the process will end"), "{said}");

    // Private keys stay where they are.
    let bytes = std::fs::read(&log).unwrap();
    let seed = std::fs::read(agent.home.join("identity/report.key")).unwrap();
    for secret in [seed.as_slice(), b"PRIVATE KEY"] {
        assert!(secret.len() > 10 && !bytes.windows(secret.len()).any(|w| w == secret));
    }
    assert!(bytes.len() as u64 > first);

    // What another judgement would have recorded is told with its own exit code.
    std::fs::write(&log, with_another_step(&bytes)).unwrap();
    let ran = pinnace(&["sim", "replay-log", &file]);
    assert!(ran.code == 3 && ran.out.contains(" differs, at: "), "{ran:?}");
    assert!(ran.err.contains("error: ") && ran.err.contains("\n  hint: "), "{ran:?}");

    // A log that is cut replays up to there; one with a flipped bit and one that is none are refused.
    std::fs::write(&log, &bytes[..bytes.len() - 1]).unwrap();
    let said = pinnace(&["sim", "replay-log", &file]).ok();
    assert!(said.contains("all equal") && said.contains("ends in the middle of a record"), "{said}");
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 0x10;
    for spoilt in [flipped, b"notes".to_vec(), Vec::new()] {
        std::fs::write(&log, spoilt).unwrap();
        let ran = pinnace(&["sim", "replay-log", &file]);
        assert!(ran.code == 2 && ran.err.contains("error: ") && ran.err.contains("\n  hint: "), "{ran:?}");
    }
    std::fs::remove_file(&log).unwrap();
    assert_eq!(pinnace(&["sim", "replay-log", &file]).code, 2);
}
