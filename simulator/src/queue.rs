//! Virtual time: what happens next. Events of the same millisecond come in an order drawn from the seed, on purpose.
use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::rng::Rng;

struct Entry<T> {
    /// Virtual milliseconds, a random tie-breaker, and the order of insertion for equal draws.
    key: (u64, u64, u64),
    item: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}
impl<T> Eq for Entry<T> {}
impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives the greatest first.
        other.key.cmp(&self.key)
    }
}

/// Events by virtual time.
pub struct Queue<T> {
    heap: BinaryHeap<Entry<T>>,
    ties: Rng,
    count: u64,
    now: u64,
}

impl<T> Queue<T> {
    /// Returns an empty queue at time 0; `ties` orders events of the same millisecond.
    pub fn new(ties: Rng) -> Self {
        Self { heap: BinaryHeap::new(), ties, count: 0, now: 0 }
    }

    /// Returns the present, virtual milliseconds.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Returns when the next event happens, virtual milliseconds.
    pub fn next_at(&self) -> Option<u64> {
        self.heap.peek().map(|entry| entry.key.0)
    }

    /// Adds an event `after` milliseconds from now.
    pub fn after(&mut self, after: u64, item: T) {
        self.at(self.now.saturating_add(after), item);
    }

    /// Adds an event at `at`, not before now.
    pub fn at(&mut self, at: u64, item: T) {
        self.count += 1;
        self.heap.push(Entry { key: (at.max(self.now), self.ties.bits(), self.count), item });
    }

    /// Takes the next event and moves time to it.
    pub fn next(&mut self) -> Option<T> {
        let entry = self.heap.pop()?;
        self.now = entry.key.0;
        Some(entry.item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(seed: u64) -> Vec<u32> {
        let mut queue = Queue::new(Rng::stream(seed, "ties"));
        (0..20).for_each(|i| queue.after(5, i));
        queue.after(4, 100);
        std::iter::from_fn(|| queue.next()).collect()
    }

    #[test]
    fn time_rules_and_the_seed_breaks_ties() {
        let (a, b) = (order(1), order(2));
        assert_eq!((a[0], b[0]), (100, 100));
        assert_ne!(a, b);
        assert_eq!(a, order(1));
    }

    #[test]
    fn nothing_happens_before_now() {
        let mut queue = Queue::new(Rng::stream(1, "ties"));
        queue.at(10, 'a');
        queue.next();
        queue.at(3, 'b');
        assert_eq!((queue.next(), queue.now()), (Some('b'), 10));
    }
}
