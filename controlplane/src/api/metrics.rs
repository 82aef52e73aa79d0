//! `/metrics`: the text format that Prometheus reads.
use std::fmt::Write as _;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};

use super::types::{HealthReply, StatsReply};
use crate::state::AppState;

pub(super) async fn metrics(State(state): State<AppState>) -> Response {
    // Without the driver there is nothing to count.
    let cloned = state.fleet().await.map_or(0, |fleet| fleet.cloned);
    let text = render(&state.health(), &state.stats(), cloned, state.clock.unix_s());
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// Writes all metrics; `now` is seconds since 1970.
fn render(health: &HealthReply, stats: &StatsReply, cloned: u32, now: u64) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, i64)]| {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let int = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let roles: Vec<_> = health.roles.iter().filter(|role| role.expires > 0).collect();
    // Names of roles and families hold letters, digits, dashes and underscores: nothing to escape.
    let of_roles = |value: &dyn Fn(&crate::registry::status::RoleStatus) -> i64| -> Vec<(String, i64)> {
        let labels = |role: &crate::registry::status::RoleStatus| {
            format!("{{repository=\"{}\",role=\"{}\"}}", role.repository, role.role)
        };
        roles.iter().map(|role| (labels(role), value(role))).collect()
    };
    let left = of_roles(&|role| int(role.expires).saturating_sub(int(now)));
    family(
        "pinnace_metadata_expires_seconds",
        "gauge",
        "Seconds until the document of a role expires; negative when it has.",
        &left,
    );
    let versions = of_roles(&|role| int(role.version));
    family("pinnace_metadata_version", "gauge", "Version of the document of a role.", &versions);
    let one = |value: i64| vec![(String::new(), value)];
    let truth = |yes: bool| one(i64::from(yes));
    family("pinnace_healthy", "gauge", "1 when everything that devices need works.", &truth(health.healthy));
    family(
        "pinnace_development_keys",
        "gauge",
        "1 when offline keys lie beside the control plane.",
        &truth(health.development_keys),
    );
    family("pinnace_broker_connected", "gauge", "1 while connected to the broker.", &truth(health.broker_connected));
    family(
        "pinnace_devices_cloned",
        "gauge",
        "Devices that were found to exist twice and are quarantined.",
        &one(i64::from(cloned)),
    );
    family("pinnace_uptime_seconds", "gauge", "Seconds since the process started.", &one(int(stats.uptime_s)));
    let counters: [(&str, &str, u64); 14] = [
        ("pinnace_messages_total", "Messages from devices that were verified.", stats.messages),
        ("pinnace_messages_unknown_total", "Messages on foreign topics, or too large.", stats.unknown),
        ("pinnace_messages_unverified_total", "Messages whose signature or form does not fit.", stats.unverified),
        ("pinnace_commits_total", "Transactions written.", stats.commits),
        ("pinnace_events_total", "Events taken in by transactions.", stats.events),
        ("pinnace_directors_total", "Director bundles signed.", stats.directors),
        ("pinnace_acks_total", "Window acknowledgements sealed.", stats.acks),
        ("pinnace_frames_total", "Frames sent to one device.", stats.frames),
        ("pinnace_broadcasts_total", "Frames published to all who listen.", stats.broadcasts),
        ("pinnace_frame_bytes_total", "Bytes of all frames.", stats.frame_bytes),
        ("pinnace_dropped_total", "Messages to devices dropped for want of room.", stats.dropped),
        ("pinnace_log_lines_total", "Log lines received from devices.", stats.log_lines),
        ("pinnace_connections_total", "Connections to the broker made.", stats.connections),
        ("pinnace_failures_total", "Connections to the broker lost or not made.", stats.failures),
    ];
    for (name, help, value) in counters {
        family(name, "counter", help, &one(int(value)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::status::{Expiry, RoleStatus};

    #[test]
    fn an_expiry_has_its_labels_and_may_be_past() {
        let role = |role: &str, expires| RoleStatus {
            repository: "image".into(),
            role: role.into(),
            version: 3,
            expires,
            expiry: Expiry::Fine,
            threshold: 1,
            keys: Vec::new(),
        };
        let health = HealthReply {
            healthy: true,
            tenant: pinnace_protocol::ids::TenantId::parse("acme").unwrap(),
            version: "0".into(),
            development_keys: true,
            broker_connected: true,
            roles: vec![role("root", 150), role("rain", 90), role("online", 0)],
            complaints: Vec::new(),
        };
        let text = render(&health, &StatsReply::default(), 2, 100);
        assert!(text.contains("pinnace_metadata_expires_seconds{repository=\"image\",role=\"root\"} 50\n"), "{text}");
        assert!(text.contains("pinnace_metadata_expires_seconds{repository=\"image\",role=\"rain\"} -10\n"), "{text}");
        assert!(!text.contains("role=\"online\"") && text.contains("\npinnace_devices_cloned 2\n"), "{text}");
        assert!(text.contains("# TYPE pinnace_development_keys gauge\npinnace_development_keys 1\n"), "{text}");
        assert!(text.lines().all(|line| line.starts_with('#') || line.split(' ').count() == 2), "{text}");
    }
}
