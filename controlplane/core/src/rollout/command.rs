//! What people ask of rollouts and devices.
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use pinnace_protocol::ids::{BundleRef, DeviceId, RolloutId};

use super::{AbortBy, Active, PauseWhy, Rollout, State};
use crate::Steward;
use crate::api::{Command, Done, Refusal};
use crate::fleet::bounded;
use crate::history::{Entry, EventKind, cut};
use crate::limits::ROLLOUTS_MAX;
use crate::plan::Plan;
use crate::policy::RolloutPolicy;
use crate::row::{Row, RowKey, Table};
use crate::turn::Turn;

impl Steward {
    pub(crate) fn on_command(&mut self, turn: &mut Turn, actor: &str, command: &Command) -> Result<Done, Refusal> {
        match command {
            Command::CreateRollout { bundle, policy } => self.create(turn, actor, bundle, policy).map(Done::Created),
            Command::Approve(id) => self.on_rollout(turn, id, |steward, turn, active| {
                if active.rollout.state != State::Draft {
                    return Err(wrong(active, "approved"));
                }
                active.enter(turn, State::Scheduled);
                steward.say(turn, active, actor, EventKind::RolloutApproved, "approved it");
                Ok(())
            }),
            Command::Pause(id) => self.on_rollout(turn, id, |steward, turn, active| {
                if !matches!(active.rollout.state, State::Running | State::Baking | State::Paused(_)) {
                    return Err(wrong(active, "paused"));
                }
                active.enter(turn, State::Paused(PauseWhy::Operator));
                steward.say(turn, active, actor, EventKind::RolloutPaused, "paused it");
                Ok(())
            }),
            Command::Resume(id) => self.on_rollout(turn, id, |steward, turn, active| {
                match active.rollout.state {
                    // Going on after the question is the answer to it.
                    State::Paused(PauseWhy::Approval) => {
                        steward.say(turn, active, actor, EventKind::WavePromoted, "let the next wave begin");
                        steward.next_wave(turn, active);
                    }
                    State::Paused(PauseWhy::Operator | PauseWhy::Inconclusive) => {
                        active.enter(turn, State::Running);
                        active.rollout.wave_at_ms = turn.now_ms;
                        steward.say(turn, active, actor, EventKind::RolloutResumed, "resumed it");
                    }
                    _ => return Err(wrong(active, "resumed")),
                }
                Ok(())
            }),
            Command::Promote(id) => self.on_rollout(turn, id, |steward, turn, active| {
                if !matches!(active.rollout.state, State::Running | State::Baking | State::Paused(_)) {
                    return Err(wrong(active, "promoted"));
                }
                steward.say(turn, active, actor, EventKind::WavePromoted, "opened the next wave by hand");
                steward.next_wave(turn, active);
                Ok(())
            }),
            Command::Abort { rollout, reason } => self.on_rollout(turn, rollout, |steward, turn, active| {
                if !active.rollout.state.is_open() {
                    return Err(wrong(active, "aborted"));
                }
                let words = format!("{actor}: {reason}");
                steward.begin_abort(turn, active, AbortBy::Operator, Vec::new(), &words);
                Ok(())
            }),
            Command::Release(id) => self.release_clone(turn, actor, id),
            Command::Tell { device, kind } => self.give_command(turn, actor, device, *kind),
            Command::SetLabels { device, labels } => self.set_labels(turn, actor, device, labels),
        }
    }

    fn on_rollout(
        &mut self,
        turn: &mut Turn,
        id: &RolloutId,
        change: impl FnOnce(&mut Self, &mut Turn, &mut Active) -> Result<(), Refusal>,
    ) -> Result<Done, Refusal> {
        let mut active = self.rollouts.remove(id).ok_or_else(|| Refusal::UnknownRollout(id.clone()))?;
        let result = change(self, turn, &mut active);
        self.rollouts.insert(id.clone(), active);
        result?;
        self.advance(turn, id);
        Ok(Done::Ok)
    }

    fn say(&mut self, turn: &mut Turn, active: &mut Active, actor: &str, kind: EventKind, did: &str) {
        let text = format!("{} {did}.", cut(actor));
        active.rollout.sentence.clone_from(&text);
        turn.rollouts.insert(active.rollout.id.clone());
        let entry = Entry::new(kind, text).by(actor).rollout(&active.rollout.id).bundle(&active.rollout.bundle);
        self.record(turn, entry);
    }

    fn create(
        &mut self,
        turn: &mut Turn,
        actor: &str,
        bundle: &BundleRef,
        policy: &RolloutPolicy,
    ) -> Result<RolloutId, Refusal> {
        if !self.bundles.contains_key(bundle) {
            return Err(Refusal::UnknownBundle(bundle.clone()));
        }
        policy.check()?;
        let number = self.next_rollout;
        let id = rollout_id(bundle, number);
        let mut active = Active::new(Rollout {
            id: id.clone(),
            number,
            bundle: bundle.clone(),
            policy: policy.clone(),
            author: cut(actor),
            created_at_ms: turn.now_ms,
            state: if policy.approval { State::Draft } else { State::Scheduled },
            state_at_ms: turn.now_ms,
            plan: Plan::default(),
            wave: 0,
            quota: 0,
            wave_at_ms: turn.now_ms,
            abort: None,
            reasons: Vec::new(),
            sentence: String::new(),
        });
        self.require_devices(&active, turn.now_ms)?;
        self.forget_oldest(turn)?;
        self.next_rollout += 1;
        let superseded = self.supersede(turn, &active);
        self.replan(turn, &mut active);
        let text =
            format!("{} created the rollout of {bundle} to {} devices.", cut(actor), active.rollout.plan.eligible);
        active.rollout.sentence.clone_from(&text);
        let entry = Entry::new(EventKind::RolloutCreated, text).by(actor).rollout(&id).bundle(bundle);
        self.record(turn, entry);
        self.rollouts.insert(id.clone(), active);
        // First the new one: devices of its first wave change once, not back and forth.
        self.advance(turn, &id);
        for older in superseded {
            self.advance(turn, &older);
        }
        Ok(id)
    }

    /// Ends every open rollout that has a device in common with the new one; returns their ids.
    fn supersede(&mut self, turn: &mut Turn, new: &Active) -> Vec<RolloutId> {
        let mine = self.fleet_view(new, turn.now_ms);
        let mine: alloc::collections::BTreeSet<DeviceId> = mine.devices.iter().map(|c| c.device.clone()).collect();
        let open: Vec<RolloutId> =
            self.rollouts.values().filter(|a| a.rollout.state.is_open()).map(|a| a.rollout.id.clone()).collect();
        let mut ended = Vec::new();
        for id in open {
            let Some(mut active) = self.rollouts.remove(&id) else { continue };
            if self.fleet_view(&active, turn.now_ms).devices.iter().any(|c| mine.contains(c.device)) {
                self.begin_abort(turn, &mut active, AbortBy::Superseded, Vec::new(), new.rollout.id.as_str());
                ended.push(id.clone());
            }
            self.rollouts.insert(id, active);
        }
        ended
    }

    /// Makes room for one more rollout. Its devices' rows go; the history keeps what happened.
    fn forget_oldest(&mut self, turn: &mut Turn) -> Result<(), Refusal> {
        if self.rollouts.len() < ROLLOUTS_MAX {
            return Ok(());
        }
        // The newest completed one says what late joiners get.
        let keep =
            self.rollouts.values().filter(|a| a.rollout.state == State::Completed).map(|a| a.rollout.number).max();
        let ended = self.rollouts.values().filter(|a| a.rollout.state.is_ended() && Some(a.rollout.number) != keep);
        let Some(oldest) = ended.min_by_key(|a| a.rollout.number).map(|a| a.rollout.id.clone()) else {
            return Err(Refusal::TooMany {
                what: "rollouts at once",
                max: ROLLOUTS_MAX,
                hint: "wait until some have ended, or abort them",
            });
        };
        if let Some(active) = self.rollouts.remove(&oldest) {
            let rows = active.members.into_values().map(Row::Member).chain([Row::Rollout(active.rollout)]);
            turn.gone.extend(rows.map(|row| RowKey { table: row.table(), key: row.key() }));
            turn.rollouts.remove(&oldest);
            debug_assert!(
                turn.gone.iter().all(|k| matches!(k.table, Table::Member | Table::Rollout | Table::Aggregate))
            );
        }
        Ok(())
    }

    fn set_labels(&mut self, turn: &mut Turn, actor: &str, id: &DeviceId, labels: &[String]) -> Result<Done, Refusal> {
        let device = self.devices.get_mut(id).ok_or_else(|| Refusal::UnknownDevice(id.clone()))?;
        device.given = bounded(labels);
        turn.devices.insert(id.clone());
        let text = format!("{} labelled {id}: {}.", cut(actor), cut(&labels.join(", ")));
        self.record(turn, Entry::new(EventKind::LabelsSet, text).by(actor).device(id));
        self.enrol_late(turn, id, true);
        Ok(Done::Ok)
    }
}

/// Returns a new rollout's id; families with very long names are left out of it.
fn rollout_id(bundle: &BundleRef, number: u64) -> RolloutId {
    let full = format!("{}-v{}-r{number}", bundle.family, bundle.version);
    RolloutId::parse(&full)
        .or_else(|_| RolloutId::parse(&format!("r{number}")))
        .unwrap_or_else(|_| unreachable!("`r` and digits always are an identifier"))
}

fn wrong(active: &Active, verb: &'static str) -> Refusal {
    Refusal::WrongState { rollout: active.rollout.id.clone(), state: active.rollout.state.as_str(), verb }
}
