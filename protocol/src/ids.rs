//! Names of things: tenants, devices, rollouts, model families, digests. All are checked when read.
use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::ID_MAX_BYTES;

/// Says why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} `{text}` is not a valid identifier\n  hint: use 1 to {ID_MAX_BYTES} characters of a-z, 0-9, - and _, beginning with a letter or digit"
)]
pub struct IdError {
    /// What kind of identifier was expected.
    pub what: &'static str,
    /// The text as received, cut to the limit.
    pub text: String,
}

/// Returns whether `text` may stand in a topic, a file name and a certificate without escaping.
fn is_plain(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= ID_MAX_BYTES
        && bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Reads an identifier.
            ///
            /// # Errors
            /// [`IdError`] when the text is empty, too long, or holds anything but a-z, 0-9, - and _.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                if is_plain(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(IdError { what: $what, text: text.chars().take(ID_MAX_BYTES).collect() })
                }
            }
            /// Returns the identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl core::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// A customer of one control plane: separates topics, rows and keys.
    TenantId, "tenant id"
);
id!(
    /// One edge device. The common name of its certificate.
    DeviceId, "device id"
);
id!(
    /// One rollout: the act of bringing one bundle to a set of devices.
    RolloutId, "rollout id"
);
id!(
    /// A model family: all versions of one model, e.g. `rain`.
    Family, "model family"
);

/// A SHA-256 digest. Text form: 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Returns the SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }
    /// Returns the digest as 64 hexadecimal digits.
    pub fn to_hex(&self) -> String {
        hex_text(&self.0)
    }
    /// Returns the first 16 hexadecimal digits, for topics and people.
    pub fn short(&self) -> String {
        hex_text(&self.0[..8])
    }
    /// Reads 64 hexadecimal digits; `None` when the text is anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut out = [0; 32];
        hex::decode_to_slice(text, &mut out).ok()?;
        Some(Self(out))
    }
}
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}
impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.serialize_str(&self.to_hex()) } else { s.serialize_bytes(&self.0) }
    }
}
impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        if d.is_human_readable() {
            let text = String::deserialize(d)?;
            Self::from_hex(&text).ok_or_else(|| D::Error::custom("a digest is 64 hexadecimal digits"))
        } else {
            let bytes = serde_bytes::ByteBuf::deserialize(d)?;
            <[u8; 32]>::try_from(bytes.as_slice()).map(Self).map_err(|_| D::Error::custom("a digest is 32 bytes"))
        }
    }
}

/// One version of a model family. Text form: `rain/v3`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BundleRef {
    /// The model family.
    pub family: Family,
    /// The version, counted from 1 in the registry.
    pub version: u64,
}
impl fmt::Display for BundleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/v{}", self.family, self.version)
    }
}
impl core::str::FromStr for BundleRef {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = || IdError { what: "bundle (family/vN)", text: text.chars().take(ID_MAX_BYTES).collect() };
        let (family, version) = text.split_once("/v").ok_or_else(bad)?;
        Ok(Self { family: Family::parse(family)?, version: version.parse().map_err(|_| bad())? })
    }
}

/// Returns bytes as lower-case hex digits, in one piece: the iterator of `hex::encode` takes several times as long.
pub(crate) fn hex_text(bytes: &[u8]) -> String {
    let mut digits = alloc::vec![0; bytes.len() * 2];
    // The length is right, and hex digits are ASCII.
    _ = hex::encode_to_slice(bytes, &mut digits);
    String::from_utf8(digits).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn ids_refuse_what_would_change_a_topic() {
        for bad in ["", "a/b", "a+b", "#", "A", "-a", "a\0", &"a".repeat(ID_MAX_BYTES + 1)] {
            assert!(DeviceId::parse(bad).is_err(), "{bad:?} must be refused");
        }
        assert_eq!(DeviceId::parse("station-07").unwrap().as_str(), "station-07");
    }

    #[test]
    fn bundle_refs_read_what_they_write() {
        let text = "rain/v12";
        assert_eq!(text.parse::<BundleRef>().unwrap().to_string(), text);
        assert!("rain".parse::<BundleRef>().is_err());
    }
}
