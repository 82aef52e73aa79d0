//! What lets a third party judge a bundle with tools of its own: model signature, signed provenance, bill of materials.
//!
//! ```text
//! bom.cdx.json            CycloneDX 1.6 ML-BOM                     written when training ends
//! provenance.intoto.json  SLSA v1 provenance in a DSSE envelope    signed by the trainer's P-256 and ed25519 keys
//! trainer.pub.pem         the P-256 public key
//! model.sig               OpenSSF model signing v1.0               over every file above and all that training made
//! manifest.json           lists all of these with their digests    signed by the release (TUF)
//! ```
//! The manifest holds the digest of `model.sig`, so `model.sig` cannot hold that of the manifest: these two alone are
//! outside the model signature. Devices trust none of this; they trust the release, which signs the manifest.
pub mod dsse;
pub mod folder;
pub mod key;
pub mod mlbom;
pub mod model_signature;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pinnace_protocol::ids::Digest;
use pinnace_protocol::manifest::{Blob, Role};
use pinnace_protocol::trust::Signer;

use crate::bundle::{Bundle, BundleError, MANIFEST_FILE, UNSIGNED_PROVENANCE_FILE};
use dsse::{Envelope, IN_TOTO};
use key::{KeyError, PublicKey, SigningKey};
use model_signature::SignedFiles;

/// File name of the bill of materials.
pub const BOM_FILE: &str = "bom.cdx.json";
/// File name of the provenance once it is signed.
pub const PROVENANCE_FILE: &str = "provenance.intoto.json";
/// File name of the public key.
pub const KEY_FILE: &str = "trainer.pub.pem";
/// File name of the model signature.
pub const SIGNATURE_FILE: &str = "model.sig";
/// How errors name the provenance.
const PROVENANCE: &str = "the provenance";

/// Says why a bundle cannot be signed, or should not be trusted.
#[derive(Debug, thiserror::Error)]
pub enum SupplyError {
    /// A key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The bundle cannot be read or written.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A document is not what it should be.
    #[error("{document} cannot be used: {why}\n  hint: export the bundle again; train it again if that does not help")]
    Document {
        /// Which one.
        document: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A document names another key than the one given.
    #[error(
        "{document} was made with another key than {key}\n  hint: ask the publisher for the public key of this model family"
    )]
    OtherKey {
        /// Which one.
        document: &'static str,
        /// Fingerprint of the key given.
        key: String,
    },
    /// A document's signature is not by the key given.
    #[error(
        "{document} is not signed by this key\n  hint: do not use the bundle, or ask the publisher for the right public key"
    )]
    Signature {
        /// Which one.
        document: &'static str,
    },
    /// Files differ from what was signed.
    #[error("the files are not those that were signed: {}\n  hint: do not use them; get the bundle again", .0.join(", "))]
    Files(Vec<String>),
    /// A bundle that the same key signed before has been changed since.
    #[error(
        "the bundle was changed after it was signed: {0}\n  hint: train the next version; if the change is meant, remove {SIGNATURE_FILE} from manifest and folder"
    )]
    Changed(String),
    /// A file or folder cannot be read.
    #[error("{} cannot be read: {why}\n  hint: name the folder of an exported bundle", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
}

/// Returns `bundle` with its provenance signed by both of the trainer's keys, `key` for third parties and `trainer` of
/// the release, with the public key of the first, and with a model signature over all of it.
///
/// A bundle that `key` has signed already is returned as it is: signatures differ each time, and a release must not.
///
/// # Errors
/// [`SupplyError::Changed`] when `key` signed the bundle before and its content is another now; others when it has no
/// provenance, would break a limit, or the key cannot sign.
pub fn sign(bundle: &Bundle, key: &SigningKey, trainer: &dyn Signer) -> Result<Bundle, SupplyError> {
    if is_signed(bundle, key.public())? {
        return Ok(bundle.clone());
    }
    let mut provenance = Envelope::new(IN_TOTO, &statement(bundle)?);
    provenance.sign(key, &key.public().key_id())?;
    provenance.sign_ed25519(trainer)?;
    let provenance = serde_json::to_vec(&provenance)
        .map_err(|e| SupplyError::Document { document: PROVENANCE, why: e.to_string() })?;

    let mut signed = bundle.clone();
    let replaced = [Role::Provenance, Role::SigningKey, Role::ModelSignature];
    let kept = bundle.manifest.blobs.iter().zip(&bundle.contents).filter(|(blob, _)| !replaced.contains(&blob.role));
    (signed.manifest.blobs, signed.contents) = kept.map(|(blob, content)| (blob.clone(), content.clone())).unzip();
    add(&mut signed, PROVENANCE_FILE, Role::Provenance, provenance);
    add(&mut signed, KEY_FILE, Role::SigningKey, key.public().to_pem().into_bytes());
    let signature = files_of(&signed).sign(key)?;
    add(&mut signed, SIGNATURE_FILE, Role::ModelSignature, signature);
    // Checks every rule a device will check.
    signed.manifest.to_bytes().map_err(BundleError::from)?;
    Ok(signed)
}

/// Signs the bundle in folder `dir`, as [`sign`] does, leaves it there signed and returns it.
///
/// # Errors
/// As [`sign`]; also when the folder cannot be written.
pub fn sign_folder(dir: &Path, key: &SigningKey, trainer: &dyn Signer) -> Result<Bundle, SupplyError> {
    let bundle = Bundle::load(dir)?;
    let signed = sign(&bundle, key, trainer)?;
    if signed != bundle {
        signed.save(dir)?;
    }
    // What the new manifest no longer lists would be an unsigned file in a signed folder. The unsigned provenance is
    // looked for each time: an earlier run may have ended right here.
    let old = bundle.manifest.blobs.iter().map(|b| b.name.as_str()).chain([UNSIGNED_PROVENANCE_FILE]);
    for name in old.filter(|name| signed.manifest.blob_named(name).is_none()) {
        let path = dir.join(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(SupplyError::Io { path, why: e.to_string() });
            }
            _ => {}
        }
    }
    Ok(signed)
}

fn add(bundle: &mut Bundle, file: &str, role: Role, content: Vec<u8>) {
    bundle.manifest.blobs.push(Blob::describe(file, role, &content));
    bundle.contents.push(content);
}

/// Returns what a model signature over `bundle` says.
fn files_of(bundle: &Bundle) -> SignedFiles {
    let files = bundle.manifest.blobs.iter().zip(&bundle.contents);
    let files = files.filter(|(blob, _)| blob.role != Role::ModelSignature);
    SignedFiles {
        model: bundle.manifest.bundle_ref().to_string(),
        files: files.map(|(blob, content)| (blob.name.clone(), Digest::of(content))).collect(),
        ignored: vec![MANIFEST_FILE.into(), SIGNATURE_FILE.into()],
    }
}

/// Tells whether `key` signed this very bundle.
fn is_signed(bundle: &Bundle, key: &PublicKey) -> Result<bool, SupplyError> {
    let Some(signature) = bundle.content(Role::ModelSignature) else { return Ok(false) };
    if bundle.content(Role::SigningKey) != Some(key.to_pem().as_bytes()) {
        // Somebody else's: this key's words replace theirs.
        return Ok(false);
    }
    let said = SignedFiles::open(signature, key)?;
    let differences = folder::differences(&said.files, &files_of(bundle).files);
    if differences.is_empty() { Ok(true) } else { Err(SupplyError::Changed(differences.join(", "))) }
}

/// Returns the bundle's provenance statement, out of its envelope when it is in one.
fn statement(bundle: &Bundle) -> Result<Vec<u8>, SupplyError> {
    let blob = bundle.manifest.blob(Role::Provenance);
    let content = bundle.content(Role::Provenance);
    let (Some(blob), Some(content)) = (blob, content) else {
        return Err(SupplyError::Document { document: PROVENANCE, why: "the bundle has none".into() });
    };
    if blob.name == PROVENANCE_FILE {
        return Envelope::parse(PROVENANCE, content)?.payload(PROVENANCE);
    }
    Ok(content.to_vec())
}
