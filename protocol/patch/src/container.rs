//! The outside of a patch: what it is for, what it makes, and whether it arrived whole.
use pinnace_protocol::ids::Digest;

use crate::{Kind, PatchError};

const MAGIC: &[u8; 8] = b"PNPATCH\x01";
const HEAD_BYTES: usize = 81;
const CHECK_BYTES: usize = 8;

/// What a patch says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) from: Digest,
    pub(crate) to: Digest,
    pub(crate) to_length: u64,
}

fn check(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&Digest::of(bytes).0[..CHECK_BYTES]);
    check
}

/// Returns a whole patch.
pub(crate) fn write(head: &Head, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD_BYTES + body.len() + CHECK_BYTES);
    out.extend(MAGIC);
    out.push(match head.kind {
        Kind::Zstd => 1,
        Kind::Tensor => 2,
    });
    out.extend(head.from.0);
    out.extend(head.to.0);
    out.extend(head.to_length.to_le_bytes());
    out.extend(body);
    out.extend(check(&out));
    out
}

/// Returns what a patch says of itself, and its body.
pub(crate) fn read(patch: &[u8]) -> Result<(Head, &[u8]), PatchError> {
    if !patch.starts_with(MAGIC) {
        return Err(PatchError::NotAPatch);
    }
    let (said, found) = patch.split_last_chunk::<CHECK_BYTES>().ok_or(PatchError::Damaged)?;
    if check(said) != *found {
        return Err(PatchError::Damaged);
    }
    let (head, body) = said.split_at_checked(HEAD_BYTES).ok_or(PatchError::Damaged)?;
    let kind = match head[8] {
        1 => Kind::Zstd,
        2 => Kind::Tensor,
        _ => return Err(PatchError::NotAPatch),
    };
    let digest = |at: usize| {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(&head[at..at + 32]);
        Digest(bytes)
    };
    let mut length = [0; 8];
    length.copy_from_slice(&head[73..]);
    Ok((Head { kind, from: digest(9), to: digest(41), to_length: u64::from_le_bytes(length) }, body))
}
