//! Changes an input a little: bytes, numbers, words, and whole branches of JSON, CBOR and protobuf.
mod bytes;
mod cbor;
mod json;
mod protobuf;

use crate::limits::STACKED_MAX;
use crate::rng::Rng;
use crate::target::{Form, Target};

/// Returns a changed copy of `input`; `other` is another item of the corpus to take pieces from.
pub fn mutate(target: &Target, input: &[u8], other: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut out = input.to_vec();
    for _ in 0..1 + rng.below(STACKED_MAX) {
        let structured = rng.one_in(2);
        let changed = match target.form {
            Form::Json if structured => json::mutate(&out, other, target.words, rng),
            Form::Cbor if structured => cbor::mutate(&out, other, rng),
            Form::Protobuf if structured => protobuf::mutate(&out, other, target.words, rng),
            _ => None,
        };
        match changed {
            Some(changed) => out = changed,
            None => bytes::mutate(&mut out, other, target.words, rng),
        }
    }
    if let Some(repair) = target.repair
        && !rng.one_in(3)
        && let Some(whole) = repair(&out, rng.number())
    {
        out = whole;
    }
    out.truncate(target.max_bytes);
    out
}
