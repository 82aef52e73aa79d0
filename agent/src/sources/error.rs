//! Says why a file cannot be replayed.

use std::io;
use std::path::PathBuf;

/// Says why a file cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The name does not say how rows are written.
    #[error("{} is neither .csv nor .ndjson nor .jsonl\n  hint: rename the file", path.display())]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// A setting makes no sense.
    #[error("the source's `{setting}` {why}\n  hint: see `pinnace-agent run --help`")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The file cannot be read.
    #[error("{} cannot be read at line {line}: {source}\n  hint: check the path, its permissions, and quotes that are not closed", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Where, from 1; 0 before the first line.
        line: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The file has no usable header.
    #[error("{} has no usable header: {why}\n  hint: the first line must name the columns, each once", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The label column does not exist.
    #[error("{} has no column `{label}`\n  hint: columns are: {columns}", path.display())]
    Label {
        /// The file.
        path: PathBuf,
        /// The column asked for.
        label: String,
        /// The columns.
        columns: String,
    },
}
