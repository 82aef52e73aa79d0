//! Judging a ceremony's result: new roots and new keys of families are taken in only when devices would follow.
use std::collections::BTreeSet;
use std::sync::Arc;

use pinnace_protocol::signature::Verifier;
use pinnace_protocol::trust::author::{DirectorOrder, direct};
use pinnace_protocol::trust::limits::{ROOT_MAX_BYTES, TARGETS_MAX_BYTES};
use pinnace_protocol::trust::metadata::{ROOT, SNAPSHOT, TARGETS, TIMESTAMP};
use pinnace_protocol::trust::names::metadata_name;
use pinnace_protocol::trust::state::next_root;
use pinnace_protocol::trust::{
    Envelope, Floors, ImageClient, Request, Response, Root, Targets, TrustError, envelope, verify_director,
};

use super::director_roots::DirectorRoots;
use super::published::Published;
use super::release::{MANIFEST_SUFFIX, from_first_root, look_up};
use super::{Candidate, OnlineError, Registry, ReleaseError};
use crate::ceremony::{Document, Draft, DraftError, Repository, summary};
use crate::keys::KeyError;
use crate::limits::{DIRECTOR_LIFE_S, ROOTS_MAX};

/// Signed documents that change keys or expiry, and nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotation {
    /// The next root of the image repository.
    pub root: Option<Vec<u8>>,
    /// The next version of targets documents, by role.
    pub targets: Vec<(String, Vec<u8>)>,
}

impl Rotation {
    /// Says in one sentence what changes against what is published in a repository, for the history.
    ///
    /// # Errors
    /// [`DraftError`] when a document cannot be read or is not the next version.
    pub fn summary(&self, registry: &Registry, repository: Repository) -> Result<String, DraftError> {
        let published = registry.published();
        let (mut documents, mut present) = (Vec::new(), Vec::new());
        if let Some(root) = &self.root {
            documents.push(Document::of(ROOT, root)?);
            let before = match repository {
                Repository::Image => published.metadata(&metadata_name(ROOT, Some(published.root_version()))),
                Repository::Director => Some(registry.director().newest_bytes().to_vec().into()),
            };
            present.extend(before.map(|bytes| Document::of(ROOT, &bytes)).transpose()?);
        }
        for (role, bytes) in &self.targets {
            documents.push(Document::of(role, bytes)?);
            let before = published.metadata(&metadata_name(role, Some(published.version_of(role))));
            present.extend(before.map(|bytes| Document::of(role, &bytes)).transpose()?);
        }
        summary(&Draft::new(repository, documents, present)?)
    }

    /// Returns the time to judge the new publication by: now, or while everything that it leaves as it is was valid.
    ///
    /// A family that expired long ago must not stand in the way of a new root, nor an expired root in the way of new
    /// targets: each is renewed by its own keys, one after the other. What is new was held against the true time.
    fn judged_at(&self, published: &Published, now: u64) -> u64 {
        let renewed = |role: &str| self.targets.iter().any(|(one, _)| one == role);
        let kept = published.roles().filter(|role| !renewed(role)).filter_map(|role| published.header_of(role));
        let root = self.root.is_none().then_some(&published.root().header);
        kept.chain(root).map(|header| header.expires.saturating_sub(1)).fold(now, u64::min)
    }
}

/// Says why a rotation is refused; nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// A signature, threshold, version or expiry does not fit.
    #[error(
        "the new metadata are not trusted: {0}\n  hint: devices would refuse them for the same reason; look at `pinnace keys show DRAFT` for what is missing"
    )]
    Trust(#[from] TrustError),
    /// The plane does not hold a key that the new root names.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It is not a change of keys or expiry.
    #[error("{role} cannot be taken in this way: {why}\n  hint: {hint}")]
    Refused {
        /// The document.
        role: String,
        /// Why.
        why: String,
        /// What to do instead.
        hint: &'static str,
    },
    /// A device that is up to date, or one that knows only the first root, would not follow.
    #[error("a device {who} would not follow: {why}")]
    NotFollowed {
        /// Which device.
        who: &'static str,
        /// What it would say, with a hint.
        why: String,
    },
}

impl From<OnlineError> for RotationError {
    fn from(error: OnlineError) -> Self {
        match error {
            OnlineError::Trust(fault) => Self::Trust(fault),
            OnlineError::Key(fault) => Self::Key(fault),
        }
    }
}

fn refused(role: &str, why: impl Into<String>, hint: &'static str) -> RotationError {
    RotationError::Refused { role: role.into(), why: why.into(), hint }
}

/// What to do about a draft that is older than what is published.
const AGAIN: &str = "draft the change again from what is published now, and sign it again";

impl Registry {
    /// Judges new metadata of the image repository and builds the publication that makes them visible.
    ///
    /// Call it under [`Registry::lock`]. `now` is seconds since 1970.
    ///
    /// # Errors
    /// [`RotationError`]; nothing changed.
    pub fn judge_rotation(&self, rotation: &Rotation, now: u64) -> Result<Candidate, RotationError> {
        let published = self.published();
        if rotation.root.is_none() && rotation.targets.is_empty() {
            return Err(refused("nothing", "no document was sent", AGAIN));
        }
        if let Some(bytes) = &rotation.root {
            let new = follow(published.root(), bytes, now)?;
            for role in [SNAPSHOT, TIMESTAMP] {
                if new.role(role)?.threshold != 1 {
                    let hint = "this plane signs snapshot and timestamp with one key each; leave their thresholds at 1";
                    return Err(refused(ROOT, format!("it asks for several signatures of {role}"), hint));
                }
            }
        }
        let mut roles = Vec::<(&str, &[u8])>::new();
        for (role, bytes) in &rotation.targets {
            check_unchanged(&published, role, bytes, now)?;
            if roles.iter().any(|(one, _)| one == role) {
                return Err(refused(role, "it is there twice", AGAIN));
            }
            roles.push((role, bytes));
        }
        let candidate = self.next(&published, rotation.root.as_deref(), &roles, now)?;
        followed_by_all(&published, &candidate.published, rotation.judged_at(&published, now))?;
        Ok(candidate)
    }

    /// Judges a new director root; returns the roots with it, to be adopted once it is durable.
    ///
    /// Call it under [`Registry::lock`]. `now` is seconds since 1970.
    ///
    /// # Errors
    /// [`RotationError`]; nothing changed.
    pub fn judge_director_root(&self, bytes: &[u8], now: u64) -> Result<Arc<DirectorRoots>, RotationError> {
        let present = self.director();
        let new = follow(present.newest(), bytes, now)?;
        for role in [TARGETS, SNAPSHOT, TIMESTAMP] {
            if new.role(role)?.threshold != 1 {
                let hint = "this plane signs for devices with one key; leave the thresholds at 1";
                return Err(refused("director root", format!("it asks for several signatures of {role}"), hint));
            }
        }
        let roots = present.with(bytes.to_vec(), self.keys())?;
        // A bundle for nobody, read by a device that has the present root, and by one that has the oldest still served.
        let order = DirectorOrder {
            device: "nobody",
            nonce: None,
            issued: now,
            expires: now.saturating_add(DIRECTOR_LIFE_S),
            sequence: now.max(1),
            generation: now.max(1),
            assignment: None,
            roots: roots.for_device(None),
        };
        let bundle = direct(&order, roots.key())?.encode()?;
        let up_to_date = (present.newest_bytes(), "that is up to date");
        // More rotations than one bundle carries reach such a device in several.
        let all_sent = roots.for_device(None).len() as u64 + 1 == new.header.version;
        let oldest = all_sent.then_some((present.first_bytes(), "that knows only the first root"));
        for (root, who) in [Some(up_to_date), oldest].into_iter().flatten() {
            verify_director(&bundle, root, "nobody", None, &Floors::default(), now).map_err(|fault| {
                RotationError::NotFollowed { who, why: format!("{fault}\n  hint: {}", fault.hint()) }
            })?;
        }
        Ok(Arc::new(roots))
    }
}

/// Verifies the root that follows the present one, as a device does, and that it is good for something.
fn follow(present: &Root, bytes: &[u8], now: u64) -> Result<Root, RotationError> {
    let offered: Root = Envelope::parse(ROOT, bytes, ROOT_MAX_BYTES)?.body(ROOT)?;
    if offered.header.version <= present.header.version {
        let (found, have) = (offered.header.version, present.header.version);
        return Err(refused(ROOT, format!("version {found} is not above {have}, which is published"), AGAIN));
    }
    if offered.header.version > ROOTS_MAX {
        let hint = "devices follow no more; begin a new repository";
        return Err(refused(ROOT, format!("it would be root {ROOTS_MAX} and one more"), hint));
    }
    let new = next_root(present, bytes, Verifier::STRICT)?;
    envelope::check_expiry(ROOT, &new, now)?;
    Ok(new)
}

/// Checks that targets differ from the published ones in keys, version and expiry alone: what is released goes through
/// a release, where bundles are judged.
fn check_unchanged(published: &Published, role: &str, bytes: &[u8], now: u64) -> Result<(), RotationError> {
    if published.version_of(role) == 0 {
        let hint = "publish its first bundle with `pinnace publish`";
        return Err(refused(role, "no such role is published", hint));
    }
    let offered: Targets = Envelope::parse(role, bytes, TARGETS_MAX_BYTES)?.body(role)?;
    let present = published.targets_document(role)?;
    let (found, have) = (offered.header.version, present.header.version);
    if found <= have {
        return Err(refused(role, format!("version {found} is not above {have}, which is published"), AGAIN));
    }
    if offered.targets != present.targets {
        let hint = "release and take back bundles with `pinnace publish`, not in a change of keys";
        return Err(refused(role, "its files are not those that are published", hint));
    }
    let names = |targets: &Targets| -> BTreeSet<String> {
        targets.delegations.iter().flat_map(|list| &list.roles).map(|one| one.name.clone()).collect()
    };
    if names(&offered) != names(&present) {
        return Err(refused(role, "its families are not those that are published", AGAIN));
    }
    envelope::check_expiry(role, &offered, now)?;
    Ok(())
}

/// Reads the new publication as two devices do: one that is up to date, and one that knows only the first root.
fn followed_by_all(present: &Published, next: &Published, now: u64) -> Result<(), RotationError> {
    let mut current = ImageClient::new(from_first_root(present)?, Floors::default(), now);
    // What has expired meanwhile ends this refresh early; what the device kept until then still counts.
    drop(refresh(&mut current, present));
    let (state, floors) = current.into_state();
    let devices = [
        ("that is up to date", ImageClient::new(state, floors, now)),
        ("that knows only the first root", ImageClient::new(from_first_root(next)?, Floors::default(), now)),
    ];
    for (who, mut client) in devices {
        let not_followed = |why: ReleaseError| RotationError::NotFollowed { who, why: why.to_string() };
        refresh(&mut client, next).map_err(|fault| not_followed(fault.into()))?;
        for role in next.roles() {
            let kept = next.targets_of(role).find(|target| target.path.ends_with(MANIFEST_SUFFIX));
            if let Some(kept) = kept {
                look_up(&mut client, next, &kept.path).map_err(not_followed)?;
            }
        }
    }
    Ok(())
}

fn refresh(client: &mut ImageClient, published: &Published) -> Result<(), TrustError> {
    // Each turn loads one document: the roots, then four roles.
    for _ in 0..=published.files().len() + 1 {
        match client.poll() {
            Request::Done(()) => return Ok(()),
            Request::Failed(fault) => return Err(fault),
            Request::Fetch(fetch) => {
                let bytes = published.metadata(&fetch.name);
                let response = bytes.as_deref().map_or(Response::NotFound, Response::Bytes);
                // What a device would store means nothing here.
                drop(client.feed(response));
            }
        }
    }
    Err(TrustError::Missing { what: "the end of the repository".into() })
}
