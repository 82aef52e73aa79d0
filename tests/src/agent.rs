//! A device: an agent in its own process.
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::http::{self, Answer};
use crate::plane::Plane;
use crate::process::Process;
use crate::wait::wait_until;

/// Seconds until its local API must answer.
const START_S: u64 = 120;

/// A running agent.
pub struct Agent {
    /// Its process.
    pub process: Process,
    /// Its folder.
    pub home: PathBuf,
    /// Its name.
    pub name: String,
    api: SocketAddr,
    before: Vec<String>,
    args: Vec<String>,
    log: PathBuf,
}

/// What an agent predicts by itself.
pub struct Source<'a> {
    /// The rows.
    pub csv: &'a Path,
    /// Column with the true answer.
    pub label: &'a str,
    /// Rows a second.
    pub rate: u32,
    /// Every this many rows …
    pub stride: u32,
    /// … beginning with this one.
    pub offset: u32,
}

impl Source<'_> {
    /// Returns the arguments that make an agent replay it.
    pub fn args(&self) -> Vec<String> {
        let csv = self.csv.display().to_string();
        let (rate, stride, offset) = (self.rate.to_string(), self.stride.to_string(), self.offset.to_string());
        ["--source", &csv, "--label-column", self.label, "--rate", &rate, "--stride", &stride, "--offset", &offset]
            .map(String::from)
            .to_vec()
    }
}

impl Agent {
    /// Lets a device join and starts its agent below `dir`.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(plane: &Plane, dir: &Path, name: &str, source: Option<&Source<'_>>) -> Self {
        Self::start_with(plane, dir, name, &[], &source.map(Source::args).unwrap_or_default())
    }

    /// Starts one with more arguments, `before` being the words in front of the program.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_with(plane: &Plane, dir: &Path, name: &str, before: &[String], more: &[String]) -> Self {
        let token = plane.cli(&["device", "invite", name, "-o", "json"]).ok();
        let token: Value = serde_json::from_str(&token).expect("JSON");
        let token = token["token"].as_str().expect("a token");
        let (home, log) = (dir.join(name), dir.join(format!("{name}.log")));
        let path = home.display().to_string();
        let mut args: Vec<String> =
            ["agent", "run", "--home", &path, "--join", token, "--device", name].map(String::from).to_vec();
        args.extend(["--listen", "127.0.0.1:0", "--window-rows", "16", "--window-seconds", "5"].map(String::from));
        args.extend(["--heartbeat", "1"].map(String::from));
        args.extend(more.iter().cloned());
        let process = Process::pinnace(before, &args, &log);
        let api = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut agent = Self { process, home, name: name.into(), api, before: before.to_vec(), args, log };
        agent.greet();
        agent
    }

    fn greet(&mut self) {
        let line = self.process.wait_for("applications are served at http://", START_S);
        self.api =
            line.split('/').next().and_then(|a| a.parse().ok()).unwrap_or_else(|| panic!("no address in {line}"));
    }

    /// Kills it with signal 9.
    pub fn kill_9(&mut self) {
        self.process.kill_9();
    }

    /// Starts it again with the same arguments and waits for its local API.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self) {
        self.restart_with(&[]);
    }

    /// Starts it again with more arguments than before.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart_with(&mut self, more: &[&str]) {
        self.args.extend(more.iter().map(ToString::to_string));
        self.begin_again();
        self.greet();
    }

    /// Starts it again and waits for nothing.
    pub fn begin_again(&mut self) {
        self.process = Process::pinnace(&self.before, &self.args, &self.log);
    }

    /// Returns the address of its local API.
    pub const fn address(&self) -> SocketAddr {
        self.api
    }

    /// Waits until the process has begun anew by itself and its local API listens, perhaps elsewhere.
    ///
    /// # Panics
    /// When it does not.
    pub fn wait_again(&mut self) {
        let words = "applications are served at http://";
        let line = wait_until("another start", START_S, || {
            let said = self.process.said();
            match said.rsplit_once(words) {
                Some((before, after)) if before.contains(words) && after.contains('\n') => Ok(after.to_owned()),
                _ => Err(said),
            }
        });
        self.api =
            line.split('/').next().and_then(|a| a.parse().ok()).unwrap_or_else(|| panic!("no address in {line}"));
    }

    /// Returns what `GET /v1/status` says.
    ///
    /// # Errors
    /// A text when it does not answer.
    pub fn status(&self) -> Result<Value, String> {
        let answer = http::request(self.api, "GET", "/v1/status", &[], &[]).map_err(|e| e.to_string())?;
        if answer.status == 200 { Ok(answer.json()) } else { Err(answer.text()) }
    }

    /// Waits until this bundle answers, and returns the status.
    ///
    /// # Panics
    /// When that takes longer than `seconds`.
    pub fn wait_serving(&self, bundle: &str, seconds: u64) -> Value {
        wait_until(&format!("{} serving {bundle}", self.name), seconds, || match self.status() {
            Ok(status) if status["model"]["bundle"] == bundle => Ok(status),
            Ok(status) => Err(status.to_string()),
            Err(why) => Err(why),
        })
    }

    /// Asks `model` for the class probabilities of rows given as text, column by column; empty cells are missing.
    ///
    /// # Errors
    /// A text with what came instead.
    pub fn infer(
        &self,
        model: &str,
        header: &[String],
        rows: &[Vec<String>],
        numeric: &[&str],
    ) -> Result<Vec<f64>, String> {
        let inputs: Vec<Value> = header
            .iter()
            .enumerate()
            .map(|(at, name)| {
                let number = numeric.contains(&name.as_str());
                let cell = |row: &Vec<String>| match (row[at].as_str(), number) {
                    ("", _) => Value::Null,
                    (text, true) => json!(text.parse::<f64>().unwrap_or(f64::NAN)),
                    (text, false) => json!(text),
                };
                let datatype = if number { "FP64" } else { "BYTES" };
                json!({ "name": name, "datatype": datatype, "shape": [rows.len()], "data": rows.iter().map(cell).collect::<Vec<_>>() })
            })
            .collect();
        let answer = self.post(&format!("/v2/models/{model}/infer"), &json!({ "inputs": inputs }))?;
        if answer.status != 200 {
            return Err(format!("status {}: {}", answer.status, answer.text()));
        }
        let reply = answer.json();
        let outputs = reply["outputs"].as_array().cloned().unwrap_or_default();
        let main = outputs.iter().find(|o| o["name"] == "probabilities").ok_or_else(|| reply.to_string())?;
        Ok(main["data"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect())
    }

    /// Posts JSON to the local API.
    ///
    /// # Errors
    /// What the network said.
    pub fn post(&self, path: &str, body: &Value) -> Result<Answer, String> {
        let headers = [("content-type", "application/json")];
        http::request(self.api, "POST", path, &headers, body.to_string().as_bytes()).map_err(|e| e.to_string())
    }
}
