//! Time to judge by: the director's signed issue time once it answered us, else the wall clock, never below the floor.
use pinnace_protocol::time::{Mono, Now};
use pinnace_protocol::trust::Floors;

/// What is known about the time in this process.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    attested: Option<(Mono, u64)>,
}

impl Clock {
    /// Notes that an authenticated document, fresh by our nonce, named `unix_s`.
    pub(crate) fn attest(&mut self, at: Mono, unix_s: u64) {
        self.attested = Some((at, unix_s));
    }

    pub(crate) fn is_attested(&self) -> bool {
        self.attested.is_some()
    }

    /// Returns the seconds since 1970 to judge expiry and quarantine by.
    pub(crate) fn judge_s(&self, now: Now, floors: &Floors) -> u64 {
        match self.attested {
            Some((at, unix_s)) => floors.judge_time(unix_s.saturating_add(now.mono.since_ms(at) / 1000)),
            None => floors.judge_time(now.unix_s()),
        }
    }
}
