//! Regular expressions with the meaning that RE2 gives them: classes of letters, digits and blanks are ASCII.

use regex_automata::Input;
use regex_automata::meta::Regex;

use crate::OperatorError;
use crate::limits::REGEX_BYTES_MAX;

/// A regular expression that takes time linear in the text, and bounded memory.
#[derive(Debug, Clone)]
pub struct Pattern {
    regex: Regex,
}

impl Pattern {
    /// Returns the pattern.
    ///
    /// # Errors
    /// [`OperatorError::Attribute`] for what is no expression or takes more than [`REGEX_BYTES_MAX`].
    pub fn new(operator: &'static str, attribute: &'static str, expression: &str) -> Result<Self, OperatorError> {
        let config = Regex::config().nfa_size_limit(Some(REGEX_BYTES_MAX)).hybrid_cache_capacity(REGEX_BYTES_MAX);
        let built = Regex::builder().configure(config).build(&ascii_classes(expression));
        let refused = |_| OperatorError::attribute(operator, attribute, "is no regular expression, or a too large one");
        Ok(Self { regex: built.map_err(refused)? })
    }

    /// Returns the matches that do not overlap, from left to right; none of them empty.
    pub fn matches<'t>(&self, text: &'t str) -> impl Iterator<Item = (usize, &'t str)> {
        self.regex.find_iter(text).filter(|m| !m.is_empty()).map(move |m| (m.start(), &text[m.range()]))
    }

    /// Returns where the first match from `from` on begins and how long it is.
    pub fn first(&self, text: &str, from: usize) -> Option<(usize, usize)> {
        let found = self.regex.search(&Input::new(text).range(from..))?;
        Some((found.start(), found.len()))
    }

    /// Says whether anything in the text matches.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// Returns the pattern that matches whole texts only.
    ///
    /// # Errors
    /// As [`Pattern::new`].
    pub fn whole(operator: &'static str, attribute: &'static str, expression: &str) -> Result<Self, OperatorError> {
        Self::new(operator, attribute, &format!(r"\A(?:{expression})\z"))
    }
}

/// Writes classes out that RE2 takes as ASCII and Rust's would take as Unicode.
fn ascii_classes(expression: &str) -> String {
    let mut out = String::with_capacity(expression.len());
    let mut letters = expression.chars();
    while let Some(c) = letters.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match letters.next() {
            Some('w') => out.push_str("[0-9A-Za-z_]"),
            Some('W') => out.push_str("[^0-9A-Za-z_]"),
            Some('d') => out.push_str("[0-9]"),
            Some('D') => out.push_str("[^0-9]"),
            Some('s') => out.push_str(r"[\t\n\f\r ]"),
            Some('S') => out.push_str(r"[^\t\n\f\r ]"),
            Some('b') => out.push_str(r"(?-u:\b)"),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_ascii_and_sizes_bounded() {
        let of = |e: &str| Pattern::new("Tokenizer", "tokenexp", e);
        let words: Vec<_> = of(r"\w+").unwrap().matches("été 42_a").map(|m| m.1).collect();
        assert_eq!(words, ["t", "42_a"]);
        assert_eq!(of(r"[\w-]+").unwrap().first("é a-b", 0), Some((3, 3)));
        assert!(of("(").is_err());
        assert!(of(r"(\w{1000}){1000}").is_err());
        assert!(Pattern::whole("RegexFullMatch", "pattern", "a|ab").unwrap().is_match("ab"));
        assert!(!Pattern::whole("RegexFullMatch", "pattern", "a|ab").unwrap().is_match("abc"));
    }
}
