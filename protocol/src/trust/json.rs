//! JSON that leaves nothing open to interpretation: bounded, whole numbers only, no key twice.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Value};

use super::error::TrustError;
use super::limits::{JSON_BYTES_PER_CONTAINER, JSON_BYTES_PER_VALUE, JSON_CONTAINERS_FREE, JSON_DEPTH_MAX};

/// Parses one JSON document of at most `cap` bytes; `what` names it in errors.
///
/// Length, depth and how much it holds are checked before the parser sees a byte.
///
/// # Errors
/// `TooLarge`, `TooDeep`, `TooMany`, or `Malformed` for bad syntax, fractions, a key given twice, trailing bytes.
pub fn parse(what: &str, bytes: &[u8], cap: usize) -> Result<Value, TrustError> {
    if bytes.len() > cap {
        return Err(TrustError::TooLarge { what: what.into(), found: bytes.len() as u64, cap: cap as u64 });
    }
    let shape = Shape::of(bytes);
    if shape.depth > JSON_DEPTH_MAX {
        return Err(TrustError::TooDeep { what: what.into(), cap: JSON_DEPTH_MAX });
    }
    let most = JSON_CONTAINERS_FREE + cap / JSON_BYTES_PER_CONTAINER;
    if shape.containers > most {
        return Err(TrustError::TooMany { what: what.into(), of: "objects and lists", cap: most });
    }
    let most = JSON_CONTAINERS_FREE + cap / JSON_BYTES_PER_VALUE;
    if shape.commas > most {
        return Err(TrustError::TooMany { what: what.into(), of: "values", cap: most });
    }
    let malformed = |e: serde_json::Error| TrustError::malformed(what, e.to_string());
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict.deserialize(&mut reader).map_err(malformed)?;
    reader.end().map_err(malformed)?;
    Ok(value)
}

/// What a document costs to parse, by what stands outside its strings.
struct Shape {
    /// Brackets open at once; counting ends where there are too many.
    depth: usize,
    /// Objects and lists.
    containers: usize,
    /// Commas: beyond one for each object or list, as many as values.
    commas: usize,
}

impl Shape {
    fn of(mut bytes: &[u8]) -> Self {
        let (mut open, mut shape) = (0_usize, Self { depth: 0, containers: 0, commas: 0 });
        while let Some((first, rest)) = bytes.split_first() {
            bytes = rest;
            match first {
                b'"' => bytes = after_string(rest),
                b'{' | b'[' => {
                    open += 1;
                    shape.containers += 1;
                    shape.depth = shape.depth.max(open);
                    if open > JSON_DEPTH_MAX {
                        break;
                    }
                }
                b'}' | b']' => open = open.saturating_sub(1),
                b',' => shape.commas += 1,
                _ => {}
            }
        }
        shape
    }
}

/// Returns what follows a string whose opening quote has been read; nothing when it never ends.
fn after_string(mut bytes: &[u8]) -> &[u8] {
    while let Some(at) = memchr::memchr2(b'"', b'\\', bytes) {
        let (found, rest) = (bytes[at], &bytes[at + 1..]);
        if found == b'"' {
            return rest;
        }
        bytes = rest.get(1..).unwrap_or_default();
    }
    &[]
}

/// Builds a `Value` and refuses what two readers could read in two ways.
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON with whole numbers and no key twice")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value::from(v))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(Value::from(v))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Value, E> {
        Err(E::custom("a number that is not a whole 64-bit number"))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.into()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Strict)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(Strict)?;
            match map.entry(key) {
                Entry::Vacant(place) => place.insert(value),
                Entry::Occupied(known) => {
                    return Err(A::Error::custom(format!("key `{}` is given twice", known.key())));
                }
            };
        }
        Ok(Value::Object(map))
    }
}
