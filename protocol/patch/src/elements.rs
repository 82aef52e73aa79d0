//! Elements of tensors: little-endian numbers of 1, 2, 4 or 8 bytes, and the planes their bytes go to.

/// Bytes of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Width {
    One,
    Two,
    Four,
    Eight,
}

/// Planes of all widths together: 1 + 2 + 4 + 8.
pub(crate) const PLANES: usize = 15;

impl Width {
    pub(crate) const ALL: [Self; 4] = [Self::One, Self::Two, Self::Four, Self::Eight];

    pub(crate) fn bytes(self) -> usize {
        1 << self.log()
    }
    /// Returns the logarithm of the width: 0 to 3.
    pub(crate) fn log(self) -> u8 {
        self as u8
    }
    /// Returns the index of this width's lowest plane among all.
    pub(crate) fn plane(self) -> usize {
        self.bytes() - 1
    }
    fn bits(self) -> u32 {
        8 << self.log()
    }
    fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits())
    }
    /// Returns the element that these bytes are; of more than eight, the first.
    pub(crate) fn read(self, bytes: &[u8]) -> u64 {
        bytes.iter().take(self.bytes()).rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }
    /// Writes an element.
    pub(crate) fn write(self, value: u64, bytes: &mut [u8]) {
        for (byte, of) in bytes.iter_mut().zip(value.to_le_bytes()).take(self.bytes()) {
            *byte = of;
        }
    }
    /// Returns `new - old`, wrapping, with the sign in the lowest bit: small differences of either sign have zeros above.
    pub(crate) fn difference(self, old: u64, new: u64) -> u64 {
        let difference = new.wrapping_sub(old) & self.mask();
        let negative = difference >> (self.bits() - 1) == 1;
        let doubled = (difference << 1) & self.mask();
        if negative { !doubled & self.mask() } else { doubled }
    }
    /// Returns `new`, of `old` and their difference.
    pub(crate) fn add(self, old: u64, difference: u64) -> u64 {
        let half = difference >> 1;
        let plain = if difference & 1 == 1 { !half } else { half };
        old.wrapping_add(plain) & self.mask()
    }
    /// Returns the element turned left by one bit: a float's exponent fills its highest byte, its sign is the lowest bit.
    pub(crate) fn turn(self, value: u64) -> u64 {
        ((value << 1) | (value >> (self.bits() - 1))) & self.mask()
    }
    /// Returns the group of an element: its highest byte once turned.
    pub(crate) fn group(self, value: u64) -> usize {
        (self.turn(value) >> (self.bits() - 8)) as usize
    }
    /// Returns the element that [`Self::turn`] made this of.
    pub(crate) fn turn_back(self, value: u64) -> u64 {
        (value >> 1) | ((value & 1) << (self.bits() - 1))
    }
}

/// Where the differences of a tensor's elements stand when they are grouped: by the highest byte of the old element,
/// turned, and in their own order within a group. Of floats with one exponent, like changes have like differences.
pub(crate) struct Groups {
    next: [usize; 256],
    width: Width,
}

impl Groups {
    pub(crate) fn new(old: &[u8], width: Width) -> Self {
        let mut sizes = [0; 256];
        old.chunks_exact(width.bytes()).for_each(|element| sizes[width.group(width.read(element))] += 1);
        let mut next = 0;
        let starts = sizes.map(|size| {
            next += size;
            next - size
        });
        Self { next: starts, width }
    }
    /// Returns the place of the next element, which is this one in the old tensor.
    pub(crate) fn place(&mut self, old: u64) -> usize {
        let next = &mut self.next[self.width.group(old)];
        *next += 1;
        *next - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_subtracted_and_turned_comes_back() {
        for width in Width::ALL {
            let values = [0, 1, 2, 127, 128, 255, 0x8000, 0xffff, 0x8000_0000, 0xffff_ffff, 1 << 63, u64::MAX];
            for old in values.map(|v| v & width.mask()) {
                assert_eq!(width.turn_back(width.turn(old)), old);
                for new in values.map(|v| v & width.mask()) {
                    assert_eq!(width.add(old, width.difference(old, new)), new, "{width:?} {old} {new}");
                }
                let mut bytes = [0xaa; 8];
                width.write(old, &mut bytes[..width.bytes()]);
                assert_eq!(width.read(&bytes), old);
            }
        }
    }

    #[test]
    fn every_element_has_a_place_of_its_own() {
        let old: Vec<u8> = [3.0_f32, 0.1, -3.5, 0.11, 2.0].iter().flat_map(|w| w.to_le_bytes()).collect();
        let mut groups = Groups::new(&old, Width::Four);
        let places = old.chunks(4).map(|element| groups.place(Width::Four.read(element)));
        assert_eq!(places.collect::<Vec<_>>(), [2, 0, 3, 1, 4], "by exponent, whatever the sign");
    }

    #[test]
    fn small_differences_of_either_sign_are_small() {
        assert_eq!([5, 4, 6, 3].map(|new| Width::Four.difference(5, new)), [0, 1, 2, 3]);
        assert_eq!(Width::Four.turn(0x7f80_0000), 0xff00_0000, "the exponent of a float is one byte");
    }
}
