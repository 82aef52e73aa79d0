//! What a patch makes is what it was made for, whatever the two files are; and updates that are small stay small.
use std::collections::BTreeSet;

use common::models::{Chance, Model, Tensor, fp32, int8};
use pinnace_patch::{Kind, apply, cuts, limits, make, smallest};
use pinnace_protocol::ids::Digest;
use proptest::prelude::*;

mod common;

/// Applies every kind of patch, and says how long the smallest is.
fn both_ways(from: &[u8], to: &[u8]) -> usize {
    let mut shortest = usize::MAX;
    for kind in [Kind::Zstd, Kind::Tensor] {
        let Some(patch) = make(from, to, kind) else { continue };
        assert_eq!(patch.kind, kind);
        let made = apply(from, &patch.bytes, &Digest::of(to), to.len() as u64);
        assert!(made.as_deref() == Ok(to), "{kind:?}: {:?}", made.err());
        shortest = shortest.min(patch.bytes.len());
    }
    let best = smallest(from, to, u64::MAX).unwrap();
    assert_eq!(best.bytes.len(), shortest);
    assert_eq!(smallest(from, to, shortest as u64), None, "none is smaller than the smallest");
    shortest
}

/// A model whose tensors are of every type, and what may happen to each of them.
fn tensors(seed: u64, changes: &[u8]) -> (Model, Model) {
    let chance = &mut Chance(seed);
    let mut old = Model { version: "1".into(), tensors: Vec::new() };
    let mut new = Model { version: format!("{}", seed % 3), tensors: Vec::new() };
    for (index, change) in changes.iter().enumerate() {
        let data_type = [1, 2, 3, 5, 6, 7, 10, 11, 16, 99][(chance.bits() % 10) as usize];
        let length = (chance.bits() % 5000) as usize;
        let data: Vec<u8> = (0..length).map(|_| chance.normal() as i8 as u8).collect();
        let tensor = Tensor { name: format!("t{index}"), dims: vec![length as u64], data_type, data };
        let mut other = tensor.clone();
        match change % 9 {
            0 => {}
            1 => other.data.iter_mut().for_each(|byte| *byte = byte.wrapping_add((chance.bits() % 3) as u8)),
            2 => (0..length / 50).for_each(|_| other.data[chance.bits() as usize % length] ^= chance.bits() as u8),
            3 => other.data.iter_mut().for_each(|byte| *byte = chance.bits() as u8),
            4 => other.name = format!("renamed{index}"),
            5 => other.data.extend([3; 700]),
            6 => other.data.truncate(length / 2),
            7 => other.data_type = 1,
            _ => continue,
        }
        old.tensors.push(tensor);
        new.tensors.push(other);
    }
    if seed.is_multiple_of(4) {
        new.tensors.reverse();
    }
    (old, new)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_two_files(from in prop::collection::vec(any::<u8>(), 0..3000), to in prop::collection::vec(any::<u8>(), 0..3000)) {
        both_ways(&from, &to);
        both_ways(&from, &[&from[..], &to].concat());
        // Of one length, they are compared as one tensor.
        let same: Vec<u8> = from.iter().zip(to.iter().cycle()).map(|(old, new)| old.wrapping_add(new & 1)).collect();
        both_ways(&from, &same);
    }

    #[test]
    fn any_two_models(seed: u64, changes in prop::collection::vec(any::<u8>(), 0..9)) {
        let (old, new) = tensors(seed, &changes);
        both_ways(&old.file(), &new.file());
        both_ways(&new.file(), &old.file());
    }

    #[test]
    fn damaged_models(seed: u64, at: usize, byte: u8, cut: usize) {
        let (old, new) = tensors(seed, &[1, 2, 3, 5]);
        let (old, mut new) = (old.file(), new.file());
        let at = at % new.len();
        new[at] = byte;
        both_ways(&old, &new);
        both_ways(&new, &old);
        cover(&new);
        new.truncate(cut % new.len());
        both_ways(&old, &new);
        cover(&new);
    }

    #[test]
    fn cuts_cover_any_file(bytes in prop::collection::vec(any::<u8>(), 0..200_000)) {
        prop_assert_eq!(cover(&bytes), bytes.len().div_ceil(limits::CHUNK_BYTES));
    }
}

/// Asserts what holds for the chunks of any file; returns their number.
fn cover(bytes: &[u8]) -> usize {
    let lengths = cuts(bytes);
    assert!(lengths.iter().all(|length| (1..=limits::CHUNK_BYTES as u32).contains(length)), "{lengths:?}");
    assert_eq!(lengths.iter().map(|length| *length as usize).sum::<usize>(), bytes.len());
    assert!(lengths.len() <= 3 * bytes.len() / limits::CHUNK_BYTES + 1, "{} chunks", lengths.len());
    lengths.len()
}

/// Returns the bytes of those chunks of `to` that `from` does not have.
fn new_bytes(from: &[u8], to: &[u8]) -> usize {
    let chunks = |mut bytes: &[u8]| -> Vec<Digest> {
        let cut = cuts(bytes);
        let cut = cut.into_iter().map(|length| bytes.split_off(..length as usize).unwrap());
        cut.map(Digest::of).collect()
    };
    let have: BTreeSet<_> = chunks(from).into_iter().collect();
    let lengths = cuts(to);
    chunks(to).iter().zip(lengths).filter(|(chunk, _)| !have.contains(chunk)).map(|(_, length)| length as usize).sum()
}

#[test]
fn a_changed_header_or_head_leaves_the_other_tensors_chunks_as_they_were() {
    let chance = &mut Chance(1);
    let model = fp32(&[128, 256, 256, 80], chance);
    let from = model.file();
    assert!(cover(&from) > from.len() / limits::CHUNK_BYTES, "cut at tensors, too");
    let mut header = model.clone();
    header.version = "another, longer version".into();
    assert!(new_bytes(&from, &header.file()) < 2000, "{}", new_bytes(&from, &header.file()));
    let mut head = model.clone();
    head.tensors[4].data = fp32(&[256, 80], chance).tensors[0].data.clone();
    assert_eq!(new_bytes(&from, &head.file()), head.tensors[4].data.len());
    let damaged = &from[..from.len() - 1];
    assert_eq!(cover(damaged), damaged.len().div_ceil(limits::CHUNK_BYTES), "no model: pieces of one length");
    assert_eq!(cuts(b""), Vec::<u32>::new());
}

#[test]
fn small_updates_are_small_patches() {
    let chance = &mut Chance(2);
    let model = fp32(&[64, 256, 256, 40], chance);
    let from = model.file();
    let mut header = model.clone();
    header.version = "another, longer version".into();
    let bytes = both_ways(&from, &header.file());
    assert!(bytes < 400, "header: {bytes}");

    let mut head = model.clone();
    head.tensors[4].data = fp32(&[256, 40], chance).tensors[0].data.clone();
    let bytes = both_ways(&from, &head.file());
    assert!(bytes < head.tensors[4].data.len() * 89 / 100 + 300, "head: {bytes}");

    let mut tuned = model.clone();
    tuned.change(|w| w * (1.0 + 1e-3 * chance.normal() as f32), |w| w);
    let bytes = both_ways(&from, &tuned.file());
    assert!(bytes < from.len() * 52 / 100, "fp32: {bytes} of {}", from.len());

    // Changes of one size, whatever the weight: differences are grouped by exponent.
    let mut tuned_alike = model.clone();
    tuned_alike.change(|w| w + 1e-4 * chance.normal() as f32, |w| w);
    let bytes = both_ways(&from, &tuned_alike.file());
    assert!(bytes < from.len() * 545 / 1000, "fp32, changes of one size: {bytes} of {}", from.len());

    // Element types that nothing says: two files of weights alone.
    let raw = |model: &Model| model.tensors.iter().flat_map(|tensor| tensor.data.clone()).collect::<Vec<u8>>();
    let bytes = both_ways(&raw(&model), &raw(&tuned));
    assert!(bytes < from.len() * 52 / 100, "raw fp32: {bytes} of {}", from.len());

    let mut model = int8(&[256, 512, 256, 64], chance);
    let from = model.file();
    model.change(|w| w, |w| if chance.share() < 0.03 { w ^ 1 } else { w });
    let bytes = both_ways(&from, &model.file());
    assert!(bytes < from.len() * 34 / 1000, "int8: {bytes} of {}", from.len());
}

#[test]
fn tensors_are_found_in_constants_and_subgraphs_too() {
    let chance = &mut Chance(3);
    let data: Vec<u8> = (0..20_000).flat_map(|_| (chance.normal() as f32).to_le_bytes()).collect();
    let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2][..], &common::leb(bytes.len() as u64), bytes].concat();
    // A model with a graph with a node with an attribute that is a graph, and so on.
    let model = |data: &[u8], depth: usize| {
        let tensor = [&[0x10, 1][..], &field(9, data)].concat();
        let mut graph = field(1, &field(5, &field(5, &tensor)));
        for _ in 0..depth {
            graph = field(1, &field(5, &field(6, &graph)));
        }
        field(7, &graph)
    };
    let tuned: Vec<u8> =
        data.as_chunks::<4>().0.iter().flat_map(|w| (f32::from_le_bytes(*w) * 1.001).to_le_bytes()).collect();
    for depth in [0, 1, 5] {
        let (from, to) = (model(&data, depth), model(&tuned, depth));
        assert!(both_ways(&from, &to) < to.len() * 6 / 10, "depth {depth}");
        assert!(cuts(&to)[0] < 100, "cut where the tensor begins");
    }
    // Deeper than any real one: no model, and still a file.
    let deep = model(&data, 3000);
    assert_eq!(cover(&deep), deep.len().div_ceil(limits::CHUNK_BYTES));
    both_ways(&deep, &model(&tuned, 3000));
}

#[test]
fn a_file_that_shrinks_to_a_part_of_the_old_one_costs_next_to_nothing() {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let old: Vec<u8> = (0..200_000).map(|_| next()).collect();
    for part in [0..100_000, 50_000..150_000, 100_000..200_000, 0..199_000, 1_000..200_000] {
        // A copy: zstd finds nothing in a prefix that shares its memory with what it compresses.
        let new = old[part.clone()].to_vec();
        let patch = smallest(&old, &new, u64::MAX).unwrap();
        assert!(patch.bytes.len() < 1_000, "{part:?}: {} bytes", patch.bytes.len());
    }
}
