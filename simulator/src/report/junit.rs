//! JUnit XML of a sweep: one test case for each seed, grouped by profile, as CI systems show them.
use std::fmt::Write as _;

use super::escape;
use crate::sweep::Swept;

/// Returns the report of a sweep.
pub fn junit(swept: &Swept) -> String {
    let (tests, failures) = (swept.cases.len(), swept.failed + u64::from(swept.false_rollbacks().is_some()));
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let seconds = swept.took.as_secs_f64();
    _ = writeln!(
        out,
        "<testsuites name=\"pinnace sim sweep\" tests=\"{tests}\" failures=\"{failures}\" time=\"{seconds:.3}\">"
    );
    let mut profiles: Vec<_> = swept.cases.iter().map(|ran| ran.profile).collect();
    profiles.sort_unstable();
    profiles.dedup();
    for profile in profiles {
        let mine: Vec<_> = swept.cases.iter().filter(|ran| ran.profile == profile).collect();
        let failed = mine.iter().filter(|ran| !ran.held).count();
        let time: f64 = mine.iter().map(|ran| ran.took.as_secs_f64()).sum();
        _ = writeln!(
            out,
            "  <testsuite name=\"{profile}\" tests=\"{}\" failures=\"{failed}\" time=\"{time:.3}\">",
            mine.len()
        );
        for ran in mine {
            let head = format!(
                "    <testcase classname=\"{profile}\" name=\"seed {:x}\" time=\"{:.3}\"",
                ran.seed,
                ran.took.as_secs_f64()
            );
            if ran.held {
                _ = writeln!(out, "{head}/>");
                continue;
            }
            let told = swept.failures.iter().find(|v| v.options.seed == ran.seed);
            let (message, text) = match told.and_then(|v| v.violation.as_ref().map(|violation| (v, violation))) {
                Some((verdict, violation)) => {
                    (violation.check.to_string(), format!("{violation}\n\n{verdict}\nreplay: {}", verdict.replay()))
                }
                None => ("an invariant was violated".into(), "run the seed alone for its story".into()),
            };
            _ = writeln!(
                out,
                "{head}>\n      <failure message=\"{}\">{}</failure>\n    </testcase>",
                escape(&message),
                escape(&text)
            );
        }
        out.push_str("  </testsuite>\n");
    }
    if let Some(why) = swept.false_rollbacks() {
        _ = writeln!(
            out,
            "  <testsuite name=\"all seeds\" tests=\"1\" failures=\"1\"><testcase name=\"L4\"><failure message=\"{}\"/></testcase></testsuite>",
            escape(&why)
        );
    }
    out.push_str("</testsuites>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Profile;
    use crate::sweep::Ran;
    use std::time::Duration;

    #[test]
    fn failures_are_named_and_escaped() {
        let ran = |seed, held| Ran { seed, profile: Profile::Chaos, took: Duration::from_millis(5), held };
        let swept = Swept { cases: vec![ran(1, true), ran(2, false)], failed: 1, ..Swept::default() };
        let text = junit(&swept);
        assert!(
            text.contains("tests=\"2\" failures=\"1\"")
                && text.contains("name=\"seed 2\"")
                && text.contains("<failure")
        );
        assert_eq!(escape("<a b=\"c\">&\u{1}"), "&lt;a b=&quot;c&quot;&gt;&amp;");
    }
}
