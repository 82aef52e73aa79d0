//! Who a certificate speaks for. The names are written by [`super::CertificateAuthority`] alone, and read back here.

use core::fmt;

use pinnace_protocol::ids::{DeviceId, TenantId};
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};

/// Common name of the control plane's own client certificate. `$` cannot stand in a device id, so no
/// device can ever bear this name, with our broker or with one that only looks at the common name.
pub const PLANE_COMMON_NAME: &str = "$plane";
/// Organization of the control plane's own client certificate.
pub const PLANE_ORGANIZATION: &str = "$pinnace";
/// Bytes of a certificate's serial number (RFC 5280 allows 20).
pub const SERIAL_MAX_BYTES: usize = 20;

/// Who is speaking, as proven by a client certificate of the plane's certificate authority.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// The control plane itself, one of its replicas or tools.
    Plane,
    /// One device of one tenant.
    Device {
        /// The tenant the device belongs to (the certificate's organization).
        tenant: TenantId,
        /// The device (the certificate's common name).
        device: DeviceId,
    },
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plane => f.write_str("the control plane"),
            Self::Device { tenant, device } => write!(f, "device {device} of tenant {tenant}"),
        }
    }
}

/// A certificate's serial number: big-endian, without leading zeros. Text form: lower-case hexadecimal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(Vec<u8>);

impl Serial {
    /// Reads the bytes of a serial number; `None` when empty or longer than [`SERIAL_MAX_BYTES`].
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let start = bytes.iter().position(|b| *b != 0).unwrap_or(bytes.len());
        let trimmed = &bytes[start..];
        (!trimmed.is_empty() && trimmed.len() <= SERIAL_MAX_BYTES).then(|| Self(trimmed.to_vec()))
    }

    /// Reads the text form; `None` when it is anything but hexadecimal digits of a serial number.
    pub fn from_hex(text: &str) -> Option<Self> {
        Self::from_bytes(&hex::decode(text).ok()?)
    }

    /// Returns the bytes, big-endian, without leading zeros.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({self})")
    }
}

/// What a verified client certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Who holds it.
    pub identity: Identity,
    /// Its serial number, for the deny list.
    pub serial: Serial,
    /// When it ends, in seconds since 1970.
    pub not_after: u64,
}

/// Says why a certificate, though signed by a trusted authority, names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The bytes are not an X.509 certificate.
    #[error("the client certificate cannot be read\n  hint: join the device again to get a new certificate")]
    Unreadable,
    /// A name is missing, present twice, or not text.
    #[error(
        "the client certificate must have exactly one {0}\n  hint: use a certificate issued by `pinnace join`, not a server's"
    )]
    Name(&'static str),
    /// A name is not a valid identifier.
    #[error("the client certificate names an invalid id: {0}")]
    Id(#[from] pinnace_protocol::ids::IdError),
    /// The serial number is empty or too long.
    #[error(
        "the client certificate's serial number is not usable\n  hint: join the device again to get a new certificate"
    )]
    Serial,
}

impl Peer {
    /// Reads who a client certificate speaks for. The chain must have been verified before.
    ///
    /// # Errors
    /// [`IdentityError`] when the names are missing, doubled, or not valid ids.
    pub fn from_certificate(der: &[u8]) -> Result<Self, IdentityError> {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| IdentityError::Unreadable)?;
        if !rest.is_empty() {
            return Err(IdentityError::Unreadable);
        }
        let subject = certificate.subject();
        let common_name = only(subject.iter_common_name().map(|a| a.as_str().ok()), "common name")?;
        let organization = only(subject.iter_organization().map(|a| a.as_str().ok()), "organization")?;
        let identity = if (common_name, organization) == (PLANE_COMMON_NAME, PLANE_ORGANIZATION) {
            Identity::Plane
        } else {
            Identity::Device { tenant: TenantId::parse(organization)?, device: DeviceId::parse(common_name)? }
        };
        Ok(Self {
            identity,
            serial: Serial::from_bytes(certificate.raw_serial()).ok_or(IdentityError::Serial)?,
            not_after: u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0),
        })
    }
}

/// Returns the only item, which must be text.
fn only<'a>(mut items: impl Iterator<Item = Option<&'a str>>, what: &'static str) -> Result<&'a str, IdentityError> {
    match (items.next(), items.next()) {
        (Some(Some(text)), None) => Ok(text),
        _ => Err(IdentityError::Name(what)),
    }
}

/// Returns the subject's common name when there is exactly one, for messages to people.
pub(super) fn common_name<'a>(name: &'a X509Name<'_>) -> Option<&'a str> {
    only(name.iter_common_name().map(|a| a.as_str().ok()), "common name").ok()
}
