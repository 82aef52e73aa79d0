//! What the program says when somebody makes a mistake, and that its processes end with their parent.
use pinnace_tests::plane::Plane;
use pinnace_tests::process::{Process, pinnace};
use pinnace_tests::wait::STEP_S;

#[test]
fn a_plane_that_does_not_answer_and_a_wrong_token_are_one_error_each() {
    // Nobody listens on port 9 of this machine, which no process here may take.
    let error = pinnace(&["device", "ls", "--url", "http://127.0.0.1:9"]).refused();
    assert!(error.contains("http://127.0.0.1:9 does not answer") && error.contains("pinnace up"), "{error}");

    let temp = tempfile::tempdir().unwrap();
    let plane = Plane::start(temp.path());
    let url = format!("http://{}", plane.http);
    let ran = pinnace(&["device", "invite", "x", "--url", &url, "--token", "0000000000000000000000000000000000"]);
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert!(ran.refused().contains("admin token"));
    let error = plane.cli(&["rollout", "start", "rain/v9"]).refused();
    assert!(error.contains("rain/v9"), "{error}");
    let error = plane.cli(&["device", "show", "nobody"]).refused();
    assert!(error.contains("pinnace device ls"), "{error}");

    // A second plane in the same folder.
    let data = plane.data.display().to_string();
    let second =
        pinnace(&["up", "--data", &data, "--http", "127.0.0.1:0", "--https", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"]);
    assert!(second.refused().contains("used by another control plane"));
}

#[test]
fn lists_of_an_empty_plane_say_what_to_do_next_and_drift_is_found() {
    let temp = tempfile::tempdir().unwrap();
    let plane = Plane::start(temp.path());
    assert!(plane.cli(&["device", "ls"]).ok().contains("pinnace device invite"));
    assert!(plane.cli(&["bundle", "ls"]).ok().contains("pinnace train"));
    assert!(plane.cli(&["rollout", "ls"]).ok().contains("pinnace rollout start"));
    assert_eq!(plane.cli(&["events"]).ok(), "");

    let csv = pinnace_tests::data::weather(&temp.path().join("learn.csv"), 0, 600);
    plane.publish(&pinnace_tests::bundles::train(&csv, "rain", "rain", 1, "logistic", &[]));
    let drift = plane.cli(&["drift", "rain/v1"]).ok();
    assert!(drift.contains("rain/v1") && drift.contains("FEATURE"), "{drift}");
    assert!(plane.cli(&["bundle", "ls"]).ok().contains("rain/v1"));
}

#[test]
fn an_agent_that_never_joined_says_how() {
    let temp = tempfile::tempdir().unwrap();
    let home = temp.path().display().to_string();
    let error = pinnace(&["agent", "run", "--home", &home, "--listen", "127.0.0.1:0"]).refused();
    assert!(error.contains("has not joined") && error.contains("pinnace device invite"), "{error}");
}

#[test]
fn a_plane_that_is_asked_to_stop_ends_well() {
    let temp = tempfile::tempdir().unwrap();
    let mut plane = Plane::start(temp.path());
    assert!(plane.process.stop().success(), "{}", plane.process.said());
    plane.restart();
}

#[test]
fn a_program_whose_parent_is_gone_does_not_start() {
    let temp = tempfile::tempdir().unwrap();
    // Process 1 is not our parent.
    let args = ["up", "--data", &temp.path().display().to_string(), "--die-with-parent", "1"].map(String::from);
    let mut process =
        Process::other(&pinnace_tests::process::binary().display().to_string(), &args, &temp.path().join("log"));
    assert!(!process.ended(STEP_S).success());
    assert!(process.said().contains("parent process is gone"), "{}", process.said());
}
