//! Measures what an update costs on the wire: whole, by chunks, and by patches; the table goes to docs/PERF.md.
//!
//! `cargo run --profile ci -p pinnace-patch --example wire [FOLDER]`; with a folder, writes the models there, for other
//! programs to compare.
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use models::{Chance, Model, fp32, int8};
use pinnace_patch::{Kind, apply, cuts, limits, make};
use pinnace_protocol::ids::Digest;

mod models;

/// Returns the bytes of those chunks of `to` that are not among those of `from`.
fn new_chunks(from: &[u8], to: &[u8], cut: impl Fn(&[u8]) -> Vec<u32>) -> usize {
    let chunks = |mut bytes: &[u8]| {
        let mut chunks = Vec::new();
        for length in cut(bytes) {
            let (chunk, rest) = bytes.split_at(length as usize);
            chunks.push((Digest::of(chunk), chunk.len()));
            bytes = rest;
        }
        chunks
    };
    let have: BTreeSet<_> = chunks(from).into_iter().collect();
    chunks(to).into_iter().filter(|chunk| !have.contains(chunk)).map(|(_, length)| length).sum()
}

fn fixed(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks(limits::CHUNK_BYTES).map(|chunk| chunk.len() as u32).collect()
}

/// Returns one way's bytes and its seconds to make and to apply.
fn patch(from: &[u8], to: &[u8], kind: Kind) -> (usize, f64, f64) {
    let start = Instant::now();
    let Some(patch) = make(from, to, kind) else { return (usize::MAX, 0.0, 0.0) };
    let made = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let again = apply(from, &patch.bytes, &Digest::of(to), to.len() as u64).expect("a patch that was just made");
    let applied = start.elapsed().as_secs_f64();
    assert!(again == to);
    (patch.bytes.len(), made, applied)
}

fn main() {
    let folder = std::env::args().nth(1);
    let chance = &mut Chance(7);
    let large = fp32(&[256, 1024, 1024, 640, 80], chance);
    let small = int8(&[1024, 1024, 896, 64], chance);
    let changed = |model: &Model, change: &mut dyn FnMut(&mut Model)| {
        let mut model = model.clone();
        change(&mut model);
        model
    };
    let same_byte = |byte: i8| byte;
    let moved = |share: f64, chance: &mut Chance, byte: i8| {
        if chance.share() >= share {
            return byte;
        }
        let step = [-2, -1, 1, 2][(chance.bits() % 4) as usize];
        byte.saturating_add(step)
    };
    let header = |model: &mut Model| model.version = "2.10.0+cpu, retrained".into();
    let cases = [
        ("fp32-same", &large, large.clone()),
        ("fp32-header", &large, changed(&large, &mut |m| header(m))),
        ("fp32-head", &large, {
            let mut other = fp32(&[640, 80], chance);
            let mut model = large.clone();
            other.tensors.iter_mut().zip(&mut model.tensors[6..]).for_each(|(new, old)| old.data = new.data.clone());
            model
        }),
        (
            "fp32-tuned-relative",
            &large,
            changed(&large, &mut |m| m.change(|w| w * (1.0 + 1e-3 * chance.normal() as f32), same_byte)),
        ),
        (
            "fp32-tuned-absolute",
            &large,
            changed(&large, &mut |m| m.change(|w| w + 5e-5 * chance.normal() as f32, same_byte)),
        ),
        ("fp32-retrained", &large, fp32(&[256, 1024, 1024, 640, 80], chance)),
        ("int8-same", &small, small.clone()),
        ("int8-header", &small, changed(&small, &mut |m| header(m))),
        ("int8-tuned-1", &small, changed(&small, &mut |m| m.change(|w| w, |w| moved(0.01, chance, w)))),
        ("int8-tuned-3", &small, changed(&small, &mut |m| m.change(|w| w, |w| moved(0.03, chance, w)))),
        ("int8-tuned-5", &small, changed(&small, &mut |m| m.change(|w| w, |w| moved(0.05, chance, w)))),
        ("int8-retrained", &small, int8(&[1024, 1024, 896, 64], chance)),
    ];
    println!(
        "| change | whole | new chunks, 32 KiB | new chunks, cut at tensors | zstd | tensor | smallest | make, s | apply, ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (name, from, to) in cases {
        let (from, to) = (from.file(), to.file());
        if let Some(folder) = &folder {
            let write =
                |side: &str, bytes: &[u8]| std::fs::write(Path::new(folder).join(format!("{name}.{side}")), bytes);
            write("from", &from).and_then(|()| write("to", &to)).expect("a folder to write to");
        }
        let (zstd, zstd_make, zstd_apply) = patch(&from, &to, Kind::Zstd);
        let (tensor, tensor_make, tensor_apply) = patch(&from, &to, Kind::Tensor);
        println!(
            "| {name} | {} | {} | {} | {zstd} | {tensor} | {} | {zstd_make:.2}, {tensor_make:.2} | {:.0}, {:.0} |",
            to.len(),
            new_chunks(&from, &to, fixed),
            new_chunks(&from, &to, cuts),
            zstd.min(tensor),
            zstd_apply * 1e3,
            tensor_apply * 1e3,
        );
    }
}
