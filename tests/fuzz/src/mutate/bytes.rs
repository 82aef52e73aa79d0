//! Changes that know nothing of what the bytes mean, but know numbers and words.
use crate::rng::Rng;

/// Numbers at which readers go wrong.
const EDGES: [u64; 18] = [
    0,
    1,
    2,
    0x10,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0x8000,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];
/// Bytes inserted at most at once.
const PIECE_MAX: usize = 512;

/// Changes `out` in one way.
pub fn mutate(out: &mut Vec<u8>, other: &[u8], words: &[&str], rng: &mut Rng) {
    if out.is_empty() {
        let length = 1 + rng.length(64);
        out.extend((0..length).map(|_| rng.number() as u8));
        return;
    }
    let at = rng.index(out.len());
    match rng.below(14) {
        0 | 1 => out[at] ^= 1 << rng.below(8),
        2 => out[at] = rng.number() as u8,
        3 => {
            let end = at + 1 + rng.length(out.len() - at - 1);
            out.drain(at..end);
        }
        4 => {
            let byte = if rng.one_in(2) { out[at] } else { rng.number() as u8 };
            let many = 1 + rng.length(PIECE_MAX);
            out.splice(at..at, std::iter::repeat_n(byte, many));
        }
        5 => {
            // A piece of its own somewhere else.
            let from = rng.index(out.len());
            let piece = out[from..from + rng.length((out.len() - from).min(PIECE_MAX))].to_vec();
            out.splice(at..at, piece);
        }
        6 => out.truncate(at),
        7 | 8 => number(out, at, rng),
        9 => digits(out, at, rng),
        10 | 11 if !words.is_empty() => {
            let word = rng.pick(words).as_bytes();
            let end = if rng.one_in(2) { at } else { (at + word.len()).min(out.len()) };
            out.splice(at..end, word.iter().copied());
        }
        12 if !other.is_empty() => {
            // The head of one, the tail of the other.
            let cut = rng.index(other.len());
            out.truncate(at);
            out.extend_from_slice(&other[cut..]);
        }
        13 if !other.is_empty() => {
            let from = rng.index(other.len());
            let piece = &other[from..from + rng.length((other.len() - from).min(PIECE_MAX))];
            let end = if rng.one_in(2) { at } else { (at + piece.len()).min(out.len()) };
            out.splice(at..end, piece.iter().copied());
        }
        _ => out[at] = out[at].wrapping_add(1 + rng.below(4) as u8),
    }
}

/// Changes a whole number of 1 to 8 bytes at `at`: a length, a count, a version.
fn number(out: &mut [u8], at: usize, rng: &mut Rng) {
    let width = *rng.pick(&[1_usize, 2, 4, 8]);
    let Some(field) = out.get_mut(at..at + width) else { return };
    let big = rng.one_in(2);
    let mut value = field.iter().enumerate().fold(0_u64, |value, (i, byte)| {
        let place = if big { width - 1 - i } else { i };
        value | u64::from(*byte) << (8 * place)
    });
    value = match rng.below(3) {
        0 => *rng.pick(&EDGES),
        1 => value.wrapping_add(1 + rng.below(16)),
        _ => value.wrapping_sub(1 + rng.below(16)),
    };
    for (i, byte) in field.iter_mut().enumerate() {
        let place = if big { width - 1 - i } else { i };
        *byte = (value >> (8 * place)) as u8;
    }
}

/// Replaces a number in decimal digits after `at`.
fn digits(out: &mut Vec<u8>, at: usize, rng: &mut Rng) {
    let Some(start) = out[at..].iter().position(u8::is_ascii_digit).map(|i| at + i) else { return };
    let end = out[start..].iter().position(|b| !b.is_ascii_digit()).map_or(out.len(), |i| start + i);
    let old = std::str::from_utf8(&out[start..end]).ok().and_then(|t| t.parse::<u64>().ok()).unwrap_or(0);
    let new = match rng.below(6) {
        0 => old.wrapping_add(1).to_string(),
        1 => old.wrapping_sub(1).to_string(),
        2 => rng.pick(&EDGES).to_string(),
        3 => format!("-{old}"),
        4 => format!("{old}.5"),
        _ => format!("{old}e{}", rng.below(400)),
    };
    out.splice(start..end, new.into_bytes());
}

/// Returns a number at which readers go wrong.
pub(super) fn edge(rng: &mut Rng) -> u64 {
    *rng.pick(&EDGES)
}
