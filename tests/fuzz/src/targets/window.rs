//! Statistics windows, and the reference profile they are counted against.
use pinnace_protocol::sketch::{Live, Profile, Value};

use crate::fixtures::device::PROFILE as REFERENCE;
use crate::target::{Budget, Form, Target};
use crate::verdict::{Verdict, magnitude, variant};

pub const WINDOW: Target = Target {
    name: "window",
    what: "an encoded statistics window of a device, as the plane folds it",
    form: Form::Bytes,
    max_bytes: 8 * 1024,
    budget: Budget { base: 64 * 1024, per_byte: 16 },
    cost: 1,
    words: &[],
    run: window,
    repair: Some(name_profile),
};

pub const PROFILE: Target = Target {
    name: "profile",
    what: "the JSON of a reference profile, and windows counted against it",
    form: Form::Json,
    max_bytes: 24 * 1024,
    // Two thousand counters of a class are there whether they are used or not.
    budget: Budget { base: 2 * 1024 * 1024, per_byte: 300 },
    cost: 1,
    words: &[
        "format",
        "rows",
        "block_rows",
        "features",
        "name",
        "importance",
        "thresholds",
        "psi_watch",
        "psi_act",
        "w1",
        "ks",
        "js",
        "unseen",
        "out_of_range",
        "nulls",
        "kind",
        "numeric",
        "categorical",
        "edges",
        "unit_exponent",
        "counts",
        "sums",
        "nan",
        "pos_inf",
        "neg_inf",
        "min",
        "max",
        "sd",
        "values",
        "other",
        "predictions",
        "classes",
        "scores",
        "calibration",
        "1e308",
        "-0.0",
        "4294967295",
    ],
    run: profile,
    repair: None,
};

fn window(input: &[u8]) -> Verdict {
    _ = Live::fingerprint_of(input);
    match Live::decode(&REFERENCE, input) {
        Err(fault) => Verdict::refused(&variant(&fault), fault),
        Ok(live) => {
            assert_eq!(live.encode(), input, "one form only: a digest of the bytes identifies the counts");
            let mut sum = live.clone();
            if sum.merge(&live).is_ok() {
                assert_eq!(u64::from(sum.rows()), 2 * u64::from(live.rows()));
                let again = Live::decode(&REFERENCE, &sum.encode());
                assert!(again.is_ok_and(|again| again == sum), "a sum can be sent too");
            }
            Verdict::accepted(format!("{} rows {}", magnitude(live.rows().into()), live.predictions().count() > 0))
        }
    }
}

/// Puts the right format and fingerprint in front.
fn name_profile(input: &[u8], _: u64) -> Option<Vec<u8>> {
    let head = Live::new(&REFERENCE).encode().get(..17)?.to_vec();
    Some([head.as_slice(), input.get(17..)?].concat())
}

fn profile(input: &[u8]) -> Verdict {
    match Profile::from_json(input) {
        Err(fault) => Verdict::refused(&variant(&fault), fault),
        Ok(profile) => {
            let written = profile.to_json();
            assert_eq!(Profile::from_json(&written).as_ref(), Ok(&profile), "it says the same when written again");
            let mut live = Live::new(&profile);
            let width = profile.features().len();
            for cell in [Value::Null, Value::Num(f64::NAN), Value::Num(1e300), Value::Num(0.5), Value::Cat("north")] {
                live.update_row(&vec![cell; width]).expect("a row of this width");
            }
            let classes = profile.predictions().map_or(0, |p| p.classes.len());
            for class in 0..classes {
                live.observe_prediction(class, 0.7, 100).expect("a class of the model");
                live.observe_outcome(0.7, class, 0).expect("a class of the model");
            }
            let bytes = live.encode();
            assert_eq!(Live::decode(&profile, &bytes).as_ref(), Ok(&live), "a window of it can be sent");
            Verdict::accepted(format!("{} features {}", magnitude(width as u64), magnitude(classes as u64)))
        }
    }
}
