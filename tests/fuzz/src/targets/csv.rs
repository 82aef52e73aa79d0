//! Training data.
use pinnace_trainer::data::{CsvOptions, parse_csv};

use crate::target::{Budget, Form, Target};
use crate::verdict::{Verdict, magnitude, variant};

pub const TARGET: Target = Target {
    name: "csv",
    what: "a CSV file of training data, with the last column as classes, as a quantity, and as nothing",
    form: Form::Text,
    max_bytes: 8 * 1024,
    budget: Budget { base: 256 * 1024, per_byte: 400 },
    cost: 4,
    words: &[",", "\n", "\r\n", "\"", "\"\"", "y", "NA", "nan", "inf", "-0", "1e999", "1e-45", "\u{feff}", ";", "é"],
    run,
    repair: None,
};

fn run(input: &[u8]) -> Verdict {
    let all = [CsvOptions::classes("y"), CsvOptions::values("y"), CsvOptions::default()].map(|options| {
        parse_csv(input, "t.csv", &options).map(|data| {
            assert!(data.features().iter().all(|column| column.len() == data.rows()), "columns of one length");
            format!("{} x {}", magnitude(data.features().len() as u64), magnitude(data.rows() as u64))
        })
    });
    for error in all.iter().filter_map(|r| r.as_ref().err()) {
        assert!(!error.to_string().is_empty() && !error.hint().is_empty(), "every mistake has a text and a hint");
    }
    let words =
        all.each_ref().map(|r| r.as_ref().map_or_else(|e| format!("refused: {}", variant(e)), |_| "accepted".into()));
    let [classes, values, plain] = &words;
    Verdict { word: format!("classes {classes}, values {values}, plain {plain}"), detail: format!("{all:?}") }
}
