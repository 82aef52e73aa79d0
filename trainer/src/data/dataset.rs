//! A table in memory: typed columns of one length and what is to be predicted.

use super::error::{DataError, listed};
use super::schema::{Feature, Kind};

/// The cells of one column.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Finite numbers; NaN where the cell is null.
    Numeric(Vec<f64>),
    /// Codes into the categories; `None` where the cell is null or not among them.
    Categorical {
        /// The texts in the order of their codes.
        categories: Vec<String>,
        /// One code per row.
        codes: Vec<Option<u32>>,
    },
}

/// A named column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The name in the header.
    pub name: String,
    /// The cells.
    pub values: Values,
}

impl Column {
    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        match &self.values {
            Values::Numeric(values) => values.len(),
            Values::Categorical { codes, .. } => codes.len(),
        }
    }

    /// Reports whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many cells are null (or unseen categories).
    pub fn nulls(&self) -> usize {
        match &self.values {
            Values::Numeric(values) => values.iter().filter(|v| v.is_nan()).count(),
            Values::Categorical { codes, .. } => codes.iter().filter(|c| c.is_none()).count(),
        }
    }

    /// Returns the name, kind and categories.
    pub fn feature(&self) -> Feature {
        let (kind, categories) = match &self.values {
            Values::Numeric(_) => (Kind::Numeric, Vec::new()),
            Values::Categorical { categories, .. } => (Kind::Categorical, categories.clone()),
        };
        Feature { name: self.name.clone(), kind, categories }
    }

    pub(super) fn select(&self, rows: &[usize]) -> Self {
        let values = match &self.values {
            Values::Numeric(values) => Values::Numeric(rows.iter().map(|&r| values[r]).collect()),
            Values::Categorical { categories, codes } => {
                Values::Categorical { categories: categories.clone(), codes: rows.iter().map(|&r| codes[r]).collect() }
            }
        };
        Self { name: self.name.clone(), values }
    }
}

/// What is to be predicted.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// Nothing: rows to predict on.
    Unknown,
    /// One of several classes.
    Class {
        /// Column name.
        name: String,
        /// Class names in the order of the output columns.
        classes: Vec<String>,
        /// Class of each row, an index into `classes`.
        index: Vec<u32>,
    },
    /// A quantity.
    Value {
        /// Column name.
        name: String,
        /// Value of each row, finite.
        values: Vec<f64>,
    },
}

impl Target {
    /// Returns the column name, if there is a label.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Unknown => None,
            Self::Class { name, .. } | Self::Value { name, .. } => Some(name),
        }
    }

    /// Returns the class names; empty unless the target is a class.
    pub fn classes(&self) -> &[String] {
        match self {
            Self::Class { classes, .. } => classes,
            Self::Unknown | Self::Value { .. } => &[],
        }
    }

    fn len(&self) -> Option<usize> {
        match self {
            Self::Unknown => None,
            Self::Class { index, .. } => Some(index.len()),
            Self::Value { values, .. } => Some(values.len()),
        }
    }

    fn select(&self, rows: &[usize]) -> Self {
        match self {
            Self::Unknown => Self::Unknown,
            Self::Class { name, classes, index } => Self::Class {
                name: name.clone(),
                classes: classes.clone(),
                index: rows.iter().map(|&r| index[r]).collect(),
            },
            Self::Value { name, values } => {
                Self::Value { name: name.clone(), values: rows.iter().map(|&r| values[r]).collect() }
            }
        }
    }
}

/// Columns of one length and the target; cannot be ragged.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    pub(super) features: Vec<Column>,
    pub(super) target: Target,
    pub(super) rows: usize,
}

impl Dataset {
    /// Returns a dataset of these columns.
    ///
    /// Errors: columns or target of different lengths.
    pub fn new(features: Vec<Column>, target: Target) -> Result<Self, DataError> {
        let rows = target.len().or_else(|| features.first().map(Column::len)).unwrap_or(0);
        match features.iter().find(|column| column.len() != rows) {
            Some(column) => Err(DataError::Ragged { name: column.name.clone(), found: column.len(), expected: rows }),
            None => Ok(Self { features, target, rows }),
        }
    }

    /// Returns the feature columns in the order of the input tensor.
    pub fn features(&self) -> &[Column] {
        &self.features
    }

    /// Returns what is to be predicted.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the column of that name.
    ///
    /// Errors: there is none.
    pub fn column(&self, name: &str) -> Result<&Column, DataError> {
        self.features.iter().find(|column| column.name == name).ok_or_else(|| self.no_such(name))
    }

    pub(super) fn no_such(&self, name: &str) -> DataError {
        DataError::NoSuchColumn { name: name.to_owned(), known: listed(self.features.iter().map(|c| c.name.as_str())) }
    }

    /// Returns the rows at these places, in this order; places must be below [`Self::rows`].
    pub(super) fn select(&self, rows: &[usize]) -> Self {
        Self {
            features: self.features.iter().map(|column| column.select(rows)).collect(),
            target: self.target.select(rows),
            rows: rows.len(),
        }
    }
}
