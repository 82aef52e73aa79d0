//! Growing one tree.

use super::bins::{Binned, MISSING};
use super::histogram::{Histogram, Rules, Split, Sums};
use super::tree::{BinnedTree, Node};
use super::{BoostingParams, Growth};

/// Grows trees on one set of binned rows, reusing its buffers.
pub(super) struct Grower<'a> {
    params: &'a BoostingParams,
    binned: &'a Binned,
    order: Vec<u32>,
    spare: Vec<u32>,
}

/// A tree and what each split gained.
pub(super) struct Grown {
    pub(super) tree: BinnedTree,
    pub(super) gains: Vec<(usize, f64)>,
}

/// A leaf that may still be split.
struct Open {
    node: usize,
    /// Its rows: a range of `order`.
    start: usize,
    end: usize,
    depth: usize,
    histogram: Histogram,
    split: Split,
}

impl<'a> Grower<'a> {
    pub(super) fn new(params: &'a BoostingParams, binned: &'a Binned) -> Self {
        Self { params, binned, order: Vec::new(), spare: Vec::new() }
    }

    /// Returns a tree that lowers the loss on the chosen rows, with the chosen features.
    pub(super) fn grow(&mut self, gradients: &[(f32, f32)], rows: &[u32], features: &[u32]) -> Grown {
        self.order.clear();
        self.order.extend_from_slice(rows);
        let mut total = Sums { rows: rows.len() as u32, ..Sums::default() };
        for &row in rows {
            let (gradient, hessian) = gradients[row as usize];
            total.gradient += f64::from(gradient);
            total.hessian += f64::from(hessian);
        }
        let mut tree = BinnedTree { nodes: vec![self.leaf(total)], bins: vec![0] };
        let mut gains = Vec::new();
        let mut open: Vec<Open> = Vec::new();
        let histogram = Histogram::of(self.binned, features, &self.order, gradients);
        self.consider(&mut open, features, histogram, total, (0, 0, rows.len(), 0));
        let mut leaves = 1;
        while leaves < self.params.max_leaves
            && let Some(at) = self.next(&open)
        {
            let leaf = open.swap_remove(at);
            leaves += 1;
            let Split { feature, bin, missing_left, gain, left, right } = leaf.split;
            gains.push((feature, gain));
            let middle = self.part(&leaf);
            let (left_node, right_node) = (tree.nodes.len(), tree.nodes.len() + 1);
            tree.nodes[leaf.node] = Node::Split {
                feature: feature as u32,
                threshold: self.binned.threshold(feature, bin),
                missing_left,
                left: left_node as u32,
                right: right_node as u32,
            };
            tree.bins[leaf.node] = bin;
            tree.nodes.extend([self.leaf(left), self.leaf(right)]);
            tree.bins.extend([0, 0]);
            if leaf.depth + 1 >= self.params.max_depth {
                continue;
            }
            // Only the smaller child is counted; the larger is the difference.
            let left_smaller = left.rows <= right.rows;
            let range = if left_smaller { leaf.start..middle } else { middle..leaf.end };
            let small = Histogram::of(self.binned, features, &self.order[range], gradients);
            let large = leaf.histogram.without(&small);
            let (of_left, of_right) = if left_smaller { (small, large) } else { (large, small) };
            let depth = leaf.depth + 1;
            let spans = [(left_node, leaf.start, middle), (right_node, middle, leaf.end)];
            for ((node, start, end), (histogram, sums)) in spans.into_iter().zip([(of_left, left), (of_right, right)]) {
                self.consider(&mut open, features, histogram, sums, (node, start, end, depth));
            }
        }
        Grown { tree, gains }
    }

    fn leaf(&self, sums: Sums) -> Node {
        let value = -sums.gradient / (sums.hessian + self.params.l2).max(f64::MIN_POSITIVE);
        Node::Leaf((value * self.params.learning_rate) as f32)
    }

    /// Keeps a leaf open if there is a split worth making.
    fn consider(
        &self,
        open: &mut Vec<Open>,
        features: &[u32],
        histogram: Histogram,
        sums: Sums,
        (node, start, end, depth): (usize, usize, usize, usize),
    ) {
        let min_rows = u32::try_from(self.params.min_rows_in_leaf).unwrap_or(u32::MAX);
        let rules = Rules { min_rows, l2: self.params.l2 };
        if let Some(split) = histogram.best(self.binned, features, sums, rules) {
            open.push(Open { node, start, end, depth, histogram, split });
        }
    }

    /// Returns which open leaf to split next; ties go to the older node.
    fn next(&self, open: &[Open]) -> Option<usize> {
        let places = 0..open.len();
        match self.params.growth {
            Growth::LeafWise => places.max_by(|&a, &b| {
                let (a, b) = (&open[a], &open[b]);
                a.split.gain.total_cmp(&b.split.gain).then(b.node.cmp(&a.node))
            }),
            Growth::DepthWise => places.min_by_key(|&at| (open[at].depth, open[at].node)),
        }
    }

    /// Parts the rows of a leaf, keeping their order; returns where the right side starts.
    fn part(&mut self, leaf: &Open) -> usize {
        let column = self.binned.column(leaf.split.feature);
        self.spare.clear();
        let mut write = leaf.start;
        for read in leaf.start..leaf.end {
            let row = self.order[read];
            let cell = column[row as usize];
            let go_left = if cell == MISSING { leaf.split.missing_left } else { cell <= leaf.split.bin };
            if go_left {
                self.order[write] = row;
                write += 1;
            } else {
                self.spare.push(row);
            }
        }
        self.order[write..leaf.end].copy_from_slice(&self.spare);
        write
    }
}
