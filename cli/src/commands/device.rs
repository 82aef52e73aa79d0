//! `pinnace device`: who is in the fleet, what they run and why.
use pinnace_controlplane::api::types::SetLabels;
use pinnace_protocol::ids::DeviceId;
use reqwest::Method;
use serde_json::Value;

use crate::args::{DeviceCommand, Format};
use crate::client::Client;
use crate::output::{self, Failure, line};

/// Runs the command.
pub async fn run(command: DeviceCommand) -> Result<(), Failure> {
    match command {
        DeviceCommand::Ls { plane } => {
            let page = Client::new(&plane)?.get("/v1/devices").await?;
            if plane.output == Format::Json {
                output::json(&page);
                return Ok(());
            }
            let now = page["now_ms"].as_u64().unwrap_or(0);
            let rows = page["devices"].as_array().into_iter().flatten().map(|d| row(d, now)).collect();
            output::table(
                &["device", "runs", "should run", "phase", "profile", "seen"],
                rows,
                "No devices yet. Next: pinnace device invite",
            );
        }
        DeviceCommand::Show { device, plane } => {
            let device = DeviceId::parse(&device)?;
            let page = Client::new(&plane)?.get(&format!("/v1/devices/{device}")).await?;
            if plane.output == Format::Json {
                output::json(&page);
                return Ok(());
            }
            line(format!("{device}: {}", page["why"].as_str().unwrap_or("")));
            for event in page["timeline"].as_array().into_iter().flatten() {
                line(format!(
                    "  {}  {}",
                    output::clock(event["at_ms"].as_u64().unwrap_or(0)),
                    event["text"].as_str().unwrap_or("")
                ));
            }
        }
        DeviceCommand::Invite { device, life, plane } => {
            let device = device.map(|d| DeviceId::parse(&d)).transpose()?;
            let reply = Client::new(&plane)?.invite(device, life).await?;
            if plane.output == Format::Json {
                output::json(&serde_json::json!({ "token": reply.token, "expires": reply.expires }));
                return Ok(());
            }
            line(&reply.token);
            line(
                "On the device: pinnace-agent join --device NAME <token>, then pinnace-agent run. The token works once.",
            );
        }
        DeviceCommand::Revoke { device, plane } => {
            let device = DeviceId::parse(&device)?;
            Client::new(&plane)?.delete(&format!("/v1/devices/{device}")).await?;
            line(format!("{device} is revoked: device API and embedded broker refuse it and closed its connections."));
            line(format!("An external broker needs the new list: {}/v1/crl.pem", plane.url.trim_end_matches('/')));
            line("  reload it (SIGHUP) to refuse new connections, restart it to end open ones too; docs/BROKERS.md.");
            line(format!("To let it join again: pinnace device invite {device}"));
        }
        DeviceCommand::Label { device, labels, plane } => {
            let device = DeviceId::parse(&device)?;
            let body = SetLabels { labels: labels.clone() };
            Client::new(&plane)?.send(Method::PUT, &format!("/v1/devices/{device}/labels"), &body).await?;
            line(format!(
                "{device} is labelled {}.",
                if labels.is_empty() { "with nothing".into() } else { labels.join(", ") }
            ));
        }
    }
    Ok(())
}

/// Returns a bundle in JSON as `family/vN`, or a dash.
pub fn bundle_text(value: &Value) -> String {
    match (value["family"].as_str(), value["version"].as_u64()) {
        (Some(family), Some(version)) => format!("{family}/v{version}"),
        _ => "-".into(),
    }
}

fn row(d: &Value, now: u64) -> Vec<String> {
    let text = |key: &str| d[key].as_str().unwrap_or("-").to_string();
    let phase = match d["failure"]["text"].as_str() {
        Some(why) => format!("{} ({why})", text("phase")),
        None => text("phase"),
    };
    vec![
        text("device"),
        bundle_text(&d["running"]),
        bundle_text(&d["target"]),
        phase,
        text("device_profile"),
        output::ago(now, d["seen_at_ms"].as_u64().unwrap_or(0)),
    ]
}
