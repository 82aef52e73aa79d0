//! Asks a model the bundle's golden vectors: nothing is trusted to compute what the trainer computed.

use pinnace_protocol::manifest::Golden;

use super::error::EngineError;
use super::limits;
use super::matrix::{Matrix, argmax};
use super::{Answers, Model};

/// Reads a bundle's golden vectors.
///
/// # Errors
/// [`EngineError::GoldenFile`] when they are too large, do not parse or contradict themselves.
pub fn parse(bytes: &[u8]) -> Result<Golden, EngineError> {
    let bad = |why: String| EngineError::GoldenFile { why };
    if bytes.len() > limits::GOLDEN_MAX_BYTES {
        return Err(bad(format!("{} bytes, at most {} are read", bytes.len(), limits::GOLDEN_MAX_BYTES)));
    }
    let golden: Golden = serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
    if golden.input.is_empty() || golden.input.len() > limits::GOLDEN_MAX_ROWS {
        return Err(bad(format!("{} rows, 1 to {} are asked", golden.input.len(), limits::GOLDEN_MAX_ROWS)));
    }
    if golden.input.len() != golden.expected.len() {
        return Err(bad(format!("{} inputs and {} answers", golden.input.len(), golden.expected.len())));
    }
    // `1e39` reads as infinity, which the probe would be handed as "missing": it would be asked another question.
    let inputs = golden.input.iter().flatten().flatten();
    if !inputs.chain(golden.expected.iter().flatten()).all(|v| v.is_finite()) {
        return Err(bad("a number is beyond the range of 32-bit floats".into()));
    }
    let sound = |t: f32| t.is_finite() && (0.0..=0.1).contains(&t);
    if !sound(golden.rtol) || !sound(golden.atol) {
        return Err(bad(format!("tolerances {} and {} are not in 0..=0.1", golden.rtol, golden.atol)));
    }
    Ok(golden)
}

/// Asks `model` every golden vector, each alone and all at once: both ways serve requests later.
///
/// # Errors
/// [`EngineError::Golden`] names the first wrong answer; other errors say why a vector could not be asked.
pub fn ask(
    engine: &str,
    model: &mut dyn Model,
    golden: &Golden,
    features: usize,
    classify: bool,
) -> Result<(), EngineError> {
    let mut all = Vec::with_capacity(golden.input.len() * features);
    for (index, row) in golden.input.iter().enumerate() {
        if row.len() != features {
            return Err(EngineError::GoldenFile {
                why: format!("row {index} has {} values for {features} features", row.len()),
            });
        }
        let values: Vec<f32> = row.iter().map(|v| v.unwrap_or(f32::NAN)).collect();
        all.extend_from_slice(&values);
        let answers = model.run(&Matrix::new(features, values)?)?;
        compare(engine, index, &golden.expected[index], &answers, 0, golden, classify)?;
    }
    let answers = model.run(&Matrix::new(features, all)?)?;
    for (index, expected) in golden.expected.iter().enumerate() {
        compare(engine, index, expected, &answers, index, golden, classify)?;
    }
    Ok(())
}

fn compare(
    engine: &str,
    index: usize,
    expected: &[f32],
    answers: &Answers,
    row: usize,
    golden: &Golden,
    classify: bool,
) -> Result<(), EngineError> {
    let found = answers.probabilities.row(row);
    if found.len() != expected.len() {
        return Err(EngineError::GoldenFile {
            why: format!("row {index} expects {} values, the model answers {}", expected.len(), found.len()),
        });
    }
    let wrong = |column: usize| EngineError::Golden {
        engine: engine.into(),
        row: index,
        column,
        found: found.get(column).copied().unwrap_or(f32::NAN),
        expected: expected.get(column).copied().unwrap_or(f32::NAN),
    };
    for (column, (f, e)) in found.iter().zip(expected).enumerate() {
        // Written so that NaN on either side is a difference.
        let close = (f - e).abs() <= golden.atol + golden.rtol * e.abs();
        if !close {
            return Err(wrong(column));
        }
    }
    // Within the tolerance a near tie may flip; only a clear winner must stay the winner.
    let (ours, theirs) = (argmax(found), argmax(expected));
    let margin = expected.get(theirs).zip(expected.get(ours)).map_or(0.0, |(t, o)| t - o);
    if classify && ours != theirs && margin > 2.0 * (golden.atol + golden.rtol) {
        return Err(wrong(theirs));
    }
    Ok(())
}
