//! `kill -9` of any process at any moment: what was going on goes on, and every row counts once.
use std::path::Path;

use pinnace_tests::agent::{Agent, Source};
use pinnace_tests::bundles::{flip_bit, make_heavy, model_digest, train};
use pinnace_tests::data::{RAIN, weather};
use pinnace_tests::plane::Plane;
use pinnace_tests::wait::{Chance, STEP_S, wait_until};
use serde_json::Value;

/// Rows of the first model's training.
const LEARN: usize = 900;
/// Rows that the fleet predicts.
const LIVE: usize = 1500;
/// Devices.
const DEVICES: u32 = 3;
/// Bytes that make a bundle take a while to be fetched.
const HEAVY: usize = 12 << 20;

fn fleet(plane: &Plane, dir: &Path, csv: &Path, rate: u32, ledger: &str) -> Vec<Agent> {
    (0..DEVICES)
        .map(|i| {
            let source = Source { csv, label: RAIN, rate, stride: DEVICES, offset: i };
            let more = [vec!["--ledger".into(), ledger.into()], source.args()].concat();
            Agent::start_with(plane, dir, &format!("station-{}", i + 1), &[], &more)
        })
        .collect()
}

/// Waits until every agent has read its file to the end and the plane has counted `rows`; then until it has heard of
/// every agent twice more, and returns what it counts by then.
fn settled(plane: &Plane, agents: &[Agent], rows: u64) -> u64 {
    for agent in agents {
        wait_until("the end of the source", STEP_S, || match agent.status() {
            Ok(status) if status["source"]["finished"] == true => Ok(()),
            Ok(status) => Err(status["source"].to_string()),
            Err(why) => Err(why),
        });
    }
    wait_until("every row to be counted", STEP_S, || match plane.rows() {
        Ok(counted) if counted >= rows => Ok(()),
        Ok(counted) => Err(format!("{counted} of {rows}")),
        Err(why) => Err(why),
    });
    for agent in agents {
        for _ in 0..2 {
            let heard = plane.device(&agent.name).map(|d| d["seen_at_ms"].clone());
            wait_until("another word of the device", STEP_S, || {
                let now = plane.device(&agent.name).map(|d| d["seen_at_ms"].clone());
                if now.is_ok() && now != heard { Ok(()) } else { Err(format!("{now:?}")) }
            });
        }
    }
    plane.rows().expect("the control plane answers")
}

#[test]
fn every_row_counts_once_whatever_is_killed_over_sled() {
    every_row_counts_once("sled", "db", 7);
}

#[test]
fn every_row_counts_once_whatever_is_killed_over_redb() {
    every_row_counts_once("redb", "records.redb", 8);
}

/// Kills devices and control plane again and again; `file` proves which store the devices use.
fn every_row_counts_once(ledger: &str, file: &str, seed: u64) {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let mut plane = Plane::start(dir);
    let first = train(&weather(&dir.join("learn.csv"), 0, LEARN), RAIN, "rain", 1, "logistic", &[]);
    let second = train(&weather(&dir.join("more.csv"), 0, 2 * LEARN), RAIN, "rain", 2, "logistic", &[]);
    plane.publish(&first);
    let live = weather(&dir.join("live.csv"), LEARN, LEARN + LIVE);
    let mut agents = fleet(&plane, dir, &live, 12, ledger);
    let id = plane.roll_out("rain/v1", &[]);

    let mut chance = Chance::new(seed);
    // Once while the first model comes, then among windows and in the second rollout.
    for blow in 0..12 {
        if blow == 5 {
            plane.wait_rollout(&id, &["completed"], STEP_S);
            plane.publish(&second);
            plane.roll_out("rain/v2", &[]);
        }
        let before = plane.rows().expect("the control plane answers");
        if blow > 2 {
            wait_until("some more rows", STEP_S, || match plane.rows() {
                Ok(rows) if rows > before || rows >= LIVE as u64 => Ok(()),
                other => Err(format!("{other:?}")),
            });
        }
        chance.moment(400);
        match chance.below(u64::from(DEVICES) + 2) {
            victim @ 0..=2 => {
                agents[victim as usize].kill_9();
                chance.moment(200);
                agents[victim as usize].restart();
            }
            3 => {
                plane.kill_9();
                chance.moment(200);
                plane.restart();
            }
            _ => {
                plane.kill_9();
                agents.iter_mut().for_each(Agent::kill_9);
                plane.restart();
                agents.iter_mut().for_each(Agent::restart);
            }
        }
    }

    assert_eq!(settled(&plane, &agents, LIVE as u64), LIVE as u64, "{}", plane.get("/v1/bundles").unwrap());
    for agent in &agents {
        assert!(agent.home.join("ledger").join(file).is_file(), "{} has another ledger", agent.name);
        let page = plane.get(&format!("/v1/devices/{}", agent.name)).unwrap();
        assert_eq!(page["device"]["health"]["windows_lost"], 0, "{page}");
        assert_eq!(page["device"]["rejected_windows"], 0, "{page}");
        agent.wait_serving("rain/v2", STEP_S);
    }
    let refused = plane.get("/v1/events?limit=500").unwrap();
    let rejected = refused["items"].as_array().unwrap().iter().filter(|e| e["kind"] == "window-rejected").count();
    assert_eq!(rejected, 0, "{refused}");
}

/// Phases of a device in their order.
const PHASES: [&str; 5] = ["Accepted", "Downloading", "Loading", "Probation", "Healthy"];

fn reached(status: &Value, phase: &str) -> bool {
    let at = |name: &str| PHASES.iter().position(|p| *p == name);
    match (status["target"]["phase"].as_str().and_then(at), at(phase)) {
        (Some(now), Some(wanted)) => now >= wanted,
        _ => false,
    }
}

#[test]
fn a_device_killed_while_it_fetches_or_tries_ends_healthy() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let mut plane = Plane::start(dir);
    let csv = weather(&dir.join("learn.csv"), 0, LEARN);
    let live = weather(&dir.join("live.csv"), 0, 18_000);
    let source = Source { csv: &live, label: RAIN, rate: 100, stride: 1, offset: 0 };
    let mut agent = Agent::start(&plane, dir, "station-1", Some(&source));

    for (version, phase) in (1..).zip(["Accepted", "Downloading", "Loading", "Probation"]) {
        let bundle = train(&csv, RAIN, "rain", version, "logistic", &[]);
        make_heavy(&bundle, HEAVY, version);
        plane.publish(&bundle);
        let id = plane.roll_out(&format!("rain/v{version}"), &[]);
        let name = format!("rain/v{version}");
        wait_until(&format!("{phase} of {name}"), STEP_S, || match agent.status() {
            Ok(s) if s["target"]["bundle"]["version"] == version && reached(&s, phase) => Ok(()),
            Ok(s) => Err(s["target"].to_string()),
            Err(why) => Err(why),
        });
        agent.kill_9();
        let spoilt = phase == "Downloading";
        if spoilt {
            spoil_part(&agent.home, &bundle);
        }
        if version % 2 == 0 {
            plane.kill_9();
            plane.restart();
        }
        agent.restart();
        plane.wait_rollout(&id, &["completed"], STEP_S);
        agent.wait_serving(&name, STEP_S);
        if spoilt {
            let sealed = ["a", "b"].map(|slot| agent.home.join("slots").join(slot));
            let digest = model_digest(&bundle);
            let file = sealed.iter().map(|s| s.join(&digest)).find(|f| f.is_file()).expect("the model is in a slot");
            assert_eq!(std::fs::read(file).unwrap(), std::fs::read(bundle.join("model.onnx")).unwrap());
        }
    }
}

/// Spoils what a dead agent had fetched of the model so far.
fn spoil_part(home: &Path, bundle: &Path) {
    let digest = model_digest(bundle);
    let parts = ["a.part", "b.part"].map(|slot| home.join("slots").join(slot).join(&digest));
    flip_bit(parts.iter().find(|f| f.is_file()).expect("the agent died while it fetched"));
}
