//! Detached signatures: made where the key is, carried as a small file, attached where the draft is.
use pinnace_protocol::signature::Verifier;
use pinnace_protocol::trust::{SignatureEntry, Signer, author, json};
use serde::{Deserialize, Serialize};

use super::draft::{Document, Draft};
use super::error::DraftError;
use crate::limits::{DRAFT_DOCUMENTS_MAX, SIGNATURE_FILE_MAX_BYTES};

/// What a signature file says it is.
const FORMAT: &str = "pinnace-signatures-1";

/// The signatures of one key over the documents of one draft in which it has a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signatures {
    format: String,
    /// One for each document.
    signatures: Vec<Detached>,
}

/// One signature, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Detached {
    role: String,
    version: u64,
    keyid: String,
    sig: String,
}

impl Signatures {
    /// Reads a signature file.
    ///
    /// # Errors
    /// [`DraftError::Malformed`]; nothing in it is trusted before [`Draft::attach`].
    pub fn parse(bytes: &[u8]) -> Result<Self, DraftError> {
        let malformed = |why: String| DraftError::Malformed {
            what: "the signature file",
            why,
            hint: "it is what `pinnace keys sign` wrote next to the draft, DRAFT.<key>.sig.json",
        };
        let value =
            json::parse("the signature file", bytes, SIGNATURE_FILE_MAX_BYTES).map_err(|e| malformed(e.to_string()))?;
        let file = Self::deserialize(value).map_err(|e| malformed(e.to_string()))?;
        if file.format != FORMAT {
            return Err(malformed(format!("its format is `{}`, not `{FORMAT}`", file.format)));
        }
        if file.signatures.is_empty() || file.signatures.len() > DRAFT_DOCUMENTS_MAX {
            return Err(malformed(format!("{} signatures in it", file.signatures.len())));
        }
        Ok(file)
    }

    /// Returns the file.
    ///
    /// # Errors
    /// [`DraftError`] when it cannot be written as JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, DraftError> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|e| DraftError::draft(e.to_string()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Returns the documents signed, each with its version.
    pub fn documents(&self) -> impl Iterator<Item = (&str, u64)> {
        self.signatures.iter().map(|one| (one.role.as_str(), one.version))
    }
}

impl Draft {
    /// Signs every document in which this key has a part.
    ///
    /// # Errors
    /// [`DraftError::ForeignKey`] when it has none.
    pub fn sign(&self, signer: &dyn Signer) -> Result<Signatures, DraftError> {
        let needs = self.needs()?;
        let public = signer.key().public();
        let mut signatures = Vec::<Detached>::new();
        for need in &needs {
            let Some(key) = need.keys.iter().find(|key| key.key.public() == public) else { continue };
            let Some(envelope) = self.envelope(&need.role)? else { continue };
            if signatures.iter().any(|one| one.role == need.role && one.keyid == key.id) {
                continue;
            }
            let sig = hex::encode(signer.sign(envelope.payload()));
            let version = envelope.signed().get("version").and_then(serde_json::Value::as_u64).unwrap_or(0);
            // Under the id that the document uses: ids are opaque, whoever made the root chose them.
            signatures.push(Detached { role: need.role.clone(), version, keyid: key.id.clone(), sig });
        }
        if signatures.is_empty() {
            return Err(DraftError::ForeignKey { key: signer.key_id(), wanted: wanted(&needs) });
        }
        Ok(Signatures { format: FORMAT.into(), signatures })
    }

    /// Attaches the signatures of one file, all or none.
    ///
    /// # Errors
    /// [`DraftError`] when one is for another draft, does not fit, or is of a key that has no part in the draft.
    pub fn attach(&mut self, file: &Signatures) -> Result<(), DraftError> {
        let needs = self.needs()?;
        let mut documents = self.documents.clone();
        for one in &file.signatures {
            let foreign = || DraftError::NotInDraft { role: one.role.clone(), version: one.version };
            let document = documents.iter_mut().find(|document| document.role == one.role).ok_or_else(foreign)?;
            let version = document.metadata.pointer("/signed/version").and_then(serde_json::Value::as_u64);
            if version != Some(one.version) {
                return Err(foreign());
            }
            let mut asked = needs.iter().filter(|need| need.role == one.role).flat_map(|need| &need.keys);
            let key = asked
                .find(|key| key.id == one.keyid)
                .ok_or_else(|| DraftError::ForeignKey { key: one.keyid.clone(), wanted: wanted(&needs) })?;
            let Some(envelope) = self.envelope(&one.role)? else { return Err(foreign()) };
            if !key.key.verifies(envelope.payload(), &one.sig, Verifier::STRICT) {
                return Err(DraftError::BadSignature { role: one.role.clone(), key: one.keyid.clone() });
            }
            let entry = SignatureEntry { keyid: one.keyid.clone(), sig: one.sig.clone() };
            let signed = author::attach(&document.bytes()?, entry).map_err(DraftError::trust(one.role.as_str()))?;
            *document = Document::of(&one.role, &signed)?;
        }
        self.documents = documents;
        Ok(())
    }
}

fn wanted(needs: &[super::Need]) -> String {
    let one = |need: &super::Need| {
        let ids: Vec<String> = need.keys.iter().map(super::NeededKey::name).collect();
        format!("{} of the {} {}", need.threshold, need.whose(), ids.join(", "))
    };
    needs.iter().map(one).collect::<Vec<_>>().join("; ")
}
