//! Reads tensors of the Open Inference Protocol: JSON in any nesting, or raw bytes behind the JSON.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::limits;

/// Element types that requests may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Datatype {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp32,
    Fp64,
    Bytes,
}

impl Datatype {
    /// Bytes of one element in raw form; none for texts, which carry their own length.
    const fn width(self) -> Option<usize> {
        match self {
            Self::Bool | Self::Uint8 | Self::Int8 => Some(1),
            Self::Uint16 | Self::Int16 => Some(2),
            Self::Uint32 | Self::Int32 | Self::Fp32 => Some(4),
            Self::Uint64 | Self::Int64 | Self::Fp64 => Some(8),
            Self::Bytes => None,
        }
    }
}

/// One element as it came.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    Null,
    Number(f64),
    Text(String),
}

/// The elements of a tensor in row-major order.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Data(pub(super) Vec<Scalar>);

/// Parameters of a tensor.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct TensorParameters {
    /// Bytes of this tensor behind the JSON.
    #[serde(default)]
    pub(super) binary_data_size: Option<usize>,
    /// Whether an output is wanted as raw bytes.
    #[serde(default)]
    pub(super) binary_data: Option<bool>,
}

/// An input tensor of a request.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) shape: Vec<i64>,
    pub(super) datatype: Datatype,
    #[serde(default)]
    pub(super) parameters: TensorParameters,
    #[serde(default)]
    pub(super) data: Option<Data>,
}

impl Input {
    /// Returns the shape, checked against the number of elements.
    pub(super) fn checked_shape(&self, elements: usize) -> Result<Vec<usize>, ApiError> {
        let shape: Option<Vec<usize>> = self.shape.iter().map(|d| usize::try_from(*d).ok()).collect();
        let product = |s: &Vec<usize>| s.iter().try_fold(1usize, |p, d| p.checked_mul(*d));
        match shape {
            Some(s) if s.len() <= limits::SHAPE_MAX && product(&s) == Some(elements) => Ok(s),
            _ => Err(ApiError::bad_request(format!(
                "input `{}` has {elements} values, which do not fit its shape {:?}\n  hint: the product of the shape must be the number of values",
                self.name, self.shape
            ))),
        }
    }

    /// Takes the elements, from the JSON or from `raw`, whose first bytes belong to this input.
    pub(super) fn take_data(&mut self, raw: &mut &[u8]) -> Result<Vec<Scalar>, ApiError> {
        match (self.data.take(), self.parameters.binary_data_size) {
            (Some(data), None) => Ok(data.0),
            (None, Some(size)) => {
                let Some((mine, rest)) = raw.split_at_checked(size) else {
                    return Err(ApiError::bad_request(format!(
                        "input `{}` announces {size} bytes, {} are left in the body",
                        self.name,
                        raw.len()
                    )));
                };
                *raw = rest;
                decode_raw(self.datatype, mine).ok_or_else(|| {
                    ApiError::bad_request(format!("the bytes of input `{}` are no whole values", self.name))
                })
            }
            (Some(_), Some(_)) => Err(ApiError::bad_request(format!("input `{}` has values twice", self.name))),
            (None, None) => Err(ApiError::bad_request(format!("input `{}` has no data", self.name))),
        }
    }
}

fn decode_raw(datatype: Datatype, bytes: &[u8]) -> Option<Vec<Scalar>> {
    let Some(width) = datatype.width() else { return decode_texts(bytes) };
    if !bytes.len().is_multiple_of(width) || bytes.len() / width > limits::REQUEST_MAX_VALUES {
        return None;
    }
    let number = |c: &[u8]| -> Option<f64> {
        Some(match datatype {
            Datatype::Bool => f64::from(u8::from(*c.first()? != 0)),
            Datatype::Uint8 => f64::from(*c.first()?),
            Datatype::Int8 => f64::from(i8::from_le_bytes(c.try_into().ok()?)),
            Datatype::Uint16 => f64::from(u16::from_le_bytes(c.try_into().ok()?)),
            Datatype::Int16 => f64::from(i16::from_le_bytes(c.try_into().ok()?)),
            Datatype::Uint32 => f64::from(u32::from_le_bytes(c.try_into().ok()?)),
            Datatype::Int32 => f64::from(i32::from_le_bytes(c.try_into().ok()?)),
            // Models see f32, so what is lost here would be lost there.
            Datatype::Uint64 => u64::from_le_bytes(c.try_into().ok()?) as f64,
            Datatype::Int64 => i64::from_le_bytes(c.try_into().ok()?) as f64,
            Datatype::Fp32 => f64::from(f32::from_le_bytes(c.try_into().ok()?)),
            Datatype::Fp64 => f64::from_le_bytes(c.try_into().ok()?),
            Datatype::Bytes => return None,
        })
    };
    bytes.chunks_exact(width).map(|c| number(c).map(Scalar::Number)).collect()
}

/// Reads texts, each behind its length in four bytes.
fn decode_texts(mut bytes: &[u8]) -> Option<Vec<Scalar>> {
    let mut texts = Vec::new();
    while !bytes.is_empty() {
        if texts.len() >= limits::REQUEST_MAX_VALUES {
            return None;
        }
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        texts.push(Scalar::Text(String::from_utf8(text.to_vec()).ok()?));
        bytes = rest;
    }
    Some(texts)
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let mut data = Self::default();
        Flatten(&mut data.0).deserialize(d)?;
        Ok(data)
    }
}

/// Appends scalars at any depth of nested arrays (the JSON reader bounds the depth).
struct Flatten<'a>(&'a mut Vec<Scalar>);

impl Flatten<'_> {
    fn push<E: serde::de::Error>(self, scalar: Scalar) -> Result<(), E> {
        if self.0.len() >= limits::REQUEST_MAX_VALUES {
            return Err(E::custom(format_args!("more than {} values", limits::REQUEST_MAX_VALUES)));
        }
        self.0.push(scalar);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Flatten<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Flatten<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers, texts, true, false, null or arrays of them")
    }
    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.push(Scalar::Null)
    }
    fn visit_bool<E: serde::de::Error>(self, v: bool) -> Result<(), E> {
        self.push(Scalar::Number(f64::from(u8::from(v))))
    }
    fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<(), E> {
        self.push(Scalar::Number(v as f64))
    }
    fn visit_i64<E: serde::de::Error>(self, v: i64) -> Result<(), E> {
        self.push(Scalar::Number(v as f64))
    }
    fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<(), E> {
        self.push(Scalar::Number(v))
    }
    fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<(), E> {
        self.push(Scalar::Text(v.into()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Flatten(self.0))?.is_some() {}
        Ok(())
    }
    fn visit_map<A: serde::de::MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(A::Error::custom("an object is no tensor element"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_and_flat_arrays_are_the_same_tensor() {
        let nested: Data = serde_json::from_str("[[1, 2.5], [null, true], [\"a\", -3]]").unwrap();
        let flat: Data = serde_json::from_str("[1, 2.5, null, true, \"a\", -3]").unwrap();
        assert_eq!(nested, flat);
        assert!(serde_json::from_str::<Data>("[{}]").is_err());
        assert!(serde_json::from_str::<Data>(&format!("{}{}", "[".repeat(500), "]".repeat(500))).is_err());
    }

    #[test]
    fn raw_tensors_are_whole_values_or_refused() {
        assert_eq!(decode_raw(Datatype::Int16, &[254, 255]), Some(vec![Scalar::Number(-2.0)]));
        assert_eq!(decode_raw(Datatype::Fp32, &[0; 7]), None);
        assert_eq!(decode_raw(Datatype::Bytes, b"\x02\0\0\0hi"), Some(vec![Scalar::Text("hi".into())]));
        assert_eq!(decode_raw(Datatype::Bytes, b"\xff\xff\xff\xffhi"), None);
        assert_eq!(decode_raw(Datatype::Bytes, b"\x01\0\0\0\xff"), None);
    }
}
