//! A plan laid out for answering.

use super::plan::{Mode, Node, Plan};
use super::walk::{Kind, LANES, Place, down};
use crate::OperatorError;
use crate::error::fits;
use crate::limits::ANSWER_VALUES_MAX;
use crate::number::Number;

/// Rows that go through one tree before the next: their scores and the tree stay in the nearest cache.
const BLOCK_ROWS: usize = 64;

/// How weights of trees become a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Aggregate {
    /// Their sum.
    #[default]
    Sum,
    /// Their sum over the number of trees.
    Average,
    /// The lowest.
    Min,
    /// The highest.
    Max,
}

impl Aggregate {
    /// Returns the function of a name as in a file.
    ///
    /// # Errors
    /// [`OperatorError::Attribute`] for a name that there is none of.
    pub fn named(operator: &'static str, name: &str) -> Result<Self, OperatorError> {
        Ok(match name {
            "SUM" => Self::Sum,
            "AVERAGE" => Self::Average,
            "MIN" => Self::Min,
            "MAX" => Self::Max,
            _ => return Err(OperatorError::attribute(operator, "aggregate_function", "is none of the four there are")),
        })
    }

    /// Returns the function of a number as in `TreeEnsemble` of version 5.
    ///
    /// # Errors
    /// [`OperatorError::Attribute`] for a number that there is none of.
    pub fn numbered(operator: &'static str, number: i64) -> Result<Self, OperatorError> {
        Ok(match number {
            0 => Self::Average,
            1 => Self::Sum,
            2 => Self::Min,
            3 => Self::Max,
            _ => return Err(OperatorError::attribute(operator, "aggregate_function", "is none of the four there are")),
        })
    }
}

/// What the leaves say of one target for one row.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Score<T> {
    /// The aggregate of the weights; zero when there were none.
    pub value: T,
    /// Whether there were any.
    pub seen: bool,
}

impl<T: Number> Score<T> {
    /// Returns what is answered: zero when there were no weights, whatever was added since.
    pub fn shown(self) -> T {
        if self.seen { self.value } else { T::default() }
    }

    #[inline]
    fn add(&mut self, weight: T, aggregate: Aggregate) {
        self.value = match aggregate {
            Aggregate::Sum | Aggregate::Average => self.value.plus(weight),
            Aggregate::Min if !self.seen || weight < self.value => weight,
            Aggregate::Max if !self.seen || weight > self.value => weight,
            Aggregate::Min | Aggregate::Max => self.value,
        };
        self.seen = true;
    }
}

/// Where the weights of leaves lie.
#[derive(Debug, Clone)]
enum Weights<T> {
    /// In the leaves: one target, one weight each.
    InLeaves,
    /// One after the other, one for each target, leaf after leaf.
    Dense(Vec<T>),
    /// Where those of each leaf begin, their targets and themselves.
    Sparse { begins: Vec<u32>, targets: Vec<u32>, values: Vec<T> },
}

/// A plan laid out for answering; compares and aggregates in `T`.
#[derive(Debug, Clone)]
pub struct Forest<T> {
    places: Vec<Place<T>>,
    roots: Vec<u32>,
    sets: Vec<Vec<T>>,
    weights: Weights<T>,
    kind: Kind,
    targets: usize,
    features: usize,
    aggregate: Aggregate,
}

impl<T: Number> Forest<T> {
    /// Lays a plan out.
    pub fn new(plan: &Plan, aggregate: Aggregate) -> Self {
        let mut layout = Layout {
            plan,
            places: Vec::with_capacity(plan.nodes.len()),
            pairs: vec![u32::MAX; plan.nodes.len()],
            leaves: Vec::new(),
            leaf_places: Vec::new(),
            depth: 0,
        };
        let roots: Vec<u32> = plan.roots.iter().map(|root| layout.tree(*root)).collect();
        let Layout { mut places, leaves, leaf_places, depth, .. } = layout;
        let weights = weights_of(plan, &leaves, &leaf_places, &mut places);
        let branches = || {
            plan.nodes.iter().filter_map(|n| match n {
                Node::Branch { mode, missing_is_true, .. } => Some((*mode, *missing_is_true)),
                Node::Leaf { .. } => None,
            })
        };
        let first = branches().next().map(|b| b.0);
        let mode = first.filter(|first| branches().all(|b| b.0 == *first));
        let kind = Kind::new(mode, branches().any(|b| b.1), depth);
        let sets = plan.sets.iter().map(|set| sorted(set)).collect();
        let (targets, features) = (plan.targets, plan.features());
        Self { places, roots, sets, weights, kind, targets, features, aggregate }
    }

    /// Returns how many targets or classes it has.
    pub fn targets(&self) -> usize {
        self.targets
    }

    /// Returns how many trees it has.
    pub fn trees(&self) -> usize {
        self.roots.len()
    }

    /// Checks that rows fit the trees, and that their scores are not beyond [`ANSWER_VALUES_MAX`].
    ///
    /// # Errors
    /// [`OperatorError::Input`] when not.
    pub fn check(
        &self,
        operator: &'static str,
        found: usize,
        rows: usize,
        columns: usize,
    ) -> Result<(), OperatorError> {
        fits(operator, found, rows, columns)?;
        if columns < self.features || columns == 0 {
            let why = format!("{columns} features, the trees ask for {}", self.features.max(1));
            return Err(OperatorError::input(operator, why));
        }
        if rows.checked_mul(self.targets).is_none_or(|s| s > ANSWER_VALUES_MAX) {
            return Err(OperatorError::input(operator, "too many scores"));
        }
        Ok(())
    }

    /// Calls `row` with the scores of each row, in order; a target has its [`Score`].
    ///
    /// # Errors
    /// As [`Forest::check`].
    pub fn each_row(
        &self,
        operator: &'static str,
        values: &[T],
        rows: usize,
        columns: usize,
        mut row: impl FnMut(usize, &mut [Score<T>]),
    ) -> Result<(), OperatorError> {
        self.check(operator, values.len(), rows, columns)?;
        let mut scores = vec![Score::default(); self.targets * BLOCK_ROWS.min(rows)];
        for (block, values) in values.chunks(columns * BLOCK_ROWS).enumerate() {
            scores.fill(Score::default());
            let count = values.len() / columns;
            if count < LANES {
                for (values, scores) in values.chunks_exact(columns).zip(scores.chunks_exact_mut(self.targets)) {
                    self.one(values, scores);
                }
            } else {
                self.many(values, columns, &mut scores[..count * self.targets]);
            }
            for (i, scores) in scores.chunks_exact_mut(self.targets).take(count).enumerate() {
                row(block * BLOCK_ROWS + i, scores);
            }
        }
        Ok(())
    }

    /// One row through eight trees at a time.
    fn one(&self, row: &[T], scores: &mut [Score<T>]) {
        for roots in self.roots.chunks(LANES) {
            let mut at = [roots[0]; LANES];
            at[..roots.len()].copy_from_slice(roots);
            down(self.kind, &self.places, &self.sets, &mut at, [row; LANES]);
            for at in &at[..roots.len()] {
                self.add(*at, scores);
            }
        }
    }

    /// Eight rows at a time through one tree.
    fn many(&self, values: &[T], columns: usize, scores: &mut [Score<T>]) {
        let rows = values.len() / columns;
        let row = |i: usize| &values[i * columns..(i + 1) * columns];
        for root in &self.roots {
            for first in (0..rows).step_by(LANES) {
                let count = LANES.min(rows - first);
                let mut lanes = [row(first); LANES];
                for (i, lane) in lanes.iter_mut().enumerate().take(count) {
                    *lane = row(first + i);
                }
                let mut at = [*root; LANES];
                down(self.kind, &self.places, &self.sets, &mut at, lanes);
                for (i, at) in at.iter().enumerate().take(count) {
                    let begin = (first + i) * self.targets;
                    self.add(*at, &mut scores[begin..begin + self.targets]);
                }
            }
        }
    }

    /// Adds the weights of a leaf.
    #[inline]
    fn add(&self, at: u32, scores: &mut [Score<T>]) {
        let leaf = &self.places[at as usize];
        match &self.weights {
            Weights::InLeaves => scores[0].add(leaf.value, self.aggregate),
            Weights::Dense(values) => {
                let begin = leaf.value.to_index() as usize * self.targets;
                for (score, weight) in scores.iter_mut().zip(&values[begin..begin + self.targets]) {
                    score.add(*weight, self.aggregate);
                }
            }
            Weights::Sparse { begins, targets, values } => {
                let leaf = leaf.value.to_index() as usize;
                for i in begins[leaf] as usize..begins[leaf + 1] as usize {
                    scores[targets[i] as usize].add(values[i], self.aggregate);
                }
            }
        }
    }

    /// Turns what was aggregated into what the model means.
    #[must_use]
    pub fn aggregated(&self, score: T) -> T {
        if self.aggregate == Aggregate::Average { score.over(self.trees()) } else { score }
    }
}

fn sorted<T: Number>(set: &[f64]) -> Vec<T> {
    let mut set: Vec<T> = set.iter().map(|v| T::from_f64(*v)).filter(|v| !v.is_nan()).collect();
    set.sort_unstable_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    set
}

/// Nodes on their way to their places.
struct Layout<'a, T> {
    plan: &'a Plan,
    places: Vec<Place<T>>,
    /// Where the children of a branch lie, once they do: shared children have one place however many lead there. Of a
    /// leaf, its number in `leaves`.
    pairs: Vec<u32>,
    /// Nodes that are leaves.
    leaves: Vec<u32>,
    /// Place and number of each leaf; a shared leaf has several places.
    leaf_places: Vec<(u32, u32)>,
    /// Branches on the longest way that was gone while placing; with shared branches there may be longer ones.
    depth: u32,
}

impl<T: Number> Layout<'_, T> {
    /// Places a tree and returns where it begins; the way of true lies in one piece. At most twice as many places as
    /// nodes, and one for each tree.
    fn tree(&mut self, root: u32) -> u32 {
        let begin = self.reserve(1);
        let mut open = vec![(begin, root, 0)];
        while let Some((place, node, depth)) = open.pop() {
            self.depth = self.depth.max(depth);
            match &self.plan.nodes[node as usize] {
                Node::Leaf { .. } => {
                    if self.pairs[node as usize] == u32::MAX {
                        // At most TREE_NODES_MAX.
                        self.pairs[node as usize] = u32::try_from(self.leaves.len()).unwrap_or(u32::MAX);
                        self.leaves.push(node);
                    }
                    self.leaf_places.push((place, self.pairs[node as usize]));
                    self.places[place as usize].next = place;
                }
                Node::Branch { feature, mode, value, missing_is_true, yes, no } => {
                    if self.pairs[node as usize] == u32::MAX {
                        let pair = self.reserve(2);
                        self.pairs[node as usize] = pair;
                        open.push((pair + 1, *no, depth + 1));
                        open.push((pair, *yes, depth + 1));
                    }
                    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index, checked")]
                    let value = match mode {
                        Mode::Member => T::from_index(*value as u32),
                        _ => T::from_f64(*value),
                    };
                    self.places[place as usize] = Place {
                        value,
                        next: self.pairs[node as usize],
                        feature: *feature,
                        mode: *mode,
                        missing_is_true: *missing_is_true,
                        step: 1,
                    };
                }
            }
        }
        begin
    }

    fn reserve(&mut self, count: usize) -> u32 {
        let leaf = Place { value: T::default(), next: 0, feature: 0, mode: Mode::Leq, missing_is_true: false, step: 0 };
        let begin = self.places.len();
        self.places.resize(begin + count, leaf);
        // At most 2 * TREE_NODES_MAX and one for each of at most as many trees.
        u32::try_from(begin).unwrap_or(u32::MAX)
    }
}

/// Writes weights, or the numbers of leaves, into the places of leaves.
fn weights_of<T: Number>(
    plan: &Plan,
    leaves: &[u32],
    leaf_places: &[(u32, u32)],
    places: &mut [Place<T>],
) -> Weights<T> {
    let of = |node: u32| match &plan.nodes[node as usize] {
        Node::Leaf { first, count } => &plan.weights[*first as usize..(*first + *count) as usize],
        Node::Branch { .. } => &[],
    };
    if plan.targets == 1 && leaves.iter().all(|node| of(*node).len() == 1) {
        for (place, leaf) in leaf_places {
            places[*place as usize].value = T::from_f64(of(leaves[*leaf as usize])[0].1);
        }
        return Weights::InLeaves;
    }
    for (place, leaf) in leaf_places {
        places[*place as usize].value = T::from_index(*leaf);
    }
    let in_order = |weights: &[(u32, f64)]| weights.iter().enumerate().all(|(i, w)| w.0 as usize == i);
    let dense = leaves.iter().map(|node| of(*node)).all(|w| w.len() == plan.targets && in_order(w));
    let mut begins = vec![0];
    let (mut targets, mut values) = (Vec::new(), Vec::new());
    for node in leaves {
        for (target, weight) in of(*node) {
            values.push(T::from_f64(*weight));
            if !dense {
                targets.push(*target);
            }
        }
        // At most TREE_NODES_MAX.
        begins.push(u32::try_from(values.len()).unwrap_or(u32::MAX));
    }
    if dense { Weights::Dense(values) } else { Weights::Sparse { begins, targets, values } }
}
