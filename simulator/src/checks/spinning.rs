//! S9 in part: nobody asks to be woken again and again without anything to do.
use std::collections::BTreeMap;

use crate::limits::SPINS_MAX;
use crate::story::Node;

/// Wake-ups of each node in the present millisecond.
#[derive(Debug, Default)]
pub struct Spinning(BTreeMap<Node, (u64, u32)>);

impl Spinning {
    /// A node was woken by its own deadline.
    pub fn woken(&mut self, node: Node, now: u64) -> Result<(), String> {
        let (at, count) = self.0.entry(node).or_insert((now, 0));
        if *at != now {
            (*at, *count) = (now, 0);
        }
        *count += 1;
        if *count > SPINS_MAX { Err(format!("woken {count} times in one millisecond")) } else { Ok(()) }
    }
}
