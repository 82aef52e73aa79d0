//! Tree ensembles as in versions 1 to 3 of a file: nodes with the numbers of their tree and their own.

use std::collections::HashMap;

use super::plan::{Mode, Node, Plan, TreeError, index};
use crate::limits::{FEATURES_MAX, TREE_NODES_MAX};

/// Target and weight, of all leaves.
type Weights = Vec<(u32, f64)>;

/// The lists of `TreeEnsembleClassifier` and `TreeEnsembleRegressor`, as in the file.
#[derive(Debug, Clone, Default)]
pub struct NodeTables {
    /// Tree of each node.
    pub treeids: Vec<i64>,
    /// Number of each node within its tree.
    pub nodeids: Vec<i64>,
    /// Feature of each branch.
    pub featureids: Vec<i64>,
    /// Mode of each node; none for a leaf.
    pub modes: Vec<Option<Mode>>,
    /// Value of each branch.
    pub values: Vec<f64>,
    /// Where true leads, within the tree.
    pub truenodeids: Vec<i64>,
    /// Where false leads, within the tree.
    pub falsenodeids: Vec<i64>,
    /// Whether what is not a number takes the way of true; empty for never.
    pub missing_value_tracks_true: Vec<i64>,
    /// Tree of each weight.
    pub leaf_treeids: Vec<i64>,
    /// Node of each weight.
    pub leaf_nodeids: Vec<i64>,
    /// Class or target of each weight.
    pub leaf_targets: Vec<i64>,
    /// The weights.
    pub leaf_weights: Vec<f64>,
    /// How many classes or targets there are.
    pub targets: usize,
}

impl NodeTables {
    fn check_lengths(&self) -> Result<(), TreeError> {
        let count = self.nodeids.len();
        let same = |list, found: usize, expected: usize| {
            if found == expected { Ok(()) } else { Err(TreeError::Length { list, found, expected }) }
        };
        same("nodes_treeids", self.treeids.len(), count)?;
        same("nodes_featureids", self.featureids.len(), count)?;
        same("nodes_modes", self.modes.len(), count)?;
        same("nodes_values", self.values.len(), count)?;
        same("nodes_truenodeids", self.truenodeids.len(), count)?;
        same("nodes_falsenodeids", self.falsenodeids.len(), count)?;
        if !self.missing_value_tracks_true.is_empty() {
            same("nodes_missing_value_tracks_true", self.missing_value_tracks_true.len(), count)?;
        }
        let weights = self.leaf_weights.len();
        same("leaf node ids", self.leaf_nodeids.len(), weights)?;
        same("leaf tree ids", self.leaf_treeids.len(), weights)?;
        same("leaf target ids", self.leaf_targets.len(), weights)?;
        if count > TREE_NODES_MAX || weights > TREE_NODES_MAX {
            return Err(TreeError::TooMany { what: "nodes", count: count.max(weights), limit: TREE_NODES_MAX });
        }
        Ok(())
    }

    /// Returns the plan of these lists: a tree begins with the first node that has its number.
    ///
    /// # Errors
    /// [`TreeError`] when the lists are no ensemble.
    pub fn plan(&self) -> Result<Plan, TreeError> {
        self.check_lengths()?;
        let mut places: HashMap<(i64, i64), u32> = HashMap::with_capacity(self.nodeids.len());
        let mut roots = Vec::new();
        let mut previous = None;
        for (i, (tree, node)) in self.treeids.iter().zip(&self.nodeids).enumerate() {
            // In range: there are at most TREE_NODES_MAX nodes.
            let place = u32::try_from(i).unwrap_or(u32::MAX);
            if places.insert((*tree, *node), place).is_some() {
                return Err(TreeError::Twice { tree: *tree, node: *node });
            }
            if previous != Some(tree) {
                roots.push(place);
            }
            previous = Some(tree);
        }
        let place = |tree: i64, node: i64| places.get(&(tree, node)).copied().ok_or(TreeError::Missing { tree, node });
        let (weights, ranges) = self.weights(place)?;
        let mut nodes = Vec::with_capacity(self.nodeids.len());
        for (i, tree) in self.treeids.iter().enumerate() {
            nodes.push(match self.modes[i] {
                None => Node::Leaf { first: ranges[i], count: ranges[i + 1] - ranges[i] },
                Some(mode) => Node::Branch {
                    feature: index("feature", self.featureids[i], FEATURES_MAX)?,
                    mode,
                    value: self.values[i],
                    missing_is_true: self.missing_value_tracks_true.get(i).is_some_and(|m| *m != 0),
                    yes: place(*tree, self.truenodeids[i])?,
                    no: place(*tree, self.falsenodeids[i])?,
                },
            });
        }
        Plan::checked(nodes, roots, weights, Vec::new(), self.targets)
    }

    /// Returns the weights sorted by node, and where those of each node begin.
    fn weights(&self, place: impl Fn(i64, i64) -> Result<u32, TreeError>) -> Result<(Weights, Vec<u32>), TreeError> {
        let mut owners = Vec::with_capacity(self.leaf_weights.len());
        let mut begins = vec![0u32; self.nodeids.len() + 1];
        for (tree, node) in self.leaf_treeids.iter().zip(&self.leaf_nodeids) {
            let owner = place(*tree, *node)?;
            owners.push(owner);
            begins[owner as usize + 1] += 1;
        }
        for i in 1..begins.len() {
            begins[i] += begins[i - 1];
        }
        let mut next = begins.clone();
        let mut weights = vec![(0, 0.0); self.leaf_weights.len()];
        for (i, owner) in owners.iter().enumerate() {
            let slot = &mut next[*owner as usize];
            weights[*slot as usize] = (index("target", self.leaf_targets[i], self.targets)?, self.leaf_weights[i]);
            *slot += 1;
        }
        Ok((weights, begins))
    }
}
