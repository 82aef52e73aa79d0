//! A device that nobody can reach: watched by its service manager, told what to do by signed commands, examined by its
//! doctor, with a log of its own.
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use pinnace_tests::agent::Agent;
use pinnace_tests::bundles::train;
use pinnace_tests::data::{RAIN, weather};
use pinnace_tests::plane::Plane;
use pinnace_tests::process::{Ran, pinnace};
use pinnace_tests::wait::{STEP_S, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const LEARN: usize = 600;

/// Waits until the service manager hears a message that begins so.
fn told(socket: &UnixDatagram, wanted: &str) -> String {
    wait_until(&format!("the message {wanted}"), STEP_S, || {
        let mut buffer = [0; 512];
        match socket.recv(&mut buffer) {
            Ok(n) => {
                let message = String::from_utf8_lossy(&buffer[..n]).into_owned();
                if message.starts_with(wanted) { Ok(message) } else { Err(message) }
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Err("nothing".to_owned()),
            Err(e) => panic!("{e}"),
        }
    })
}

fn command(plane: &Plane, kind: &str) -> Ran {
    plane.cli(&["device", "command", "station-1", kind, "--wait", "60", "-o", "json"])
}

/// Gives a command that must be carried out, and returns the device's answer.
fn done(plane: &Plane, kind: &str) -> Value {
    let answer: Value = serde_json::from_str(&command(plane, kind).ok()).expect("JSON");
    assert_eq!((answer["kind"].as_str(), answer["outcome"].as_str()), (Some(kind), Some("done")), "{answer}");
    answer
}

/// Runs the doctor and returns its findings by their names.
fn doctor(home: &Path, listen: &str) -> Vec<(String, String, String)> {
    let ran = pinnace(&["agent", "doctor", "--home", &home.display().to_string(), "--listen", listen, "--json"]);
    let found: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}{}", ran.out, ran.err));
    let text = |f: &Value, key: &str| f[key].as_str().expect("a text").to_owned();
    let all: Vec<_> = found
        .as_array()
        .expect("a list")
        .iter()
        .map(|f| (text(f, "check"), text(f, "state"), text(f, "found")))
        .collect();
    let fails = all.iter().any(|(_, state, _)| state == "FAIL");
    assert_eq!(ran.code, i32::from(fails), "{all:?}");
    all
}

fn state<'a>(found: &'a [(String, String, String)], check: &str) -> &'a str {
    let all = found.iter().find(|(name, ..)| name == check);
    all.map_or_else(|| panic!("no check {check} in {found:?}"), |(_, state, _)| state)
}

#[test]
fn a_device_is_watched_commanded_and_examined() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let plane = Plane::start(dir);
    let csv = weather(&dir.join("learn.csv"), 0, LEARN);
    for version in 1..=3 {
        plane.publish(&train(&csv, RAIN, "rain", version, "logistic", &["--seed", &version.to_string()]));
    }
    let socket = UnixDatagram::bind(dir.join("notify")).unwrap();
    socket.set_nonblocking(true).unwrap();
    let notify = format!("NOTIFY_SOCKET={}", dir.join("notify").display());
    let before = ["env", &notify, "WATCHDOG_USEC=900000"].map(String::from);
    let live = weather(&dir.join("live.csv"), 0, 18_000);
    let more = ["--source", &live.display().to_string(), "--label-column", RAIN, "--rate", "50"].map(String::from);
    let mut agent = Agent::start_with(&plane, dir, "station-1", &before, &more);
    told(&socket, "READY=1");
    told(&socket, "WATCHDOG=1");
    for version in [1, 2] {
        let id = plane.roll_out(&format!("rain/v{version}"), &[]);
        plane.wait_rollout(&id, &["completed"], STEP_S);
        agent.wait_serving(&format!("rain/v{version}"), STEP_S);
    }
    told(&socket, "STATUS=serves rain/v2");

    done(&plane, "revert");
    agent.wait_serving("rain/v1", STEP_S);

    done(&plane, "pause");
    plane.roll_out("rain/v3", &[]);
    wait_until("a target that waits", STEP_S, || match agent.status() {
        Ok(s) if s["target"]["bundle"]["version"] == 3 && s["target"]["phase"] == "Deferred" => Ok(()),
        Ok(s) => Err(s["target"].to_string()),
        Err(why) => Err(why),
    });
    // An application asks to wait as well, and is granted what is allowed.
    let granted = agent.post("/v1/defer", &json!({ "seconds": 1_000_000, "reason": "a harvest is on" })).unwrap();
    assert_eq!(granted.json()["granted_s"], 4 * 3600, "{}", granted.text());
    let refused = agent.post("/v1/defer", &json!({ "seconds": -1 })).unwrap();
    assert_eq!(refused.status, 400, "{}", refused.text());
    done(&plane, "resume");
    agent.wait_serving("rain/v1", STEP_S);
    agent.post("/v1/defer", &json!({ "seconds": 0 })).unwrap();
    agent.wait_serving("rain/v3", STEP_S);

    // Diagnostics need the owner's consent, which counts from a reload on.
    let said = command(&plane, "collect-diagnostics").failed(1);
    assert!(said.contains("consented"), "{said}");
    std::fs::write(agent.home.join("agent.toml"), "[commands]\ndiagnostics = true\n").unwrap();
    let pid = Pid::from_raw(i32::try_from(agent.process.id()).unwrap()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    told(&socket, "RELOADING=1");
    told(&socket, "READY=1");
    let answer = done(&plane, "collect-diagnostics");
    let lines: Vec<&str> = answer["lines"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(lines.len() > 5 && lines[0].contains("\"device\":\"station-1\""), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("connected to the broker")), "{lines:?}");
    // Without the admin token nobody reads them.
    let open = plane.get("/v1/devices/station-1/commands").unwrap();
    assert_eq!((open["outcome"].as_str(), open["lines"].as_array().unwrap().len()), (Some("done"), 0));

    done(&plane, "renew");
    done(&plane, "restart");
    agent.wait_again();
    agent.wait_serving("rain/v3", STEP_S);
    assert_eq!(Pid::from_raw(i32::try_from(agent.process.id()).unwrap()), Some(pid), "the same process, anew");

    let unknown = command(&plane, "shell").refused();
    assert!(unknown.contains("revert"), "{unknown}");
    let events = plane.get("/v1/events?limit=500").unwrap();
    let kinds: Vec<&str> = events["items"].as_array().unwrap().iter().filter_map(|e| e["kind"].as_str()).collect();
    let count = |kind: &str| kinds.iter().filter(|k| **k == kind).count();
    assert_eq!((count("command-given"), count("command-done")), (7, 7), "{kinds:?}");

    let found = doctor(&agent.home, &agent.address().to_string());
    assert!(found.len() >= 25, "{found:?}");
    assert!(found.iter().all(|(_, state, _)| state != "FAIL"), "{found:?}");
    for check in ["local API", "ready", "link", "ledger", "broker TLS", "control plane", "certificate", "engines"] {
        assert_eq!(state(&found, check), "ok", "{found:?}");
    }
    agent.kill_9();
    let found = doctor(&agent.home, &agent.address().to_string());
    for (check, wanted) in [("local API", "warn"), ("active model", "ok"), ("fallback model", "ok"), ("ledger", "ok")] {
        assert_eq!(state(&found, check), wanted, "{found:?}");
    }
    let home = agent.home.display().to_string();
    let log = pinnace(&["agent", "logs", "--home", &home]).ok();
    assert!(log.contains("applications are served") && log.contains("command"), "{log}");
    assert_eq!(pinnace(&["agent", "logs", "--home", &home, "--since", "2999-01-01"]).ok(), "");
}
