//! What is published once to all who listen, instead of to each alone. Pure: time and messages in, chunks out.
//!
//! Devices say which chunks of a blob they miss. After a short while what several of them miss is published on the blob's
//! topic, with parity when that is most of the blob; then the round is over, and what a device still misses it asks for
//! in another round or alone. Nothing is lost by losing this state: devices ask again.
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec;
use alloc::vec::Vec;

use pinnace_protocol::ids::{DeviceId, Digest};
use pinnace_protocol::time::Mono;
use pinnace_protocol::transfer::{Bitmap, Stripes};

use crate::limits::{
    BROADCAST_BLOBS_MAX, BROADCAST_DEVICES_MAX, BROADCAST_GATHER_MAX_MS, BROADCAST_GATHER_MS, BROADCAST_SHARE,
};

/// Listeners below which a chunk goes to each alone.
const SEVERAL: u32 = 2;

/// What to publish on a blob's topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// A chunk; parity is numbered behind the data.
    Chunk(Digest, u64),
    /// The end of a round.
    Over(Digest),
}

/// What devices said of one blob since its last round.
#[derive(Debug)]
struct Asked {
    stripes: Stripes,
    devices: BTreeSet<DeviceId>,
    /// How many devices miss each data chunk.
    missed: Vec<u32>,
    /// The round begins then.
    until: Mono,
    /// At the latest.
    latest: Mono,
}

impl Asked {
    fn new(stripes: Stripes, chunks: u64, now: Mono) -> Self {
        let missed = vec![0; usize::try_from(chunks).unwrap_or(0)];
        let latest = now.plus_ms(BROADCAST_GATHER_MAX_MS);
        Self { stripes, devices: BTreeSet::new(), missed, until: latest, latest }
    }

    /// Others may follow soon: a wave's devices do not all begin at once.
    fn wait_for_more(&mut self, now: Mono) {
        self.until = now.plus_ms(BROADCAST_GATHER_MS).min(self.latest);
    }

    /// Returns the chunks worth publishing.
    fn round(&self) -> VecDeque<u64> {
        let listeners = u32::try_from(self.devices.len()).unwrap_or(u32::MAX);
        let enough = listeners.div_ceil(BROADCAST_SHARE).max(SEVERAL);
        let mut chunks: VecDeque<u64> =
            (0..).zip(&self.missed).filter(|(_, missed)| **missed >= enough).map(|(index, _)| index).collect();
        if chunks.len() * 2 > self.missed.len() {
            let data = self.missed.len() as u64;
            chunks.extend(data..data + self.stripes.parity_count());
        }
        chunks
    }
}

/// The rounds under way.
#[derive(Debug, Default)]
pub struct Broadcast {
    asked: BTreeMap<Digest, Asked>,
    /// Rounds that are published, in turn.
    rounds: VecDeque<(Digest, VecDeque<u64>)>,
}

impl Broadcast {
    /// Notes what a device misses of a blob of `chunks` data chunks; once in a round. Returns false when there is no room,
    /// so that the device had better ask alone.
    pub fn missing(
        &mut self,
        now: Mono,
        device: &DeviceId,
        blob: &Digest,
        chunks: u64,
        stripes: Stripes,
        missing: &Bitmap,
    ) -> bool {
        if self.asked.len() >= BROADCAST_BLOBS_MAX && !self.asked.contains_key(blob) {
            return false;
        }
        let asked = self.asked.entry(*blob).or_insert_with(|| Asked::new(stripes, chunks, now));
        if asked.devices.len() >= BROADCAST_DEVICES_MAX {
            return false;
        }
        if asked.devices.insert(device.clone()) {
            asked.wait_for_more(now);
            for index in missing.iter() {
                if let Some(count) = usize::try_from(index).ok().and_then(|at| asked.missed.get_mut(at)) {
                    *count = count.saturating_add(1);
                }
            }
        }
        true
    }

    /// Begins the rounds that are due: not while one of the same blob is published, since its listeners get those chunks.
    fn begin(&mut self, now: Mono) {
        let rounds = &self.rounds;
        let is_due = |blob: &Digest, asked: &Asked| asked.until <= now && rounds.iter().all(|(other, _)| other != blob);
        let due: Vec<Digest> = self.asked.iter().filter(|(blob, asked)| is_due(blob, asked)).map(|(b, _)| *b).collect();
        for blob in due {
            if let Some(asked) = self.asked.remove(&blob) {
                self.rounds.push_back((blob, asked.round()));
            }
        }
    }

    /// Returns what to publish next; the blobs take turns.
    pub fn next(&mut self, now: Mono) -> Option<Item> {
        self.begin(now);
        let (blob, mut chunks) = self.rounds.pop_front()?;
        match chunks.pop_front() {
            Some(index) => {
                self.rounds.push_back((blob, chunks));
                Some(Item::Chunk(blob, index))
            }
            None => {
                // Who spoke during the round has missed its beginning; a new one gathers from here.
                if let Some(asked) = self.asked.get_mut(&blob) {
                    asked.latest = now.plus_ms(BROADCAST_GATHER_MAX_MS);
                    asked.wait_for_more(now);
                }
                Some(Item::Over(blob))
            }
        }
    }

    /// Returns when there is something to publish: now while a round is under way; none when nobody asked.
    pub fn due(&self) -> Option<Mono> {
        if self.rounds.is_empty() { self.asked.values().map(|asked| asked.until).min() } else { Some(Mono(0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn device(n: usize) -> DeviceId {
        DeviceId::parse(&format!("d{n}")).unwrap()
    }

    fn drain(broadcast: &mut Broadcast, now: Mono) -> Vec<Item> {
        core::iter::from_fn(|| broadcast.next(now)).collect()
    }

    #[test]
    fn what_several_miss_is_published_once_with_parity_and_the_rest_is_left() {
        let (mut b, blob) = (Broadcast::default(), Digest::of(b"blob"));
        let stripes = Stripes::new(20, 2);
        for n in 0..100 {
            assert!(b.missing(Mono(0), &device(n), &blob, 20, stripes, &Bitmap::full(20)));
        }
        assert_eq!(b.due(), Some(Mono(BROADCAST_GATHER_MS)));
        assert_eq!(b.next(Mono(BROADCAST_GATHER_MS - 1)), None);
        let sent = drain(&mut b, Mono(BROADCAST_GATHER_MS));
        let mut expected: Vec<Item> = (0..22).map(|index| Item::Chunk(blob, index)).collect();
        expected.push(Item::Over(blob));
        assert_eq!(sent, expected);
        assert_eq!(b.due(), None);
        // Five of a hundred miss chunk 3, four miss chunk 4: only the first is worth it.
        for n in 0..100 {
            let lost = [3].into_iter().filter(|_| n < 5).chain([4].into_iter().filter(|_| n < 4));
            b.missing(Mono(0), &device(n), &blob, 20, stripes, &Bitmap::of(lost));
        }
        assert_eq!(drain(&mut b, Mono(BROADCAST_GATHER_MS)), [Item::Chunk(blob, 3), Item::Over(blob)]);
    }

    #[test]
    fn one_device_alone_is_told_to_ask_and_a_repeated_word_counts_once() {
        let (mut b, blob) = (Broadcast::default(), Digest::of(b"blob"));
        for _ in 0..3 {
            b.missing(Mono(0), &device(1), &blob, 20, Stripes::new(20, 2), &Bitmap::full(20));
        }
        assert_eq!(drain(&mut b, Mono(BROADCAST_GATHER_MS)), [Item::Over(blob)]);
    }

    #[test]
    fn a_wave_that_comes_slowly_is_waited_for_and_not_for_ever() {
        let (mut b, blob) = (Broadcast::default(), Digest::of(b"blob"));
        let mut now = Mono(0);
        for n in 0..40 {
            b.missing(now, &device(n), &blob, 3, Stripes::new(3, 0), &Bitmap::full(3));
            if let Some(item) = b.next(now) {
                assert_eq!((item, now), (Item::Chunk(blob, 0), Mono(BROADCAST_GATHER_MAX_MS)));
                return;
            }
            now = now.plus_ms(BROADCAST_GATHER_MS / 3);
        }
        panic!("the round never began");
    }

    #[test]
    fn who_speaks_during_a_round_is_in_the_next() {
        let (mut b, blob) = (Broadcast::default(), Digest::of(b"blob"));
        let say = |b: &mut Broadcast, now, n| {
            b.missing(Mono(now), &device(n), &blob, 3, Stripes::new(3, 0), &Bitmap::full(3))
        };
        say(&mut b, 0, 1);
        say(&mut b, 0, 2);
        assert_eq!(b.next(Mono(BROADCAST_GATHER_MS)), Some(Item::Chunk(blob, 0)));
        say(&mut b, BROADCAST_GATHER_MS, 3);
        say(&mut b, BROADCAST_GATHER_MS, 4);
        let now = Mono(BROADCAST_GATHER_MS * 10);
        assert_eq!(drain(&mut b, now), [Item::Chunk(blob, 1), Item::Chunk(blob, 2), Item::Over(blob)]);
        assert_eq!(drain(&mut b, now.plus_ms(BROADCAST_GATHER_MS)).len(), 4);
    }

    #[test]
    fn blobs_take_turns_and_are_bounded() {
        let mut b = Broadcast::default();
        let blob = |n: usize| Digest::of(&n.to_le_bytes());
        for n in 0..BROADCAST_BLOBS_MAX + 1 {
            let all = Bitmap::full(2);
            let taken = b.missing(Mono(0), &device(1), &blob(n), 2, Stripes::new(2, 0), &all);
            b.missing(Mono(0), &device(2), &blob(n), 2, Stripes::new(2, 0), &all);
            assert_eq!(taken, n < BROADCAST_BLOBS_MAX);
        }
        let sent = drain(&mut b, Mono(BROADCAST_GATHER_MS));
        assert_eq!(sent.len(), BROADCAST_BLOBS_MAX * 3);
        let firsts = sent[..BROADCAST_BLOBS_MAX].iter().filter(|item| matches!(item, Item::Chunk(_, 0))).count();
        assert_eq!(firsts, BROADCAST_BLOBS_MAX);
    }
}
