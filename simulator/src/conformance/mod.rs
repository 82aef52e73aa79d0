//! What the shells rely on of disks and brokers, as rules: one suite for the simulator's models and for the real ones.
//!
//! A simulation is worth what its models are worth. Each suite is a list of [`Rule`]s over a small trait. The model
//! implements the trait here, beside the suite; the real store or broker implements it in the tests of the crate it
//! lives in. A rule returns `Err` with a text at the first thing that does not hold. Where a model and a real thing
//! cannot promise the same, the rule asks for what both promise, and the difference has a name: see [`Difference`].
//!
//! ```
//! use pinnace_simulator::conformance::{hold, ledger};
//! hold(ledger::RULES, ledger::after_power_cuts).unwrap();
//! ```
pub mod broker;
pub mod ledger;
pub mod records;
pub mod slots;

/// Whether a rule holds; the text says what does not.
pub type Held = Result<(), String>;

/// One thing that must hold of a `T`, and its name.
pub struct Rule<T: ?Sized> {
    /// What must hold, in words.
    pub name: &'static str,
    /// Returns whether it holds of a fresh one.
    pub check: fn(&mut T) -> Held,
}

/// Returns whether every rule holds, each of a fresh one.
///
/// # Errors
/// The first rule that does not hold, and why.
pub fn hold<T: ?Sized>(rules: &[Rule<T>], mut fresh: impl FnMut() -> Result<Box<T>, String>) -> Held {
    for rule in rules {
        let made = fresh().and_then(|mut one| (rule.check)(&mut one));
        made.map_err(|why| format!("{}: {why}", rule.name))?;
    }
    Ok(())
}

/// Where a model promises something else than the real thing, and what the common rule asks for instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// A ledger on disk sorts records by the text of their keys, the model by kind and then by number or name. The
    /// core looks records up and counts on the order within one kind only: that is the rule.
    OrderOfKinds,
    /// The agent reads a record's file that is longer than any record as missing, the model as it is. Both are no
    /// sound record: the rule is what [`pinnace_protocol::trust::Floors::recover`] makes of both files.
    OversizedRecords,
    /// A write past a blob's end is refused by the model; on a real disk the file grows, and the seal refuses it. The
    /// core never asks for one: there is no rule but that nothing false is opened.
    WritesPastTheEnd,
    /// Virtual links reorder what TCP keeps in order. Order is a rule where [`broker::Promises::keeps_order`] says so.
    Order,
    /// For an absent device real brokers keep all of QoS 1 in a session that asks for it; in the clean session that the
    /// agent's link has they keep nothing, and so does the model. See [`broker::Promises::away`]: each is held to what
    /// it declares.
    Absence,
    /// A director message that came while a device was away may come twice and after older ones on real brokers: as
    /// kept in the session and as retained. The rule: the newest is the last.
    Retained,
    /// What the plane has not taken is kept without a bound by the model; the embedded broker refuses a publication
    /// beyond its bound, and the device sends again. The rules stay below the bound.
    PlaneQueue,
    /// Half of the model's restarts keep retained messages, as a broker with a disk does; the other half keep nothing,
    /// as the embedded broker and the Mosquitto of `broker-files`. There is no rule: the plane answers each hello anew.
    Restart,
}

impl Difference {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::OrderOfKinds,
        Self::OversizedRecords,
        Self::WritesPastTheEnd,
        Self::Order,
        Self::Absence,
        Self::Retained,
        Self::PlaneQueue,
        Self::Restart,
    ];
}

/// Returns `Err` with `why` unless `is`.
fn want(is: bool, why: impl FnOnce() -> String) -> Held {
    if is { Ok(()) } else { Err(why()) }
}

/// Returns `Err` unless `result` is an error; `what` says what was let pass.
fn refused<T>(result: Result<T, String>, what: &str) -> Held {
    want(result.is_err(), || format!("{what} was let pass"))
}

/// Returns `length` bytes that repeat nowhere soon, another row for each `seed`.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut rng = crate::rng::Rng::stream(seed, "conformance");
    let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| rng.bits().to_le_bytes()).collect();
    bytes.truncate(length);
    bytes
}

/// What a file looks like after an accident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// One bit of its middle flipped.
    Flipped,
    /// Its second half is gone.
    Cut,
    /// It is gone.
    Missing,
    /// It is longer than any file of its kind.
    Oversized,
}

impl Damage {
    /// Returns what is left of `bytes`; `None` for no file. `oversized` is more than any such file has, bytes.
    pub fn apply(self, bytes: &[u8], oversized: usize) -> Option<Vec<u8>> {
        let mut left = bytes.to_vec();
        match self {
            Self::Flipped => {
                let at = left.len() / 2;
                if let Some(byte) = left.get_mut(at) {
                    *byte ^= 1;
                }
            }
            Self::Cut => left.truncate(bytes.len() / 2),
            Self::Missing => return None,
            Self::Oversized => left.resize(oversized, 0),
        }
        Some(left)
    }
}

/// Proves that rules can fail: for tests with adapters that are broken on purpose.
#[cfg(test)]
mod broken {
    use super::{Held, Rule};

    /// Holds every rule against every bug: each bug must break a rule, and each rule be broken by a bug.
    pub fn all_are_seen<T: ?Sized, B: std::fmt::Debug + Copy>(
        rules: &[Rule<T>],
        bugs: &[B],
        fresh: impl Fn(B) -> Box<T>,
    ) {
        let fails = |rule: &Rule<T>, bug: B| -> bool {
            let held: Held = (rule.check)(&mut fresh(bug));
            held.is_err()
        };
        for bug in bugs {
            assert!(rules.iter().any(|rule| fails(rule, *bug)), "no rule sees {bug:?}");
        }
        for rule in rules {
            assert!(bugs.iter().any(|bug| fails(rule, *bug)), "`{}` sees no bug", rule.name);
        }
    }
}
