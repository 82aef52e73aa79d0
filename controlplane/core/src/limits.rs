//! Every bound of the steward, with its unit and its reason.

/// Bytes of one stored row: a bundle's reference profile is the largest content (1 MiB).
pub const ROW_MAX_BYTES: usize = 4 << 20;
/// Devices of one steward: about 1 KB of memory each.
pub const DEVICES_MAX: usize = 1_000_000;
/// Bundles known at once: each keeps its reference in memory.
pub const BUNDLES_MAX: usize = 1_024;
/// Rollouts remembered with their devices; the oldest ended one is forgotten when a new one begins (its history stays).
pub const ROLLOUTS_MAX: usize = 128;
/// Waves of one rollout after the canaries.
pub const WAVES_MAX: usize = 16;
/// Bytes of a label expression.
pub const EXPR_MAX_BYTES: usize = 1_024;
/// Bytes of a person's reason or name in the history.
pub const WORDS_MAX_BYTES: usize = 512;
/// Assignments handed out in one step, so that a step's signatures take well under a second; the rest follows at once.
pub const ASSIGN_PER_STEP: usize = 512;
/// State changes of one rollout in one turn: draft to rolled back is at most nine, every wave adds three.
pub const TRANSITIONS_PER_TURN: usize = 9 + 3 * (WAVES_MAX + 1);
/// Entries of the history kept in memory for pages; the store keeps all.
pub const EVENTS_IN_MEMORY: usize = 4_096;
/// Intervals kept per bundle; beyond, neighbours are merged, older ones first (time resolution is lost, counts are not).
pub const INTERVALS_MAX: usize = 288;
/// Newest intervals that are never merged: a day in steps of five minutes would be 288, the watch needs 4.
pub const INTERVALS_FRESH: usize = 144;
/// Bundles with more than one interval: those that devices run now, and a few before. Older ones keep one sum.
pub const BUNDLES_WATCHED: usize = 16;
/// Rows of one window that are believed; the sketch's own counters bound the rest.
pub const WINDOW_MAX_ROWS: u64 = 10_000_000;
/// Milliseconds after which a report about an older target means that the newest order was lost, not that it is on its way.
pub const ORDER_AGAIN_MS: u64 = 30_000;
/// Doublings of the retry delay.
pub const RETRY_MAX_DOUBLINGS: u32 = 6;
/// Evidence is told up to here; beyond, the number means nothing to anybody.
pub const EVIDENCE_MAX: f64 = 1e12;
/// Drifting features named in one entry of the history.
pub const DRIVERS_NAMED: usize = 8;
/// Bundles one device is kept from at once; the oldest is forgotten first.
pub const QUARANTINES_MAX: usize = 8;
/// Connections of one device that are remembered, so that a second copy contradicts them: some restarts of the one copy
/// while the other is silent.
pub const CONNECTIONS_REMEMBERED: usize = 16;
/// Windows of one ledger epoch whose content is remembered, for the same purpose.
pub const PRINTS_REMEMBERED: usize = 32;
/// Milliseconds after a device said what it misses in which others may follow: longer than their jitter.
pub const BROADCAST_GATHER_MS: u64 = 1_500;
/// Milliseconds after the first word at which a round begins whoever may follow: a multiple of the one before.
pub const BROADCAST_GATHER_MAX_MS: u64 = 9_000;
/// A chunk that one of so many listeners misses is published to all.
pub const BROADCAST_SHARE: u32 = 20;
/// Blobs with a round to come.
pub const BROADCAST_BLOBS_MAX: usize = 256;
/// Devices whose word counts in one round.
pub const BROADCAST_DEVICES_MAX: usize = 200_000;
