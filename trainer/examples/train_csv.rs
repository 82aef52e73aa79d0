//! Trains on a CSV file and writes what is needed to check the ONNX file elsewhere:
//! `model.onnx`, `rows.csv` (encoded holdout), `predictions.csv` (our own), `golden.json`,
//! `card.md`. Prints the figures on the holdout as JSON.
//!
//! `train_csv DATA.csv LABEL OUT_DIR [boosting|logistic] [--value] [--drop NAME]…
//! [--share S] [--time] [--seed N] [--iterations N] [--leaves N] [--rows A..B]`

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use pinnace_trainer::data::{CsvOptions, Label, read_csv, split_by_hash, split_by_time};
use pinnace_trainer::learn::{Algorithm, Matrix, Params, quiet, train};
use pinnace_trainer::{card, evaluate, golden, onnx};

fn main() -> Result<(), Box<dyn Error>> {
    let usage = "train_csv DATA.csv LABEL OUT_DIR [boosting|logistic] [options]";
    let mut args = std::env::args().skip(1);
    let mut next = || args.next();
    let (data, label, out) = (next().ok_or(usage)?, next().ok_or(usage)?, next().ok_or(usage)?);
    let mut options = CsvOptions::classes(&label);
    let mut params = Params::boosting();
    let (mut share, mut by_time) = (0.25, false);
    while let Some(word) = next() {
        let mut value = || next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "boosting" => params.algorithm = Params::boosting().algorithm,
            "logistic" => params.algorithm = Params::logistic().algorithm,
            "--value" => options.label = Label::Value(label.clone()),
            "--drop" => options.drop.push(value()?),
            "--share" => share = value()?.parse()?,
            "--time" => by_time = true,
            "--seed" => params.seed = value()?.parse()?,
            "--rows" => {
                let range = value()?;
                let (from, to) = range.split_once("..").ok_or("--rows A..B")?;
                options.rows = Some(from.parse()?..to.parse()?);
            }
            "--iterations" => {
                let n = value()?.parse()?;
                match &mut params.algorithm {
                    Algorithm::Boosting(p) => (p.iterations, p.patience) = (n, None),
                    Algorithm::Logistic(p) => p.iterations = n,
                }
            }
            "--leaves" => {
                if let Algorithm::Boosting(p) = &mut params.algorithm {
                    p.max_leaves = value()?.parse()?;
                }
            }
            other => return Err(format!("{other}: unknown; {usage}").into()),
        }
    }
    let all = read_csv(Path::new(&data), &options).map_err(|e| format!("{e}\n  hint: {}", e.hint()))?;
    let (learnt, held) = if by_time { split_by_time(&all, share)? } else { split_by_hash(&all, share, params.seed)? };
    let model = train(&learnt, Some(&held), &params, &mut quiet)?;
    let evaluation = evaluate::evaluate(&model, &held)?;
    let rows = model.encode(&held)?;
    let out = Path::new(&out);
    std::fs::create_dir_all(out)?;
    std::fs::write(out.join("model.onnx"), onnx::export(&model))?;
    std::fs::write(out.join("rows.csv"), csv_of(&rows)?)?;
    std::fs::write(out.join("predictions.csv"), csv_of(&model.predict(&rows)?)?)?;
    let vectors = golden::choose(&model, &rows, golden::DEFAULT_COUNT)?;
    std::fs::write(out.join("golden.json"), serde_json::to_vec(&vectors)?)?;
    let facts = card::Facts {
        name: "example",
        version: "1",
        date: "not recorded",
        data: (&data, "not recorded"),
        holdout: if by_time { "the last rows" } else { "by hash of the row number" },
        evaluation: &evaluation,
    };
    std::fs::write(out.join("card.md"), card::render(&model, &facts))?;
    println!("{}", serde_json::to_string(&evaluation)?);
    Ok(())
}

/// Returns rows as CSV without a header; missing cells are `nan`.
fn csv_of(rows: &Matrix) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for row in rows.iter() {
        for (at, cell) in row.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let cell = if cell.is_nan() { "nan".to_owned() } else { cell.to_string() };
            write!(text, "{comma}{cell}")?;
        }
        text.push('\n');
    }
    Ok(text)
}
