//! Devices that come with a certificate of their maker (IDevID, IEEE 802.1AR): whom the plane trusts as a maker, and which
//! serial number a certificate is for.
//!
//! Such a certificate lets a device join, once, and nothing else. Whether a certificate is the plane's own or a maker's is
//! decided by who signed it, never by what it says: a maker may write any name.
use std::collections::BTreeSet;
use std::sync::Arc;

use pinnace_protocol::ids::Digest;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use x509_parser::oid_registry::OID_X509_SERIALNUMBER;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::limits::{SERIAL_MAX_CHARS, VENDOR_ANCHORS_MAX, VENDOR_SERIALS_MAX};
use crate::tls::{TlsError, provider};

/// Which makers' devices may join without an invitation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VendorConfig {
    /// Trust anchors of the makers, PEM, one after another.
    pub anchors_pem: String,
    /// The only serial numbers that may join; any when `None`.
    pub serials: Option<BTreeSet<String>>,
}

/// Says why the makers' certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum VendorError {
    /// No or too many trust anchors, or one that is none.
    #[error("the makers' trust anchors are not usable: {0}\n  hint: give 1 to {VENDOR_ANCHORS_MAX} certificates, PEM")]
    Anchors(String),
    /// A serial number is empty or too long, or there are too many.
    #[error(
        "the list of serial numbers is not usable: {0}\n  hint: 1 to {SERIAL_MAX_CHARS} printable characters each, at most {VENDOR_SERIALS_MAX} of them"
    )]
    Serials(String),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What a maker's certificate says, once its chain was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VendorPeer {
    /// SHA-256 of the issuer's name: two makers may use one serial number.
    pub issuer: Digest,
    /// The device's serial number.
    pub serial: String,
}

/// The makers that are trusted.
#[derive(Debug)]
pub struct Vendors {
    verifier: Arc<Either>,
    /// The plane's own authority, DER.
    ours: Vec<u8>,
    serials: Option<BTreeSet<String>>,
}

impl Vendors {
    /// Reads the configuration; `authority_pem` is the plane's own authority.
    ///
    /// # Errors
    /// [`VendorError`] when a certificate is unusable or a bound is passed.
    pub fn new(config: &VendorConfig, authority_pem: &str) -> Result<Self, VendorError> {
        let anchors: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(config.anchors_pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|e| VendorError::Anchors(e.to_string()))?;
        if anchors.is_empty() || anchors.len() > VENDOR_ANCHORS_MAX {
            return Err(VendorError::Anchors(format!("there are {}", anchors.len())));
        }
        let mut makers = RootCertStore::empty();
        for anchor in anchors {
            makers.add(anchor).map_err(|e| VendorError::Anchors(e.to_string()))?;
        }
        if let Some(serials) = &config.serials {
            if serials.is_empty() || serials.len() > VENDOR_SERIALS_MAX {
                return Err(VendorError::Serials(format!("there are {}", serials.len())));
            }
            if let Some(bad) = serials.iter().find(|s| !is_serial(s)) {
                let bad: String = bad.chars().take(SERIAL_MAX_CHARS).collect();
                return Err(VendorError::Serials(format!("`{}` is none", bad.escape_debug())));
            }
        }
        let ours = CertificateDer::from_pem_slice(authority_pem.as_bytes())
            .map_err(|_| TlsError::Pem("certificate"))?
            .into_owned();
        let mut own = RootCertStore::empty();
        own.add(ours.clone()).map_err(TlsError::from)?;
        let verifier = |roots| -> Result<Arc<dyn ClientCertVerifier>, VendorError> {
            let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
            Ok(builder.allow_unauthenticated().build().map_err(TlsError::from)?)
        };
        let (own, makers) = (verifier(own)?, verifier(makers)?);
        let hints = [own.root_hint_subjects(), makers.root_hint_subjects()].concat();
        let verifier = Arc::new(Either { own, makers, hints });
        Ok(Self { verifier, ours: ours.to_vec(), serials: config.serials.clone() })
    }

    /// Returns who judges the certificates of clients: the plane's own authority, or else a maker's.
    pub fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        self.verifier.clone()
    }

    /// Returns what a certificate that was verified says of its device; `None` when it is the plane's own.
    ///
    /// # Errors
    /// A text when it names no serial number.
    pub fn peer(&self, certificate: &[u8]) -> Result<Option<VendorPeer>, String> {
        let read = |der| X509Certificate::from_der(der).map(|(_, c)| c).map_err(|e| e.to_string());
        let (certificate, authority) = (read(certificate)?, read(&self.ours)?);
        if certificate.verify_signature(Some(authority.public_key())).is_ok() {
            return Ok(None);
        }
        let subject = certificate.subject();
        let numbers: Vec<_> = subject.iter_by_oid(&OID_X509_SERIALNUMBER).collect();
        let names: Vec<_> = if numbers.is_empty() { subject.iter_common_name().collect() } else { numbers };
        let serial = match names.as_slice() {
            [one] => one.as_str().ok().filter(|s| is_serial(s)),
            _ => None,
        };
        let serial = serial.ok_or("the maker's certificate names no serial number, or more than one")?;
        Ok(Some(VendorPeer { issuer: Digest::of(certificate.issuer().as_raw()), serial: serial.to_owned() }))
    }

    /// Returns whether a device with this serial number may join.
    pub fn admits(&self, serial: &str) -> bool {
        self.serials.as_ref().is_none_or(|serials| serials.contains(serial))
    }
}

/// Returns whether a text can be a serial number: printable ASCII of bounded length.
fn is_serial(text: &str) -> bool {
    (1..=SERIAL_MAX_CHARS).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
}

/// Believes the plane's own authority, or else the makers.
#[derive(Debug)]
struct Either {
    own: Arc<dyn ClientCertVerifier>,
    makers: Arc<dyn ClientCertVerifier>,
    hints: Vec<DistinguishedName>,
}

impl ClientCertVerifier for Either {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.own.verify_client_cert(end_entity, intermediates, now).or_else(|own| {
            let made = self.makers.verify_client_cert(end_entity, intermediates, now);
            // Of the two refusals the one that says more.
            made.map_err(|made| match own {
                Error::InvalidCertificate(CertificateError::UnknownIssuer) => made,
                own => own,
            })
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.own.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.own.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.own.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::CertificateAuthority;

    #[test]
    fn anchors_and_serials_are_bounded_and_checked() {
        let authority = CertificateAuthority::create("plane", 1_800_000_000).unwrap();
        let own = authority.certificate_pem();
        let maker = CertificateAuthority::create("maker", 1_800_000_000).unwrap().certificate_pem().to_owned();
        let made = |anchors: &str, serials: Option<Vec<String>>| {
            let serials = serials.map(|s| s.into_iter().collect());
            Vendors::new(&VendorConfig { anchors_pem: anchors.into(), serials }, own).map(drop)
        };
        made(&maker, None).unwrap();
        made(&maker, Some(vec!["SN 1".into()])).unwrap();
        let many = maker.repeat(VENDOR_ANCHORS_MAX + 1);
        for (anchors, serials) in [
            ("", None),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", None),
            (many.as_str(), None),
            (maker.as_str(), Some(vec![])),
            (maker.as_str(), Some(vec![String::new()])),
            (maker.as_str(), Some(vec!["a\nb".into()])),
            (maker.as_str(), Some(vec!["x".repeat(SERIAL_MAX_CHARS + 1)])),
        ] {
            let error = made(anchors, serials.clone()).unwrap_err();
            assert!(error.to_string().contains("\n  hint: "), "{error}");
        }
    }
}
