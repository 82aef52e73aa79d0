//! A tree ensemble as a checked graph of branches and leaves, whichever form the file had.

use crate::limits::{FEATURES_MAX, TARGETS_MAX, TREE_NODES_MAX};

/// Why a tree ensemble is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// Lists that describe the same nodes have different lengths.
    #[error("`{list}` has {found} entries, {expected} were expected")]
    Length {
        /// Which list.
        list: &'static str,
        /// How long it is.
        found: usize,
        /// How long it should be.
        expected: usize,
    },
    /// More nodes, targets or features than a device answers with.
    #[error("{count} {what} are more than the {limit} that are allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// There are no trees, or no targets.
    #[error("it has no {0}")]
    Empty(&'static str),
    /// Two nodes have the same number.
    #[error("node {node} of tree {tree} is there twice")]
    Twice {
        /// Which tree.
        tree: i64,
        /// Which node.
        node: i64,
    },
    /// A node is pointed to that is not there.
    #[error("node {node} of tree {tree} is pointed to and not there")]
    Missing {
        /// Which tree.
        tree: i64,
        /// Which node.
        node: i64,
    },
    /// A branch leads back to itself.
    #[error("a branch of the tree that begins with node {0} leads back to itself")]
    Cycle(usize),
    /// A number is outside of what it may be.
    #[error("{what} {value} is out of range")]
    Range {
        /// Which number.
        what: &'static str,
        /// The number.
        value: i64,
    },
    /// A mode that there is none of.
    #[error("there is no mode `{0}`")]
    Mode(String),
}

/// How a branch compares a feature with its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// At most.
    Leq,
    /// Less.
    Lt,
    /// At least.
    Gte,
    /// Greater.
    Gt,
    /// Equal.
    Eq,
    /// Not equal.
    Neq,
    /// One of a set.
    Member,
}

impl Mode {
    /// Returns the mode of a name as in a file; none for a leaf.
    ///
    /// # Errors
    /// [`TreeError::Mode`] for a name that there is none of.
    pub fn named(name: &str) -> Result<Option<Self>, TreeError> {
        Ok(Some(match name {
            "BRANCH_LEQ" => Self::Leq,
            "BRANCH_LT" => Self::Lt,
            "BRANCH_GTE" => Self::Gte,
            "BRANCH_GT" => Self::Gt,
            "BRANCH_EQ" => Self::Eq,
            "BRANCH_NEQ" => Self::Neq,
            "LEAF" => return Ok(None),
            _ => return Err(TreeError::Mode(name.chars().take(40).collect())),
        }))
    }

    /// Returns the mode of a number as in version 5.
    ///
    /// # Errors
    /// [`TreeError::Range`] for a number that there is none of.
    pub fn numbered(number: u8) -> Result<Self, TreeError> {
        Ok(match number {
            0 => Self::Leq,
            1 => Self::Lt,
            2 => Self::Gte,
            3 => Self::Gt,
            4 => Self::Eq,
            5 => Self::Neq,
            6 => Self::Member,
            _ => return Err(TreeError::Range { what: "mode", value: i64::from(number) }),
        })
    }
}

/// A branch, or a leaf with its weights.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// Where the way parts.
    Branch {
        /// Which feature is compared.
        feature: u32,
        /// How.
        mode: Mode,
        /// With what; for [`Mode::Member`] the index of a set.
        value: f64,
        /// Whether a feature that is not a number takes the way of true.
        missing_is_true: bool,
        /// Node taken when the comparison holds.
        yes: u32,
        /// Node taken when not.
        no: u32,
    },
    /// Where the way ends: a range of [`Plan::weights`].
    Leaf {
        /// First weight.
        first: u32,
        /// How many.
        count: u32,
    },
}

/// A checked ensemble: every way from every root ends in a leaf, every index is in range.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(super) nodes: Vec<Node>,
    pub(super) roots: Vec<u32>,
    /// Target and weight.
    pub(super) weights: Vec<(u32, f64)>,
    pub(super) sets: Vec<Vec<f64>>,
    pub(super) targets: usize,
}

impl Plan {
    /// Returns the plan when it is one.
    ///
    /// # Errors
    /// [`TreeError`] when sizes are beyond the limits, an index is out of range, or a way leads back.
    pub(super) fn checked(
        nodes: Vec<Node>,
        roots: Vec<u32>,
        weights: Vec<(u32, f64)>,
        sets: Vec<Vec<f64>>,
        targets: usize,
    ) -> Result<Self, TreeError> {
        let plan = Self { nodes, roots, weights, sets, targets };
        plan.check_sizes()?;
        plan.check_nodes()?;
        plan.check_ways()?;
        Ok(plan)
    }

    fn check_sizes(&self) -> Result<(), TreeError> {
        let limits = [
            ("nodes", self.nodes.len(), TREE_NODES_MAX),
            ("leaf weights", self.weights.len(), TREE_NODES_MAX),
            ("targets", self.targets, TARGETS_MAX),
            ("trees", self.roots.len(), TREE_NODES_MAX),
        ];
        for (what, count, limit) in limits {
            if count > limit {
                return Err(TreeError::TooMany { what, count, limit });
            }
        }
        if self.targets == 0 {
            return Err(TreeError::Empty("targets"));
        }
        if self.roots.is_empty() {
            return Err(TreeError::Empty("trees"));
        }
        Ok(())
    }

    fn check_nodes(&self) -> Result<(), TreeError> {
        let within = |what, value: u32, limit: usize| {
            if (value as usize) < limit { Ok(()) } else { Err(TreeError::Range { what, value: i64::from(value) }) }
        };
        for root in &self.roots {
            within("root", *root, self.nodes.len())?;
        }
        for (target, _) in &self.weights {
            within("target", *target, self.targets)?;
        }
        for node in &self.nodes {
            match node {
                Node::Branch { feature, mode, value, yes, no, .. } => {
                    within("feature", *feature, FEATURES_MAX)?;
                    within("node", *yes, self.nodes.len())?;
                    within("node", *no, self.nodes.len())?;
                    if *mode == Mode::Member && !(*value >= 0.0 && *value < self.sets.len() as f64) {
                        return Err(TreeError::Range { what: "set", value: self.sets.len() as i64 });
                    }
                }
                Node::Leaf { first, count } => {
                    let last = (*first as usize).checked_add(*count as usize);
                    if last.is_none_or(|l| l > self.weights.len()) {
                        return Err(TreeError::Range { what: "leaf weight", value: i64::from(*first) });
                    }
                }
            }
        }
        Ok(())
    }

    /// Goes down from every root, each node once: a node that is met while its own ways are open leads back.
    fn check_ways(&self) -> Result<(), TreeError> {
        #[derive(Clone, Copy, PartialEq)]
        enum Seen {
            No,
            Open,
            Done,
        }
        let mut seen = vec![Seen::No; self.nodes.len()];
        let mut stack: Vec<u32> = Vec::new();
        for root in &self.roots {
            stack.push(*root);
            while let Some(&at) = stack.last() {
                let i = at as usize;
                match (seen[i], &self.nodes[i]) {
                    (Seen::No, Node::Branch { yes, no, .. }) => {
                        seen[i] = Seen::Open;
                        for next in [*yes, *no] {
                            match seen[next as usize] {
                                Seen::No => stack.push(next),
                                Seen::Open => return Err(TreeError::Cycle(*root as usize)),
                                Seen::Done => (),
                            }
                        }
                    }
                    _ => {
                        seen[i] = Seen::Done;
                        stack.pop();
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns how many features a row must have: one beyond the highest that a branch names.
    pub fn features(&self) -> usize {
        let highest = self.nodes.iter().map(|n| match n {
            Node::Branch { feature, .. } => *feature as usize + 1,
            Node::Leaf { .. } => 0,
        });
        highest.max().unwrap_or(0)
    }

    /// Returns how many targets or classes it has.
    pub fn targets(&self) -> usize {
        self.targets
    }

    /// Returns how many trees it has.
    pub fn trees(&self) -> usize {
        self.roots.len()
    }
}

/// Returns a number as an index below a limit.
pub(super) fn index(what: &'static str, value: i64, limit: usize) -> Result<u32, TreeError> {
    let index = u32::try_from(value).ok().filter(|i| (*i as usize) < limit);
    index.ok_or(TreeError::Range { what, value })
}
