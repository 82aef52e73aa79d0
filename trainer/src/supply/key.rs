//! P-256 keys (ECDSA with SHA-256) in PEM: what third parties' tools sign and verify with.
//!
//! Releases are signed by ed25519 keys; OpenSSF model signing knows NIST curves only, so a family has one more key.
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use pinnace_protocol::trust::TufKey;
use pinnace_protocol::trust::key::KeyVal;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use sha2::{Digest as _, Sha256};

use crate::limits::MAX_KEY_BYTES;

/// What stands before the 65 bytes of the point in a P-256 `SubjectPublicKeyInfo`.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// First byte of a point that is written in full.
const UNCOMPRESSED: u8 = 4;
/// Bytes of a point that is written in full.
const POINT_BYTES: usize = 65;
/// Characters of a line in PEM.
const PEM_LINE: usize = 64;
const PUBLIC_KEY: &str = "PUBLIC KEY";
const PRIVATE_KEY: &str = "PRIVATE KEY";

/// Says why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is not PEM of this kind.
    #[error(
        "no `{label}` in PEM: {why}\n  hint: `openssl pkey -pubout` writes the public half of a key, `openssl pkcs8 -topk8 -nocrypt` a private key in PKCS#8"
    )]
    Pem {
        /// The kind of PEM that was looked for.
        label: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// The key is one of another algorithm, or damaged.
    #[error(
        "the key is not a usable P-256 key\n  hint: make one with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`"
    )]
    NotP256,
    /// The system gave no random bytes for a signature.
    #[error("the key cannot sign: no random bytes\n  hint: the container may lack /dev/urandom or getrandom(2)")]
    Random,
}

/// Checks P-256 signatures.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    point: [u8; POINT_BYTES],
}

impl PublicKey {
    /// Reads a PEM text that holds a `PUBLIC KEY`.
    ///
    /// # Errors
    /// [`KeyError`] when it holds none, or one that is not P-256.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let der = from_pem(pem, PUBLIC_KEY)?;
        let point = der.strip_prefix(&SPKI_PREFIX[..]).ok_or(KeyError::NotP256)?;
        Self::from_point(point)
    }

    fn from_point(point: &[u8]) -> Result<Self, KeyError> {
        let point: [u8; POINT_BYTES] = point.try_into().map_err(|_| KeyError::NotP256)?;
        if point[0] == UNCOMPRESSED { Ok(Self { point }) } else { Err(KeyError::NotP256) }
    }

    /// Returns the key in PEM, byte for byte as OpenSSL writes it.
    pub fn to_pem(&self) -> String {
        to_pem(PUBLIC_KEY, &[&SPKI_PREFIX[..], &self.point].concat())
    }

    /// Returns SHA-256 of the PEM text, hex: how a model signature names its key.
    pub fn fingerprint(&self) -> String {
        hex::encode(Sha256::digest(self.to_pem()))
    }

    /// Returns the id that securesystemslib gives the key.
    pub fn key_id(&self) -> String {
        let key = TufKey {
            keytype: "ecdsa".into(),
            scheme: "ecdsa-sha2-nistp256".into(),
            keyval: KeyVal { public: self.to_pem(), extra: Default::default() },
            extra: Default::default(),
        };
        key.key_id()
    }

    /// Tells whether `signature` (ASN.1 DER) over `message` is valid.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.point).verify(message, signature).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

/// Signs with P-256.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    public: PublicKey,
}

impl SigningKey {
    /// Reads a PEM text that holds an unencrypted `PRIVATE KEY` (PKCS#8).
    ///
    /// # Errors
    /// [`KeyError`] when it holds none, or one that is not P-256.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let der = from_pem(pem, PRIVATE_KEY)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der, &SystemRandom::new())
            .map_err(|_| KeyError::NotP256)?;
        let public = PublicKey::from_point(pair.public_key().as_ref())?;
        Ok(Self { pair, public })
    }

    /// Returns a new key in PEM.
    ///
    /// # Errors
    /// [`KeyError::Random`] when the system has no randomness.
    pub fn generate_pem() -> Result<String, KeyError> {
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
            .map_err(|_| KeyError::Random)?;
        Ok(to_pem(PRIVATE_KEY, der.as_ref()))
    }

    /// Returns the public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Returns the signature over `message` (ASN.1 DER); another one each time.
    ///
    /// # Errors
    /// [`KeyError::Random`] when the system has no randomness.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(|_| KeyError::Random)?;
        Ok(signature.as_ref().to_vec())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The secret half must never reach a log.
        write!(f, "SigningKey({})", self.public.fingerprint())
    }
}

fn to_pem(label: &str, der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for (at, c) in text.chars().enumerate() {
        if at > 0 && at % PEM_LINE == 0 {
            pem.push('\n');
        }
        pem.push(c);
    }
    pem + &format!("\n-----END {label}-----\n")
}

fn from_pem(pem: &[u8], label: &'static str) -> Result<Vec<u8>, KeyError> {
    let bad = |why| KeyError::Pem { label, why };
    if pem.len() > MAX_KEY_BYTES {
        return Err(bad("the file is far too long for a key"));
    }
    let text = std::str::from_utf8(pem).map_err(|_| bad("the file is not text"))?;
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----")).ok_or(bad("it does not begin"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----")).ok_or(bad("it does not end"))?;
    let body: String = body.split_ascii_whitespace().collect();
    BASE64.decode(body).map_err(|_| bad("what is between the lines is not base64"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A public key as OpenSSL wrote it, and the id that securesystemslib 1.6.0 gave it.
    const PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEpoVNT3HJhrUdFAQa8nYvOI8u8REA\n\
        wXfnVoVSPs5401TylGuUXKGwkBAQtwiKENGMSINgyZqQ9zbyZsxXlR6akQ==\n\
        -----END PUBLIC KEY-----\n";
    const KEY_ID: &str = "d99a01fd61903acc70c2db6fd178d7870c0bc197dbe397475ead2b552bfedd6e";

    pub(crate) fn new_key() -> SigningKey {
        SigningKey::from_pem(SigningKey::generate_pem().unwrap().as_bytes()).unwrap()
    }

    #[test]
    fn names_and_text_of_a_public_key_are_those_of_other_tools() {
        let key = PublicKey::from_pem(PEM.as_bytes()).unwrap();
        assert_eq!(key.to_pem(), PEM);
        assert_eq!(key.key_id(), KEY_ID);
        assert_eq!(key.fingerprint(), "30ca082624fffabc13d62fa82cc19e34af370f4c13844e27fa55f8a7ca93d824");
    }

    #[test]
    fn what_one_signs_the_other_half_verifies() {
        let (key, other) = (new_key(), new_key());
        let signature = key.sign(b"message").unwrap();
        let public = PublicKey::from_pem(key.public().to_pem().as_bytes()).unwrap();
        assert!(public.verifies(b"message", &signature));
        assert!(!public.verifies(b"massage", &signature));
        assert!(!other.public().verifies(b"message", &signature));
        assert!(!public.verifies(b"message", &[]));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let long = "x".repeat(MAX_KEY_BYTES + 1);
        let cases = [
            "",
            "-----BEGIN PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY-----\n*\n-----END PUBLIC KEY-----",
            long.as_str(),
        ];
        for case in cases {
            assert!(matches!(PublicKey::from_pem(case.as_bytes()), Err(KeyError::Pem { .. })));
            assert!(SigningKey::from_pem(case.as_bytes()).is_err());
        }
        let ed25519 = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        assert_eq!(PublicKey::from_pem(ed25519.as_bytes()), Err(KeyError::NotP256));
        assert!(PublicKey::from_pem(&[0xff, 0xfe]).is_err());
    }
}
