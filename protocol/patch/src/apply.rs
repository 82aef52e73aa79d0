//! Does what a patch of kind tensor says.
use crate::elements::{Groups, Width};
use crate::table::{Content, Operation};
use crate::{PatchError, frame, limits};

/// Returns the new file of `length` bytes.
pub(crate) fn tensors(from: &[u8], body: &[u8], length: usize) -> Result<Vec<u8>, PatchError> {
    let (said, compressed) = body.split_first_chunk().ok_or(PatchError::Operation { why: "it is too short" })?;
    let said = usize::try_from(u64::from_le_bytes(*said)).unwrap_or(usize::MAX);
    // Streams are never longer than what is made of them.
    if said > length.saturating_add(limits::TABLE_MAX_BYTES) {
        return Err(PatchError::Operation { why: "its content is longer than any" });
    }
    let content = frame::decompress(from, compressed, said)?;
    let mut content = Content::read(&content)?;
    let mut out = Maker { from, length, out: frame::reserve(length)? };
    while let Some(operation) = content.next()? {
        out.append(operation, &mut content)?;
    }
    content.end()?;
    if out.out.len() != length {
        return Err(PatchError::Operation { why: "the operations make too little" });
    }
    Ok(out.out)
}

struct Maker<'a> {
    from: &'a [u8],
    length: usize,
    out: Vec<u8>,
}

impl<'a> Maker<'a> {
    /// Refuses a length beyond the end of the new file.
    fn room(&self, length: usize) -> Result<(), PatchError> {
        if length <= self.length - self.out.len() {
            Ok(())
        } else {
            Err(PatchError::Operation { why: "the operations make too much" })
        }
    }
    fn old(&self, offset: usize, length: usize) -> Result<&'a [u8], PatchError> {
        let end = offset.checked_add(length);
        let old = end.and_then(|end| self.from.get(offset..end));
        old.ok_or(PatchError::Operation { why: "it reaches beyond the old file" })
    }
    fn append(&mut self, operation: Operation, content: &mut Content<'_>) -> Result<(), PatchError> {
        match operation {
            Operation::Copy { offset, length } => {
                self.room(length)?;
                self.out.extend(self.old(offset, length)?);
            }
            Operation::Literal { length } => {
                self.room(length)?;
                self.out.extend(content.literals.take(length)?);
            }
            Operation::Dense { offset, length, width } => {
                self.room(length)?;
                let elements = whole(length, width)?;
                let differences = content.elements(width, elements)?;
                for (index, old) in self.old(offset, length)?.chunks_exact(width.bytes()).enumerate() {
                    self.push(width, width.add(width.read(old), differences.at(index)));
                }
            }
            Operation::Grouped { offset, length, width } => {
                self.room(length)?;
                let differences = content.elements(width, whole(length, width)?)?;
                let old = self.old(offset, length)?;
                let mut groups = Groups::new(old, width);
                for old in old.chunks_exact(width.bytes()) {
                    let old = width.read(old);
                    self.push(width, width.add(old, differences.at(groups.place(old))));
                }
            }
            Operation::Sparse { offset, length, width, count } => {
                self.room(length)?;
                let elements = whole(length, width)?;
                let start = self.out.len();
                self.out.extend(self.old(offset, length)?);
                let differences = content.elements(width, count)?;
                let mut next = 0_usize;
                for change in 0..count {
                    let index = next.saturating_add(content.gap()?);
                    if index >= elements {
                        return Err(PatchError::Operation { why: "it changes what is beyond a tensor" });
                    }
                    let bytes = &mut self.out[start + index * width.bytes()..];
                    width.write(width.add(width.read(bytes), differences.at(change)), bytes);
                    next = index + 1;
                }
            }
            Operation::Planes { length, width } => {
                self.room(length)?;
                let elements = whole(length, width)?;
                let turned = content.elements(width, elements)?;
                for index in 0..elements {
                    self.push(width, width.turn_back(turned.at(index)));
                }
            }
        }
        Ok(())
    }
    fn push(&mut self, width: Width, value: u64) {
        self.out.extend(&value.to_le_bytes()[..width.bytes()]);
    }
}

/// Returns the number of elements in so many bytes.
fn whole(length: usize, width: Width) -> Result<usize, PatchError> {
    if length.is_multiple_of(width.bytes()) {
        Ok(length / width.bytes())
    } else {
        Err(PatchError::Operation { why: "half an element" })
    }
}
