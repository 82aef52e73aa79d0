//! Decisions: what is called drift, what is not, and what is said about it.

use pinnace_protocol::drift::permutation::difference_of_means;
use pinnace_protocol::drift::{FeatureDrift, Level, Persistence, Reason, Report, Verdict, assess, compare};
use pinnace_protocol::sketch::{Column, Live, PredictionColumns, Profile, ProfileBuilder, Value};

const REFERENCE_ROWS: usize = 5_000;

/// A small generator, so that every run sees the same rows.
struct Random(u64);

impl Random {
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// The sum of twelve shares less six: close to a standard normal.
    fn bell(&mut self) -> f64 {
        (0..12).map(|_| self.share()).sum::<f64>() - 6.0
    }
}

/// Two numbers, the second of three quarters of the importance, and a place.
fn profile() -> Profile {
    let mut random = Random(1);
    let x: Vec<f64> = (0..REFERENCE_ROWS).map(|_| random.bell()).collect();
    let y: Vec<f64> = (0..REFERENCE_ROWS).map(|_| random.bell().exp()).collect();
    let place: Vec<Option<&str>> =
        (0..REFERENCE_ROWS).map(|_| Some(if random.share() < 0.7 { "north" } else { "south" })).collect();
    let scores: Vec<f64> = (0..REFERENCE_ROWS).map(|_| 0.5 + random.share() / 2.0).collect();
    let predicted: Vec<usize> = (0..REFERENCE_ROWS).map(|_| usize::from(random.share() < 0.3)).collect();
    let actual: Vec<usize> = scores
        .iter()
        .zip(&predicted)
        .map(|(score, predicted)| if random.share() < *score { *predicted } else { 1 - predicted })
        .collect();
    ProfileBuilder::new(500)
        .feature("x", Column::Numeric { values: &x, nulls: None }, 0.2)
        .feature("y", Column::Numeric { values: &y, nulls: None }, 0.6)
        .feature("place", Column::Categorical(&place), 0.2)
        .predictions(PredictionColumns {
            classes: &["no", "yes"],
            predicted: &predicted,
            scores: &scores,
            actual: &actual,
        })
        .build()
        .expect("the columns are sound")
}

fn place(share: f64) -> Value<'static> {
    Value::Cat(if share < 0.7 { "north" } else { "south" })
}

/// Counts rows of the reference's own distribution, changed by `change`.
fn window(profile: &Profile, rows: usize, seed: u64, change: impl Fn(&mut [Value<'static>; 3], usize)) -> Live {
    let mut random = Random(seed);
    let mut live = Live::new(profile);
    for index in 0..rows {
        let mut row = [Value::Num(random.bell()), Value::Num(random.bell().exp()), place(random.share())];
        change(&mut row, index);
        live.update_row(&row).expect("the row fits");
    }
    live
}

fn shifted(row: &mut [Value<'static>; 3], feature: usize, by: f64) {
    if let Value::Num(value) = &mut row[feature] {
        *value += by;
    }
}

fn feature<'a>(report: &'a Report, name: &str) -> &'a FeatureDrift {
    report.features.iter().find(|feature| feature.name == name).expect("the feature is in the report")
}

fn has(feature: &FeatureDrift, reason: impl Fn(&Reason) -> bool) -> bool {
    feature.reasons.iter().any(reason)
}

#[test]
fn equal_data_is_called_calm_at_any_size() {
    let profile = profile();
    for rows in [64, 128, 300, 1_440, 5_000] {
        let alarms: usize = (0..100)
            .map(|seed| assess(&profile, &window(&profile, rows, 1_000 + seed, |_, _| {})))
            .filter(|report| report.level != Level::Calm)
            .count();
        assert!(alarms <= 2, "{alarms} of 100 equal windows of {rows} rows raised an alarm");
    }
}

#[test]
fn a_shift_of_one_standard_deviation_is_seen_in_64_rows_and_named() {
    let profile = profile();
    let report = assess(&profile, &window(&profile, 64, 3, |row, _| shifted(row, 0, 1.0)));
    assert_eq!(feature(&report, "x").level, Level::Act);
    assert_eq!(feature(&report, "y").level, Level::Calm);
    assert!((report.share_of_importance_drifted - 0.2).abs() < 1e-9);
    assert!(report.sentence.starts_with("Drift in 64 rows: x (PSI* "), "{}", report.sentence);
    assert!(report.sentence.ends_with("20 % of the model's importance is affected."), "{}", report.sentence);
}

#[test]
fn a_trivial_shift_in_very_many_rows_is_no_drift() {
    let profile = profile();
    let before = window(&profile, 100_000, 20, |_, _| {});
    let report = compare(&before, &window(&profile, 100_000, 4, |row, _| shifted(row, 0, 0.05)));
    assert!(feature(&report, "x").p_value < 1e-6, "the shift is significant");
    assert_eq!(feature(&report, "x").level, Level::Calm, "and too small to matter");
}

#[test]
fn the_noise_of_a_few_hundred_rows_does_not_make_a_small_shift_large() {
    let profile = profile();
    let report = assess(&profile, &window(&profile, 700, 21, |row, _| shifted(row, 0, 0.09)));
    let x = feature(&report, "x");
    assert!(x.js > 0.08 && x.js_star < 0.08, "most of the distance {} is noise: {}", x.js, x.js_star);
    assert_eq!(x.level, Level::Calm, "{}", report.sentence);
}

#[test]
fn lost_values_are_drift_and_a_column_of_nulls_is_no_error() {
    let profile = profile();
    let most = assess(
        &profile,
        &window(&profile, 500, 5, |row, index| {
            if index % 5 < 3 {
                row[0] = Value::Null;
            }
        }),
    );
    assert_eq!(feature(&most, "x").level, Level::Act);
    assert!(has(
        feature(&most, "x"),
        |reason| matches!(reason, Reason::Nulls { share, .. } if (share - 0.6).abs() < 1e-9)
    ));
    let all = assess(&profile, &window(&profile, 500, 5, |row, _| row[0] = Value::Null));
    assert_eq!(feature(&all, "x").level, Level::Act);
    assert_eq!((feature(&all, "x").ks, feature(&all, "x").w1), (None, None));
}

#[test]
fn one_outlier_neither_hides_a_shift_nor_raises_an_alarm() {
    let profile = profile();
    let hidden = assess(
        &profile,
        &window(&profile, 1_000, 6, |row, index| {
            shifted(row, 0, if index == 0 { 1e4 } else { 1.0 });
        }),
    );
    assert_eq!(feature(&hidden, "x").level, Level::Act);
    let lone = assess(
        &profile,
        &window(&profile, 1_000, 6, |row, index| {
            shifted(row, 0, if index == 0 { 3e3 } else { 0.0 });
        }),
    );
    assert_eq!(feature(&lone, "x").level, Level::Calm, "{}", lone.sentence);
}

#[test]
fn a_skewed_feature_that_grows_by_half_is_seen() {
    let profile = profile();
    let report = assess(
        &profile,
        &window(&profile, 5_000, 7, |row, _| {
            if let Value::Num(value) = &mut row[1] {
                *value *= 1.5;
            }
        }),
    );
    assert!(feature(&report, "y").level >= Level::Watch, "{}", report.sentence);
}

#[test]
fn unseen_out_of_range_unusable_and_constant_values_have_their_own_reasons() {
    let profile = profile();
    let unseen = assess(
        &profile,
        &window(&profile, 400, 8, |row, index| {
            if index % 20 == 0 {
                row[2] = Value::Cat("east");
            }
        }),
    );
    assert!(has(feature(&unseen, "place"), |reason| matches!(reason, Reason::Unseen { .. })));
    let outside = assess(
        &profile,
        &window(&profile, 400, 9, |row, index| {
            if index % 40 == 0 {
                row[0] = Value::Num(50.0);
            }
        }),
    );
    assert!(has(feature(&outside, "x"), |reason| matches!(reason, Reason::OutOfRange { .. })));
    let broken = assess(
        &profile,
        &window(&profile, 400, 10, |row, index| {
            if index % 20 == 0 {
                row[0] = Value::Num(f64::NAN);
                row[2] = Value::Num(1.0);
            }
        }),
    );
    for name in ["x", "place"] {
        assert_eq!(feature(&broken, name).level, Level::Act);
        assert!(has(feature(&broken, name), |reason| matches!(reason, Reason::Invalid { .. })));
    }
    let stuck = assess(&profile, &window(&profile, 60, 11, |row, _| row[0] = Value::Num(0.1)));
    assert!(has(feature(&stuck, "x"), |reason| matches!(reason, Reason::Constant)));
}

#[test]
fn too_few_rows_are_not_judged_and_none_is_not_an_error() {
    let profile = profile();
    let few = assess(&profile, &window(&profile, 49, 12, |row, _| shifted(row, 0, 9.0)));
    assert_eq!(few.level, Level::Calm);
    assert_eq!(feature(&few, "x").reasons, [Reason::TooFewRows { rows: 49, needed: 50 }]);
    let none = assess(&profile, &Live::new(&profile));
    assert_eq!((none.level, none.sentence.as_str()), (Level::Calm, "No rows were counted."));
}

#[test]
fn a_report_reads_back_from_json() {
    let profile = profile();
    let report = assess(&profile, &window(&profile, 500, 13, |row, _| shifted(row, 1, 2.0)));
    let json = serde_json::to_vec(&report).expect("a report is written");
    let read: Report = serde_json::from_slice(&json).expect("and read");
    assert_eq!((read.level, read.features.len(), read.sentence), (report.level, 3, report.sentence));
}

#[test]
fn predicted_classes_and_scores_are_compared_too() {
    let profile = profile();
    let mut random = Random(14);
    let (mut same, mut turned) = (Live::new(&profile), Live::new(&profile));
    for _ in 0..1_000 {
        let score = 0.5 + random.share() / 2.0;
        same.observe_prediction(usize::from(random.share() < 0.3), score, 90).expect("the class exists");
        turned.observe_prediction(usize::from(random.share() < 0.8), score, 90).expect("the class exists");
    }
    let calm = assess(&profile, &same);
    let report = assess(&profile, &turned);
    assert_eq!(calm.predictions.map(|drift| drift.level), Some(Level::Calm));
    assert_eq!(report.predictions.as_ref().map(|drift| drift.level), Some(Level::Act));
    assert_eq!(report.scores.as_ref().map(|drift| drift.level), Some(Level::Calm));
    assert_eq!(compare(&same, &turned).level, Level::Act);
}

#[test]
fn a_season_that_both_groups_share_is_no_difference_between_them() {
    let profile = profile();
    let winter = |row: &mut [Value<'static>; 3], _| shifted(row, 0, 1.5);
    let (control, canary) = (window(&profile, 1_000, 15, winter), window(&profile, 300, 16, winter));
    assert_eq!(assess(&profile, &canary).level, Level::Act);
    let report = compare(&control, &canary);
    assert_eq!(report.level, Level::Calm, "{}", report.sentence);
    let broken = window(&profile, 300, 17, |row, _| shifted(row, 0, 2.5));
    assert_eq!(feature(&compare(&control, &broken), "x").level, Level::Act);
}

#[test]
fn three_of_four_drifted_windows_last_and_two_pass() {
    let mut memory = Persistence::new();
    let verdicts: Vec<Verdict> = [false, true, true, false, true, true, false, false, false, false]
        .map(|drifted| memory.push_drifted(drifted))
        .into();
    assert_eq!(verdicts[0], Verdict::Calm);
    assert_eq!(verdicts[2], Verdict::Passing { drifted: 2, of: 3 });
    assert_eq!(verdicts[4], Verdict::Lasting { drifted: 3, of: 4 });
    assert_eq!(verdicts[5], Verdict::Lasting { drifted: 3, of: 4 });
    assert_eq!(verdicts[6], Verdict::Passing { drifted: 2, of: 4 });
    assert_eq!(verdicts[9], Verdict::Calm);
    let profile = profile();
    let drifted = assess(&profile, &window(&profile, 500, 18, |row, _| shifted(row, 1, 3.0)));
    let mut memory = Persistence::new();
    assert!(![0, 1].map(|_| memory.push(&drifted)).iter().any(Verdict::is_lasting));
    assert!(memory.push(&drifted).is_lasting());
}

#[test]
fn shuffling_devices_seldom_tells_equal_groups_apart_and_does_tell_different_ones() {
    let mut random = Random(19);
    let mut group = |devices: usize, shift: f64| -> Vec<f64> { (0..devices).map(|_| random.bell() + shift).collect() };
    let alarms =
        (0..200).filter(|seed| difference_of_means(&group(10, 0.0), &group(30, 0.0), 199, *seed) <= 0.05).count();
    assert!((2..=20).contains(&alarms), "{alarms} of 200 equal groups at the level of 5 %");
    assert!(difference_of_means(&group(10, 3.0), &group(30, 0.0), 999, 1) <= 0.002);
    assert_eq!(difference_of_means(&[], &[1.0], 99, 1).to_bits(), 1.0f64.to_bits());
}
