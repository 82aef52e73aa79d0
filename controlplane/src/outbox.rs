//! What waits to be sent to devices, in order of importance: broker acknowledgements, then directors and window
//! acknowledgements (the newest per device is enough), then frames, device by device in turn and below a byte rate.
//!
//! Adding never blocks, so the driver cannot wait for the network; everything is bounded, and what is dropped is asked
//! for again by the device.
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pinnace_controlplane_core::broadcast::{Broadcast, Item};
use pinnace_protocol::ids::{DeviceId, Digest};
use pinnace_protocol::time::Mono;
use pinnace_protocol::topic::Down;
use pinnace_protocol::transfer::Bitmap;
use tokio::sync::Notify;

use crate::limits::{CONTROL_DEVICES_MAX, CONTROL_IN_FLIGHT, FRAME_DEVICES_MAX, FRAMES_PER_DEVICE, LINK_RECEIVE_MAX};
use crate::registry::Layout;

/// Which message of which connection must be acknowledged to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckToken {
    /// Counts connections; a message of an earlier connection must not be acknowledged on a later one.
    pub connection: u64,
    /// The packet's identifier; 0 for QoS 0, which nobody acknowledges.
    pub packet: u16,
}

/// One thing a device asked for; the bytes are read only when it is its turn.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum FrameRequest {
    /// A file of the image repository by its repository file name.
    Meta(String),
    /// One chunk of a blob, parity numbered behind the data, or of a patch.
    Chunk(Digest, u64),
    /// The end of what is published of a blob to all.
    RoundOver(Digest),
}

/// What to send next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Subscribe anew: a connection was made.
    Subscribe,
    /// Acknowledge a message to the broker: its content is durable.
    Acknowledge(AckToken),
    /// Publish signed bytes.
    Control(DeviceId, Down, Vec<u8>),
    /// Read and publish what was asked for.
    Frame(DeviceId, FrameRequest),
    /// Read and publish to all who listen to the blob.
    ToAll(Digest, FrameRequest),
}

#[derive(Debug, Default)]
struct Queues {
    subscribe: bool,
    acknowledgements: VecDeque<AckToken>,
    control: BTreeMap<(DeviceId, Down), Vec<u8>>,
    control_order: VecDeque<(DeviceId, Down)>,
    /// The last control messages taken: as many as may be between us and the broker's acknowledgement.
    recent: VecDeque<((DeviceId, Down), Vec<u8>)>,
    frames: BTreeMap<DeviceId, VecDeque<FrameRequest>>,
    frame_turns: VecDeque<DeviceId>,
    /// What is published to all; takes turns with what goes to one device.
    broadcast: Broadcast,
    is_turn_of_all: bool,
    dropped: u64,
}

/// The waiting messages; shared by driver, link and sender.
#[derive(Debug, Default)]
pub struct Outbox {
    queues: Mutex<Queues>,
    wake: Notify,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        // No code panics while holding the lock; if it did, the queues would still be whole.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a new subscription and forgets acknowledgements of earlier connections. Without a `session` the client
    /// forgot what the broker had not acknowledged, so those control messages wait again.
    pub fn connected(&self, session: bool) {
        let mut q = self.lock();
        q.subscribe = true;
        q.acknowledgements.clear();
        if !session {
            // Newest first, so that the newest of a device wins.
            for (key, bytes) in std::mem::take(&mut q.recent).into_iter().rev() {
                if !q.control.contains_key(&key) {
                    q.control.insert(key.clone(), bytes);
                    q.control_order.push_front(key);
                }
            }
        }
        drop(q);
        self.wake.notify_one();
    }

    /// Queues the acknowledgement of a message whose content is durable.
    pub fn acknowledge(&self, token: AckToken) {
        if token.packet == 0 {
            return;
        }
        let mut q = self.lock();
        // The broker sends no more than this unacknowledged, so only tokens of lost connections can fall out.
        if q.acknowledgements.len() >= 2 * usize::from(LINK_RECEIVE_MAX) {
            q.acknowledgements.pop_front();
        }
        q.acknowledgements.push_back(token);
        drop(q);
        self.wake.notify_one();
    }

    /// Queues signed bytes for a device; an unsent older message of the same kind is replaced.
    pub fn control(&self, device: &DeviceId, kind: Down, bytes: Vec<u8>) {
        let mut q = self.lock();
        let key = (device.clone(), kind);
        if q.control.len() >= CONTROL_DEVICES_MAX && !q.control.contains_key(&key) {
            q.dropped += 1;
            return;
        }
        if q.control.insert(key.clone(), bytes).is_none() {
            q.control_order.push_back(key);
        }
        drop(q);
        self.wake.notify_one();
    }

    /// Queues what a device asked for; what it already waits for is not queued twice. Returns how many were dropped.
    pub fn frames(&self, device: &DeviceId, requests: impl IntoIterator<Item = FrameRequest>) -> u64 {
        let mut q = self.lock();
        if q.frames.len() >= FRAME_DEVICES_MAX && !q.frames.contains_key(device) {
            let refused = requests.into_iter().count() as u64;
            q.dropped += refused;
            return refused;
        }
        let queue = q.frames.entry(device.clone()).or_default();
        let was_empty = queue.is_empty();
        let waiting: BTreeSet<FrameRequest> = queue.iter().cloned().collect();
        let mut refused = 0;
        for request in requests {
            if waiting.contains(&request) {
                continue;
            }
            if queue.len() < FRAMES_PER_DEVICE {
                queue.push_back(request);
            } else {
                refused += 1;
            }
        }
        let has_turn = !was_empty;
        let is_empty = queue.is_empty();
        if is_empty {
            q.frames.remove(device);
        } else if !has_turn {
            q.frame_turns.push_back(device.clone());
        }
        q.dropped += refused;
        drop(q);
        self.wake.notify_one();
        refused
    }

    /// Notes what a device misses of a blob, to be published to all; without room it is dropped, and the device asks alone.
    pub fn missing(&self, device: &DeviceId, layout: &Layout, missing: &Bitmap, now: Mono) {
        let mut q = self.lock();
        let (blob, chunks) = (&layout.blob.sha256, layout.cuts.count());
        if !q.broadcast.missing(now, device, blob, chunks, layout.stripes, missing) {
            q.dropped += 1;
        }
        drop(q);
        self.wake.notify_one();
    }

    /// Returns when something is due to be published to all.
    pub fn broadcast_due(&self) -> Option<Mono> {
        self.lock().broadcast.due()
    }

    /// Takes the most important waiting item; frames only when `frames_allowed`.
    pub fn take(&self, frames_allowed: bool, now: Mono) -> Option<Next> {
        let mut q = self.lock();
        if std::mem::take(&mut q.subscribe) {
            return Some(Next::Subscribe);
        }
        if let Some(token) = q.acknowledgements.pop_front() {
            return Some(Next::Acknowledge(token));
        }
        while let Some(key) = q.control_order.pop_front() {
            if let Some(bytes) = q.control.remove(&key) {
                if q.recent.len() >= CONTROL_IN_FLIGHT {
                    q.recent.pop_front();
                }
                q.recent.push_back((key.clone(), bytes.clone()));
                return Some(Next::Control(key.0, key.1, bytes));
            }
        }
        if !frames_allowed {
            return None;
        }
        // Those who asked alone are not kept waiting by what goes to all, nor the other way round.
        q.is_turn_of_all = !q.is_turn_of_all;
        let all_first = q.is_turn_of_all || q.frame_turns.is_empty();
        if let Some(item) = all_first.then(|| q.broadcast.next(now)).flatten() {
            return Some(match item {
                Item::Chunk(blob, index) => Next::ToAll(blob, FrameRequest::Chunk(blob, index)),
                Item::Over(blob) => Next::ToAll(blob, FrameRequest::RoundOver(blob)),
            });
        }
        while let Some(device) = q.frame_turns.pop_front() {
            let Some(queue) = q.frames.get_mut(&device) else { continue };
            let request = queue.pop_front();
            if queue.is_empty() {
                q.frames.remove(&device);
            } else {
                q.frame_turns.push_back(device.clone());
            }
            if let Some(request) = request {
                return Some(Next::Frame(device, request));
            }
        }
        None
    }

    /// Returns whether a frame waits.
    pub fn has_frames(&self) -> bool {
        !self.lock().frames.is_empty()
    }

    /// Waits until something was added since the last call.
    pub async fn changed(&self) {
        self.wake.notified().await;
    }

    /// Returns how many messages were dropped for want of room, ever.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }
}

/// A token bucket: so many bytes a second, so many at once. Time is handed in, in milliseconds.
#[derive(Debug, Clone)]
pub struct Rate {
    per_second: u64,
    burst: u64,
    /// Bytes that may be sent now, times 1000; negative after a frame larger than what was left.
    credit: i128,
    at_ms: u64,
}

impl Rate {
    /// Makes a full bucket at time `now_ms`.
    pub const fn new(per_second: u64, burst: u64, now_ms: u64) -> Self {
        Self { per_second, burst, credit: burst as i128 * 1000, at_ms: now_ms }
    }

    /// Returns the milliseconds to wait before the next frame may be sent; 0 when it may be sent now.
    pub fn wait_ms(&mut self, now_ms: u64) -> u64 {
        let gained = i128::from(now_ms.saturating_sub(self.at_ms)) * i128::from(self.per_second);
        self.at_ms = self.at_ms.max(now_ms);
        self.credit = (self.credit + gained).min(i128::from(self.burst) * 1000);
        if self.credit > 0 {
            return 0;
        }
        let missing = (1 - self.credit).unsigned_abs();
        u64::try_from(missing.div_ceil(u128::from(self.per_second.max(1)))).unwrap_or(u64::MAX)
    }

    /// Counts `bytes` as sent.
    pub fn spend(&mut self, bytes: u64) {
        self.credit -= i128::from(bytes) * 1000;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Mono = Mono(0);

    fn device(name: &str) -> DeviceId {
        DeviceId::parse(name).unwrap()
    }

    fn chunk(index: u64) -> FrameRequest {
        FrameRequest::Chunk(Digest::of(b"blob"), index)
    }

    #[test]
    fn control_overtakes_frames_and_the_newest_wins() {
        let outbox = Outbox::default();
        assert_eq!(outbox.frames(&device("a"), [chunk(0), chunk(1)]), 0);
        outbox.control(&device("a"), Down::Ack, vec![1]);
        outbox.control(&device("a"), Down::Director, vec![2]);
        outbox.control(&device("a"), Down::Ack, vec![3]);
        assert_eq!(outbox.take(true, NOW), Some(Next::Control(device("a"), Down::Ack, vec![3])));
        assert_eq!(outbox.take(true, NOW), Some(Next::Control(device("a"), Down::Director, vec![2])));
        assert_eq!(outbox.take(false, NOW), None);
        assert_eq!(outbox.take(true, NOW), Some(Next::Frame(device("a"), chunk(0))));
    }

    #[test]
    fn devices_take_turns_and_a_greedy_one_is_bounded() {
        let outbox = Outbox::default();
        let many = (0..FRAMES_PER_DEVICE as u64 + 5).map(chunk);
        assert_eq!(outbox.frames(&device("greedy"), many), 5);
        assert_eq!(outbox.frames(&device("greedy"), [chunk(0)]), 0, "what already waits is not queued again");
        outbox.frames(&device("modest"), [chunk(7)]);
        assert_eq!(outbox.take(true, NOW), Some(Next::Frame(device("greedy"), chunk(0))));
        assert_eq!(outbox.take(true, NOW), Some(Next::Frame(device("modest"), chunk(7))));
        let rest = std::iter::from_fn(|| outbox.take(true, NOW)).count();
        assert_eq!((rest, outbox.dropped(), outbox.has_frames()), (FRAMES_PER_DEVICE - 1, 5, false));
    }

    #[test]
    fn a_new_connection_forgets_old_acknowledgements() {
        let outbox = Outbox::default();
        outbox.acknowledge(AckToken { connection: 1, packet: 7 });
        outbox.connected(true);
        assert_eq!(outbox.take(true, NOW), Some(Next::Subscribe));
        assert_eq!(outbox.take(true, NOW), None);
    }

    #[test]
    fn without_a_session_what_was_on_the_way_is_sent_again_unless_something_newer_waits() {
        let outbox = Outbox::default();
        for (name, byte) in [("a", 1), ("b", 2), ("a", 3)] {
            outbox.control(&device(name), Down::Director, vec![byte]);
            assert!(outbox.take(false, NOW).is_some());
        }
        outbox.control(&device("b"), Down::Director, vec![4]);
        outbox.connected(false);
        let sent: Vec<_> = std::iter::from_fn(|| outbox.take(false, NOW)).collect();
        assert_eq!(
            sent,
            [
                Next::Subscribe,
                Next::Control(device("a"), Down::Director, vec![3]),
                Next::Control(device("b"), Down::Director, vec![4]),
            ]
        );
        outbox.connected(true);
        assert_eq!(std::iter::from_fn(|| outbox.take(false, NOW)).collect::<Vec<_>>(), [Next::Subscribe]);
    }

    #[test]
    fn the_rate_holds_over_time() {
        let mut rate = Rate::new(1_000, 500, 0);
        let (mut now, mut sent) = (0, 0_u64);
        while now < 10_000 {
            match rate.wait_ms(now) {
                0 => {
                    rate.spend(100);
                    sent += 100;
                }
                wait => now += wait,
            }
        }
        assert!((10_000..=10_700).contains(&sent), "{sent}");
    }
}
