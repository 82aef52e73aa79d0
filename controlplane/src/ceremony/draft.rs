//! A draft: documents to sign and the published ones they follow, in one file that is carried from machine to machine.
use pinnace_protocol::trust::limits::{ROOT_MAX_BYTES, TARGETS_MAX_BYTES};
use pinnace_protocol::trust::metadata::{ROOT, SNAPSHOT, TARGETS, TIMESTAMP};
use pinnace_protocol::trust::{Body, Envelope, Root, Targets, author, json};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::DraftError;
use crate::limits::{DRAFT_DOCUMENTS_MAX, DRAFT_MAX_BYTES};

/// What a draft file says it is.
const FORMAT: &str = "pinnace-draft-1";

/// One of the two repositories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Repository {
    /// What exists and may be rolled out.
    Image,
    /// Which device should run what.
    Director,
}

impl Repository {
    /// Returns its name, as in the store and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Image => crate::registry::IMAGE,
            Self::Director => crate::registry::DIRECTOR,
        }
    }
}

/// A document of one role, with its signatures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// `root`, `targets` or a family.
    pub role: String,
    /// `{signatures, signed}` as TUF writes it.
    pub metadata: Value,
}

/// Documents to sign, and what is published now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    format: String,
    /// Whose documents these are.
    pub repository: Repository,
    /// What is to be signed.
    pub documents: Vec<Document>,
    /// What is published: the versions before, and those that name the keys. Empty for the first metadata.
    #[serde(default)]
    pub present: Vec<Document>,
}

impl Draft {
    /// Makes a draft and checks that it hangs together.
    ///
    /// # Errors
    /// [`DraftError`] naming what does not fit.
    pub fn new(repository: Repository, documents: Vec<Document>, present: Vec<Document>) -> Result<Self, DraftError> {
        let draft = Self { format: FORMAT.into(), repository, documents, present };
        draft.check()?;
        Ok(draft)
    }

    /// Reads a draft file.
    ///
    /// # Errors
    /// [`DraftError`] naming what does not fit; nothing in the file is trusted for being there.
    pub fn parse(bytes: &[u8]) -> Result<Self, DraftError> {
        let value = json::parse("the draft", bytes, DRAFT_MAX_BYTES).map_err(DraftError::trust("the draft"))?;
        let draft = Self::deserialize(value).map_err(|e| DraftError::draft(e.to_string()))?;
        if draft.format != FORMAT {
            return Err(DraftError::draft(format!("its format is `{}`, not `{FORMAT}`", draft.format)));
        }
        draft.check()?;
        Ok(draft)
    }

    /// Returns the draft as a file.
    ///
    /// # Errors
    /// [`DraftError`] when it cannot be written as JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, DraftError> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|e| DraftError::draft(e.to_string()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Returns whether these are the first documents of a repository.
    pub fn is_first(&self) -> bool {
        self.present.is_empty()
    }

    /// Returns the envelope of a document to sign.
    ///
    /// # Errors
    /// [`DraftError`] when it cannot be read.
    pub fn envelope(&self, role: &str) -> Result<Option<Envelope>, DraftError> {
        envelope(&self.documents, role)
    }

    /// Returns a document to sign, typed.
    ///
    /// # Errors
    /// [`DraftError`] when it cannot be read.
    pub fn body<T: Body>(&self, role: &str) -> Result<Option<T>, DraftError> {
        body(&self.documents, role)
    }

    /// Returns a document that is published now, typed.
    ///
    /// # Errors
    /// [`DraftError`] when it cannot be read.
    pub fn present_body<T: Body>(&self, role: &str) -> Result<Option<T>, DraftError> {
        body(&self.present, role)
    }

    /// Returns the root that names the keys after this draft: the new one where there is one.
    ///
    /// # Errors
    /// [`DraftError`] when there is none.
    pub fn root(&self) -> Result<Root, DraftError> {
        let root = self.body(ROOT)?.map_or_else(|| self.present_body(ROOT), |root| Ok(Some(root)))?;
        root.ok_or_else(|| DraftError::draft("no root in it names the keys"))
    }

    /// Returns the top-level targets that name the families' keys after this draft.
    ///
    /// # Errors
    /// [`DraftError`] when there are none.
    pub fn targets(&self) -> Result<Targets, DraftError> {
        let targets = self.body(TARGETS)?.map_or_else(|| self.present_body(TARGETS), |targets| Ok(Some(targets)))?;
        targets.ok_or_else(|| DraftError::draft("no targets in it name the family's keys"))
    }

    /// Returns the signed documents as they will be published, by role; signatures are not judged here.
    ///
    /// # Errors
    /// [`DraftError`] when a document cannot be written.
    pub fn files(&self) -> Result<Vec<(String, Vec<u8>)>, DraftError> {
        self.documents.iter().map(|document| Ok((document.role.clone(), canonical(document)?))).collect()
    }

    fn check(&self) -> Result<(), DraftError> {
        let count = self.documents.len();
        if count == 0 || count > DRAFT_DOCUMENTS_MAX || self.present.len() > DRAFT_DOCUMENTS_MAX {
            return Err(DraftError::draft(format!("{count} documents, 1 to {DRAFT_DOCUMENTS_MAX} are possible")));
        }
        for list in [&self.documents, &self.present] {
            for (index, document) in list.iter().enumerate() {
                if list.iter().skip(index + 1).any(|other| other.role == document.role) {
                    return Err(DraftError::draft(format!("{} is in it twice", document.role)));
                }
            }
        }
        for document in &self.documents {
            let role = document.role.as_str();
            let (found, before) = match role {
                ROOT => (version::<Root>(&self.documents, role)?, version::<Root>(&self.present, role)?),
                SNAPSHOT | TIMESTAMP => {
                    return Err(DraftError::draft(format!("{role} is signed by the control plane, not by hand")));
                }
                _ if self.repository == Repository::Director => {
                    return Err(DraftError::draft(format!("the director has no offline role `{role}`")));
                }
                _ => (version::<Targets>(&self.documents, role)?, version::<Targets>(&self.present, role)?),
            };
            let expected = before.unwrap_or(0).saturating_add(1);
            if found != Some(expected) {
                let found = found.unwrap_or(0);
                return Err(DraftError::draft(format!("{role} is version {found}, {expected} comes next")));
            }
        }
        Ok(())
    }
}

impl Document {
    /// Takes a signed or unsigned document.
    ///
    /// # Errors
    /// [`DraftError`] when it is no JSON that TUF allows.
    pub fn of(role: &str, bytes: &[u8]) -> Result<Self, DraftError> {
        let metadata = json::parse(role, bytes, TARGETS_MAX_BYTES).map_err(DraftError::trust(role))?;
        Ok(Self { role: role.into(), metadata })
    }

    /// Takes a new document, unsigned.
    ///
    /// # Errors
    /// [`DraftError`] when its readers would refuse it.
    pub fn unsigned(role: &str, body: &impl Body) -> Result<Self, DraftError> {
        Self::of(role, &author::sign(body, &[]).map_err(DraftError::trust(role))?)
    }

    /// Returns its bytes, to be parsed again by whoever judges them.
    ///
    /// # Errors
    /// [`DraftError`] when it cannot be written.
    pub fn bytes(&self) -> Result<Vec<u8>, DraftError> {
        serde_json::to_vec(&self.metadata).map_err(|e| DraftError::draft(e.to_string()))
    }
}

fn cap(role: &str) -> usize {
    if role == ROOT { ROOT_MAX_BYTES } else { TARGETS_MAX_BYTES }
}

fn envelope(list: &[Document], role: &str) -> Result<Option<Envelope>, DraftError> {
    let Some(document) = list.iter().find(|document| document.role == role) else { return Ok(None) };
    Envelope::parse(role, &document.bytes()?, cap(role)).map(Some).map_err(DraftError::trust(role))
}

fn body<T: Body>(list: &[Document], role: &str) -> Result<Option<T>, DraftError> {
    let Some(envelope) = envelope(list, role)? else { return Ok(None) };
    envelope.body(role).map(Some).map_err(DraftError::trust(role))
}

fn version<T: Body>(list: &[Document], role: &str) -> Result<Option<u64>, DraftError> {
    Ok(body::<T>(list, role)?.map(|body| body.header().version))
}

/// Writes a document as [`author`] does, so that what is published is compact and its `signed` canonical.
fn canonical(document: &Document) -> Result<Vec<u8>, DraftError> {
    let bytes = document.bytes()?;
    let envelope = Envelope::parse(&document.role, &bytes, cap(&document.role))
        .map_err(DraftError::trust(document.role.as_str()))?;
    let entry = envelope
        .signatures()
        .iter()
        .next()
        .map(|(keyid, sig)| pinnace_protocol::trust::SignatureEntry { keyid: keyid.clone(), sig: sig.clone() });
    match entry {
        // Attaching a signature that is there already changes nothing but the form.
        Some(entry) => author::attach(&bytes, entry).map_err(DraftError::trust(document.role.as_str())),
        None => Ok(bytes),
    }
}
