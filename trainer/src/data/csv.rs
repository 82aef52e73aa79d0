//! Reading CSV: bytes to typed columns, with every mistake named by line and column.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use csv::{ByteRecord, ReaderBuilder};

use super::dataset::{Column, Dataset, Target, Values};
use super::error::{DataError, check_length, listed, shorten};
use super::schema::{Feature, Kind, is_null, number, sort_names};
use crate::limits;

/// Which column is to be predicted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Label {
    /// None: rows to predict on.
    #[default]
    None,
    /// The column of this name, as classes.
    Class(String),
    /// The column of this name, as a quantity.
    Value(String),
}

/// How to read a CSV file.
#[derive(Debug, Clone)]
pub struct CsvOptions {
    /// Which column is to be predicted.
    pub label: Label,
    /// Data rows to keep (first row 0, end not included); all if `None`.
    pub rows: Option<Range<usize>>,
    /// Columns to leave out.
    pub drop: Vec<String>,
    /// Kinds that are declared and not inferred.
    pub kinds: BTreeMap<String, Kind>,
    /// Features of an existing model: kinds and categories come from here, so that codes agree.
    /// Texts that are not among the categories read as null.
    pub features: Vec<Feature>,
    /// The byte between cells.
    pub delimiter: u8,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            label: Label::None,
            rows: None,
            drop: Vec::new(),
            kinds: BTreeMap::new(),
            features: Vec::new(),
            delimiter: b',',
        }
    }
}

impl CsvOptions {
    /// Returns options that predict the classes of a column.
    pub fn classes(label: &str) -> Self {
        Self { label: Label::Class(label.to_owned()), ..Self::default() }
    }

    /// Returns options that predict the quantity in a column.
    pub fn values(label: &str) -> Self {
        Self { label: Label::Value(label.to_owned()), ..Self::default() }
    }
}

/// Returns the table in a CSV file.
///
/// Limits: [`limits::MAX_CSV_BYTES`], [`limits::MAX_COLUMNS`], [`limits::MAX_CELLS`].
/// Errors: see [`DataError`]; each names the line and the column.
pub fn read_csv(path: &Path, options: &CsvOptions) -> Result<Dataset, DataError> {
    let file = path.display().to_string();
    let read = |cause| DataError::Read { file: file.clone(), cause };
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .map_err(read)?
        .take(limits::MAX_CSV_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(read)?;
    parse_csv(&bytes, &file, options)
}

/// Returns the table in the bytes of a CSV file; `file` is its name in messages.
///
/// Limits and errors: as [`read_csv`].
pub fn parse_csv(bytes: &[u8], file: &str, options: &CsvOptions) -> Result<Dataset, DataError> {
    let too_large = |limit, unit| DataError::TooLarge { file: file.to_owned(), limit, unit };
    if bytes.len() > limits::MAX_CSV_BYTES {
        return Err(too_large(limits::MAX_CSV_BYTES, "bytes"));
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(DataError::Empty { file: file.to_owned() });
    }
    let mut table = Table::open(bytes, file, options)?;
    let mut surveys: Vec<Survey> = vec![Survey::default(); table.names.len()];
    let rows = table.survey(&mut surveys, options)?;
    table.drop_row_number(&surveys)?;
    let plans = table.plan(surveys, options)?;
    table.build(plans, rows, options)
}

/// A cell's place, for messages.
#[derive(Clone, Copy)]
struct Place<'a> {
    file: &'a str,
    line: u64,
    column: usize,
}

/// The file with its header read.
struct Table<'a> {
    bytes: &'a [u8],
    file: &'a str,
    delimiter: u8,
    /// Header names; `None` for columns that are left out.
    names: Vec<Option<String>>,
    /// Whether the first column has no name and may turn out to be the row number.
    unnamed_first: bool,
}

/// What the first pass learns about one column.
#[derive(Debug, Clone, Default)]
struct Survey {
    numbers: usize,
    texts: usize,
    /// The first cell that is no number, and its line.
    first_text: Option<(u64, String)>,
    distinct: BTreeSet<String>,
    /// Whether a distinct value was left out because there are too many.
    overflow: bool,
    /// Whether the cells so far count up by one; the last of them.
    counting: Option<i64>,
    not_counting: bool,
}

/// How the second pass reads one column.
enum Plan {
    Skip,
    Numeric(Vec<f64>),
    Codes { categories: Vec<String>, lookup: BTreeMap<String, u32>, codes: Vec<Option<u32>> },
    ClassLabel { classes: Vec<String>, lookup: BTreeMap<String, u32>, index: Vec<u32> },
    ValueLabel(Vec<f64>),
}

impl<'a> Table<'a> {
    fn open(bytes: &'a [u8], file: &'a str, options: &CsvOptions) -> Result<Self, DataError> {
        let mut table = Self { bytes, file, delimiter: options.delimiter, names: Vec::new(), unnamed_first: false };
        let mut header = ByteRecord::new();
        if !table.reader().read_byte_record(&mut header).map_err(|e| table.csv_error(e))? {
            return Err(DataError::Empty { file: file.to_owned() });
        }
        if header.len() > limits::MAX_COLUMNS {
            let limit = limits::MAX_COLUMNS;
            return Err(DataError::TooLarge { file: file.into(), limit, unit: "columns" });
        }
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut all_numbers = true;
        for (at, cell) in header.iter().enumerate() {
            let name = text(Place { file, line: 1, column: at + 1 }, cell)?;
            all_numbers &= number(name).is_some();
            check_length(file, 1, || format!("name {}", at + 1), name, limits::MAX_NAME_BYTES)?;
            if name.is_empty() && at > 0 {
                return Err(DataError::UnnamedColumn { file: file.into(), column: at + 1 });
            }
            table.unnamed_first |= name.is_empty();
            if let Some(first) = seen.insert(name.to_owned(), at + 1) {
                return Err(DataError::DuplicateColumn { file: file.into(), name: name.into(), first, second: at + 1 });
            }
            table.names.push(Some(name.to_owned()));
        }
        if all_numbers {
            return Err(DataError::MissingHeader { file: file.into() });
        }
        let label = match &options.label {
            Label::None => None,
            Label::Class(name) | Label::Value(name) => Some(name),
        };
        for name in options.drop.iter().chain(label).chain(options.kinds.keys()) {
            if !seen.contains_key(name) {
                return Err(table.no_such(name));
            }
        }
        for feature in &options.features {
            if !seen.contains_key(&feature.name) {
                return Err(table.no_such(&feature.name));
            }
        }
        let dropped: BTreeSet<&String> = options.drop.iter().collect();
        for name in &mut table.names {
            *name = name.take().filter(|n| !dropped.contains(n));
        }
        Ok(table)
    }

    fn reader(&self) -> csv::Reader<&'a [u8]> {
        ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .delimiter(self.delimiter)
            .from_reader(self.bytes)
    }

    /// Calls `each` with (row number, line, record) for the rows asked for; returns how many.
    fn rows(
        &self,
        range: Option<&Range<usize>>,
        mut each: impl FnMut(u64, &ByteRecord) -> Result<(), DataError>,
    ) -> Result<usize, DataError> {
        let mut reader = self.reader();
        let mut record = ByteRecord::new();
        let (mut row, mut kept) = (0usize, 0usize);
        let mut header = true;
        while reader.read_byte_record(&mut record).map_err(|e| self.csv_error(e))? {
            if std::mem::take(&mut header) {
                continue;
            }
            let line = record.position().map_or(0, |at| self.line_of(at));
            if record.len() != self.names.len() {
                return Err(DataError::FieldCount {
                    file: self.file.to_owned(),
                    line,
                    found: record.len(),
                    expected: self.names.len(),
                });
            }
            if range.is_none_or(|r| r.contains(&row)) {
                kept += 1;
                if kept.saturating_mul(self.names.len()) > limits::MAX_CELLS {
                    return Err(DataError::TooLarge {
                        file: self.file.to_owned(),
                        limit: limits::MAX_CELLS,
                        unit: "cells",
                    });
                }
                each(line, &record)?;
            }
            row += 1;
        }
        match range {
            _ if row == 0 => Err(DataError::NoRows { file: self.file.to_owned() }),
            Some(r) if r.start >= r.end || r.end > row => Err(DataError::NoSuchRows { asked: r.clone(), rows: row }),
            _ => Ok(kept),
        }
    }

    /// Returns the line a record starts on: the library's position may still be on the line
    /// ends before it.
    fn line_of(&self, position: &csv::Position) -> u64 {
        let rest = usize::try_from(position.byte()).ok().and_then(|at| self.bytes.get(at..));
        let ends = rest.unwrap_or_default().iter().take_while(|b| matches!(b, b'\r' | b'\n'));
        position.line() + ends.filter(|&&b| b == b'\n').count() as u64
    }

    fn survey(&self, surveys: &mut [Survey], options: &CsvOptions) -> Result<usize, DataError> {
        self.rows(options.rows.as_ref(), |line, record| {
            for (at, survey) in surveys.iter_mut().enumerate() {
                if self.names[at].is_none() {
                    continue;
                }
                let place = Place { file: self.file, line, column: at + 1 };
                survey.see(line, text(place, &record[at])?);
            }
            Ok(())
        })
    }

    /// Leaves out a first column without a name if it counts rows.
    fn drop_row_number(&mut self, surveys: &[Survey]) -> Result<(), DataError> {
        if self.unnamed_first {
            let counts = surveys.first().is_some_and(|s| !s.not_counting && s.texts == 0);
            if !counts {
                return Err(DataError::UnnamedColumn { file: self.file.to_owned(), column: 1 });
            }
            self.names[0] = None;
        }
        Ok(())
    }

    fn plan(&self, surveys: Vec<Survey>, options: &CsvOptions) -> Result<Vec<Plan>, DataError> {
        let known: BTreeMap<&str, &Feature> = options.features.iter().map(|f| (f.name.as_str(), f)).collect();
        let mut plans = Vec::with_capacity(surveys.len());
        for (survey, name) in surveys.into_iter().zip(&self.names) {
            let Some(name) = name else {
                plans.push(Plan::Skip);
                continue;
            };
            let plan = match &options.label {
                Label::Class(label) if label == name => self.class_label(name, survey)?,
                Label::Value(label) if label == name => Plan::ValueLabel(Vec::new()),
                _ => match known.get(name.as_str()) {
                    Some(feature) => planned(feature.kind, feature.categories.clone()),
                    None if known.is_empty() => self.inferred(name, survey, options)?,
                    None => Plan::Skip,
                },
            };
            plans.push(plan);
        }
        Ok(plans)
    }

    fn class_label(&self, name: &str, survey: Survey) -> Result<Plan, DataError> {
        if survey.overflow || survey.distinct.len() > limits::MAX_CLASSES {
            return Err(DataError::TooManyClasses {
                file: self.file.to_owned(),
                column: name.to_owned(),
                limit: limits::MAX_CLASSES,
            });
        }
        let classes = self.names_of(name, survey)?;
        let lookup = lookup(&classes);
        Ok(Plan::ClassLabel { classes, lookup, index: Vec::new() })
    }

    fn inferred(&self, name: &str, survey: Survey, options: &CsvOptions) -> Result<Plan, DataError> {
        let kind = match options.kinds.get(name) {
            Some(kind) => *kind,
            None => survey.kind(),
        };
        match kind {
            Kind::Numeric => match survey.first_text {
                Some((line, cell)) => {
                    Err(DataError::NotANumber { file: self.file.to_owned(), line, column: name.to_owned(), cell })
                }
                None => Ok(planned(Kind::Numeric, Vec::new())),
            },
            Kind::Categorical if survey.overflow => Err(DataError::TooManyCategories {
                file: self.file.to_owned(),
                column: name.to_owned(),
                limit: limits::MAX_CATEGORIES,
            }),
            Kind::Categorical => Ok(planned(Kind::Categorical, self.names_of(name, survey)?)),
        }
    }

    fn names_of(&self, column: &str, survey: Survey) -> Result<Vec<String>, DataError> {
        let mut names: Vec<String> = survey.distinct.into_iter().collect();
        for name in &names {
            let what = || format!("a value of column {column:?}");
            check_length(self.file, 1, what, name, limits::MAX_CATEGORY_BYTES)?;
        }
        sort_names(&mut names);
        Ok(names)
    }

    fn build(&self, mut plans: Vec<Plan>, rows: usize, options: &CsvOptions) -> Result<Dataset, DataError> {
        self.rows(options.rows.as_ref(), |line, record| {
            for (at, plan) in plans.iter_mut().enumerate() {
                let Some(name) = self.names[at].as_deref() else { continue };
                let place = Place { file: self.file, line, column: at + 1 };
                plan.read(place, name, text(place, &record[at])?)?;
            }
            Ok(())
        })?;
        let mut columns: Vec<Column> = Vec::new();
        let mut target = Target::Unknown;
        for (plan, name) in plans.into_iter().zip(&self.names) {
            let Some(name) = name.clone() else { continue };
            let values = match plan {
                Plan::Skip => continue,
                Plan::Numeric(values) => Values::Numeric(values),
                Plan::Codes { categories, codes, .. } => Values::Categorical { categories, codes },
                Plan::ClassLabel { classes, index, .. } => {
                    target = Target::Class { name, classes, index };
                    continue;
                }
                Plan::ValueLabel(values) => {
                    target = Target::Value { name, values };
                    continue;
                }
            };
            columns.push(Column { name, values });
        }
        // An existing model's features come in its order, whatever the order in the file.
        let place = |column: &Column| options.features.iter().position(|f| f.name == column.name);
        columns.sort_by_key(place);
        debug_assert!(columns.iter().all(|c| c.len() == rows));
        Dataset::new(columns, target)
    }

    fn no_such(&self, name: &str) -> DataError {
        let known = listed(self.names.iter().flatten().map(String::as_str));
        DataError::NoSuchColumn { name: name.to_owned(), known }
    }

    /// Turns an error of the CSV library into ours; reading from memory, only I/O can fail.
    fn csv_error(&self, cause: csv::Error) -> DataError {
        DataError::Read { file: self.file.to_owned(), cause: std::io::Error::other(cause) }
    }
}

impl Survey {
    fn see(&mut self, line: u64, cell: &str) {
        if is_null(cell) {
            self.not_counting = true;
            return;
        }
        match number(cell) {
            Some(_) => self.numbers += 1,
            None => {
                self.texts += 1;
                self.first_text.get_or_insert_with(|| (line, shorten(cell)));
            }
        }
        let whole: Option<i64> = cell.parse().ok();
        self.not_counting |= match (whole, self.counting) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(now), Some(last)) => last.checked_add(1) != Some(now),
        };
        self.counting = whole;
        if !self.distinct.contains(cell) {
            if self.distinct.len() < limits::MAX_CATEGORIES {
                self.distinct.insert(cell.to_owned());
            } else {
                self.overflow = true;
            }
        }
    }

    fn kind(&self) -> Kind {
        let share = self.numbers as f64 / (self.numbers + self.texts).max(1) as f64;
        if self.texts == 0 || share >= limits::NUMERIC_SHARE { Kind::Numeric } else { Kind::Categorical }
    }
}

impl Plan {
    fn read(&mut self, place: Place<'_>, name: &str, cell: &str) -> Result<(), DataError> {
        let not_a_number = || DataError::NotANumber {
            file: place.file.to_owned(),
            line: place.line,
            column: name.to_owned(),
            cell: shorten(cell),
        };
        let missing_label =
            || DataError::MissingLabel { file: place.file.to_owned(), line: place.line, column: name.to_owned() };
        match self {
            Self::Skip => {}
            Self::Numeric(values) if is_null(cell) => values.push(f64::NAN),
            Self::Numeric(values) => values.push(number(cell).ok_or_else(not_a_number)?),
            Self::Codes { lookup, codes, .. } => codes.push(lookup.get(cell).copied()),
            Self::ClassLabel { lookup, index, .. } => {
                index.push(lookup.get(cell).copied().ok_or_else(missing_label)?);
            }
            Self::ValueLabel(_) if is_null(cell) => return Err(missing_label()),
            Self::ValueLabel(values) => values.push(number(cell).ok_or_else(not_a_number)?),
        }
        Ok(())
    }
}

fn planned(kind: Kind, categories: Vec<String>) -> Plan {
    match kind {
        Kind::Numeric => Plan::Numeric(Vec::new()),
        Kind::Categorical => Plan::Codes { lookup: lookup(&categories), categories, codes: Vec::new() },
    }
}

fn lookup(names: &[String]) -> BTreeMap<String, u32> {
    names.iter().cloned().zip(0u32..).collect()
}

fn text<'c>(place: Place<'_>, cell: &'c [u8]) -> Result<&'c str, DataError> {
    std::str::from_utf8(cell).map_err(|_| DataError::NotUtf8 {
        file: place.file.to_owned(),
        line: place.line,
        column: place.column,
    })
}
