//! OLPC canonical JSON: the one byte string that a signature covers.

use alloc::format;
use alloc::vec::Vec;

use serde_json::Value;

use super::error::TrustError;

/// Bytes that most documents fit into, so that the text is not moved while it grows.
const USUAL_BYTES: usize = 1_024;

/// Returns the OLPC canonical form of a value: keys sorted, no spaces, only `"` and `\` escaped.
///
/// # Errors
/// `Malformed` for a number that is not a whole 64-bit number.
pub fn canonical(value: &Value) -> Result<Vec<u8>, TrustError> {
    let mut out = Vec::with_capacity(USUAL_BYTES);
    write(value, &mut out)?;
    Ok(out)
}

fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), TrustError> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => {
            if let Some(whole) = number.as_u64() {
                write_number(whole, out);
                return Ok(());
            }
            if let Some(negative) = number.as_i64() {
                out.push(b'-');
                write_number(negative.unsigned_abs(), out);
                return Ok(());
            }
            return Err(TrustError::malformed(
                "canonical JSON",
                format!("{number} is not a whole 64-bit number; write fractions as strings"),
            ));
        }
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, out)?;
            }
            out.push(b']');
        }
        Value::Object(map) => {
            // Sorted here and not by the map: another crate may switch its order to insertion order.
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| key.as_bytes());
            out.push(b'{');
            for (index, (key, item)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(key, out);
                out.push(b':');
                write(item, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    // Nearly every string goes out in one piece.
    while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(&[b'\\', rest[at]]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn write_number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut from = digits.len();
    loop {
        from -= 1;
        // A digit fits in a byte.
        digits[from] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[from..]);
}
