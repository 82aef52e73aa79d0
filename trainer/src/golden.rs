//! Golden vectors: rows with the answers they must give, wherever the model runs.
//!
//! They travel in the bundle. A device that does not get these answers from its engine, in its
//! memory, on its processor, does not put the model to work.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::evaluate::argmax;
use crate::learn::{LearnError, Matrix, TrainedModel};
use crate::limits;

/// Golden vectors used unless told otherwise.
pub const DEFAULT_COUNT: usize = 16;
/// Relative tolerance: what engines may differ by in f32.
pub const RTOL: f64 = 1e-3;
/// Absolute tolerance.
pub const ATOL: f64 = 1e-5;

/// Rows and the answers they must give: |answer - expected| <= atol + rtol x |expected|.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Golden {
    /// Rows of the input tensor; missing cells are `null` in JSON and NaN here.
    #[serde(serialize_with = "write_cells", deserialize_with = "read_cells")]
    pub input: Vec<Vec<f32>>,
    /// Class probabilities (or the predicted value) of each row.
    pub expected: Vec<Vec<f32>>,
    /// Relative tolerance.
    pub rtol: f64,
    /// Absolute tolerance.
    pub atol: f64,
}

/// Returns golden vectors taken from `rows`, an encoded table the model was not trained to
/// repeat (the holdout, say): even steps through the predictions from lowest to highest, the
/// outermost rows, and at least one row with a missing value (made, if there is none).
///
/// Limits: at most [`limits::MAX_GOLDEN`] and as many as there are rows, plus the made one.
/// Errors: the rows are not as wide as the model.
pub fn choose(model: &TrainedModel, rows: &Matrix, count: usize) -> Result<Golden, LearnError> {
    let count = count.clamp(1, limits::MAX_GOLDEN);
    let predictions = model.predict(rows)?;
    let mut chosen: Vec<usize> = Vec::new();
    let mut take = |row: Option<usize>| {
        if let Some(row) = row.filter(|row| !chosen.contains(row)) {
            chosen.push(row);
        }
    };
    let missing = (0..rows.rows()).find(|&row| rows.row(row).iter().any(|v| v.is_nan()));
    take(missing);
    if count > 3 {
        let (inner, outer) = farthest(rows);
        take(inner);
        take(outer);
    }
    let made = usize::from(missing.is_none());
    let steps = count.saturating_sub(chosen.len() + made);
    let order = by_prediction(&predictions);
    for step in 0..steps {
        let at = step * order.len().saturating_sub(1) / (steps - 1).max(1);
        // A row that was taken already gives way to the next free one.
        let free = order.iter().skip(at).chain(&order).find(|row| !chosen.contains(row));
        chosen.extend(free.copied());
    }
    let mut input: Vec<Vec<f32>> = chosen.iter().map(|&row| rows.row(row).to_vec()).collect();
    if missing.is_none()
        && let Some(middle) = order.get(order.len() / 2)
    {
        let mut row = rows.row(*middle).to_vec();
        let places = 0..row.len();
        let weightiest = places.max_by(|&a, &b| model.importance[a].total_cmp(&model.importance[b]).then(b.cmp(&a)));
        if let Some(at) = weightiest {
            row[at] = f32::NAN;
        }
        input.push(row);
    }
    let answers =
        if input.is_empty() { Matrix::zeros(0, model.outputs()) } else { model.predict(&Matrix::from_rows(&input))? };
    let expected = answers.iter().map(<[f32]>::to_vec).collect();
    Ok(Golden { input, expected, rtol: RTOL, atol: ATOL })
}

/// Returns the rows by what is predicted: by value, by probability of the second of two
/// classes, or by most probable class and then its probability.
fn by_prediction(predictions: &Matrix) -> Vec<usize> {
    let key = |row: usize| {
        let row = predictions.row(row);
        let class = if row.len() > 2 { argmax(row) } else { row.len().saturating_sub(1) };
        (class, row.get(class).copied().unwrap_or(0.0))
    };
    let mut order: Vec<usize> = (0..predictions.rows()).collect();
    order.sort_by(|&a, &b| {
        let (a, b) = (key(a), key(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    order
}

/// Returns the rows with the lowest and the highest cell in units of its column's spread.
fn farthest(rows: &Matrix) -> (Option<usize>, Option<usize>) {
    let (mut low, mut high) = ((0.0, None), (0.0, None));
    for column in 0..rows.columns() {
        let present = || (0..rows.rows()).map(|r| (r, f64::from(rows.get(r, column))));
        let present = || present().filter(|(_, v)| v.is_finite());
        let n = present().count().max(1) as f64;
        let mean = present().map(|(_, v)| v).sum::<f64>() / n;
        let variance = present().map(|(_, v)| (v - mean) * (v - mean)).sum::<f64>() / n;
        if variance <= 0.0 {
            continue;
        }
        for (row, value) in present() {
            let distance = (value - mean) / libm::sqrt(variance);
            if distance < low.0 {
                low = (distance, Some(row));
            }
            if distance > high.0 {
                high = (distance, Some(row));
            }
        }
    }
    (low.1, high.1)
}

fn write_cells<S: Serializer>(rows: &[Vec<f32>], out: S) -> Result<S::Ok, S::Error> {
    let cell = |v: &f32| (!v.is_nan()).then_some(*v);
    out.collect_seq(rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>()))
}

fn read_cells<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Vec<f32>>, D::Error> {
    let rows: Vec<Vec<Option<f32>>> = Deserialize::deserialize(from)?;
    let cell = |v: Option<f32>| v.unwrap_or(f32::NAN);
    Ok(rows.into_iter().map(|row| row.into_iter().map(cell).collect()).collect())
}
