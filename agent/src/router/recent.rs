//! Remembers answers by request id until the application tells how they turned out.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::limits;
use super::trial::Trial;
use crate::engine::Answers;

/// A trial, and the classes that candidate and active model gave, per row.
type Pairs = (Arc<Trial>, Vec<(usize, usize)>);

/// What is kept of one answered request.
#[derive(Debug)]
pub(super) struct Remembered {
    /// Identifies the model whose window counted the rows.
    pub(super) lead: u64,
    /// Class and score that the answering model gave, per row.
    pub(super) rows: Vec<(usize, f32)>,
    /// The other model's classes, when a trial is on and it has answered: candidate first, then active.
    pub(super) both: Option<Pairs>,
}

/// Answered requests, the oldest forgotten first.
#[derive(Debug, Default)]
pub(super) struct Recent {
    by_id: HashMap<Arc<str>, Remembered>,
    order: VecDeque<Arc<str>>,
    rows: usize,
}

impl Recent {
    /// Remembers an answered request; one with the same id is replaced. Regressions are not remembered.
    pub(super) fn remember(&mut self, id: &str, lead: u64, answers: &Answers) {
        let rows: Vec<_> = (0..answers.rows()).filter_map(|r| answers.class(r)).collect();
        if id.is_empty() || id.len() > limits::ID_MAX_BYTES || rows.is_empty() {
            return;
        }
        drop(self.take(id));
        let id: Arc<str> = id.into();
        self.rows += rows.len();
        self.order.push_back(Arc::clone(&id));
        self.by_id.insert(id, Remembered { lead, rows, both: None });
        while self.order.len() > limits::REMEMBERED_MAX || self.rows > limits::REMEMBERED_MAX_ROWS {
            let Some(oldest) = self.order.front().cloned() else { break };
            drop(self.take(&oldest));
        }
    }

    /// Adds what both models said to a request that is still remembered.
    pub(super) fn add_both(&mut self, id: &str, trial: &Arc<Trial>, candidate: &Answers, active: &Answers) {
        if let Some(known) = self.by_id.get_mut(id) {
            let pairs = candidate.labels.iter().copied().zip(active.labels.iter().copied()).collect();
            known.both = Some((Arc::clone(trial), pairs));
        }
    }

    /// Forgets a request and returns it; an outcome counts once.
    pub(super) fn take(&mut self, id: &str) -> Option<Remembered> {
        let known = self.by_id.remove(id)?;
        self.rows -= known.rows.len();
        // Newest answers are told about first, so look from the back.
        if let Some(at) = self.order.iter().rposition(|k| &**k == id) {
            self.order.remove(at);
        }
        Some(known)
    }

    /// Returns who answered a remembered request, and how many rows.
    pub(super) fn look(&self, id: &str) -> Option<(u64, usize)> {
        self.by_id.get(id).map(|known| (known.lead, known.rows.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Matrix;

    #[test]
    fn the_oldest_are_forgotten_and_an_answer_is_taken_once() {
        let one = Answers::new(Matrix::new(2, vec![0.3, 0.7]).unwrap(), true);
        let mut recent = Recent::default();
        for i in 0..=limits::REMEMBERED_MAX {
            recent.remember(&format!("r{i}"), 1, &one);
        }
        assert!(recent.take("r0").is_none());
        assert_eq!(recent.take("r1").map(|k| k.rows), Some(vec![(1, 0.7)]));
        assert!(recent.take("r1").is_none());
        assert_eq!((recent.order.len(), recent.rows), (limits::REMEMBERED_MAX - 1, limits::REMEMBERED_MAX - 1));
        recent.remember("r2", 1, &one);
        recent.remember(&"x".repeat(limits::ID_MAX_BYTES + 1), 1, &one);
        assert_eq!(recent.order.len(), limits::REMEMBERED_MAX - 1);
    }
}
