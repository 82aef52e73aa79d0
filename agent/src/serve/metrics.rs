//! `GET /metrics`: Prometheus text, version 0.0.4.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::Api;
use super::status::{self, FullStatus, StatusBoard};
use crate::router::{LATENCY_BOUNDS_US, Router};

/// Shows the metrics.
pub(super) async fn metrics(State(api): State<Arc<Api>>) -> Response {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text(&api.router, &api.board)).into_response()
}

/// Returns the metrics as Prometheus text.
pub(super) fn text(router: &Router, board: &StatusBoard) -> String {
    let mut out = Text(String::with_capacity(4096));
    let counts = router.metrics().counts();
    out.one("pinnace_requests_total", "counter", "Requests answered.", counts.requests);
    out.one("pinnace_inferences_total", "counter", "Rows answered.", counts.rows);
    out.one("pinnace_inference_errors_total", "counter", "Rows that failed.", counts.failed_rows);
    out.one("pinnace_refused_total", "counter", "Requests refused because too many waited.", counts.refused);
    out.one("pinnace_shadow_dropped_total", "counter", "Comparisons dropped in a trial.", counts.shadow_dropped);
    out.one("pinnace_feedback_total", "counter", "Outcomes told.", counts.feedback);
    out.one("pinnace_inflight", "gauge", "Requests that wait or run.", router.inflight() as u64);
    out.histogram(&counts.latency, counts.latency_sum_us);
    let FullStatus { model, device, .. } = status::full(router, board);
    out.one("pinnace_ready", "gauge", "Whether a model answers.", u64::from(model.is_some()));
    if let Some(model) = model {
        out.head("pinnace_model_info", "gauge", "The active model.");
        let labels = [("bundle", &model.bundle), ("variant", &model.variant), ("engine", &model.engine)];
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
        out.line(&format!("pinnace_model_info{{{}}}", labels.join(",")), "1");
    }
    out.one(
        "pinnace_link_connected",
        "gauge",
        "Whether the link to the plane stands.",
        u64::from(device.link.connected),
    );
    out.one("pinnace_outbox_windows", "gauge", "Windows waiting to be acknowledged.", device.outbox.windows);
    out.one("pinnace_outbox_bytes", "gauge", "Bytes of these windows.", device.outbox.bytes);
    out.one("pinnace_outbox_lost_total", "counter", "Windows merged or dropped for want of space.", device.outbox.lost);
    out.0
}

struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }
    fn line(&mut self, name: &str, value: &str) {
        let _ = writeln!(self.0, "{name} {value}");
    }
    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        self.line(name, &value.to_string());
    }
    fn histogram(&mut self, buckets: &[u64], sum_us: u64) {
        let name = "pinnace_inference_seconds";
        self.head(name, "histogram", "Time the model took per request.");
        let mut total = 0;
        for (count, bound) in buckets.iter().zip(LATENCY_BOUNDS_US) {
            total += count;
            self.line(&format!("{name}_bucket{{le=\"{}\"}}", f64::from(bound) / 1e6), &total.to_string());
        }
        let total: u64 = buckets.iter().sum();
        self.line(&format!("{name}_bucket{{le=\"+Inf\"}}"), &total.to_string());
        self.line(&format!("{name}_sum"), &(sum_us as f64 / 1e6).to_string());
        self.line(&format!("{name}_count"), &total.to_string());
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
