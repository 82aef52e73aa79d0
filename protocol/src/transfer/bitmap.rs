//! A set of chunk indices in as many bits.
use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::BLOB_MAX_CHUNKS;

/// A set of chunk indices below [`BLOB_MAX_CHUNKS`]: one bit each, lowest bit of the first byte first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bitmap(Vec<u8>);

impl Bitmap {
    /// Returns the set of these indices; those of [`BLOB_MAX_CHUNKS`] and more are left out, since no blob has them.
    pub fn of(indices: impl IntoIterator<Item = u64>) -> Self {
        let mut bits = Vec::new();
        for index in indices {
            if index < BLOB_MAX_CHUNKS {
                let byte = (index / 8) as usize;
                if byte >= bits.len() {
                    bits.resize(byte + 1, 0);
                }
                bits[byte] |= 1 << (index % 8);
            }
        }
        Self(bits)
    }

    /// Returns the set of all indices below `count`.
    pub fn full(count: u64) -> Self {
        let count = count.min(BLOB_MAX_CHUNKS);
        let mut bits = vec![0xff; count.div_ceil(8) as usize];
        if let Some(last) = bits.last_mut().filter(|_| !count.is_multiple_of(8)) {
            *last = (1 << (count % 8)) - 1;
        }
        Self(bits)
    }

    /// Returns whether `index` is in the set.
    pub fn has(&self, index: u64) -> bool {
        let byte = usize::try_from(index / 8).ok().and_then(|at| self.0.get(at));
        byte.is_some_and(|byte| byte & (1 << (index % 8)) != 0)
    }

    /// Returns the indices in the set, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        (0_u64..)
            .zip(&self.0)
            .flat_map(|(at, byte)| (0..8).filter(move |bit| byte & (1 << bit) != 0).map(move |b| at * 8 + b))
    }

    /// Returns how many there are.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|byte| u64::from(byte.count_ones())).sum()
    }

    /// Returns whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0)
    }
}

impl Serialize for Bitmap {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bitmap {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let bytes = serde_bytes::ByteBuf::deserialize(d)?.into_vec();
        if bytes.len() as u64 > BLOB_MAX_CHUNKS.div_ceil(8) {
            return Err(D::Error::custom("more bits than any blob has chunks"));
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cbor;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_the_set_it_was_made_of(indices in proptest::collection::btree_set(0_u64..3_000, 0..200)) {
            let map = Bitmap::of(indices.iter().copied());
            prop_assert_eq!(map.iter().collect::<BTreeSet<_>>(), indices.clone());
            prop_assert_eq!(map.len(), indices.len() as u64);
            prop_assert_eq!(map.is_empty(), indices.is_empty());
            prop_assert!((0..3_000).all(|i| map.has(i) == indices.contains(&i)));
            let read: Bitmap = cbor::decode(&cbor::encode(&map).unwrap(), 4_096).unwrap();
            prop_assert_eq!(read, map);
        }

        #[test]
        fn a_full_one_has_every_index(count in 0_u64..100) {
            prop_assert_eq!(Bitmap::full(count).iter().collect::<Vec<_>>(), (0..count).collect::<Vec<_>>());
            prop_assert_eq!(Bitmap::full(count), Bitmap::of(0..count));
        }
    }

    #[test]
    fn it_is_bounded() {
        assert_eq!(Bitmap::of([BLOB_MAX_CHUNKS, u64::MAX]), Bitmap::default());
        assert_eq!(Bitmap::full(u64::MAX).len(), BLOB_MAX_CHUNKS);
        assert!(!Bitmap::full(9).has(u64::MAX));
        let long = cbor::encode(&serde_bytes::ByteBuf::from(vec![1; BLOB_MAX_CHUNKS as usize / 8 + 1])).unwrap();
        assert!(cbor::decode::<Bitmap>(&long, 1 << 20).is_err());
    }
}
