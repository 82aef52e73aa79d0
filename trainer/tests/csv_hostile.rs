//! No bytes, however hostile, make the reader or what follows it panic.

use pinnace_trainer::data::{CsvOptions, DataError, Dataset, parse_csv};
use pinnace_trainer::learn::{Model, Params, quiet, train};
use pinnace_trainer::{evaluate, golden, onnx};
use proptest::prelude::*;

fn labels() -> [CsvOptions; 3] {
    [CsvOptions::classes("y"), CsvOptions::values("y"), CsvOptions::default()]
}

fn judge(found: Result<Dataset, DataError>) {
    match found {
        Ok(data) => assert!(data.features().iter().all(|c| c.len() == data.rows())),
        Err(error) => assert!(!error.to_string().is_empty() && !error.hint().is_empty()),
    }
}

/// Cells that break naive readers.
fn cell() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (-50i32..50).prop_map(|v| v.to_string()),
        1 => Just(String::new()),
        1 => prop::sample::select(vec!["NA", "a", "b", "1e30", "-0", "1e-45", "3.4028235e38", "é"])
            .prop_map(str::to_owned),
        1 => prop::sample::select(vec!["inf", "\"", "\"\"", "a,b", "\r", "1e999", "0x10", "+"])
            .prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for options in labels() {
            judge(parse_csv(&bytes, "t.csv", &options));
        }
    }

    #[test]
    fn bytes_that_look_like_csv(bytes in "[ab\",;\n\r0-9.eN y-]{0,200}", header in any::<bool>()) {
        let text = if header { format!("a,b,y\n{bytes}") } else { bytes };
        for options in labels() {
            judge(parse_csv(text.as_bytes(), "t.csv", &options));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn whatever_reads_also_learns_predicts_and_exports(
        rows in prop::collection::vec((cell(), cell(), 0u8..4), 1..40),
        value in any::<bool>(),
        logistic in any::<bool>(),
    ) {
        let mut text = String::from("a,b,y\n");
        for (a, b, y) in rows {
            text.push_str(&format!("{a},{b},{y}\n"));
        }
        let options = if value { CsvOptions::values("y") } else { CsvOptions::classes("y") };
        let Ok(data) = parse_csv(text.as_bytes(), "t.csv", &options) else { return Ok(()) };
        let params = if logistic { Params::logistic() } else { Params::boosting() };
        match train(&data, Some(&data), &params, &mut quiet) {
            Err(error) => prop_assert!(!error.hint().is_empty()),
            Ok(model) => {
                let predicted = model.predict_proba(&data).expect("same columns");
                prop_assert!(predicted.cells().iter().all(|p| p.is_finite()));
                prop_assert!(evaluate::evaluate(&model, &data).is_ok());
                let rows = model.encode(&data).expect("same columns");
                let vectors = golden::choose(&model, &rows, 16).expect("same width");
                prop_assert!(vectors.input.len() <= 17);
                prop_assert!(!onnx::export(&model).is_empty());
            }
        }
    }
}
