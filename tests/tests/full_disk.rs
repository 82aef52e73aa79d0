//! A full disk stops what needs it, with one clear error; with room again, everything goes on and nothing is lost.
use pinnace_tests::agent::{Agent, Source};
use pinnace_tests::bundles::{make_heavy, train};
use pinnace_tests::data::{RAIN, weather};
use pinnace_tests::plane::Plane;
use pinnace_tests::room::Room;
use pinnace_tests::wait::{STEP_S, wait_until};

const LEARN: usize = 600;
const MIB: u64 = 1 << 20;

#[test]
fn a_device_without_room_keeps_its_model_and_takes_the_next_when_there_is_room() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let Some(room) = Room::new(&dir.join("disk"), 64) else { return };
    let plane = Plane::start(dir);
    let csv = weather(&dir.join("learn.csv"), 0, LEARN);
    plane.publish(&train(&csv, RAIN, "rain", 1, "logistic", &[]));
    let live = weather(&dir.join("live.csv"), 0, 18_000);
    let more = ["--source", &live.display().to_string(), "--label-column", RAIN, "--rate", "50"].map(String::from);
    let mut agent = Agent::start_with(&plane, &dir.join("disk"), "station-1", &room.inside(), &more);
    let id = plane.roll_out("rain/v1", &[]);
    plane.wait_rollout(&id, &["completed"], STEP_S);

    // No room for a bundle: said with numbers, the old model serves on.
    room.fill(17 * MIB);
    let second = train(&csv, RAIN, "rain", 2, "logistic", &["--seed", "2"]);
    make_heavy(&second, 4 << 20, 2);
    plane.publish(&second);
    let id = plane.roll_out("rain/v2", &[]);
    let device = wait_until("word of the full disk", STEP_S, || match plane.device("station-1") {
        Ok(d) if d["failure"]["code"] == "DiskFull" => Ok(d),
        Ok(d) => Err(d.to_string()),
        Err(why) => Err(why),
    });
    let text = device["failure"]["text"].as_str().unwrap();
    assert!(text.contains("free") && text.chars().any(|c| c.is_ascii_digit()), "{text}");
    agent.wait_serving("rain/v1", STEP_S);
    room.relieve();
    plane.wait_rollout(&id, &["completed"], STEP_S);
    agent.wait_serving("rain/v2", STEP_S);

    // No room for a single commit: the agent stops with one error, and goes on from there.
    room.fill(0);
    let status = agent.process.ended(STEP_S);
    assert!(!status.success(), "{status}");
    let said = agent.process.said();
    let error = said.rsplit_once("error: ").map_or("", |(_, e)| e);
    assert!(error.contains("\n  hint: ") && (error.contains("space") || error.contains("full")), "{said}");
    room.relieve();
    agent.restart();
    agent.wait_serving("rain/v2", STEP_S);
    let counted = plane.rows().unwrap();
    wait_until("more rows", STEP_S, || match plane.rows() {
        Ok(rows) if rows > counted => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

#[test]
fn a_control_plane_without_room_stops_and_loses_nothing() {
    const LIVE: usize = 600;
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let Some(room) = Room::new(&dir.join("disk"), 48) else { return };
    let mut plane = Plane::start_with(&dir.join("disk"), &room.inside(), &["--mqtt", "127.0.0.1:0"]);
    let csv = weather(&dir.join("learn.csv"), 0, LEARN);
    let bundle = train(&csv, RAIN, "rain", 1, "logistic", &[]);
    // The folder with the offline keys is on the small disk too.
    let keys = room.outside().join("plane/keys").display().to_string();
    plane.cli(&["publish", &bundle.display().to_string(), "--keys", &keys]).ok();
    let live = weather(&dir.join("live.csv"), LEARN, LEARN + LIVE);
    let source = Source { csv: &live, label: RAIN, rate: 20, stride: 1, offset: 0 };
    let agent = Agent::start(&plane, dir, "station-1", Some(&source));
    plane.roll_out("rain/v1", &[]);
    wait_until("the first rows", STEP_S, || match plane.rows() {
        Ok(0) => Err("none yet".to_owned()),
        other => other.map(|_| ()),
    });

    room.fill(0);
    let status = plane.process.ended(STEP_S);
    assert!(!status.success(), "{status}");
    let said = plane.process.said();
    let error = said.rsplit_once("error: ").map_or("", |(_, e)| e);
    assert!(error.contains("full") && error.contains("\n  hint: look at free space"), "{said}");
    room.relieve();
    plane.restart();
    wait_until("the end of the source", STEP_S, || match agent.status() {
        Ok(s) if s["source"]["finished"] == true => Ok(()),
        Ok(s) => Err(s["source"].to_string()),
        Err(why) => Err(why),
    });
    wait_until("every row to be counted once", STEP_S, || match plane.rows() {
        Ok(rows) if rows == LIVE as u64 => Ok(()),
        Ok(rows) => Err(format!("{rows} of {LIVE}")),
        Err(why) => Err(why),
    });
}
