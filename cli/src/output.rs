//! What people see: errors with hints, tables that align, exit codes that mean something.
use pinnace_agent::log_ring::ToRing;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use comfy_table::{ContentArrangement, Table, presets};

use crate::args::Command;

/// Exit code: what was asked for failed.
pub const FAILED: u8 = 1;
/// Exit code: the control plane does not know us.
pub const AUTH: u8 = 4;
/// Exit code: the time is over.
pub const TIMEOUT: u8 = 124;

/// An error on its way to the terminal.
#[derive(Debug)]
pub struct Failure {
    text: String,
    code: u8,
}

impl Failure {
    /// Returns a failure with exit code 1; `text` may end in `\n  hint: …`.
    pub fn error(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: FAILED }
    }
    /// Returns a failure with another exit code.
    pub fn coded(code: u8, text: impl Into<String>) -> Self {
        Self { text: text.into(), code }
    }
    /// Prints the failure and returns its exit code.
    pub fn report(self) -> ExitCode {
        print_error(&self.text);
        ExitCode::from(self.code)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(e: E) -> Self {
        Self::error(e.to_string())
    }
}

/// Prints an error and returns exit code 1.
pub fn failure(text: &str) -> ExitCode {
    print_error(text);
    ExitCode::from(FAILED)
}

fn print_error(text: &str) {
    // Nobody reads it any more when standard error is closed.
    let _ = writeln!(std::io::stderr(), "error: {text}");
}

/// Prints one line; ends the program quietly when nobody reads any more (`pinnace … | head`).
pub fn line(text: impl AsRef<str>) {
    if writeln!(std::io::stdout(), "{}", text.as_ref()).is_err() {
        std::process::exit(0);
    }
}

/// Prints rows below headings; or one sentence when there are none.
pub fn table(headings: &[&str], rows: Vec<Vec<String>>, empty: &str) {
    if rows.is_empty() {
        line(empty);
        return;
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(headings.iter().map(|h| h.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    for text in table.to_string().lines() {
        line(text.trim_end());
    }
}

/// Prints JSON, indented.
pub fn json(value: &serde_json::Value) {
    line(serde_json::to_string_pretty(value).unwrap_or_default());
}

/// Returns how long ago `then_ms` was at `now_ms`, in words.
pub fn ago(now_ms: u64, then_ms: u64) -> String {
    if then_ms == 0 {
        return "never".into();
    }
    match now_ms.saturating_sub(then_ms) / 1000 {
        s @ 0..120 => format!("{s} s ago"),
        s @ 120..7200 => format!("{} min ago", s / 60),
        s @ 7200..172_800 => format!("{} h ago", s / 3600),
        s => format!("{} d ago", s / 86_400),
    }
}

/// Returns the time of day (UTC) of a moment in milliseconds since 1970.
pub fn clock(unix_ms: u64) -> String {
    let s = unix_ms / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}

/// Returns day and minute (UTC) of a moment in seconds since 1970.
pub fn date(unix_s: u64) -> String {
    let at = i64::try_from(unix_s).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
    at.map_or_else(|| "never".into(), |at| at.strftime("%Y-%m-%d %H:%M").to_string())
}

/// Sets the log up: daemons log to standard error, commands only warn.
pub fn logging(verbose: u8, command: &Command) {
    let daemon = matches!(command, Command::Up(_) | Command::Agent(_));
    let default = match (verbose, daemon) {
        (0, true) => "info,sled=warn,tract=warn,rumqttc=warn,ort=warn",
        (0, false) => "error",
        (1, _) => "debug,sled=info,tract=info,hyper=info,rustls=info,rumqttc=info,ort=warn",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| default.into());
    let ansi = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // To people and, once an agent runs, to the ring on its disk.
    let on_disk = tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).with_writer(|| ToRing);
    let shown = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(ansi).with_target(false);
    tracing_subscriber::registry().with(filter).with(shown).with(on_disk).init();
}
