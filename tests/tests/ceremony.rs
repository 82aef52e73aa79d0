//! The whole ceremony with the commands that people type: keys made on six machines, a plane without an offline key, a
//! real agent that follows the rotation of every role, and a release that trainer and approver sign apart.
use std::path::{Path, PathBuf};

use pinnace_tests::agent::{Agent, Source};
use pinnace_tests::bundles::train;
use pinnace_tests::data::{RAIN, weather};
use pinnace_tests::plane::Plane;
use pinnace_tests::process::pinnace;
use pinnace_tests::wait::{STEP_S, wait_until};

/// Machines of people and what lies on them.
struct Room<'a>(&'a Path);

impl Room<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Makes a key where it stays; returns its id.
    fn make(&self, name: &str) -> String {
        let said = pinnace(&["keys", "generate", &self.text(name)]).ok();
        let id = said.split("(id ").nth(1).and_then(|rest| rest.split(')').next()).expect("an id");
        id.to_owned()
    }

    fn public(&self, name: &str) -> String {
        self.text(&format!("{name}.pub"))
    }

    /// Carries the draft to a machine, signs there, and carries the signature back.
    fn sign(&self, draft: &str, key: &str) -> String {
        let machine = self.path(key).parent().expect("a folder").to_path_buf();
        let there = machine.join(draft);
        std::fs::copy(self.path(draft), &there).unwrap();
        let said = pinnace(&["keys", "sign", &there.display().to_string(), "--key", &self.text(key), "--yes"]).ok();
        for entry in std::fs::read_dir(&machine).unwrap() {
            let path = entry.unwrap().path();
            if path.display().to_string().ends_with(".sig.json") {
                std::fs::rename(&path, self.0.join(path.file_name().unwrap())).unwrap();
            }
        }
        said
    }

    /// Drafts a change, has it signed, and publishes it.
    fn rotate(&self, plane: &Plane, draft: &str, change: &[&str], keys: &[&str]) {
        let out = self.text(draft);
        let said = plane.cli(&[&["keys", "rotate", "--out", &out], change].concat()).ok();
        assert!(said.contains("still missing"), "{said}");
        let (last, others) = keys.split_last().expect("somebody signs");
        for key in others {
            self.sign(draft, key);
        }
        let early = plane.cli(&["keys", "publish", &out]).refused();
        assert!(early.contains("not ready"), "{early}");
        self.sign(draft, last);
        let said = plane.cli(&["keys", "publish", &out]).ok();
        assert!(said.contains("Published"), "{said}");
    }

    /// Releases a bundle by two people on two machines.
    fn release(&self, plane: &Plane, bundle: &Path, draft: &str, more: &[&str], keys: &[&str]) {
        let (bundle, out) = (bundle.display().to_string(), self.text(draft));
        plane.cli(&[&["publish", &bundle, "--draft", &out], more].concat()).ok();
        for key in keys {
            self.sign(draft, key);
        }
        plane.cli(&["publish", &bundle, "--signed", &out]).ok();
    }
}

#[test]
fn an_agent_follows_a_fleet_whose_every_key_is_replaced() {
    let temp = tempfile::tempdir().unwrap();
    let room = Room(temp.path());
    for key in ["a/root.key", "b/root.key", "c/root.key", "t/targets.key", "tr/trainer.key", "ap/approver.key"] {
        room.make(key);
    }
    let (online, data) = (room.text("plane/keys/online"), room.text("plane"));
    let (a, b, c) = (room.public("a/root.key"), room.public("b/root.key"), room.public("c/root.key"));
    let targets = room.public("t/targets.key");
    pinnace(&[
        "keys",
        "init",
        "--root",
        &a,
        "--root",
        &b,
        "--root",
        &c,
        "--targets",
        &targets,
        "--online",
        &online,
        "--out",
        &room.text(""),
    ])
    .ok();
    let said = room.sign("image.draft.json", "a/root.key");
    assert!(said.contains("image root 1, the first"), "{said}");
    let stranger = ["keys", "sign", &room.text("image.draft.json"), "--key", &room.text("tr/trainer.key"), "--yes"];
    assert!(pinnace(&stranger).refused().contains("no part in this draft"));
    let publish = |draft: &str| pinnace(&["keys", "publish", &room.text(draft), "--data", &data]);
    assert!(publish("image.draft.json").refused().contains("root lacks 1 of 2 root keys"));
    room.sign("image.draft.json", "b/root.key");
    room.sign("image.draft.json", "t/targets.key");
    publish("image.draft.json").ok();
    room.sign("director.draft.json", "b/root.key");
    room.sign("director.draft.json", "c/root.key");
    publish("director.draft.json").ok();

    let mut plane = Plane::start(temp.path());
    assert!(!room.path("plane/keys/offline").exists());
    assert!(plane.cli(&["doctor"]).ok().contains("2 of 3 must sign"));
    let csv = weather(&temp.path().join("learn.csv"), 0, 600);
    let first = train(&csv, RAIN, "rain", 1, "logistic", &[]);
    let (trainer, approver) = (room.public("tr/trainer.key"), room.public("ap/approver.key"));
    let people = ["--trainer", &trainer, "--approver", &approver];
    room.release(
        &plane,
        &first,
        "rain-v1.draft.json",
        &people,
        &["tr/trainer.key", "ap/approver.key", "t/targets.key"],
    );
    let live = weather(&temp.path().join("live.csv"), 0, 18_000);
    let source = Source { csv: &live, label: RAIN, rate: 50, stride: 1, offset: 0 };
    let agent = Agent::start(&plane, temp.path(), "station-1", Some(&source));
    let id = plane.roll_out("rain/v1", &[]);
    plane.wait_rollout(&id, &["completed"], STEP_S);
    agent.wait_serving("rain/v1", STEP_S);

    // Everything is replaced while the agent runs: first what the plane holds, then what people hold.
    for (role, roots) in [
        ("timestamp", ["a/root.key", "b/root.key"]),
        ("snapshot", ["b/root.key", "c/root.key"]),
        ("director", ["a/root.key", "c/root.key"]),
    ] {
        let old = room.public(&format!("plane/keys/online/{role}.key"));
        let new = format!("plane/keys/online/{role}-2.key");
        room.make(&new);
        room.rotate(
            &plane,
            &format!("new-{role}.draft.json"),
            &[role, "--remove", &old, "--add", &room.public(&new)],
            &roots,
        );
    }
    room.make("d/root.key");
    let d = room.public("d/root.key");
    for role in ["root", "director-root"] {
        room.rotate(
            &plane,
            &format!("new-{role}.draft.json"),
            &[role, "--remove", &b, "--add", &d],
            &["a/root.key", "c/root.key"],
        );
    }
    room.make("t2/targets.key");
    let change = ["targets", "--remove", &targets, "--add", &room.public("t2/targets.key")];
    room.rotate(&plane, "targets.draft.json", &change, &["d/root.key", "c/root.key", "t2/targets.key"]);
    room.make("ap2/approver.key");
    let change = ["rain", "--remove", &approver, "--add", &room.public("ap2/approver.key")];
    room.rotate(&plane, "rain.draft.json", &change, &["t2/targets.key", "tr/trainer.key", "ap2/approver.key"]);
    let shown = plane.cli(&["keys", "show"]).ok();
    assert!(shown.contains("online/director-2.key") && shown.contains("elsewhere"), "{shown}");

    // The old keys' files go, the plane starts again without them, and the next release arrives.
    for role in ["timestamp", "snapshot", "director"] {
        let old = format!("online/{role}.key is named by no root");
        assert!(plane.cli(&["doctor"]).ok().contains(&old));
        std::fs::remove_file(room.path(&format!("plane/keys/online/{role}.key"))).unwrap();
    }
    plane.kill_9();
    plane.restart();
    let second = train(&csv, RAIN, "rain", 2, "logistic", &["--seed", "2"]);
    room.release(&plane, &second, "rain-v2.draft.json", &[], &["tr/trainer.key", "ap2/approver.key"]);
    let id = plane.roll_out("rain/v2", &[]);
    plane.wait_rollout(&id, &["completed"], STEP_S);
    agent.wait_serving("rain/v2", STEP_S);

    // A key that others can read is an error, with the command that mends it.
    let token = room.path("plane/admin.token");
    let mode = |bits| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(bits)).unwrap();
    };
    mode(0o644);
    let said = plane.cli(&["doctor"]).failed(1);
    assert!(said.contains("FAIL") && said.contains("chmod 600"), "{said}");
    mode(0o600);
    wait_until("a well plane", STEP_S, || match plane.cli(&["doctor"]) {
        ran if ran.code == 0 => Ok(()),
        ran => Err(ran.out),
    });
}

#[test]
fn a_development_set_is_named_and_can_be_left() {
    let temp = tempfile::tempdir().unwrap();
    let room = Room(temp.path());
    let plane = Plane::start(temp.path());
    assert!(plane.cli(&["doctor"]).ok().contains("development set"));
    assert!(plane.cli(&["keys", "show"]).ok().contains("DEVELOPMENT KEY SET"));
    room.make("t/targets.key");
    let old = plane.cli(&["keys", "show", "-o", "json"]).ok();
    let old: serde_json::Value = serde_json::from_str(&old).unwrap();
    let roles = old["roles"].as_array().unwrap();
    let id = roles.iter().find(|one| one["role"] == "targets").unwrap()["keys"][0]["id"].as_str().unwrap().to_owned();
    let change = ["targets", "--remove", &id, "--add", &room.public("t/targets.key")];
    let offline = "plane/keys/offline";
    let (one, two) = (format!("{offline}/root-1.key"), format!("{offline}/root-2.key"));
    room.rotate(&plane, "targets.draft.json", &change, &[&one, &two, "t/targets.key"]);
    assert!(plane.cli(&["keys", "rotate", "nothing"]).refused().contains("there is no role"));
}
