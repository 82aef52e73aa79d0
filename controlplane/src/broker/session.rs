//! What the broker remembers for one client: subscriptions, messages waiting, messages not yet acknowledged, the will.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::index::Grant;
use super::limits::{
    DEVICE_QUEUE_BYTES, DEVICE_QUEUE_MESSAGES, INFLIGHT_MAX, OFFLINE_QUEUE_BYTES, OFFLINE_QUEUE_MESSAGES,
    PLANE_QUEUE_BYTES, PLANE_QUEUE_MESSAGES,
};
use super::packet::{Delivery, Message, Qos, Will};
use crate::ca::Identity;

/// Numbers a connection for as long as the broker runs.
pub type ConnId = u64;

/// A message waiting for one client.
#[derive(Debug, Clone)]
pub(super) struct Queued {
    pub message: Arc<Message>,
    /// At most [`Qos::AtLeastOnce`].
    pub qos: Qos,
    /// The retain flag for this client.
    pub retain: bool,
    pub expires_at: Option<u64>,
}

/// What became of a message offered to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    /// It waits.
    Taken,
    /// It needed no guarantee and there was no room or nobody to take it.
    Dropped,
    /// It needs to be delivered and there is no room.
    Full,
}

/// What a session has to send next.
#[derive(Debug)]
pub(super) enum Next {
    /// This.
    Deliver(Delivery),
    /// A message was discarded: it has expired or is larger than the client reads.
    Discarded,
    /// Nothing, until something is published or acknowledged.
    Nothing,
}

#[derive(Debug)]
struct InFlight {
    id: u16,
    sent: Queued,
}

/// One client's session.
#[derive(Debug)]
pub(super) struct Session {
    pub owner: Identity,
    pub client_id: String,
    pub conn: Option<ConnId>,
    pub expiry_s: u32,
    /// When the session of an absent client ends.
    pub expiry_at: Option<u64>,
    /// When the delayed will of an absent client is published.
    pub will_at: Option<u64>,
    pub subscriptions: BTreeMap<String, Grant>,
    pub will: Option<Will>,
    queue: VecDeque<Queued>,
    inflight: VecDeque<InFlight>,
    /// Bytes of `queue` and `inflight`.
    bytes: usize,
    /// Where in `inflight` sending again goes on after a reconnect.
    resend: usize,
    last_id: u16,
    window: usize,
    packet_max: usize,
}

impl Session {
    /// Returns an empty session without a connection.
    pub fn new(owner: Identity, client_id: String) -> Self {
        Self {
            owner,
            client_id,
            conn: None,
            expiry_s: 0,
            expiry_at: None,
            will_at: None,
            subscriptions: BTreeMap::new(),
            will: None,
            queue: VecDeque::new(),
            inflight: VecDeque::new(),
            bytes: 0,
            resend: 0,
            last_id: 0,
            window: usize::from(INFLIGHT_MAX),
            packet_max: usize::MAX,
        }
    }

    /// Takes a new connection; what was sent and not acknowledged is sent again first.
    pub fn attach(&mut self, conn: ConnId, receive_max: u16, packet_max: Option<u32>) {
        self.conn = Some(conn);
        self.resend = 0;
        self.window = usize::from(receive_max.clamp(1, INFLIGHT_MAX));
        self.packet_max = packet_max.map_or(usize::MAX, |m| usize::try_from(m).unwrap_or(usize::MAX));
    }

    /// Loses the connection: what needs no guarantee is forgotten, the rest cut to what is kept for
    /// an absent client. Returns how many messages with a guarantee were cut.
    pub fn detach(&mut self) -> u64 {
        self.conn = None;
        let mut kept = VecDeque::with_capacity(self.queue.len().min(OFFLINE_QUEUE_MESSAGES));
        for queued in self.queue.drain(..) {
            if queued.qos == Qos::AtMostOnce {
                self.bytes -= queued.message.wire_bytes();
            } else {
                kept.push_back(queued);
            }
        }
        self.queue = kept;
        let (max_messages, max_bytes) = self.bounds();
        let mut cut = 0;
        while self.pending() > max_messages || self.bytes > max_bytes {
            let newest = self.queue.pop_back().or_else(|| self.inflight.pop_back().map(|f| f.sent));
            let Some(newest) = newest else { break };
            self.bytes -= newest.message.wire_bytes();
            cut += 1;
        }
        self.queue.shrink_to_fit();
        self.inflight.shrink_to_fit();
        cut
    }

    fn bounds(&self) -> (usize, usize) {
        match (&self.owner, self.conn) {
            (Identity::Plane, _) => (PLANE_QUEUE_MESSAGES, PLANE_QUEUE_BYTES),
            (Identity::Device { .. }, Some(_)) => (DEVICE_QUEUE_MESSAGES, DEVICE_QUEUE_BYTES),
            (Identity::Device { .. }, None) => (OFFLINE_QUEUE_MESSAGES, OFFLINE_QUEUE_BYTES),
        }
    }

    /// Offers a message for delivery.
    pub fn offer(&mut self, queued: Queued) -> Offer {
        let guaranteed = queued.qos != Qos::AtMostOnce;
        if self.conn.is_none() && !guaranteed {
            return Offer::Dropped;
        }
        let (max_messages, max_bytes) = self.bounds();
        let bytes = queued.message.wire_bytes();
        if self.pending() >= max_messages || self.bytes + bytes > max_bytes {
            return if guaranteed { Offer::Full } else { Offer::Dropped };
        }
        self.bytes += bytes;
        self.queue.push_back(queued);
        Offer::Taken
    }

    /// Takes the next message to send at `now`, in order of arrival.
    pub fn next(&mut self, now: u64) -> Next {
        if let Some(again) = self.inflight.get(self.resend) {
            self.resend += 1;
            return Next::Deliver(delivery(&again.sent, again.id, true, now));
        }
        let Some(front) = self.queue.front() else { return Next::Nothing };
        if front.qos != Qos::AtMostOnce && self.inflight.len() >= self.window {
            return Next::Nothing;
        }
        let Some(queued) = self.queue.pop_front() else { return Next::Nothing };
        let bytes = queued.message.wire_bytes();
        if queued.expires_at.is_some_and(|at| at <= now) || bytes > self.packet_max {
            self.bytes -= bytes;
            return Next::Discarded;
        }
        if queued.qos == Qos::AtMostOnce {
            self.bytes -= bytes;
            return Next::Deliver(delivery(&queued, 0, false, now));
        }
        let id = self.free_id();
        let deliver = delivery(&queued, id, false, now);
        self.inflight.push_back(InFlight { id, sent: queued });
        self.resend = self.inflight.len();
        Next::Deliver(deliver)
    }

    /// Returns a packet id that is not in flight; there are far fewer in flight than ids.
    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.inflight.iter().all(|f| f.id != self.last_id) {
                return self.last_id;
            }
        }
    }

    /// Ends a delivery; returns whether it was in flight.
    pub fn acknowledge(&mut self, id: u16) -> bool {
        let Some(index) = self.inflight.iter().position(|f| f.id == id) else { return false };
        if let Some(done) = self.inflight.remove(index) {
            self.bytes -= done.sent.message.wire_bytes();
        }
        if index < self.resend {
            self.resend -= 1;
        }
        true
    }

    /// Returns how many messages wait or are in flight.
    pub fn pending(&self) -> usize {
        self.queue.len() + self.inflight.len()
    }
}

fn delivery(queued: &Queued, id: u16, duplicate: bool, now: u64) -> Delivery {
    let left_s = queued.expires_at.map(|at| u32::try_from(at.saturating_sub(now).div_ceil(1000)).unwrap_or(u32::MAX));
    Delivery { message: Arc::clone(&queued.message), id, duplicate, retain: queued.retain, expiry_s: left_s }
}
