//! Tree ensembles as in version 5 of a file: branches and leaves in lists of their own.

use super::plan::{Mode, Node, Plan, TreeError, index};
use crate::limits::{FEATURES_MAX, TREE_NODES_MAX};

/// The lists of `TreeEnsemble` version 5, as in the file.
#[derive(Debug, Clone, Default)]
pub struct LeafForm {
    /// First node of each tree.
    pub tree_roots: Vec<i64>,
    /// Mode of each branch.
    pub nodes_modes: Vec<u8>,
    /// Feature of each branch.
    pub nodes_featureids: Vec<i64>,
    /// Value of each branch.
    pub nodes_splits: Vec<f64>,
    /// Where true leads, an index of branches or of leaves.
    pub nodes_truenodeids: Vec<i64>,
    /// Whether true leads to a leaf.
    pub nodes_trueleafs: Vec<i64>,
    /// Where false leads.
    pub nodes_falsenodeids: Vec<i64>,
    /// Whether false leads to a leaf.
    pub nodes_falseleafs: Vec<i64>,
    /// Whether what is not a number takes the way of true; empty for never.
    pub nodes_missing_value_tracks_true: Vec<i64>,
    /// Sets of the branches that ask for membership, in their order, each ended by NaN.
    pub membership_values: Vec<f64>,
    /// Target of each leaf.
    pub leaf_targetids: Vec<i64>,
    /// Weight of each leaf.
    pub leaf_weights: Vec<f64>,
    /// How many targets there are.
    pub n_targets: i64,
}

impl LeafForm {
    fn check_lengths(&self) -> Result<usize, TreeError> {
        let count = self.nodes_modes.len();
        let same = |list, found: usize, expected: usize| {
            if found == expected { Ok(()) } else { Err(TreeError::Length { list, found, expected }) }
        };
        same("nodes_featureids", self.nodes_featureids.len(), count)?;
        same("nodes_splits", self.nodes_splits.len(), count)?;
        same("nodes_truenodeids", self.nodes_truenodeids.len(), count)?;
        same("nodes_trueleafs", self.nodes_trueleafs.len(), count)?;
        same("nodes_falsenodeids", self.nodes_falsenodeids.len(), count)?;
        same("nodes_falseleafs", self.nodes_falseleafs.len(), count)?;
        if !self.nodes_missing_value_tracks_true.is_empty() {
            same("nodes_missing_value_tracks_true", self.nodes_missing_value_tracks_true.len(), count)?;
        }
        same("leaf_targetids", self.leaf_targetids.len(), self.leaf_weights.len())?;
        if count > TREE_NODES_MAX || self.leaf_weights.len() > TREE_NODES_MAX - count {
            let found = count.saturating_add(self.leaf_weights.len());
            return Err(TreeError::TooMany { what: "nodes", count: found, limit: TREE_NODES_MAX });
        }
        Ok(count)
    }

    /// Returns the plan of these lists. A root whose both ways lead to the same leaf is a tree of one leaf.
    ///
    /// # Errors
    /// [`TreeError`] when the lists are no ensemble.
    pub fn plan(&self) -> Result<Plan, TreeError> {
        let branches = self.check_lengths()?;
        let leaves = self.leaf_weights.len();
        let mut sets = Vec::new();
        let mut members = self.membership_values.split(|v| v.is_nan());
        let mut nodes = Vec::with_capacity(branches + leaves);
        for i in 0..branches {
            let mode = Mode::numbered(self.nodes_modes[i])?;
            let value = if mode == Mode::Member {
                sets.push(members.next().unwrap_or_default().to_vec());
                (sets.len() - 1) as f64
            } else {
                self.nodes_splits[i]
            };
            nodes.push(Node::Branch {
                feature: index("feature", self.nodes_featureids[i], FEATURES_MAX)?,
                mode,
                value,
                missing_is_true: self.nodes_missing_value_tracks_true.get(i).is_some_and(|m| *m != 0),
                yes: way(self.nodes_truenodeids[i], self.nodes_trueleafs[i], branches, leaves)?,
                no: way(self.nodes_falsenodeids[i], self.nodes_falseleafs[i], branches, leaves)?,
            });
        }
        let mut weights = Vec::with_capacity(leaves);
        let targets = usize::try_from(self.n_targets).map_err(|_| TreeError::Empty("targets"))?;
        for (i, (target, weight)) in self.leaf_targetids.iter().zip(&self.leaf_weights).enumerate() {
            weights.push((index("target", *target, targets)?, *weight));
            // In range: there are at most TREE_NODES_MAX leaves.
            nodes.push(Node::Leaf { first: u32::try_from(i).unwrap_or(u32::MAX), count: 1 });
        }
        let roots = self.tree_roots.iter().map(|root| {
            let root = index("root", *root, branches)?;
            Ok(match &nodes[root as usize] {
                Node::Branch { yes, no, .. } if yes == no && *yes as usize >= branches => *yes,
                _ => root,
            })
        });
        let roots = roots.collect::<Result<_, TreeError>>()?;
        Plan::checked(nodes, roots, weights, sets, targets)
    }
}

fn way(to: i64, is_leaf: i64, branches: usize, leaves: usize) -> Result<u32, TreeError> {
    if is_leaf == 0 {
        return index("node", to, branches);
    }
    let leaf = index("leaf", to, leaves)? as usize;
    index("leaf", (branches + leaf) as i64, branches + leaves)
}
