//! The last message of each topic that was published to be kept.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::limits::{RETAINED_MAX, RETAINED_MAX_BYTES, RETAINED_PER_DEVICE_MAX};
use super::packet::Message;
use super::topic::{literal_prefix, matches};
use crate::ca::Identity;

/// A kept message.
#[derive(Debug, Clone)]
pub struct Retained {
    /// The message.
    pub message: Arc<Message>,
    /// When it stops being worth delivering, in the broker's milliseconds.
    pub expires_at: Option<u64>,
    owner: Identity,
}

/// Says that a message could not be kept because a bound was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// All kept messages, by topic.
#[derive(Debug, Default)]
pub struct RetainedStore {
    by_topic: BTreeMap<String, Retained>,
    per_device: BTreeMap<Identity, usize>,
    bytes: usize,
}

impl RetainedStore {
    /// Keeps `message` as the last one of its topic; an empty payload forgets the topic.
    ///
    /// # Errors
    /// [`Full`] when the owner or the store has reached its bound; the earlier message stays then.
    pub fn set(&mut self, message: Arc<Message>, owner: &Identity, expires_at: Option<u64>) -> Result<(), Full> {
        let previous = self.by_topic.get(&message.topic);
        if message.payload.as_slice().is_empty() {
            let topic = message.topic.clone();
            self.forget(&topic);
            return Ok(());
        }
        let freed = previous.map_or(0, |p| p.message.wire_bytes());
        let owned = self.per_device.get(owner).copied().unwrap_or(0);
        let owns_already = previous.is_some_and(|p| p.owner == *owner);
        let too_many_of_one =
            matches!(owner, Identity::Device { .. }) && !owns_already && owned >= RETAINED_PER_DEVICE_MAX;
        let too_many = previous.is_none() && self.by_topic.len() >= RETAINED_MAX;
        if too_many_of_one || too_many || self.bytes - freed + message.wire_bytes() > RETAINED_MAX_BYTES {
            return Err(Full);
        }
        let topic = message.topic.clone();
        self.forget(&topic);
        self.bytes += message.wire_bytes();
        if matches!(owner, Identity::Device { .. }) {
            *self.per_device.entry(owner.clone()).or_default() += 1;
        }
        self.by_topic.insert(topic, Retained { message, expires_at, owner: owner.clone() });
        Ok(())
    }

    fn forget(&mut self, topic: &str) {
        let Some(old) = self.by_topic.remove(topic) else { return };
        self.bytes -= old.message.wire_bytes();
        if let Some(count) = self.per_device.get_mut(&old.owner) {
            *count -= 1;
            if *count == 0 {
                self.per_device.remove(&old.owner);
            }
        }
    }

    /// Returns the kept messages that match a valid filter, in order of topic; forgets those that have expired by `now`.
    pub fn matching(&mut self, filter: &str, now: u64) -> Vec<Retained> {
        let prefix = literal_prefix(filter);
        let found: Vec<Retained> = self
            .by_topic
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(topic, _)| topic.starts_with(prefix))
            .filter(|(topic, _)| matches(filter, topic))
            .map(|(_, retained)| retained.clone())
            .collect();
        let (live, expired): (Vec<_>, Vec<_>) = found.into_iter().partition(|r| r.expires_at.is_none_or(|at| at > now));
        for old in expired {
            self.forget(&old.message.topic);
        }
        live
    }

    /// Returns how many messages are kept.
    pub fn count(&self) -> usize {
        self.by_topic.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::codec::Payload;
    use crate::broker::packet::Qos;
    use pinnace_protocol::ids::{DeviceId, TenantId};

    fn message(topic: &str, payload: &str) -> Arc<Message> {
        Arc::new(Message {
            topic: topic.into(),
            payload: Payload::from(payload.as_bytes()),
            qos: Qos::AtLeastOnce,
            retain: true,
            expiry_s: None,
            forwarded: None,
        })
    }

    fn device() -> Identity {
        Identity::Device { tenant: TenantId::parse("acme").unwrap(), device: DeviceId::parse("d1").unwrap() }
    }

    #[test]
    fn the_last_message_is_kept_and_an_empty_one_forgets() {
        let mut store = RetainedStore::default();
        for payload in ["1", "2"] {
            store.set(message("a/b", payload), &Identity::Plane, None).unwrap();
        }
        store.set(message("a/c", "3"), &Identity::Plane, Some(10)).unwrap();
        store.set(message("ab", "4"), &Identity::Plane, None).unwrap();
        let seen = |store: &mut RetainedStore, filter, now| {
            store.matching(filter, now).iter().map(|r| r.message.payload.as_slice().to_vec()).collect::<Vec<_>>()
        };
        assert_eq!(seen(&mut store, "a/#", 9), vec![b"2".to_vec(), b"3".to_vec()]);
        assert_eq!(seen(&mut store, "a/b", 9), vec![b"2".to_vec()]);
        assert_eq!(seen(&mut store, "a/+", 10), vec![b"2".to_vec()], "the other has expired");
        store.set(message("a/b", ""), &Identity::Plane, None).unwrap();
        assert_eq!((seen(&mut store, "a/#", 9).len(), store.count()), (0, 1));
        store.set(message("ab", ""), &Identity::Plane, None).unwrap();
        assert_eq!((store.count(), store.bytes), (0, 0));
    }

    #[test]
    fn a_device_cannot_fill_the_store() {
        let mut store = RetainedStore::default();
        for n in 0..RETAINED_PER_DEVICE_MAX {
            store.set(message(&format!("t/{n}"), "x"), &device(), None).unwrap();
        }
        assert_eq!(store.set(message("t/more", "x"), &device(), None), Err(Full));
        assert_eq!(store.set(message("t/0", "y"), &device(), None), Ok(()), "replacing its own is allowed");
        assert_eq!(store.set(message("t/1", ""), &device(), None), Ok(()));
        assert_eq!(store.set(message("t/more", "x"), &device(), None), Ok(()));
        assert_eq!(store.set(message("t/plane", "x"), &Identity::Plane, None), Ok(()));
    }
}
