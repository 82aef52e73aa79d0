//! Trees: as learnt (with bins) and as used (with thresholds).

use super::bins::{Binned, MISSING};

/// A node of a tree; children come after their parent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Node {
    /// Sends rows on.
    Split {
        /// Column of the input tensor.
        feature: u32,
        /// Values up to and including this go left.
        threshold: f32,
        /// Whether missing values go left.
        missing_left: bool,
        /// Place of the left child.
        left: u32,
        /// Place of the right child.
        right: u32,
    },
    /// Ends a path with a value to add.
    Leaf(f32),
}

/// A tree; the root is the first node.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    /// Nodes, parents before children, never empty.
    pub nodes: Vec<Node>,
}

/// Trees whose values add up, per raw score.
#[derive(Debug, Clone, PartialEq)]
pub struct Ensemble {
    /// Where each raw score starts; one for two classes or a quantity, else one per class.
    pub base: Vec<f32>,
    /// Trees with the raw score they add to, in the order they were learnt.
    pub trees: Vec<(u32, Tree)>,
}

impl Ensemble {
    /// Writes the raw scores of a row, summed in f32 in the order of the trees.
    pub(crate) fn raw(&self, row: &[f32], out: &mut Vec<f32>) {
        out.clear();
        out.resize(self.base.len(), 0.0);
        for (output, tree) in &self.trees {
            out[*output as usize] += tree.value(row);
        }
        for (score, base) in out.iter_mut().zip(&self.base) {
            *score += base;
        }
    }
}

impl Tree {
    /// Returns the value of the leaf a row ends in.
    pub fn value(&self, row: &[f32]) -> f32 {
        walk(&self.nodes, row)
    }
}

/// A tree while it is learnt: the bin of each split beside its threshold.
pub(super) struct BinnedTree {
    pub(super) nodes: Vec<Node>,
    /// Bin of each split, 0 for leaves.
    pub(super) bins: Vec<u8>,
}

impl BinnedTree {
    pub(super) fn value(&self, row: &[f32]) -> f32 {
        walk(&self.nodes, row)
    }

    pub(super) fn value_binned(&self, binned: &Binned, row: usize) -> f32 {
        let mut at = 0;
        loop {
            match self.nodes[at] {
                Node::Leaf(value) => return value,
                Node::Split { feature, missing_left, left, right, .. } => {
                    let cell = binned.column(feature as usize)[row];
                    let go_left = if cell == MISSING { missing_left } else { cell <= self.bins[at] };
                    at = if go_left { left } else { right } as usize;
                }
            }
        }
    }

    pub(super) fn into_tree(self) -> Tree {
        Tree { nodes: self.nodes }
    }
}

fn walk(nodes: &[Node], row: &[f32]) -> f32 {
    let mut at = 0;
    loop {
        match nodes[at] {
            Node::Leaf(value) => return value,
            Node::Split { feature, threshold, missing_left, left, right } => {
                let cell = row[feature as usize];
                let go_left = if cell.is_nan() { missing_left } else { cell <= threshold };
                at = if go_left { left } else { right } as usize;
            }
        }
    }
}
