//! OpenSSF model signing v1.0: one signature over the digests of all files of a folder.
//!
//! The file is a Sigstore bundle: a DSSE envelope around an in-toto statement, and the fingerprint of the key. Its one
//! subject is the model; the subject's digest is SHA-256 over the files' digests, in the order of their names.
//! `model_signing verify key` reads what is written here, and what it writes is read here.
use std::collections::BTreeMap;

use pinnace_protocol::ids::Digest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::SupplyError;
use super::dsse::{Envelope, IN_TOTO};
use super::key::{PublicKey, SigningKey};
use crate::limits::{MAX_SIGNED_FILES, MAX_SUPPLY_DOCUMENT_BYTES};

/// The kind of a statement.
pub(super) const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// What the statement says: digests of a model's files.
pub const PREDICATE_TYPE: &str = "https://model_signing/signature/v1.0";
/// The kind of Sigstore bundle.
const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SHA256: &str = "sha256";
const BY_FILE: &str = "files";
const NAME: &str = "the model signature";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SigstoreBundle {
    media_type: String,
    verification_material: VerificationMaterial,
    dsse_envelope: Envelope,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct VerificationMaterial {
    public_key: PublicKeyHint,
    /// Entries of a transparency log: none, the key is the trust.
    #[serde(default)]
    tlog_entries: Vec<serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
struct PublicKeyHint {
    #[serde(default)]
    hint: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Predicate,
}

#[derive(Serialize, Deserialize)]
struct Subject {
    name: String,
    digest: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct Predicate {
    serialization: Serialization,
    resources: Vec<Resource>,
}

#[derive(Serialize, Deserialize)]
struct Serialization {
    method: String,
    hash_type: String,
    allow_symlinks: bool,
    #[serde(default)]
    ignore_paths: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Resource {
    name: String,
    algorithm: String,
    digest: String,
}

/// What a signature says: a model's files by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedFiles {
    /// Name of the model, for people.
    pub model: String,
    /// Every signed file.
    pub files: BTreeMap<String, Digest>,
    /// Files that may lie beside them unsigned.
    pub ignored: Vec<String>,
}

impl SignedFiles {
    /// Returns the statement as JSON.
    ///
    /// # Errors
    /// [`SupplyError::Document`] when it cannot be written.
    pub fn statement(&self) -> Result<Vec<u8>, SupplyError> {
        // A BTreeMap is in the order of bytes, which is the order of code points that other tools sort by.
        let resource = |(name, digest): (&String, &Digest)| Resource {
            name: name.clone(),
            algorithm: SHA256.into(),
            digest: digest.to_hex(),
        };
        let statement = Statement {
            kind: STATEMENT.into(),
            subject: vec![Subject {
                name: self.model.clone(),
                digest: BTreeMap::from([(SHA256.into(), self.root().to_hex())]),
            }],
            predicate_type: PREDICATE_TYPE.into(),
            predicate: Predicate {
                serialization: Serialization {
                    method: BY_FILE.into(),
                    hash_type: SHA256.into(),
                    allow_symlinks: false,
                    ignore_paths: self.ignored.clone(),
                },
                resources: self.files.iter().map(resource).collect(),
            },
        };
        serde_json::to_vec(&statement).map_err(|e| bad(e.to_string()))
    }

    /// Returns the digest of the model: SHA-256 over the files' digests in the order of their names.
    pub fn root(&self) -> Digest {
        root(self.files.values())
    }

    /// Returns the signature's file, signed by `key`.
    ///
    /// # Errors
    /// [`SupplyError`] when it cannot be written or the key cannot sign.
    pub fn sign(&self, key: &SigningKey) -> Result<Vec<u8>, SupplyError> {
        let mut envelope = Envelope::new(IN_TOTO, &self.statement()?);
        // The bundle's hint names the key; the reference implementation leaves this one empty.
        envelope.sign(key, "")?;
        let bundle = SigstoreBundle {
            media_type: MEDIA_TYPE.into(),
            verification_material: VerificationMaterial {
                public_key: PublicKeyHint { hint: Some(key.public().fingerprint()) },
                tlog_entries: Vec::new(),
            },
            dsse_envelope: envelope,
        };
        serde_json::to_vec(&bundle).map_err(|e| bad(e.to_string()))
    }

    /// Reads a signature's file and returns what `key` signed with it.
    ///
    /// # Errors
    /// [`SupplyError::Document`] when it is not a model signature that this version reads, [`SupplyError::OtherKey`] and
    /// [`SupplyError::Signature`] when `key` did not sign it.
    pub fn open(bytes: &[u8], key: &PublicKey) -> Result<Self, SupplyError> {
        if bytes.len() > MAX_SUPPLY_DOCUMENT_BYTES {
            return Err(bad(format!("{} bytes, at most {MAX_SUPPLY_DOCUMENT_BYTES} are read", bytes.len())));
        }
        let bundle: SigstoreBundle =
            serde_json::from_slice(bytes).map_err(|e| bad(format!("no Sigstore bundle with a key: {e}")))?;
        if bundle.media_type != MEDIA_TYPE {
            return Err(bad(format!("its media type is not `{MEDIA_TYPE}`")));
        }
        let hint = bundle.verification_material.public_key.hint.unwrap_or_default();
        if !hint.is_empty() && hint != key.fingerprint() {
            return Err(SupplyError::OtherKey { document: NAME, key: key.fingerprint() });
        }
        bundle.dsse_envelope.check(NAME)?;
        // Others look at the first signature alone; more than one would be judged differently here and there.
        if bundle.dsse_envelope.signatures() != 1 {
            return Err(bad("it holds more than one signature".into()));
        }
        let payload = bundle.dsse_envelope.open(NAME, IN_TOTO, key)?;
        let statement: Statement =
            serde_json::from_slice(&payload).map_err(|e| bad(format!("no statement about files: {e}")))?;
        Self::read(statement)
    }

    fn read(statement: Statement) -> Result<Self, SupplyError> {
        if statement.kind != STATEMENT || statement.predicate_type != PREDICATE_TYPE {
            return Err(bad(format!("it is not a statement of type `{PREDICATE_TYPE}`")));
        }
        let [subject] = statement.subject.as_slice() else {
            return Err(bad("it must have one subject, the model".into()));
        };
        let Predicate { serialization, resources } = statement.predicate;
        if serialization.method != BY_FILE || serialization.hash_type != SHA256 || serialization.allow_symlinks {
            return Err(bad("only SHA-256 of whole files without symbolic links is read".into()));
        }
        if resources.is_empty() || resources.len() > MAX_SIGNED_FILES {
            return Err(bad(format!("{} files, 1 to {MAX_SIGNED_FILES} are read", resources.len())));
        }
        let mut digests = Vec::with_capacity(resources.len());
        let mut files = BTreeMap::new();
        for file in resources {
            let digest = Some(file.digest).filter(|_| file.algorithm == SHA256).and_then(|d| Digest::from_hex(&d));
            let digest = digest.ok_or_else(|| bad(format!("`{}` has no SHA-256", file.name)))?;
            digests.push(digest);
            if files.insert(file.name.clone(), digest).is_some() {
                return Err(bad(format!("`{}` is there twice", file.name)));
            }
        }
        if subject.digest.get(SHA256).map(String::as_str) != Some(root(digests.iter()).to_hex().as_str()) {
            return Err(bad("the model's digest is not that of its files".into()));
        }
        Ok(Self { model: subject.name.clone(), files, ignored: serialization.ignore_paths })
    }
}

fn root<'a>(digests: impl Iterator<Item = &'a Digest>) -> Digest {
    let mut all = Sha256::new();
    for digest in digests {
        all.update(digest.0);
    }
    Digest(all.finalize().into())
}

fn bad(why: String) -> SupplyError {
    SupplyError::Document { document: NAME, why }
}

#[cfg(test)]
mod tests {
    use super::super::key::tests::new_key;
    use super::*;

    /// The folder that the reference implementation (PyPI `model-signing` 1.1.1) was given: three short files.
    fn sample() -> SignedFiles {
        let files = [("model.onnx", "a\n"), ("card.md", "b\n"), ("zzz.json", "c\n")];
        SignedFiles {
            model: "m".into(),
            files: files.iter().map(|(name, text)| ((*name).into(), Digest::of(text.as_bytes()))).collect(),
            ignored: vec!["model.sig".into()],
        }
    }

    /// What it signed, with the key of which only the public half is here.
    const REFERENCE: &str = include_str!("../../tests/data/model_signing_1.1.1.sig");
    const REFERENCE_KEY: &str = include_str!("../../tests/data/model_signing_1.1.1.pub.pem");

    #[test]
    fn the_statement_is_golden() {
        let text = String::from_utf8(sample().statement().unwrap()).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"m","digest":{"sha256":"#,
                r#""272a59633dff6318b6ab9a5b404283d96fa694038669d1f09fc9c61ac6db737b"}}],"#,
                r#""predicateType":"https://model_signing/signature/v1.0","predicate":{"serialization":{"#,
                r#""method":"files","hash_type":"sha256","allow_symlinks":false,"ignore_paths":["model.sig"]},"#,
                r#""resources":[{"name":"card.md","algorithm":"sha256","digest":"#,
                r#""0263829989b6fd954f72baaf2fc64bc2e2f01d692d4de72986ea808f6e99813f"},"#,
                r#"{"name":"model.onnx","algorithm":"sha256","digest":"#,
                r#""87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7"},"#,
                r#"{"name":"zzz.json","algorithm":"sha256","digest":"#,
                r#""a3a5e715f0cc574a73c3f9bebb6bc24f32ffd5b67b387244c2c909da779a1478"}]}}"#,
            )
        );
    }

    #[test]
    fn reads_what_the_reference_implementation_signed() {
        let key = PublicKey::from_pem(REFERENCE_KEY.as_bytes()).unwrap();
        let read = SignedFiles::open(REFERENCE.as_bytes(), &key).unwrap();
        assert_eq!((read.model.as_str(), &read.files), ("m", &sample().files));
        assert!(read.ignored.contains(&"model.sig".to_owned()));
        let other = SignedFiles::open(REFERENCE.as_bytes(), new_key().public());
        assert!(matches!(other, Err(SupplyError::OtherKey { .. })));
    }

    #[test]
    fn reads_what_it_signs_and_refuses_what_was_changed() {
        let key = new_key();
        let signed = sample().sign(&key).unwrap();
        assert_eq!(SignedFiles::open(&signed, key.public()).unwrap(), sample());
        let text = String::from_utf8(signed).unwrap();
        let without_hint = text.replace(&key.public().fingerprint(), "");
        assert!(SignedFiles::open(without_hint.as_bytes(), key.public()).is_ok());
        assert!(matches!(
            SignedFiles::open(without_hint.as_bytes(), new_key().public()),
            Err(SupplyError::Signature { .. })
        ));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            // Nothing that still opens says anything else: at most an unsigned hint became another unknown field.
            if let Ok(read) = SignedFiles::open(&bytes, key.public()) {
                assert_eq!(read, sample(), "byte {at}");
            }
        }
    }

    #[test]
    fn statements_that_contradict_themselves_are_refused() {
        let key = new_key();
        let good = String::from_utf8(sample().statement().unwrap()).unwrap();
        let changes = [
            ("Statement/v1", "Statement/v0.1"),
            ("signature/v1.0", "signature/v2.0"),
            ("\"files\"", "\"shards\""),
            ("\"hash_type\":\"sha256\"", "\"hash_type\":\"blake2\""),
            ("\"allow_symlinks\":false", "\"allow_symlinks\":true"),
            ("272a", "272b"),
            ("0263", "0264"),
            ("0263", "026"),
            ("zzz.json", "card.md"),
            ("\"resources\":[{", "\"resources\":[],\"x\":[{"),
        ];
        for (from, to) in changes {
            let mut envelope = Envelope::new(IN_TOTO, good.replacen(from, to, 1).as_bytes());
            envelope.sign(&key, "").unwrap();
            let mut bundle: SigstoreBundle = serde_json::from_slice(&sample().sign(&key).unwrap()).unwrap();
            bundle.dsse_envelope = envelope;
            let read = SignedFiles::open(&serde_json::to_vec(&bundle).unwrap(), key.public());
            assert!(matches!(read, Err(SupplyError::Document { .. })), "{from} -> {to}: {read:?}");
        }
    }
}
