//! The learners find what is there, say what mattered, and do the same twice.

use std::ops::ControlFlow;

use pinnace_trainer::data::{Column, Dataset, Target, Values};
use pinnace_trainer::evaluate::{Classification, Evaluation, evaluate};
use pinnace_trainer::golden::{self, Golden};
use pinnace_trainer::learn::{
    Algorithm, BoostingParams, Growth, LearnError, Learned, Matrix, Model, Params, TrainedModel, quiet, train,
};
use pinnace_trainer::onnx;

/// Returns numbers in [0, 1), always the same.
fn numbers(n: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(2) + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / (1u64 << 24) as f64
    };
    (0..n).map(|_| next()).collect()
}

fn numeric(name: &str, values: Vec<f64>) -> Column {
    Column { name: name.into(), values: Values::Numeric(values) }
}

fn classes(names: &[&str], index: Vec<u32>) -> Target {
    let classes = names.iter().map(|&n| n.into()).collect();
    Target::Class { name: "y".into(), classes, index }
}

/// Returns rows whose class is "a above .5 xor b above .5"; c is noise.
fn xor(n: usize, seed: u64) -> Dataset {
    let (a, b, c) = (numbers(n, seed), numbers(n, seed + 1), numbers(n, seed + 2));
    let index = a.iter().zip(&b).map(|(a, b)| u32::from((*a > 0.5) != (*b > 0.5))).collect();
    let columns = vec![numeric("a", a), numeric("b", b), numeric("c", c)];
    Dataset::new(columns, classes(&["no", "yes"], index)).expect("equal lengths")
}

/// Returns rows with three classes by a category and a number with missing cells; a missing
/// cell is always of class "z".
fn mixed(n: usize, seed: u64) -> Dataset {
    let (x, c) = (numbers(n, seed), numbers(n, seed + 9));
    let codes: Vec<Option<u32>> = c.iter().map(|c| Some((c * 4.0) as u32)).collect();
    let mut values = x.clone();
    let mut index = Vec::new();
    for (value, code) in values.iter_mut().zip(&codes) {
        let class = if *value < 0.2 {
            *value = f64::NAN;
            2
        } else {
            u32::from(code == &Some(2))
        };
        index.push(class);
    }
    let categories = ["n", "e", "s", "w"].map(String::from).to_vec();
    let wind = Column { name: "wind".into(), values: Values::Categorical { categories, codes } };
    let columns = vec![numeric("x", values), wind];
    Dataset::new(columns, classes(&["p", "q", "z"], index)).expect("equal lengths")
}

fn learn(data: &Dataset, params: &Params) -> TrainedModel {
    train(data, None, params, &mut quiet).expect("learns")
}

fn judge(model: &TrainedModel, data: &Dataset) -> Classification {
    match evaluate(model, data).expect("fits") {
        Evaluation::Classify(found) => found,
        Evaluation::Regress(_) => panic!("classes"),
    }
}

#[test]
fn boosting_learns_an_interaction_in_either_order_of_growth() {
    let (data, held) = (xor(2000, 1), xor(1000, 50));
    for growth in [Growth::LeafWise, Growth::DepthWise] {
        let mut params = Params::boosting();
        params.algorithm = Algorithm::Boosting(BoostingParams { growth, ..Default::default() });
        let model = learn(&data, &params);
        let found = judge(&model, &held);
        assert!(found.accuracy > 0.97, "{growth:?} {found:?}");
        assert_eq!(model.ranked()[2].0, "c");
        assert!((model.importance.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }
}

#[test]
fn logistic_cannot_learn_an_interaction_but_learns_a_slope() {
    assert!(judge(&learn(&xor(2000, 1), &Params::logistic()), &xor(1000, 50)).accuracy < 0.6);
    let a = numbers(3000, 3);
    let index = a.iter().zip(numbers(3000, 4)).map(|(a, u)| u32::from(u < *a)).collect();
    let big = a.iter().map(|a| a * 1e-3 + 1e5).collect();
    let columns = vec![numeric("a", a), numeric("far_from_zero", big), numeric("flat", vec![7.0; 3000])];
    let data = Dataset::new(columns, classes(&["0", "1"], index)).expect("equal lengths");
    let model = learn(&data, &Params::logistic());
    let found = judge(&model, &data);
    // P(1) is a itself: the best log loss possible is 1/2, and calibration must hold.
    assert!((0.47..0.53).contains(&found.log_loss), "{}", found.log_loss);
    assert!(found.calibration_error < 0.05, "{}", found.calibration_error);
    assert_eq!(model.importance[2], 0.0);
}

#[test]
fn both_learn_three_classes_with_categories_and_missing_cells() {
    let (data, held) = (mixed(2000, 1), mixed(1000, 70));
    let found = judge(&learn(&data, &Params::boosting()), &held);
    assert!(found.accuracy > 0.99, "{found:?}");
    // A missing number looks like the mean to a linear model: it only gets p and q apart.
    let found = judge(&learn(&data, &Params::logistic()), &held);
    assert!(found.accuracy > 0.75, "{found:?}");
}

#[test]
fn boosting_learns_a_quantity_and_logistic_refuses() {
    let x = numbers(2000, 5);
    let values = x.iter().map(|x| 10.0 * x * x + 3.0).collect();
    let target = Target::Value { name: "y".into(), values };
    let data = Dataset::new(vec![numeric("x", x)], target).expect("equal lengths");
    let model = learn(&data, &Params::boosting());
    match evaluate(&model, &data).expect("fits") {
        Evaluation::Regress(found) => assert!(found.r2 > Some(0.999), "{found:?}"),
        Evaluation::Classify(_) => panic!("a quantity"),
    }
    let error = train(&data, None, &Params::logistic(), &mut quiet).expect_err("refused");
    assert_eq!(error, LearnError::NeedsClasses { label: "y".into() });
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let data = xor(500, 1);
    let with_seed = |seed| {
        let algorithm = Algorithm::Boosting(BoostingParams {
            row_share: 0.7,
            feature_share: 0.7,
            iterations: 20,
            ..BoostingParams::default()
        });
        learn(&data, &Params { algorithm, seed })
    };
    assert_eq!(onnx::export(&with_seed(1)), onnx::export(&with_seed(1)));
    assert_ne!(with_seed(1).learned, with_seed(2).learned);
    let logistic = || onnx::export(&learn(&data, &Params::logistic()));
    assert_eq!(logistic(), logistic());
}

#[test]
fn training_stops_when_the_holdout_stops_gaining() {
    // Labels are noise: the holdout can only get worse.
    let n = 400;
    let noise = |seed| {
        let index = numbers(n, seed).iter().map(|u| u32::from(*u < 0.5)).collect();
        Dataset::new(vec![numeric("a", numbers(n, seed + 1))], classes(&["0", "1"], index)).expect("equal lengths")
    };
    let model = train(&noise(1), Some(&noise(20)), &Params::boosting(), &mut quiet).expect("learns");
    let Learned::Trees(ensemble) = &model.learned else { panic!("trees") };
    assert!(model.history.len() < 100, "{}", model.history.len());
    assert_eq!(ensemble.trees.len() + 10, model.history.len().max(11));
}

#[test]
fn a_caller_can_stop_training() {
    for params in [Params::boosting(), Params::logistic()] {
        let mut calls = 0;
        let model = train(&xor(300, 1), None, &params, &mut |_| {
            calls += 1;
            if calls == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .expect("keeps what it has");
        assert!(model.history.len() <= 2);
    }
}

#[test]
fn parameters_out_of_range_are_named() {
    let data = xor(50, 1);
    let broken = [
        ("iterations", BoostingParams { iterations: 0, ..Default::default() }),
        ("learning_rate", BoostingParams { learning_rate: f64::NAN, ..Default::default() }),
        ("max_leaves", BoostingParams { max_leaves: 1, ..Default::default() }),
        ("max_bins", BoostingParams { max_bins: 256, ..Default::default() }),
        ("row_share", BoostingParams { row_share: 0.0, ..Default::default() }),
    ];
    for (name, params) in broken {
        let params = Params { algorithm: Algorithm::Boosting(params), seed: 0 };
        match train(&data, None, &params, &mut quiet) {
            Err(LearnError::Parameter { parameter, .. }) => assert_eq!(parameter, name),
            other => panic!("{name}: {other:?}"),
        }
    }
    let huge = BoostingParams { iterations: 10_000, max_leaves: 4096, ..Default::default() };
    let params = Params { algorithm: Algorithm::Boosting(huge), seed: 0 };
    let error = train(&data, None, &params, &mut quiet).expect_err("too large");
    assert!(matches!(error, LearnError::TooLarge { .. }), "{error}");
}

#[test]
fn foreign_tables_are_refused_by_name() {
    let model = learn(&mixed(300, 1), &Params::boosting());
    let missing = mixed(10, 2).without("wind").expect("exists");
    let error = model.predict_proba(&missing).expect_err("no wind");
    assert_eq!(error.to_string(), "feature \"wind\" is not in the data");
    let kind = mixed(10, 2).swapped("x", "wind").expect("both exist");
    assert!(matches!(model.predict_proba(&kind), Err(LearnError::FeatureKind { .. })));
    let narrow = Matrix::zeros(1, 1);
    assert!(matches!(model.predict(&narrow), Err(LearnError::Width { .. })));
    let one =
        Dataset::new(vec![numeric("a", vec![1.0, 2.0])], classes(&["0", "1"], vec![1, 1])).expect("equal lengths");
    assert!(matches!(train(&one, None, &Params::boosting(), &mut quiet), Err(LearnError::OneClass { .. })));
}

#[test]
fn categories_are_matched_by_name_and_unknown_ones_are_missing() {
    let model = learn(&mixed(300, 1), &Params::boosting());
    let categories = ["s", "storm"].map(String::from).to_vec();
    let codes = vec![Some(0), Some(1), None];
    let wind = Column { name: "wind".into(), values: Values::Categorical { categories, codes } };
    let data = Dataset::new(vec![wind, numeric("x", vec![0.5; 3])], Target::Unknown).expect("equal lengths");
    let rows = model.encode(&data).expect("fits");
    assert_eq!(rows.row(0), [0.5, 2.0]);
    assert!(rows.get(1, 1).is_nan() && rows.get(2, 1).is_nan());
}

#[test]
fn golden_vectors_cover_the_range_and_survive_json() {
    let data = xor(1000, 1);
    let model = learn(&data, &Params::boosting());
    let rows = model.encode(&data).expect("fits");
    let golden = golden::choose(&model, &rows, 16).expect("fits");
    assert_eq!((golden.input.len(), golden.expected.len()), (16, 16));
    // xor() has no missing cells: one row is made.
    assert_eq!(golden.input.iter().filter(|row| row.iter().any(|v| v.is_nan())).count(), 1);
    let all = model.predict(&rows).expect("fits");
    let lowest = all.iter().map(|row| row[1]).fold(f32::INFINITY, f32::min);
    let highest = all.iter().map(|row| row[1]).fold(0.0, f32::max);
    let has = |p: f32| golden.expected.iter().any(|row| row[1] == p);
    assert!(has(lowest) && has(highest));
    let json = serde_json::to_string(&golden).expect("writes");
    let read: Golden = serde_json::from_str(&json).expect("reads");
    assert_eq!(read.expected, golden.expected);
    let bits = |g: &Golden| -> Vec<u32> {
        g.input.iter().flatten().map(|v| if v.is_nan() { 1 } else { v.to_bits() }).collect()
    };
    assert_eq!(bits(&read), bits(&golden));
    assert_eq!(golden::choose(&model, &rows, 16).expect("fits").expected, golden.expected);
    let none = golden::choose(&model, &Matrix::zeros(0, 3), 16);
    assert!(none.is_ok_and(|g| g.input.is_empty()));
}

#[test]
fn cards_mark_what_a_person_must_write() {
    use pinnace_trainer::card::{Facts, open_fields, render};
    let data = mixed(500, 1);
    let model = learn(&data, &Params::boosting());
    let evaluation = evaluate(&model, &data).expect("fits");
    let facts = Facts {
        name: "a|b<script>",
        version: "1.0.0",
        date: "2026-01-01T00:00:00Z",
        data: ("d.csv", "00ff"),
        holdout: "none: figures are on training data",
        evaluation: &evaluation,
    };
    let card = render(&model, &facts);
    let sections = card.lines().filter(|line| line.starts_with("## ")).count();
    assert_eq!((sections, open_fields(&card)), (9, 6));
    assert!(!card.contains("<script>"));
    assert!(card.contains("| wind | one of 4 |"), "{card}");
}
