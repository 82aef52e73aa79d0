//! A window counts what it is given, stays small, and says when it cannot.

use pinnace_protocol::sketch::{Column, Live, PredictionColumns, Profile, ProfileBuilder, RowError, Tally, Value};

fn waves(rows: u32, speed: f64) -> Vec<f64> {
    (0..rows).map(|step| (f64::from(step) * speed).sin() * 3.0 + (f64::from(step) * 1.3).cos()).collect()
}

fn profile() -> Profile {
    let (a, b) = (waves(2_000, 0.7), waves(2_000, 0.11));
    let places: Vec<Option<&str>> = (0..2_000).map(|row| Some(["north", "south"][row % 2])).collect();
    let classes: Vec<usize> = (0..2_000).map(|row| row % 2).collect();
    let scores: Vec<f64> = (0..2_000).map(|row| 0.5 + f64::from(row % 50) / 100.0).collect();
    ProfileBuilder::new(500)
        .feature("a", Column::Numeric { values: &a, nulls: None }, 1.0)
        .feature("b", Column::Numeric { values: &b, nulls: None }, 1.0)
        .feature("place", Column::Categorical(&places), 1.0)
        .predictions(PredictionColumns {
            classes: &["dry", "rain"],
            predicted: &classes,
            scores: &scores,
            actual: &classes,
        })
        .build()
        .expect("the columns are sound")
}

#[test]
fn counting_the_reference_gives_the_counters_of_the_reference() {
    let profile = profile();
    let (a, b) = (waves(2_000, 0.7), waves(2_000, 0.11));
    let mut live = Live::new(&profile);
    for row in 0..2_000 {
        live.update_row(&[a[row].into(), b[row].into(), ["north", "south"][row % 2].into()]).expect("the row fits");
    }
    for (feature, tally) in profile.features().iter().zip(live.features()) {
        assert_eq!(&feature.tally(), tally, "{}", feature.name);
    }
}

#[test]
fn a_device_that_counts_f32_agrees_with_a_trainer_that_counted_f64() {
    // None of these numbers is exact in either type, and every one is an edge or beside one.
    let values: Vec<f64> = (0..300).map(|step| f64::from(step % 30) / 10.0).collect();
    let profile = ProfileBuilder::new(100)
        .feature("tenths", Column::Numeric { values: &values, nulls: None }, 1.0)
        .build()
        .expect("the column is sound");
    let (mut double, mut single) = (Live::new(&profile), Live::new(&profile));
    for value in &values {
        double.update_row(&[Value::Num(*value)]).expect("the row fits");
        single.update_numbers(&[*value as f32]).expect("the row fits");
    }
    assert_eq!(double.encode(), single.encode());
    assert_eq!(double.features()[0], profile.features()[0].tally());
}

#[test]
fn nulls_unusable_numbers_and_wrong_types_have_their_own_counters() {
    let profile = profile();
    let mut live = Live::new(&profile);
    let rows = [
        [Value::Null, Value::Num(f64::NAN), Value::Null],
        [Value::Num(1e300), Value::Num(f64::NEG_INFINITY), Value::Num(3.0)],
        [Value::Cat("text"), Value::Num(0.5), Value::Cat("east")],
    ];
    for row in &rows {
        live.update_row(row).expect("the row fits");
    }
    let [Tally::Numeric(a), Tally::Numeric(b), Tally::Categorical(place)] = live.features() else {
        panic!("two numeric features and a categorical one")
    };
    assert_eq!((a.nulls, a.pos_inf, a.mistyped, a.finite()), (1, 1, 1, 0));
    assert_eq!((b.nan, b.neg_inf, b.finite(), b.range()), (1, 1, 1, Some((0.5, 0.5))));
    assert_eq!((place.nulls, place.mistyped, place.other), (1, 1, 1));
}

#[test]
fn means_come_back_from_the_sums_within_a_thousandth_of_a_standard_deviation() {
    let profile = profile();
    let values = waves(1_440, 0.31);
    let mut live = Live::new(&profile);
    for value in &values {
        live.update_row(&[Value::Num(*value * 1.5), Value::Num(*value), Value::Null]).expect("the row fits");
    }
    let exact = values.iter().map(|value| value * 1.5).sum::<f64>() / 1_440.0;
    let Tally::Numeric(tally) = &live.features()[0] else { panic!("the feature is numeric") };
    let pinnace_protocol::sketch::Shape::Numeric { bins, sd } = &live.layout().features()[0].shape else {
        panic!("the feature is numeric")
    };
    let mean = tally.mean(bins).expect("there are values");
    assert!((mean - exact).abs() < 0.001 * sd, "{mean} instead of {exact}");
}

#[test]
fn a_day_of_rows_takes_less_than_300_bytes_per_feature() {
    let profile = profile();
    let (a, b) = (waves(1_440, 0.7), waves(1_440, 0.11));
    let mut live = Live::new(&profile);
    for row in 0..1_440 {
        live.update_row(&[a[row].into(), b[row].into(), "north".into()]).expect("the row fits");
    }
    assert!(live.encode().len() <= 3 * 300, "{} bytes for three features", live.encode().len());
    assert!(Live::new(&profile).encode().len() <= 64, "an empty window is a header");
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let profile = profile();
    let mut live = Live::new(&profile);
    assert_eq!(live.update_row(&[Value::Null]), Err(RowError::Width { found: 1, expected: 3 }));
    assert_eq!(live.update_numbers(&[0.0; 4]), Err(RowError::Width { found: 4, expected: 3 }));
    assert_eq!(live.observe_prediction(2, 0.5, 1), Err(RowError::Class { found: 2, classes: 2 }));
    assert_eq!(live.observe_outcome(0.5, 0, 9), Err(RowError::Class { found: 9, classes: 2 }));
    assert!(live.is_empty());
    assert_eq!(live.encode(), Live::new(&profile).encode());
}

#[test]
fn a_full_window_takes_no_more_and_two_halves_do_not_overflow() {
    let profile = profile();
    let mut doubled = Live::new(&profile);
    doubled.update_row(&[Value::Num(1.0), Value::Num(1e30), "north".into()]).expect("the row fits");
    // 2^31 rows by doubling.
    for _ in 0..31 {
        let copy = doubled.clone();
        doubled.merge(&copy).expect("up to 2^32 - 1 rows fit");
    }
    let copy = doubled.clone();
    let before = doubled.encode();
    assert!(doubled.merge(&copy).is_err());
    assert_eq!(doubled.encode(), before);
    assert_eq!(Live::decode(&profile, &before), Ok(doubled));
}

#[test]
fn predictions_outcomes_errors_and_latencies_are_counted() {
    let profile = profile();
    let mut live = Live::new(&profile);
    for step in 0..1_000u32 {
        live.observe_prediction(1, f64::from(step % 20) / 20.0 + 0.01, 1_000 + step).expect("the class exists");
    }
    live.observe_prediction(0, f64::NAN, 70).expect("a bad score is counted");
    live.observe_error().expect("not full");
    for step in 0..10 {
        live.observe_outcome(0.93, 1, usize::from(step < 7)).expect("the classes exist");
    }
    let part = live.predictions();
    assert_eq!((part.count(), part.errors(), part.outcomes(), part.correct()), (1_001, 1, 10, 7));
    assert_eq!(part.scores(1)[..20], [50; 20]);
    assert_eq!(part.scores(0)[20], 1);
    assert_eq!((part.outcomes_of(1).0[18], part.outcomes_of(1).1[18]), (10, 7));
    let median = f64::from(part.latency().quantile(0.5).expect("latencies were counted"));
    assert!((median / 1_500.0 - 1.0).abs() < 0.032, "{median}");
}
