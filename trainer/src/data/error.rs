//! What can be wrong with a table, where, and what to do about it.

use std::ops::Range;

use thiserror::Error;

use crate::limits;

/// Says what was wrong with a table and where; [`DataError::hint`] says what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// The file could not be read.
    #[error("cannot read {file}: {cause}")]
    Read {
        /// Path as given.
        file: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The file is over a limit.
    #[error("{file} is too large: more than {limit} {unit}")]
    TooLarge {
        /// Path as given.
        file: String,
        /// The limit, in `unit`.
        limit: usize,
        /// bytes, columns or cells.
        unit: &'static str,
    },
    /// The file has no bytes.
    #[error("{file} is empty")]
    Empty {
        /// Path as given.
        file: String,
    },
    /// The file has a header and nothing else.
    #[error("{file} has a header but no rows")]
    NoRows {
        /// Path as given.
        file: String,
    },
    /// The first line holds numbers only.
    #[error("{file} has no header: line 1 holds only numbers")]
    MissingHeader {
        /// Path as given.
        file: String,
    },
    /// A header cell is empty and the column is not a row index.
    #[error("{file}, line 1: column {column} has no name")]
    UnnamedColumn {
        /// Path as given.
        file: String,
        /// One-based position.
        column: usize,
    },
    /// Two columns share a name.
    #[error("{file}, line 1: columns {first} and {second} are both named {name:?}")]
    DuplicateColumn {
        /// Path as given.
        file: String,
        /// The shared name.
        name: String,
        /// One-based position of the first.
        first: usize,
        /// One-based position of the second.
        second: usize,
    },
    /// A name is too long to travel in a bundle.
    #[error("{file}, line {line}: {what} is longer than {limit} bytes")]
    TooLong {
        /// Path as given.
        file: String,
        /// One-based line.
        line: u64,
        /// What is too long, with its column.
        what: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// A row has another number of fields than the header.
    #[error("{file}, line {line}: {found} fields where the header has {expected}")]
    FieldCount {
        /// Path as given.
        file: String,
        /// One-based line.
        line: u64,
        /// Fields in this row.
        found: usize,
        /// Fields in the header.
        expected: usize,
    },
    /// A cell of a numeric column is no finite number.
    #[error("{file}, line {line}, column {column:?}: {cell:?} is not a finite number")]
    NotANumber {
        /// Path as given.
        file: String,
        /// One-based line.
        line: u64,
        /// Column name.
        column: String,
        /// The cell, shortened.
        cell: String,
    },
    /// A cell or name is not UTF-8.
    #[error("{file}, line {line}, column {column}: not UTF-8 text")]
    NotUtf8 {
        /// Path as given.
        file: String,
        /// One-based line.
        line: u64,
        /// One-based position.
        column: usize,
    },
    /// A text column has too many distinct values to be a category.
    #[error("{file}, column {column:?}: more than {limit} distinct texts")]
    TooManyCategories {
        /// Path as given.
        file: String,
        /// Column name.
        column: String,
        /// The limit.
        limit: usize,
    },
    /// The label has too many distinct values to be classes.
    #[error("{file}, label {column:?}: more than {limit} classes")]
    TooManyClasses {
        /// Path as given.
        file: String,
        /// Column name.
        column: String,
        /// The limit.
        limit: usize,
    },
    /// A row has no label.
    #[error("{file}, line {line}: the label {column:?} is missing")]
    MissingLabel {
        /// Path as given.
        file: String,
        /// One-based line.
        line: u64,
        /// Column name.
        column: String,
    },
    /// A column that was asked for does not exist.
    #[error("no column {name:?}; there are: {known}")]
    NoSuchColumn {
        /// The name asked for.
        name: String,
        /// The names there are, shortened.
        known: String,
    },
    /// Rows outside the table were asked for.
    #[error("rows {}..{} asked for, but there are {rows} rows", asked.start, asked.end)]
    NoSuchRows {
        /// The range asked for, first row 0, end not included.
        asked: Range<usize>,
        /// Rows there are.
        rows: usize,
    },
    /// A share that is not between 0 and 1.
    #[error("a holdout share of {share} is not strictly between 0 and 1, or leaves a side empty")]
    Share {
        /// The share asked for.
        share: f64,
    },
    /// Columns of different lengths were put together.
    #[error("column {name:?} has {found} rows where others have {expected}")]
    Ragged {
        /// The column.
        name: String,
        /// Its rows.
        found: usize,
        /// The rows of the others.
        expected: usize,
    },
}

impl DataError {
    /// Returns what to do about it, in one sentence.
    pub fn hint(&self) -> String {
        match self {
            Self::Read { .. } => "check the path and its permissions".into(),
            Self::TooLarge { .. } => "split the file, or leave columns out before training".into(),
            Self::Empty { .. } => "the file needs a header line and at least one row; was it written fully?".into(),
            Self::NoRows { .. } => "add rows, or check the query that wrote the file".into(),
            Self::MissingHeader { .. } => "add a first line that names the columns".into(),
            Self::UnnamedColumn { .. } => {
                "name the column in line 1 (only a first column that counts up by one may go \
                 without a name: it is taken as the row number and left out)"
                    .into()
            }
            Self::DuplicateColumn { .. } => "rename one of them in line 1".into(),
            Self::TooLong { .. } => "shorten it, or drop the column".into(),
            Self::FieldCount { found, expected, .. } if found > expected => {
                "a comma inside a text needs the text in double quotes".into()
            }
            Self::FieldCount { .. } => "the line is cut off, or a double quote before it was never closed".into(),
            Self::NotANumber { column, .. } => format!(
                "correct the cell, leave it empty if the value is unknown, or declare {column:?} \
                 as categorical"
            ),
            Self::NotUtf8 { .. } => "save the file as UTF-8, e.g. iconv -f latin1 -t utf8 old.csv > new.csv".into(),
            Self::TooManyCategories { column, .. } => {
                format!("{column:?} looks like free text or an identifier: drop it")
            }
            Self::TooManyClasses { .. } => {
                "if the label is a quantity, train a regression (label kind \"value\")".into()
            }
            Self::MissingLabel { .. } => "remove rows without a label before training".into(),
            Self::NoSuchColumn { .. } => "check the spelling against line 1 of the file".into(),
            Self::NoSuchRows { rows, .. } => {
                format!("rows count from 0 and the end is not included: use a range within 0..{rows}")
            }
            Self::Share { .. } => "use a share such as 0.2".into(),
            Self::Ragged { .. } => "give every column the same number of rows".into(),
        }
    }
}

/// Returns `cell` cut to a length that fits a message.
pub(super) fn shorten(cell: &str) -> String {
    const SHOWN: usize = 40;
    match cell.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &cell[..at]),
        None => cell.to_owned(),
    }
}

/// Returns names in a list that fits a message.
pub(super) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 20;
    let names: Vec<&str> = names.take(SHOWN + 1).collect();
    let more = if names.len() > SHOWN { ", …" } else { "" };
    names[..names.len().min(SHOWN)].join(", ") + more
}

/// Returns the error for a name over its limit, or nothing.
pub(super) fn check_length(
    file: &str,
    line: u64,
    what: impl FnOnce() -> String,
    text: &str,
    limit: usize,
) -> Result<(), DataError> {
    debug_assert!(limit <= limits::MAX_CATEGORY_BYTES.max(limits::MAX_NAME_BYTES));
    if text.len() > limit {
        return Err(DataError::TooLong { file: file.into(), line, what: what(), limit });
    }
    Ok(())
}
