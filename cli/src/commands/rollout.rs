//! `pinnace rollout`: bring a bundle to the fleet, watch it, take it back.
use std::time::{Duration, Instant};

use pinnace_controlplane::api::types::{AbortRequest, CreateRollout};
use pinnace_controlplane_core::policy::RolloutPolicy;
use reqwest::Method;
use serde_json::{Value, json};

use super::device::bundle_text;
use crate::args::{Format, Plane, RolloutCommand};
use crate::client::Client;
use crate::output::{self, FAILED, Failure, TIMEOUT, line};

/// Time between two looks while watching.
const LOOK: Duration = Duration::from_millis(500);

/// Runs the command.
pub async fn run(command: RolloutCommand) -> Result<(), Failure> {
    match command {
        RolloutCommand::Ls { plane } => list(&plane).await,
        RolloutCommand::Start { bundle, policy, target, watch, plane } => {
            let mut chosen = match policy {
                None => RolloutPolicy::default(),
                Some(path) => {
                    let bytes = std::fs::read(&path)
                        .map_err(|e| Failure::error(format!("{}: {e}\n  hint: check the path", path.display())))?;
                    serde_json::from_slice(&bytes).map_err(|e| Failure::error(format!("{} is no policy: {e}\n  hint: `{{\"canary\": 5}}` is one; fields left out have their defaults", path.display())))?
                }
            };
            if let Some(target) = target {
                chosen.target = target;
            }
            let client = Client::new(&plane)?;
            let id = client.create_rollout(&CreateRollout { bundle: bundle.clone(), policy: chosen }).await?;
            line(format!("Rollout {id} of {bundle} started. Watch it: pinnace rollout watch {id}"));
            if watch { follow(&client, id.as_str(), u64::MAX).await } else { Ok(()) }
        }
        RolloutCommand::Status { rollout, plane } => status(&rollout, &plane).await,
        RolloutCommand::Watch { rollout, timeout, plane } => follow(&Client::new(&plane)?, &rollout, timeout).await,
        RolloutCommand::Approve { rollout, plane } => act(&plane, &rollout, "approve", &json!({})).await,
        RolloutCommand::Pause { rollout, plane } => act(&plane, &rollout, "pause", &json!({})).await,
        RolloutCommand::Resume { rollout, plane } => act(&plane, &rollout, "resume", &json!({})).await,
        RolloutCommand::Promote { rollout, plane } => act(&plane, &rollout, "promote", &json!({})).await,
        RolloutCommand::Abort { rollout, reason, plane } => {
            let body = serde_json::to_value(AbortRequest { reason })?;
            act(&plane, &rollout, "abort", &body).await
        }
    }
}

async fn list(plane: &Plane) -> Result<(), Failure> {
    let list = Client::new(plane)?.get("/v1/rollouts").await?;
    if plane.output == Format::Json {
        output::json(&list);
        return Ok(());
    }
    let items = list.as_array().or_else(|| list["items"].as_array());
    let rows = items
        .into_iter()
        .flatten()
        .map(|r| {
            vec![
                r["id"].as_str().unwrap_or("-").into(),
                bundle_text(&r["bundle"]),
                r["state"].as_str().unwrap_or("-").into(),
                format!("{} of {}", r["wave"][0].as_u64().unwrap_or(0) + 1, r["wave"][1].as_u64().unwrap_or(0)),
                r["sentence"].as_str().unwrap_or("").into(),
            ]
        })
        .collect();
    output::table(
        &["rollout", "bundle", "state", "wave", "last decision"],
        rows,
        "No rollouts yet. Next: pinnace rollout start <bundle>",
    );
    Ok(())
}

async fn status(rollout: &str, plane: &Plane) -> Result<(), Failure> {
    let page = Client::new(plane)?.get(&format!("/v1/rollouts/{rollout}")).await?;
    if plane.output == Format::Json {
        output::json(&page);
    } else {
        print_page(&page);
    }
    match outcome(&page) {
        Some(false) => Err(Failure::coded(
            FAILED,
            format!(
                "rollout {rollout} did not reach the fleet\n  hint: the reasons are above; `pinnace events` has all of them"
            ),
        )),
        Some(true) | None => Ok(()),
    }
}

fn print_page(page: &Value) {
    line(page["sentence"].as_str().unwrap_or(""));
    let rows = page["waves"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|w| {
            let number = |key: &str| w[key].as_u64().unwrap_or(0).to_string();
            vec![
                w["name"].as_str().unwrap_or("").into(),
                w["place"].as_str().unwrap_or("").into(),
                number("quota"),
                number("exposed"),
                number("healthy"),
                number("failed"),
            ]
        })
        .collect();
    output::table(&["wave", "place", "quota", "exposed", "healthy", "failed"], rows, "");
}

/// Returns whether a rollout completed; `None` while it is going on.
pub fn outcome(page: &Value) -> Option<bool> {
    match page["state"].as_str().unwrap_or("") {
        "completed" => Some(true),
        "rolled-back" | "rollback-stuck" => Some(false),
        _ => None,
    }
}

async fn follow(client: &Client, rollout: &str, timeout: u64) -> Result<(), Failure> {
    let started = Instant::now();
    let mut last = String::new();
    loop {
        let page = client.get(&format!("/v1/rollouts/{rollout}")).await?;
        let sentence = page["sentence"].as_str().unwrap_or("").to_string();
        if sentence != last {
            line(format!("{}  {sentence}", output::clock(page["now_ms"].as_u64().unwrap_or(0))));
            last = sentence;
        }
        match outcome(&page) {
            Some(true) => return Ok(()),
            Some(false) => {
                return Err(Failure::coded(
                    FAILED,
                    format!(
                        "rollout {rollout} was taken back\n  hint: `pinnace rollout status {rollout}` has the evidence"
                    ),
                ));
            }
            None => {}
        }
        if started.elapsed().as_secs() >= timeout {
            return Err(Failure::coded(
                TIMEOUT,
                format!(
                    "rollout {rollout} goes on after {timeout} s\n  hint: watch it again, or `pinnace rollout abort {rollout}`"
                ),
            ));
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn act(plane: &Plane, rollout: &str, verb: &str, body: &Value) -> Result<(), Failure> {
    let client = Client::new(plane)?;
    client.send(Method::POST, &format!("/v1/rollouts/{rollout}/{verb}"), body).await?;
    print_page(&client.get(&format!("/v1/rollouts/{rollout}")).await?);
    Ok(())
}
