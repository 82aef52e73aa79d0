//! Reports: JUnit for CI, JSON for programs, a page for people.
mod html;
mod json;
mod junit;

pub use html::{page, scenario_page};
pub use json::{sweep_json, verdict_json};
pub use junit::junit;

/// Writes text so that XML and HTML read it back as text; what neither can hold is left out.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() && c != '\n' && c != '\t' => {}
            c => out.push(c),
        }
    }
    out
}
