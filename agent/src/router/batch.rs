//! Rows as an application hands them in: what the model sees and what the statistics count come from the same cells.

use std::borrow::Cow;
use std::sync::Arc;

use pinnace_protocol::manifest::{FeatureKind, Signature};
use pinnace_protocol::sketch::{self, Value};

use crate::engine::Matrix;

/// One value of one row.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Cell {
    /// No value; the model sees NaN.
    #[default]
    Null,
    /// A number.
    Number(f32),
    /// A text that the feature lists: its index.
    Category(u16),
    /// Any other text; the model sees NaN, the statistics count it as unseen or mistyped.
    Text(Box<str>),
}

impl Cell {
    /// Returns the cell for a text: its category, when the feature lists it; the empty text is no value.
    pub fn of_text(kind: &FeatureKind, text: &str) -> Self {
        if text.is_empty() {
            return Self::Null;
        }
        let listed = match kind {
            FeatureKind::Categorical(list) => list.iter().position(|c| c == text).and_then(|i| u16::try_from(i).ok()),
            FeatureKind::Numeric => None,
        };
        listed.map_or_else(|| Self::Text(text.into()), Self::Category)
    }

    /// Returns the cell for a number as it would stand in the input tensor: NaN is no value, and for a listed
    /// feature the number is an index.
    pub fn of_number(kind: &FeatureKind, number: f32) -> Self {
        match kind {
            _ if number.is_nan() => Self::Null,
            FeatureKind::Numeric => Self::Number(number),
            FeatureKind::Categorical(list) => {
                let index = number as u16;
                let exact = f32::from(index) == number && usize::from(index) < list.len();
                if exact { Self::Category(index) } else { Self::Number(number) }
            }
        }
    }
}

/// Rows for one request, with the signature they were read by.
#[derive(Debug, Clone)]
pub struct Batch {
    signature: Arc<Signature>,
    cells: Vec<Cell>,
    matrix: Matrix,
}

impl Batch {
    /// Returns a batch over cells, row by row; `None` when they do not make whole rows, or no row at all.
    pub fn new(signature: &Arc<Signature>, cells: Vec<Cell>) -> Option<Self> {
        let columns = signature.features.len();
        let values = cells.iter().map(in_tensor).collect();
        let matrix = Matrix::new(columns, values).ok().filter(|m| m.rows() > 0)?;
        Some(Self { signature: Arc::clone(signature), cells, matrix })
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.matrix.rows()
    }

    /// Returns the input tensor for a model with this signature.
    ///
    /// A model with other features takes its columns by name; what the application did not send is NaN.
    pub(super) fn matrix_for(&self, signature: &Signature) -> Cow<'_, Matrix> {
        if signature.features == self.signature.features {
            return Cow::Borrowed(&self.matrix);
        }
        let cells = self.translate(signature);
        let values = cells.iter().map(in_tensor).collect();
        Cow::Owned(Matrix::new(signature.features.len(), values).unwrap_or_default())
    }

    /// Returns the cells as a model with another signature would have read them.
    fn translate(&self, signature: &Signature) -> Vec<Cell> {
        let columns: Vec<Option<usize>> = signature
            .features
            .iter()
            .map(|f| self.signature.features.iter().position(|mine| mine.name == f.name))
            .collect();
        let width = self.signature.features.len();
        let mut cells = Vec::with_capacity(self.rows() * columns.len());
        for row in self.cells.chunks_exact(width) {
            for (feature, column) in signature.features.iter().zip(&columns) {
                cells.push(match column.map(|c| (&row[c], c)) {
                    None | Some((Cell::Null, _)) => Cell::Null,
                    Some((Cell::Number(n), _)) => Cell::of_number(&feature.kind, *n),
                    Some((cell, c)) => Cell::of_text(&feature.kind, text_of(cell, &self.signature, c).unwrap_or("")),
                });
            }
        }
        cells
    }

    /// Calls `count` with each row's values for the statistics of a model with this signature; never allocates when
    /// the rows were read by the same features.
    ///
    /// Rows wider than a profile may be are not counted: no profile fits them.
    pub(super) fn for_each_row(&self, signature: &Signature, mut count: impl FnMut(&[Value<'_>])) {
        let translated;
        let (cells, owner) = if signature.features == self.signature.features {
            (&self.cells, &*self.signature)
        } else {
            translated = self.translate(signature);
            (&translated, signature)
        };
        let width = owner.features.len();
        let mut space = [Value::Null; sketch::limits::MAX_FEATURES];
        let Some(values) = space.get_mut(..width) else { return };
        for row in cells.chunks_exact(width) {
            for (column, (value, cell)) in values.iter_mut().zip(row).enumerate() {
                *value = match cell {
                    Cell::Null => Value::Null,
                    Cell::Number(n) => Value::from(*n),
                    Cell::Category(_) | Cell::Text(_) => text_of(cell, owner, column).map_or(Value::Null, Value::Cat),
                };
            }
            count(values);
        }
    }
}

fn text_of<'a>(cell: &'a Cell, signature: &'a Signature, column: usize) -> Option<&'a str> {
    match cell {
        Cell::Text(text) => Some(text),
        Cell::Category(index) => match &signature.features.get(column)?.kind {
            FeatureKind::Categorical(list) => list.get(usize::from(*index)).map(String::as_str),
            FeatureKind::Numeric => None,
        },
        Cell::Null | Cell::Number(_) => None,
    }
}

fn in_tensor(cell: &Cell) -> f32 {
    match cell {
        Cell::Null | Cell::Text(_) => f32::NAN,
        Cell::Number(n) => *n,
        Cell::Category(index) => f32::from(*index),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinnace_protocol::manifest::{Feature, Task};

    fn signature(features: &[(&str, FeatureKind)]) -> Arc<Signature> {
        let feature = |(name, kind): &(&str, FeatureKind)| Feature {
            name: (*name).into(),
            kind: kind.clone(),
            unit: String::new(),
        };
        Arc::new(Signature {
            task: Task::Regression,
            input: "x".into(),
            output: "y".into(),
            label_output: None,
            classes: vec![],
            features: features.iter().map(feature).collect(),
        })
    }

    fn colours(list: &[&str]) -> FeatureKind {
        FeatureKind::Categorical(list.iter().map(|c| (*c).into()).collect())
    }

    #[test]
    fn a_model_with_other_features_takes_its_columns_by_name_and_its_categories_by_text() {
        let old = signature(&[("heat", FeatureKind::Numeric), ("colour", colours(&["red", "blue"]))]);
        let new = signature(&[
            ("colour", colours(&["blue", "red"])),
            ("wind", FeatureKind::Numeric),
            ("heat", FeatureKind::Numeric),
        ]);
        let colour = &old.features[1].kind;
        let cells = vec![Cell::Number(3.0), Cell::of_text(colour, "blue"), Cell::Null, Cell::of_text(colour, "pink")];
        let batch = Batch::new(&old, cells).unwrap();
        assert_eq!(batch.matrix_for(&old).row(0), [3.0, 1.0]);
        let seen = batch.matrix_for(&new);
        assert_eq!((seen.row(0)[0], seen.row(0)[2]), (0.0, 3.0));
        assert!(seen.row(0)[1].is_nan() && seen.row(1).iter().all(|v| v.is_nan()));
        let mut counted = Vec::new();
        batch.for_each_row(&new, |row| counted.push(format!("{row:?}")));
        assert_eq!(counted, [r#"[Cat("blue"), Null, Num(3.0)]"#, r#"[Cat("pink"), Null, Null]"#]);
    }

    #[test]
    fn a_number_for_a_listed_feature_is_an_index_and_nan_is_no_value() {
        let kind = colours(&["red", "blue"]);
        assert_eq!(Cell::of_number(&kind, 1.0), Cell::Category(1));
        assert_eq!(Cell::of_number(&kind, 2.0), Cell::Number(2.0));
        assert_eq!(Cell::of_number(&kind, -1.0), Cell::Number(-1.0));
        assert_eq!(Cell::of_number(&kind, f32::NAN), Cell::Null);
        assert!(Batch::new(&signature(&[("a", FeatureKind::Numeric)]), vec![]).is_none());
    }
}
