//! Light fleets of the real protocol: `pinnace sim fleet` against a real control plane.
use std::path::Path;

use pinnace_tests::bundles::train;
use pinnace_tests::data::{RAIN, weather};
use pinnace_tests::plane::Plane;
use pinnace_tests::process::Process;
use pinnace_tests::wait::{STEP_S, wait_until};
use serde_json::{Value, json};

/// Rows to learn from.
const LEARN: usize = 600;
/// Devices of the fleet.
const DEVICES: u64 = 20;
/// Rows of one window of one device.
const WINDOW_ROWS: u64 = 50;

/// Starts a light fleet that keeps its identities below `dir`.
fn start(plane: &Plane, dir: &Path, devices: u64, more: &[&str]) -> Process {
    let (url, data) = (format!("http://{}", plane.http), plane.data.display().to_string());
    let (home, devices, rows) = (dir.join("fleet").display().to_string(), devices.to_string(), WINDOW_ROWS.to_string());
    let mut args: Vec<String> = ["sim", "fleet", "--json", "--url", &url, "--data", &data, "--home", &home]
        .iter()
        .chain(&["--devices", &devices, "--heartbeat", "2", "--window", "2", "--rows", &rows])
        .map(ToString::to_string)
        .collect();
    args.extend(more.iter().map(ToString::to_string));
    let mut fleet = Process::pinnace(&[], &args, &dir.join("fleet.log"));
    fleet.wait_for("devices are connected", STEP_S);
    fleet
}

/// Returns the last table of a fleet that has ended.
fn table(fleet: &Process) -> Value {
    let said = fleet.said();
    let from = said.find("\n{\n").unwrap_or_else(|| panic!("no JSON in {said}"));
    serde_json::from_str(&said[from..]).unwrap_or_else(|e| panic!("{e} in {said}"))
}

/// Returns how many devices run `bundle`, as the plane sees it.
fn running(plane: &Plane, bundle: &str) -> Result<u64, String> {
    let page = plane.get("/v1/devices")?;
    let runs = |d: &&Value| {
        let (family, version) = (&d["running"]["family"], &d["running"]["version"]);
        format!("{}/v{version}", family.as_str().unwrap_or_default()) == bundle
    };
    Ok(page["devices"].as_array().into_iter().flatten().filter(runs).count() as u64)
}

#[test]
fn a_rollout_reaches_every_light_device_and_every_window_is_acknowledged() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let plane = Plane::start(dir);
    let csv = weather(&dir.join("learn.csv"), 0, LEARN);
    plane.publish(&train(&csv, RAIN, "rain", 1, "logistic", &[]));
    let pid = plane.process.id().to_string();
    let mut fleet = start(&plane, dir, DEVICES, &["--plane-pid", &pid]);

    let id = plane.roll_out("rain/v1", &[]);
    plane.wait_rollout(&id, &["completed"], STEP_S);
    assert_eq!(running(&plane, "rain/v1"), Ok(DEVICES));
    // Two windows of each: the second only follows an acknowledged first.
    wait_until("windows of every device", STEP_S, || match plane.rows() {
        Ok(rows) if rows >= 2 * DEVICES * WINDOW_ROWS => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert!(fleet.stop().success(), "{}", fleet.said());
    let end = table(&fleet);
    for (what, expected) in [("joined", DEVICES), ("connected", DEVICES), ("promotions", DEVICES), ("errors", 0)] {
        assert_eq!(end[what], expected, "{what} in {end}");
    }
    assert_eq!(end["healthy"], json!({ "rain/v1": DEVICES }));
    let windows = end["windows_acknowledged"].as_u64().unwrap();
    assert_eq!(end["windows_published"], windows, "{end}");
    assert_eq!(plane.rows(), Ok(windows * WINDOW_ROWS), "each was counted once");
    for latency in ["hello_ms", "window_ms"] {
        assert!(end[latency]["p50"].as_f64() > Some(0.0), "{end}");
    }
    assert!(end["plane"]["rss_kib"].as_u64() > Some(0), "{end}");

    // They come back with the identities that were kept, and with nothing else.
    let mut fleet = start(&plane, dir, DEVICES, &[]);
    wait_until("the bundle on devices without memory", STEP_S, || {
        if fleet.said().contains(&format!("healthy: {DEVICES} on rain/v1")) { Ok(()) } else { Err(fleet.said()) }
    });
    assert!(fleet.stop().success(), "{}", fleet.said());
    let end = table(&fleet);
    assert_eq!((&end["joined"], &end["arrived"]), (&json!(0), &json!(DEVICES)), "{end}");
    assert_eq!(end["windows_published"], end["windows_acknowledged"], "{end}");
}

#[test]
fn a_bundle_that_fails_on_every_device_is_taken_back() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let plane = Plane::start(dir);
    let csv = weather(&dir.join("learn.csv"), 0, LEARN);
    plane.publish(&train(&csv, RAIN, "rain", 1, "logistic", &[]));
    let mut fleet = start(&plane, dir, 8, &["--failing", "1000"]);
    let id = plane.roll_out("rain/v1", &[("canary", json!(4))]);
    let page = plane.wait_rollout(&id, &["rolled-back"], STEP_S);
    assert!(plane.history().unwrap().contains("inferences failed"), "{page}");
    assert_eq!(running(&plane, "rain/v1"), Ok(0));
    assert!(fleet.stop().success(), "{}", fleet.said());
    let end = table(&fleet);
    assert_eq!((&end["promotions"], &end["healthy"]), (&json!(0), &json!({})), "{end}");
    assert!(end["trials"].as_u64() <= Some(4), "the other wave was never exposed: {end}");
}

#[test]
fn a_folder_of_another_plane_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let first = Plane::start(&dir.join("first"));
    assert!(start(&first, dir, 1, &[]).stop().success());
    let second = Plane::start(&dir.join("second"));
    let home = dir.join("fleet").display().to_string();
    for devices in ["1", "2"] {
        let error = second.cli(&["sim", "fleet", "--devices", devices, "--home", &home]).refused();
        assert!(error.contains("another control plane"), "{error}");
    }
}
