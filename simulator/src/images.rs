//! Which of the possible images a disk shows after a sudden end: drawn by chance, or every one in turn.
use std::cell::RefCell;
use std::rc::Rc;

use crate::limits::SCRIPT_CHOICES_MAX;
use crate::rng::Rng;

/// What became of a byte range that was in the page cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    /// It was written.
    There,
    /// Its blocks are zero.
    Zeroed,
    /// Its end is zero.
    Torn,
}

/// Chooses among images.
#[derive(Debug)]
pub enum Images {
    /// By chance.
    Random(Rng),
    /// As a script says that goes through all of them.
    Script(Rc<RefCell<Script>>),
}

impl Images {
    /// Returns a number below `n`, which is at least 1.
    pub fn pick(&mut self, n: usize) -> usize {
        match self {
            Self::Random(rng) => rng.index(n),
            Self::Script(script) => script.borrow_mut().pick(n),
        }
    }

    /// Returns the fates of `count` unsynced ranges: each for itself, or in a script one of four patterns, since all
    /// combinations would be 3 to the power of `count`.
    pub fn ranges(&mut self, count: usize) -> Vec<Survival> {
        if count == 0 {
            return Vec::new();
        }
        if let Self::Random(rng) = self {
            let fates = [Survival::There, Survival::Zeroed, Survival::Torn];
            return (0..count).map(|_| fates[rng.index(3)]).collect();
        }
        let half = count / 2;
        match self.pick(4) {
            0 => vec![Survival::There; count],
            1 => vec![Survival::Zeroed; count],
            2 => (0..count).map(|i| if i < half { Survival::There } else { Survival::Zeroed }).collect(),
            _ => (0..count).map(|i| if i + 1 < count { Survival::There } else { Survival::Torn }).collect(),
        }
    }
}

/// Goes through all combinations of choices, one run after the other: an odometer whose wheels are found on the way.
#[derive(Debug, Default)]
pub struct Script {
    /// What is chosen at each place, and among how many.
    wheels: Vec<(usize, usize)>,
    place: usize,
}

impl Script {
    fn pick(&mut self, n: usize) -> usize {
        // Many ways (where a range is torn) are represented by the first, the middle and the last.
        let ways = if n <= 4 { n } else { 3 };
        let at = self.place;
        self.place += 1;
        if at >= SCRIPT_CHOICES_MAX {
            return 0;
        }
        if at == self.wheels.len() {
            self.wheels.push((0, ways));
        }
        let chosen = self.wheels[at].0;
        match (n <= 4, chosen) {
            (true, _) | (false, 0) => chosen,
            (false, 1) => n / 2,
            (false, _) => n - 1,
        }
    }

    /// Prepares the next combination; returns `false` after the last.
    pub fn next(&mut self) -> bool {
        self.place = 0;
        while let Some((chosen, ways)) = self.wheels.pop() {
            if chosen + 1 < ways {
                self.wheels.push((chosen + 1, ways));
                return true;
            }
        }
        false
    }

    /// Returns what was chosen.
    pub fn choices(&self) -> Vec<usize> {
        self.wheels.iter().map(|(chosen, _)| *chosen).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_goes_through_every_combination_once() {
        let script = Rc::new(RefCell::new(Script::default()));
        let mut seen = Vec::new();
        loop {
            let mut images = Images::Script(Rc::clone(&script));
            // The second question is only asked after one of the first answers.
            let first = images.pick(3);
            let second = if first == 1 { images.pick(2) } else { 9 };
            seen.push((first, second));
            if !script.borrow_mut().next() {
                break;
            }
        }
        assert_eq!(seen, [(0, 9), (1, 0), (1, 1), (2, 9)]);
    }

    #[test]
    fn unsynced_ranges_meet_every_fate() {
        let mut images = Images::Random(Rng::stream(1, "images"));
        let fates: Vec<Survival> = (0..40).flat_map(|_| images.ranges(3)).collect();
        for fate in [Survival::There, Survival::Zeroed, Survival::Torn] {
            assert!(fates.contains(&fate));
        }
    }
}
