//! The frame of one record: length, its complement, body, checksum. Finds damage; who can write a file can forge it.
use alloc::vec::Vec;

use pinnace_protocol::ids::Digest;

use super::LogError;
use crate::limits::EVENT_RECORD_MAX_BYTES;

/// What a log begins with: seven letters and the format.
pub const MAGIC: [u8; 8] = *b"PNEVLOG1";
/// Bytes before a body.
const HEAD: usize = 8;
/// Bytes after a body.
const SUM: usize = 8;

/// Appends `body` as one record.
pub(super) fn append(body: &[u8], out: &mut Vec<u8>) -> Result<(), LogError> {
    let too_large = LogError::TooLarge { bytes: body.len() };
    let length = u32::try_from(body.len()).map_err(|_| too_large.clone())?;
    if body.len() > EVENT_RECORD_MAX_BYTES {
        return Err(too_large);
    }
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&(!length).to_be_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(&Digest::of(body).0[..SUM]);
    Ok(())
}

/// Checks what a log begins with; returns the offset of its first record.
pub(super) fn begin(bytes: &[u8]) -> Result<usize, LogError> {
    let (letters, format) = MAGIC.split_at(7);
    match bytes.get(..MAGIC.len()).and_then(|head| head.strip_prefix(letters)) {
        Some(found) if found == format => Ok(MAGIC.len()),
        Some(found) => Err(LogError::Format(found.first().copied().unwrap_or_default())),
        None if !bytes.is_empty() && MAGIC.starts_with(bytes) => Err(LogError::Torn { at: 0 }),
        None => Err(LogError::NotALog),
    }
}

/// Returns the body of the record at `at` and the offset of the next one; `None` at the end.
pub(super) fn next(bytes: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, LogError> {
    let rest = bytes.get(at..).unwrap_or_default();
    if rest.is_empty() {
        return Ok(None);
    }
    // A power cut may leave zeros where the last records should be: no record begins with four of them twice.
    let is_blank = rest.iter().all(|b| *b == 0);
    let Some((length, complement)) = word(rest, 0).zip(word(rest, 4)).filter(|_| !is_blank) else {
        return Err(LogError::Torn { at });
    };
    // The complement tells a flipped length, which would look like the end, from the end.
    let length = usize::try_from(length).ok().filter(|n| *n <= EVENT_RECORD_MAX_BYTES && length == !complement);
    let body_end = HEAD + length.ok_or(LogError::Damaged { at })?;
    let record = rest.get(..body_end + SUM).ok_or(LogError::Torn { at })?;
    let body = &record[HEAD..body_end];
    if Digest::of(body).0[..SUM] != record[body_end..] {
        return Err(LogError::Damaged { at });
    }
    Ok(Some((body, at + record.len())))
}

/// Returns how many bytes of a log are whole records: less than all when the last one is torn.
///
/// # Errors
/// [`LogError`] when it is no log of this format, or damaged before its end.
pub fn whole_until(bytes: &[u8]) -> Result<usize, LogError> {
    let mut at = begin(bytes)?;
    loop {
        match next(bytes, at) {
            Ok(Some((_, after))) => at = after,
            Ok(None) | Err(LogError::Torn { .. }) => return Ok(at),
            Err(e) => return Err(e),
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}
