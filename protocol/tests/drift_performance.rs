//! Accuracy is estimated from scores, and measured once outcomes are known.

use pinnace_protocol::drift::performance::{Source, estimate};
use pinnace_protocol::sketch::{Column, Live, PredictionColumns, Profile, ProfileBuilder};

const ROWS: usize = 100_000;

/// A small generator, so that every run sees the same rows.
struct Random(u64);

impl Random {
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// How often a model that is too sure of itself is right at a score.
fn right(score: f64) -> f64 {
    0.5 + (score - 0.5) * 0.8
}

fn profile() -> Profile {
    let mut random = Random(1);
    let (mut scores, mut predicted, mut actual) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROWS {
        let score = 0.5 + random.share() / 2.0;
        let class = usize::from(random.share() < 0.4);
        scores.push(score);
        predicted.push(class);
        actual.push(if random.share() < right(score) { class } else { 1 - class });
    }
    ProfileBuilder::new(500)
        .feature("score", Column::Numeric { values: &scores, nulls: None }, 1.0)
        .predictions(PredictionColumns {
            classes: &["no", "yes"],
            predicted: &predicted,
            scores: &scores,
            actual: &actual,
        })
        .build()
        .expect("the columns are sound")
}

/// Predicts on harder rows, whose scores are lower, and returns the share that was right.
fn predict(live: &mut Live, rows: u32, with_outcomes: bool) -> f64 {
    let mut random = Random(2);
    let mut correct = 0u32;
    for _ in 0..rows {
        let score = 0.5 + random.share() * random.share() / 2.0;
        let class = usize::from(random.share() < 0.5);
        let truth = if random.share() < right(score) { class } else { 1 - class };
        correct += u32::from(truth == class);
        live.observe_prediction(class, score, 100).expect("the class exists");
        if with_outcomes {
            live.observe_outcome(score, class, truth).expect("the classes exist");
        }
    }
    f64::from(correct) / f64::from(rows)
}

#[test]
fn the_estimate_is_close_to_what_labels_would_say() {
    let profile = profile();
    let mut live = Live::new(&profile);
    let realised = predict(&mut live, 20_000, false);
    let found = estimate(&profile, &live).expect("there are predictions");
    assert_eq!((found.source, found.n), (Source::Estimated, 20_000));
    assert!((found.reference - 0.7).abs() < 0.01, "{found:?}");
    assert!(found.reference - realised > 0.05, "the rows are harder");
    assert!((found.accuracy - realised).abs() < 0.01, "{} instead of {realised}", found.accuracy);
    assert!(found.sentence.contains("cannot see"), "{}", found.sentence);
}

#[test]
fn outcomes_replace_the_estimate() {
    let profile = profile();
    let mut live = Live::new(&profile);
    let realised = predict(&mut live, 500, true);
    let found = estimate(&profile, &live).expect("there are predictions");
    assert_eq!((found.source, found.n), (Source::Measured, 500));
    assert!((found.accuracy - realised).abs() < 1e-12);
    assert!((found.standard_error - (realised * (1.0 - realised) / 500.0).sqrt()).abs() < 1e-12);
}

#[test]
fn a_few_outcomes_do_not_replace_it_and_nothing_gives_nothing() {
    let profile = profile();
    let mut live = Live::new(&profile);
    assert_eq!(estimate(&profile, &live), None);
    predict(&mut live, 49, true);
    assert_eq!(estimate(&profile, &live).map(|found| found.source), Some(Source::Estimated));
    let plain = ProfileBuilder::new(5)
        .feature("x", Column::Numeric { values: &[1.0, 2.0], nulls: None }, 1.0)
        .build()
        .expect("the column is sound");
    assert_eq!(estimate(&plain, &Live::new(&plain)), None);
    assert_eq!(estimate(&profile, &Live::new(&plain)), None);
}
