//! Trees as `TreeEnsembleClassifier` nodes that add up raw scores.

use super::graph::Builder;
use super::proto::{floats, ints, string, strings};
use crate::learn::{Ensemble, Node, Tree};
use crate::limits;

/// Adds the ensemble and returns the name of its raw scores, `[N, C]` with C >= 2: for one raw
/// score there is a first column of zeros, so that no engine takes a shortcut for two classes.
///
/// Trees are spread over several nodes (see [`limits::MAX_LEAVES_PER_NODE`]) whose scores are
/// added up.
pub(super) fn add(graph: &mut Builder, ensemble: &Ensemble, input: &str) -> String {
    let single = ensemble.base.len() == 1;
    let classes = ensemble.base.len().max(2);
    let class_of = |output: u32| if single { 1 } else { i64::from(output) };
    let mut sum: Option<String> = None;
    for (at, group) in groups(&ensemble.trees).into_iter().enumerate() {
        let mut table = Table::default();
        for (place, (output, tree)) in group.iter().enumerate() {
            table.push(place as i64, tree, class_of(*output), single && place == 0);
        }
        let outputs = [format!("trees_{at}_label"), format!("trees_{at}")];
        let scores = graph.ml_node("TreeEnsembleClassifier", input, outputs, table.attributes(classes));
        sum = Some(match sum {
            None => scores,
            Some(before) => graph.node("Add", &[&before, &scores], &format!("sum_{at}"), vec![]),
        });
    }
    let mut base = vec![0.0; usize::from(single)];
    base.extend(&ensemble.base);
    let base = graph.floats("base", &[1, classes], &base);
    // Learning makes at least one tree, so there is a sum.
    graph.node("Add", &[&sum.unwrap_or_default(), &base], "raw", vec![])
}

/// Parts the trees, in order, so that no group has too many leaves (or it is one tree).
fn groups(trees: &[(u32, Tree)]) -> Vec<&[(u32, Tree)]> {
    let mut groups = Vec::new();
    let (mut start, mut leaves) = (0, 0);
    for (at, (_, tree)) in trees.iter().enumerate() {
        let more = tree.nodes.iter().filter(|n| matches!(n, Node::Leaf(_))).count();
        if at > start && leaves + more > limits::MAX_LEAVES_PER_NODE {
            groups.push(&trees[start..at]);
            (start, leaves) = (at, 0);
        }
        leaves += more;
    }
    if start < trees.len() {
        groups.push(&trees[start..]);
    }
    groups
}

/// The attributes of one node while its trees are listed.
#[derive(Default)]
struct Table {
    tree: Vec<i64>,
    node: Vec<i64>,
    feature: Vec<i64>,
    mode: Vec<&'static str>,
    threshold: Vec<f32>,
    when_true: Vec<i64>,
    when_false: Vec<i64>,
    missing_true: Vec<i64>,
    leaf_tree: Vec<i64>,
    leaf_node: Vec<i64>,
    leaf_class: Vec<i64>,
    leaf_weight: Vec<f32>,
}

impl Table {
    fn push(&mut self, id: i64, tree: &Tree, class: i64, with_zero: bool) {
        for (at, node) in (0i64..).zip(&tree.nodes) {
            self.tree.push(id);
            self.node.push(at);
            let (feature, mode, threshold, left, right, missing_left) = match *node {
                Node::Split { feature, threshold, missing_left, left, right } => {
                    (feature, "BRANCH_LEQ", threshold, left, right, missing_left)
                }
                Node::Leaf(value) => {
                    if with_zero {
                        self.leaf(id, at, 0, 0.0);
                    }
                    self.leaf(id, at, class, value);
                    (0, "LEAF", 0.0, 0, 0, false)
                }
            };
            self.feature.push(i64::from(feature));
            self.mode.push(mode);
            self.threshold.push(threshold);
            self.when_true.push(i64::from(left));
            self.when_false.push(i64::from(right));
            self.missing_true.push(i64::from(missing_left));
        }
    }

    fn leaf(&mut self, tree: i64, node: i64, class: i64, weight: f32) {
        self.leaf_tree.push(tree);
        self.leaf_node.push(node);
        self.leaf_class.push(class);
        self.leaf_weight.push(weight);
    }

    fn attributes(self, classes: usize) -> Vec<super::proto::Attribute> {
        vec![
            ints("classlabels_int64s", (0..classes as i64).collect()),
            string("post_transform", "NONE"),
            ints("nodes_treeids", self.tree),
            ints("nodes_nodeids", self.node),
            ints("nodes_featureids", self.feature),
            strings("nodes_modes", &self.mode),
            floats("nodes_values", self.threshold),
            ints("nodes_truenodeids", self.when_true),
            ints("nodes_falsenodeids", self.when_false),
            ints("nodes_missing_value_tracks_true", self.missing_true),
            ints("class_treeids", self.leaf_tree),
            ints("class_nodeids", self.leaf_node),
            ints("class_ids", self.leaf_class),
            floats("class_weights", self.leaf_weight),
        ]
    }
}
