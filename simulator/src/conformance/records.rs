//! Records in two files, written one after the other: one damaged file leaves the other, a replacement is whole.
use pinnace_protocol::trust::{Floors, Recovered};

use super::{Damage, Held, Rule, want};
use crate::disk::TwoSlot;

/// A record in two files, with ways to damage them.
pub trait Record {
    /// Returns both files as a start finds them.
    ///
    /// # Errors
    /// What the disk said.
    fn load(&self) -> Result<[Option<Vec<u8>>; 2], String>;
    /// Replaces both files, one after the other.
    ///
    /// # Errors
    /// What the disk said.
    fn store(&mut self, bytes: &[u8]) -> Held;
    /// The process dies while it replaces file `at`, the one before it being replaced already: `is_done` tells whether
    /// the new content got the file's name.
    ///
    /// # Errors
    /// What the disk said.
    fn die_storing(&mut self, bytes: &[u8], at: usize, is_done: bool) -> Held;
    /// Damages one file.
    ///
    /// # Errors
    /// What the disk said.
    fn damage(&mut self, at: usize, damage: Damage) -> Held;
}

/// Any record.
pub type Tested = dyn Record;

/// What such a record must do.
pub const RULES: &[Rule<Tested>] = &[
    Rule { name: "a new record has no files", check: starts_empty },
    Rule { name: "both files hold what was stored last", check: holds_the_last },
    Rule { name: "one damaged file leaves the other", check: survives_damage },
    Rule { name: "two damaged files are noticed", check: notices_loss },
    Rule { name: "a death leaves each file wholly old or wholly new, the first before the second", check: is_whole },
    Rule { name: "what an interrupted replacement left behind is in nobody's way", check: goes_on },
];

/// Returns the record of floors whose time is `time`; the same length for all of them.
fn floors(time: u64) -> Vec<u8> {
    let mut floors = Floors::default();
    floors.raise_time(1_800_000_000 + time);
    floors.encode()
}

fn time(record: &dyn Record) -> Result<Option<u64>, String> {
    let [first, second] = record.load()?;
    Ok(match Floors::recover(first.as_deref(), second.as_deref()) {
        Recovered::Floors(floors) => Some(floors.time() - 1_800_000_000),
        Recovered::BothLost => None,
    })
}

fn recovers(record: &dyn Record, expected: Option<u64>, after: &str) -> Held {
    let found = time(record)?;
    want(found == expected, || format!("after {after} it is {found:?} in place of {expected:?}"))
}

fn starts_empty(record: &mut Tested) -> Held {
    want(record.load()? == [None, None], || "there is a file already".into())
}

fn holds_the_last(record: &mut Tested) -> Held {
    for n in 1..4 {
        record.store(&floors(n))?;
        want(record.load()? == [Some(floors(n)), Some(floors(n))], || format!("record {n} is not in both files"))?;
    }
    Ok(())
}

fn survives_damage(record: &mut Tested) -> Held {
    for at in 0..2 {
        for damage in [Damage::Flipped, Damage::Cut, Damage::Missing, Damage::Oversized] {
            record.store(&floors(5))?;
            record.damage(at, damage)?;
            recovers(record, Some(5), &format!("{damage:?} of file {at}"))?;
            // The next one repairs it.
            record.store(&floors(6))?;
            want(record.load()? == [Some(floors(6)), Some(floors(6))], || format!("{damage:?} is not repaired"))?;
        }
    }
    Ok(())
}

fn notices_loss(record: &mut Tested) -> Held {
    recovers(record, None, "nothing")?;
    for damage in [Damage::Flipped, Damage::Cut, Damage::Missing, Damage::Oversized] {
        record.store(&floors(5))?;
        record.damage(0, damage)?;
        record.damage(1, damage)?;
        recovers(record, None, &format!("{damage:?} of both files"))?;
    }
    Ok(())
}

fn is_whole(record: &mut Tested) -> Held {
    let mut n = 1;
    for at in 0..2 {
        for is_done in [false, true] {
            record.store(&floors(n))?;
            record.die_storing(&floors(n + 1), at, is_done)?;
            let (old, new) = (Some(floors(n)), Some(floors(n + 1)));
            let found = record.load()?;
            let expected = match (at, is_done) {
                (0, false) => [old.clone(), old],
                (0, true) | (1, false) => [new, old],
                _ => [new.clone(), new],
            };
            want(found == expected, || format!("a death at file {at}, done: {is_done}, leaves something else"))?;
            n += 2;
        }
    }
    Ok(())
}

fn goes_on(record: &mut Tested) -> Held {
    for at in 0..2 {
        record.die_storing(&floors(1), at, false)?;
        record.store(&floors(2))?;
        want(record.load()? == [Some(floors(2)), Some(floors(2))], || "the next one is not in both files".into())?;
        record.die_storing(&floors(3), at, false)?;
        recovers(record, Some(if at == 0 { 2 } else { 3 }), "a second death")?;
    }
    Ok(())
}

/// Bytes of a file that is longer than any record.
const OVERSIZED: usize = 256 * 1024 + 1;

/// The model's record.
#[derive(Default)]
struct Virtual(TwoSlot);

/// Returns the model's record.
///
/// # Errors
/// Never.
pub fn model() -> Result<Box<dyn Record>, String> {
    Ok(Box::new(Virtual::default()))
}

impl Record for Virtual {
    fn load(&self) -> Result<[Option<Vec<u8>>; 2], String> {
        Ok(self.0.files.clone())
    }

    fn store(&mut self, bytes: &[u8]) -> Held {
        (0..2).for_each(|at| self.0.write(at, bytes));
        Ok(())
    }

    fn die_storing(&mut self, bytes: &[u8], at: usize, is_done: bool) -> Held {
        (0..at).for_each(|before| self.0.write(before, bytes));
        // The two images that the model chooses from.
        if is_done {
            self.0.write(at, bytes);
        }
        Ok(())
    }

    fn damage(&mut self, at: usize, damage: Damage) -> Held {
        let file = self.0.files.get_mut(at).ok_or("there are two files")?;
        *file = file.take().and_then(|bytes| damage.apply(&bytes, OVERSIZED));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{broken, hold};
    use crate::images::Images;
    use crate::rng::Rng;

    #[test]
    fn the_model_keeps_the_rules() {
        hold(RULES, model).unwrap();
    }

    #[test]
    fn an_interrupted_write_of_the_model_is_one_of_the_two_images() {
        let mut images = Images::Random(Rng::stream(1, "conformance/records"));
        let mut seen = [0, 0];
        for _ in 0..50 {
            let mut file = TwoSlot::default();
            file.write(0, b"old");
            file.interrupt(0, b"new", &mut images);
            seen[usize::from(file.files[0].as_deref() == Some(b"new"))] += 1;
            assert!([b"old", b"new"].iter().any(|known| file.files[0].as_deref() == Some(*known)));
        }
        assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Bug {
        /// Has files from before.
        Haunted,
        /// Writes the first file only.
        OneFile,
        /// Writes in place: a death leaves a torn file.
        Torn,
        /// Writes the second file first.
        WrongOrder,
        /// Hides damage: finds what was stored whatever happened to the files.
        Cached,
        /// Gives up after an interrupted replacement.
        Stuck,
        /// Reads the first file twice.
        FirstTwice,
    }

    struct Broken(Virtual, Bug, Option<Vec<u8>>);

    impl Record for Broken {
        fn load(&self) -> Result<[Option<Vec<u8>>; 2], String> {
            let [first, second] = self.0.load()?;
            Ok(match self.1 {
                Bug::Cached => [self.2.clone(), self.2.clone()],
                Bug::FirstTwice => [first.clone(), first],
                Bug::Haunted => [first.or_else(|| Some(floors(0))), second],
                _ => [first, second],
            })
        }

        fn store(&mut self, bytes: &[u8]) -> Held {
            match self.1 {
                Bug::OneFile => self.0.0.write(0, bytes),
                Bug::Stuck if self.2.is_some() => {}
                Bug::Cached => self.2 = Some(bytes.to_vec()),
                _ => self.0.store(bytes)?,
            }
            Ok(())
        }

        fn die_storing(&mut self, bytes: &[u8], at: usize, is_done: bool) -> Held {
            match self.1 {
                Bug::Torn if !is_done => self.0.die_storing(&bytes[..bytes.len() / 2], at, true),
                Bug::WrongOrder => {
                    self.0.0.write(1, bytes);
                    Ok(())
                }
                Bug::Stuck => {
                    self.2 = Some(Vec::new());
                    self.0.die_storing(bytes, at, is_done)
                }
                _ => self.0.die_storing(bytes, at, is_done),
            }
        }

        fn damage(&mut self, at: usize, damage: Damage) -> Held {
            self.0.damage(at, damage)
        }
    }

    #[test]
    fn every_rule_sees_a_bug() {
        use Bug::{Cached, FirstTwice, Haunted, OneFile, Stuck, Torn, WrongOrder};
        let bugs = [Haunted, OneFile, Torn, WrongOrder, Cached, Stuck, FirstTwice];
        broken::all_are_seen(RULES, &bugs, |bug| Box::new(Broken(Virtual::default(), bug, None)) as Box<dyn Record>);
    }
}
