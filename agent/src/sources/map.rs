//! Maps a row's fields to the cells that a model takes, and says what could not be read.

use std::sync::Arc;

use pinnace_protocol::manifest::{FeatureKind, Signature};
use serde_json::{Map, Value};

use super::read::{Fields, RawRow};
use crate::router::Cell;

/// How fields become cells for one model.
pub(super) struct Mapping {
    signature: Arc<Signature>,
    /// Column of each feature; empty for NDJSON.
    columns: Vec<Option<usize>>,
    label: Option<(String, Option<usize>)>,
}

/// A row as the router takes it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mapped {
    pub(super) cells: Vec<Cell>,
    /// The label's text, when there is one.
    pub(super) label: Option<String>,
}

impl Mapping {
    /// Returns the mapping for a model; `header` is the file's, when it has one.
    pub(super) fn new(signature: &Arc<Signature>, header: Option<&[String]>, label: Option<&str>) -> Self {
        let find = |name: &str| header.and_then(|h| h.iter().position(|column| column == name));
        let columns = signature.features.iter().map(|f| find(&f.name)).collect();
        let label = label.map(|name| (name.to_owned(), find(name)));
        Self { signature: Arc::clone(signature), columns, label }
    }

    /// Returns whether the mapping is for this model.
    pub(super) fn is_for(&self, signature: &Arc<Signature>) -> bool {
        Arc::ptr_eq(&self.signature, signature)
    }

    /// Returns the cells of a row; calls `problem` for every cell that could not be read and is null instead.
    ///
    /// # Errors
    /// Why the row as a whole cannot be read.
    pub(super) fn map(&self, row: &RawRow, mut problem: impl FnMut(String)) -> Result<Mapped, String> {
        match &row.fields {
            Fields::Broken(why) => Err(format!("line {}: {why}", row.line)),
            Fields::Csv(record) => Ok(self.map_csv(row.line, record, &mut problem)),
            Fields::Json(object) => Ok(self.map_json(row.line, object, &mut problem)),
        }
    }

    fn map_csv(&self, line: u64, record: &csv::ByteRecord, problem: &mut impl FnMut(String)) -> Mapped {
        let mut cells = Vec::with_capacity(self.columns.len());
        for (feature, column) in self.signature.features.iter().zip(&self.columns) {
            let Some(column) = *column else {
                problem(format!("line {line}: the file has no column `{}`", feature.name));
                cells.push(Cell::Null);
                continue;
            };
            let place = || format!("line {line}, column {} (`{}`)", column + 1, feature.name);
            let cell = match record.get(column).map(std::str::from_utf8) {
                None => Err("is missing".to_owned()),
                Some(Err(_)) => Err("is not UTF-8".to_owned()),
                Some(Ok(text)) => of_text(&feature.kind, text.trim()),
            };
            cells.push(cell.unwrap_or_else(|why| {
                problem(format!("{}: the value {why}", place()));
                Cell::Null
            }));
        }
        let label = self.label.as_ref().and_then(|(_, column)| record.get((*column)?));
        let label = label.and_then(|l| std::str::from_utf8(l).ok()).map(str::trim).filter(|l| !l.is_empty());
        Mapped { cells, label: label.map(str::to_owned) }
    }

    fn map_json(&self, line: u64, object: &Map<String, Value>, problem: &mut impl FnMut(String)) -> Mapped {
        let mut cells = Vec::with_capacity(self.signature.features.len());
        for feature in &self.signature.features {
            let cell = match (object.get(&feature.name), &feature.kind) {
                (None, _) => Err("is missing".to_owned()),
                (Some(Value::Null), _) => Ok(Cell::Null),
                (Some(Value::Number(n)), FeatureKind::Numeric) => {
                    Ok(n.as_f64().map_or(Cell::Null, |n| Cell::of_number(&feature.kind, n as f32)))
                }
                (Some(Value::Bool(b)), FeatureKind::Numeric) => Ok(Cell::Number(f32::from(u8::from(*b)))),
                (Some(Value::String(text)), kind) => of_text(kind, text.trim()),
                (Some(value @ (Value::Number(_) | Value::Bool(_))), kind @ FeatureKind::Categorical(_)) => {
                    Ok(Cell::of_text(kind, &value.to_string()))
                }
                (Some(Value::Array(_) | Value::Object(_)), _) => Err("is an array or an object".to_owned()),
            };
            cells.push(cell.unwrap_or_else(|why| {
                problem(format!("line {line}, field `{}`: the value {why}", feature.name));
                Cell::Null
            }));
        }
        let label = self.label.as_ref().and_then(|(name, _)| object.get(name)).and_then(|value| match value {
            Value::String(text) => Some(text.trim().to_owned()),
            Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        });
        Mapped { cells, label }
    }
}

/// Reads a text field; the empty text is no value.
fn of_text(kind: &FeatureKind, text: &str) -> Result<Cell, String> {
    match kind {
        _ if text.is_empty() => Ok(Cell::Null),
        FeatureKind::Categorical(_) => Ok(Cell::of_text(kind, text)),
        FeatureKind::Numeric => match text.parse::<f32>() {
            Ok(number) => Ok(Cell::of_number(kind, number)),
            Err(_) => Err(format!("`{}` is no number", text.chars().take(40).collect::<String>())),
        },
    }
}
