//! S9: queues, memory, bytes and retries are bounded, and nobody asks to be woken again and again for nothing.
use std::collections::BTreeMap;

use crate::disk::Disk;
use crate::limits::{GETS_PER_HOUR_MAX, LEDGER_MAX_BYTES, LEDGER_MAX_WINDOWS, PUBLISHED_PER_HOUR_MAX, SPINS_MAX};
use crate::story::Node;

const HOUR_MS: u64 = 3_600_000;

/// What a device did in the present hour.
#[derive(Debug, Clone, Copy, Default)]
struct Hour {
    number: u64,
    published: u64,
    gets: u64,
}

/// Wake-ups of each node in the present millisecond, and what each device did in the present hour.
#[derive(Debug, Default)]
pub struct Bounded {
    spins: BTreeMap<Node, (u64, u32)>,
    hours: Vec<Hour>,
}

impl Bounded {
    /// A node was woken by its own deadline.
    pub fn woken(&mut self, node: Node, now: u64) -> Result<(), String> {
        let (at, count) = self.spins.entry(node).or_insert((now, 0));
        if *at != now {
            (*at, *count) = (now, 0);
        }
        *count += 1;
        if *count > SPINS_MAX { Err(format!("woken {count} times in one millisecond")) } else { Ok(()) }
    }

    fn hour(&mut self, device: usize, now: u64) -> &mut Hour {
        if self.hours.len() <= device {
            self.hours.resize(device + 1, Hour::default());
        }
        let hour = &mut self.hours[device];
        if hour.number != now / HOUR_MS {
            *hour = Hour { number: now / HOUR_MS, ..Hour::default() };
        }
        hour
    }

    /// A device publishes a message.
    pub fn published(&mut self, device: usize, now: u64) -> Result<(), String> {
        let hour = self.hour(device, now);
        hour.published += 1;
        let count = hour.published;
        if count > PUBLISHED_PER_HOUR_MAX {
            return Err(format!("{count} messages within one hour, at most {PUBLISHED_PER_HOUR_MAX} are sensible"));
        }
        Ok(())
    }

    /// A device asks for something over HTTP.
    pub fn asked(&mut self, device: usize, now: u64) -> Result<(), String> {
        let hour = self.hour(device, now);
        hour.gets += 1;
        let count = hour.gets;
        if count > GETS_PER_HOUR_MAX {
            return Err(format!("{count} requests within one hour, at most {GETS_PER_HOUR_MAX} are sensible"));
        }
        Ok(())
    }

    /// A device's ledger after a commit.
    pub fn stored(&self, disk: &Disk) -> Result<(), String> {
        let (windows, bytes) = (disk.ledger.windows(), disk.ledger.bytes());
        if windows > LEDGER_MAX_WINDOWS {
            return Err(format!("{windows} windows wait in the ledger, at most {LEDGER_MAX_WINDOWS} may"));
        }
        if bytes > LEDGER_MAX_BYTES {
            return Err(format!("the ledger has {bytes} bytes, at most {LEDGER_MAX_BYTES} are allowed"));
        }
        Ok(())
    }
}
