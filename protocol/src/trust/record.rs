//! The frame of a stored record: magic, body, checksum. It finds damage, it does not authenticate.

use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use super::error::TrustError;

/// Bytes of the magic in front: seven letters and a version digit.
pub const MAGIC_LEN: usize = 8;
const SUM_LEN: usize = 32;

/// Returns magic, body and the SHA-256 of both.
pub fn seal(magic: &[u8; MAGIC_LEN], body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(MAGIC_LEN + body.len() + SUM_LEN);
    out.extend_from_slice(magic);
    out.extend_from_slice(body);
    let sum = Sha256::digest(&out);
    out.extend_from_slice(&sum);
    out
}

/// Returns the body of a record of at most `cap` bytes.
///
/// # Errors
/// `TooLarge`, or `Damaged` for another magic, a cut record, a wrong checksum.
pub fn open<'a>(what: &str, magic: &[u8; MAGIC_LEN], bytes: &'a [u8], cap: usize) -> Result<&'a [u8], TrustError> {
    let damaged = |detail: &str| TrustError::Damaged { what: what.into(), detail: detail.into() };
    if bytes.len() > cap {
        return Err(TrustError::TooLarge { what: what.into(), found: bytes.len() as u64, cap: cap as u64 });
    }
    let Some(end) = bytes.len().checked_sub(SUM_LEN).filter(|end| *end >= MAGIC_LEN) else {
        return Err(damaged("it is cut short"));
    };
    let (framed, sum) = bytes.split_at(end);
    if Sha256::digest(framed)[..] != *sum {
        return Err(damaged("its checksum is wrong"));
    }
    framed.strip_prefix(magic.as_slice()).ok_or_else(|| damaged("it is another kind or version of record"))
}
