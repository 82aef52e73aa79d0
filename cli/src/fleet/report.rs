//! What people and programs are told: a line every few seconds, a table at the end.
use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::counters::{Counters, Latencies};
use super::process::Usage;
use crate::output;

/// A moment of the run, and what both processes had used by then.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    at: Instant,
    fleet: Usage,
    plane: Option<Usage>,
}

impl Mark {
    /// Takes the present; `plane` is the control plane's process.
    pub fn now(plane: Option<u32>) -> Self {
        let plane = plane.and_then(|pid| Usage::of(Some(pid)));
        Self { at: Instant::now(), fleet: Usage::of(None).unwrap_or_default(), plane }
    }

    fn seconds_since(&self, before: &Self) -> f64 {
        self.at.duration_since(before.at).as_secs_f64()
    }
}

/// The moments that parts of a run lie between; the later ones are missing when it was ended early.
#[derive(Debug, Clone, Copy)]
pub struct Marks {
    /// Nothing was done yet.
    pub begun: Mark,
    /// Every device has an identity.
    pub joined: Option<Mark>,
    /// Every device was connected.
    pub connected: Option<Mark>,
}

/// Median and nearly the worst, milliseconds; none when nothing was measured.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Quantiles {
    p50: Option<f64>,
    p95: Option<f64>,
}

impl Quantiles {
    fn of(latencies: &Latencies) -> Self {
        let rounded = |share| latencies.quantile_ms(share).map(|ms| round(ms, 1));
        Self { p50: rounded(0.5), p95: rounded(0.95) }
    }

    fn text(self) -> String {
        match (self.p50, self.p95) {
            (Some(p50), Some(p95)) => format!("{p50} ms, {p95} ms"),
            _ => "-".into(),
        }
    }
}

/// What a process has cost.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Cost {
    /// Resident memory at the end, KiB.
    rss_kib: u64,
    /// Growth of it since the beginning, for each device, when all had joined, when all were connected, at the end.
    rss_kib_per_device: [f64; 3],
    /// Processor seconds while devices joined, connected, and after that.
    cpu_s: [f64; 3],
    /// Processor milliseconds in all, for each device.
    cpu_ms_per_device: f64,
}

impl Cost {
    fn between(marks: [Option<Usage>; 4], devices: u64) -> Option<Self> {
        let [begun, joined, connected, end] = marks;
        let (begun, end) = (begun?, end?);
        // A part that was not reached took nothing.
        let joined = joined.unwrap_or(end);
        let connected = connected.unwrap_or(end);
        let grown = |then: Usage| then.rss_kib as f64 - begun.rss_kib as f64;
        let parts = [joined.cpu_s - begun.cpu_s, connected.cpu_s - joined.cpu_s, end.cpu_s - connected.cpu_s];
        Some(Self {
            rss_kib: end.rss_kib,
            rss_kib_per_device: [joined, connected, end].map(|m| round(grown(m) / devices.max(1) as f64, 1)),
            cpu_s: parts.map(|s| round(s, 2)),
            cpu_ms_per_device: round((end.cpu_s - begun.cpu_s) * 1000.0 / devices.max(1) as f64, 2),
        })
    }

    fn rows(self, who: &str) -> [(String, String); 2] {
        let [join, connect, rest] = self.cpu_s;
        let [joined, connected, end] = self.rss_kib_per_device;
        let memory = format!(
            "{end} KiB a device ({joined} when joined, {connected} when connected), {} MiB in all",
            self.rss_kib / 1024
        );
        let time = format!(
            "{} ms a device ({join} s joining, {connect} s connecting, {rest} s after)",
            self.cpu_ms_per_device
        );
        [(format!("memory of the {who}"), memory), (format!("processor time of the {who}"), time)]
    }
}

/// Everything that is told at the end.
#[derive(Debug, Serialize)]
pub struct Report {
    devices: u64,
    joined: u64,
    join_s: f64,
    joins_per_s: f64,
    connected: u64,
    arrived: u64,
    connect_s: f64,
    reconnects: u64,
    breaks: u64,
    watched_s: f64,
    healthy: BTreeMap<String, u64>,
    trials: u64,
    promotions: u64,
    windows_closed: u64,
    windows_published: u64,
    windows_acknowledged: u64,
    windows_resent: u64,
    sent: u64,
    received: u64,
    dropped: u64,
    http_requests: u64,
    hello_ms: Quantiles,
    window_ms: Quantiles,
    fleet: Option<Cost>,
    plane: Option<Cost>,
    errors: u64,
    first_error: Option<String>,
}

impl Report {
    /// Gathers what happened to `devices` up to `end`.
    pub fn new(devices: u64, counters: &Counters, marks: &Marks, end: &Mark) -> Self {
        let joined = marks.joined.unwrap_or(*end);
        let connected = marks.connected.unwrap_or(*end);
        let join_s = joined.seconds_since(&marks.begun);
        let all = [Some(marks.begun), marks.joined, marks.connected, Some(*end)];
        Self {
            devices,
            joined: counters.joined.get(),
            join_s: round(join_s, 2),
            joins_per_s: round(counters.joined.get() as f64 / join_s.max(0.001), 1),
            connected: counters.connected.get(),
            arrived: counters.arrived.get(),
            connect_s: round(connected.seconds_since(&joined), 2),
            reconnects: counters.reconnects.get(),
            breaks: counters.breaks.get(),
            watched_s: round(end.seconds_since(&connected), 1),
            healthy: counters.healthy(),
            trials: counters.trials.get(),
            promotions: counters.promotions.get(),
            windows_closed: counters.closed.get(),
            windows_published: counters.published.get(),
            windows_acknowledged: counters.acknowledged.get(),
            windows_resent: counters.resent.get(),
            sent: counters.sent.get(),
            received: counters.received.get(),
            dropped: counters.dropped.get(),
            http_requests: counters.http.get(),
            hello_ms: Quantiles::of(&counters.hello),
            window_ms: Quantiles::of(&counters.window),
            fleet: Cost::between(all.map(|m| m.map(|m| m.fleet)), devices),
            plane: Cost::between(all.map(|m| m.and_then(|m| m.plane)), devices),
            errors: counters.errors.get(),
            first_error: counters.first_error(),
        }
    }

    /// Prints it.
    pub fn print(&self, json: bool) {
        if json {
            // Numbers and texts always serialise.
            output::json(&serde_json::to_value(self).unwrap_or_default());
            return;
        }
        let mut rows = vec![
            ("devices".to_owned(), self.devices.to_string()),
            ("joined".into(), format!("{} in {} s, {} a second", self.joined, self.join_s, self.joins_per_s)),
            ("connected".into(), format!("{} now, {} in {} s", self.connected, self.arrived, self.connect_s)),
            ("connections after the first".into(), format!("{} ({} broke or failed)", self.reconnects, self.breaks)),
            ("healthy".into(), healthy_text(&self.healthy)),
            ("trials, promotions".into(), format!("{}, {}", self.trials, self.promotions)),
            (
                "windows published, acknowledged".into(),
                format!(
                    "{}, {} ({} sent again)",
                    self.windows_published, self.windows_acknowledged, self.windows_resent
                ),
            ),
            ("messages sent, received".into(), format!("{}, {} ({} dropped)", self.sent, self.received, self.dropped)),
            ("requests over HTTPS".into(), self.http_requests.to_string()),
            ("hello to answer, p50 and p95".into(), self.hello_ms.text()),
            ("window to acknowledgement, p50 and p95".into(), self.window_ms.text()),
        ];
        rows.extend(self.fleet.into_iter().flat_map(|cost| cost.rows("fleet")));
        rows.extend(self.plane.into_iter().flat_map(|cost| cost.rows("plane")));
        if let Some(error) = &self.first_error {
            rows.push((format!("errors: {}", self.errors), error.clone()));
        }
        output::table(&["what", "figure"], rows.into_iter().map(|(what, figure)| vec![what, figure]).collect(), "");
    }
}

fn round(value: f64, digits: i32) -> f64 {
    let unit = 10_f64.powi(digits);
    (value * unit).round() / unit
}

fn healthy_text(healthy: &BTreeMap<String, u64>) -> String {
    if healthy.is_empty() {
        return "none on any bundle".into();
    }
    healthy.iter().map(|(bundle, n)| format!("{n} on {bundle}")).collect::<Vec<_>>().join(", ")
}

/// Tells how the run goes; beside JSON, standard output stays free of it.
#[derive(Debug, Clone, Copy)]
pub struct Teller {
    /// Whether standard output belongs to JSON.
    pub json: bool,
}

impl Teller {
    /// Prints a line.
    pub fn line(self, text: &str) {
        if self.json {
            // Nobody reads it any more when standard error is closed.
            let _ = writeln!(std::io::stderr(), "{text}");
        } else {
            output::line(text);
        }
    }

    /// Returns a progress bar, invisible where nobody watches.
    pub fn bar(self, what: &'static str) -> ProgressBar {
        let bar = ProgressBar::new(0);
        // The template is a constant; the plain bar would do as well.
        if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:40}] {pos}/{len}, {per_sec}, {eta} left") {
            bar.set_style(style);
        }
        bar.set_message(what);
        bar
    }
}

/// Makes the lines: rates are differences to the line before.
pub struct Lines {
    began: Instant,
    last: Instant,
    messages: u64,
}

impl Lines {
    /// Begins now.
    pub fn new(counters: &Counters) -> Self {
        let now = Instant::now();
        Self { began: now, last: now, messages: counters.sent.get() + counters.received.get() }
    }

    /// Returns the next line.
    pub fn next(&mut self, counters: &Counters) -> String {
        let (now, messages) = (Instant::now(), counters.sent.get() + counters.received.get());
        let rate = (messages - self.messages) as f64 / now.duration_since(self.last).as_secs_f64().max(0.001);
        (self.last, self.messages) = (now, messages);
        format!(
            "{:>5.0} s: {} connected; healthy: {}; windows {} sent, {} acknowledged; {rate:.0} messages/s",
            now.duration_since(self.began).as_secs_f64(),
            counters.connected.get(),
            healthy_text(&counters.healthy()),
            counters.published.get(),
            counters.acknowledged.get()
        )
    }
}
