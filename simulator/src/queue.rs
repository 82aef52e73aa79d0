//! Virtual time: what happens next. Events of the same millisecond come in an order drawn from the seed, on purpose.
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::rng::Rng;

/// When an event happens and where it lies: small, since a heap moves its entries about.
///
/// Virtual milliseconds, a random tie-breaker, and the place for equal draws; the heap gives the greatest first.
type Entry = Reverse<(u64, u64, u32)>;

/// Events by virtual time.
pub struct Queue<T> {
    heap: BinaryHeap<Entry>,
    items: Vec<Option<T>>,
    /// Places of `items` that are free.
    free: Vec<u32>,
    ties: Rng,
    now: u64,
}

impl<T> Queue<T> {
    /// Returns an empty queue at time 0; `ties` orders events of the same millisecond.
    pub fn new(ties: Rng) -> Self {
        Self { heap: BinaryHeap::new(), items: Vec::new(), free: Vec::new(), ties, now: 0 }
    }

    /// Returns the present, virtual milliseconds.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Returns when the next event happens, virtual milliseconds.
    pub fn next_at(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    /// Adds an event `after` milliseconds from now.
    pub fn after(&mut self, after: u64, item: T) {
        self.at(self.now.saturating_add(after), item);
    }

    /// Adds an event at `at`, not before now.
    pub fn at(&mut self, at: u64, item: T) {
        let place = match self.free.pop() {
            Some(place) => {
                self.items[place as usize] = Some(item);
                place
            }
            None => {
                self.items.push(Some(item));
                self.items.len() as u32 - 1
            }
        };
        self.heap.push(Reverse((at.max(self.now), self.ties.bits(), place)));
    }

    /// Takes the next event and moves time to it.
    pub fn next(&mut self) -> Option<T> {
        let Reverse((at, _, place)) = self.heap.pop()?;
        self.now = at;
        self.free.push(place);
        self.items[place as usize].take()
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
