//! Commits: floors, pointers, ledger, in this order; the power may go at every boundary.
use pinnace_agent_core::{Batch, Effect, LoadRole, Step, WindowDraft};
use pinnace_protocol::sketch::Live;

use super::{Device, Died};
use crate::checks::Check;
use crate::env::Env;
use crate::plant::Plant;

impl Device {
    /// Passes a boundary: the fuse burns down.
    pub(super) fn boundary(&mut self) -> Result<(), Died> {
        self.boundaries += 1;
        match &mut self.fuse {
            Some(fuse) if fuse.left == 0 => Err(Died),
            Some(fuse) => {
                fuse.left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Makes a step's batch durable, then carries out its effects.
    pub(super) fn carry_out(
        &mut self,
        env: &mut Env,
        step: Step,
        closed: Option<(&WindowDraft, &Live)>,
    ) -> Result<(), Died> {
        let (mut early, mut then) = (Vec::new(), step.then);
        if env.has(Plant::PublishBeforeCommit) {
            (early, then) = then.into_iter().partition(|effect| matches!(effect, Effect::Publish(_)));
        }
        for effect in early {
            self.effect(env, effect);
        }
        let loads = |e: &Effect| matches!(e, Effect::Load { role: LoadRole::Candidate, .. });
        let spends_a_try = then.iter().any(loads);
        if let Some(batch) = step.commit {
            self.commit(env, batch, closed, spends_a_try)?;
        }
        for effect in then {
            self.effect(env, effect);
            self.boundary()?;
        }
        Ok(())
    }

    fn commit(
        &mut self,
        env: &mut Env,
        mut batch: Batch,
        closed: Option<(&WindowDraft, &Live)>,
        spends_a_try: bool,
    ) -> Result<(), Died> {
        let raises = batch.floors.is_some();
        if let Some(bytes) = batch.floors.take() {
            let in_place = env.has(Plant::FloorsInOneFile);
            for at in 0..if in_place { 1 } else { 2 } {
                if self.boundary().is_err() {
                    match in_place {
                        true => self.disk.floors.tear(at, &bytes, &mut self.rng),
                        false => self.disk.floors.interrupt(at, &bytes, &mut self.images),
                    }
                    return Err(Died);
                }
                self.disk.write_floors(at, &bytes, !env.has(Plant::FloorsNotSynced));
            }
        }
        let flush = !env.has(Plant::NoFlush);
        if let Some(bytes) = batch.pointers.take() {
            for at in 0..2 {
                if self.boundary().is_err() {
                    self.disk.interrupt_pointers(at, &bytes, &mut self.images);
                    return Err(Died);
                }
                self.disk.write_pointers(at, &bytes, flush);
            }
        }
        let interrupted = self.boundary().is_err();
        // An interrupted batch is there as a whole or not at all.
        if !interrupted || self.images.pick(2) == 1 {
            self.disk.commit_ledger(batch, flush);
            // From here on a death counts against the candidate, whether its load has begun or not.
            self.in_trial |= spends_a_try;
            if let Some((draft, live)) = closed {
                let found = env.checks.closed.closed(self.index, env.queue.now(), &draft.bundle, live);
                env.judge(Check::L2, self.node(), found);
            }
        }
        if interrupted {
            return Err(Died);
        }
        let found = env.checks.bounded.stored(&self.disk);
        env.judge(Check::S9, self.node(), found);
        if raises {
            let found = env.checks.floors.found(self.index, self.disk.floors());
            env.judge(Check::S2, self.node(), found);
        }
        self.boundary()
    }
}
