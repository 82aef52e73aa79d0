//! The whole loop over Eclipse Mosquitto from Debian, with the access rules, certificates and revocation list that the
//! plane writes.
use std::net::TcpListener;

use pinnace_tests::agent::{Agent, Source};
use pinnace_tests::bundles::train;
use pinnace_tests::data::{RAIN, weather};
use pinnace_tests::http;
use pinnace_tests::plane::Plane;
use pinnace_tests::process::{Process, pinnace};
use pinnace_tests::wait::{STEP_S, wait_until};

const LEARN: usize = 600;
const LIVE: usize = 300;

#[test]
fn join_rollout_and_windows_work_over_mosquitto() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    // Mosquitto takes no port 0.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (data, files) = (dir.join("plane").display().to_string(), dir.join("broker"));
    let out = files.display().to_string();
    let write_files =
        || pinnace(&["broker-files", "--data", &data, "--listen", &address.to_string(), "--out", &out]).ok();
    let said = write_files();
    assert!(said.contains("revoked certificates: 0; good for 365 days"), "{said}");
    let config = files.join("mosquitto.conf");
    // Started by root, Mosquitto would become its own user, who cannot read a test's folder.
    let mut text = std::fs::read_to_string(&config).unwrap();
    text.push_str("user root\n");
    std::fs::write(&config, text).unwrap();
    let config = config.display().to_string();
    let log = dir.join("mosquitto.log");
    let start = || Process::other("mosquitto", &["-v".into(), "-c".into(), config.clone()], &log);
    let mut broker = start();
    broker.wait_for("running", STEP_S);

    let plane = Plane::start_with(dir, &[], &["--broker", &address.to_string()]);
    let csv = weather(&dir.join("learn.csv"), 0, LEARN);
    plane.publish(&train(&csv, RAIN, "rain", 1, "logistic", &[]));
    let live = weather(&dir.join("live.csv"), LEARN, LEARN + LIVE);
    let source = Source { csv: &live, label: RAIN, rate: 20, stride: 1, offset: 0 };
    let agent = Agent::start(&plane, dir, "station-1", Some(&source));
    let id = plane.roll_out("rain/v1", &[]);
    plane.wait_rollout(&id, &["completed"], STEP_S);
    agent.wait_serving("rain/v1", STEP_S);

    // The broker dies too: it keeps nothing, and nothing depends on it.
    broker.kill_9();
    broker = start();
    broker.wait_for("running", STEP_S);
    wait_until("every row to be counted once", STEP_S, || match plane.rows() {
        Ok(rows) if rows == LIVE as u64 => Ok(()),
        other => Err(format!("{other:?} of {LIVE}")),
    });

    // The device is stolen. Its certificate is good for weeks, and the broker learns of it from the list alone.
    let said = plane.cli(&["device", "revoke", "station-1"]).ok();
    assert!(said.contains("/v1/crl.pem") && said.contains("restart"), "{said}");
    let list = http::request(plane.http, "GET", "/v1/crl.pem", &[], &[]).unwrap();
    assert_eq!(list.status, 200);
    std::fs::write(files.join("crl.pem"), list.text()).unwrap();
    broker.kill_9();
    broker = start();
    broker.wait_for("certificate verify failed", STEP_S);
    wait_until("the plane to be let in as before", STEP_S, || match plane.get("/v1/health")? {
        health if health["broker_connected"] == true => Ok(()),
        health => Err(health.to_string()),
    });
    // Written anew beside a running plane, the files name it too.
    let said = write_files();
    assert!(said.contains("revoked certificates: 1; good for"), "{said}");
    assert_eq!(std::fs::read_to_string(files.join("crl.pem")).unwrap(), list.text());
}
