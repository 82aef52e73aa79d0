//! Waiting for what must happen, with a limit and with what was seen last.
use std::fmt::Display;
use std::thread::park_timeout;
use std::time::{Duration, Instant};

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Seconds that one step of a story may take on a busy machine.
pub const STEP_S: u64 = 180;

/// Looks until `look` returns a value, and returns that.
///
/// # Panics
/// After `seconds`, naming `what` was awaited and what the last look said.
pub fn wait_until<T, E: Display>(what: &str, seconds: u64, mut look: impl FnMut() -> Result<T, E>) -> T {
    let began = Instant::now();
    loop {
        match look() {
            Ok(value) => return value,
            Err(seen) if began.elapsed().as_secs() >= seconds => {
                panic!("{what} did not happen within {seconds} s; last seen: {seen}")
            }
            Err(_) => park_timeout(LOOK),
        }
    }
}

/// Numbers that look random and repeat from their seed.
pub struct Chance(u64);

impl Chance {
    /// Returns the numbers of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next number below `limit` (at least 1).
    pub fn below(&mut self, limit: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit.max(1)
    }

    /// Lets an arbitrary moment of up to `millis` milliseconds pass: nothing is waited for, the moment itself is what
    /// varies between the blows of a test.
    pub fn moment(&mut self, millis: u64) {
        let until = Instant::now() + Duration::from_millis(self.below(millis));
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            park_timeout(left);
        }
    }
}
