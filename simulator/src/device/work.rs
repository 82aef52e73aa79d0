//! Slot work: rooms, chunks, seals, loads, one after the other.
use pinnace_agent_core::{Event as CoreEvent, Job, LoadRole, LoadedInfo, SlotError, SlotName};
use pinnace_protocol::ids::Digest;
use pinnace_protocol::message::{FailCode, Failure};

use super::{Death, Device};
use crate::checks::{Check, slot_is_free, verified};
use crate::engine::Fate;
use crate::env::{Env, Order};
use crate::plant::Plant;

/// What the stub says is free and needed when the disk is full, bytes.
const FULL: SlotError = SlotError::DiskFull { need: 1_000_000, free: 10 };
/// Milliseconds until a supervisor starts a process again that its model has killed.
const SUPERVISOR_MS: u64 = 2_000;

impl Device {
    /// Does one piece of slot work and tells the core.
    pub(super) fn work(&mut self, env: &mut Env, order: Order) {
        if self.boundary().is_err() {
            let fuse = self.fuse;
            if let Some(fuse) = fuse {
                self.interrupt(env, &order);
                self.die(env, fuse.death, fuse.down_ms);
            }
            return;
        }
        match order {
            Order::Prepare(job, slot, plan) => {
                let slot = self.touch(env, slot, "a prepare");
                if self.trouble.disk_full {
                    return self.turn(env, CoreEvent::SlotFailed { job, error: FULL }, None);
                }
                self.disk.slots.prepare(slot, &plan);
                self.turn(env, CoreEvent::SlotPrepared { job }, None);
            }
            Order::Scan(job, slot) => match self.disk.slots.scan(self.meant(env, slot), &mut env.library) {
                Ok(present) => self.turn(env, CoreEvent::SlotScanned { job, present: &present }, None),
                Err(why) => self.slot_failed(env, job, why),
            },
            Order::Write(job, slot, blob, offset, bytes) => {
                let slot = self.touch(env, slot, "a write");
                if let Err(why) = self.disk.slots.write(slot, blob, offset, &bytes) {
                    self.slot_failed(env, job, why);
                }
            }
            Order::Patch(job, (slot, blob), (base, from), patch) => {
                let slot = self.touch(env, slot, "a patch");
                let (made, library) = (env.repo.blob(&blob), &mut env.library);
                let result = self.disk.slots.patch((slot, &blob), (base, &from), &patch, made, library);
                env.counts.patched += u64::from(result.is_ok());
                self.filled(env, job, result);
            }
            Order::Restore(job, slot, blob, stripe, parity) => {
                let slot = self.touch(env, slot, "a restore");
                let result = self.disk.slots.restore(slot, &blob, stripe, &parity, &mut env.library);
                env.counts.restored += u64::from(result.is_ok());
                self.filled(env, job, result);
            }
            Order::Seal(job, slot) => {
                let slot = self.touch(env, slot, "a seal");
                match self.disk.slots.seal(slot, !env.has(Plant::SealWithoutSync), &mut env.library) {
                    Ok(()) => self.turn(env, CoreEvent::SlotSealed { job }, None),
                    Err(why) => self.slot_failed(env, job, why),
                }
            }
            Order::Load(job, slot, released, role) => self.load(env, job, slot, &released, role),
            Order::Erase(slot) => {
                let slot = self.touch(env, slot, "an erase");
                self.disk.slots.erase(slot);
                if env.has(Plant::EraseBoth) {
                    let other = if slot == SlotName::A { SlotName::B } else { SlotName::A };
                    let other = self.touch(env, other, "an erase");
                    self.disk.slots.erase(other);
                }
            }
            // A later candidate's load is queued behind this.
            Order::DropCandidate => self.engine.candidate = None,
        }
    }

    /// The process ends in the middle of a piece of slot work.
    fn interrupt(&mut self, env: &mut Env, order: &Order) {
        let images = &mut self.images;
        match order {
            Order::Prepare(_, slot, plan) if !self.trouble.disk_full => {
                self.disk.slots.interrupt_prepare(*slot, plan, images);
            }
            Order::Seal(_, slot) => {
                let sync = !env.has(Plant::SealWithoutSync);
                self.disk.slots.interrupt_seal(*slot, sync, &mut env.library, images);
            }
            Order::Erase(slot) => self.disk.slots.interrupt_erase(*slot, images),
            Order::Prepare(..)
            | Order::Scan(..)
            | Order::Write(..)
            | Order::Patch(..)
            | Order::Restore(..)
            | Order::Load(..)
            | Order::DropCandidate => {}
        }
    }

    fn filled(&mut self, env: &mut Env, job: Job, result: Result<Vec<(Digest, u64)>, String>) {
        match &result {
            Ok(present) => env.tell(self.node(), format_args!("has made {} chunks of what is there", present.len())),
            Err(why) => env.tell(self.node(), format_args!("could make no chunks: {why}")),
        }
        let result = result.as_deref().map_err(Clone::clone);
        self.turn(env, CoreEvent::SlotFilled { job, result }, None);
    }

    fn slot_failed(&mut self, env: &mut Env, job: Job, why: String) {
        env.tell(self.node(), format_args!("slot work failed: {why}"));
        self.turn(env, CoreEvent::SlotFailed { job, error: SlotError::Io(why) }, None);
    }

    /// Checks that a slot may be touched; returns the one that is.
    fn touch(&self, env: &mut Env, slot: SlotName, what: &str) -> SlotName {
        let slot = self.meant(env, slot);
        let found = slot_is_free(&self.disk, slot, what);
        env.judge(Check::S4, self.node(), found);
        slot
    }

    /// Returns the slot that a shell with a planted bug takes for `slot`: another one once there is something to spoil.
    fn meant(&self, env: &Env, slot: SlotName) -> SlotName {
        if !env.has(Plant::SwapSlots) || self.engine.active.is_none() {
            return slot;
        }
        match slot {
            SlotName::A => SlotName::B,
            SlotName::B => SlotName::A,
            SlotName::Factory => SlotName::Factory,
        }
    }

    fn load(&mut self, env: &mut Env, job: Job, slot: SlotName, released: &[u8], role: LoadRole) {
        let result = self.load_bytes(env, slot, released, role);
        if role == LoadRole::Active {
            let found =
                env.checks.runnable.loaded(self.index, result.as_ref().map(|_| ()).map_err(|f| f.text.as_str()));
            env.judge(Check::S3, self.node(), found);
        }
        let result = match (result, role) {
            (Ok(info), LoadRole::Candidate) => {
                let version = self.engine.candidate.as_ref().map_or(0, |model| model.bundle.version);
                let fate = self.fate(version);
                if fate == Fate::Crashes {
                    return self.die(env, Death::Crash, SUPERVISOR_MS);
                }
                match fate.load_failure() {
                    Some(failure) => {
                        self.engine.candidate = None;
                        Err(failure)
                    }
                    None => Ok(info),
                }
            }
            (result, _) => result,
        };
        match &result {
            Ok(_) => env.tell(self.node(), format_args!("has loaded slot {slot} as {role:?}")),
            Err(f) => env.tell(self.node(), format_args!("cannot load slot {slot} as {role:?}: {}", f.text)),
        }
        self.turn(env, CoreEvent::Loaded { job, result }, None);
    }

    fn load_bytes(
        &mut self,
        env: &mut Env,
        slot: SlotName,
        released: &[u8],
        role: LoadRole,
    ) -> Result<LoadedInfo, Failure> {
        if env.has(Plant::SkipVerification) {
            let missing = || Failure { code: FailCode::Integrity, text: "the slot is empty".into() };
            let folder = self.disk.slots.sealed(slot).ok_or_else(missing)?;
            let found = verified(&env.repo, &folder.manifest, |d| folder.blobs.get(d).map(|c| &**c));
            env.judge(Check::S1, self.node(), found);
            return self.engine.load_unverified(role, folder);
        }
        let opened = self.disk.slots.open(slot, released, &mut env.library);
        let bundle = opened.map_err(|text| Failure { code: FailCode::Integrity, text })?;
        if env.has(Plant::ReadTwice) && self.rng.chance(100) {
            // Between the check and the use a bit flips.
            _ = self.disk.slots.rot(&mut self.rng);
            let missing = || Failure { code: FailCode::Integrity, text: "the slot is empty".into() };
            let folder = self.disk.slots.sealed(slot).ok_or_else(missing)?;
            let found = verified(&env.repo, &folder.manifest, |d| folder.blobs.get(d).map(|c| &**c));
            env.judge(Check::S1, self.node(), found);
        }
        let found = verified(&env.repo, bundle.manifest_bytes(), |digest| bundle.blob(&digest.0));
        env.judge(Check::S1, self.node(), found);
        self.engine.load(role, &bundle, &mut env.library)
    }
}
