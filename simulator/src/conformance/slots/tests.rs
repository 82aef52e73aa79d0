//! The model keeps the rules, and slots with a bug do not.
use super::model::{Virtual, model};
use super::*;
use crate::conformance::{broken, hold};

#[test]
fn the_model_keeps_the_rules() {
    hold(RULES, model).unwrap();
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    /// Has something to scan before anything was prepared.
    Haunted,
    /// Calls half a chunk whole.
    Generous,
    /// Forgets what is being fetched when the process ends.
    Forgetful,
    /// Keeps chunks whatever is prepared.
    KeepsParts,
    /// Forgets what is sealed when the process ends.
    LosesSealed,
    /// Seals whatever is there.
    SealsAll,
    /// Throws away what it would not seal.
    Hothead,
    /// A prepare leaves the sealed bundle.
    KeepsSealed,
    /// Opens what was sealed without another look.
    Trusting,
    /// Opens any bundle as any release.
    Blind,
    /// Erases nothing.
    Hoarder,
    /// Erases both.
    ErasesBoth,
}

#[derive(Default)]
struct Memory {
    opened: BTreeMap<SlotName, (Vec<u8>, Opened)>,
    plans: BTreeMap<SlotName, SlotPlan>,
}

struct Broken(Virtual, Bug, Memory);

const BOTH: [SlotName; 2] = [SlotName::A, SlotName::B];

impl Slots for Broken {
    fn prepare(&mut self, slot: SlotName, plan: &SlotPlan) -> Held {
        let known = self.2.plans.insert(slot, plan.clone());
        let sealed = self.0.slots.sealed_mut(slot).cloned();
        match self.1 {
            Bug::KeepsParts if known.is_some() && self.0.slots.sealed(slot).is_none() => Ok(()),
            Bug::KeepsSealed if sealed.is_some() => Ok(()),
            _ => self.0.prepare(slot, plan),
        }
    }

    fn scan(&mut self, slot: SlotName) -> Result<Vec<(Digest, u64)>, String> {
        let found = self.0.scan(slot);
        match (self.1, self.2.plans.get(&slot)) {
            (Bug::Haunted, None) => Ok(Vec::new()),
            (Bug::Generous, Some(plan)) => {
                let counts = plan.blobs.iter().map(|b| (b.digest, b.length.div_ceil(b.chunk)));
                found.map(|_| counts.flat_map(|(blob, count)| (0..count).map(move |index| (blob, index))).collect())
            }
            _ => found,
        }
    }

    fn write(&mut self, slot: SlotName, blob: Digest, offset: u64, bytes: &[u8]) -> Held {
        self.0.write(slot, blob, offset, bytes)
    }

    fn seal(&mut self, slot: SlotName) -> Held {
        match self.1 {
            Bug::SealsAll => self.0.slots.seal(slot, false, &mut self.0.library),
            Bug::Hothead => {
                let sealed = self.0.seal(slot);
                if sealed.is_err() {
                    self.0.erase(slot)?;
                }
                sealed
            }
            _ => self.0.seal(slot),
        }
    }

    fn open(&mut self, slot: SlotName, released: &[u8], listed: &[Digest]) -> Result<Opened, String> {
        match (self.1, self.2.opened.get(&slot)) {
            (Bug::Trusting, Some((known, opened))) if known == released && self.0.slots.sealed(slot).is_some() => {
                return Ok(opened.clone());
            }
            (Bug::Blind, _) => {
                let folder = self.0.slots.sealed(slot).ok_or("nothing is sealed there")?;
                let blobs = folder.blobs.iter().map(|(digest, bytes)| (*digest, bytes.to_vec())).collect();
                return Ok(Opened { manifest: folder.manifest.clone(), blobs });
            }
            _ => {}
        }
        let opened = self.0.open(slot, released, listed)?;
        self.2.opened.insert(slot, (released.to_vec(), opened.clone()));
        Ok(opened)
    }

    fn erase(&mut self, slot: SlotName) -> Held {
        match self.1 {
            Bug::Hoarder => Ok(()),
            Bug::ErasesBoth => BOTH.iter().try_for_each(|slot| self.0.erase(*slot)),
            _ => self.0.erase(slot),
        }
    }

    fn reopen(&mut self) -> Held {
        for slot in BOTH {
            let is_sealed = self.0.slots.sealed(slot).is_some();
            match self.1 {
                Bug::Forgetful if !is_sealed => self.0.erase(slot)?,
                Bug::LosesSealed if is_sealed => self.0.erase(slot)?,
                _ => {}
            }
        }
        self.0.reopen()
    }

    fn damage(&mut self, slot: SlotName, blob: Digest, damage: Damage) -> Held {
        self.0.damage(slot, blob, damage)
    }
}

#[test]
fn every_rule_sees_a_bug() {
    use Bug::{
        Blind, ErasesBoth, Forgetful, Generous, Haunted, Hoarder, Hothead, KeepsParts, KeepsSealed, LosesSealed,
        SealsAll, Trusting,
    };
    let bugs = [
        Haunted,
        Generous,
        Forgetful,
        KeepsParts,
        LosesSealed,
        SealsAll,
        Hothead,
        KeepsSealed,
        Trusting,
        Blind,
        Hoarder,
        ErasesBoth,
    ];
    let fresh = |bug| Box::new(Broken(Virtual::default(), bug, Memory::default())) as Box<dyn Slots>;
    broken::all_are_seen(RULES, &bugs, fresh);
}
