//! What happened: lines for people, one hash over everything for machines.
//!
//! Lines cost more than the run itself, so a run tells none unless asked. The hash is the same either way: a violation
//! is told by running its seed once more.
use std::collections::VecDeque;
use std::fmt;

use crate::limits::{LINE_MAX_BYTES, REPEATS_AMONG, STORY_LINES};

/// Whose story it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    /// A device by index.
    Device(usize),
    /// The control plane and the person who operates it.
    Plane,
}

/// A moment in virtual time, shown as `h:mm:ss.mmm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(
    /// Virtual milliseconds since the beginning.
    pub u64,
);

impl Moment {
    /// Reads `h:mm:ss` or `h:mm:ss.mmm`.
    ///
    /// # Errors
    /// A text with a hint.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{}` is no moment\n  hint: hours:minutes:seconds, e.g. 12:03:11", text.escape_debug());
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let numbers: Vec<u64> = whole.split(':').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
        let [h, m, s] = numbers[..] else { return Err(wrong()) };
        let ms: u64 = format!("{part:0<3}").get(..3).and_then(|p| p.parse().ok()).ok_or_else(wrong)?;
        let seconds =
            h.checked_mul(3600).and_then(|x| x.checked_add(m.checked_mul(60)?)).and_then(|x| x.checked_add(s));
        seconds.and_then(|s| s.checked_mul(1000)).map(|x| Self(x + ms)).ok_or_else(wrong)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (s, ms) = (self.0 / 1000, self.0 % 1000);
        write!(f, "{}:{:02}:{:02}.{ms:03}", s / 3600, s / 60 % 60, s % 60)
    }
}

/// Something that a node did, perhaps several times in a row.
struct Line {
    at: u64,
    /// Orders lines of the same moment over all nodes.
    order: u64,
    text: String,
    times: u32,
}

/// Keeps the stories and the hash.
pub struct Story {
    /// Empty while nothing is told.
    devices: Vec<VecDeque<Line>>,
    plane: VecDeque<Line>,
    is_told: bool,
    order: u64,
    hash: u64,
}

impl Story {
    /// Returns empty stories for so many devices; lines are kept only when `is_told`.
    pub fn new(devices: usize, is_told: bool) -> Self {
        let devices = if is_told { (0..devices).map(|_| VecDeque::new()).collect() } else { Vec::new() };
        Self { devices, plane: VecDeque::new(), is_told, order: 0, hash: 0xcbf2_9ce4_8422_2325 }
    }

    /// Returns whether lines are kept.
    pub fn is_told(&self) -> bool {
        self.is_told
    }

    /// Adds a line, when lines are kept.
    pub fn tell(&mut self, now: u64, node: Node, text: impl fmt::Display) {
        if !self.is_told {
            return;
        }
        let mut text = text.to_string();
        if text.len() > LINE_MAX_BYTES {
            let end = (0..=LINE_MAX_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(end);
        }
        let lines = match node {
            Node::Device(index) => match self.devices.get_mut(index) {
                Some(lines) => lines,
                None => return,
            },
            Node::Plane => &mut self.plane,
        };
        // Heartbeats and windows take turns: what repeats is told once, with its newest time.
        let recent = lines.len().saturating_sub(REPEATS_AMONG)..lines.len();
        let known = recent.rev().find(|at| lines[*at].text == text).and_then(|at| lines.remove(at));
        if lines.len() == STORY_LINES {
            lines.pop_front();
        }
        self.order += 1;
        lines.push_back(Line { at: now, order: self.order, text, times: known.map_or(1, |line| line.times + 1) });
    }

    /// Takes bytes into the hash.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let words = bytes.chunks_exact(8);
        let rest = words.remainder().iter().fold(bytes.len() as u64, |acc, b| (acc << 8) | u64::from(*b));
        for word in words {
            self.mix(u64::from_le_bytes(word.try_into().unwrap_or_default()));
        }
        self.mix(rest);
    }

    /// Takes a number into the hash.
    pub fn mix(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }

    /// Returns the hash of everything so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Returns the last lines of some nodes in the order of time, at most [`STORY_LINES`]; lines of several nodes name
    /// theirs by `name`.
    pub fn of(&self, nodes: &[Node], name: impl Fn(Node) -> String) -> Vec<String> {
        let lines = |node: Node| match node {
            Node::Device(index) => self.devices.get(index),
            Node::Plane => Some(&self.plane),
        };
        let mut all: Vec<(Node, &Line)> =
            nodes.iter().flat_map(|node| lines(*node).into_iter().flatten().map(|line| (*node, line))).collect();
        all.sort_by_key(|(_, line)| line.order);
        let from = all.len().saturating_sub(STORY_LINES);
        let told = all[from..].iter().map(|(node, line)| {
            let whose = if nodes.len() > 1 { format!("{}: ", name(*node)) } else { String::new() };
            let times = if line.times > 1 { format!(" ({} times)", line.times) } else { String::new() };
            format!("{} {whose}{}{times}", Moment(line.at), line.text)
        });
        told.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(node: Node) -> String {
        format!("{node:?}")
    }

    #[test]
    fn only_the_last_lines_stay() {
        let mut story = Story::new(1, true);
        for i in 0..STORY_LINES + 3 {
            story.tell(3_661_001, Node::Device(0), i);
        }
        let lines = story.of(&[Node::Device(0)], name);
        assert_eq!((lines.len(), lines[0].as_str()), (STORY_LINES, "1:01:01.001 3"));
        assert!(story.of(&[Node::Plane], name).is_empty());
        for _ in 0..3 {
            story.tell(0, Node::Plane, "beats");
            story.tell(0, Node::Plane, "counts");
        }
        assert_eq!(story.of(&[Node::Plane], name), ["0:00:00.000 beats (3 times)", "0:00:00.000 counts (3 times)"]);
        let both = story.of(&[Node::Plane, Node::Device(0)], name);
        assert_eq!((both.len(), both[STORY_LINES - 1].as_str()), (STORY_LINES, "0:00:00.000 Plane: counts (3 times)"));
    }

    #[test]
    fn the_hash_does_not_depend_on_what_is_told() {
        let (mut told, mut silent) = (Story::new(1, true), Story::new(1, false));
        for story in [&mut told, &mut silent] {
            story.bytes(b"a message of more than eight bytes");
            story.tell(1, Node::Plane, "says something");
            story.mix(7);
        }
        assert_eq!(told.hash(), silent.hash());
        silent.bytes(b"");
        assert_ne!(told.hash(), silent.hash());
    }

    #[test]
    fn moments_read_back() {
        for ms in [0, 3_661_001, 12 * 3_600_000 + 191_000] {
            assert_eq!(Moment::parse(&Moment(ms).to_string()), Ok(Moment(ms)));
        }
        assert_eq!(Moment::parse("12:03:11"), Ok(Moment(43_391_000)));
        assert!(Moment::parse("noon").unwrap_err().contains("hint"));
    }
}
