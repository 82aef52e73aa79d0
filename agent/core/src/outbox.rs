//! Statistics windows on their way to the plane: each is counted exactly once.
//!
//! A window gets its number and its ledger record in one batch, is published after that, and is dropped only when the
//! plane acknowledges it. Windows that were never published may be merged and numbered anew when room runs out, so
//! that numbers stay without gaps and no count is lost; only windows that cannot be merged are dropped.
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use pinnace_protocol::cbor;
use pinnace_protocol::limits::{WINDOW_MAX_AHEAD, WINDOW_MAX_BYTES};
use pinnace_protocol::message::{Ack, Window};
use pinnace_protocol::sketch::{Layout, Live};
use pinnace_protocol::time::Mono;

use crate::Agent;
use crate::api::{Effect, Key, Level, UpMessage, WindowDraft};
use crate::limits::{OUTBOX_MAX_BYTES, OUTBOX_MAX_WINDOWS, WINDOWS_IN_FLIGHT_MAX};
use crate::state::State;
use crate::turn::Turn;

/// Bytes read of one window record: the sketch and its names.
const RECORD_MAX_BYTES: usize = WINDOW_MAX_BYTES + 1024;

/// The windows that wait, and when each was published last.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    windows: BTreeMap<u64, Window>,
    sent: BTreeMap<u64, Mono>,
    bytes: usize,
}

impl Outbox {
    /// Takes over what the ledger holds; returns the keys of records that cannot be used.
    pub(crate) fn recover(records: &[(Key, Vec<u8>)], state: &State) -> (Self, Vec<Key>) {
        let (mut outbox, mut useless) = (Self::default(), Vec::new());
        for (key, bytes) in records {
            let Key::Window(seq) = key else { continue };
            match cbor::decode::<Window>(bytes, RECORD_MAX_BYTES) {
                Ok(w) if w.epoch == state.epoch && w.seq == *seq && w.seq < state.next_window => outbox.insert(w),
                _ => useless.push(key.clone()),
            }
        }
        (outbox, useless)
    }

    pub(crate) fn len(&self) -> usize {
        self.windows.len()
    }

    fn insert(&mut self, window: Window) {
        self.bytes += window.sketch.len();
        self.windows.insert(window.seq, window);
    }

    fn remove(&mut self, seq: u64) -> Option<Window> {
        self.sent.remove(&seq);
        let window = self.windows.remove(&seq)?;
        self.bytes -= window.sketch.len();
        Some(window)
    }

    fn is_over(&self) -> bool {
        self.windows.len() > OUTBOX_MAX_WINDOWS || self.bytes > OUTBOX_MAX_BYTES
    }

    /// Forgets what is in flight: the connection is gone, so nobody knows what arrived.
    pub(crate) fn link_down(&mut self) {
        self.sent.clear();
    }

    /// Returns when the oldest published window should be sent again.
    pub(crate) fn resend_at(&self, after_ms: u64) -> Option<Mono> {
        self.sent.values().min().map(|at| at.plus_ms(after_ms))
    }
}

impl Agent {
    /// Numbers and keeps a closed window, and publishes it when the link allows.
    pub(crate) fn window_closed(&mut self, turn: &mut Turn, draft: WindowDraft) {
        turn.save();
        if draft.sketch.len() > WINDOW_MAX_BYTES {
            self.state.windows_lost += 1;
            turn.log(Level::Error, format!("window of {} bytes dropped: larger than any message", draft.sketch.len()));
            return;
        }
        let window = Window {
            epoch: self.state.epoch,
            seq: self.state.next_window,
            bundle: draft.bundle,
            profile: draft.profile,
            from_unix_ms: draft.from_unix_ms,
            to_unix_ms: draft.to_unix_ms,
            rows: draft.rows,
            sketch: draft.sketch,
        };
        self.state.next_window += 1;
        record(turn, &window);
        self.outbox.insert(window);
        if self.outbox.is_over() {
            self.make_room(turn);
        }
        self.pump(turn);
    }

    /// Merges unpublished neighbours; drops the oldest unpublished only when that was not enough.
    fn make_room(&mut self, turn: &mut Turn) {
        let first = self.state.sent_below;
        let old: Vec<Window> = {
            let seqs: Vec<u64> = self.outbox.windows.range(first..).map(|(seq, _)| *seq).collect();
            seqs.into_iter().filter_map(|seq| self.outbox.remove(seq)).collect()
        };
        let end = first + old.len() as u64;
        let before = old.len();
        let mut kept: Vec<Window> = Vec::with_capacity(before);
        // Every window takes part in one merge at most, so that time resolution halves evenly.
        let mut may_merge = false;
        for window in old {
            match kept.last_mut().filter(|_| may_merge).and_then(|last| merge(&self.layouts, last, &window)) {
                Some(merged) => {
                    kept.pop();
                    kept.push(merged);
                    may_merge = false;
                }
                None => {
                    kept.push(window);
                    may_merge = true;
                }
            }
        }
        let merged = before - kept.len();
        let (mut count, mut bytes) = (self.outbox.windows.len(), self.outbox.bytes);
        count += kept.len();
        bytes += kept.iter().map(|w| w.sketch.len()).sum::<usize>();
        let mut dropped = 0;
        for window in &kept {
            if count <= OUTBOX_MAX_WINDOWS && bytes <= OUTBOX_MAX_BYTES {
                break;
            }
            count -= 1;
            bytes -= window.sketch.len();
            dropped += 1;
        }
        for (seq, mut window) in (first..).zip(kept.into_iter().skip(dropped)) {
            window.seq = seq;
            record(turn, &window);
            self.outbox.insert(window);
        }
        self.state.next_window = first + (before - merged - dropped) as u64;
        for seq in self.state.next_window..end {
            turn.delete(Key::Window(seq));
        }
        self.state.windows_lost += (merged + dropped) as u64;
        turn.save();
        turn.log(Level::Warn, format!("outbox full: {merged} windows merged into neighbours, {dropped} dropped"));
    }

    /// Publishes what may be in flight.
    pub(crate) fn pump(&mut self, turn: &mut Turn) {
        if !self.link.up {
            return;
        }
        let Some((&base, _)) = self.outbox.windows.first_key_value() else { return };
        let room = WINDOWS_IN_FLIGHT_MAX.saturating_sub(self.outbox.sent.len());
        let ready: Vec<u64> = self
            .outbox
            .windows
            .range(base..base.saturating_add(WINDOW_MAX_AHEAD))
            .map(|(seq, _)| *seq)
            .filter(|seq| !self.outbox.sent.contains_key(seq))
            .take(room)
            .collect();
        for seq in ready {
            let Some(window) = self.outbox.windows.get(&seq) else { continue };
            turn.effect(Effect::Publish(UpMessage::Window(window.clone())));
            self.outbox.sent.insert(seq, turn.mono());
            if seq >= self.state.sent_below {
                // Durable before it is published: from now on this number means this window.
                self.state.sent_below = seq + 1;
                turn.save();
            }
        }
    }

    /// Sends again what was not acknowledged in time.
    pub(crate) fn resend_windows(&mut self, turn: &mut Turn) {
        let (now, after) = (turn.mono(), self.config.intervals.window_ms);
        if self.outbox.resend_at(after).is_some_and(|at| at <= now) {
            self.outbox.sent.retain(|_, at| at.plus_ms(after) > now);
            self.pump(turn);
        }
    }

    /// Drops what the plane has durably counted.
    pub(crate) fn acknowledged(&mut self, turn: &mut Turn, ack: &Ack) {
        if ack.epoch != self.state.epoch {
            return;
        }
        let counted: Vec<u64> = self
            .outbox
            .windows
            .keys()
            .filter(|seq| **seq < self.state.sent_below && (**seq < ack.watermark || ack.above.contains(seq)))
            .copied()
            .collect();
        for seq in counted {
            self.outbox.remove(seq);
            turn.delete(Key::Window(seq));
        }
        let known = ack.above.iter().max().map_or(ack.watermark, |top| ack.watermark.max(top.saturating_add(1)));
        if known > self.state.sent_below {
            self.skip_numbers(turn, known);
        }
        self.pump(turn);
    }

    /// Numbers unpublished windows from `known` on: the plane has counted others under their numbers, so this ledger
    /// is an older copy of itself and what it would publish next would be taken for duplicates.
    fn skip_numbers(&mut self, turn: &mut Turn, known: u64) {
        turn.log(
            Level::Warn,
            format!(
                "the plane knows windows up to {known}: this ledger is an older copy, numbering goes on from there"
            ),
        );
        let seqs: Vec<u64> = self.outbox.windows.range(self.state.sent_below..).map(|(seq, _)| *seq).collect();
        let unsent: Vec<Window> = seqs.iter().filter_map(|seq| self.outbox.remove(*seq)).collect();
        for seq in seqs {
            turn.delete(Key::Window(seq));
        }
        self.state.sent_below = known;
        self.state.next_window = known + unsent.len() as u64;
        for (seq, mut window) in (known..).zip(unsent) {
            window.seq = seq;
            record(turn, &window);
            self.outbox.insert(window);
        }
        turn.save();
    }
}

fn record(turn: &mut Turn, window: &Window) {
    // The protocol's own types always encode.
    turn.put(Key::Window(window.seq), cbor::encode(window).unwrap_or_default());
}

/// Returns both windows as one, when they count the same bundle by the same profile and that profile is at hand.
fn merge(layouts: &[Arc<Layout>], a: &Window, b: &Window) -> Option<Window> {
    if a.bundle != b.bundle || a.profile != b.profile {
        return None;
    }
    let (mut sum, more) = layouts.iter().find_map(|layout| {
        Some((Live::decode_with(layout, &a.sketch).ok()?, Live::decode_with(layout, &b.sketch).ok()?))
    })?;
    sum.merge(&more).ok()?;
    let sketch = sum.encode();
    (sketch.len() <= WINDOW_MAX_BYTES).then(|| Window {
        epoch: a.epoch,
        seq: a.seq,
        bundle: a.bundle.clone(),
        profile: a.profile,
        from_unix_ms: a.from_unix_ms.min(b.from_unix_ms),
        to_unix_ms: a.to_unix_ms.max(b.to_unix_ms),
        rows: a.rows.saturating_add(b.rows),
        sketch,
    })
}
