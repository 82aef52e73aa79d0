//! Patches written by hand, after the documented format and not by the code under test.
#![allow(dead_code, reason = "each test file uses its part")]
use pinnace_protocol::ids::Digest;

#[path = "../../examples/wire/models.rs"]
pub mod models;

/// Returns a zstd frame of stored blocks that holds `content` and says so.
pub fn stored(content: &[u8]) -> Vec<u8> {
    let mut out = frame_head(content.len() as u32);
    let blocks: Vec<&[u8]> = if content.is_empty() { vec![content] } else { content.chunks(0x2_0000).collect() };
    for (index, block) in blocks.iter().enumerate() {
        let last = u32::from(index + 1 == blocks.len());
        out.extend(&(last | (block.len() as u32) << 3).to_le_bytes()[..3]);
        out.extend(*block);
    }
    out
}

/// Returns a zstd frame of blocks that each repeat one byte 131,072 times; `said` is the length it gives itself.
pub fn bomb(blocks: u32, said: u32) -> Vec<u8> {
    let mut out = frame_head(said);
    for block in 1..=blocks {
        out.extend(&(u32::from(block == blocks) | 1 << 1 | 0x2_0000 << 3).to_le_bytes()[..3]);
        out.push(7);
    }
    out
}

fn frame_head(length: u32) -> Vec<u8> {
    // One segment, length in four bytes.
    [&[0x28, 0xb5, 0x2f, 0xfd, 0xa0][..], &length.to_le_bytes()].concat()
}

/// Returns a patch with this body.
pub fn patch(kind: u8, from: &[u8], to: &[u8], body: &[u8]) -> Vec<u8> {
    let length = (to.len() as u64).to_le_bytes();
    sealed([b"PNPATCH\x01", &[kind][..], &Digest::of(from).0, &Digest::of(to).0, &length, body].concat())
}

/// Returns a patch with its check behind it.
pub fn sealed(mut patch: Vec<u8>) -> Vec<u8> {
    patch.extend(&Digest::of(&patch).0[..8]);
    patch
}

/// Returns a body of kind tensor with this content.
pub fn tensor_body(content: &[u8]) -> Vec<u8> {
    [&(content.len() as u64).to_le_bytes()[..], &stored(content)].concat()
}

/// Returns the content that a table (number of operations first) and its streams (index, bytes) make.
pub fn content(table: &[u8], streams: &[(usize, &[u8])]) -> Vec<u8> {
    let find = |index| streams.iter().find(|(at, _)| *at == index).map_or(&[][..], |(_, stream)| stream);
    let lengths = (0..17).map(|index| find(index).len() as u8);
    let lengths: Vec<u8> = lengths.inspect(|length| assert!(*length < 128)).collect();
    let streams: Vec<u8> = (0..17).flat_map(find).copied().collect();
    [table, &lengths, &streams].concat()
}

/// Returns the number as LEB128.
pub fn leb(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}
