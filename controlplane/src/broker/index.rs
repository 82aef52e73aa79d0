//! Which sessions a topic concerns: a tree of topic levels.

use std::collections::BTreeMap;

use super::packet::Qos;

/// Numbers a session for as long as the broker runs.
pub type SessionId = u64;

/// What a subscription grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The highest QoS granted.
    pub qos: Qos,
    /// Whether the session's own messages are left out.
    pub no_local: bool,
    /// Whether the retain flag is forwarded as published.
    pub retain_as_published: bool,
}

/// All subscriptions of all sessions.
#[derive(Debug, Default)]
pub struct SubscriptionIndex {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    children: BTreeMap<Box<str>, Box<Node>>,
    /// Subscriptions whose filter ends here.
    here: BTreeMap<SessionId, Grant>,
    /// Subscriptions whose filter ends here with `#`.
    below: BTreeMap<SessionId, Grant>,
}

impl Node {
    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.here.is_empty() && self.below.is_empty()
    }
}

impl SubscriptionIndex {
    /// Adds or replaces a subscription of a valid filter.
    pub fn insert(&mut self, filter: &str, session: SessionId, grant: Grant) {
        let mut node = &mut self.root;
        for level in filter.split('/') {
            if level == "#" {
                node.below.insert(session, grant);
                return;
            }
            node = node.children.entry(level.into()).or_default();
        }
        node.here.insert(session, grant);
    }

    /// Removes a subscription; removing one that does not exist changes nothing.
    pub fn remove(&mut self, filter: &str, session: SessionId) {
        remove(&mut self.root, &mut filter.split('/'), session);
    }

    /// Returns the sessions with a subscription that matches a valid topic, in order, each once, with
    /// the highest QoS of its matching subscriptions. A session's own message is left out if all of them say so.
    pub fn matching(&self, topic: &str, publisher: Option<SessionId>) -> Vec<(SessionId, Grant)> {
        let mut found = Vec::new();
        let levels: Vec<&str> = topic.split('/').collect();
        collect(&self.root, &levels, !topic.starts_with('$'), &mut found);
        found.retain(|(session, grant)| !(grant.no_local && publisher == Some(*session)));
        found.sort_by_key(|(session, _)| *session);
        found.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1.qos = kept.1.qos.max(next.1.qos);
                kept.1.retain_as_published |= next.1.retain_as_published;
            }
            same
        });
        found
    }
}

fn remove(node: &mut Node, levels: &mut std::str::Split<'_, char>, session: SessionId) {
    match levels.next() {
        None => {
            node.here.remove(&session);
        }
        Some("#") => {
            node.below.remove(&session);
        }
        Some(level) => {
            if let Some(child) = node.children.get_mut(level) {
                remove(child, levels, session);
                if child.is_empty() {
                    node.children.remove(level);
                }
            }
        }
    }
}

/// Depth is bounded by the number of levels, which [`super::topic::check_name`] bounds.
fn collect(node: &Node, levels: &[&str], wildcards: bool, found: &mut Vec<(SessionId, Grant)>) {
    if wildcards {
        found.extend(node.below.iter().map(|(s, g)| (*s, *g)));
    }
    let Some((level, rest)) = levels.split_first() else {
        found.extend(node.here.iter().map(|(s, g)| (*s, *g)));
        return;
    };
    if let Some(child) = node.children.get(*level) {
        collect(child, rest, true, found);
    }
    if wildcards && let Some(child) = node.children.get("+") {
        collect(child, rest, true, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::topic::{check_filter, check_name, matches};
    use proptest::prelude::*;

    fn grant(qos: Qos) -> Grant {
        Grant { qos, no_local: false, retain_as_published: false }
    }

    fn text(wild: bool) -> impl Strategy<Value = String> {
        let levels = if wild { vec!["a", "b", "", "$x", "+", "#"] } else { vec!["a", "b", "", "$x"] };
        proptest::collection::vec(proptest::sample::select(levels), 1..5).prop_map(|l| l.join("/"))
    }

    proptest! {
        #[test]
        fn the_tree_finds_exactly_what_matching_one_by_one_finds(
            filters in proptest::collection::vec((text(true), 0_u64..6), 0..20),
            removed in proptest::collection::vec((text(true), 0_u64..6), 0..6),
            topic in text(false),
        ) {
            prop_assume!(check_name(&topic).is_ok());
            let mut index = SubscriptionIndex::default();
            let mut plain: BTreeMap<(String, u64), ()> = BTreeMap::new();
            for (f, s) in filters.iter().filter(|(f, _)| check_filter(f).is_ok()) {
                index.insert(f, *s, grant(Qos::AtLeastOnce));
                plain.insert((f.clone(), *s), ());
            }
            for (f, s) in removed.iter().chain(filters.iter().take(3)) {
                if check_filter(f).is_ok() {
                    index.remove(f, *s);
                    plain.remove(&(f.clone(), *s));
                }
            }
            let mut expected: Vec<u64> = plain.keys().filter(|(f, _)| matches(f, &topic)).map(|(_, s)| *s).collect();
            expected.sort_unstable();
            expected.dedup();
            let found: Vec<u64> = index.matching(&topic, None).into_iter().map(|(s, _)| s).collect();
            prop_assert_eq!(found, expected);
            for (f, s) in plain.keys() {
                index.remove(f, *s);
            }
            prop_assert!(index.root.is_empty(), "nothing stays behind");
        }
    }

    #[test]
    fn overlapping_subscriptions_deliver_once_with_the_highest_qos() {
        let mut index = SubscriptionIndex::default();
        index.insert("a/#", 1, grant(Qos::AtMostOnce));
        index.insert("a/+", 1, grant(Qos::AtLeastOnce));
        index.insert("a/b", 2, Grant { no_local: true, ..grant(Qos::AtMostOnce) });
        assert_eq!(index.matching("a/b", Some(2)), vec![(1, grant(Qos::AtLeastOnce))]);
        assert_eq!(index.matching("a/b", Some(1)).len(), 2);
    }
}
