//! The candidate's way: room, bytes, seal, load, trial; then it is the active model or it is gone.
use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString as _;
use alloc::vec::Vec;

use pinnace_protocol::ids::Digest;
use pinnace_protocol::limits::PATCH_OFFERS_MAX;
use pinnace_protocol::manifest::Manifest;
use pinnace_protocol::message::{FailCode, Failure, Phase, TrialStats};
use pinnace_protocol::trust::Released;

use crate::Agent;
use crate::api::{Effect, Job, Key, Level, LoadRole, LoadedInfo, PlannedBlob, SlotError, SlotName, SlotPlan};
use crate::limits::{BACKOFF_MAX_MS, SLOT_WORK_MAX_MS, TRIAL_MAX_S, TRIES_MAX};
use crate::state::{Candidate, Installed, Refused, Stage};
use crate::trial::{Verdict, judge};
use crate::turn::Turn;
use crate::work::{Order, Work};

impl Agent {
    /// Makes an admitted bundle the candidate and asks for room.
    pub(crate) fn install(
        &mut self,
        turn: &mut Turn,
        order: &Order,
        released: &Released,
        manifest: Manifest,
        bytes: Vec<u8>,
    ) {
        let Some(slot) = self.free_slot(turn) else {
            let text = "the active model does not serve, so its fallback's slot is kept".to_string();
            return self.attempt_failed(turn, Failure { code: FailCode::DiskFull, text });
        };
        let target = self.state.target.as_ref();
        let what = Installed {
            slot,
            released: released.to_ledger().to_vec(),
            bundle: order.custom.bundle.clone(),
            manifest: order.manifest,
            release_counter: released.release_counter(),
            generation: order.custom.generation,
            rollout: target.and_then(|t| t.rollout.clone()),
        };
        self.state.candidate = Some(Candidate {
            what,
            stage: Stage::Fetching,
            tries_left: order.custom.trial.tries.clamp(1, TRIES_MAX),
            rollback: order.custom.rollback,
            trial: order.custom.trial.clone(),
            patches: order.custom.patches.iter().take(PATCH_OFFERS_MAX).cloned().collect(),
        });
        turn.save();
        turn.put(Key::Manifest, bytes.clone());
        self.manifest = Some(bytes.clone());
        if let Some(why) = self.reason_to_wait(turn).filter(|_| !order.custom.rollback) {
            // The look-up took a while, and the moment is no longer good.
            return self.hold(turn, why);
        }
        if self.is_free() {
            self.prepare(turn, manifest, bytes);
        }
    }

    /// Returns whether nothing is loaded or fetched, so that work on a candidate may begin.
    fn is_free(&self) -> bool {
        self.active_load.is_none() && matches!(self.work, Work::Idle)
    }

    /// Returns a slot that nobody needs; the fallback's is given up for it only while the active model serves.
    fn free_slot(&mut self, turn: &mut Turn) -> Option<SlotName> {
        let free = [SlotName::A, SlotName::B].into_iter().find(|slot| !self.state.is_protected(*slot));
        if free.is_some() {
            return free;
        }
        self.serving.as_ref()?;
        let fallback = self.state.fallback.take()?;
        // With one of A and B active, the other one is the fallback: committed as gone before it is touched.
        turn.save_pointers();
        Some(fallback.slot)
    }

    /// Goes on with the candidate from where it stands; does nothing when that is under way already.
    pub(crate) fn resume(&mut self, turn: &mut Turn) {
        if !self.is_free() {
            return;
        }
        let Some(candidate) = self.state.candidate.clone() else { return };
        if let Some(why) = self.reason_to_wait(turn).filter(|_| !candidate.rollback) {
            return self.hold(turn, why);
        }
        match candidate.stage {
            Stage::Sealed => self.load_candidate(turn, &candidate),
            Stage::Fetching => match self.candidate_manifest(&candidate) {
                Some((manifest, bytes)) => self.prepare(turn, manifest, bytes),
                None => self.forget_manifest(turn),
            },
        }
    }

    /// The ledger's copy of the manifest is damaged: it is looked up again.
    fn forget_manifest(&mut self, turn: &mut Turn) {
        self.abandon(turn);
        self.pursue(turn, false);
    }

    fn candidate_manifest(&self, candidate: &Candidate) -> Option<(Manifest, Vec<u8>)> {
        let released = Released::from_ledger(&candidate.what.released).ok()?;
        let verified = released.open_manifest(self.manifest.as_deref()?).ok()?;
        Some((Manifest::parse(verified.bytes()).ok()?, verified.bytes().to_vec()))
    }

    fn prepare(&mut self, turn: &mut Turn, manifest: Manifest, bytes: Vec<u8>) {
        let Some(candidate) = &self.state.candidate else { return };
        let (slot, digest) = (candidate.what.slot, candidate.what.manifest);
        let mut blobs: Vec<PlannedBlob> = Vec::with_capacity(manifest.blobs.len());
        for b in &manifest.blobs {
            if blobs.iter().all(|known| known.digest != b.sha256) {
                blobs.push(PlannedBlob { digest: b.sha256, length: b.length, chunk: b.chunk });
            }
        }
        let job = self.new_job();
        let plan = SlotPlan { digest, manifest: bytes, blobs };
        turn.effect(Effect::Prepare { job, slot, plan });
        let until = turn.mono().plus_ms(SLOT_WORK_MAX_MS);
        self.work = Work::Preparing { job, until, manifest: Box::new(manifest) };
    }

    pub(crate) fn prepared(&mut self, turn: &mut Turn, job: Job) {
        let Some(slot) = self.candidate_slot() else { return };
        let is_it = |work: &Work| matches!(work, Work::Preparing { job: mine, .. } if *mine == job);
        if let Some(Work::Preparing { manifest, .. }) = self.take_work(is_it) {
            let job = self.new_job();
            turn.effect(Effect::Scan { job, slot });
            self.work = Work::Scanning { job, until: turn.mono().plus_ms(SLOT_WORK_MAX_MS), manifest };
        }
    }

    pub(crate) fn scanned(&mut self, turn: &mut Turn, job: Job, present: &[(Digest, u64)]) {
        let Some(slot) = self.candidate_slot() else { return };
        let is_it = |work: &Work| matches!(work, Work::Scanning { job: mine, .. } if *mine == job);
        if let Some(Work::Scanning { manifest, .. }) = self.take_work(is_it) {
            self.enter(turn, Phase::Downloading, None);
            self.fetch(turn, job, slot, &manifest, present);
        }
    }

    /// Takes the work out when it is the one that is meant.
    fn take_work(&mut self, is_it: impl Fn(&Work) -> bool) -> Option<Work> {
        is_it(&self.work).then(|| core::mem::replace(&mut self.work, Work::Idle))
    }

    pub(crate) fn seal(&mut self, turn: &mut Turn, slot: SlotName) {
        let job = self.new_job();
        turn.effect(Effect::Seal { job, slot });
        self.work = Work::Sealing { job, until: turn.mono().plus_ms(SLOT_WORK_MAX_MS) };
    }

    pub(crate) fn sealed(&mut self, turn: &mut Turn, job: Job) {
        if !matches!(self.work, Work::Sealing { job: mine, .. } if mine == job) {
            return;
        }
        self.work = Work::Idle;
        self.manifest = None;
        turn.delete(Key::Manifest);
        turn.save();
        if let Some(candidate) = &mut self.state.candidate {
            candidate.stage = Stage::Sealed;
            let manifest = candidate.what.manifest;
            self.state.forget_attempts(&manifest);
        }
        self.enter(turn, Phase::Verified, None);
        self.resume(turn);
    }

    /// Slot work of the present candidate failed: again later, since the bundle itself is not at fault.
    pub(crate) fn slot_failed(&mut self, turn: &mut Turn, job: Job, error: &SlotError) {
        let mine = match &self.work {
            Work::Preparing { job: j, .. } | Work::Scanning { job: j, .. } | Work::Sealing { job: j, .. } => *j == job,
            Work::Fetching(f) => f.job() == job,
            _ => false,
        };
        if !mine {
            return;
        }
        let text = match error {
            SlotError::DiskFull { need, free } => format!("no room for the bundle: {need} bytes needed, {free} free"),
            SlotError::Io(why) => format!("the slot cannot be used: {why}"),
        };
        self.work = Work::Idle;
        self.attempt_failed(turn, Failure { code: FailCode::DiskFull, text });
    }

    /// Loads the candidate; the try is committed first, so that a crash in the load is counted.
    fn load_candidate(&mut self, turn: &mut Turn, candidate: &Candidate) {
        if candidate.tries_left == 0 {
            let text = format!("the process ended {} times in the trial", candidate.trial.tries.clamp(1, TRIES_MAX));
            return self.refuse(turn, Failure { code: FailCode::CrashLoop, text });
        }
        if let Some(c) = &mut self.state.candidate {
            c.tries_left -= 1;
        }
        turn.save();
        let (job, what) = (self.new_job(), &candidate.what);
        let released = what.released.clone();
        turn.effect(Effect::Load { job, slot: what.slot, released, role: LoadRole::Candidate });
        self.work = Work::Loading { job, until: turn.mono().plus_ms(SLOT_WORK_MAX_MS) };
        self.enter(turn, Phase::Loading, None);
    }

    pub(crate) fn loaded(&mut self, turn: &mut Turn, job: Job, result: Result<LoadedInfo, Failure>) {
        if self.active_load == Some(job) {
            self.active_load = None;
            return self.active_loaded(turn, result);
        }
        if !matches!(self.work, Work::Loading { job: mine, .. } if mine == job) {
            return;
        }
        let Some(candidate) = self.state.candidate.clone() else { return };
        match result {
            Ok(info) => {
                self.learn_layout(&info);
                if candidate.rollback {
                    return self.promote(turn, info);
                }
                let (job, deadline_s) = (self.new_job(), candidate.trial.deadline_s.clamp(1, TRIAL_MAX_S));
                turn.effect(Effect::StartTrial { job, slot: candidate.what.slot, policy: candidate.trial });
                self.work = Work::Trying { job, until: turn.mono().plus_ms(u64::from(deadline_s) * 1000) };
                self.tried = Some(info);
                self.reporter.trial = Some(TrialStats::default());
                self.enter(turn, Phase::Probation, None);
            }
            Err(failure) => self.candidate_broken(turn, &candidate, failure),
        }
    }

    /// A candidate did not load; one that a slot still held is fetched anew when its bytes were at fault.
    fn candidate_broken(&mut self, turn: &mut Turn, candidate: &Candidate, failure: Failure) {
        let slot = candidate.what.slot;
        let was_held = self.state.is_protected(slot);
        if was_held && failure.code == FailCode::Integrity {
            turn.log(Level::Warn, format!("slot {slot} is damaged: {}", failure.text));
            if self.state.fallback.as_ref().is_some_and(|f| f.slot == slot) {
                self.state.fallback = None;
            } else {
                self.factory = None;
            }
            turn.save_pointers();
            self.abandon(turn);
            return self.pursue(turn, false);
        }
        self.refuse(turn, failure);
    }

    /// Judges a running trial.
    pub(crate) fn trial(&mut self, turn: &mut Turn, job: Job, stats: &TrialStats) {
        if !matches!(self.work, Work::Trying { job: mine, .. } if mine == job) {
            return;
        }
        self.reporter.trial = Some(*stats);
        let Some(policy) = self.state.candidate.as_ref().map(|c| c.trial.clone()) else { return };
        match judge(stats, &policy, self.serving.is_some()) {
            Verdict::Continue => {}
            Verdict::Fail(failure) => self.refuse(turn, failure),
            Verdict::Pass => {
                if let Some(info) = self.tried.take() {
                    self.promote(turn, info);
                }
            }
        }
    }

    /// The candidate is the active model from now on; the one before stays as the fallback.
    fn promote(&mut self, turn: &mut Turn, info: LoadedInfo) {
        let Some(candidate) = self.state.candidate.take() else { return };
        let slot = candidate.what.slot;
        let before = self.state.active.replace(candidate.what);
        if let (Some(before), Some(now)) = (&before, &self.state.active)
            && before.bundle.family == now.bundle.family
        {
            // The floor trails by one healthy release, so that one step back never needs a permit.
            let floor = before.release_counter.min(now.release_counter);
            let family = now.bundle.family.clone();
            self.state.raise_release(&family, floor);
        }
        // The very same bundle in two slots (a damaged one was fetched again) is no fallback.
        let same = |b: &Installed| self.state.active.as_ref().is_some_and(|a| a.manifest == b.manifest);
        let (twin, before): (Option<Installed>, Option<Installed>) = match before {
            Some(b) if same(&b) => (Some(b), None),
            other => (None, other),
        };
        match before {
            Some(before) => self.state.fallback = Some(before),
            // Taken back with nothing active: the slot is active now.
            None if self.state.fallback.as_ref().is_some_and(|f| f.slot == slot) => self.state.fallback = None,
            None => {}
        }
        turn.save_pointers();
        turn.effect(Effect::Promote { slot });
        if let Some(twin) = twin.filter(|t| !self.state.is_protected(t.slot)) {
            turn.effect(Effect::Erase { slot: twin.slot });
        }
        self.serving = Some(info);
        self.tried = None;
        (self.active_retry, self.active_tries) = (None, 0);
        self.work = Work::Idle;
        self.settle(turn);
    }

    /// The trial's time is up.
    pub(crate) fn trial_late(&mut self, turn: &mut Turn) {
        let stats = self.reporter.trial.unwrap_or_default();
        let text =
            format!("{} inferences and {} comparisons by the deadline are too few", stats.inferences, stats.compared);
        self.refuse(turn, Failure { code: FailCode::Deadline, text });
    }

    /// Somebody on the device takes the newest model back.
    pub(crate) fn local_revert(&mut self, turn: &mut Turn) {
        self.revert(turn, "taken back on the device");
    }

    /// Takes the newest model back, on whoever's word; returns whether there was anything to take back.
    pub(crate) fn revert(&mut self, turn: &mut Turn, text: &str) -> bool {
        let failure = Failure { code: FailCode::Local, text: text.into() };
        let is_on_its_way = self.state.candidate.is_some() || matches!(self.work, Work::Resolving(_));
        if is_on_its_way {
            self.refuse(turn, failure);
            return true;
        }
        let (Some(active), Some(fallback)) = (self.state.active.clone(), self.state.fallback.clone()) else {
            turn.log(Level::Warn, "nothing to take back: there is no model to go back to");
            return false;
        };
        let generation = self.state.target.as_ref().map_or(active.generation, |t| t.generation);
        self.state.refused = Some(Refused { generation, manifest: active.manifest, failure });
        self.work = Work::Idle;
        self.take_back(turn, fallback, None);
        true
    }

    /// The process ends in an orderly way: that is no crash of the candidate.
    pub(crate) fn stopping(&mut self, turn: &mut Turn) {
        if let (Work::Loading { .. } | Work::Trying { .. }, Some(candidate)) = (&self.work, &mut self.state.candidate) {
            candidate.tries_left = candidate.tries_left.saturating_add(1).min(TRIES_MAX);
            turn.save();
        }
    }

    /// The active model is up, or cannot be: then the next one that may be runnable takes its place.
    fn active_loaded(&mut self, turn: &mut Turn, result: Result<LoadedInfo, Failure>) {
        let failure = match result {
            Ok(info) => {
                self.learn_layout(&info);
                self.serving = Some(info);
                self.active_tries = 0;
                return self.active_settled(turn);
            }
            Err(failure) => failure,
        };
        turn.log(Level::Error, format!("the active model does not load: {}: {}", failure.code.as_str(), failure.text));
        self.active_tries += 1;
        let next = self.state.fallback.take().or_else(|| self.factory.take());
        let Some(next) = next else {
            // Nothing else is runnable: the pointer stays, and it is tried again; a new bundle may come meanwhile.
            let wait = self.jitter.backoff_ms(self.config.intervals.backoff_ms, self.active_tries, BACKOFF_MAX_MS);
            self.active_retry = Some(turn.mono().plus_ms(wait));
            return self.active_settled(turn);
        };
        self.state.active = Some(next);
        turn.save_pointers();
        self.load_active(turn);
    }

    fn active_settled(&mut self, turn: &mut Turn) {
        if self.state.candidate.is_none() && matches!(self.work, Work::Idle) {
            self.settle(turn);
        }
        self.pursue(turn, false);
    }

    /// Loads the active model, if there is one.
    pub(crate) fn load_active(&mut self, turn: &mut Turn) {
        self.active_retry = None;
        let Some(active) = self.state.active.clone() else { return };
        let job = self.new_job();
        self.active_load = Some(job);
        turn.effect(Effect::Load { job, slot: active.slot, released: active.released, role: LoadRole::Active });
    }

    fn candidate_slot(&self) -> Option<SlotName> {
        self.state.candidate.as_ref().map(|c| c.what.slot)
    }
}
