//! An event log that a real agent recorded, through a rollout and a kill, replays to the same steps.
use pinnace_tests::agent::Agent;
use pinnace_tests::bundles::train;
use pinnace_tests::data::{RAIN, weather};
use pinnace_tests::plane::Plane;
use pinnace_tests::process::pinnace;
use pinnace_tests::wait::{STEP_S, wait_until};

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
