//! Writes and reads the few primitives of an encoded window: one form per value, no other.

use super::error::WindowError;
use super::limits::MAX_VARINT_BYTES;
use alloc::vec::Vec;

/// Appends primitives to a byte string.
#[derive(Default)]
pub(crate) struct Writer {
    pub(crate) bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn raw(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
    }

    /// Seven bits a byte, lowest first.
    pub(crate) fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }

    /// A signed number, small in either direction.
    pub(crate) fn signed(&mut self, value: i64) {
        self.varint((value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned());
    }

    pub(crate) fn float(&mut self, value: f32) {
        self.raw(&value.to_le_bytes());
    }

    /// Counters of a known number; a run of zeros is a zero and its length less one.
    pub(crate) fn counters(&mut self, counters: &[u32]) {
        let mut index = 0;
        while let Some(&count) = counters.get(index) {
            self.varint(u64::from(count));
            index += 1;
            if count == 0 {
                let more = counters[index..].iter().take_while(|count| **count == 0).count();
                self.varint(more as u64);
                index += more;
            }
        }
    }
}

/// Takes primitives off a byte string.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn invalid(&self, rule: &'static str) -> WindowError {
        WindowError::Invalid { at: self.at, rule }
    }

    pub(crate) fn require(&self, holds: bool, rule: &'static str) -> Result<(), WindowError> {
        if holds { Ok(()) } else { Err(self.invalid(rule)) }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, WindowError> {
        let byte = *self.bytes.get(self.at).ok_or(WindowError::Short { at: self.at })?;
        self.at += 1;
        Ok(byte)
    }

    pub(crate) fn raw<const N: usize>(&mut self) -> Result<[u8; N], WindowError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.first_chunk::<N>().ok_or(WindowError::Short { at: self.bytes.len() })?;
        self.at += N;
        Ok(*taken)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, WindowError> {
        let mut value = 0u64;
        for index in 0..MAX_VARINT_BYTES {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            let shift = 7 * index as u32;
            self.require(shift < 63 || bits <= 1, "a number has more than 64 bits")?;
            value |= bits << shift;
            if byte < 0x80 {
                self.require(index == 0 || byte != 0, "a number is longer than needed")?;
                return Ok(value);
            }
        }
        Err(self.invalid("a number has more than 64 bits"))
    }

    pub(crate) fn signed(&mut self) -> Result<i64, WindowError> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    pub(crate) fn count(&mut self) -> Result<u32, WindowError> {
        let value = self.varint()?;
        u32::try_from(value).map_err(|_| self.invalid("a count has more than 32 bits"))
    }

    /// Reads a number that is only written when it is not zero.
    pub(crate) fn nonzero(&mut self) -> Result<u32, WindowError> {
        let value = self.count()?;
        self.require(value != 0, "a count of zero is written out")?;
        Ok(value)
    }

    pub(crate) fn float(&mut self) -> Result<f32, WindowError> {
        Ok(f32::from_le_bytes(self.raw()?))
    }

    pub(crate) fn counters(&mut self, counters: &mut [u32]) -> Result<(), WindowError> {
        let mut index = 0;
        let mut after_zeros = false;
        while index < counters.len() {
            let count = self.count()?;
            self.require(count != 0 || !after_zeros, "a run of zeros is written in two parts")?;
            after_zeros = count == 0;
            counters[index] = count;
            index += 1;
            if count == 0 {
                let more = self.varint()?;
                let left = (counters.len() - index) as u64;
                self.require(more <= left, "a run of zeros is too long")?;
                index += more as usize;
            }
        }
        Ok(())
    }

    /// Checks that everything was read.
    pub(crate) fn finish(&self) -> Result<(), WindowError> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(WindowError::Trailing { at: self.at }) }
    }
}
