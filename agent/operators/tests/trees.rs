//! The laid-out forest answers what a tree taken literally answers, on random ensembles; broken ones are refused.

use pinnace_operators::OperatorError;
use pinnace_operators::score::PostTransform;
use pinnace_operators::tree::{Aggregate, Classifier, LeafForm, Mode, NodeTables, Plan, Regressor, TreeError, Winner};
use proptest::prelude::*;

const MODES: [Mode; 6] = [Mode::Leq, Mode::Lt, Mode::Gte, Mode::Gt, Mode::Eq, Mode::Neq];
const FEATURES: usize = 4;

/// A tree taken literally.
#[derive(Debug, Clone)]
enum Tree {
    Leaf(Vec<(usize, f64)>),
    Branch { feature: usize, mode: Mode, value: f64, missing: bool, yes: Box<Tree>, no: Box<Tree> },
}

impl Tree {
    fn leaf(&self, row: &[f32]) -> &[(usize, f64)] {
        match self {
            Self::Leaf(weights) => weights,
            Self::Branch { feature, mode, value, missing, yes, no } => {
                let (x, v) = (row[*feature], *value as f32);
                let holds = match mode {
                    Mode::Leq => x <= v,
                    Mode::Lt => x < v,
                    Mode::Gte => x >= v,
                    Mode::Gt => x > v,
                    Mode::Eq => x == v,
                    Mode::Neq => x != v,
                    Mode::Member => unreachable!("no such branch is grown here"),
                };
                if holds || (*missing && x.is_nan()) { yes.leaf(row) } else { no.leaf(row) }
            }
        }
    }

    /// Writes the tree into the lists of a file; returns the number of its first node.
    fn write(&self, tree: i64, next: &mut i64, out: &mut NodeTables) -> i64 {
        let node = *next;
        *next += 1;
        let at = out.nodeids.len();
        out.treeids.push(tree);
        out.nodeids.push(node);
        out.featureids.push(0);
        out.modes.push(None);
        out.values.push(0.0);
        out.truenodeids.push(0);
        out.falsenodeids.push(0);
        out.missing_value_tracks_true.push(0);
        match self {
            Self::Leaf(weights) => {
                for (target, weight) in weights {
                    out.leaf_treeids.push(tree);
                    out.leaf_nodeids.push(node);
                    out.leaf_targets.push(*target as i64);
                    out.leaf_weights.push(*weight);
                }
            }
            Self::Branch { feature, mode, value, missing, yes, no } => {
                out.featureids[at] = *feature as i64;
                out.modes[at] = Some(*mode);
                out.values[at] = *value;
                out.missing_value_tracks_true[at] = i64::from(*missing);
                out.truenodeids[at] = yes.write(tree, next, out);
                out.falsenodeids[at] = no.write(tree, next, out);
            }
        }
        node
    }
}

fn tables(trees: &[Tree], targets: usize) -> NodeTables {
    let mut out = NodeTables { targets, ..NodeTables::default() };
    for (i, tree) in trees.iter().enumerate() {
        tree.write(i as i64, &mut 0, &mut out);
    }
    out
}

/// Halves between -4 and 4, so that equality is met.
fn half() -> impl Strategy<Value = f64> {
    (-8i32..9).prop_map(|v| f64::from(v) / 2.0)
}

fn cell() -> impl Strategy<Value = f32> {
    prop_oneof![
        8 => half().prop_map(|v| v as f32),
        1 => Just(f32::NAN),
        1 => prop_oneof![Just(f32::INFINITY), Just(f32::NEG_INFINITY)],
    ]
}

fn grown(targets: usize, modes: usize) -> impl Strategy<Value = Tree> {
    let leaf = prop::collection::vec((0..targets, half()), 0..=targets).prop_map(Tree::Leaf);
    leaf.prop_recursive(7, 60, 2, move |below| {
        let branch = (0..FEATURES, 0..modes, half(), any::<bool>(), below.clone(), below);
        branch.prop_map(|(feature, mode, value, missing, yes, no)| Tree::Branch {
            feature,
            mode: MODES[mode],
            value,
            missing,
            yes: Box::new(yes),
            no: Box::new(no),
        })
    })
}

/// Trees, how many targets they have, and rows.
fn asked() -> impl Strategy<Value = (usize, Vec<Tree>, Vec<Vec<f32>>)> {
    (1usize..4, prop_oneof![Just(1usize), Just(6)]).prop_flat_map(|(targets, modes)| {
        let trees = prop::collection::vec(grown(targets, modes), 1..20);
        let rows = prop::collection::vec(prop::collection::vec(cell(), FEATURES), 1..150);
        (Just(targets), trees, rows)
    })
}

fn expected(trees: &[Tree], row: &[f32], targets: usize, aggregate: Aggregate) -> Vec<f32> {
    let mut scores: Vec<Option<f32>> = vec![None; targets];
    for (target, weight) in trees.iter().flat_map(|t| t.leaf(row)) {
        let weight = *weight as f32;
        let score = &mut scores[*target];
        *score = Some(match (*score, aggregate) {
            (None, Aggregate::Sum | Aggregate::Average) => 0.0 + weight,
            (None, _) => weight,
            (Some(s), Aggregate::Sum | Aggregate::Average) => s + weight,
            (Some(s), Aggregate::Min) => s.min(weight),
            (Some(s), Aggregate::Max) => s.max(weight),
        });
    }
    let count = trees.len() as f32;
    let finish = |s: f32| if aggregate == Aggregate::Average { s / count } else { s };
    scores.into_iter().map(|s| finish(s.unwrap_or(0.0))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn a_forest_answers_as_its_trees((targets, trees, rows) in asked()) {
        let plan = tables(&trees, targets).plan().unwrap();
        let values = rows.concat();
        for aggregate in [Aggregate::Sum, Aggregate::Average, Aggregate::Min, Aggregate::Max] {
            let forest = Regressor::<f32>::new("test", &plan, &[], aggregate, PostTransform::None).unwrap();
            let together = forest.apply(&values, rows.len(), FEATURES).unwrap();
            let wide = Regressor::<f64>::new("test", &plan, &[], aggregate, PostTransform::None).unwrap();
            let doubles: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
            let wide = wide.apply(&doubles, rows.len(), FEATURES).unwrap();
            for (i, row) in rows.iter().enumerate() {
                let wanted = expected(&trees, row, targets, aggregate);
                let range = i * targets..(i + 1) * targets;
                prop_assert_eq!(&together[range.clone()], &wanted[..]);
                // Alone, a row takes another way through the code.
                prop_assert_eq!(&forest.apply(row, 1, FEATURES).unwrap(), &wanted);
                for (w, d) in wanted.iter().zip(&wide[range]) {
                    prop_assert!((f64::from(*w) - d).abs() < 1e-4);
                }
            }
        }
    }

    #[test]
    fn many_classes_have_the_label_of_the_highest((_, trees, rows) in asked()) {
        let plan = tables(&trees, 3).plan().unwrap();
        let forest = Classifier::<f32>::new(&plan, &[0.25, 0.0, 0.0], PostTransform::None).unwrap();
        let (winners, scores) = forest.apply(&rows.concat(), rows.len(), FEATURES).unwrap();
        for (winner, scores) in winners.iter().zip(scores.chunks(3)) {
            let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            prop_assert_eq!(*winner, Winner::Class(scores.iter().position(|s| *s == highest).unwrap()));
        }
    }

    #[test]
    fn broken_lists_are_refused_or_answered_and_never_panic(
        (targets, trees, rows) in asked(), list in 0usize..12, at in any::<prop::sample::Index>(),
        value in prop_oneof![Just(i64::MIN), Just(-1), Just(i64::MAX), 0i64..12], how in 0u8..3,
    ) {
        let mut tables = tables(&trees, targets);
        {
            let lists = [
                &mut tables.treeids, &mut tables.nodeids, &mut tables.featureids, &mut tables.truenodeids,
                &mut tables.falsenodeids, &mut tables.missing_value_tracks_true, &mut tables.leaf_treeids,
                &mut tables.leaf_nodeids, &mut tables.leaf_targets,
            ];
            if let Some(list) = lists.into_iter().nth(list) {
                if !list.is_empty() {
                    let i = at.index(list.len());
                    match how {
                        0 => list[i] = value,
                        1 => list.truncate(i),
                        _ => list.swap(i, 0),
                    }
                }
            } else if list == 9 {
                tables.targets = usize::try_from(value).unwrap_or(usize::MAX);
            } else {
                let i = at.index(tables.modes.len());
                tables.modes[i] = if list == 10 { None } else { Some(Mode::Member) };
            }
        }
        if let Ok(plan) = tables.plan() {
            let forest = Regressor::<f32>::new("test", &plan, &[], Aggregate::Sum, PostTransform::None).unwrap();
            let _ = forest.apply(&rows.concat(), rows.len(), FEATURES);
        }
    }
}

fn stump() -> NodeTables {
    let tree = Tree::Branch {
        feature: 1,
        mode: Mode::Leq,
        value: 0.5,
        missing: false,
        yes: Box::new(Tree::Leaf(vec![(0, 1.0)])),
        no: Box::new(Tree::Leaf(vec![(0, 2.0)])),
    };
    tables(&[tree], 1)
}

fn refusal(breaks: impl Fn(&mut NodeTables)) -> TreeError {
    let mut tables = stump();
    breaks(&mut tables);
    tables.plan().unwrap_err()
}

#[test]
fn each_kind_of_broken_ensemble_has_its_error() {
    assert!(stump().plan().is_ok());
    assert_eq!(refusal(|t| t.truenodeids[0] = 9), TreeError::Missing { tree: 0, node: 9 });
    assert_eq!(refusal(|t| t.leaf_nodeids[0] = 9), TreeError::Missing { tree: 0, node: 9 });
    assert_eq!(refusal(|t| t.truenodeids[0] = 0), TreeError::Cycle(0));
    assert_eq!(refusal(|t| t.nodeids[2] = 1), TreeError::Twice { tree: 0, node: 1 });
    assert_eq!(refusal(|t| t.featureids[0] = -1), TreeError::Range { what: "feature", value: -1 });
    assert_eq!(refusal(|t| t.featureids[0] = 1 << 40), TreeError::Range { what: "feature", value: 1 << 40 });
    assert_eq!(refusal(|t| t.leaf_targets[0] = 1), TreeError::Range { what: "target", value: 1 });
    assert!(matches!(refusal(|t| t.values.truncate(1)), TreeError::Length { list: "nodes_values", found: 1, .. }));
    assert!(matches!(refusal(|t| t.leaf_targets.truncate(1)), TreeError::Length { .. }));
    assert!(matches!(refusal(|t| t.missing_value_tracks_true.truncate(1)), TreeError::Length { .. }));
    assert!(matches!(refusal(|t| t.targets = usize::MAX), TreeError::TooMany { what: "targets", .. }));
    assert_eq!(refusal(|t| t.targets = 0), TreeError::Range { what: "target", value: 0 });
    assert_eq!(refusal(|t| *t = NodeTables { targets: 1, ..NodeTables::default() }), TreeError::Empty("trees"));
    assert!(Mode::named("BRANCH_MAYBE").is_err() && Mode::numbered(7).is_err());
    let plan = stump().plan().unwrap();
    let regressor = Regressor::<f32>::new("test", &plan, &[0.0; 2], Aggregate::Sum, PostTransform::None);
    assert!(matches!(regressor, Err(OperatorError::Tree(TreeError::Length { list: "base_values", .. }))));
}

#[test]
fn rows_that_are_too_narrow_are_refused() {
    let plan = stump().plan().unwrap();
    let forest = Regressor::<f32>::new("test", &plan, &[], Aggregate::Sum, PostTransform::None).unwrap();
    assert_eq!(forest.apply(&[9.0, 0.5, 9.0, 1.0], 2, 2).unwrap(), [1.0, 2.0]);
    for (values, rows, columns) in [(1, 1, 1), (3, 1, 2), (0, 1, 0), (4, usize::MAX, usize::MAX)] {
        let asked = forest.apply(&vec![0.0; values], rows, columns);
        assert!(matches!(asked, Err(OperatorError::Input { .. })), "{values} {rows} {columns}");
    }
    assert!(forest.apply(&[], 0, 2).unwrap().is_empty());
}

/// Sixty branches, each with both ways to the next: 2^60 ways, and still small.
#[test]
fn shared_branches_are_laid_out_once() {
    let mut form = LeafForm { tree_roots: vec![0], n_targets: 1, ..LeafForm::default() };
    for i in 0..60 {
        form.nodes_modes.push(0);
        form.nodes_featureids.push(0);
        form.nodes_splits.push(0.0);
        for (ids, leafs) in [
            (&mut form.nodes_truenodeids, &mut form.nodes_trueleafs),
            (&mut form.nodes_falsenodeids, &mut form.nodes_falseleafs),
        ] {
            ids.push(if i == 59 { 0 } else { i + 1 });
            leafs.push(i64::from(i == 59));
        }
    }
    form.leaf_targetids.push(0);
    form.leaf_weights.push(4.0);
    let answer = |plan: &Plan| {
        let forest = Regressor::<f32>::new("test", plan, &[], Aggregate::Sum, PostTransform::None).unwrap();
        forest.apply(&[1.0], 1, 1).unwrap()
    };
    assert_eq!(answer(&form.plan().unwrap()), [4.0]);
    form.nodes_trueleafs[59] = 0;
    assert_eq!(form.plan().unwrap_err(), TreeError::Cycle(0));
    form.nodes_truenodeids[59] = 60;
    assert_eq!(form.plan().unwrap_err(), TreeError::Range { what: "node", value: 60 });
}

#[test]
fn members_of_sets_take_the_way_of_true() {
    let form = LeafForm {
        tree_roots: vec![0],
        nodes_modes: vec![6],
        nodes_featureids: vec![0],
        nodes_splits: vec![0.0],
        nodes_truenodeids: vec![0],
        nodes_trueleafs: vec![1],
        nodes_falsenodeids: vec![1],
        nodes_falseleafs: vec![1],
        membership_values: vec![7.0, 1.0, f64::NAN],
        leaf_targetids: vec![0, 0],
        leaf_weights: vec![1.0, -1.0],
        n_targets: 1,
        ..LeafForm::default()
    };
    let forest =
        Regressor::<f64>::new("test", &form.plan().unwrap(), &[], Aggregate::Sum, PostTransform::None).unwrap();
    let asked = [1.0, 7.0, 2.0, f64::NAN, -1.0];
    assert_eq!(forest.apply(&asked, 5, 1).unwrap(), [1.0, 1.0, -1.0, -1.0, -1.0]);
    for breaks in [
        |f: &mut LeafForm| f.nodes_modes[0] = 9,
        |f: &mut LeafForm| f.tree_roots[0] = -1,
        |f: &mut LeafForm| f.tree_roots.clear(),
        |f: &mut LeafForm| f.leaf_targetids[0] = 2,
        |f: &mut LeafForm| f.leaf_weights.truncate(1),
        |f: &mut LeafForm| f.nodes_truenodeids[0] = i64::MAX,
        |f: &mut LeafForm| f.n_targets = i64::MAX,
    ] {
        let mut broken = form.clone();
        breaks(&mut broken);
        assert!(broken.plan().is_err());
    }
}
