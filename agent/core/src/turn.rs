//! One turn in the making: what must be committed, and what is to be done then.
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use pinnace_protocol::time::{Mono, Now};
use pinnace_protocol::trust::Floors;

use crate::api::{Batch, Effect, Key, Level, Op, Step};
use crate::limits::LOG_MAX_BYTES;
use crate::state::State;

/// Collects the consequences of one event.
pub(crate) struct Turn {
    pub(crate) now: Now,
    floors: bool,
    pointers: bool,
    state: bool,
    ops: BTreeMap<Key, Option<Vec<u8>>>,
    then: Vec<Effect>,
}

impl Turn {
    pub(crate) fn new(now: Now) -> Self {
        Self { now, floors: false, pointers: false, state: false, ops: BTreeMap::new(), then: Vec::new() }
    }

    pub(crate) fn mono(&self) -> Mono {
        self.now.mono
    }

    /// Marks the floors as raised.
    pub(crate) fn save_floors(&mut self) {
        self.floors = true;
    }

    /// Marks the state as changed.
    pub(crate) fn save(&mut self) {
        self.state = true;
    }

    /// Marks the state as changed, in a part that the pointers hold too.
    pub(crate) fn save_pointers(&mut self) {
        self.state = true;
        self.pointers = true;
    }

    pub(crate) fn put(&mut self, key: Key, bytes: Vec<u8>) {
        self.ops.insert(key, Some(bytes));
    }

    pub(crate) fn delete(&mut self, key: Key) {
        self.ops.insert(key, None);
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.then.push(effect);
    }

    /// Adds a log line, cut to its bound.
    pub(crate) fn log(&mut self, level: Level, text: impl Into<String>) {
        let mut text = text.into();
        if text.len() > LOG_MAX_BYTES {
            let cut = (0..=LOG_MAX_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(cut);
        }
        self.then.push(Effect::Log { level, text });
    }

    /// Writes the outcome.
    pub(crate) fn finish(mut self, state: &State, floors: &Floors, out: &mut Step) {
        if self.state {
            self.ops.insert(Key::State, Some(state.encode()));
        }
        let ops: Vec<Op> = self
            .ops
            .into_iter()
            .map(|(key, bytes)| match bytes {
                Some(bytes) => Op::Put { key, bytes },
                None => Op::Delete { key },
            })
            .collect();
        let batch = Batch {
            floors: self.floors.then(|| floors.encode()),
            pointers: self.pointers.then(|| state.pointers()),
            ops,
        };
        out.commit = (batch != Batch::default()).then_some(batch);
        out.then = self.then;
    }
}
