//! Patches as devices get them, and models as the plane makes patches for them.
use std::sync::LazyLock;

use pinnace_patch::{Kind, apply, cuts, limits, make};
use pinnace_protocol::ids::Digest;

use crate::fixtures::patch;
use crate::target::{Budget, Form, Target};
use crate::verdict::{Verdict, magnitude};

static FROM: LazyLock<Vec<u8>> = LazyLock::new(|| patch::model(1));

pub const PATCH: Target = Target {
    name: "patch",
    what: "a patch on a device that has the old model and was told what the patch tells of the new one",
    form: Form::Bytes,
    max_bytes: 8 * 1024,
    // Result, content, and the longest table that is read.
    budget: Budget { base: 2 * TO_MAX_BYTES + limits::TABLE_MAX_BYTES + 64 * 1024, per_byte: 4 },
    cost: 2,
    words: &["PNPATCH"],
    run: run_patch,
    repair: Some(repair),
};

pub const MODEL: Target = Target {
    name: "patched-model",
    what: "a model that the plane cuts into chunks and makes a patch for",
    form: Form::Protobuf,
    max_bytes: 8 * 1024,
    budget: Budget { base: 4 * 1024 * 1024, per_byte: 200 },
    cost: 10,
    words: &["weight", "quantised"],
    run: run_model,
    repair: None,
};

/// Bytes of the longest new model that the device lets a patch speak of.
const TO_MAX_BYTES: usize = 64 * 1024;

fn run_patch(input: &[u8]) -> Verdict {
    let said = |at: usize, length: usize| input.get(at..at + length).unwrap_or_default();
    let to = said(41, 32).try_into().map_or(Digest([0; 32]), Digest);
    let length = said(73, 8).try_into().map_or(0, u64::from_le_bytes).min(TO_MAX_BYTES as u64);
    match apply(&FROM, input, &to, length) {
        Ok(made) => {
            assert!(made.len() as u64 == length && Digest::of(&made) == to, "it makes what was asked for");
            Verdict::accepted(format!("kind {}", input[8]))
        }
        Err(error) => Verdict::refused_as(&error),
    }
}

/// Makes the check right again, and the old file, so that the body is read; its last bytes stay where they are.
fn repair(input: &[u8], _: u64) -> Option<Vec<u8>> {
    let mut patch = input.get(..input.len().checked_sub(8)?)?.to_vec();
    patch.get_mut(9..41)?.copy_from_slice(&Digest::of(&FROM).0);
    Some(patch::sealed(patch))
}

fn run_model(input: &[u8]) -> Verdict {
    let lengths = cuts(input);
    assert!(lengths.iter().all(|length| (1..=limits::CHUNK_BYTES as u32).contains(length)), "chunks of their length");
    assert_eq!(lengths.iter().map(|length| *length as usize).sum::<usize>(), input.len(), "chunks cover the file");
    for (from, to) in [(&FROM[..], input), (input, &FROM[..])] {
        let Some(patch) = make(from, to, Kind::Tensor) else { return Verdict::refused("Tensors", "no tensors") };
        let made = apply(from, &patch.bytes, &Digest::of(to), to.len() as u64);
        assert!(made.as_deref() == Ok(to), "a patch makes what it was made for: {:?}", made.err());
    }
    Verdict::accepted(format!("{}", magnitude(input.len() as u64)))
}
