//! Reads rows of a file one by one, in bounded memory.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::config::Format;
use super::error::SourceError;
use super::limits;

/// One row as it stands in the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RawRow {
    /// Index among the data rows, from 0.
    pub(super) index: u64,
    /// Line in the file, from 1.
    pub(super) line: u64,
    pub(super) fields: Fields,
}

/// A row's fields.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fields {
    /// By column, as bytes.
    Csv(csv::ByteRecord),
    /// By name.
    Json(Map<String, Value>),
    /// Not readable; why.
    Broken(String),
}

/// Reads a file row by row.
pub(super) enum Reader {
    Csv { rows: Box<csv::Reader<Metered<File>>>, header: Vec<String>, budget: Rc<Cell<u64>>, next: u64 },
    Ndjson { lines: BufReader<File>, next: u64, line: u64 },
}

/// Ends with an error when one row takes more bytes than its budget.
pub(super) struct Metered<R> {
    inner: R,
    budget: Rc<Cell<u64>>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        match self.budget.get().checked_sub(read as u64) {
            Some(left) => self.budget.set(left),
            None => {
                let why = format!("a row of more than {} bytes", limits::ROW_MAX_BYTES);
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
        }
        Ok(read)
    }
}

impl Reader {
    /// Opens a file and reads its header.
    pub(super) fn open(path: &Path, format: Format) -> Result<Self, SourceError> {
        let fail = |source| SourceError::Read { path: path.to_path_buf(), line: 0, source };
        let file = File::open(path).map_err(fail)?;
        if format == Format::Ndjson {
            return Ok(Self::Ndjson { lines: BufReader::new(file), next: 0, line: 0 });
        }
        let budget = Rc::new(Cell::new(limits::ROW_MAX_BYTES as u64));
        let metered = Metered { inner: file, budget: Rc::clone(&budget) };
        let mut rows = csv::ReaderBuilder::new().flexible(true).from_reader(metered);
        let header = rows.byte_headers().map_err(|e| fail(e.into()))?.clone();
        let header = read_header(&header).map_err(|why| SourceError::Header { path: path.to_path_buf(), why })?;
        Ok(Self::Csv { rows: Box::new(rows), header, budget, next: 0 })
    }

    /// Returns the names of the columns; none for NDJSON, where each row names its own.
    pub(super) fn header(&self) -> Option<&[String]> {
        match self {
            Self::Csv { header, .. } => Some(header),
            Self::Ndjson { .. } => None,
        }
    }

    /// Returns the next row; none at the end of the file.
    ///
    /// # Errors
    /// The line and what the system said, when the file cannot be read on.
    pub(super) fn next_row(&mut self) -> Result<Option<RawRow>, (u64, io::Error)> {
        match self {
            Self::Csv { rows, budget, next, .. } => {
                budget.set(limits::ROW_MAX_BYTES as u64);
                let line = rows.position().line();
                let mut record = csv::ByteRecord::new();
                if !rows.read_byte_record(&mut record).map_err(|e| (line, e.into()))? {
                    return Ok(None);
                }
                let line = record.position().map_or(line, csv::Position::line);
                let index = *next;
                *next += 1;
                Ok(Some(RawRow { index, line, fields: Fields::Csv(record) }))
            }
            Self::Ndjson { lines, next, line } => loop {
                *line += 1;
                let Some(text) = read_line(lines).map_err(|e| (*line, e))? else { return Ok(None) };
                if text.as_ref().is_ok_and(|t| t.trim_ascii().is_empty()) {
                    continue;
                }
                let fields = match text {
                    Ok(text) => match serde_json::from_slice::<Value>(&text) {
                        Ok(Value::Object(object)) => Fields::Json(object),
                        Ok(_) => Fields::Broken("it is no JSON object".into()),
                        Err(error) => Fields::Broken(error.to_string()),
                    },
                    Err(why) => Fields::Broken(why),
                };
                let index = *next;
                *next += 1;
                return Ok(Some(RawRow { index, line: *line, fields }));
            },
        }
    }
}

fn read_header(header: &csv::ByteRecord) -> Result<Vec<String>, String> {
    if header.is_empty() || header.len() > limits::COLUMNS_MAX {
        return Err(format!("{} columns, 1 to {} are read", header.len(), limits::COLUMNS_MAX));
    }
    let mut names: Vec<String> = Vec::with_capacity(header.len());
    for (index, field) in header.iter().enumerate() {
        // A byte order mark belongs to the file, not to the first name.
        let field = if index == 0 { field.strip_prefix(b"\xef\xbb\xbf").unwrap_or(field) } else { field };
        let name = std::str::from_utf8(field).map_err(|_| format!("column {} is not UTF-8", index + 1))?.trim();
        if !name.is_empty() && names.iter().any(|known| known == name) {
            return Err(format!("the column `{name}` is there twice"));
        }
        names.push(name.into());
    }
    Ok(names)
}

/// Reads one line; inner error for one that is too long, which is skipped to its end.
fn read_line(lines: &mut impl BufRead) -> io::Result<Option<Result<Vec<u8>, String>>> {
    let mut text = Vec::new();
    let limit = limits::ROW_MAX_BYTES as u64 + 1;
    if lines.by_ref().take(limit).read_until(b'\n', &mut text)? == 0 {
        return Ok(None);
    }
    if text.len() <= limits::ROW_MAX_BYTES || text.ends_with(b"\n") {
        return Ok(Some(Ok(text)));
    }
    lines.skip_until(b'\n')?;
    Ok(Some(Err(format!("it has more than {} bytes", limits::ROW_MAX_BYTES))))
}
