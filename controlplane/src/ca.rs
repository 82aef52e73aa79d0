//! The plane's certificate authority: one P-256 key that says who may connect.
//!
//! Names asked for in a request are ignored: only the control plane decides who a device is.
//! TLS keys are P-256 throughout, because OpenSSL 3.0 cannot read the Ed25519 keys that Rust writes.

mod identity;
mod revocation;
#[cfg(test)]
mod tests;

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SerialNumber,
};

use pinnace_protocol::ids::{DeviceId, TenantId};
use x509_parser::prelude::{FromDer, X509Certificate};

pub use identity::{Identity, IdentityError, PLANE_COMMON_NAME, PLANE_ORGANIZATION, Peer, SERIAL_MAX_BYTES, Serial};
pub use revocation::{REVOCATION_BACKDATE_S, REVOCATION_LIST_DAYS, REVOCATION_RENEW_S, RevocationList};

/// Days a device's certificate is valid; renewed at two thirds of it.
pub const DEVICE_DAYS: u64 = 30;
/// Days the control plane's own client certificate is valid; renewed at every start.
pub const PLANE_DAYS: u64 = 365;
/// Days a server certificate is valid; renewed at every start.
pub const SERVER_DAYS: u64 = 365;
/// Days the authority itself is valid.
pub const AUTHORITY_DAYS: u64 = 20 * 365;
/// Seconds that certificates are dated back, for devices whose clock is behind.
pub const BACKDATE_S: u64 = 3_600;
/// Bytes of a certificate request: one key and its signature; read before anything is verified.
pub const REQUEST_MAX_BYTES: usize = 8 * 1024;
/// Names in one server certificate.
pub const SERVER_NAMES_MAX: usize = 32;

const DAY_S: u64 = 86_400;
/// 9999-12-31, the last day a certificate can name.
const LAST_SECOND: u64 = 253_402_214_400;

/// Says why the certificate authority could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The authority's files do not hold a certificate and its key.
    #[error(
        "the certificate authority cannot be loaded: {0}\n  hint: restore both PEM files from the backup; devices trust this authority only"
    )]
    Load(String),
    /// The authority's certificate belongs to another key.
    #[error(
        "the certificate authority's key does not belong to its certificate\n  hint: restore both PEM files from the same backup"
    )]
    KeyMismatch,
    /// A certificate request is not acceptable.
    #[error("the certificate request is refused: {0}\n  hint: send a PEM request signed by its own P-256 key")]
    Request(String),
    /// A server name is not valid, or there are too many.
    #[error(
        "a server certificate cannot be made for these names: {0}\n  hint: use host names and IP addresses, at most {SERVER_NAMES_MAX}"
    )]
    Names(String),
    /// Making a certificate failed.
    #[error("a certificate could not be made: {0}\n  hint: this is a defect; please report it")]
    Issue(String),
    /// The system gave no random bytes.
    #[error("the system gives no random bytes: {0}\n  hint: check /dev/urandom and the sandbox")]
    Random(getrandom::Error),
}

/// A certificate and when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// Its serial number.
    pub serial: Serial,
    /// When it ends, in seconds since 1970.
    pub not_after: u64,
}

/// A certificate together with a key made for it.
#[derive(Clone)]
pub struct IssuedWithKey {
    /// The certificate.
    pub issued: Issued,
    /// The key, PKCS#8 PEM. Secret.
    pub key_pem: String,
}

/// The authority: a certificate and its key.
pub struct CertificateAuthority {
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl CertificateAuthority {
    /// Makes a new authority called `name`, valid from `now` (seconds since 1970).
    ///
    /// # Errors
    /// [`CaError::Random`] or [`CaError::Issue`].
    pub fn create(name: &str, now: u64) -> Result<Self, CaError> {
        let key = new_key()?;
        let (mut params, _) = params(now, AUTHORITY_DAYS)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(issue_error)?;
        Ok(Self { certificate_pem: certificate.pem(), issuer: Issuer::new(params, key) })
    }

    /// Loads an authority from its certificate and key, both PEM.
    ///
    /// # Errors
    /// [`CaError::Load`] when a text is not what it should be, [`CaError::KeyMismatch`] when they do not belong together.
    pub fn load(certificate_pem: &str, key_pem: &str) -> Result<Self, CaError> {
        let load = |e: rcgen::Error| CaError::Load(e.to_string());
        let key = KeyPair::from_pem(key_pem).map_err(load)?;
        let der = certificate_der(certificate_pem).ok_or_else(|| CaError::Load("no PEM certificate".to_owned()))?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|e| CaError::Load(e.to_string()))?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(CaError::KeyMismatch);
        }
        if !parsed.is_ca() {
            let name = identity::common_name(parsed.subject()).unwrap_or("without a name");
            return Err(CaError::Load(format!("the certificate `{name}` is not a certificate authority's")));
        }
        let issuer = Issuer::from_ca_cert_pem(certificate_pem, key).map_err(load)?;
        Ok(Self { certificate_pem: certificate_pem.to_owned(), issuer })
    }

    /// Returns the authority's certificate, PEM: what clients and servers have to trust.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Returns the authority's key, PKCS#8 PEM. Secret.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Makes a certificate and key for a server reached as `names`, 127.0.0.1, ::1 or localhost; valid [`SERVER_DAYS`].
    ///
    /// # Errors
    /// [`CaError::Names`] when a name is neither a host name nor an IP address, or there are more than [`SERVER_NAMES_MAX`].
    pub fn issue_server(&self, names: &[String], now: u64) -> Result<IssuedWithKey, CaError> {
        if names.len() > SERVER_NAMES_MAX {
            return Err(CaError::Names(format!("{} names", names.len())));
        }
        let mut all: Vec<String> = ["127.0.0.1", "::1", "localhost"].map(str::to_owned).to_vec();
        all.extend(names.iter().filter(|n| !n.is_empty()).cloned());
        let named = CertificateParams::new(all).map_err(|e| CaError::Names(e.to_string()))?;
        let (mut params, stamp) = params(now, SERVER_DAYS)?;
        params.subject_alt_names = named.subject_alt_names;
        params.distinguished_name.push(DnType::CommonName, "pinnace server");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.with_key(&params, stamp)
    }

    /// Makes a certificate and key for the control plane itself; valid [`PLANE_DAYS`].
    ///
    /// # Errors
    /// [`CaError::Random`] or [`CaError::Issue`].
    pub fn issue_plane(&self, now: u64) -> Result<IssuedWithKey, CaError> {
        let (mut params, stamp) = params(now, PLANE_DAYS)?;
        client(&mut params, PLANE_COMMON_NAME, PLANE_ORGANIZATION);
        self.with_key(&params, stamp)
    }

    /// Makes a device's certificate for the key in a PEM certificate request; valid [`DEVICE_DAYS`].
    /// Only the key is taken from the request: names, uses and extensions are ours.
    ///
    /// # Errors
    /// [`CaError::Request`] when the request is too large, unreadable, not signed by its key, or its key is not P-256.
    pub fn issue_device(
        &self,
        request_pem: &str,
        tenant: &TenantId,
        device: &DeviceId,
        now: u64,
    ) -> Result<Issued, CaError> {
        if request_pem.len() > REQUEST_MAX_BYTES {
            return Err(CaError::Request(format!("it has more than {REQUEST_MAX_BYTES} bytes")));
        }
        let request =
            CertificateSigningRequestParams::from_pem(request_pem).map_err(|e| CaError::Request(e.to_string()))?;
        if *request.public_key.algorithm() != PKCS_ECDSA_P256_SHA256 {
            return Err(CaError::Request("its key is not P-256".to_owned()));
        }
        let (mut params, stamp) = params(now, DEVICE_DAYS)?;
        client(&mut params, device.as_str(), tenant.as_str());
        let certificate = params.signed_by(&request.public_key, &self.issuer).map_err(issue_error)?;
        Ok(stamp.issued(certificate.pem()))
    }

    fn with_key(&self, params: &CertificateParams, stamp: Stamp) -> Result<IssuedWithKey, CaError> {
        let key = new_key()?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(issue_error)?;
        Ok(IssuedWithKey { issued: stamp.issued(certificate.pem()), key_pem: key.serialize_pem() })
    }
}

/// Makes a P-256 key and a certificate request for it: what a device does when it joins. Returns (key, request), both PEM.
///
/// # Errors
/// [`CaError::Issue`] when the key cannot be made.
pub fn new_request() -> Result<(String, String), CaError> {
    let key = new_key()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key).and_then(|r| r.pem()).map_err(issue_error)?;
    Ok((key.serialize_pem(), request))
}

struct Stamp {
    serial: Serial,
    not_after: u64,
}

impl Stamp {
    fn issued(self, certificate_pem: String) -> Issued {
        Issued { certificate_pem, serial: self.serial, not_after: self.not_after }
    }
}

fn issue_error(error: rcgen::Error) -> CaError {
    CaError::Issue(error.to_string())
}

fn new_key() -> Result<KeyPair, CaError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(issue_error)
}

/// Returns the time since 1970, within what a certificate can name.
fn since_1970(seconds: u64) -> Duration {
    Duration::from_secs(seconds.min(LAST_SECOND))
}

/// Returns parameters with dates and a random serial number, and nothing else.
fn params(now: u64, days: u64) -> Result<(CertificateParams, Stamp), CaError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(CaError::Random)?;
    // Positive and never shortened by leading zeros.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    let serial = Serial::from_bytes(&bytes).ok_or_else(|| CaError::Issue("no serial number".to_owned()))?;
    let not_after = now.saturating_add(days * DAY_S).min(LAST_SECOND);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_1970(now.saturating_sub(BACKDATE_S));
    params.not_after = epoch + since_1970(not_after);
    params.serial_number = Some(SerialNumber::from_slice(&bytes));
    params.use_authority_key_identifier_extension = true;
    Ok((params, Stamp { serial, not_after }))
}

fn client(params: &mut CertificateParams, common_name: &str, organization: &str) {
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.distinguished_name.push(DnType::OrganizationName, organization);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
}

/// Returns the first certificate of a PEM text.
fn certificate_der(pem: &str) -> Option<Vec<u8>> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    CertificateDer::from_pem_slice(pem.as_bytes()).ok().map(|der| der.to_vec())
}
