//! Ledgers: batches are atomic, in order, and durable once committed.
use std::collections::BTreeMap;

use pinnace_agent_core::{Batch, Key, Op};

use super::{Held, Rule, noise, want};
use crate::disk::Disk;
use crate::images::Images;
use crate::rng::Rng;

/// Bytes of a large record: more than sled keeps inline or redb in one page, as a window with many features has.
const LARGE_BYTES: usize = 100_000;
/// Batches of a busy hour: more than fit in a store's first segment or page.
const MANY_BATCHES: u64 = 200;
/// Windows that wait at once while many batches are committed.
const MANY_WAITING: u64 = 20;
/// Deaths within one commit, spread evenly from before its first byte to after its last.
const CUTS: u32 = 16;
/// Per mille of a commit's bytes: all of them.
const WHOLE: u32 = 1000;

/// A store of records, with a way to kill the process that uses it.
pub trait Ledger {
    /// Returns all records.
    ///
    /// # Errors
    /// What the store said.
    fn load(&self) -> Result<Vec<(Key, Vec<u8>)>, String>;
    /// Makes a batch durable.
    ///
    /// # Errors
    /// What the store said.
    fn commit(&mut self, ops: Vec<Op>) -> Held;
    /// Closes it in an orderly way and opens it again.
    ///
    /// # Errors
    /// What the store said.
    fn reopen(&mut self) -> Held;
    /// The process dies; another one opens the store as it was left.
    ///
    /// # Errors
    /// What the store said to the other one.
    fn die(&mut self) -> Held;
    /// The process dies while it commits: of the bytes that the commit changes, the first `permille` are written.
    ///
    /// # Errors
    /// What the store said to the process that opens it next.
    fn die_committing(&mut self, ops: Vec<Op>, permille: u32) -> Held;
}

/// Any ledger.
pub type Tested = dyn Ledger;

/// What a ledger must do.
pub const RULES: &[Rule<Tested>] = &[
    Rule { name: "a new ledger is empty, and stays so", check: starts_empty },
    Rule { name: "a committed batch is there, and there after reopening", check: is_durable },
    Rule { name: "a put replaces, a delete removes, what is not there can be deleted", check: replaces },
    Rule { name: "one batch puts and deletes", check: mixes },
    Rule { name: "windows come by number and metadata by name", check: is_in_order },
    Rule { name: "large and empty values come back byte for byte", check: keeps_sizes },
    Rule { name: "many batches leave the sum of all", check: keeps_count },
    Rule { name: "a death keeps every committed batch", check: survives_death },
    Rule { name: "a batch that never began is not there", check: invents_nothing },
    Rule { name: "a death within a commit leaves the whole batch or nothing of it", check: is_atomic },
];

fn put(key: Key, bytes: &[u8]) -> Op {
    Op::Put { key, bytes: bytes.to_vec() }
}

fn delete(key: Key) -> Op {
    Op::Delete { key }
}

/// Says how two lists of records differ, without their bytes.
fn told(records: &BTreeMap<Key, Vec<u8>>) -> String {
    let sizes: Vec<String> = records.iter().map(|(k, v)| format!("{} ({} bytes)", k.to_text(), v.len())).collect();
    sizes.join(", ")
}

fn found(ledger: &dyn Ledger) -> Result<BTreeMap<Key, Vec<u8>>, String> {
    let records = ledger.load()?;
    let count = records.len();
    let by_key: BTreeMap<Key, Vec<u8>> = records.into_iter().collect();
    want(by_key.len() == count, || "a record is there twice".into())?;
    Ok(by_key)
}

fn holds(ledger: &dyn Ledger, expected: &[(Key, &[u8])]) -> Held {
    let expected = expected.iter().map(|(key, bytes)| (key.clone(), bytes.to_vec())).collect();
    let found = found(ledger)?;
    want(found == expected, || format!("it holds [{}] in place of [{}]", told(&found), told(&expected)))
}

fn starts_empty(ledger: &mut Tested) -> Held {
    holds(ledger, &[])?;
    ledger.reopen()?;
    holds(ledger, &[])
}

fn is_durable(ledger: &mut Tested) -> Held {
    ledger.commit(vec![put(Key::State, b"state"), put(Key::Window(7), b"seven")])?;
    let expected: [(Key, &[u8]); 2] = [(Key::State, b"state"), (Key::Window(7), b"seven")];
    holds(ledger, &expected)?;
    ledger.reopen()?;
    holds(ledger, &expected)
}

fn replaces(ledger: &mut Tested) -> Held {
    ledger.commit(vec![put(Key::State, b"a longer old value"), put(Key::Manifest, b"m")])?;
    ledger.commit(vec![put(Key::State, b"new")])?;
    ledger.commit(vec![delete(Key::Manifest)])?;
    ledger.commit(vec![delete(Key::Window(1))])?;
    holds(ledger, &[(Key::State, b"new")])?;
    ledger.reopen()?;
    holds(ledger, &[(Key::State, b"new")])
}

fn mixes(ledger: &mut Tested) -> Held {
    ledger.commit(vec![put(Key::Window(1), b"1"), put(Key::Window(2), b"2"), put(Key::State, b"s")])?;
    ledger.commit(vec![delete(Key::Window(1)), put(Key::Window(3), b"3"), delete(Key::Window(2))])?;
    ledger.reopen()?;
    holds(ledger, &[(Key::State, b"s"), (Key::Window(3), b"3")])
}

fn is_in_order(ledger: &mut Tested) -> Held {
    for seq in [10, 9, u64::MAX, 0, 100] {
        ledger.commit(vec![put(Key::Window(seq), b"w"), put(Key::Meta(format!("{seq}.json")), b"m")])?;
    }
    ledger.commit(vec![put(Key::State, b"s"), put(Key::DirectorRoot, b"r")])?;
    ledger.reopen()?;
    let records = ledger.load()?;
    want(records.len() == 12, || format!("{} of 12 records are there", records.len()))?;
    let windows = records.iter().filter_map(|(key, _)| if let Key::Window(seq) = key { Some(*seq) } else { None });
    let names = records.iter().filter_map(|(key, _)| if let Key::Meta(name) = key { Some(name) } else { None });
    want(windows.is_sorted(), || "windows are out of order".into())?;
    want(names.is_sorted(), || "metadata is out of order".into())
}

fn keeps_sizes(ledger: &mut Tested) -> Held {
    let (large, second) = (noise(1, LARGE_BYTES), noise(2, LARGE_BYTES));
    ledger.commit(vec![put(Key::Window(1), &large), put(Key::Window(2), b"")])?;
    ledger.commit(vec![put(Key::Window(3), &second)])?;
    ledger.reopen()?;
    holds(ledger, &[(Key::Window(1), &large), (Key::Window(2), b""), (Key::Window(3), &second)])?;
    // In the place of a large one a small one, and the other way round.
    ledger.commit(vec![put(Key::Window(1), b"1"), put(Key::Window(2), &large)])?;
    ledger.die()?;
    holds(ledger, &[(Key::Window(1), b"1"), (Key::Window(2), &large), (Key::Window(3), &second)])
}

/// Commits what an outbox does in a busy hour; returns what must be there then.
fn busy_hour(ledger: &mut Tested) -> Result<BTreeMap<Key, Vec<u8>>, String> {
    let mut expected = BTreeMap::new();
    for seq in 0..MANY_BATCHES {
        let (window, state) = (noise(seq, 50 + seq as usize), seq.to_le_bytes());
        let mut ops = vec![put(Key::Window(seq), &window), put(Key::State, &state)];
        expected.insert(Key::Window(seq), window);
        expected.insert(Key::State, state.to_vec());
        if let Some(done) = seq.checked_sub(MANY_WAITING) {
            ops.push(delete(Key::Window(done)));
            expected.remove(&Key::Window(done));
        }
        ledger.commit(ops)?;
    }
    Ok(expected)
}

fn keeps_count(ledger: &mut Tested) -> Held {
    let expected = busy_hour(ledger)?;
    let found_now = found(ledger)?;
    want(found_now == expected, || format!("it holds [{}] in place of [{}]", told(&found_now), told(&expected)))?;
    ledger.reopen()?;
    let found = found(ledger)?;
    want(found == expected, || format!("it holds [{}] in place of [{}]", told(&found), told(&expected)))
}

fn survives_death(ledger: &mut Tested) -> Held {
    for round in 0..3 {
        ledger.commit(vec![put(Key::Window(round), b"w"), put(Key::State, &[round as u8])])?;
        ledger.die()?;
        let found = found(ledger)?;
        let has = |seq| found.get(&Key::Window(seq)).is_some_and(|bytes| bytes == b"w");
        let is_whole = (0..=round).all(has) && found.get(&Key::State) == Some(&vec![round as u8]);
        want(is_whole, || format!("after death {round} it holds [{}]", told(&found)))?;
    }
    let expected = busy_hour(ledger)?;
    ledger.die()?;
    let found = found(ledger)?;
    want(found == expected, || format!("it holds [{}] in place of [{}]", told(&found), told(&expected)))
}

fn invents_nothing(ledger: &mut Tested) -> Held {
    ledger.commit(vec![put(Key::State, b"old")])?;
    ledger.die_committing(vec![put(Key::State, b"new"), put(Key::Manifest, b"m")], 0)?;
    holds(ledger, &[(Key::State, b"old")])
}

fn is_atomic(ledger: &mut Tested) -> Held {
    let (mut state, mut window) = (b"first".to_vec(), noise(1, 3_000));
    ledger.commit(vec![put(Key::State, &state), put(Key::Window(0), &window)])?;
    for cut in 0..=CUTS {
        let (new_state, new_window) = (format!("state {cut}").into_bytes(), noise(u64::from(cut) + 2, 3_000));
        // The windows of the rounds before must not be touched either way.
        let ops = vec![
            put(Key::State, &new_state),
            delete(Key::Window(u64::from(cut))),
            put(Key::Window(u64::from(cut) + 1), &new_window),
        ];
        let permille = cut * WHOLE / CUTS;
        ledger.die_committing(ops, permille)?;
        let found = found(ledger)?;
        let old = BTreeMap::from([(Key::State, state.clone()), (Key::Window(u64::from(cut)), window.clone())]);
        let new = BTreeMap::from([(Key::State, new_state), (Key::Window(u64::from(cut) + 1), new_window)]);
        want(found == old || found == new, || format!("{permille} per mille written, it holds [{}]", told(&found)))?;
        want(permille < WHOLE || found == new, || "all was written, and it holds the old batch".into())?;
        if found == old {
            // On the way to the next round; what was interrupted can be done again.
            ledger.commit(new.iter().map(|(key, bytes)| put(key.clone(), bytes)).collect())?;
            ledger.commit(vec![delete(Key::Window(u64::from(cut)))])?;
        }
        state = new.get(&Key::State).cloned().unwrap_or_default();
        window = new.get(&Key::Window(u64::from(cut) + 1)).cloned().unwrap_or_default();
    }
    Ok(())
}

/// The model's ledger, used as a device's shell uses it.
struct Virtual {
    disk: Disk,
    images: Images,
    /// Whether a death is a power cut.
    power: bool,
}

/// Returns the model's ledger in the hands of a process that gets killed.
///
/// # Errors
/// Never.
pub fn after_crashes() -> Result<Box<dyn Ledger>, String> {
    Ok(Box::new(virtual_ledger(false)))
}

/// Returns the model's ledger in a device whose power is cut.
///
/// # Errors
/// Never.
pub fn after_power_cuts() -> Result<Box<dyn Ledger>, String> {
    Ok(Box::new(virtual_ledger(true)))
}

fn virtual_ledger(power: bool) -> Virtual {
    Virtual { disk: Disk::default(), images: Images::Random(Rng::stream(1, "conformance/ledger")), power }
}

impl Ledger for Virtual {
    fn load(&self) -> Result<Vec<(Key, Vec<u8>)>, String> {
        Ok(self.disk.stored().records)
    }

    fn commit(&mut self, ops: Vec<Op>) -> Held {
        self.disk.commit_ledger(Batch { ops, ..Batch::default() }, true);
        Ok(())
    }

    fn reopen(&mut self) -> Held {
        self.disk.crash();
        Ok(())
    }

    fn die(&mut self) -> Held {
        match self.power {
            true => self.disk.power_cut(&mut self.images),
            false => self.disk.crash(),
        }
        Ok(())
    }

    fn die_committing(&mut self, ops: Vec<Op>, permille: u32) -> Held {
        // As a device's shell: between nothing and all it is the whole batch or none of it.
        if permille == WHOLE || (permille > 0 && self.images.pick(2) == 1) {
            self.commit(ops)?;
        }
        self.die()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{broken, hold};

    #[test]
    fn the_model_keeps_the_rules() {
        hold(RULES, after_crashes).unwrap();
        hold(RULES, after_power_cuts).unwrap();
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Bug {
        /// Comes with a record of its own.
        Haunted,
        /// Commits without a flush.
        NoFlush,
        /// A put does not replace.
        FirstWins,
        /// Deletes nothing.
        KeepsAll,
        /// Loads backwards.
        Backwards,
        /// Cuts long values.
        Short,
        /// Loses a batch now and then.
        Forgets,
        /// Begins a batch before it is asked to.
        Hasty,
        /// Writes the records of a batch one by one.
        OneByOne,
    }

    struct Broken(Virtual, Bug, u32);

    impl Ledger for Broken {
        fn load(&self) -> Result<Vec<(Key, Vec<u8>)>, String> {
            let mut records = self.0.load()?;
            match self.1 {
                Bug::Haunted => records.push((Key::Meta("ghost".into()), vec![1])),
                Bug::Backwards => records.reverse(),
                Bug::Short => records.iter_mut().for_each(|(_, bytes)| bytes.truncate(65_536)),
                _ => {}
            }
            Ok(records)
        }

        fn commit(&mut self, mut ops: Vec<Op>) -> Held {
            self.2 += 1;
            let has: Vec<Key> = self.0.load()?.into_iter().map(|(key, _)| key).collect();
            match self.1 {
                Bug::FirstWins => ops.retain(|op| !matches!(op, Op::Put { key, .. } if has.contains(key))),
                Bug::KeepsAll => ops.retain(|op| matches!(op, Op::Put { .. })),
                Bug::Forgets if self.2.is_multiple_of(50) => ops.clear(),
                Bug::NoFlush => {
                    self.0.disk.commit_ledger(Batch { ops, ..Batch::default() }, false);
                    return Ok(());
                }
                _ => {}
            }
            self.0.commit(ops)
        }

        fn reopen(&mut self) -> Held {
            self.0.reopen()
        }

        fn die(&mut self) -> Held {
            self.0.die()
        }

        fn die_committing(&mut self, mut ops: Vec<Op>, permille: u32) -> Held {
            match self.1 {
                Bug::Hasty => self.0.commit(ops)?,
                Bug::OneByOne => {
                    ops.truncate(ops.len() * permille as usize / WHOLE as usize);
                    self.0.commit(ops)?;
                }
                _ => return self.0.die_committing(ops, permille),
            }
            self.0.die()
        }
    }

    #[test]
    fn every_rule_sees_a_bug() {
        use Bug::{Backwards, FirstWins, Forgets, Hasty, Haunted, KeepsAll, NoFlush, OneByOne, Short};
        let bugs = [Haunted, NoFlush, FirstWins, KeepsAll, Backwards, Short, Forgets, Hasty, OneByOne];
        broken::all_are_seen(RULES, &bugs, |bug| Box::new(Broken(virtual_ledger(true), bug, 0)) as Box<dyn Ledger>);
    }
}
