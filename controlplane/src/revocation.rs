//! Who is revoked: the deny list for our own doors, and the revocation list for others, as a file and as what HTTP answers,
//! signed anew when the set of revoked certificates changes, and each day.
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Mutex, MutexGuard};

use crate::ca::{CaError, CertificateAuthority, RevocationList, Serial};
use crate::keys::write_private;
use crate::store::StoredCertificate;
use crate::tls::DenyList;

/// Says why the published revocation list is not the newest.
#[derive(Debug, thiserror::Error)]
pub enum RevocationError {
    /// The list could not be signed.
    #[error(transparent)]
    Sign(#[from] CaError),
    /// The disk said no.
    #[error(
        "the revocation list `{}` cannot be written: {source}\n  hint: the certificate is refused here; make room on the disk and revoke once more, so that other brokers hear of it", path.display()
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
}

/// Who is revoked, as our doors and others know it.
#[derive(Debug)]
pub struct Revocations {
    deny: DenyList,
    path: PathBuf,
    current: RwLock<Arc<RevocationList>>,
    turn: Mutex<()>,
}

/// The right to publish the next list.
pub struct Turn<'a> {
    of: &'a Revocations,
    _held: MutexGuard<'a, ()>,
}

impl Revocations {
    /// Fills `deny` from now on, and reads the last list from `path`. Without one that this authority signed, an empty one stands in, in memory alone,
    /// until the first [`Turn::publish`].
    ///
    /// # Errors
    /// [`CaError`] when even that cannot be signed.
    pub fn open(path: PathBuf, deny: DenyList, ca: &CertificateAuthority, now: u64) -> Result<Self, CaError> {
        let last = std::fs::read_to_string(&path).ok().and_then(|pem| ca.read_revocation_list(&pem));
        let last = match last {
            Some(last) => last,
            None => ca.revocation_list(&[], None, now)?,
        };
        Ok(Self { deny, path, current: RwLock::new(Arc::new(last)), turn: Mutex::new(()) })
    }

    /// Returns the list.
    pub fn current(&self) -> Arc<RevocationList> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns whether our doors refuse a certificate.
    pub fn is_revoked(&self, serial: &Serial) -> bool {
        self.deny.contains(serial)
    }

    /// Waits for the right to publish. Read who is revoked after this.
    pub async fn turn(&self) -> Turn<'_> {
        Turn { of: self, _held: self.turn.lock().await }
    }
}

impl Turn<'_> {
    /// Closes our doors to `revoked` and to nobody else; then signs and writes the list when it is not good any more, or
    /// not what is on disk.
    ///
    /// # Errors
    /// [`RevocationError`]; the last list stays published, and the doors are closed nevertheless.
    pub async fn publish(
        self,
        ca: &CertificateAuthority,
        revoked: &[(Serial, u64)],
        now: u64,
    ) -> Result<(), RevocationError> {
        self.of.deny.replace(revoked.iter().map(|(serial, _)| serial.clone()));
        let last = self.of.current();
        let on_disk = tokio::fs::read_to_string(&self.of.path).await.is_ok_and(|pem| pem == last.pem());
        if on_disk && last.is_good(revoked, now) {
            return Ok(());
        }
        let next = ca.revocation_list(revoked, Some(&last), now)?;
        let (path, text) = (self.of.path.clone(), next.pem().to_owned());
        let written = tokio::task::spawn_blocking(move || write_private(&path, text.as_bytes())).await;
        let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
        written.map_err(|source| RevocationError::Write { path: self.of.path.clone(), source })?;
        tracing::info!(revoked = revoked.len(), "a new revocation list is published; brokers outside must read it");
        *self.of.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(())
    }
}

/// Returns the serial numbers of revoked certificates, and when each was revoked.
pub fn revoked_serials(certificates: &[StoredCertificate]) -> Vec<(Serial, u64)> {
    let entry = |c: &StoredCertificate| Some((Serial::from_hex(&c.serial)?, c.revoked?));
    certificates.iter().filter_map(entry).collect()
}
