//! Feeds the core with what it asks for, and stores what it says.
use pinnace_protocol::signature::Verifier;
use pinnace_protocol::trust::limits::{DELEGATIONS_MAX, ROOT_ROTATIONS_MAX};
use pinnace_protocol::trust::{Fetch, ImageClient, Request, Response, TrustedState, VerifiedTarget};

use crate::error::Fault;
use crate::fetch::{Fetcher, join};
use crate::store::MetadataDir;

/// Documents of one refresh and look-up: roots, the three others, delegated roles.
const DOCUMENTS_MAX: usize = ROOT_ROTATIONS_MAX + DELEGATIONS_MAX + 8;

/// One refresh and the look-ups after it.
pub struct Session {
    dir: MetadataDir,
    metadata_url: String,
    client: ImageClient,
    /// What fetches.
    pub fetcher: Fetcher,
}

impl Session {
    /// Starts from what is stored; `now` is the wall clock, unix seconds.
    ///
    /// # Errors
    /// `Disk`, or `Trust` when the stored root is unsound.
    pub fn open(dir: MetadataDir, metadata_url: &str, now: u64) -> Result<Self, Fault> {
        let trusted = TrustedState::load_with(&dir.root()?, dir.files()?, Verifier::EVERY_SCHEME)?;
        let client = ImageClient::new(trusted, dir.floors(), now);
        Ok(Self { dir, metadata_url: metadata_url.into(), client, fetcher: Fetcher::new() })
    }

    /// Brings root, timestamp, snapshot and top-level targets up to date.
    ///
    /// # Errors
    /// [`Fault`]; what was verified before the fault is stored.
    pub fn refresh(&mut self) -> Result<(), Fault> {
        for _ in 0..DOCUMENTS_MAX {
            match self.client.poll() {
                Request::Done(()) => return Ok(()),
                Request::Failed(fault) => return Err(fault.into()),
                Request::Fetch(fetch) => self.answer(&fetch)?,
            }
        }
        Err(Fault::Endless)
    }

    /// Looks a target up through the delegations.
    ///
    /// # Errors
    /// [`Fault`]; `Unknown` when no trusted role names it.
    pub fn find(&mut self, path: &str) -> Result<VerifiedTarget, Fault> {
        for _ in 0..DOCUMENTS_MAX {
            match self.client.find(path) {
                Request::Done(found) => return found.ok_or_else(|| Fault::Unknown(path.into())),
                Request::Failed(fault) => return Err(fault.into()),
                Request::Fetch(fetch) => self.answer(&fetch)?,
            }
        }
        Err(Fault::Endless)
    }

    /// Fetches a document, feeds it, and stores what the core says.
    fn answer(&mut self, fetch: &Fetch) -> Result<(), Fault> {
        // The name is percent-encoded where it must be; it stands in the address as it is.
        let url = format!("{}{}", join(&self.metadata_url, ""), fetch.name);
        let bytes = self.fetcher.get(&url, fetch.max_bytes as u64)?;
        let response = bytes.as_deref().map_or(Response::NotFound, Response::Bytes);
        self.client.feed(response).into_iter().try_for_each(|change| self.dir.apply(change))
    }
}
