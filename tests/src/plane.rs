//! A control plane in its own process.
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::http::{self, Answer};
use crate::process::{Process, Ran, pinnace};
use crate::wait::wait_until;

/// Seconds until it must answer.
const START_S: u64 = 120;

/// A running control plane.
pub struct Plane {
    /// Its process.
    pub process: Process,
    /// Its data folder.
    pub data: PathBuf,
    /// Its API and dashboard.
    pub http: SocketAddr,
    token: String,
    before: Vec<String>,
    args: Vec<String>,
    log: PathBuf,
}

impl Plane {
    /// Starts a control plane below `dir` on free ports and waits until it is well.
    ///
    /// # Panics
    /// When it does not become well.
    pub fn start(dir: &Path) -> Self {
        Self::start_with(dir, &[], &["--mqtt", "127.0.0.1:0"])
    }

    /// Starts one with other arguments, `before` being the words in front of the program.
    ///
    /// # Panics
    /// When it does not become well.
    pub fn start_with(dir: &Path, before: &[String], more: &[&str]) -> Self {
        std::fs::create_dir_all(dir).expect("the folder can be made");
        let (data, log) = (dir.join("plane"), dir.join("plane.log"));
        let mut args: Vec<String> =
            ["up", "--http", "127.0.0.1:0", "--https", "127.0.0.1:0"].map(String::from).to_vec();
        // Intervals by windows: the rows of a replay carry no time.
        args.extend(["--interval-windows", "8", "--interval-rows", "100"].map(String::from));
        args.extend(["--data".into(), data.display().to_string()]);
        args.extend(more.iter().map(ToString::to_string));
        let process = Process::pinnace(before, &args, &log);
        let http = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut plane = Self { process, data, http, token: String::new(), before: before.to_vec(), args, log };
        plane.greet();
        plane
    }

    fn greet(&mut self) {
        let line = self.process.wait_for("dashboard http://", START_S);
        self.http =
            line.split('/').next().and_then(|a| a.parse().ok()).unwrap_or_else(|| panic!("no address in {line}"));
        let health = wait_until("a healthy control plane", START_S, || match self.get("/v1/health") {
            Ok(health) if health["healthy"] == true => Ok(health),
            Ok(health) => Err(health.to_string()),
            Err(why) => Err(why),
        });
        assert_eq!(health["broker_connected"], true);
        // The data folder may lie on a disk that only the process sees.
        let seen = PathBuf::from(format!("/proc/{}/root", self.process.id()));
        let file = seen.join(self.data.strip_prefix("/").unwrap_or(&self.data)).join("admin.token");
        let token = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        self.token = token.trim().to_owned();
    }

    /// Kills it with signal 9.
    pub fn kill_9(&mut self) {
        self.process.kill_9();
    }

    /// Starts it again with the same arguments and waits until it is well.
    ///
    /// # Panics
    /// When it does not become well.
    pub fn restart(&mut self) {
        self.process = Process::pinnace(&self.before, &self.args, &self.log);
        let before = self.http;
        self.greet();
        assert_eq!(self.http, before, "devices know the address");
    }

    /// Runs `pinnace` as its operator.
    pub fn cli(&self, args: &[&str]) -> Ran {
        let (url, data) = (format!("http://{}", self.http), self.data.display().to_string());
        pinnace(&[args, &["--url", &url, "--data", &data, "--token", &self.token]].concat())
    }

    /// Returns the JSON at `path`.
    ///
    /// # Errors
    /// A text with what came instead.
    pub fn get(&self, path: &str) -> Result<Value, String> {
        let answer = http::request(self.http, "GET", path, &[], &[]).map_err(|e| e.to_string())?;
        match answer.status {
            200 => Ok(answer.json()),
            status => Err(format!("{path}: status {status}: {}", answer.text())),
        }
    }

    /// Sends a request with the admin token.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn send(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        http::request(self.http, method, path, &headers, body).expect("the control plane answers")
    }

    /// Announces a blob of `length` bytes and sends fewer.
    ///
    /// # Panics
    /// When the connection cannot be made.
    pub fn break_off_upload(&self, digest: &str, length: usize, sent: &[u8]) {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("authorization", bearer.as_str())];
        drop(
            http::send(self.http, "PUT", &format!("/v1/blobs/{digest}"), &headers, length, sent).expect("a connection"),
        );
    }

    /// Publishes the bundle in `dir`.
    ///
    /// # Panics
    /// When that is refused.
    pub fn publish(&self, dir: &Path) {
        self.cli(&["publish", &dir.display().to_string()]).ok();
    }

    /// Starts a rollout of `bundle` with [`policy`] changed by `more`; returns its id.
    ///
    /// # Panics
    /// When that is refused.
    pub fn roll_out(&self, bundle: &str, more: &[(&str, Value)]) -> String {
        let mut policy = policy();
        for (field, value) in more {
            policy[*field] = value.clone();
        }
        let answer =
            self.send("POST", "/v1/rollouts", json!({ "bundle": bundle, "policy": policy }).to_string().as_bytes());
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()["rollout"].as_str().expect("a rollout's id").to_owned()
    }

    /// Waits until the rollout is in one of `states` and returns its page.
    ///
    /// # Panics
    /// When that takes longer than `seconds`.
    pub fn wait_rollout(&self, id: &str, states: &[&str], seconds: u64) -> Value {
        wait_until(&format!("the rollout in {states:?}"), seconds, || {
            let page = self.get(&format!("/v1/rollouts/{id}"))?;
            match page["state"].as_str() {
                Some(state) if states.contains(&state) => Ok(page),
                _ => Err(format!("{}: {}", page["state"], page["sentence"])),
            }
        })
    }

    /// Returns the line of a device in the fleet's list.
    ///
    /// # Errors
    /// A text when the plane does not answer or has no such device.
    pub fn device(&self, name: &str) -> Result<Value, String> {
        let page = self.get("/v1/devices")?;
        let found = page["devices"].as_array().into_iter().flatten().find(|d| d["device"] == name);
        found.cloned().ok_or_else(|| format!("no device {name}"))
    }

    /// Returns the rows counted, over all bundles.
    ///
    /// # Errors
    /// A text when the plane does not answer.
    pub fn rows(&self) -> Result<u64, String> {
        let bundles = self.get("/v1/bundles")?;
        Ok(bundles.as_array().into_iter().flatten().filter_map(|b| b["rows"].as_u64()).sum())
    }

    /// Returns the newest events' kinds and sentences, a line each.
    ///
    /// # Errors
    /// A text when the plane does not answer.
    pub fn history(&self) -> Result<String, String> {
        let page = self.get("/v1/events?limit=200")?;
        let line = |e: &Value| format!("{} {}\n", e["kind"].as_str().unwrap_or(""), e["text"].as_str().unwrap_or(""));
        Ok(page["items"].as_array().into_iter().flatten().map(line).collect())
    }

    /// Returns the file of a stored blob.
    pub fn blob_file(&self, digest: &str) -> PathBuf {
        self.data.join("blobs/sha256").join(&digest[..2]).join(digest)
    }
}

/// A policy for a fleet on one machine that is busy and gets killed: quick waves, patient deadlines.
pub fn policy() -> Value {
    json!({
        "canary": 1,
        "waves_permille": [1000],
        "bake_s": 0,
        "wave_deadline_s": 600,
        "accept_deadline_s": 600,
        "silence_deadline_s": 600,
        "rollback_deadline_s": 600,
        "retry_base_s": 1,
        "max_attempts": 6,
        "small_fleet": "auto",
        "trial": {
            "inferences": 30, "deadline_s": 600, "p95_us": 30_000_000, "error_ppm": 10_000,
            "disagreement_ppm": 1_000_000, "tries": 16,
        },
        "gates": { "behaviour_min_judged": 1_000_000_000 },
    })
}
