//! Time as the pure cores see it: handed in by the shell with every event, never read.
use serde::{Deserialize, Serialize};

/// Milliseconds since this process started; never goes back, means nothing to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Mono(pub u64);

impl Mono {
    /// Returns the moment `ms` milliseconds later.
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
    /// Returns the milliseconds from `earlier` to `self`, 0 when `earlier` is later.
    pub const fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// How far the wall clock may be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ClockTrust {
    /// Whatever the device booted with: may be 1970 or 2106.
    Unknown,
    /// At or after a time that an authenticated document named.
    Attested,
}

/// Wall-clock time with its trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wall {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub unix_ms: u64,
    /// How far to believe it.
    pub trust: ClockTrust,
}

/// The present, as the shell tells it to a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// For deadlines and intervals.
    pub mono: Mono,
    /// For people and for expiry.
    pub wall: Wall,
}

impl Now {
    /// Returns wall time in whole seconds since 1970.
    pub const fn unix_s(&self) -> u64 {
        self.wall.unix_ms / 1000
    }
}
