//! From the director's word to what is to be done about it.
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use pinnace_protocol::ids::{Digest, RolloutId};
use pinnace_protocol::manifest::AssignmentCustom;
use pinnace_protocol::message::{FailCode, Failure, Phase};
use pinnace_protocol::trust::{Assignment, VerifiedDirector, first_root, follow_director_roots, verify_director_with};
use serde::Deserialize as _;

use crate::Agent;
use crate::api::{Effect, Key, Level};
use crate::limits::{
    ATTEMPTS_MAX, BACKOFF_MAX_MS, GENERATION_FREE_MAX, GENERATION_STEP_MAX, OFFLINE_MAX_MS, QUARANTINE_S, TRIES_MAX,
};
use crate::report::nonce_text;
use crate::state::{Candidate, Installed, Refused, Stage, Target};
use crate::turn::Turn;
use crate::work::{Order, Pause, Work};

impl Agent {
    /// Takes a director bundle from the broker: believed only when signed, for this device, and fresh.
    pub(crate) fn directed(&mut self, turn: &mut Turn, payload: &[u8]) {
        let nonce = self.link.nonce.as_ref().map(nonce_text);
        let now_s = self.clock.judge_s(turn.now, &self.floors);
        let device = self.config.device.as_str();
        let verifier = self.config.verifier;
        let verified = self.director_root.as_ref().map_err(Clone::clone).and_then(|root| {
            verify_director_with(verifier, payload, root, device, nonce.as_deref(), &self.floors, now_s)
        });
        match verified {
            // Whoever writes to the topic can cause this, so it says nothing about the target.
            Err(e) => {
                turn.log(Level::Error, format!("director message refused: {e}; {}", e.hint()));
                self.follow_roots(turn, payload);
            }
            // The retained message from before our hello: the answer to our nonce is on its way.
            Ok(v) if !v.nonce_bound && !self.link.answered => {
                turn.log(Level::Info, "director message from before this connection: waiting for the fresh one");
            }
            Ok(v) => {
                // Newer than all before and yet no answer to our hello: the plane takes a former self of ours, from a
                // ledger that was lost, for us.
                let is_for_another = !v.nonce_bound && v.floors.director != self.floors.director;
                self.believe(turn, v);
                if is_for_another {
                    self.hello_again(turn);
                }
            }
        }
    }

    /// Takes the roots of a message that is refused: after a long sleep the chain comes in several, each answered by
    /// a hello that names how far the device has come.
    fn follow_roots(&mut self, turn: &mut Turn, payload: &[u8]) {
        let Ok(root) = &self.director_root else { return };
        let followed = follow_director_roots(self.config.verifier, payload, root, &self.floors);
        if let Ok(Some((root, floors))) = followed {
            self.raise_floors(turn, &floors);
            self.trust_root(turn, root);
            turn.log(Level::Info, format!("director root {} is trusted now", self.director_root_version()));
            self.hello_again(turn);
        }
    }

    fn trust_root(&mut self, turn: &mut Turn, root: Vec<u8>) {
        // What was held against a bundle because of documents that the former keys, or others stolen with them, signed
        // goes with those keys.
        if self.state.forgive() {
            turn.save();
        }
        self.director_root = first_root(&root, self.config.verifier);
        turn.put(Key::DirectorRoot, root);
    }

    /// Returns the version of the director root that is trusted; 1 when none is.
    pub(crate) fn director_root_version(&self) -> u64 {
        self.director_root.as_ref().map_or(1, |root| root.header.version)
    }

    fn believe(&mut self, turn: &mut Turn, director: VerifiedDirector) {
        self.raise_floors(turn, &director.floors);
        if let Some(root) = director.new_root {
            self.trust_root(turn, root);
        }
        if director.nonce_bound {
            self.clock.attest(turn.mono(), director.issued);
            self.hello_answered();
        }
        match director.assignment {
            Some(assignment) => self.ordered(turn, assignment),
            None => self.nothing_ordered(turn),
        }
    }

    /// The director wants nothing new: what runs keeps running, what is on its way is dropped.
    fn nothing_ordered(&mut self, turn: &mut Turn) {
        self.order = None;
        if self.state.target.is_some() {
            self.abandon(turn);
            self.state.target = None;
            turn.save();
            self.settle(turn);
        }
    }

    fn ordered(&mut self, turn: &mut Turn, assignment: Assignment) {
        let custom = match AssignmentCustom::deserialize(assignment.custom()) {
            Ok(custom) => custom,
            Err(e) => {
                return turn.log(Level::Error, format!("assignment refused: its custom section does not read: {e}"));
            }
        };
        let manifest = Digest(*assignment.sha256());
        let (new, floor) = (custom.generation, self.state.generation);
        let repeats = self.state.target.as_ref().is_none_or(|t| t.generation != new || t.manifest == manifest);
        if new < floor || (new == floor && !repeats) {
            let text = format!("assignment of generation {new} refused: generation {floor} was accepted before");
            return turn.log(Level::Warn, text);
        }
        if new > floor.saturating_add(GENERATION_STEP_MAX).max(GENERATION_FREE_MAX) {
            // Whoever holds the director's key for a while could else name the last number there is, and no honest
            // order would ever be newer.
            let text = format!("assignment of generation {new} refused: too far ahead of generation {floor}");
            return turn.log(Level::Warn, text);
        }
        let target = Target {
            generation: new,
            rollout: custom.rollout.as_deref().and_then(|id| RolloutId::parse(id).ok()),
            bundle: custom.bundle.clone(),
            manifest,
        };
        let is_news = self.state.target.as_ref() != Some(&target);
        if is_news {
            self.state.generation = new;
            self.state.target = Some(target);
            turn.save_pointers();
        }
        self.order = Some(Arc::new(Order { assignment, custom, manifest }));
        self.pursue(turn, is_news);
    }

    /// Does what the target asks for, from wherever the device stands. Safe to call again at any time.
    pub(crate) fn pursue(&mut self, turn: &mut Turn, is_news: bool) {
        if self.active_load.is_some() {
            // Decided when the active model is up: only then is it known what may be touched.
            return;
        }
        let Some(target) = self.state.target.clone() else { return self.resume(turn) };
        if self.state.refusal().is_some() {
            // Given up: a candidate can only be the model that is taken back instead.
            if is_news {
                // Ordered again after nothing was: the plane hears once more why not.
                self.settle(turn);
            }
            return self.resume(turn);
        }
        if self.serving.is_some() && self.state.active.as_ref().is_some_and(|a| a.manifest == target.manifest) {
            let was_under_way = self.state.candidate.is_some() || !matches!(self.work, Work::Idle);
            self.abandon(turn);
            if self.adopt_active(turn, &target) || is_news || was_under_way {
                self.settle(turn);
            }
            return;
        }
        if let Some(candidate) = self.state.candidate.as_mut().filter(|c| c.what.manifest == target.manifest) {
            if candidate.what.generation != target.generation {
                candidate.what.generation = target.generation;
                candidate.what.rollout = target.rollout;
                if let Some(order) = &self.order {
                    candidate.rollback = order.custom.rollback;
                    candidate.trial = order.custom.trial.clone();
                }
                turn.save();
                self.report(turn);
            }
            return self.resume(turn);
        }
        let busy = match &self.work {
            Work::Resolving(r) => r.manifest == target.manifest,
            Work::Waiting { .. } => !is_news,
            _ => false,
        };
        if busy {
            return;
        }
        self.abandon(turn);
        let Some(order) = self.order.clone().filter(|o| o.manifest == target.manifest) else { return };
        self.begin(turn, &order);
    }

    /// The active model is what a newer generation asks for: it has passed its trial and is healthy under this one too.
    /// Returns whether that changed anything.
    fn adopt_active(&mut self, turn: &mut Turn, target: &Target) -> bool {
        let Some(active) = self.state.active.as_mut().filter(|a| a.generation != target.generation) else {
            return false;
        };
        active.generation = target.generation;
        active.rollout.clone_from(&target.rollout);
        turn.save_pointers();
        true
    }

    /// Begins with a bundle that is not on its way yet.
    fn begin(&mut self, turn: &mut Turn, order: &Order) {
        // What is taken back runs badly at this moment: the way back is never left alone for a day.
        let quarantine = if order.custom.rollback { None } else { self.quarantine(turn, &order.manifest) };
        if let Some((until_s, failure)) = quarantine {
            let wait_ms = until_s.saturating_mul(1000);
            self.work = Work::Waiting { until: turn.mono().plus_ms(wait_ms), why: Pause::Backoff };
            return self.enter(turn, Phase::Failed, Some(failure));
        }
        let held = [&self.state.fallback, &self.factory].into_iter().flatten().find(|i| i.manifest == order.manifest);
        let held = held.cloned();
        let floor = self.state.release_floor(&order.custom.bundle.family);
        // What the director says of the counter is checked against the offline word when the target is looked up.
        let counter = held.as_ref().map_or(order.custom.release_counter, |h| h.release_counter);
        if counter < floor {
            let text = format!("release counter {counter} is below the floor {floor}");
            return self.refuse(turn, Failure { code: FailCode::Metadata, text });
        }
        if let Some(why) = self.reason_to_wait(turn).filter(|_| !order.custom.rollback) {
            return self.hold(turn, why);
        }
        self.enter(turn, Phase::Accepted, None);
        match held {
            Some(held) => self.take_back(turn, held, Some(order)),
            None => self.resolve(turn, order),
        }
    }

    /// Returns the seconds left and the reason when this bundle is to be left alone.
    fn quarantine(&mut self, turn: &mut Turn, manifest: &Digest) -> Option<(u64, Failure)> {
        let now_s = self.clock.judge_s(turn.now, &self.floors);
        let attempts = self.state.attempts_at(manifest).filter(|a| a.count >= ATTEMPTS_MAX)?;
        // A clock that ran ahead when the quarantine began must not make it longer.
        let left = attempts.until_s.saturating_sub(now_s).min(QUARANTINE_S);
        if left > 0 {
            return Some((left, attempts.failure.clone()));
        }
        if self.state.forget_attempts(manifest) {
            turn.save();
        }
        None
    }

    /// Makes a bundle that a slot still holds the candidate: nothing is fetched, the bytes are verified by the load.
    pub(crate) fn take_back(&mut self, turn: &mut Turn, held: Installed, order: Option<&Order>) {
        let mut what = held;
        if let Some(order) = order {
            what.generation = order.custom.generation;
            what.rollout = self.state.target.as_ref().and_then(|t| t.rollout.clone());
        }
        let trial = order.map_or_else(Default::default, |o| o.custom.trial.clone());
        self.state.candidate = Some(Candidate {
            what,
            stage: Stage::Sealed,
            tries_left: trial.tries.clamp(1, TRIES_MAX),
            rollback: order.is_none_or(|o| o.custom.rollback),
            trial,
            patches: Vec::new(),
        });
        turn.save();
        self.resume(turn);
    }

    /// Drops what is on its way; the slot is emptied unless somebody still needs it.
    pub(crate) fn abandon(&mut self, turn: &mut Turn) {
        self.work = Work::Idle;
        self.manifest = None;
        let Some(candidate) = self.state.candidate.take() else { return };
        turn.save();
        turn.delete(Key::Manifest);
        let slot = candidate.what.slot;
        turn.effect(Effect::DropCandidate { slot });
        if !self.state.is_protected(slot) {
            turn.effect(Effect::Erase { slot });
        }
    }

    /// Gives the target (or a candidate nobody ordered any more) up for good, and says why.
    pub(crate) fn refuse(&mut self, turn: &mut Turn, failure: Failure) {
        let given_up = match (&self.state.candidate, &self.state.target) {
            (Some(c), _) => Some((c.what.generation, c.what.manifest)),
            (None, Some(t)) => Some((t.generation, t.manifest)),
            (None, None) => None,
        };
        turn.log(Level::Error, format!("given up: {}: {}", failure.code.as_str(), failure.text));
        if let Some((generation, manifest)) = given_up {
            self.state.refused = Some(Refused { generation, manifest, failure });
            self.state.forget_attempts(&manifest);
            turn.save();
        }
        self.abandon(turn);
        self.settle(turn);
    }

    /// Counts a failed attempt: again after a back-off, or left alone for a day, or given up for good.
    pub(crate) fn attempt_failed(&mut self, turn: &mut Turn, failure: Failure) {
        let known = self.state.candidate.as_ref().map(|c| c.what.manifest);
        let Some(manifest) = known.or(self.state.target.as_ref().map(|t| t.manifest)) else {
            return self.abandon(turn);
        };
        turn.log(Level::Warn, format!("attempt failed: {}: {}", failure.code.as_str(), failure.text));
        turn.save();
        let count = self.state.count_attempt(manifest, &failure);
        let goes_back = self.order.as_ref().is_some_and(|o| o.custom.rollback && o.manifest == manifest);
        if count < ATTEMPTS_MAX || (goes_back && failure.code.is_retryable()) {
            let base = self.config.intervals.backoff_ms;
            let wait = self.jitter.backoff_ms(base, count, BACKOFF_MAX_MS);
            self.work = Work::Waiting { until: turn.mono().plus_ms(wait), why: Pause::Backoff };
            return self.enter(turn, Phase::Deferred, Some(failure));
        }
        if !failure.code.is_retryable() {
            return self.refuse(turn, failure);
        }
        let until_s = self.clock.judge_s(turn.now, &self.floors).saturating_add(QUARANTINE_S);
        if let Some(a) = self.state.attempts.iter_mut().find(|a| a.manifest == manifest) {
            a.until_s = until_s;
        }
        self.abandon(turn);
        self.work = Work::Waiting { until: turn.mono().plus_ms(QUARANTINE_S * 1000), why: Pause::Backoff };
        self.enter(turn, Phase::Failed, Some(failure));
    }

    /// Nobody answers, for whatever reason: waits longer each time without counting it against the bundle.
    pub(crate) fn unanswered(&mut self, turn: &mut Turn, why: alloc::string::String) {
        self.unanswered = self.unanswered.saturating_add(1);
        let base = self.config.intervals.backoff_ms;
        let longest = if self.link.up { BACKOFF_MAX_MS } else { OFFLINE_MAX_MS };
        let wait = self.jitter.backoff_ms(base, self.unanswered, longest);
        self.work = Work::Waiting { until: turn.mono().plus_ms(wait), why: Pause::Unanswered };
        let text = format!("{why}; tried again in {} s or with the next connection", wait / 1000);
        self.enter(turn, Phase::Deferred, Some(Failure { code: FailCode::Network, text }));
    }
}
