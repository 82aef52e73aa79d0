//! `pinnace-patch/1` is what its documentation says, byte for byte.
use common::{content, patch, stored, tensor_body};
use pinnace_patch::{Kind, PatchError, apply, make};
use pinnace_protocol::ids::Digest;

mod common;

/// Returns an old file, what six operations make of it, and the patch that says so.
fn all_operations() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let mut from: Vec<u8> = (0..32).collect();
    from[14] = 0x90; // turned 0x21, more than the next two
    let table = [
        &[6][..],
        &[0x00, 30, 2],   // copy 2 from 30
        &[0x10, 3],       // literal 3
        &[0x21, 4, 4],    // dense, two bytes each, 4 from 4
        &[0x30, 8, 6, 2], // sparse, one byte each, 6 from 8, 2 of them
        &[0x42, 4],       // planes, four bytes each
        &[0x50, 14, 3],   // grouped, one byte each, 3 from 14
    ];
    let streams: [(usize, &[u8]); 9] = [
        (0, b"new"),
        (1, &[1, 2]),
        (2, &[2, 3, 2, 4, 6]), // zigzag: 1 and -2; 1, 2 and 3, for the second, third and first
        (3, &[1, 4]),          // -1 and 2, low bytes
        (4, &[0, 0]),
        (5, &[0x01]), // 0xc0490fdb, which is -pi, turned left by one
        (6, &[0]),
        (7, &[0]),
        (8, &[0]),
    ];
    let mut streams = streams;
    let turned = 0xc049_0fdb_u32.rotate_left(1).to_le_bytes();
    for (index, byte) in turned.iter().enumerate() {
        streams[5 + index].1 = core::slice::from_ref(byte);
    }
    let mut to = vec![30, 31];
    to.extend(b"new");
    to.extend((0x0504_u16 - 1).to_le_bytes());
    to.extend((0x0706_u16 + 2).to_le_bytes());
    to.extend([8, 10, 10, 11, 10, 13]);
    to.extend((-core::f32::consts::PI).to_le_bytes());
    to.extend([0x90 + 3, 15 + 1, 16 + 2]);
    let patch = patch(2, &from, &to, &tensor_body(&content(&table.concat(), &streams)));
    (from, to, patch)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_patch_of_every_operation_is_these_bytes() {
    let (from, to, patch) = all_operations();
    assert_eq!(hex(&patch), include_str!("golden/tensor.hex").trim());
    assert_eq!(apply(&from, &patch, &Digest::of(&to), to.len() as u64), Ok(to));
}

#[test]
fn a_patch_of_kind_zstd_is_these_bytes() {
    let (from, to) = (b"an old file".to_vec(), b"a new file".to_vec());
    let patch = patch(1, &from, &to, &stored(&to));
    assert_eq!(hex(&patch), include_str!("golden/zstd.hex").trim());
    assert_eq!(apply(&from, &patch, &Digest::of(&to), to.len() as u64), Ok(to));
}

#[test]
fn patches_are_written_with_the_head_that_is_documented() {
    let (from, to) = (vec![1; 4096], vec![2; 4096]);
    for (kind, code) in [(Kind::Zstd, 1), (Kind::Tensor, 2)] {
        let made = make(&from, &to, kind).unwrap();
        let by_hand = patch(code, &from, &to, &made.bytes[81..made.bytes.len() - 8]);
        assert_eq!(made.bytes, by_hand, "{kind:?}");
    }
}

#[test]
fn another_version_kind_or_file_is_not_taken() {
    let (from, to, patch) = all_operations();
    let (digest, length) = (Digest::of(&to), to.len() as u64);
    let changed = |at: usize, byte: u8| {
        let mut bytes = patch[..patch.len() - 8].to_vec();
        bytes[at] = byte;
        common::sealed(bytes)
    };
    assert_eq!(apply(&from, &changed(7, 2), &digest, length), Err(PatchError::NotAPatch), "a later version");
    assert_eq!(apply(&from, &changed(8, 3), &digest, length), Err(PatchError::NotAPatch), "a later kind");
    assert_eq!(apply(&from, b"", &digest, length), Err(PatchError::NotAPatch));
    let other = apply(&to, &patch, &digest, length);
    assert_eq!(other, Err(PatchError::OtherBase { wanted: Digest::of(&from) }));
    assert!(matches!(apply(&from, &patch, &Digest::of(&from), length), Err(PatchError::OtherResult { .. })));
    assert!(matches!(apply(&from, &patch, &digest, length + 1), Err(PatchError::OtherResult { .. })));
}
