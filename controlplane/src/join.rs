//! Letting devices in: certificate, renewal, revocation. The invitations are made in `invite`.
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use pinnace_protocol::ids::{DeviceId, Digest, TenantId};
use pinnace_protocol::join::{JoinReply, JoinRequest};
use pinnace_protocol::limits::{LABELS_MAX, TEXT_MAX_BYTES};
use tokio::sync::OnceCell;

use crate::ca::{CaError, CertificateAuthority, Identity, Peer};
use crate::driver::{Clock, DriverError, DriverHandle, parse_key};
use crate::limits::DEVICES_MAX;
use crate::renewal::Challenges;
use crate::revocation::{RevocationError, Revocations, revoked_serials};
use crate::store::{Admission, AdmittedBy, Extra, Reader, StoreError};
use crate::vendor::{VendorPeer, Vendors};

/// Says why a device is not let in.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The invitation does not exist, has ended, or was used.
    #[error(
        "the invitation is unknown, has ended, was used up or withdrawn\n  hint: make a new one with `pinnace device invite`"
    )]
    Token,
    /// The invitation is for another name.
    #[error("the invitation is for device `{0}` only\n  hint: join with that name, or make an invitation for yours")]
    OtherName(String),
    /// The name is not on the invitation's list.
    #[error(
        "the invitation is not for device `{0}`\n  hint: its list was given with `--allow`; `pinnace device invitations ID` shows it"
    )]
    NotListed(DeviceId),
    /// The serial number is not on the list.
    #[error(
        "no device with the serial number `{0}` is expected\n  hint: add it to the file of `pinnace up --vendor-serials`"
    )]
    Serial(String),
    /// The name is taken.
    #[error(
        "there is a device `{0}` already\n  hint: take another name, or replace it with `pinnace device invite {0}`"
    )]
    Taken(DeviceId),
    /// There is no such invitation, or it admits nobody any more.
    #[error("there is no open invitation `{0}`\n  hint: `pinnace device invitations` lists them")]
    NoInvitation(String),
    /// A field is not acceptable.
    #[error(
        "the request's field `{0}` is not acceptable\n  hint: look at its limits in the documentation, or update the older of the two sides"
    )]
    Field(&'static str),
    /// The certificate cannot be renewed.
    #[error("this certificate cannot be renewed: {0}\n  hint: let the device join again with a new invitation")]
    Renew(&'static str),
    /// Too many of something.
    #[error("there are too many {0}\n  hint: wait until some have ended, or run a second control plane")]
    TooMany(&'static str),
    /// The revocation list could not be signed or written.
    #[error(transparent)]
    Revocation(#[from] RevocationError),
    /// No randomness.
    #[error("the system gives no random bytes: {0}\n  hint: the container may lack /dev/urandom or getrandom(2)")]
    Random(String),
    /// The request for a certificate is not acceptable.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The plane stops.
    #[error(transparent)]
    Driver(DriverError),
}

impl From<DriverError> for JoinError {
    fn from(error: DriverError) -> Self {
        match error {
            DriverError::Token => Self::Token,
            DriverError::Taken(device) => Self::Taken(device),
            other => Self::Driver(other),
        }
    }
}

/// The door.
pub struct Admissions {
    pub(crate) ca: CertificateAuthority,
    pub(crate) tenant: TenantId,
    pub(crate) clock: Clock,
    pub(crate) driver: DriverHandle,
    pub(crate) reader: Reader,
    revocations: Revocations,
    /// Where the anchor is, and what its bytes hash to: both go into every invitation.
    pub(crate) anchor: (String, Digest),
    /// Devices that ever joined: read once, for it takes reading all of them.
    enrolled: OnceCell<AtomicI64>,
    vendors: Option<Arc<Vendors>>,
    /// For devices whose certificate has ended.
    pub(crate) challenges: Challenges,
}

impl Admissions {
    /// Makes the door. `anchor` is the address that serves the anchor document, and the hash of that document.
    ///
    /// # Errors
    /// [`JoinError::Random`] when the system gives no random bytes.
    pub fn new(
        ca: CertificateAuthority,
        tenant: TenantId,
        clock: Clock,
        driver: DriverHandle,
        reader: Reader,
        revocations: Revocations,
        anchor: (String, Digest),
    ) -> Result<Self, JoinError> {
        let (enrolled, challenges) = (OnceCell::const_new(), Challenges::new()?);
        Ok(Self { ca, tenant, clock, driver, reader, revocations, anchor, enrolled, vendors: None, challenges })
    }

    /// Lets devices of these makers in by their makers' certificates too.
    #[must_use]
    pub fn with_vendors(self, vendors: Option<Arc<Vendors>>) -> Self {
        Self { vendors, ..self }
    }

    /// Lets a device in and returns its certificate.
    ///
    /// A use of the invitation is counted in the same transaction that stores the device. A repeated request, equal to
    /// the last byte, gets the same certificate again, so that a lost reply costs no use.
    ///
    /// A name belongs to the report key that joined with it. Another key gets it only with an invitation for this very
    /// name, of which one is open at a time: the newest.
    ///
    /// # Errors
    /// [`JoinError`]; nothing changed.
    pub async fn join(&self, request: &JoinRequest) -> Result<JoinReply, JoinError> {
        check_fields(request)?;
        let now = self.clock.unix_s();
        let hash = Digest::of(request.secret.as_bytes()).to_hex();
        // A struct of strings always serialises.
        let fingerprint = Digest::of(&serde_json::to_vec(request).unwrap_or_default()).to_hex();
        let token = self.reader.token(&hash).await?.filter(|t| t.expires > now).ok_or(JoinError::Token)?;
        let known = self.reader.enrolled_one(&request.device).await?;
        if let Some(before) = self.reader.token_request(&hash, &request.device).await? {
            if before == fingerprint {
                return self.repeated(request).await?.ok_or(JoinError::Token);
            }
            return Err(if token.uses == 1 { JoinError::Token } else { JoinError::Taken(request.device.clone()) });
        }
        if !token.is_open(now) {
            return Err(JoinError::Token);
        }
        if token.names > 0 && !self.reader.token_lists(&hash, &request.device).await? {
            return Err(JoinError::NotListed(request.device.clone()));
        }
        match (&token.device, &known) {
            (Some(name), _) if name != request.device.as_str() => return Err(JoinError::OtherName(name.clone())),
            (None, Some(known)) if known.report_key != request.report_key => {
                return Err(JoinError::Taken(request.device.clone()));
            }
            (Some(_) | None, _) => {}
        }
        let by = AdmittedBy::Token { hash: hash.clone() };
        let admitted = self.let_in(request, by, &fingerprint, token.device.is_some(), known.is_some()).await;
        match admitted {
            Ok(reply) => Ok(reply),
            Err(refused) => {
                // The same request may have come twice at once.
                let same = self.reader.token_request(&hash, &request.device).await? == Some(fingerprint);
                let repeated = if same { self.repeated(request).await? } else { None };
                repeated.ok_or(refused)
            }
        }
    }

    /// Lets a device in that showed its maker's certificate, whose chain was verified, and returns its own.
    ///
    /// A serial number joins once. A repeated request, equal to the last byte, gets the same certificate again.
    ///
    /// # Errors
    /// [`JoinError`]; nothing changed.
    pub async fn join_by_vendor(&self, vendor: &VendorPeer, request: &JoinRequest) -> Result<JoinReply, JoinError> {
        check_fields(request)?;
        if !request.secret.is_empty() {
            return Err(JoinError::Field("secret"));
        }
        if !self.vendors.as_ref().is_some_and(|vendors| vendors.admits(&vendor.serial)) {
            return Err(JoinError::Serial(vendor.serial.clone()));
        }
        let issuer = vendor.issuer.to_hex();
        // A struct of strings always serialises.
        let fingerprint = Digest::of(&serde_json::to_vec(request).unwrap_or_default()).to_hex();
        let used = || DriverError::SerialUsed(vendor.serial.clone());
        if let Some(before) = self.reader.vendor_request(&issuer, &vendor.serial).await? {
            let repeated = if before == fingerprint { self.repeated(request).await? } else { None };
            return repeated.ok_or_else(|| JoinError::from(used()));
        }
        let known = self.reader.enrolled_one(&request.device).await?;
        if known.as_ref().is_some_and(|known| known.report_key != request.report_key) {
            return Err(JoinError::Taken(request.device.clone()));
        }
        let by = AdmittedBy::Vendor { issuer, serial: vendor.serial.clone() };
        self.let_in(request, by, &fingerprint, false, known.is_some()).await
    }

    /// Issues a certificate and makes the device one of the fleet's.
    async fn let_in(
        &self,
        request: &JoinRequest,
        by: AdmittedBy,
        fingerprint: &str,
        replaces: bool,
        is_known: bool,
    ) -> Result<JoinReply, JoinError> {
        let now = self.clock.unix_s();
        let enrolled = self.enrolled().await?;
        if !is_known && enrolled.load(Ordering::Relaxed) >= DEVICES_MAX {
            return Err(JoinError::TooMany("devices"));
        }
        let issued = self.ca.issue_device(&request.csr_pem, &self.tenant, &request.device, now)?;
        let admission = Admission {
            device: request.device.clone(),
            by,
            request: fingerprint.to_owned(),
            report_key: request.report_key.clone(),
            device_profile: request.device_profile.clone(),
            serial: issued.serial.to_string(),
            not_after: issued.not_after,
            pem: issued.certificate_pem.clone(),
            now,
            replaces,
        };
        self.driver.admit(admission, request.labels.clone()).await?;
        if is_known {
            self.refresh_or_log().await?;
        } else {
            enrolled.fetch_add(1, Ordering::Relaxed);
        }
        tracing::info!(device = %request.device, profile = %request.device_profile, "a device joined");
        Ok(self.reply(&request.device, issued.certificate_pem))
    }

    /// Gives the device of a valid certificate a new one.
    ///
    /// # Errors
    /// [`JoinError::Renew`] when the certificate is not a device's of this tenant.
    pub async fn renew(&self, peer: &Peer, csr_pem: &str) -> Result<JoinReply, JoinError> {
        let Identity::Device { tenant, device } = &peer.identity else {
            return Err(JoinError::Renew("it is not a device's"));
        };
        if *tenant != self.tenant || self.reader.enrolled_one(device).await?.is_none() {
            return Err(JoinError::Renew("this control plane does not know the device"));
        }
        self.issue_anew(device, &peer.serial.to_string(), csr_pem).await
    }

    /// Gives a device a new certificate in place of the one numbered `old`.
    pub(crate) async fn issue_anew(&self, device: &DeviceId, old: &str, csr_pem: &str) -> Result<JoinReply, JoinError> {
        let issued = self.ca.issue_device(csr_pem, &self.tenant, device, self.clock.unix_s())?;
        let pem = issued.certificate_pem.clone();
        let (serial, not_after) = (issued.serial.to_string(), issued.not_after);
        let (device_id, old_serial, now) = (device.clone(), old.to_owned(), self.clock.unix_s());
        let renew = Extra::Renew { device: device_id, old: old_serial, now, serial: serial.clone(), not_after, pem };
        self.driver.write(renew).await?;
        // Revoked or replaced while the new one was made: then it was not written, and nobody gets it.
        if self.reader.certificate(&serial).await?.is_none() {
            let is_good = self.reader.certificate(old).await?.is_some_and(|old| old.revoked.is_none());
            let too_often = JoinError::TooMany("certificates of this device that have not ended");
            return Err(if is_good { too_often } else { JoinError::Renew("it was revoked") });
        }
        Ok(self.reply(device, issued.certificate_pem))
    }

    /// Voids a device's certificates: it must be invited again to come back.
    ///
    /// # Errors
    /// [`JoinError`] when the database or the driver failed; [`JoinError::Revocation`] when it is refused here already
    /// but the list for other brokers could not be written.
    pub async fn revoke(&self, device: &DeviceId) -> Result<(), JoinError> {
        self.driver.write(Extra::Revoke { device: device.clone(), now: self.clock.unix_s() }).await?;
        self.refresh_deny_list().await
    }

    /// Reads the revoked certificates into the deny list and, when it is due, signs the revocation list anew.
    ///
    /// # Errors
    /// [`JoinError::Store`]; [`JoinError::Revocation`] when the deny list is right and the revocation list is not.
    pub async fn refresh_deny_list(&self) -> Result<(), JoinError> {
        // One at a time, so that nobody's older reading comes last.
        let turn = self.revocations.turn().await;
        let now = self.clock.unix_s();
        let revoked = revoked_serials(&self.reader.revoked(now).await?);
        turn.publish(&self.ca, &revoked, now).await?;
        Ok(())
    }

    /// As [`Self::refresh_deny_list`], for when nobody waits for other brokers: a revocation list that could not be
    /// written is logged, and tried again with the next refresh.
    ///
    /// # Errors
    /// [`JoinError::Store`].
    pub async fn refresh_or_log(&self) -> Result<(), JoinError> {
        match self.refresh_deny_list().await {
            Err(JoinError::Revocation(error)) => {
                tracing::error!(%error, "brokers outside will not hear of revoked certificates");
                Ok(())
            }
            other => other,
        }
    }

    /// Returns whether the certificate that somebody showed when he connected is void by now.
    pub fn is_revoked(&self, peer: &Peer) -> bool {
        self.revocations.is_revoked(&peer.serial)
    }

    /// Returns who is revoked.
    pub const fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// Returns the answer of a join that was done, unless its certificate was revoked or another device has the name.
    async fn repeated(&self, request: &JoinRequest) -> Result<Option<JoinReply>, StoreError> {
        let known = self.reader.enrolled_one(&request.device).await?;
        let Some(known) = known.filter(|d| d.report_key == request.report_key) else { return Ok(None) };
        let stored = self.reader.certificate(&known.serial).await?.filter(|c| c.revoked.is_none());
        Ok(stored.map(|c| self.reply(&request.device, c.pem)))
    }

    async fn enrolled(&self) -> Result<&AtomicI64, StoreError> {
        self.enrolled.get_or_try_init(|| async { Ok(AtomicI64::new(self.reader.enrolled_count().await?)) }).await
    }

    pub(crate) fn reply(&self, device: &DeviceId, certificate_pem: String) -> JoinReply {
        JoinReply { tenant: self.tenant.clone(), device: device.clone(), certificate_pem }
    }
}

fn check_fields(request: &JoinRequest) -> Result<(), JoinError> {
    if parse_key(&request.report_key).is_none_or(|key| key.is_weak()) {
        return Err(JoinError::Field("report_key"));
    }
    let profile = &request.device_profile;
    if profile.is_empty()
        || profile.len() > pinnace_protocol::limits::ID_MAX_BYTES
        || profile.contains(char::is_control)
    {
        return Err(JoinError::Field("device_profile"));
    }
    let label_ok =
        |label: &String| label.len() <= TEXT_MAX_BYTES && label.contains('=') && !label.contains(char::is_control);
    if request.labels.len() > LABELS_MAX || !request.labels.iter().all(label_ok) {
        return Err(JoinError::Field("labels"));
    }
    Ok(())
}
