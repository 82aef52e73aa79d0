//! `pinnace device`: who is in the fleet, what they run and why.
use std::time::{Duration, Instant};

use pinnace_controlplane::api::types::{
    CommandGiven, CommandRequest, Invitation, InvitationDetail, InvitationState, InviteRequest, InvitedDevice,
    LastCommand, SetLabels,
};
use pinnace_protocol::ids::DeviceId;
use reqwest::Method;
use serde_json::Value;

use super::names;
use crate::args::{DeviceCommand, Format, Plane};
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
        DeviceCommand::Invite { device, uses, allow, life, plane } => {
            let device = device.map(|d| DeviceId::parse(&d)).transpose()?;
            let allow = allow.map(|text| names::read(&text)).transpose()?.unwrap_or_default();
            let request = InviteRequest { device, life_s: life, uses, allow };
            let reply = Client::new(&plane)?.invite(&request).await?;
            if plane.output == Format::Json {
                output::json(&serde_json::json!({ "token": reply.token, "expires": reply.expires, "id": reply.id }));
                return Ok(());
            }
            line(&reply.token);
            let times = match request.uses.unwrap_or(request.allow.len().max(1) as u64) {
                1 => "once".to_owned(),
                n => format!("for {n} devices"),
            };
            line(format!(
                "On the device: pinnace-agent join --device NAME <token>, then pinnace-agent run. The token works \
                 {times}. To withdraw it: pinnace device uninvite {}",
                reply.id
            ));
        }
        DeviceCommand::Invitations { id: None, plane } => invitations(&plane).await?,
        DeviceCommand::Invitations { id: Some(id), plane } => invitation(&id, &plane).await?,
        DeviceCommand::Uninvite { id, plane } => {
            Client::new(&plane)?.delete(&format!("/v1/invites/{id}")).await?;
            line(format!("Invitation {id} admits nobody any more."));
        }
        DeviceCommand::Command { device, kind, life, wait, plane } => {
            give(&DeviceId::parse(&device)?, kind, life, wait, &plane).await?;
        }
        DeviceCommand::Release { device, plane } => {
            let device = DeviceId::parse(&device)?;
            Client::new(&plane)?.send(Method::POST, &format!("/v1/devices/{device}/release"), &()).await?;
            line(format!("{device} is one device again; `pinnace device show {device}` says how it stands."));
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

/// Between two looks at whether a device has answered.
const LOOK: Duration = Duration::from_millis(250);

async fn give(device: &DeviceId, kind: String, life_s: Option<u64>, wait: u64, plane: &Plane) -> Result<(), Failure> {
    let client = Client::new(plane)?;
    let path = format!("/v1/devices/{device}/commands");
    let given = client.send(Method::POST, &path, &CommandRequest { kind: kind.clone(), life_s }).await?;
    let given: CommandGiven = serde_json::from_value(given)?;
    let until = Instant::now() + Duration::from_secs(wait);
    let last = loop {
        let last: LastCommand = serde_json::from_value(client.get(&path).await?)?;
        if last.number > given.number || (last.number == given.number && last.outcome.is_some()) {
            break last;
        }
        if Instant::now() >= until {
            let text = format!(
                "{device} has not answered command {} within {wait} s\n  hint: it is sent again when the device connects, \
                 for as long as it is good; GET {path} shows the answer",
                given.number
            );
            return Err(Failure::error(text));
        }
        tokio::time::sleep(LOOK).await;
    };
    if plane.output == Format::Json {
        output::json(&serde_json::to_value(&last)?);
    } else {
        let outcome = last.outcome.as_deref().unwrap_or("replaced by a later command");
        line(format!("{device}: {kind} {outcome}: {}", last.text));
        last.lines.iter().for_each(line);
    }
    if last.number == given.number && last.outcome.as_deref() == Some("done") {
        Ok(())
    } else {
        Err(Failure::error("the command was not carried out\n  hint: the device's sentence above says why"))
    }
}

async fn invitations(plane: &Plane) -> Result<(), Failure> {
    let list = Client::new(plane)?.get("/v1/invites").await?;
    if plane.output == Format::Json {
        output::json(&list);
        return Ok(());
    }
    let list: Vec<Invitation> = serde_json::from_value(list)?;
    let row = |i: Invitation| {
        let whom = match (i.device, i.names) {
            (Some(device), _) => device,
            (None, 0) => "any".to_owned(),
            (None, n) => format!("{n} listed"),
        };
        let state = match i.state {
            InvitationState::Open => "open",
            InvitationState::Used => "used",
            InvitationState::Ended => "ended",
            InvitationState::Withdrawn => "withdrawn",
        };
        let until = output::date(i.expires);
        vec![i.id, state.to_owned(), whom, format!("{} of {}", i.used, i.uses), until]
    };
    output::table(
        &["id", "state", "admits", "joined", "until (UTC)"],
        list.into_iter().map(row).collect(),
        "No invitations. Next: pinnace device invite",
    );
    Ok(())
}

async fn invitation(id: &str, plane: &Plane) -> Result<(), Failure> {
    let detail = Client::new(plane)?.get(&format!("/v1/invites/{id}")).await?;
    if plane.output == Format::Json {
        output::json(&detail);
        return Ok(());
    }
    let detail: InvitationDetail = serde_json::from_value(detail)?;
    let row = |d: InvitedDevice| vec![d.device, d.joined.map_or_else(|| "-".to_owned(), output::date)];
    let rows = detail.devices.into_iter().map(row).collect();
    output::table(&["device", "joined (UTC)"], rows, "It admitted nobody yet, and any name may use it.");
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
        _ if d["cloned"] == true => "quarantined: cloned".to_owned(),
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
