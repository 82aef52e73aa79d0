//! The attacks on file (`tests/data/hostile/<attack>/`): what each holds, who reads it, and how it must be refused.
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use pinnace_protocol::ids::Digest;
use pinnace_protocol::manifest::Manifest;
use pinnace_protocol::trust::{Released, VerifiedBundle};
use serde::{Deserialize, Serialize};

use crate::execute::execute;
use crate::fixtures::archive;
use crate::fixtures::repository::{Device, Files};
use crate::targets;

/// File that says what a folder is.
pub const ABOUT: &str = "attack.toml";
/// The one folder whose inputs are all taken.
pub const GENUINE: &str = "genuine";

/// One attack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attack {
    /// What the attacker owns.
    pub attacker: String,
    /// What he does with it.
    pub does: String,
    /// What he hands in.
    pub input: Vec<Input>,
}

/// One input of an attack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// File or folder beside [`ABOUT`].
    pub path: String,
    /// Who reads it: a target's name, or `repository`, `store`, `bundle`, `rights`.
    pub reader: String,
    /// What must be said of it.
    pub verdict: String,
}

/// Returns the folder of all attacks.
pub fn in_tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/hostile")
}

/// Returns what a reader says of a file or folder now; `None` for a reader that this program was built without.
///
/// # Errors
/// When it cannot be read.
pub fn judge(reader: &str, path: &Path) -> std::io::Result<Option<String>> {
    let word = match reader {
        "repository" => {
            let files = folder(path)?;
            let archive = archive::write(files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
            return Ok(run("repository", &archive));
        }
        "store" => store(path)?,
        "bundle" => bundle(&folder(path)?),
        #[cfg(feature = "broker")]
        "rights" => targets::rights(&String::from_utf8_lossy(&fs::read(path)?)),
        _ => return Ok(run(reader, &fs::read(path)?)),
    };
    Ok(Some(word))
}

fn run(target: &str, input: &[u8]) -> Option<String> {
    let target = targets::named(target)?;
    Some(execute(&target, input).result.map_or_else(|fault| format!("FAULT: {fault}"), |verdict| verdict.word))
}

/// Returns the files of a folder by name.
fn folder(path: &Path) -> std::io::Result<Files> {
    let mut files = Files::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if path.is_file() {
            files.insert(path.file_name().unwrap_or_default().to_string_lossy().into_owned(), fs::read(path)?);
        }
    }
    Ok(files)
}

/// Starts a device from a damaged store (`files/`, `floors-a`, `floors-b`) and lets a mirror (`mirror/`) serve it.
fn store(path: &Path) -> std::io::Result<String> {
    let slot = |name: &str| fs::read(path.join(name)).ok();
    let mut device = Device::default();
    device.slots = [slot("floors-a"), slot("floors-b")];
    if path.join("files").is_dir() {
        device.files = folder(&path.join("files"))?;
    }
    Ok(targets::serve(device, &folder(&path.join("mirror"))?).word)
}

/// Seals a bundle (`manifest.json`, and blobs by their names) that the ledger says was released as `released.json` is.
fn bundle(files: &Files) -> String {
    let outcome = || -> Result<VerifiedBundle, String> {
        let manifest = files.get("manifest.json").ok_or("no manifest")?;
        let parsed = Manifest::parse(manifest).map_err(|e| e.to_string())?;
        let released = files.get("released").ok_or("nothing was released")?;
        let released = Released::from_ledger(released).map_err(|e| e.kind().to_owned())?;
        let verified = released.open_manifest(manifest).map_err(|e| e.kind().to_owned())?;
        let listed: Vec<_> = parsed.blobs.iter().map(|b| (b.sha256.0, b.length)).collect();
        // What lies under a blob's name is handed in as that blob, whatever it is; anything else under its own digest.
        let mut blobs = BTreeMap::new();
        for (name, bytes) in files.iter().filter(|(name, _)| *name != "manifest.json" && *name != "released") {
            let digest = parsed.blob_named(name).map_or_else(|| Digest::of(bytes), |blob| blob.sha256);
            blobs.insert(digest.0, bytes.clone());
        }
        VerifiedBundle::seal(verified, &listed, blobs).map_err(|e| e.kind().to_owned())
    };
    outcome().map_or_else(|kind| format!("refused: {kind}"), |_| "accepted".into())
}

/// Returns what is wrong with the attacks in `root`: anything but the verdicts they name; empty when nothing is.
///
/// # Errors
/// When a file cannot be read.
pub fn check(root: &Path, list: &str) -> std::io::Result<Vec<String>> {
    let mut wrong = Vec::new();
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        if !path.is_dir() {
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !list.contains(&format!("| `{name}` |")) {
            wrong.push(format!("{name}: README.md does not list this folder"));
        }
        match fs::read_to_string(path.join(ABOUT)).map(|text| toml_attack(&text)) {
            Ok(Ok(attack)) => wrong.extend(check_one(&name, &path, &attack)?),
            Ok(Err(why)) => wrong.push(format!("{name}/{ABOUT}: {why}")),
            Err(why) => wrong.push(format!("{name}/{ABOUT}: {why}")),
        }
        found.insert(name);
    }
    let listed = list.lines().filter_map(|l| l.strip_prefix("| `")?.split_once("` |").map(|(name, _)| name));
    wrong.extend(listed.filter(|n| !found.contains(*n)).map(|n| format!("{n}: listed in README.md, and not there")));
    Ok(wrong)
}

fn check_one(name: &str, folder: &Path, attack: &Attack) -> std::io::Result<Vec<String>> {
    let mut wrong = Vec::new();
    let mut present: BTreeSet<String> = fs::read_dir(folder)?
        .map(|e| Ok(e?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<_>>()?;
    present.remove(ABOUT);
    for input in &attack.input {
        present.remove(&input.path);
        let is_refusal = input.verdict.contains("refused");
        if is_refusal == (name == GENUINE) {
            wrong.push(format!("{name}/{}: `{}` is no outcome for this folder", input.path, input.verdict));
        }
        match judge(&input.reader, &folder.join(&input.path))? {
            Some(word) if word == input.verdict => {}
            Some(word) => wrong.push(format!("{name}/{}: now `{word}`, must be `{}`", input.path, input.verdict)),
            None if cfg!(all(feature = "engine", feature = "broker")) => {
                wrong.push(format!("{name}/{}: nobody reads `{}`", input.path, input.reader));
            }
            None => {}
        }
    }
    wrong.extend(present.iter().map(|path| format!("{name}/{path}: nothing is said of it")));
    Ok(wrong)
}

fn toml_attack(text: &str) -> Result<Attack, String> {
    let attack: Attack = toml::from_str(text).map_err(|e| e.to_string())?;
    if attack.input.is_empty() { Err("it hands nothing in".into()) } else { Ok(attack) }
}
