//! The running agent, by its own local API.
use std::net::SocketAddr;
use std::time::Duration;

use super::{Findings, Mark};
use crate::http;
use crate::serve::FullStatus;

/// Time that a local request may take.
const LIMIT: Duration = Duration::from_secs(5);
/// Bytes of an answer.
const ANSWER_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Seconds without a report from which the link deserves a look.
const REPORT_OLD_S: u64 = 900;
/// Seconds that the wall clock may jump while the agent runs: a time service steps it once after the start.
const JUMP_MAX_S: u64 = 300;

/// Checks the running agent; returns its status when it answers.
pub(super) async fn check(listen: SocketAddr, now_s: u64, out: &mut Findings) -> Option<FullStatus> {
    let status = match get(listen, "/v1/status").await {
        Ok((200, body)) => serde_json::from_slice::<FullStatus>(&body).map_err(|e| e.to_string()),
        Ok((code, _)) => Err(format!("status {code}")),
        Err(why) => Err(why),
    };
    let status = match status {
        Ok(status) => status,
        Err(why) => {
            let hint = "start it (`systemctl start pinnace-agent`), or name its address with --listen; what is on disk is \
                        checked all the same";
            out.warn("local API", format!("{listen} does not answer: {why}"), hint);
            return None;
        }
    };
    out.ok("local API", format!("{listen}, agent {}", status.agent));
    let ready = matches!(get(listen, "/v2/health/ready").await, Ok((200, _)));
    judge(&status, ready, now_s, out);
    Some(status)
}

/// Judges what the agent says of itself.
pub(super) fn judge(status: &FullStatus, ready: bool, now_s: u64, out: &mut Findings) {
    match (&status.model, ready) {
        (Some(model), true) => out.ok("ready", format!("serves {} on {}", model.bundle, model.engine)),
        (None, _) if status.device.target.is_none() => {
            out.warn("ready", "no model yet", "assign a bundle: `pinnace rollout start`");
        }
        _ => {
            let why = status.device.target.as_ref().and_then(|t| t.failure.as_ref());
            let why = why.map_or_else(|| "no model serves".into(), |f| format!("no model serves: {}", f.text));
            out.fail("ready", why, "look at the log: `pinnace-agent logs`");
        }
    }
    let link = &status.device.link;
    let hint =
        "see broker name, broker and broker TLS below; the agent works on without the link and tries again by itself";
    match &link.error {
        None if link.connected => out.ok("link", format!("connected to {}", link.address)),
        error => {
            let why = error.as_deref().and_then(|e| e.lines().next()).unwrap_or("not connected yet");
            let hours = link.down_since_s.map(|at| now_s.saturating_sub(at) / 3600);
            let since = hours.map_or_else(String::new, |h| format!(" for {h} h"));
            out.warn("link", format!("{} is not reached{since}: {why}", link.address), hint);
        }
    }
    let age = status.device.reported_s.map(|at| now_s.saturating_sub(at));
    match age {
        None => out.warn("last report", "none since the agent started", hint),
        Some(age) => {
            let mark = if age > REPORT_OLD_S { Mark::Warn } else { Mark::Ok };
            out.add("last report", mark, format!("{age} s ago"), hint);
        }
    }
    let jump = status.device.clock_jump_s;
    let mark = if jump.unsigned_abs() > JUMP_MAX_S { Mark::Warn } else { Mark::Ok };
    let hint = "let a time service keep the clock, and give the device a battery-backed one";
    out.add("clock jump", mark, format!("{jump} s since the agent started"), hint);
    if let Some(target) = status.device.target.as_ref().filter(|t| t.failure.is_some()) {
        let text = target.failure.as_ref().map_or("", |f| &f.text);
        let found = format!("{} is {:?}: {text}", target.bundle, target.phase);
        out.warn(
            "target",
            found,
            "the text names the cause; waiting ends by itself, what failed needs a newer release",
        );
    } else {
        out.ok("target", status.device.target.as_ref().map_or("none".into(), |t| t.bundle.to_string()));
    }
}

async fn get(listen: SocketAddr, path: &str) -> Result<(u16, Vec<u8>), String> {
    let client = http::client(None).map_err(|e| super::identity::first_line(&e))?;
    let asked = client.get(format!("http://{listen}{path}")).timeout(LIMIT).send().await;
    let answer = asked.map_err(|e| e.without_url().to_string())?;
    let code = answer.status().as_u16();
    Ok((code, http::read_body(answer, ANSWER_MAX_BYTES).await?))
}
