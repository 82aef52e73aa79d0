//! ECDSA and RSA by `ring`, which rustls brings anyway; and the few bytes of DER around their public keys.
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};

use super::Scheme;

/// Object identifier of RSA keys, as DER.
const RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// Object identifiers of elliptic curve keys on P-256, as DER.
const P256: &[u8] =
    &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

/// Returns whether the signature is the key's; anything unusable is not.
pub(super) fn verify(scheme: Scheme, public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let (kind, algorithm): (&[u8], &'static dyn VerificationAlgorithm) = match scheme {
        Scheme::EcdsaP256 => (P256, &ECDSA_P256_SHA256_ASN1),
        Scheme::RsaPss => (RSA, &RSA_PSS_2048_8192_SHA256),
        Scheme::RsaPkcs1 => (RSA, &RSA_PKCS1_2048_8192_SHA256),
    };
    key_bits(public, kind).is_some_and(|key| UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok())
}

/// Returns the key itself out of a SubjectPublicKeyInfo, when it is of the `kind`.
fn key_bits<'a>(spki: &'a [u8], kind: &[u8]) -> Option<&'a [u8]> {
    let (body, rest) = read(spki, SEQUENCE)?;
    let (algorithm, key) = read(body, SEQUENCE)?;
    let (bits, end) = read(key, BIT_STRING)?;
    // A bit string begins with the number of bits that are left out at its end: none.
    let bits = bits.strip_prefix(&[0])?;
    (rest.is_empty() && end.is_empty() && algorithm.starts_with(kind)).then_some(bits)
}

/// Splits one element off: its content, and what follows.
fn read(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = der.strip_prefix(&[tag])?.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        // Keys have at most two bytes of length.
        0x81 => rest.split_first().map(|(low, rest)| (usize::from(*low), rest))?,
        0x82 => rest.split_first_chunk().map(|(be, rest)| (usize::from(u16::from_be_bytes(*be)), rest))?,
        _ => return None,
    };
    rest.split_at_checked(length)
}
