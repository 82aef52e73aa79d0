//! What happened: the last lines of every node for people, one hash over everything for machines.
use std::collections::VecDeque;
use std::fmt;

use crate::limits::{LINE_MAX_BYTES, REPEATS_AMONG, STORY_LINES};

/// Whose story it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (s, ms) = (self.0 / 1000, self.0 % 1000);
        write!(f, "{}:{:02}:{:02}.{ms:03}", s / 3600, s / 60 % 60, s % 60)
    }
}

/// Something that a node did, perhaps several times in a row.
struct Line {
    at: u64,
    text: String,
    times: u32,
}

/// Keeps the stories and the hash.
pub struct Story {
    lines: Vec<VecDeque<Line>>,
    plane: VecDeque<Line>,
    hash: u64,
}

impl Story {
    /// Returns empty stories for so many devices.
    pub fn new(devices: usize) -> Self {
        Self {
            lines: (0..devices).map(|_| VecDeque::new()).collect(),
            plane: VecDeque::new(),
            hash: 0xcbf2_9ce4_8422_2325,
        }
    }

    /// Adds a line.
    pub fn tell(&mut self, now: u64, node: Node, text: impl fmt::Display) {
        let mut text = text.to_string();
        if text.len() > LINE_MAX_BYTES {
            let end = (0..=LINE_MAX_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(end);
        }
        self.mix(now);
        self.mix(match node {
            Node::Device(index) => index as u64 + 1,
            Node::Plane => 0,
        });
        self.bytes(text.as_bytes());
        let lines = match node {
            Node::Device(index) => &mut self.lines[index],
            Node::Plane => &mut self.plane,
        };
        // Heartbeats and windows take turns: what repeats is told once, with its newest time.
        let recent = lines.len().saturating_sub(REPEATS_AMONG)..lines.len();
        let known = recent.rev().find(|at| lines[*at].text == text).and_then(|at| lines.remove(at));
        if lines.len() == STORY_LINES {
            lines.pop_front();
        }
        lines.push_back(Line { at: now, text, times: known.map_or(1, |line| line.times + 1) });
    }

    /// Takes bytes into the hash only.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.mix(word.iter().fold(0, |acc, b| (acc << 8) | u64::from(*b)));
        }
        let rest = words.remainder().iter().fold(bytes.len() as u64, |acc, b| (acc << 8) | u64::from(*b));
        self.mix(rest);
    }

    fn mix(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }

    /// Returns the hash of everything so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Returns a node's last lines, each with its virtual time.
    pub fn of(&self, node: Node) -> Vec<String> {
        let lines = match node {
            Node::Device(index) => &self.lines[index],
            Node::Plane => &self.plane,
        };
        let told = lines.iter().map(|line| match line.times {
            1 => format!("{} {}", Moment(line.at), line.text),
            times => format!("{} {} ({times} times)", Moment(line.at), line.text),
        });
        told.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lines_stay_and_the_hash_knows_all() {
        let mut story = Story::new(1);
        let before = story.hash();
        for i in 0..STORY_LINES + 3 {
            story.tell(3_661_001, Node::Device(0), i);
        }
        let lines = story.of(Node::Device(0));
        assert_eq!((lines.len(), lines[0].as_str()), (STORY_LINES, "1:01:01.001 3"));
        assert!(story.of(Node::Plane).is_empty());
        for _ in 0..3 {
            story.tell(0, Node::Plane, "beats");
            story.tell(0, Node::Plane, "counts");
        }
        assert_eq!(story.of(Node::Plane), ["0:00:00.000 beats (3 times)", "0:00:00.000 counts (3 times)"]);
        assert_ne!(story.hash(), before);
    }
}
