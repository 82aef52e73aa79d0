//! Numbers and times as people read them.
use jiff::Timestamp;
use maud::{Markup, html};

/// A narrow space that does not break: between thousands, and before units.
const THIN: char = '\u{202f}';

/// Returns a count with its thousands apart.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(THIN);
        }
        out.push(digit);
    }
    out
}

/// Returns `1 device` or `3 devices`.
pub fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// Returns a share, 0..=1, in percent with at most `digits` decimals.
pub fn percent(share: f64, digits: usize) -> String {
    format!("{:.digits$}{THIN}%", share * 100.0)
}

/// Returns betting odds, e.g. `155:1`.
pub fn odds(evidence: f64) -> String {
    match evidence {
        e if e >= 1e6 => format!("10^{:.0}:1", e.log10().floor()),
        e if e >= 10.0 => format!("{}:1", count(e.round() as u64)),
        e if e >= 0.1 => format!("{e:.1}:1"),
        _ => "under 0.1:1".into(),
    }
}

/// Returns a length in bytes.
pub fn bytes(n: u64) -> String {
    match n {
        0..1024 => format!("{n}{THIN}B"),
        1024..1_048_576 => format!("{:.1}{THIN}KiB", n as f64 / 1024.0),
        _ => format!("{:.1}{THIN}MiB", n as f64 / 1_048_576.0),
    }
}

/// Returns a span as people say it, from milliseconds.
pub fn span(ms: u64) -> String {
    match ms / 1000 {
        s @ 0..120 => format!("{s}{THIN}s"),
        s @ 120..7_200 => format!("{}{THIN}min", s / 60),
        s @ 7_200..172_800 => format!("{}{THIN}h", s / 3_600),
        s => format!("{}{THIN}days", s / 86_400),
    }
}

/// Returns a time of the steward in UTC to the second; empty when it is beyond what can be written.
pub fn instant(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map(|t| t.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()).unwrap_or_default()
}

/// Returns a day in UTC, from seconds since 1970; empty when it is beyond what can be written.
pub fn day(unix_s: u64) -> String {
    let at = i64::try_from(unix_s).ok().and_then(|s| Timestamp::from_second(s).ok());
    at.map(|t| t.strftime("%Y-%m-%d").to_string()).unwrap_or_default()
}

/// Returns a time of the steward as a machine-readable text.
fn machine(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map(|t| t.to_string()).unwrap_or_default()
}

/// Shows how long ago something was; the exact time is its title.
pub fn ago(at_ms: u64, now_ms: u64) -> Markup {
    let passed = now_ms.saturating_sub(at_ms);
    html! {
        time datetime=(machine(at_ms)) title=(instant(at_ms)) {
            @if passed < 2_000 { "just now" } @else { (span(passed)) " ago" }
        }
    }
}

/// Returns a measured value with few digits.
pub fn value(v: f64) -> String {
    match v.abs() {
        0.0 => "0".into(),
        a if a >= 1000.0 => format!("{v:.0}"),
        a if a >= 10.0 => format!("{v:.1}"),
        a if a >= 0.01 => format!("{v:.2}"),
        _ => format!("{v:.1e}"),
    }
}

/// Returns a coordinate for SVG, short.
pub fn xy(v: f64) -> String {
    let text = format!("{v:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(plural(1, "device", "devices"), "1 device");
        assert_eq!(odds(155.2), "155:1");
        assert_eq!(odds(1.26), "1.3:1");
        assert_eq!(odds(2e12), "10^12:1");
        assert_eq!(bytes(2048), "2.0\u{202f}KiB");
        assert_eq!(xy(12.04), "12");
    }

    #[test]
    fn times_are_exact_in_the_title() {
        let shown = ago(1_700_000_000_000, 1_700_000_065_000).into_string();
        assert!(shown.contains("65\u{202f}s ago") && shown.contains("2023-11-14 22:13:20 UTC"), "{shown}");
        assert_eq!(instant(u64::MAX), "", "a time beyond the calendar is left out");
    }
}
