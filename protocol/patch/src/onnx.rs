//! Where the tensors of an ONNX model are: a reader of protobuf's wire format that looks at nothing else.
//!
//! Field numbers are those of `onnx.proto` (IR version 13). Unknown fields are stepped over. What is not a message that
//! ends where its length says is no model at all.
use crate::elements::Width;
use crate::limits;

/// The bytes of one tensor in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Region<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) width: Width,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Region<'_> {
    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }
}

/// A message that may hold tensors.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Function,
    Node,
    Attribute,
    Tensor,
}

impl Message {
    /// Returns what a field of it is, when that may hold tensors.
    fn field(self, number: u64) -> Option<Self> {
        match (self, number) {
            (Self::Model, 7) | (Self::Attribute, 6 | 11) => Some(Self::Graph),
            (Self::Model, 25) => Some(Self::Function),
            (Self::Graph, 1) | (Self::Function, 7) => Some(Self::Node),
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) => Some(Self::Tensor),
            (Self::Node, 5) => Some(Self::Attribute),
            _ => None,
        }
    }
}

/// One field: its number, and its value or where its bytes are.
struct Field {
    number: u64,
    value: Value,
}

enum Value {
    Number(u64),
    Bytes { start: usize, end: usize },
}

/// Part of a file, read field by field.
struct Reader<'a> {
    file: &'a [u8],
    at: usize,
    end: usize,
}

impl Reader<'_> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.file.get(self.at).filter(|_| self.at < self.end)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
    fn skip(&mut self, length: u64) -> Option<()> {
        self.at = self.at.checked_add(usize::try_from(length).ok()?).filter(|at| *at <= self.end)?;
        Some(())
    }
    /// Returns the next field; `None` when what is there is none.
    fn field(&mut self) -> Option<Field> {
        let key = self.varint()?;
        let number = key >> 3;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            wire @ (1 | 5) => {
                self.skip(if wire == 1 { 8 } else { 4 })?;
                Value::Number(0)
            }
            2 => {
                let length = self.varint()?;
                let start = self.at;
                self.skip(length)?;
                Value::Bytes { start, end: self.at }
            }
            _ => return None,
        };
        (number != 0).then_some(Field { number, value })
    }
}

/// Returns the tensors of a model of at least [`limits::TENSOR_MIN_BYTES`] in the order of their bytes; `None` when the
/// file is no ONNX model.
pub(crate) fn regions(file: &[u8]) -> Option<Vec<Region<'_>>> {
    let mut found = Vec::new();
    let mut open = vec![(Message::Model, 0, file.len(), 0)];
    let mut graph = false;
    while let Some((message, start, end, depth)) = open.pop() {
        if let Message::Tensor = message {
            found.extend(tensor(file, start, end)?.filter(|_| found.len() < limits::TENSORS_MAX));
            continue;
        }
        let mut reader = Reader { file, at: start, end };
        while reader.at < end {
            let field = reader.field()?;
            let Some(inner) = message.field(field.number) else { continue };
            let Value::Bytes { start, end } = field.value else { return None };
            graph |= matches!(message, Message::Model) && matches!(inner, Message::Graph);
            // What is shorter holds no tensor that counts: the list stays shorter than the file.
            if end - start >= limits::TENSOR_MIN_BYTES {
                (depth < limits::DEPTH_MAX).then_some(())?;
                open.push((inner, start, end, depth + 1));
            }
        }
    }
    found.sort_unstable_by_key(|region: &Region<'_>| region.start);
    graph.then_some(found)
}

/// Returns where a tensor's elements are, `Some(None)` when they are not in one piece or too few.
#[expect(clippy::option_option, reason = "no message, or a message without elements")]
fn tensor(file: &[u8], start: usize, end: usize) -> Option<Option<Region<'_>>> {
    let mut reader = Reader { file, at: start, end };
    let (mut name, mut data_type, mut data) = (&file[..0], 0, None);
    while reader.at < end {
        match reader.field()? {
            Field { number: 2, value: Value::Number(value) } => data_type = value,
            Field { number: 8, value: Value::Bytes { start, end } } => name = &file[start..end],
            Field { number: 9, value: Value::Bytes { start, end } } => data = Some((None, start, end)),
            // float_data and double_data; the other typed fields are varints, which have no width.
            Field { number: 4, value: Value::Bytes { start, end } } => data = Some((Some(Width::Four), start, end)),
            Field { number: 10, value: Value::Bytes { start, end } } => data = Some((Some(Width::Eight), start, end)),
            _ => {}
        }
    }
    Some(data.filter(|(_, start, end)| end - start >= limits::TENSOR_MIN_BYTES).map(|(width, start, end)| {
        let width = width.unwrap_or_else(|| element(data_type));
        let width = if (end - start).is_multiple_of(width.bytes()) { width } else { Width::One };
        Region { name, width, start, end }
    }))
}

/// Returns the width of a `TensorProto.DataType` in raw_data; of complex numbers, that of their parts.
fn element(data_type: u64) -> Width {
    match data_type {
        4 | 5 | 10 | 16 => Width::Two,
        1 | 6 | 12 | 14 => Width::Four,
        7 | 11 | 13 | 15 => Width::Eight,
        _ => Width::One,
    }
}
