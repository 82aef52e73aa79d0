//! A page for people: what happened when, how many devices were exposed, what the gates knew. One file, no scripts,
//! nothing from elsewhere, readable in light and dark and on a phone.
use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::escape;
use crate::limits::PAGE_MOMENTS;
use crate::scenario::ScenarioVerdict;
use crate::story::Moment;
use crate::timeline::Point;
use crate::verdict::{Verdict, Violation};

/// Size of a plot in its own units; the page scales it.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 180.0;
/// Room for numbers left of and below a plot.
const LEFT: f64 = 44.0;
const BELOW: f64 = 22.0;

/// Returns the page of a told run; `again` is the command that repeats it.
pub fn page(verdict: &Verdict, again: &str) -> String {
    let title = format!("Simulated fleet, seed {:x}", verdict.options.seed);
    let (state, class) = match &verdict.violation {
        None => ("Every invariant held.".to_owned(), "good"),
        Some(v) => (broken(v), "bad"),
    };
    draw(
        verdict,
        &title,
        &format!("<p class=\"{class}\">{}</p>", escape(&state)),
        verdict.options.profile.as_str(),
        again,
    )
}

/// Returns the page of a scenario's run: expectations first.
pub fn scenario_page(told: &ScenarioVerdict, again: &str) -> String {
    let (word, class) = if told.passed() { ("It passed.", "good") } else { ("It failed.", "bad") };
    let mut head = format!("<p class=\"{class}\">{word}</p><ul class=\"story\">");
    let mut item = |holds: bool, text: &str| {
        let (mark, class) = if holds { ("ok", "good") } else { ("FAIL", "bad") };
        _ = write!(head, "<li><span class=\"{class}\">{mark}</span> {}</li>", escape(text));
    };
    for finding in &told.findings {
        item(finding.holds, &format!("{}: {}", finding.expected, finding.found));
    }
    match &told.verdict.violation {
        None => item(true, "every invariant held"),
        Some(v) => item(false, &broken(v)),
    }
    head.push_str("</ul>");
    let title = format!("{}, seed {:x}", told.name, told.verdict.options.seed);
    draw(&told.verdict, &title, &head, "the scenario's", again)
}

fn broken(v: &Violation) -> String {
    format!("{} does not hold at {}: {}", v.check, Moment(v.at_ms), v.sentence)
}

/// Draws the page; `head` is HTML.
fn draw(verdict: &Verdict, title: &str, head: &str, faults: &str, again: &str) -> String {
    let mut out = String::from(HEAD);
    let options = &verdict.options;
    _ = write!(
        out,
        "<h1>{}</h1>{head}<dl><dt>devices</dt><dd>{}</dd><dt>faults</dt><dd>{faults}</dd><dt>virtual time</dt>\
         <dd>{}</dd><dt>events</dt><dd>{}</dd><dt>power cuts</dt><dd>{}</dd><dt>crashes</dt><dd>{}</dd>\
         <dt>messages lost</dt><dd>{} of {}</dd><dt>outcome</dt><dd>{}</dd></dl><p>Again: <code>{}</code></p>",
        escape(title),
        options.devices,
        Moment(verdict.virtual_ms),
        verdict.events,
        verdict.counts.power_cuts,
        verdict.counts.crashes,
        verdict.counts.lost,
        verdict.counts.messages,
        escape(&verdict.outcome),
        escape(again)
    );
    let mut rollouts: BTreeMap<&str, Vec<&Point>> = BTreeMap::new();
    for point in &verdict.timeline.points {
        rollouts.entry(&point.rollout).or_default().push(point);
    }
    for (name, points) in &rollouts {
        rollout(&mut out, name, points);
    }
    if let Some(violation) = &verdict.violation {
        _ = write!(out, "<h2>Story of {}</h2><ol class=\"story\">", escape(&violation.node));
        for line in &violation.story {
            _ = write!(out, "<li>{}</li>", escape(line));
        }
        out.push_str("</ol>");
    }
    moments(&mut out, verdict);
    out.push_str("</main></body></html>\n");
    out
}

fn rollout(out: &mut String, name: &str, points: &[&Point]) {
    let Some(last) = points.last() else { return };
    _ = write!(
        out,
        "<h2>{}</h2><p>{}: {} exposed of {} allowed, {} healthy, {} failed, {} back.</p>",
        escape(name),
        escape(&last.state),
        last.exposed,
        last.quota,
        last.healthy,
        last.failed,
        last.back
    );
    let end = points.iter().map(|p| p.at_ms).max().unwrap_or(0);
    let begin = points.iter().map(|p| p.at_ms).min().unwrap_or(0);
    let most = points.iter().map(|p| p.quota.max(p.exposed)).max().unwrap_or(1).max(1);
    let line = |value: fn(&Point) -> f64| points.iter().map(|p| (p.at_ms, value(p))).collect::<Vec<_>>();
    let exposure = [
        ("quota", line(|p| f64::from(p.quota))),
        ("exposed", line(|p| f64::from(p.exposed))),
        ("healthy", line(|p| f64::from(p.healthy))),
        ("failed", line(|p| f64::from(p.failed))),
    ];
    plot(out, "Exposure: devices", (begin, end), f64::from(most), &exposure, |v| format!("{v:.0}"));
    // Odds grow by factors: their logarithm is drawn.
    let log = |odds: f64| odds.max(1.0).log10();
    let top = points.iter().map(|p| log(p.against).max(log(p.in_favour))).fold(2.0, f64::max);
    let odds = [
        ("against", points.iter().map(|p| (p.at_ms, log(p.against))).collect()),
        ("in-favour", points.iter().map(|p| (p.at_ms, log(p.in_favour))).collect()),
    ];
    plot(out, "Evidence of the gates: odds", (begin, end), top, &odds, |v| format!("{:.0}:1", 10_f64.powf(v)));
}

/// Draws stepped lines over time.
fn plot(
    out: &mut String,
    title: &str,
    (begin, end): (u64, u64),
    top: f64,
    lines: &[(&str, Vec<(u64, f64)>)],
    label: impl Fn(f64) -> String,
) {
    let span = (end - begin).max(1) as f64;
    let x = |at: u64| LEFT + (at - begin) as f64 / span * (WIDTH - LEFT);
    let y = |value: f64| (HEIGHT - BELOW) * (1.0 - (value / top.max(f64::MIN_POSITIVE)).min(1.0)) + 4.0;
    _ = write!(
        out,
        "<figure><figcaption>{title}: {}</figcaption><svg viewBox=\"0 0 {WIDTH} {:.0}\" role=\"img\" aria-label=\"{title}\">",
        lines
            .iter()
            .map(|(name, _)| format!("<span class=\"{name}\">{}</span>", name.replace('-', " ")))
            .collect::<Vec<_>>()
            .join(" · "),
        HEIGHT + 8.0
    );
    for share in [0.0, 0.5, 1.0] {
        let value = top * share;
        _ = write!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{0:.1}\" y2=\"{0:.1}\"/><text x=\"{1:.0}\" y=\"{2:.1}\" text-anchor=\"end\">{3}</text>",
            y(value),
            LEFT - 6.0,
            y(value) + 4.0,
            label(value)
        );
    }
    for (at, anchor) in [(begin, "start"), (end, "end")] {
        _ = write!(out, "<text x=\"{:.1}\" y=\"{HEIGHT:.0}\" text-anchor=\"{anchor}\">{}</text>", x(at), Moment(at));
    }
    for (name, points) in lines {
        let mut path = String::new();
        let mut before: Option<f64> = None;
        for (at, value) in points {
            let here = y(*value);
            match before {
                None => _ = write!(path, "M{:.1} {here:.1}", x(*at)),
                Some(_) => _ = write!(path, "H{:.1}V{here:.1}", x(*at)),
            }
            before = Some(here);
        }
        _ = write!(path, "H{WIDTH}");
        _ = write!(out, "<path class=\"{name}\" d=\"{path}\"/>");
    }
    out.push_str("</svg></figure>");
}

fn moments(out: &mut String, verdict: &Verdict) {
    let all = &verdict.timeline.moments;
    let left_out = all.len().saturating_sub(PAGE_MOMENTS);
    out.push_str("<h2>Timeline</h2>");
    if left_out > 0 {
        _ = write!(out, "<p>The newest {PAGE_MOMENTS} of {} entries.</p>", all.len());
    }
    out.push_str("<ol class=\"story\">");
    for moment in &all[left_out..] {
        _ = write!(out, "<li><time>{}</time> {}</li>", Moment(moment.at_ms), escape(&moment.text));
    }
    out.push_str("</ol>");
}

const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\"><title>Pinnace: \
simulated fleet</title><style>\
:root{--bg:#fbfbfa;--fg:#1c2330;--soft:#5c6675;--line:#d9dde3;--exposed:#2463c4;--quota:#8a93a1;--healthy:#177a4b;\
--failed:#b3261e}\
@media(prefers-color-scheme:dark){:root{--bg:#12161d;--fg:#e6e9ee;--soft:#9aa4b2;--line:#2c3440;--exposed:#7db0ff;\
--quota:#8792a2;--healthy:#5fd39a;--failed:#ff8a80}}\
body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,sans-serif}\
main{max-width:52rem;margin:0 auto;padding:1.5rem 1rem 4rem}h1{font-size:1.5rem;margin:0 0 .5rem}\
h2{font-size:1.15rem;margin:2rem 0 .25rem}p{margin:.25rem 0 .75rem}.good{color:var(--healthy)}.bad{color:var(--failed)}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:1rem 0}dt{color:var(--soft)}dd{margin:0}\
code{overflow-wrap:anywhere;font-size:.9em}figure{margin:1rem 0}figcaption{color:var(--soft);font-size:.9rem}\
svg{display:block;width:100%;height:auto;min-height:8rem}svg text{fill:var(--soft);font-size:12px}\
svg path{fill:none;stroke-width:2}.grid{stroke:var(--line)}\
path.quota{stroke:var(--quota);stroke-dasharray:5 4}path.exposed,path.in-favour{stroke:var(--exposed)}\
path.healthy{stroke:var(--healthy)}path.failed,path.against{stroke:var(--failed)}\
span.quota{color:var(--quota)}span.exposed,span.in-favour{color:var(--exposed)}span.healthy{color:var(--healthy)}\
span.failed,span.against{color:var(--failed)}\
.story{padding:0;list-style:none;font-size:.9rem}.story li{padding:.3rem 0;border-top:1px solid var(--line);\
overflow-wrap:anywhere}time{color:var(--soft);margin-right:.5rem;font-variant-numeric:tabular-nums}\
</style></head><body><main>";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Case;
    use crate::options::{Options, Profile};

    #[test]
    fn a_page_shows_every_rollout_and_its_decisions() {
        let case = Case::draw(&Options { seed: 1, devices: 5, hours: 12, profile: Profile::Calm });
        let verdict = crate::run_told(&case);
        let page = page(&verdict, &verdict.replay());
        assert!(
            page.contains("rain-v1-r1")
                && page.contains("Every invariant held.")
                && page.contains("<path class=\"exposed\"")
        );
        assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("NaN"));
        assert!(verdict.timeline.points.iter().all(|p| p.exposed <= p.quota));
    }
}
