//! Changes to a protobuf message that keep the lengths around them right.
use super::bytes;
use crate::limits::{TREE_DEPTH_MAX, TREE_NODES_MAX};
use crate::rng::Rng;

/// One field: its key, and what it holds.
#[derive(Debug, Clone)]
struct Field {
    number: u64,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Varint(u64),
    Fixed64([u8; 8]),
    Fixed32([u8; 4]),
    Bytes(Vec<u8>),
    Message(Vec<Field>),
}

/// Returns the message with one field changed; `None` when the bytes are none.
pub fn mutate(input: &[u8], other: &[u8], words: &[&str], rng: &mut Rng) -> Option<Vec<u8>> {
    let mut message = read(input, 0)?;
    let donor = rng.one_in(4).then(|| read(other, 0)).flatten();
    let total = count(&message);
    let mut index = rng.index(total.min(TREE_NODES_MAX));
    change(&mut message, &mut index, donor.as_deref(), words, rng);
    let mut out = Vec::new();
    write(&message, &mut out);
    Some(out)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn read(mut rest: &[u8], depth: usize) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        let content = match key & 7 {
            0 => Content::Varint(varint(&mut rest)?),
            1 => {
                let (raw, after) = rest.split_first_chunk()?;
                rest = after;
                Content::Fixed64(*raw)
            }
            5 => {
                let (raw, after) = rest.split_first_chunk()?;
                rest = after;
                Content::Fixed32(*raw)
            }
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                let (raw, after) = rest.split_at_checked(length)?;
                rest = after;
                // What reads as a message is taken for one; a name hardly ever does.
                let inner = (depth < TREE_DEPTH_MAX && raw.len() > 1).then(|| read(raw, depth + 1)).flatten();
                inner.map_or_else(|| Content::Bytes(raw.to_vec()), Content::Message)
            }
            _ => return None,
        };
        if key >> 3 == 0 || fields.len() > TREE_NODES_MAX {
            return None;
        }
        fields.push(Field { number: key >> 3, content });
    }
    Some(fields)
}

fn put(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn write(fields: &[Field], out: &mut Vec<u8>) {
    for Field { number, content } in fields {
        let kind = match content {
            Content::Varint(_) => 0,
            Content::Fixed64(_) => 1,
            Content::Bytes(_) | Content::Message(_) => 2,
            Content::Fixed32(_) => 5,
        };
        put(number << 3 | kind, out);
        match content {
            Content::Varint(value) => put(*value, out),
            Content::Fixed64(raw) => out.extend_from_slice(raw),
            Content::Fixed32(raw) => out.extend_from_slice(raw),
            Content::Bytes(raw) => {
                put(raw.len() as u64, out);
                out.extend_from_slice(raw);
            }
            Content::Message(inner) => {
                let mut raw = Vec::new();
                write(inner, &mut raw);
                put(raw.len() as u64, out);
                out.extend_from_slice(&raw);
            }
        }
    }
}

fn count(fields: &[Field]) -> usize {
    fields.iter().map(|f| 1 + if let Content::Message(inner) = &f.content { count(inner) } else { 0 }).sum()
}

/// Changes the field with number `index`, counted in order of reading; returns whether it was found.
fn change(fields: &mut Vec<Field>, index: &mut usize, donor: Option<&[Field]>, words: &[&str], rng: &mut Rng) -> bool {
    for at in 0..fields.len() {
        if *index == 0 {
            match rng.below(8) {
                0 => drop(fields.remove(at)),
                1 => {
                    let (field, many) = (fields[at].clone(), 1 + rng.length(40));
                    fields.splice(at..at, std::iter::repeat_n(field, many));
                }
                2 => fields[at].number = 1 + rng.below(24),
                3 => {
                    if let Some(piece) = donor.filter(|d| !d.is_empty()).map(|d| rng.pick(d).clone()) {
                        fields.insert(at, piece);
                    }
                }
                4 => {
                    let inner = std::mem::take(fields);
                    let number = 1 + rng.below(16);
                    fields.push(Field { number, content: Content::Message(inner) });
                }
                _ => inside(&mut fields[at].content, words, rng),
            }
            return true;
        }
        *index -= 1;
        if let Content::Message(inner) = &mut fields[at].content
            && change(inner, index, donor, words, rng)
        {
            return true;
        }
    }
    false
}

fn inside(content: &mut Content, words: &[&str], rng: &mut Rng) {
    match content {
        Content::Varint(value) => {
            *value = match rng.below(3) {
                0 => bytes::edge(rng),
                1 => value.wrapping_add(1),
                _ => value.wrapping_sub(1),
            };
        }
        Content::Fixed64(raw) => *raw = bytes::edge(rng).to_le_bytes(),
        Content::Fixed32(raw) => *raw = (bytes::edge(rng) as u32).to_le_bytes(),
        Content::Bytes(raw) => {
            if rng.one_in(3) && !words.is_empty() {
                *raw = rng.pick(words).as_bytes().to_vec();
            } else {
                bytes::mutate(raw, b"", words, rng);
            }
        }
        Content::Message(fields) if rng.one_in(2) && fields.len() > 1 => {
            let (a, b) = (rng.index(fields.len()), rng.index(fields.len()));
            fields.swap(a, b);
        }
        Content::Message(fields) => *content = Content::Bytes(fields.iter().map(|f| f.number as u8).collect()),
    }
}
