//! Protobuf on the wire: the fields of a message, one after the other, as slices of the input.
//!
//! The linter reads and rewrites files that others wrote. Decoding into structs would lose every field that this version
//! does not know and would allocate what a hostile length asks for; walking the bytes does neither.

/// Says where bytes stop being a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotAMessage;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Four or eight bytes.
    Fixed(&'a [u8]),
}

/// A field of a message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Field<'a> {
    pub(super) number: u64,
    pub(super) value: Value<'a>,
    /// The whole field as it stands, key included.
    pub(super) raw: &'a [u8],
}

impl<'a> Field<'a> {
    /// Returns a field's bytes: a text, a message or a packed list.
    pub(super) fn bytes(&self) -> Result<&'a [u8], NotAMessage> {
        if let Value::Bytes(bytes) = self.value { Ok(bytes) } else { Err(NotAMessage) }
    }
    /// Returns a field's number.
    pub(super) fn number(&self) -> Result<i64, NotAMessage> {
        if let Value::Varint(n) = self.value { Ok(n.cast_signed()) } else { Err(NotAMessage) }
    }
    /// Returns a field's text.
    pub(super) fn text(&self) -> Result<&'a str, NotAMessage> {
        std::str::from_utf8(self.bytes()?).map_err(|_| NotAMessage)
    }
    /// Returns a field's integers: one, or a packed list of them.
    pub(super) fn integers(&self) -> Result<Vec<i64>, NotAMessage> {
        match self.value {
            Value::Varint(n) => Ok(vec![n.cast_signed()]),
            Value::Fixed(_) => Err(NotAMessage),
            Value::Bytes(mut bytes) => {
                let mut all = Vec::new();
                while !bytes.is_empty() {
                    all.push(varint(&mut bytes)?.cast_signed());
                }
                Ok(all)
            }
        }
    }
}

/// The fields of a message; ends after the first error.
pub(super) struct Fields<'a>(&'a [u8]);

/// Returns the fields of a message.
pub(super) fn fields(message: &[u8]) -> Fields<'_> {
    Fields(message)
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, NotAMessage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let whole = self.0;
        let found = take(&mut self.0).map(|(number, value)| {
            let raw = &whole[..whole.len() - self.0.len()];
            Field { number, value, raw }
        });
        if found.is_err() {
            self.0 = &[];
        }
        Some(found)
    }
}

fn take<'a>(rest: &mut &'a [u8]) -> Result<(u64, Value<'a>), NotAMessage> {
    let key = varint(rest)?;
    let mut cut = |length: u64| {
        let length = usize::try_from(length).map_err(|_| NotAMessage)?;
        let (taken, left) = rest.split_at_checked(length).ok_or(NotAMessage)?;
        *rest = left;
        Ok(taken)
    };
    let value = match key & 7 {
        1 => Value::Fixed(cut(8)?),
        5 => Value::Fixed(cut(4)?),
        0 => Value::Varint(varint(rest)?),
        2 => {
            let length = varint(rest)?;
            let length = usize::try_from(length).map_err(|_| NotAMessage)?;
            let (taken, left) = rest.split_at_checked(length).ok_or(NotAMessage)?;
            *rest = left;
            Value::Bytes(taken)
        }
        _ => return Err(NotAMessage),
    };
    if key >> 3 == 0 { Err(NotAMessage) } else { Ok((key >> 3, value)) }
}

/// Takes a number of at most ten bytes.
fn varint(rest: &mut &[u8]) -> Result<u64, NotAMessage> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, left) = rest.split_first().ok_or(NotAMessage)?;
        *rest = left;
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if shift == 63 && bits > 1 {
            return Err(NotAMessage);
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(NotAMessage)
}

/// Appends a number.
fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a field that holds a number.
pub(super) fn put_number(out: &mut Vec<u8>, field: u64, value: u64) {
    put_varint(out, field << 3);
    put_varint(out, value);
}

/// Appends a field that holds bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(out, field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_cut_is_refused() {
        let mut message = Vec::new();
        put_number(&mut message, 1, u64::MAX);
        put_bytes(&mut message, 16, b"text");
        let found: Vec<_> = fields(&message).map(Result::unwrap).collect();
        assert_eq!((found[0].number, found[0].number()), (1, Ok(-1)));
        assert_eq!((found[1].number, found[1].text()), (16, Ok("text")));
        assert_eq!([found[0].raw, found[1].raw].concat(), message);
        for length in 1..message.len() {
            let cut = fields(&message[..length]).any(|f| f.is_err());
            assert_eq!(cut, length != 11, "{length}");
        }
        for bad in [&b"\x00\x00"[..], b"\x0b", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", &[0xff; 32]] {
            assert!(fields(bad).any(|f| f.is_err()), "{bad:?}");
        }
    }
}
