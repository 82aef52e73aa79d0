//! Packed CBOR with small integer keys: the only file that knows serde_cbor (see ADR 0001).
//!
//! Struct fields are numbered in the order they are declared, so fields are only ever added at the end.
//! Before serde sees a byte, the document is walked once: depth, item count and lengths are checked against
//! [`crate::limits`], so hostile input cannot recurse or allocate.
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::{Serialize, de::DeserializeOwned};

use crate::limits::{CBOR_MAX_DEPTH, CBOR_MAX_ITEMS};

/// Says why bytes are not one of our documents.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    /// More bytes than the reader of this document allows.
    #[error(
        "CBOR document of {len} bytes, at most {max} are read\n  hint: the sender breaks the protocol; update it or look for an intruder"
    )]
    TooLarge {
        /// Bytes received.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Nested deeper or with more items than any document of ours.
    #[error(
        "CBOR document nested deeper than {CBOR_MAX_DEPTH} or longer than {CBOR_MAX_ITEMS} items\n  hint: the sender breaks the protocol; update it or look for an intruder"
    )]
    TooComplex,
    /// Not CBOR, cut short, or of a kind we never write (tags, indefinite lengths).
    #[error(
        "not a CBOR document of ours: broken at byte {at}\n  hint: the message was damaged on the way or comes from another program"
    )]
    Malformed {
        /// Offset of the first byte that does not fit.
        at: usize,
    },
    /// Well-formed CBOR of another shape.
    #[error(
        "CBOR document of another shape: {why}\n  hint: sender and receiver may be of different versions; update the older one"
    )]
    Shape {
        /// What serde missed.
        why: String,
    },
}

/// Bytes that most messages fit into, so that the text is not moved while it grows.
const USUAL_BYTES: usize = 512;

/// Returns `value` as packed CBOR.
///
/// # Errors
/// [`CborError::Shape`] when a type cannot be expressed; none of the protocol's own types does.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CborError> {
    let mut bytes = Vec::with_capacity(USUAL_BYTES);
    let mut writer = serde_cbor::Serializer::new(&mut bytes).packed_format();
    value.serialize(&mut writer).map_err(|e| CborError::Shape { why: e.to_string() })?;
    Ok(bytes)
}

/// Reads a packed CBOR document of at most `max` bytes.
///
/// # Errors
/// [`CborError`] when it is too large, too complex, malformed or of another shape. Never panics.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], max: usize) -> Result<T, CborError> {
    if bytes.len() > max {
        return Err(CborError::TooLarge { len: bytes.len(), max });
    }
    check(bytes)?;
    serde_cbor::from_slice(bytes).map_err(|e| CborError::Shape { why: e.to_string() })
}

/// Walks one document without allocating and checks that it ends where the bytes end.
fn check(bytes: &[u8]) -> Result<(), CborError> {
    // Items still to read at each open level; index 0 is the document itself.
    let mut open = [0_u64; CBOR_MAX_DEPTH + 1];
    open[0] = 1;
    let (mut depth, mut at, mut items) = (0_usize, 0_usize, 0_usize);
    loop {
        while open[depth] == 0 {
            if depth == 0 {
                return if at == bytes.len() { Ok(()) } else { Err(CborError::Malformed { at }) };
            }
            depth -= 1;
        }
        open[depth] -= 1;
        items += 1;
        if items > CBOR_MAX_ITEMS {
            return Err(CborError::TooComplex);
        }
        let (major, value, next) = head(bytes, at)?;
        at = next;
        let children = match major {
            0 | 1 | 7 => 0,
            2 | 3 => {
                let end = usize::try_from(value).ok().and_then(|n| at.checked_add(n));
                at = end.filter(|&e| e <= bytes.len()).ok_or(CborError::Malformed { at })?;
                0
            }
            4 => value,
            5 => value.checked_mul(2).ok_or(CborError::TooComplex)?,
            _ => return Err(CborError::Malformed { at }),
        };
        if children > 0 {
            if children > CBOR_MAX_ITEMS as u64 || depth == CBOR_MAX_DEPTH {
                return Err(CborError::TooComplex);
            }
            depth += 1;
            open[depth] = children;
        }
    }
}

/// Reads one item head: major type, argument, offset of what follows.
fn head(bytes: &[u8], at: usize) -> Result<(u8, u64, usize), CborError> {
    let broken = CborError::Malformed { at };
    let first = *bytes.get(at).ok_or(broken.clone())?;
    let (major, info) = (first >> 5, first & 0x1f);
    let width = match info {
        0..=23 => return Ok((major, u64::from(info), at + 1)),
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        _ => return Err(broken),
    };
    let raw = bytes.get(at + 1..at + 1 + width).ok_or(broken)?;
    let value = raw.iter().fold(0_u64, |acc, &b| (acc << 8) | u64::from(b));
    Ok((major, value, at + 1 + width))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Pair {
        a: u64,
        b: String,
    }

    #[test]
    fn fields_are_small_integers() {
        let bytes = encode(&Pair { a: 7, b: "x".into() }).unwrap();
        assert_eq!(bytes, [0xa2, 0x00, 0x07, 0x01, 0x61, b'x']);
        assert_eq!(decode::<Pair>(&bytes, 100).unwrap(), Pair { a: 7, b: "x".into() });
    }

    #[test]
    fn hostile_documents_are_refused_before_serde() {
        assert!(matches!(decode::<Pair>(&vec![0x81; 4000], 4000), Err(CborError::TooComplex)));
        assert!(matches!(
            decode::<Pair>(&[0x9b, 255, 255, 255, 255, 255, 255, 255, 255], 100),
            Err(CborError::TooComplex)
        ));
        assert!(matches!(
            decode::<Pair>(&[0x5b, 0, 0, 0, 255, 255, 255, 255, 255], 100),
            Err(CborError::Malformed { .. })
        ));
        assert!(matches!(decode::<Pair>(&[0x9f, 0xff], 100), Err(CborError::Malformed { .. })));
        assert!(matches!(decode::<Pair>(&[0; 101], 100), Err(CborError::TooLarge { .. })));
    }
}
