//! Letting devices in: invitation, certificate, renewal. Invitations are stored as hashes and work once.
use std::sync::atomic::{AtomicI64, Ordering};

use pinnace_protocol::ids::{DeviceId, Digest, TenantId};
use pinnace_protocol::join::{JoinReply, JoinRequest, JoinToken};
use pinnace_protocol::limits::{LABELS_MAX, TEXT_MAX_BYTES};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::ca::{CaError, CertificateAuthority, Identity, Peer};
use crate::driver::{Clock, DriverError, DriverHandle, parse_key};
use crate::limits::{DEVICES_MAX, TOKEN_LIFE_MAX_S, TOKEN_LIFE_S, TOKENS_MAX};
use crate::revocation::{RevocationError, Revocations, revoked_serials};
use crate::store::{Admission, Extra, Reader, StoreError};

/// Says why a device is not let in.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The invitation does not exist, has ended, or was used.
    #[error("the invitation is unknown, has ended, or was used\n  hint: make a new one with `pinnace device invite`")]
    Token,
    /// The invitation is for another name.
    #[error("the invitation is for device `{0}` only\n  hint: join with that name, or make an invitation for yours")]
    OtherName(String),
    /// The name is taken.
    #[error(
        "there is a device `{0}` already\n  hint: take another name, or replace it with `pinnace device invite --device {0}`"
    )]
    Taken(DeviceId),
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
            other => Self::Driver(other),
        }
    }
}

/// `POST /v1/renew`, over TLS with the old certificate. Answered with a [`JoinReply`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewRequest {
    /// Certificate signing request (P-256), PEM; names in it are ignored.
    pub csr_pem: String,
}

/// The door.
pub struct Admissions {
    ca: CertificateAuthority,
    tenant: TenantId,
    clock: Clock,
    driver: DriverHandle,
    reader: Reader,
    revocations: Revocations,
    /// Where the anchor is, and what its bytes hash to: both go into every invitation.
    anchor: (String, Digest),
    /// Devices that ever joined: read once, for it takes reading all of them.
    enrolled: OnceCell<AtomicI64>,
}

impl Admissions {
    /// Makes the door. `anchor` is the address that serves the anchor document, and the hash of that document.
    pub const fn new(
        ca: CertificateAuthority,
        tenant: TenantId,
        clock: Clock,
        driver: DriverHandle,
        reader: Reader,
        revocations: Revocations,
        anchor: (String, Digest),
    ) -> Self {
        Self { ca, tenant, clock, driver, reader, revocations, anchor, enrolled: OnceCell::const_new() }
    }

    /// Makes an invitation. Returns it with its end, seconds since 1970; only its hash is kept.
    ///
    /// # Errors
    /// [`JoinError::TooMany`] when too many are open.
    pub async fn invite(&self, device: Option<DeviceId>, life_s: Option<u64>) -> Result<(JoinToken, u64), JoinError> {
        let now = self.clock.unix_s();
        let life_s = life_s.unwrap_or(TOKEN_LIFE_S);
        if life_s == 0 || life_s > TOKEN_LIFE_MAX_S {
            return Err(JoinError::Field("life_s"));
        }
        if self.reader.open_tokens(now).await? >= TOKENS_MAX {
            return Err(JoinError::TooMany("open invitations"));
        }
        let mut secret = [0_u8; 32];
        getrandom::fill(&mut secret).map_err(|e| JoinError::Random(e.to_string()))?;
        let (url, anchor) = self.anchor.clone();
        let token = JoinToken { url, secret: hex::encode(secret), anchor };
        let expires = now.saturating_add(life_s);
        let hash = token.secret_hash();
        self.driver.write(Extra::Invite { hash, device, created: now, expires }).await?;
        Ok((token, expires))
    }

    /// Lets a device in and returns its certificate.
    ///
    /// The invitation is used up in the same transaction that stores the device. A repeated request, equal to the last
    /// byte, gets the same certificate again, so that a lost reply costs no invitation.
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
        if token.used_by.is_some() {
            let same = token.request == Some(fingerprint) && token.used_by.as_deref() == Some(request.device.as_str());
            let serial = known.filter(|_| same).map(|d| d.serial).ok_or(JoinError::Token)?;
            let stored = self.reader.certificate(&serial).await?.filter(|c| c.revoked.is_none());
            return Ok(self.reply(&request.device, stored.ok_or(JoinError::Token)?.pem));
        }
        match (&token.device, &known) {
            (Some(name), _) if name != request.device.as_str() => return Err(JoinError::OtherName(name.clone())),
            (None, Some(known)) if known.report_key != request.report_key => {
                return Err(JoinError::Taken(request.device.clone()));
            }
            (Some(_) | None, _) => {}
        }
        let enrolled = self.enrolled().await?;
        if known.is_none() && enrolled.load(Ordering::Relaxed) >= DEVICES_MAX {
            return Err(JoinError::TooMany("devices"));
        }
        let issued = self.ca.issue_device(&request.csr_pem, &self.tenant, &request.device, now)?;
        let admission = Admission {
            device: request.device.clone(),
            token: hash,
            request: fingerprint,
            report_key: request.report_key.clone(),
            device_profile: request.device_profile.clone(),
            serial: issued.serial.to_string(),
            not_after: issued.not_after,
            pem: issued.certificate_pem.clone(),
            now,
        };
        self.driver.admit(admission, request.labels.clone()).await?;
        if known.is_some() {
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
        let issued = self.ca.issue_device(csr_pem, tenant, device, self.clock.unix_s())?;
        let pem = issued.certificate_pem.clone();
        let (serial, not_after) = (issued.serial.to_string(), issued.not_after);
        self.driver.write(Extra::Renew { device: device.clone(), serial, not_after, pem }).await?;
        // Revoked while the new one was written: then it is void too.
        if self.reader.certificate(&peer.serial.to_string()).await?.is_some_and(|old| old.revoked.is_some()) {
            self.revoke(device).await?;
            return Err(JoinError::Renew("it was revoked"));
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

    async fn enrolled(&self) -> Result<&AtomicI64, StoreError> {
        self.enrolled.get_or_try_init(|| async { Ok(AtomicI64::new(self.reader.enrolled_count().await?)) }).await
    }

    fn reply(&self, device: &DeviceId, certificate_pem: String) -> JoinReply {
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
