//! The corpus in the tree: inputs by target, and the verdict each must get.
//!
//! `corpus/<target>/<name>` are inputs; `corpus/verdicts.txt` has a line `target/name: verdict` for each of them.
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::execute::execute;
use crate::limits::{ITEM_MAX_BYTES, ITEMS_MAX};
use crate::target::Target;

/// File with the verdicts.
pub const VERDICTS: &str = "verdicts.txt";

/// Says why a corpus cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// The system refused.
    #[error("{path}: {source}\n  hint: run this in the source tree, or name another folder with --corpus")]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// An item or a folder is beyond its bound.
    #[error(
        "{path} is too large for a corpus\n  hint: keep what is small; at most {ITEM_MAX_BYTES} bytes, {ITEMS_MAX} items"
    )]
    TooLarge {
        /// Which.
        path: PathBuf,
    },
}

/// One input with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// File name.
    pub name: String,
    /// Content.
    pub bytes: Vec<u8>,
}

/// Returns the folder of the corpus in the source tree.
pub fn in_tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// Returns the items of one target, by name; none when the folder is not there.
///
/// # Errors
/// [`CorpusError`].
pub fn load(corpus: &Path, target: &str) -> Result<Vec<Item>, CorpusError> {
    let folder = corpus.join(target);
    let fail = |path: &Path| {
        let path = path.to_path_buf();
        move |source| CorpusError::Io { path, source }
    };
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut items = Vec::new();
    for entry in fs::read_dir(&folder).map_err(fail(&folder))? {
        let path = entry.map_err(fail(&folder))?.path();
        let length = fs::metadata(&path).map_err(fail(&path))?.len();
        if length > ITEM_MAX_BYTES || items.len() == ITEMS_MAX {
            return Err(CorpusError::TooLarge { path });
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        items.push(Item { name, bytes: fs::read(&path).map_err(fail(&path))? });
    }
    items.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(items)
}

/// Returns what each item of these targets gets now, as `target/name` and word; a fault is a word too.
///
/// # Errors
/// [`CorpusError`].
pub fn judge(corpus: &Path, targets: &[Target]) -> Result<BTreeMap<String, String>, CorpusError> {
    let mut words = BTreeMap::new();
    for target in targets {
        for item in load(corpus, target.name)? {
            let word = execute(target, &item.bytes).result.map_or_else(|fault| format!("FAULT: {fault}"), |v| v.word);
            words.insert(format!("{}/{}", target.name, item.name), word);
        }
    }
    Ok(words)
}

/// Returns the verdicts on record, by `target/name`.
///
/// # Errors
/// [`CorpusError::Io`].
pub fn recorded(corpus: &Path) -> Result<BTreeMap<String, String>, CorpusError> {
    let path = corpus.join(VERDICTS);
    let text = fs::read_to_string(&path).map_err(|source| CorpusError::Io { path, source })?;
    Ok(text.lines().filter_map(|l| l.split_once(": ")).map(|(a, b)| (a.into(), b.into())).collect())
}

/// Writes verdicts down; those of targets that were not judged stay as they are.
///
/// # Errors
/// [`CorpusError::Io`].
pub fn record(corpus: &Path, targets: &[Target], words: BTreeMap<String, String>) -> Result<(), CorpusError> {
    let mut all = recorded(corpus).unwrap_or_default();
    all.retain(|key, _| !targets.iter().any(|t| key.starts_with(&format!("{}/", t.name))));
    all.extend(words);
    let text: String = all.iter().map(|(key, word)| format!("{key}: {word}\n")).collect();
    let path = corpus.join(VERDICTS);
    fs::write(&path, text).map_err(|source| CorpusError::Io { path, source })
}

/// Adds inputs to a target's corpus, named by their content; returns how many are new.
///
/// # Errors
/// [`CorpusError::Io`].
pub fn add<'a>(
    corpus: &Path,
    target: &str,
    prefix: &str,
    inputs: impl Iterator<Item = &'a [u8]>,
) -> Result<usize, CorpusError> {
    let folder = corpus.join(target);
    let fail = |source| CorpusError::Io { path: folder.clone(), source };
    fs::create_dir_all(&folder).map_err(fail)?;
    let mut added = 0;
    for input in inputs {
        let path = folder.join(format!("{prefix}{}", pinnace_protocol::ids::Digest::of(input).short()));
        if !path.exists() {
            fs::write(&path, input).map_err(fail)?;
            added += 1;
        }
    }
    Ok(added)
}
