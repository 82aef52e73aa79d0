//! The systemd unit starts the agent as it wants to be watched, and gives it little to do harm with.
use std::path::{Path, PathBuf};
use std::process::Command;

/// Exposure by systemd's own scale of 0 to 10 (tenths) that the unit may have.
const EXPOSURE_MAX_TENTHS: u32 = 20;

fn unit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/pinnace-agent.service")
}

#[test]
fn the_unit_notifies_is_watched_and_is_always_started_again() {
    let text = std::fs::read_to_string(unit()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for needed in [
        "Type=notify",
        "WatchdogSec=2min",
        "Restart=always",
        "StartLimitIntervalSec=0",
        "DynamicUser=yes",
        "StateDirectory=pinnace-agent",
        "ProtectSystem=strict",
        "CapabilityBoundingSet=",
        "NoNewPrivileges=yes",
    ] {
        assert!(lines.contains(&needed), "{needed} is missing");
    }
}

#[test]
fn systemd_finds_the_unit_sound_and_little_exposed() {
    let program = "systemd-analyze";
    let found = match Command::new(program).args(["security", "--offline=true"]).arg(unit()).output() {
        Ok(found) => found,
        Err(e) => return println!("skipped: {program} cannot be run: {e}"),
    };
    let said = String::from_utf8_lossy(&found.stdout).into_owned();
    let level = said.lines().find_map(|line| line.split_once("exposure level for ")).map(|(_, rest)| rest);
    let level = level.and_then(|rest| rest.split_whitespace().nth(1)).expect("systemd-analyze names a level");
    let tenths: u32 = level.replace('.', "").parse().unwrap();
    assert!(tenths <= EXPOSURE_MAX_TENTHS, "exposure {level}:\n{said}");
    let checked = Command::new(program).arg("verify").arg(unit()).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(!said.contains("Unknown") && !said.contains("Failed to parse"), "{said}");
}
