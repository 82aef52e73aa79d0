//! Checks an exported bundle: a folder, a public key, and nothing else.
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use pinnace_protocol::ids::Digest;
use pinnace_protocol::limits::MANIFEST_MAX_BYTES;
use pinnace_protocol::manifest::{Manifest, Role};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::dsse::{Envelope, IN_TOTO};
use super::key::PublicKey;
use super::model_signature::{STATEMENT, SignedFiles};
use super::{BOM_FILE, PROVENANCE, PROVENANCE_FILE, SIGNATURE_FILE, SupplyError};
use crate::bundle::{BundleError, MANIFEST_FILE};
use crate::limits::{MAX_FOLDER_ENTRIES, MAX_SUPPLY_DOCUMENT_BYTES};
use crate::provenance::PREDICATE_TYPE;

/// What a signature may leave out: itself, the manifest that holds its digest, and what git keeps beside the files.
const MAY_BE_IGNORED: [&str; 6] = [SIGNATURE_FILE, MANIFEST_FILE, ".git", ".gitattributes", ".github", ".gitignore"];
/// Bytes read at once while a file is hashed.
const HASHED_AT_ONCE: usize = 64 << 10;
const BOM: &str = "the bill of materials";

/// What a bundle that passed every check says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Its name, as signed.
    pub model: String,
    /// Signed files.
    pub files: usize,
    /// Who built it, as a URI.
    pub builder: String,
    /// When training ended, RFC 3339.
    pub finished: String,
    /// Serial number of the bill of materials.
    pub bom: String,
}

/// Checks the bundle in `dir`: its model signature by `key` over exactly the files that are there, the provenance by
/// the same key and about these files, the bill of materials about this model, and the manifest, when it is there.
///
/// # Errors
/// [`SupplyError`] naming the first document, or all files, that are not as they were signed.
pub fn verify(dir: &Path, key: &PublicKey) -> Result<Verified, SupplyError> {
    let signed = SignedFiles::open(&document(&dir.join(SIGNATURE_FILE))?, key)?;
    if let Some(path) = signed.ignored.iter().find(|path| !MAY_BE_IGNORED.contains(&path.as_str())) {
        let why = format!("it leaves out `{path}`, which could be anything");
        return Err(SupplyError::Document { document: "the model signature", why });
    }
    let found = hash_all(dir, &signed.files)?;
    let wrong = differences(&signed.files, &found);
    if !wrong.is_empty() {
        return Err(SupplyError::Files(wrong));
    }
    let (builder, finished) = provenance(dir, key, &signed)?;
    let bom = bom(dir, &signed)?;
    manifest(dir, &signed)?;
    Ok(Verified { model: signed.model, files: signed.files.len(), builder, finished, bom })
}

/// Returns what is different between the files that were signed and those found, a few words each.
pub(super) fn differences(signed: &BTreeMap<String, Digest>, found: &BTreeMap<String, Digest>) -> Vec<String> {
    let lost = signed.iter().filter_map(|(name, digest)| match found.get(name) {
        None => Some(format!("`{name}` is missing")),
        Some(other) if other != digest => Some(format!("`{name}` was changed")),
        Some(_) => None,
    });
    let added = found.keys().filter(|name| !signed.contains_key(*name)).map(|name| format!("`{name}` was not signed"));
    lost.chain(added).collect()
}

/// Returns the digest of every file in `dir` that a signature must cover; a link or folder counts as a difference.
fn hash_all(dir: &Path, signed: &BTreeMap<String, Digest>) -> Result<BTreeMap<String, Digest>, SupplyError> {
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |e: io::Error| SupplyError::Io { path, why: e.to_string() }
    };
    let mut found = BTreeMap::new();
    for (seen, entry) in fs::read_dir(dir).map_err(io(dir))?.enumerate() {
        let path = entry.map_err(io(dir))?.path();
        if seen >= MAX_FOLDER_ENTRIES {
            let why = format!("more than {MAX_FOLDER_ENTRIES} entries, a bundle has fewer");
            return Err(SupplyError::Io { path: dir.into(), why });
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if MAY_BE_IGNORED.contains(&name.as_str()) && !signed.contains_key(&name) {
            continue;
        }
        // Not followed: a link could show another file to the next reader.
        if !fs::symlink_metadata(&path).map_err(io(&path))?.is_file() {
            return Err(SupplyError::Files(vec![format!("`{name}` is a link or folder, a bundle has files only")]));
        }
        let digest = hash(&path).map_err(io(&path))?;
        found.insert(name, digest);
    }
    Ok(found)
}

fn hash(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut piece = vec![0; HASHED_AT_ONCE];
    let mut whole = Sha256::new();
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(Digest(whole.finalize().into())),
            n => whole.update(&piece[..n]),
        }
    }
}

/// Checks the provenance and returns who built the bundle and when that ended.
fn provenance(dir: &Path, key: &PublicKey, signed: &SignedFiles) -> Result<(String, String), SupplyError> {
    let bad = |why: String| SupplyError::Document { document: PROVENANCE, why };
    let bytes = signed_document(dir, PROVENANCE_FILE, signed)?;
    let payload = Envelope::parse(PROVENANCE, &bytes)?.open(PROVENANCE, IN_TOTO, key)?;
    let statement: Value = serde_json::from_slice(&payload).map_err(|e| bad(e.to_string()))?;
    if statement["_type"] != STATEMENT || statement["predicateType"] != PREDICATE_TYPE {
        return Err(bad(format!("it is not a statement of type `{PREDICATE_TYPE}`")));
    }
    let subjects = statement["subject"].as_array().filter(|s| !s.is_empty());
    for subject in subjects.ok_or_else(|| bad("it is about no file".into()))? {
        let name = subject["name"].as_str().unwrap_or_default();
        let digest = subject["digest"]["sha256"].as_str().and_then(Digest::from_hex);
        if digest.is_none() || signed.files.get(name) != digest.as_ref() {
            return Err(bad(format!("it is about another `{name}` than the one in the folder")));
        }
    }
    let details = &statement["predicate"]["runDetails"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let builder = text(&details["builder"]["id"]).ok_or_else(|| bad("it names no builder".into()))?;
    let finished = text(&details["metadata"]["finishedOn"]).unwrap_or_default();
    Ok((builder, finished))
}

/// Checks that the bill of materials is about one of the files and returns its serial number.
fn bom(dir: &Path, signed: &SignedFiles) -> Result<String, SupplyError> {
    let bad = |why: &str| SupplyError::Document { document: BOM, why: why.into() };
    let bom: Value = serde_json::from_slice(&signed_document(dir, BOM_FILE, signed)?)
        .map_err(|e| SupplyError::Document { document: BOM, why: e.to_string() })?;
    if bom["bomFormat"] != "CycloneDX" {
        return Err(bad("it is not CycloneDX"));
    }
    let model = &bom["metadata"]["component"];
    let hashes = model["hashes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let sha256 = hashes.iter().find(|h| h["alg"] == "SHA-256").and_then(|h| h["content"].as_str());
    let sha256 = sha256.and_then(Digest::from_hex).ok_or_else(|| bad("it has no SHA-256 of the model"))?;
    if !signed.files.values().any(|digest| *digest == sha256) {
        return Err(bad("it is about another model than the one in the folder"));
    }
    Ok(bom["serialNumber"].as_str().unwrap_or_default().to_owned())
}

/// Checks that the manifest, which the release signs, lists the same files; a folder without one is not less true.
fn manifest(dir: &Path, signed: &SignedFiles) -> Result<(), SupplyError> {
    let path = dir.join(MANIFEST_FILE);
    if !path.exists() {
        return Ok(());
    }
    let manifest = Manifest::parse(&bounded(&path, MANIFEST_MAX_BYTES)?).map_err(BundleError::from)?;
    let blobs = manifest.blobs.iter().filter(|b| b.role != Role::ModelSignature);
    let listed = blobs.map(|b| (b.name.clone(), b.sha256)).collect();
    let wrong = differences(&signed.files, &listed);
    if wrong.is_empty() && manifest.bundle_ref().to_string() == signed.model {
        return Ok(());
    }
    let why = if wrong.is_empty() { format!("it is not that of {}", signed.model) } else { wrong.join(", ") };
    Err(SupplyError::Document { document: "the manifest", why })
}

/// Returns a document that must be there and signed.
fn signed_document(dir: &Path, name: &'static str, signed: &SignedFiles) -> Result<Vec<u8>, SupplyError> {
    let path = dir.join(name);
    let bytes = document(&path)?;
    // The digest again: the file is read a second time, and what is looked at must be what was signed.
    if signed.files.get(name) != Some(&Digest::of(&bytes)) {
        return Err(SupplyError::Files(vec![format!("`{name}` was not signed")]));
    }
    Ok(bytes)
}

fn document(path: &Path) -> Result<Vec<u8>, SupplyError> {
    bounded(path, MAX_SUPPLY_DOCUMENT_BYTES)
}

/// Reads a file of at most `max` bytes; it cannot grow beyond that while it is read.
fn bounded(path: &Path, max: usize) -> Result<Vec<u8>, SupplyError> {
    let io = |why: String| SupplyError::Io { path: path.into(), why };
    let file = File::open(path).map_err(|e| io(e.to_string()))?;
    let mut bytes = Vec::new();
    file.take(max as u64 + 1).read_to_end(&mut bytes).map_err(|e| io(e.to_string()))?;
    if bytes.len() > max {
        return Err(io(format!("more than {max} bytes, which is the most that is read")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::key::SigningKey;
    use super::super::key::tests::new_key;
    use super::super::{KEY_FILE, sign, sign_folder};
    use super::*;
    use crate::bundle::{Bundle, BundleName};
    use crate::data::{CsvOptions, parse_csv};
    use crate::learn::Params;
    use crate::pipeline::{self, Job};
    use pinnace_protocol::ids::Family;
    use pinnace_protocol::manifest::Compat;
    use pinnace_protocol::trust;
    use std::ops::ControlFlow;

    /// Returns a bundle trained on a small table.
    fn trained() -> Bundle {
        let mut csv = String::from("wind,cloud,rain\n");
        for row in 0..400 {
            csv += &format!("{},{},{}\n", row % 7, row % 11, u8::from(row % 7 + row % 11 > 8));
        }
        let data = parse_csv(csv.as_bytes(), "table.csv", &CsvOptions::classes("rain")).unwrap();
        let job = Job {
            name: BundleName {
                family: Family::parse("rain").unwrap(),
                version: 3,
                release_counter: 3,
                created: 1_800_000_000,
                compat: Compat::default(),
            },
            params: Params::logistic(),
            block_rows: 50,
            data: ("table.csv", Digest::of(csv.as_bytes())),
            started: "2027-01-15T08:00:00Z",
            clock: &|| "2027-01-15T08:00:09Z".into(),
        };
        pipeline::run(&data, &job, &mut |_| ControlFlow::Continue(())).unwrap().bundle
    }

    fn trainer() -> trust::SigningKey {
        trust::SigningKey::from_seed([5; 32])
    }

    fn exported(key: &SigningKey) -> (tempfile::TempDir, Bundle) {
        let bundle = sign(&trained(), key, &trainer()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        bundle.save(dir.path()).unwrap();
        (dir, bundle)
    }

    #[test]
    fn a_signed_bundle_passes_and_says_what_it_is() {
        let key = new_key();
        let (dir, bundle) = exported(&key);
        let verified = verify(dir.path(), key.public()).unwrap();
        assert_eq!(verified.model, "rain/v3");
        assert_eq!(verified.files, bundle.contents.len() - 1);
        assert_eq!(verified.builder, "urn:pinnace:builder:local");
        assert_eq!(verified.finished, "2027-01-15T08:00:09Z");
        assert_eq!(verified.bom.len(), "urn:uuid:".len() + 36);
        assert_eq!(Bundle::load(dir.path()).unwrap(), bundle);
        // What git keeps beside the files is nobody's model.
        fs::create_dir(dir.path().join(".git")).unwrap();
        fs::remove_file(dir.path().join(MANIFEST_FILE)).unwrap();
        assert_eq!(verify(dir.path(), key.public()).unwrap(), verified);
    }

    #[test]
    fn signing_again_changes_nothing_and_another_key_replaces() {
        let (key, other) = (new_key(), new_key());
        let once = sign(&trained(), &key, &trainer()).unwrap();
        assert_eq!(sign(&once, &key, &trainer()).unwrap(), once);
        let replaced = sign(&once, &other, &trainer()).unwrap();
        assert_eq!(replaced.contents.len(), once.contents.len());
        let dir = tempfile::tempdir().unwrap();
        replaced.save(dir.path()).unwrap();
        assert!(verify(dir.path(), other.public()).is_ok());
        assert!(matches!(verify(dir.path(), key.public()), Err(SupplyError::OtherKey { .. })));
    }

    #[test]
    fn a_folder_is_signed_in_place() {
        let (key, dir) = (new_key(), tempfile::tempdir().unwrap());
        trained().save(dir.path()).unwrap();
        let signed = sign_folder(dir.path(), &key, &trainer()).unwrap();
        assert_eq!(Bundle::load(dir.path()).unwrap(), signed);
        assert!(verify(dir.path(), key.public()).is_ok(), "nothing unsigned is left behind");
        // As after a power cut before the old provenance was removed.
        fs::write(dir.path().join(crate::bundle::UNSIGNED_PROVENANCE_FILE), "{}").unwrap();
        assert_eq!(sign_folder(dir.path(), &key, &trainer()).unwrap(), signed);
        assert!(verify(dir.path(), key.public()).is_ok());
    }

    #[test]
    fn a_bundle_changed_after_it_was_signed_is_not_signed_again() {
        let key = new_key();
        let mut bundle = sign(&trained(), &key, &trainer()).unwrap();
        bundle.contents[0][0] ^= 1;
        let Err(SupplyError::Changed(why)) = sign(&bundle, &key, &trainer()) else { panic!("it was signed") };
        assert_eq!(why, "`model.onnx` was changed");
    }

    #[test]
    fn every_file_changed_or_removed_is_named() {
        let key = new_key();
        let (dir, bundle) = exported(&key);
        for blob in &bundle.manifest.blobs {
            let path = dir.path().join(&blob.name);
            let good = fs::read(&path).unwrap();
            let mut bad = good.clone();
            let middle = bad.len() / 2;
            bad[middle] ^= 1;
            fs::write(&path, bad).unwrap();
            let changed = verify(dir.path(), key.public());
            fs::remove_file(&path).unwrap();
            let removed = verify(dir.path(), key.public());
            fs::write(&path, good).unwrap();
            if blob.name == SIGNATURE_FILE {
                assert!(changed.is_err());
                assert!(matches!(removed, Err(SupplyError::Io { .. })));
                continue;
            }
            let words = |result| match result {
                Err(SupplyError::Files(words)) => words,
                other => panic!("{}: {other:?}", blob.name),
            };
            assert_eq!(words(changed), [format!("`{}` was changed", blob.name)]);
            assert_eq!(words(removed), [format!("`{}` is missing", blob.name)]);
        }
        assert!(verify(dir.path(), key.public()).is_ok());
    }

    #[test]
    fn what_was_not_signed_is_refused() {
        let key = new_key();
        let (dir, _) = exported(&key);
        let extra = dir.path().join("weights.bin");
        fs::write(&extra, "x").unwrap();
        assert!(
            matches!(verify(dir.path(), key.public()), Err(SupplyError::Files(w)) if w == ["`weights.bin` was not signed"])
        );
        fs::remove_file(&extra).unwrap();
        fs::create_dir(&extra).unwrap();
        assert!(matches!(verify(dir.path(), key.public()), Err(SupplyError::Files(_))));
        fs::remove_dir(&extra).unwrap();
        let key_file = dir.path().join(KEY_FILE);
        fs::rename(&key_file, dir.path().with_extension("moved")).unwrap();
        std::os::unix::fs::symlink(dir.path().with_extension("moved"), &key_file).unwrap();
        let linked = verify(dir.path(), key.public());
        fs::remove_file(dir.path().with_extension("moved")).unwrap();
        assert!(matches!(linked, Err(SupplyError::Files(_))));
        assert!(matches!(verify(Path::new("/no/such/folder"), key.public()), Err(SupplyError::Io { .. })));
    }

    #[test]
    fn more_entries_than_any_bundle_has_are_not_read() {
        let key = new_key();
        let (dir, _) = exported(&key);
        for n in 0..MAX_FOLDER_ENTRIES {
            fs::write(dir.path().join(format!("f{n}")), "").unwrap();
        }
        assert!(matches!(verify(dir.path(), key.public()), Err(SupplyError::Io { .. })));
    }

    #[test]
    fn documents_about_other_files_are_refused_though_signed() {
        let key = new_key();
        let cases: [(Role, &str, &str); 3] = [
            (Role::Provenance, "\"name\":\"model.onnx\"", "\"name\":\"other.onnx\""),
            (Role::Provenance, PREDICATE_TYPE, "https://slsa.dev/provenance/v0.2"),
            (Role::Bom, "\"bomFormat\":\"CycloneDX\"", "\"bomFormat\":\"Cyclone\""),
        ];
        for (role, from, to) in cases {
            let mut bundle = trained();
            let at = bundle.manifest.blobs.iter().position(|b| b.role == role).unwrap();
            let text = String::from_utf8(bundle.contents[at].clone()).unwrap();
            assert!(text.contains(from), "{from}");
            bundle.contents[at] = text.replace(from, to).into_bytes();
            let blob = &mut bundle.manifest.blobs[at];
            *blob = pinnace_protocol::manifest::Blob::describe(&blob.name, role, &bundle.contents[at]);
            let dir = tempfile::tempdir().unwrap();
            sign(&bundle, &key, &trainer()).unwrap().save(dir.path()).unwrap();
            let result = verify(dir.path(), key.public());
            assert!(matches!(result, Err(SupplyError::Document { .. })), "{to}: {result:?}");
        }
    }

    #[test]
    fn a_signature_that_leaves_out_anything_it_likes_is_refused() {
        let key = new_key();
        let (dir, bundle) = exported(&key);
        let mut said = SignedFiles::open(bundle.content(Role::ModelSignature).unwrap(), key.public()).unwrap();
        said.ignored.push("weights.bin".into());
        fs::write(dir.path().join(SIGNATURE_FILE), said.sign(&key).unwrap()).unwrap();
        assert!(matches!(verify(dir.path(), key.public()), Err(SupplyError::Document { .. })));
    }

    #[test]
    fn the_manifest_must_be_that_of_the_files() {
        let key = new_key();
        let (dir, bundle) = exported(&key);
        let mut other = bundle.manifest.clone();
        other.version = 4;
        fs::write(dir.path().join(MANIFEST_FILE), other.to_bytes().unwrap()).unwrap();
        assert!(matches!(verify(dir.path(), key.public()), Err(SupplyError::Document { .. })));
        other = bundle.manifest;
        other.blobs.remove(1);
        fs::write(dir.path().join(MANIFEST_FILE), other.to_bytes().unwrap()).unwrap();
        assert!(matches!(verify(dir.path(), key.public()), Err(SupplyError::Document { .. })));
    }
}
