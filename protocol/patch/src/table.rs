//! What a patch of kind tensor holds: a table of operations, and the streams they read.
//!
//! All numbers of the table are LEB128. It begins with the number of operations. Each is one byte, its code in the upper
//! half and the logarithm of the width of an element in the lower, and its numbers:
//!
//! | code | name | numbers | makes |
//! |---|---|---|---|
//! | 0 | copy | offset, length | bytes of the old file |
//! | 1 | literal | length | bytes of the stream of literals |
//! | 2 | dense | offset, length | bytes of the old file, a difference added to each element |
//! | 3 | sparse | offset, length, count | bytes of the old file, a difference added to `count` elements |
//! | 4 | planes | length | elements, each turned left by one bit and split into the planes |
//! | 5 | grouped | offset, length | as dense; the differences are grouped by the old element |
//!
//! Then come the lengths of the seventeen streams: literals, gaps, and the planes of width 1, 2, 4 and 8, lowest byte
//! first; and the streams. An element of operations 2 to 5 takes one byte of each plane of its width. A difference is
//! wrapping, with its sign in the lowest bit (zigzag). A gap is the number of elements stepped over before the one that
//! changes, as a sum of bytes, the last of them below 255. A group is all elements of the old tensor whose highest byte,
//! turned as in operation 4, is the same: the lowest group comes first, each in the order of its elements. All streams
//! end with the last operation.
use crate::elements::{PLANES, Width};
use crate::{PatchError, limits};

/// One step in making the new file; each appends to it. Lengths are bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Copy { offset: usize, length: usize },
    Literal { length: usize },
    Dense { offset: usize, length: usize, width: Width },
    Sparse { offset: usize, length: usize, width: Width, count: usize },
    Planes { length: usize, width: Width },
    Grouped { offset: usize, length: usize, width: Width },
}

/// Streams of a patch, to write.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    pub(crate) literals: Vec<u8>,
    pub(crate) gaps: Vec<u8>,
    pub(crate) planes: [Vec<u8>; PLANES],
}

impl Streams {
    /// Writes an element to the planes of its width.
    pub(crate) fn element(&mut self, width: Width, value: u64) {
        let planes = &mut self.planes[width.plane()..];
        for (plane, byte) in planes.iter_mut().zip(value.to_le_bytes()).take(width.bytes()) {
            plane.push(byte);
        }
    }
    /// Writes a number of elements to step over.
    pub(crate) fn gap(&mut self, mut gap: usize) {
        while gap >= 255 {
            self.gaps.push(255);
            gap -= 255;
        }
        self.gaps.push(gap as u8);
    }
}

fn number(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Returns the content of a patch.
pub(crate) fn write(operations: &[Operation], streams: &Streams) -> Vec<u8> {
    let mut out = Vec::new();
    number(&mut out, operations.len());
    for operation in operations {
        let (code, width, numbers): (u8, u8, &[usize]) = match operation {
            Operation::Copy { offset, length } => (0, 0, &[*offset, *length]),
            Operation::Literal { length } => (1, 0, &[*length]),
            Operation::Dense { offset, length, width } => (2, width.log(), &[*offset, *length]),
            Operation::Sparse { offset, length, width, count } => (3, width.log(), &[*offset, *length, *count]),
            Operation::Planes { length, width } => (4, width.log(), &[*length]),
            Operation::Grouped { offset, length, width } => (5, width.log(), &[*offset, *length]),
        };
        out.push(code << 4 | width);
        numbers.iter().for_each(|value| number(&mut out, *value));
    }
    let all = || [&streams.literals, &streams.gaps].into_iter().chain(&streams.planes);
    all().for_each(|stream| number(&mut out, stream.len()));
    all().for_each(|stream| out.extend(stream));
    out
}

/// Bytes that are taken from the front.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Source<'a>(pub(crate) &'a [u8]);

impl<'a> Source<'a> {
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], PatchError> {
        let (taken, rest) =
            self.0.split_at_checked(length).ok_or(PatchError::Operation { why: "a stream is too short" })?;
        self.0 = rest;
        Ok(taken)
    }
    pub(crate) fn byte(&mut self) -> Result<u8, PatchError> {
        self.take(1).map(|byte| byte[0])
    }
    fn number(&mut self) -> Result<usize, PatchError> {
        let mut value = 0_u64;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return usize::try_from(value).map_err(|_| PatchError::Operation { why: "a number is too large" });
            }
        }
        Err(PatchError::Operation { why: "a number is too large" })
    }
}

/// A patch's content, to read.
#[derive(Debug)]
pub(crate) struct Content<'a> {
    operations: Source<'a>,
    left: usize,
    pub(crate) literals: Source<'a>,
    pub(crate) gaps: Source<'a>,
    pub(crate) planes: [Source<'a>; PLANES],
}

impl<'a> Content<'a> {
    /// Returns the content that these bytes are. Operations are read twice, so that none has to be kept.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, PatchError> {
        let mut source = Source(bytes);
        let left = source.number()?;
        if left > limits::OPERATIONS_MAX {
            return Err(PatchError::Operation { why: "too many operations" });
        }
        let operations = source;
        for _ in 0..left {
            operation(&mut source)?;
        }
        let mut lengths = [0; PLANES + 2];
        for length in &mut lengths {
            *length = source.number()?;
        }
        let mut streams = [Source::default(); PLANES + 2];
        for (stream, length) in streams.iter_mut().zip(lengths) {
            *stream = Source(source.take(length)?);
        }
        let [literals, gaps, planes @ ..] = streams;
        source
            .0
            .is_empty()
            .then_some(())
            .ok_or(PatchError::Operation { why: "there is something behind the streams" })?;
        Ok(Self { operations, left, literals, gaps, planes })
    }
    /// Returns the next operation.
    pub(crate) fn next(&mut self) -> Result<Option<Operation>, PatchError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        operation(&mut self.operations).map(Some)
    }
    /// Returns the next elements of a width.
    pub(crate) fn elements(&mut self, width: Width, count: usize) -> Result<Elements<'a>, PatchError> {
        let mut planes = [&[][..]; 8];
        for (taken, plane) in planes.iter_mut().zip(&mut self.planes[width.plane()..]).take(width.bytes()) {
            *taken = plane.take(count)?;
        }
        Ok(Elements { planes, width })
    }
    /// Returns how many elements to step over; never more than the stream of gaps is long, times 255.
    pub(crate) fn gap(&mut self) -> Result<usize, PatchError> {
        let mut gap = 0_usize;
        loop {
            let byte = self.gaps.byte()?;
            gap = gap.saturating_add(usize::from(byte));
            if byte < 255 {
                return Ok(gap);
            }
        }
    }
    /// Refuses streams that hold more than the operations took.
    pub(crate) fn end(&self) -> Result<(), PatchError> {
        let all = [&self.literals, &self.gaps].into_iter().chain(&self.planes);
        if all.into_iter().all(|stream| stream.0.is_empty()) {
            Ok(())
        } else {
            Err(PatchError::Operation { why: "a stream is too long" })
        }
    }
}

/// Elements that are still split into planes.
#[derive(Debug)]
pub(crate) struct Elements<'a> {
    planes: [&'a [u8]; 8],
    width: Width,
}

impl Elements<'_> {
    /// Returns an element, put together again; 0 past the end.
    pub(crate) fn at(&self, index: usize) -> u64 {
        let planes = self.planes[..self.width.bytes()].iter().rev();
        planes.fold(0, |value, plane| value << 8 | plane.get(index).map_or(0, |byte| u64::from(*byte)))
    }
}

fn operation(source: &mut Source<'_>) -> Result<Operation, PatchError> {
    let tag = source.byte()?;
    let unknown = PatchError::Operation { why: "an operation is not known" };
    let width = *Width::ALL.get(usize::from(tag & 15)).ok_or(unknown.clone())?;
    Ok(match (tag >> 4, width) {
        (0, Width::One) => Operation::Copy { offset: source.number()?, length: source.number()? },
        (1, Width::One) => Operation::Literal { length: source.number()? },
        (2, width) => Operation::Dense { offset: source.number()?, length: source.number()?, width },
        (3, width) => {
            let (offset, length) = (source.number()?, source.number()?);
            Operation::Sparse { offset, length, width, count: source.number()? }
        }
        (4, width) => Operation::Planes { length: source.number()?, width },
        (5, width) => Operation::Grouped { offset: source.number()?, length: source.number()?, width },
        _ => return Err(unknown),
    })
}
