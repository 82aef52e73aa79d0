//! What a column is: its name, its kind, its categories.

use serde::Serialize;

/// The kind of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Numbers; null is NaN.
    Numeric,
    /// One of a list of texts.
    Categorical,
}

/// One feature as a model knows it: its column in the input tensor is its place in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Feature {
    /// The name in the header.
    pub name: String,
    /// Numeric or categorical.
    pub kind: Kind,
    /// The categories in the order of their codes (0, 1, …); empty for numeric features.
    pub categories: Vec<String>,
}

/// Reports whether a cell means "unknown".
pub(super) fn is_null(cell: &str) -> bool {
    matches!(cell, "" | "NA" | "N/A" | "NaN" | "nan" | "null" | "NULL" | "None")
}

/// Returns the number in a cell if it is finite and fits the f32 of an input tensor.
pub(super) fn number(cell: &str) -> Option<f64> {
    let value: f64 = cell.parse().ok()?;
    (value.abs() <= f64::from(f32::MAX)).then_some(value)
}

/// Sorts category or class names: by value if all are numbers, else by text.
///
/// The order does not depend on the order of rows, so codes are stable when rows are shuffled.
pub(super) fn sort_names(names: &mut [String]) {
    if names.iter().all(|n| number(n).is_some()) {
        names.sort_by(|a, b| {
            let (x, y) = (number(a).unwrap_or(0.0), number(b).unwrap_or(0.0));
            x.total_cmp(&y).then_with(|| a.cmp(b))
        });
    } else {
        names.sort();
    }
}
