//! The person who operates the fleet: publishes, starts rollouts, decides when one waits.
use pinnace_controlplane_core::policy::RolloutPolicy;
use pinnace_controlplane_core::views::RolloutCell;
use pinnace_controlplane_core::{Command, Done, Refusal};

use crate::env::{Env, Event};
use crate::limits::{RESUMES_MAX, RETRIES_MAX};
use crate::plan::{Plan, Wish};
use crate::plane::Plane;
use crate::repo::bundle_ref;
use crate::rng::Rng;
use crate::story::Node;

/// Between two looks, milliseconds: at least and at most.
const LOOK_MS: (u64, u64) = (45_000, 90_000);
/// Milliseconds until an aborted good bundle is tried again: longer than the policy's quarantine.
const AGAIN_MS: u64 = 15 * 60_000;
/// Milliseconds until a version that no device wants is no longer wished for: longer than a quarantine.
const GIVE_UP_MS: u64 = 60 * 60_000;

/// A wish on its way.
#[derive(Debug, Clone)]
struct Pursued {
    version: u64,
    target: String,
    policy: RolloutPolicy,
    not_before: u64,
    impatient: bool,
    tries: u32,
    /// Times the present rollout was resumed.
    resumes: u32,
    outcome: Option<String>,
}

/// The operator.
pub struct Operator {
    wishes: Vec<Pursued>,
    bad: Vec<u64>,
    /// In a scenario: whether they approve when asked; they do nothing else.
    hands: Option<bool>,
    rng: Rng,
}

impl Operator {
    /// Returns an operator who wants what the plan says.
    pub fn new(rng: Rng, plan: &Plan) -> Self {
        let pursued = |wish: &Wish| Pursued {
            version: wish.version,
            target: wish.target.clone(),
            policy: wish.policy.clone().unwrap_or_else(|| plan.policy.clone()),
            not_before: wish.at_ms,
            impatient: wish.impatient,
            tries: 0,
            resumes: 0,
            outcome: None,
        };
        let wishes = plan.wishes.iter().map(pursued).collect();
        let bad = plan.wishes.iter().map(|w| w.version).filter(|v| plan.is_bad(*v)).collect();
        Self { wishes, bad, hands: plan.hands, rng }
    }

    /// Returns what is still wished for.
    pub fn open_wish(&self) -> Option<u64> {
        self.wishes.iter().find(|w| w.outcome.is_none()).map(|w| w.version)
    }

    /// Returns the outcome of every wish, in one sentence.
    pub fn outcome(&self) -> String {
        let each = self.wishes.iter().map(|w| match &w.outcome {
            Some(outcome) => format!("{} {outcome}", bundle_ref(w.version)),
            None => format!("{} has no outcome", bundle_ref(w.version)),
        });
        each.collect::<Vec<_>>().join(", ")
    }

    /// Looks at the rollouts and does what is to be done.
    pub fn look(&mut self, env: &mut Env, plane: &mut Plane) {
        let next = self.rng.between(LOOK_MS.0, LOOK_MS.1);
        env.queue.after(next, Event::Operator);
        for at in 0..self.wishes.len() {
            let wish = &self.wishes[at];
            if wish.outcome.is_some() {
                continue;
            }
            if env.now() < wish.not_before {
                return;
            }
            self.pursue(env, plane, at);
            let impatient = self.wishes.get(at + 1).is_some_and(|w| w.impatient);
            if self.wishes[at].outcome.is_none() && !impatient {
                return;
            }
        }
    }

    fn pursue(&mut self, env: &mut Env, plane: &mut Plane, at: usize) {
        let bundle = bundle_ref(self.wishes[at].version);
        let Some(steward) = plane.steward() else { return };
        if !steward.bundles().iter().any(|cell| cell.bundle == bundle) {
            return plane.publish(env, bundle.version);
        }
        let newest = steward.rollouts().into_iter().filter(|cell| cell.bundle == bundle);
        let Some(cell) = newest.max_by_key(|cell| (cell.created_at_ms, cell.id.clone())) else {
            return self.create(env, plane, at);
        };
        if let Some(approves) = self.hands.filter(|_| self.wishes[at].version > 1) {
            return match cell.state {
                "completed" | "rolled-back" | "rollback-stuck" => self.wishes[at].outcome = Some(cell.state.into()),
                "paused-for-approval" if approves => self.say(env, plane, &Command::Resume(cell.id)),
                "draft" if approves => self.say(env, plane, &Command::Approve(cell.id)),
                _ => {}
            };
        }
        match cell.state {
            "completed" => self.wishes[at].outcome = Some("runs".into()),
            "paused-inconclusive" => self.decide(env, plane, at, &cell),
            "paused" | "paused-for-approval" => self.say(env, plane, &Command::Resume(cell.id)),
            "rolled-back" | "rollback-stuck" => self.ended(env, plane, at, &cell),
            _ => {}
        }
    }

    /// A rollout waits for evidence that does not come.
    fn decide(&mut self, env: &mut Env, plane: &mut Plane, at: usize, cell: &RolloutCell) {
        let wish = &mut self.wishes[at];
        let abort = |reason: &str| Command::Abort { rollout: cell.id.clone(), reason: reason.into() };
        let command = if cell.tally.failed > 0 {
            abort("devices failed")
        } else if wish.resumes == RESUMES_MAX && cell.tally.healthy > 0 {
            // Whoever answers is well, and the others are gone, perhaps for good.
            wish.resumes = 0;
            Command::Promote(cell.id.clone())
        } else if wish.resumes == RESUMES_MAX || cell.tally.accepted == 0 {
            // The next rollout draws other canaries.
            abort("nobody answers")
        } else {
            wish.resumes += 1;
            Command::Resume(cell.id.clone())
        };
        self.say(env, plane, &command);
    }

    /// A rollout was taken back.
    fn ended(&mut self, env: &mut Env, plane: &mut Plane, at: usize, cell: &RolloutCell) {
        let superseded = self.wishes.iter().any(|w| w.version > self.wishes[at].version && w.tries > 0);
        let wish = &mut self.wishes[at];
        if self.bad.contains(&wish.version) || superseded || wish.tries >= RETRIES_MAX {
            wish.outcome = Some(cell.state.into());
        } else if env.now() >= wish.not_before + AGAIN_MS {
            self.create(env, plane, at);
        }
    }

    fn create(&mut self, env: &mut Env, plane: &mut Plane, at: usize) {
        let bundle = bundle_ref(self.wishes[at].version);
        let Pursued { target, policy, .. } = &self.wishes[at];
        let policy = RolloutPolicy { target: target.clone(), ..policy.clone() };
        match plane.command(env, &Command::CreateRollout { bundle, policy }) {
            Some(Ok(Done::Created(_))) => {
                self.wishes[at].tries += 1;
                self.wishes[at].resumes = 0;
                self.wishes[at].not_before = env.now();
            }
            // Everybody it is meant for has it already, or is not there.
            Some(Err(Refusal::NoDevices { .. })) if env.now() >= self.wishes[at].not_before + GIVE_UP_MS => {
                self.wishes[at].outcome = Some("has nobody to go to".into());
            }
            Some(_) | None => {}
        }
    }

    fn say(&mut self, env: &mut Env, plane: &mut Plane, command: &Command) {
        if let Some(Err(refusal)) = plane.command(env, command) {
            env.tell(Node::Plane, format_args!("refuses: {refusal}"));
        }
    }
}
