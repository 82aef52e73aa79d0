//! Bundles: trained by the program, and spoilt in ways that only a test would.
use std::path::{Path, PathBuf};

use pinnace_protocol::manifest::Role;
use pinnace_trainer::bundle::{Bundle, describe};

use crate::process::pinnace;
use crate::wait::Chance;

/// Trains a bundle with `pinnace train` and returns its folder.
///
/// # Panics
/// When training fails.
pub fn train(csv: &Path, label: &str, family: &str, version: u64, learner: &str, more: &[&str]) -> PathBuf {
    let out = csv.with_file_name(format!("{family}-{version}"));
    let version = version.to_string();
    let (csv, dir) = (csv.display().to_string(), out.display().to_string());
    let mut args = vec!["train", &csv, "--label", label, "--family", family, "--version", &version];
    args.extend(["--learner", learner, "--out", &dir]);
    args.extend(more);
    pinnace(&args).ok();
    out
}

/// Changes the bundle in `dir`, keeping manifest and blobs in agreement.
///
/// # Panics
/// When it cannot be read or written.
pub fn edit(dir: &Path, change: impl FnOnce(&mut Bundle)) {
    let mut bundle = Bundle::load(dir).expect("the bundle is whole");
    change(&mut bundle);
    for (blob, content) in bundle.manifest.blobs.iter_mut().zip(&bundle.contents) {
        *blob = describe(&blob.name, blob.role, content);
    }
    bundle.save(dir).expect("the bundle can be written");
}

fn content(bundle: &mut Bundle, role: Role) -> &mut Vec<u8> {
    let at = bundle.manifest.blobs.iter().position(|b| b.role == role).expect("the bundle has this blob");
    &mut bundle.contents[at]
}

/// Renames the model's operator `from` to one that nobody knows, of the same length: the graph stays well formed.
///
/// # Panics
/// When the model has no such operator.
pub fn rename_operator(dir: &Path, from: &str, to: &str) {
    assert_eq!(from.len(), to.len(), "the length stands in front of the name");
    edit(dir, |bundle| {
        let model = content(bundle, Role::Model);
        // Field 4 of an ONNX node: its operator, with one byte of length.
        let field: Vec<u8> = [&[0x22, from.len() as u8], from.as_bytes()].concat();
        let at = model.windows(field.len()).position(|w| w == field).expect("the model has this operator");
        model[at + 2..at + field.len()].copy_from_slice(to.as_bytes());
    });
}

/// Lets only `engine` run the bundle in `dir`.
pub fn only_engine(dir: &Path, engine: &str) {
    edit(dir, |bundle| {
        for variant in &mut bundle.manifest.variants {
            variant.engines = vec![engine.to_owned()];
        }
    });
}

/// Makes the bundle in `dir` larger by `bytes` in its card, so that fetching it takes a while.
pub fn make_heavy(dir: &Path, bytes: usize, seed: u64) {
    let mut chance = Chance::new(seed);
    edit(dir, |bundle| {
        let card = content(bundle, Role::Card);
        card.extend((0..bytes).map(|_| b'a' + chance.below(26) as u8));
    });
}

/// Returns the digest (hexadecimal) of the model in `dir`.
///
/// # Panics
/// When the bundle cannot be read.
pub fn model_digest(dir: &Path) -> String {
    digest_of(dir, Role::Model)
}

/// Returns the digest (hexadecimal) of the model card in `dir`.
///
/// # Panics
/// When the bundle cannot be read.
pub fn card_digest(dir: &Path) -> String {
    digest_of(dir, Role::Card)
}

fn digest_of(dir: &Path, role: Role) -> String {
    let bundle = Bundle::load(dir).expect("the bundle is whole");
    bundle.manifest.blob(role).expect("the bundle has such a file").sha256.to_hex()
}

/// Flips one bit in the middle of a file.
///
/// # Panics
/// When the file cannot be read or written.
pub fn flip_bit(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0b0001_0000;
    std::fs::write(file, bytes).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
}
