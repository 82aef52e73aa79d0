//! Profiles are exact in JSON, honest about their columns and refuse what breaks their rules.

use pinnace_protocol::sketch::{
    Column, FeatureKind, NumericProfile, PredictionColumns, Profile, ProfileBuilder, ProfileDocument, ProfileError,
    Tally, Thresholds,
};
use proptest::prelude::*;

fn numeric(values: &[f64]) -> Result<Profile, ProfileError> {
    ProfileBuilder::new(50).feature("x", Column::Numeric { values, nulls: None }, 1.0).build()
}

fn only_numeric(profile: &Profile) -> &NumericProfile {
    match &profile.features()[0].kind {
        FeatureKind::Numeric(numeric) => numeric,
        FeatureKind::Categorical(_) => panic!("the column is numeric"),
    }
}

/// Normal-like numbers in a fixed order.
fn waves(rows: u32) -> Vec<f64> {
    (0..rows).map(|step| (f64::from(step) * 0.7).sin() + (f64::from(step) * 1.3 + 1.0).sin()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn json_reads_back_exactly(
        values in prop::collection::vec(prop_oneof![4 => -1e3..1e3f64, 1 => any::<f64>()], 1..300),
        importance in 0.0..10.0f64,
    ) {
        let built = ProfileBuilder::new(20)
            .feature("x", Column::Numeric { values: &values, nulls: None }, importance)
            .build();
        prop_assume!(built.is_ok() || values.iter().any(|value| (*value as f32).is_finite()));
        let profile = built.expect("there is a finite value");
        let json = profile.to_json();
        let read = Profile::from_json(&json).expect("own JSON is read");
        prop_assert_eq!(&read, &profile);
        prop_assert_eq!(read.to_json(), json);
        prop_assert_eq!(read.layout().fingerprint(), profile.layout().fingerprint());
    }

    #[test]
    fn arbitrary_bytes_are_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Profile::from_json(&bytes).is_err());
    }
}

#[test]
fn no_training_value_lies_outside_its_own_bins() {
    let values = waves(2_000);
    let profile = numeric(&values).expect("the column is sound");
    let numeric = only_numeric(&profile);
    assert_eq!((numeric.counts.first(), numeric.counts.last()), (Some(&0), Some(&0)));
    assert_eq!(numeric.edges.len(), 35);
    let inner = &numeric.counts[4..numeric.counts.len() - 4];
    assert!(inner.iter().all(|count| (60..=72).contains(count)), "thirtieths of 2,000 rows: {inner:?}");
}

#[test]
fn few_values_get_a_bin_each_and_one_value_is_enough() {
    let values: Vec<f64> = (0..360).map(|step| f64::from(step % 36) * 0.1).collect();
    let profile = numeric(&values).expect("the column is sound");
    assert_eq!(only_numeric(&profile).counts[1..37], [10; 36]);
    let constant = numeric(&[0.1; 40]).expect("one value is enough");
    assert_eq!(only_numeric(&constant).counts, [0, 40, 0]);
    assert_eq!(only_numeric(&constant).edges, [0.1, 0.1]);
}

#[test]
fn nulls_and_unusable_numbers_are_told_apart() {
    let values = [1.0, f64::NAN, f64::INFINITY, 1e300, f64::NEG_INFINITY, f64::NAN];
    let nulls = [false, false, false, false, false, true];
    let profile = ProfileBuilder::new(2)
        .feature("x", Column::Numeric { values: &values, nulls: Some(&nulls) }, 1.0)
        .build()
        .expect("there is a finite value");
    let Tally::Numeric(tally) = profile.features()[0].tally() else { panic!("the column is numeric") };
    assert_eq!((tally.nulls, tally.nan, tally.pos_inf, tally.neg_inf, tally.finite()), (1, 1, 2, 1, 1));
}

#[test]
fn rare_categories_share_a_counter() {
    let names: Vec<String> = (0..40).map(|index| format!("value {index:02}")).collect();
    let column: Vec<Option<&str>> =
        (0..40).flat_map(|index| vec![Some(names[index].as_str()); 41 - index]).chain([None]).collect();
    let profile =
        ProfileBuilder::new(20).feature("c", Column::Categorical(&column), 1.0).build().expect("the column is sound");
    let FeatureKind::Categorical(categorical) = &profile.features()[0].kind else { panic!("it is categorical") };
    assert_eq!(categorical.values.len(), 32);
    assert_eq!((categorical.values[0].as_str(), categorical.counts[0]), ("value 00", 41));
    assert_eq!((categorical.other, categorical.nulls), ((2..=9).sum(), 1));
}

#[test]
fn thresholds_rise_with_the_calm_of_the_reference_and_never_fall_below_the_floor() {
    let calm = numeric(&waves(4_000)).expect("the column is sound");
    assert_eq!(calm.features()[0].thresholds.psi_act, Thresholds::FLOOR.psi_act);
    let seasonal: Vec<f64> = (0..4_000).map(|day| (f64::from(day) / 365.0 * core::f64::consts::TAU).sin()).collect();
    let seasonal = numeric(&seasonal).expect("the column is sound");
    assert!(seasonal.features()[0].thresholds.psi_act > 1.0, "50 days are not a year");
}

#[test]
fn calibration_is_the_share_of_correct_predictions_per_class_and_score() {
    let values = waves(400);
    let predicted = vec![1usize; 400];
    let scores: Vec<f64> = (0..400).map(|row| if row < 200 { 0.62 } else { 0.97 }).collect();
    let actual: Vec<usize> = (0..400).map(|row| usize::from(row < 120 || (200..390).contains(&row))).collect();
    let profile = ProfileBuilder::new(50)
        .feature("x", Column::Numeric { values: &values, nulls: None }, 1.0)
        .predictions(PredictionColumns {
            classes: &["dry", "rain"],
            predicted: &predicted,
            scores: &scores,
            actual: &actual,
        })
        .build()
        .expect("the columns are sound");
    let part = profile.predictions().expect("predictions were given");
    assert_eq!((part.scores[1][12], part.scores[1][19]), (200, 200));
    assert!((part.calibration[1][12] - 0.6).abs() < 0.005 && (part.calibration[1][19] - 0.95).abs() < 0.005);
}

#[test]
fn columns_that_cannot_serve_are_named_with_a_hint() {
    let errors = [
        numeric(&[]).expect_err("no rows"),
        numeric(&[f64::NAN; 5]).expect_err("no finite value"),
        ProfileBuilder::new(5)
            .feature("a", Column::Numeric { values: &[1.0, 2.0], nulls: None }, 1.0)
            .feature("b", Column::Numeric { values: &[1.0], nulls: None }, 1.0)
            .build()
            .expect_err("lengths differ"),
    ];
    for error in errors {
        assert!(matches!(error, ProfileError::Column { .. }), "{error:?}");
        assert!(error.to_string().contains("\n  hint: "), "{error}");
    }
    let twice = ProfileBuilder::new(5)
        .feature("a", Column::Numeric { values: &[1.0], nulls: None }, 1.0)
        .feature("a", Column::Numeric { values: &[1.0], nulls: None }, 1.0)
        .build();
    assert!(matches!(twice, Err(ProfileError::Invalid { rule: "two features have this name", .. })));
}

#[test]
fn documents_that_break_a_rule_are_refused() {
    let sound = numeric(&waves(200)).expect("the column is sound");
    let change = |change: fn(&mut ProfileDocument, &mut NumericProfile)| {
        let mut document = sound.document().clone();
        let mut numeric = only_numeric(&sound).clone();
        change(&mut document, &mut numeric);
        if let Some(feature) = document.features.first_mut() {
            feature.kind = FeatureKind::Numeric(numeric);
        }
        Profile::from_document(document)
    };
    assert_eq!(change(|_, _| {}), Ok(sound.clone()));
    assert_eq!(change(|document, _| document.format = 2), Err(ProfileError::Format { found: 2 }));
    let broken = [
        change(|document, _| document.features.clear()),
        change(|document, _| document.rows += 1),
        change(|document, _| document.features[0].importance = f64::NAN),
        change(|document, _| document.features[0].thresholds.psi_act = 0.01),
        change(|_, numeric| numeric.edges[3] = numeric.edges[2]),
        change(|_, numeric| numeric.edges[0] = f32::NEG_INFINITY),
        change(|_, numeric| numeric.sums[5] = i64::MAX),
        change(|_, numeric| numeric.unit_exponent = 4_000),
        change(|_, numeric| numeric.counts.truncate(3)),
        change(|_, numeric| numeric.min = f32::NAN),
        change(|_, numeric| numeric.sd = -1.0),
    ];
    for (index, result) in broken.into_iter().enumerate() {
        assert!(matches!(result, Err(ProfileError::Invalid { .. })), "change {index} gave {result:?}");
    }
}
