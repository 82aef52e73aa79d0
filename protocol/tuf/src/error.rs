//! What can go wrong, and what to do about it.
use std::io;
use std::path::{Path, PathBuf};

use pinnace_protocol::trust::TrustError;

/// Why nothing, or not everything, was done.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The command line is not understood.
    #[error("{0}\n  hint: `pinnace-tuf --help` shows the commands")]
    Usage(String),
    /// The repository cannot be trusted, or what is stored cannot.
    #[error("{fault}\n  hint: {}", fault.hint())]
    Trust {
        /// What the core says.
        fault: TrustError,
    },
    /// The disk said no.
    #[error("{what} `{}`: {source}\n  hint: look at the folder's permissions and at the free space", path.display())]
    Disk {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// A file did not come.
    #[error("GET {url}: {why}\n  hint: try again later, or from another mirror")]
    Fetch {
        /// Its address.
        url: String,
        /// What happened.
        why: String,
    },
    /// No trusted role names the target.
    #[error("no role that is trusted for it names the target `{0}`\n  hint: look at the spelling; it may be withdrawn")]
    Unknown(String),
    /// The look-up asked for more documents than any honest repository makes it.
    #[error("the repository does not come to an end\n  hint: use another mirror")]
    Endless,
}

impl From<TrustError> for Fault {
    fn from(fault: TrustError) -> Self {
        Self::Trust { fault }
    }
}

/// Makes an I/O error say what was tried, and on which file.
pub fn disk<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Fault + 'a {
    move |source| Fault::Disk { what, path: path.to_path_buf(), source }
}
