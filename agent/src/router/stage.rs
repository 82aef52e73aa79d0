//! Who answers: the models in memory and the part each of them has.

use std::sync::Arc;

use super::served::Served;
use super::trial::{Trial, TrialMode};

/// The models in memory at one moment. Never changed in place: a swap puts a new stage in its place.
#[derive(Default, Clone)]
pub(super) struct Stage {
    /// Grows with every change.
    pub(super) epoch: u64,
    pub(super) active: Option<Arc<Served>>,
    pub(super) candidate: Option<Arc<Served>>,
    pub(super) trial: Option<(Arc<Trial>, TrialMode)>,
}

/// What one model is for a request.
pub(super) struct Part<'a> {
    pub(super) served: &'a Arc<Served>,
    pub(super) is_candidate: bool,
}

impl Stage {
    /// Returns who answers applications.
    pub(super) fn lead(&self) -> Option<Part<'_>> {
        let active = self.active.as_ref().map(|served| Part { served, is_candidate: false });
        match &self.trial {
            Some((_, TrialMode::Shadow)) if active.is_some() => active,
            // Without an active model the candidate is all there is.
            Some(_) => self.candidate.as_ref().map(|served| Part { served, is_candidate: true }).or(active),
            None => active,
        }
    }

    /// Returns who computes the same inputs afterwards, with the trial that counts it.
    pub(super) fn follower(&self) -> Option<(Part<'_>, &Arc<Trial>)> {
        let (trial, _) = self.trial.as_ref()?;
        let lead = self.lead()?;
        let other = if lead.is_candidate { self.active.as_ref() } else { self.candidate.as_ref() }?;
        Some((Part { served: other, is_candidate: !lead.is_candidate }, trial))
    }
}
