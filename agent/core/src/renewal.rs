//! When the device asks for a new certificate, and how it proves itself. Pure: the shell hands in the time.
//!
//! Two thirds into a certificate's life (and a little later, by chance, so that a fleet that joined in one hour does not
//! come back in one hour) the old one opens the door to the new one. After its end the report key does. The device's clock
//! may be wrong either way, so a link that stays down is a reason to ask too, and then both ways are tried in turn: the
//! plane's clock decides.
use pinnace_protocol::time::Mono;

use crate::jitter::Jitter;
use crate::limits::{RENEWAL_BACKOFF_MAX_MS, RENEWAL_BACKOFF_MS, RENEWAL_LINK_DOWN_MS};

/// How the device proves itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// With the certificate it has.
    Certificate,
    /// With its report key, over a connection without a certificate.
    ReportKey,
}

/// A certificate's end and what was tried about it.
#[derive(Debug)]
pub struct Renewal {
    due_s: u64,
    ends_s: u64,
    failures: u32,
    not_before: Mono,
    jitter: Jitter,
}

impl Renewal {
    /// Watches a certificate that is good from `begins_s` to `ends_s`, seconds since 1970.
    pub fn new(begins_s: u64, ends_s: u64, seed: u64) -> Self {
        let mut jitter = Jitter::new(seed, "renewal");
        let due_s = due(begins_s, ends_s, &mut jitter);
        Self { due_s, ends_s, failures: 0, not_before: Mono(0), jitter }
    }

    /// Returns how to ask for a new certificate now; `None` while there is no reason to, or the last failure is too
    /// recent.
    ///
    /// `unix_s` is the device's clock, `down_ms` how long the link has been down (0 when it is up).
    pub fn way(&self, now: Mono, unix_s: u64, down_ms: u64) -> Option<Way> {
        if now < self.not_before {
            return None;
        }
        let odd = !self.failures.is_multiple_of(2);
        if unix_s >= self.ends_s {
            // By this clock only the key is left; every other time the certificate, since the clock may be ahead.
            return Some(if odd { Way::Certificate } else { Way::ReportKey });
        }
        if unix_s >= self.due_s || down_ms >= RENEWAL_LINK_DOWN_MS {
            // A certificate that opened the link is good; one that did not may have ended by the plane's clock.
            return Some(if odd && down_ms > 0 { Way::ReportKey } else { Way::Certificate });
        }
        None
    }

    /// Notes that asking did not help; the next time comes later, and with every failure later still.
    pub fn failed(&mut self, now: Mono) {
        let wait = RENEWAL_BACKOFF_MS.saturating_mul(1 << self.failures.min(16)).min(RENEWAL_BACKOFF_MAX_MS);
        let wait = wait / 2 + self.jitter.backoff_ms(wait.div_ceil(2), 0, wait);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.plus_ms(wait);
    }

    /// Notes a new certificate, good from `begins_s` to `ends_s`. While the link stays down it is asked for no other one
    /// before the longest wait has passed: then the certificate was not the reason.
    pub fn renewed(&mut self, now: Mono, begins_s: u64, ends_s: u64) {
        (self.due_s, self.ends_s) = (due(begins_s, ends_s, &mut self.jitter), ends_s);
        self.failures = 0;
        self.not_before = now.plus_ms(RENEWAL_BACKOFF_MAX_MS);
    }
}

/// Returns two thirds of a life, and up to a twelfth more.
fn due(begins_s: u64, ends_s: u64, jitter: &mut Jitter) -> u64 {
    let life = ends_s.saturating_sub(begins_s);
    let later = jitter.backoff_ms((life / 12).max(1), 0, u64::MAX);
    begins_s.saturating_add(life / 3 * 2).saturating_add(later).min(ends_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;
    const BEGIN: u64 = 20_000 * DAY;
    const END: u64 = BEGIN + 30 * DAY;

    #[test]
    fn it_asks_with_the_certificate_from_two_thirds_on_and_with_the_key_after_its_end() {
        for seed in 0..200 {
            let renewal = Renewal::new(BEGIN, END, seed);
            let way = |at: u64| renewal.way(Mono(1), at, 0);
            assert_eq!(way(BEGIN + 20 * DAY - 1), None);
            assert_eq!(way(BEGIN + 23 * DAY), Some(Way::Certificate));
            assert_eq!(way(END - 1), Some(Way::Certificate));
            assert_eq!(way(END), Some(Way::ReportKey));
            assert_eq!(way(END + 60 * DAY), Some(Way::ReportKey));
        }
        let due: alloc::collections::BTreeSet<u64> = (0..50).map(|s| Renewal::new(BEGIN, END, s).due_s).collect();
        assert!(due.len() > 40, "a fleet does not come back in one second");
    }

    #[test]
    fn whatever_the_clock_says_both_ways_are_tried_when_the_link_stays_down() {
        for unix_s in [0, BEGIN, END - 1, END, END + 3_650 * DAY] {
            let mut renewal = Renewal::new(BEGIN, END, 7);
            let mut now = Mono(1);
            let mut ways = alloc::vec::Vec::new();
            for _ in 0..4 {
                ways.extend(renewal.way(now, unix_s, RENEWAL_LINK_DOWN_MS));
                renewal.failed(now);
                now = now.plus_ms(RENEWAL_BACKOFF_MAX_MS + 1);
            }
            assert!(ways.contains(&Way::Certificate) && ways.contains(&Way::ReportKey), "{unix_s}: {ways:?}");
        }
    }

    #[test]
    fn a_plane_that_refuses_is_asked_ever_more_rarely_and_a_new_certificate_ends_it() {
        let mut renewal = Renewal::new(BEGIN, END, 7);
        let (mut now, mut asked) = (Mono(0), 0);
        let ten_days = Mono(10 * DAY * 1000);
        while now < ten_days {
            if renewal.way(now, END + DAY, 1).is_some() {
                asked += 1;
                renewal.failed(now);
                assert!(renewal.way(now, END + DAY, 1).is_none(), "at once again");
            }
            now = now.plus_ms(10_000);
        }
        assert!((40..120).contains(&asked), "{asked}");
        renewal.renewed(now, END + 11 * DAY, END + 41 * DAY);
        let later = now.plus_ms(RENEWAL_BACKOFF_MAX_MS);
        assert_eq!(renewal.way(later, END + 12 * DAY, 0), None);
        assert_eq!(renewal.way(now, END + 12 * DAY, u64::MAX), None, "the link's trouble is another");
    }
}
