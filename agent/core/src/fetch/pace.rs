//! How much is asked for at once, and how long an answer may take.
use pinnace_protocol::time::Mono;

use crate::work::Source;

use crate::limits::{PROGRESS_FLOOR_BYTES_PER_S, WINDOW_FAST_MS, WINDOW_FIRST_CHUNKS, WINDOW_SLOW_MS};

/// The window of a source: grows while it answers quickly, shrinks when it does not, so that on a slow link little lies
/// before a message that matters more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    window: u64,
    since: Mono,
    stalls: u32,
}

impl Pace {
    pub(super) const fn new(source: Source) -> Self {
        let window = match source {
            Source::Mqtt => WINDOW_FIRST_CHUNKS,
            // An answer counts only when it is whole.
            Source::Http => 1,
        };
        Self { window, since: Mono(0), stalls: 0 }
    }

    /// Returns how many chunks to ask for now, at most `max`.
    pub(super) fn window(&mut self, now: Mono, max: u64) -> u64 {
        self.since = now;
        self.window = self.window.clamp(1, max);
        self.window
    }

    /// Everything that was asked for came.
    pub(super) fn answered(&mut self, now: Mono) {
        match now.0.saturating_sub(self.since.0) {
            took if took <= WINDOW_FAST_MS => self.window = self.window.saturating_mul(2),
            took if took > WINDOW_SLOW_MS => self.window = (self.window / 2).max(1),
            _ => {}
        }
    }

    /// Something came.
    pub(super) fn progressed(&mut self) {
        self.stalls = 0;
    }

    /// Nothing came in time; returns how often in a row.
    pub(super) fn stalled(&mut self) -> u32 {
        self.window = (self.window / 2).max(1);
        self.stalls += 1;
        self.stalls
    }

    /// Returns until when the next chunk over MQTT may take: twice as long after each silence, since a slow link is not
    /// a dead one.
    pub(super) fn patience_ms(&self, progress_ms: u64) -> u64 {
        progress_ms.saturating_mul(1 << self.stalls.min(8))
    }
}

/// Returns how long an HTTP answer of `bytes` may take: what it takes at the progress floor, and one interval.
pub(crate) fn answer_ms(bytes: u64, progress_ms: u64) -> u64 {
    progress_ms.saturating_add(bytes.saturating_mul(1000) / PROGRESS_FLOOR_BYTES_PER_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_follows_the_link() {
        let mut pace = Pace::new(Source::Mqtt);
        let mut at = 0;
        for _ in 0..10 {
            pace.window(Mono(at), 16);
            at += 100;
            pace.answered(Mono(at));
        }
        assert_eq!(pace.window(Mono(at), 16), 16);
        for _ in 0..10 {
            pace.answered(Mono(at + WINDOW_SLOW_MS + 1));
        }
        assert_eq!(pace.window(Mono(at), 16), 1);
        assert_eq!((pace.stalled(), pace.stalled(), pace.patience_ms(10)), (1, 2, 40));
        pace.progressed();
        assert_eq!(pace.patience_ms(10), 10);
    }

    #[test]
    fn an_answer_may_take_what_the_floor_allows() {
        assert_eq!(answer_ms(PROGRESS_FLOOR_BYTES_PER_S * 3, 10_000), 13_000);
    }
}
