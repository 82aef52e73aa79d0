//! Who must sign a draft, and who has.
use std::collections::BTreeMap;

use pinnace_protocol::signature::Verifier;
use pinnace_protocol::trust::metadata::{ROOT, TARGETS};
use pinnace_protocol::trust::{Envelope, RoleKeys, Root, TufKey};

use super::draft::Draft;
use super::error::DraftError;
use super::short;

/// In what capacity keys sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The root keys that devices trust now.
    OldRoot,
    /// The root keys that devices will trust.
    NewRoot,
    /// The root keys, where the draft does not change them.
    Root,
    /// The keys of the document's role.
    Role,
}

/// Signatures that one document needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Need {
    /// The document.
    pub role: String,
    /// Whose.
    pub who: Who,
    /// How many different keys.
    pub threshold: u64,
    /// How many different keys have signed.
    pub valid: u64,
    /// All keys that count.
    pub keys: Vec<NeededKey>,
}

/// A key that counts for a [`Need`].
#[derive(Debug, Clone, PartialEq)]
pub struct NeededKey {
    /// Its id.
    pub id: String,
    /// The key.
    pub key: TufKey,
    /// Whether its signature is there and fits.
    pub signed: bool,
}

impl NeededKey {
    /// Returns the beginning of the key's own id; the one in the document is opaque.
    pub fn name(&self) -> String {
        short(&self.key.key_id()).to_owned()
    }
}

impl Need {
    fn of(role: &str, who: Who, holders: &RoleKeys, known: &BTreeMap<String, TufKey>, envelope: &Envelope) -> Self {
        let signed = |id: &str, key: &TufKey| {
            let signature = envelope.signatures().get(id);
            signature.is_some_and(|sig| key.verifies(envelope.payload(), sig, Verifier::STRICT))
        };
        let keys = holders.keyids.iter().filter_map(|id| Some((id, known.get(id)?)));
        let keys = keys.map(|(id, key)| NeededKey { id: id.clone(), key: key.clone(), signed: signed(id, key) });
        Self {
            role: role.into(),
            who,
            threshold: holders.threshold,
            // The one place that counts for devices: different public keys, whatever ids they are listed under.
            valid: envelope.valid_keys(holders, known, Verifier::STRICT) as u64,
            keys: keys.collect(),
        }
    }

    /// Returns how many signatures are missing.
    pub const fn missing(&self) -> u64 {
        self.threshold.saturating_sub(self.valid)
    }

    /// Returns whose keys these are, in words.
    pub fn whose(&self) -> String {
        match self.who {
            Who::OldRoot => "old root keys".into(),
            Who::NewRoot => "new root keys".into(),
            Who::Root => "root keys".into(),
            Who::Role => format!("{} keys", self.role),
        }
    }

    /// Returns the keys that have not signed, in words; empty when enough have.
    pub fn still_missing(&self) -> Option<String> {
        if self.missing() == 0 {
            return None;
        }
        let open: Vec<String> = self.keys.iter().filter(|key| !key.signed).map(NeededKey::name).collect();
        let (missing, needed) = (self.missing(), self.threshold);
        let any = if open.len() as u64 > missing { "any of " } else { "" };
        Some(format!("{missing} of {needed} {} ({any}{})", self.whose(), open.join(", ")))
    }
}

impl Draft {
    /// Returns which signatures each document needs and has.
    ///
    /// # Errors
    /// [`DraftError`] when a document cannot be read or nobody is named for it.
    pub fn needs(&self) -> Result<Vec<Need>, DraftError> {
        let mut needs = Vec::new();
        for document in &self.documents {
            let role = document.role.as_str();
            let Some(envelope) = self.envelope(role)? else { continue };
            match role {
                ROOT => self.root_needs(&envelope, &mut needs)?,
                TARGETS => {
                    let root = self.root()?;
                    let holders = root.role(TARGETS).map_err(DraftError::trust(ROOT))?;
                    needs.push(Need::of(role, Who::Role, holders, &root.keys, &envelope));
                }
                family => {
                    let delegations = self.targets()?.delegations.unwrap_or_default();
                    let named = delegations.roles.iter().find(|delegated| delegated.name == family);
                    let named = named
                        .ok_or_else(|| DraftError::draft(format!("the targets delegate nothing to `{family}`")))?;
                    needs.push(Need::of(role, Who::Role, &named.role_keys(), &delegations.keys, &envelope));
                }
            }
        }
        Ok(needs)
    }

    fn root_needs(&self, envelope: &Envelope, needs: &mut Vec<Need>) -> Result<(), DraftError> {
        let Some(new) = self.body::<Root>(ROOT)? else { return Ok(()) };
        let holders = new.role(ROOT).map_err(DraftError::trust(ROOT))?;
        let Some(old) = self.present_body::<Root>(ROOT)? else {
            needs.push(Need::of(ROOT, Who::Root, holders, &new.keys, envelope));
            return Ok(());
        };
        let before = old.role(ROOT).map_err(DraftError::trust(ROOT))?;
        let same = before.threshold == holders.threshold && before.publics(&old.keys) == holders.publics(&new.keys);
        if same {
            needs.push(Need::of(ROOT, Who::Root, holders, &new.keys, envelope));
        } else {
            needs.push(Need::of(ROOT, Who::OldRoot, before, &old.keys, envelope));
            needs.push(Need::of(ROOT, Who::NewRoot, holders, &new.keys, envelope));
        }
        Ok(())
    }

    /// Checks that every document has the signatures that a device asks for.
    ///
    /// # Errors
    /// [`DraftError::Missing`] with whose are missing.
    pub fn check_complete(&self) -> Result<(), DraftError> {
        let needs = self.needs()?;
        let lacks = |need: &Need| Some(format!("{} lacks {}", need.role, need.still_missing()?));
        let open: Vec<String> = needs.iter().filter_map(lacks).collect();
        if open.is_empty() { Ok(()) } else { Err(DraftError::Missing(open)) }
    }
}
