//! How many bits a tensor would take, written one way or another. Estimates: the way chosen is right either way.
use crate::elements::Width;
use crate::{frame, limits};

/// Bits that zstd needs at least to tell where a run of zeros ends.
const RUN_BITS: f64 = 20.0;

/// Bits that zstd needs at least to say that another distribution begins.
const GROUP_BITS: f64 = 1000.0;

/// How often each byte occurs.
struct Histogram([u32; 256]);

impl Histogram {
    fn new() -> Self {
        Self([0; 256])
    }
    fn add(&mut self, byte: u8) {
        self.0[usize::from(byte)] += 1;
    }
    fn any(&self) -> bool {
        self.0.iter().any(|count| *count > 0)
    }
    /// Returns the bits that so many bytes of this distribution take, each on its own, one at least.
    fn bits(&self) -> f64 {
        let total: f64 = self.0.iter().map(|count| f64::from(*count)).sum();
        let counts = self.0.iter().filter(|count| **count > 0).map(|count| f64::from(*count));
        let entropy: f64 = counts.map(|count| count * (total / count).log2()).sum();
        if entropy == 0.0 { 0.0 } else { entropy.max(total).min((total - f64::from(self.0[0])) * RUN_BITS) }
    }
}

/// What the difference of two tensors would take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Difference {
    /// Elements that differ.
    pub(crate) count: usize,
    /// Bits, written as the difference of every element.
    pub(crate) dense: f64,
    /// Bits, written as the difference of every element, grouped by the old one.
    pub(crate) grouped: f64,
    /// Bits, written as gaps and differences of those that differ.
    pub(crate) sparse: f64,
    /// Bytes of gaps and differences before they are compressed.
    pub(crate) sparse_bytes: usize,
}

/// Weighs the difference of two tensors of equal length.
pub(crate) fn difference(old: &[u8], new: &[u8], width: Width) -> Difference {
    let mut planes = [const { [0_u32; 256] }; 8].map(Histogram);
    let mut changed = [const { [0_u32; 256] }; 8].map(Histogram);
    let mut groups = Vec::new();
    let worth_groups = old.len() >= limits::GROUPED_MIN_BYTES;
    groups.resize_with(if worth_groups { 256 } else { 0 }, || [const { [0_u32; 256] }; 8].map(Histogram));
    let mut gaps = Histogram::new();
    let (mut count, mut gap, mut gap_bytes) = (0, 0_usize, 0);
    for (old, new) in old.chunks_exact(width.bytes()).zip(new.chunks_exact(width.bytes())) {
        let bytes = width.difference(width.read(old), width.read(new)).to_le_bytes();
        planes.iter_mut().zip(bytes).take(width.bytes()).for_each(|(plane, byte)| plane.add(byte));
        if let Some(group) = groups.get_mut(width.group(width.read(old))) {
            group.iter_mut().zip(bytes).take(width.bytes()).for_each(|(plane, byte)| plane.add(byte));
        }
        if old == new {
            gap += 1;
            continue;
        }
        changed.iter_mut().zip(bytes).take(width.bytes()).for_each(|(plane, byte)| plane.add(byte));
        (0..gap / 255).for_each(|_| gaps.add(255));
        gaps.add((gap % 255) as u8);
        gap_bytes += gap / 255 + 1;
        count += 1;
        gap = 0;
    }
    let sum = |planes: &[Histogram]| planes.iter().map(Histogram::bits).sum::<f64>();
    let (dense, sparse) = (sum(&planes), sum(&changed) + gaps.bits());
    let grouped: f64 = groups.iter().filter(|group| group[0].any()).map(|group| sum(group) + GROUP_BITS).sum();
    let grouped = if worth_groups { grouped } else { f64::INFINITY };
    Difference { count, grouped, dense, sparse, sparse_bytes: gap_bytes + count * width.bytes() }
}

/// Returns the bytes of a tensor turned and split into planes, one plane after the other.
fn planes(bytes: &[u8], width: Width) -> Vec<u8> {
    let elements = bytes.chunks_exact(width.bytes()).map(|element| width.turn(width.read(element)).to_le_bytes());
    (0..width.bytes()).flat_map(|plane| elements.clone().map(move |element| element[plane])).collect()
}

/// Returns the bits that a tensor takes without an old one, and whether it is shorter as planes than as it is: tried on
/// its first bytes.
pub(crate) fn fresh(bytes: &[u8], width: Width) -> (f64, bool) {
    let sample = &bytes[..bytes.len().min(limits::SAMPLE_BYTES)];
    let size = |sample: &[u8]| frame::compress(&[], sample, 3).map_or(usize::MAX, |frame| frame.len());
    let literal = size(sample);
    let planes = if width == Width::One { literal } else { size(&planes(sample, width)) };
    let bits = literal.min(planes) as f64 * 8.0 * bytes.len() as f64 / sample.len().max(1) as f64;
    (bits, planes < literal)
}
