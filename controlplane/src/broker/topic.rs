//! Topic names and filters: validity, matching, and whether one filter covers another.

use super::limits::{TOPIC_MAX_BYTES, TOPIC_MAX_LEVELS};

/// Says why a text is no topic name or topic filter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// The text has no characters.
    #[error("the topic is empty")]
    Empty,
    /// The text has more than [`TOPIC_MAX_BYTES`] bytes.
    #[error("the topic has more than {TOPIC_MAX_BYTES} bytes")]
    TooLong,
    /// The text has more than [`TOPIC_MAX_LEVELS`] levels.
    #[error("the topic has more than {TOPIC_MAX_LEVELS} levels")]
    TooDeep,
    /// The text holds NUL.
    #[error("the topic holds NUL")]
    Nul,
    /// A topic name holds `+` or `#`, or a filter holds them elsewhere than alone on a level.
    #[error("`+` or `#` stands where it has no meaning")]
    Wildcard,
}

fn check_shape(text: &str) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if text.len() > TOPIC_MAX_BYTES {
        return Err(TopicError::TooLong);
    }
    if text.contains('\0') {
        return Err(TopicError::Nul);
    }
    if text.split('/').count() > TOPIC_MAX_LEVELS {
        return Err(TopicError::TooDeep);
    }
    Ok(())
}

/// Checks a topic name, as used in PUBLISH and wills.
///
/// # Errors
/// [`TopicError`] when it is empty, too long or deep, or holds NUL, `+` or `#`.
pub fn check_name(topic: &str) -> Result<(), TopicError> {
    check_shape(topic)?;
    if topic.contains(['+', '#']) { Err(TopicError::Wildcard) } else { Ok(()) }
}

/// Checks a topic filter, as used in SUBSCRIBE: `+` fills a whole level, `#` only the last one.
///
/// # Errors
/// [`TopicError`], as for names, but wildcards are refused only in the wrong place.
pub fn check_filter(filter: &str) -> Result<(), TopicError> {
    check_shape(filter)?;
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let last = levels.peek().is_none();
        match level {
            "+" => {}
            "#" if last => {}
            other if other.contains(['+', '#']) => return Err(TopicError::Wildcard),
            _ => {}
        }
    }
    Ok(())
}

/// Returns whether the filter asks for a shared subscription, in any spelling a broker might accept.
pub fn is_shared(filter: &str) -> bool {
    filter
        .split('/')
        .next()
        .is_some_and(|first| first.eq_ignore_ascii_case("$share") || first.eq_ignore_ascii_case("$queue"))
}

/// Returns whether a valid `filter` matches a valid `topic` name.
///
/// A filter that begins with a wildcard does not match topics that begin with `$`.
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) => return true,
            (Some("+"), Some(_)) => {}
            (Some(f), Some(t)) if f == t => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

/// Returns whether every topic that the valid filter `inner` can match is also matched by the valid filter `outer`.
pub fn covers(outer: &str, inner: &str) -> bool {
    if inner.starts_with('$') && outer.starts_with(['+', '#']) {
        return false;
    }
    // Every topic has a first level, so both match the same; below the first level they differ.
    let inner = if inner == "#" { "+/#" } else { inner };
    let (mut outer, mut inner) = (outer.split('/'), inner.split('/'));
    loop {
        match (outer.next(), inner.next()) {
            // Also when `inner` has ended: `a/#` matches `a` itself.
            (Some("#"), _) => return true,
            // Anything of fixed depth cannot cover all depths.
            (_, Some("#")) => return false,
            (Some("+"), Some(_)) => {}
            (Some(_), Some("+")) => return false,
            (Some(o), Some(i)) if o == i => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

/// Returns the levels of a filter before its first wildcard: every topic it matches begins with this text.
pub fn literal_prefix(filter: &str) -> &str {
    let mut end = 0_usize;
    for level in filter.split('/') {
        if level == "+" || level == "#" {
            return &filter[..end.saturating_sub(1)];
        }
        end += level.len() + 1;
    }
    filter
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every topic over a small alphabet up to a depth one beyond the longest generated filter.
    fn all_topics() -> Vec<String> {
        let alphabet = ["a", "b", "other", "", "$x"];
        let mut all: Vec<Vec<&str>> = vec![vec![]];
        let mut topics = Vec::new();
        for _ in 0..4 {
            all = all
                .iter()
                .flat_map(|t| alphabet.iter().map(move |l| t.iter().copied().chain([*l]).collect()))
                .collect();
            topics.extend(all.iter().map(|t| t.join("/")));
        }
        topics
    }

    fn filter() -> impl Strategy<Value = String> {
        let level = prop_oneof![Just("a"), Just("b"), Just("+"), Just(""), Just("$x")];
        (proptest::collection::vec(level, 1..=3), any::<bool>())
            .prop_map(|(mut levels, hash)| {
                if hash {
                    levels.pop();
                    levels.push("#");
                }
                levels.join("/")
            })
            .prop_filter("valid", |f| check_filter(f).is_ok())
    }

    proptest! {
        #[test]
        fn covering_is_exactly_inclusion_of_matches(outer in filter(), inner in filter()) {
            let included = all_topics().iter().all(|t| !matches(&inner, t) || matches(&outer, t));
            prop_assert_eq!(covers(&outer, &inner), included, "outer {} inner {}", outer, inner);
        }

        #[test]
        fn a_filter_matches_only_what_begins_with_its_literal_prefix(f in filter()) {
            for t in all_topics().iter().filter(|t| matches(&f, t)) {
                prop_assert!(t.starts_with(literal_prefix(&f)), "{} {}", f, t);
            }
        }

        #[test]
        fn any_text_is_judged_without_panic(text in "\\PC{0,40}", other in "[ab+#/$]{0,12}") {
            let judged = (check_name(&text).is_ok(), check_filter(&other).is_ok());
            prop_assert!(!(judged.0 && text.contains(['+', '#'])));
            let _ = (matches(&other, &text), covers(&other, &text), literal_prefix(&other), is_shared(&text));
        }
    }

    #[test]
    fn wildcards_stand_only_where_they_mean_something() {
        for good in ["a", "+", "#", "a/+/b", "a/#", "/", "+/+/#", "//"] {
            assert_eq!(check_filter(good), Ok(()), "{good}");
        }
        for bad in ["a#", "a/#/b", "#/", "+a", "a/b+/c", "##", "++"] {
            assert_eq!(check_filter(bad), Err(TopicError::Wildcard), "{bad}");
        }
        assert_eq!(check_filter(""), Err(TopicError::Empty));
        assert_eq!(check_name("a/+"), Err(TopicError::Wildcard));
        assert_eq!(check_name("a\0"), Err(TopicError::Nul));
        assert_eq!(check_name(&"a/".repeat(TOPIC_MAX_LEVELS)), Err(TopicError::TooDeep));
        assert_eq!(check_name(&"a".repeat(TOPIC_MAX_BYTES + 1)), Err(TopicError::TooLong));
    }

    #[test]
    fn the_literal_prefix_ends_before_the_first_wildcard() {
        for (filter, prefix) in
            [("a/b", "a/b"), ("a/b/#", "a/b"), ("a/+/b", "a"), ("#", ""), ("+/a", ""), ("//+", "/"), ("/#", "")]
        {
            assert_eq!(literal_prefix(filter), prefix, "{filter}");
        }
    }
}
