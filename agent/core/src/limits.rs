//! Every bound of the device's judgement, with its unit and its reason.

/// Bytes of the state record: three released records of at most 64 KiB and small things.
pub const STATE_MAX_BYTES: usize = 256 * 1024;
/// Windows kept in the outbox: with one every five minutes, three and a half days offline before any is merged.
pub const OUTBOX_MAX_WINDOWS: usize = 1024;
/// Bytes of sketches kept in the outbox; they are also held in memory.
pub const OUTBOX_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Windows published and not yet acknowledged: keeps the link free for control messages.
pub const WINDOWS_IN_FLIGHT_MAX: usize = 32;
/// Attempts to fetch one bundle before it is left alone for [`QUARANTINE_S`].
pub const ATTEMPTS_MAX: u32 = 3;
/// Seconds a bundle that could not be fetched is left alone.
pub const QUARANTINE_S: u64 = 24 * 3600;
/// Bundles whose failed attempts are remembered; the one whose quarantine ends first is forgotten first.
pub const ATTEMPTS_REMEMBERED_MAX: usize = 16;
/// Milliseconds of the longest back-off between attempts.
pub const BACKOFF_MAX_MS: u64 = 10 * 60 * 1000;
/// Milliseconds until an offline device looks whether HTTP works all the same: what is on disk is hashed again then.
pub const OFFLINE_MAX_MS: u64 = 3600 * 1000;
/// Milliseconds between two hellos at most, while nobody answers.
pub const HELLO_MAX_MS: u64 = 60 * 1000;
/// Wrong chunks or documents from one source before the next one is asked.
pub const STRIKES_MAX: u32 = 3;
/// Times a source may make no progress for one interval before the next one is asked.
pub const STALLS_MAX: u32 = 2;
/// Chunks asked for in one HTTP range: a failed request costs at most 256 KiB (1 MiB for large chunks).
pub const RANGE_MAX_CHUNKS: u64 = 8;
/// Seconds a server may ask us to wait before we ask again anyway.
pub const RETRY_AFTER_MAX_S: u32 = 15 * 60;
/// Milliseconds one piece of slot work or one load may take: 2 GiB on an SD card at 2 MB/s.
pub const SLOT_WORK_MAX_MS: u64 = 30 * 60 * 1000;
/// Comparisons from which on disagreement counts: below, one different answer would weigh too much.
pub const COMPARED_MIN: u64 = 30;
/// Inferences from which on a p95 means something.
pub const LATENCY_MIN: u64 = 20;
/// Model families whose release floor is remembered.
pub const FAMILIES_MAX: usize = 64;
/// Seconds a trial may take at most, whatever its policy says.
pub const TRIAL_MAX_S: u32 = 30 * 24 * 3600;
/// Process starts a trial may use up at most, whatever its policy says.
pub const TRIES_MAX: u32 = 16;
/// Bytes of a log line's variable part.
pub const LOG_MAX_BYTES: usize = 512;
/// Profiles kept to merge windows by: of the active model, the candidate and the one before.
pub const LAYOUTS_MAX: usize = 3;
/// Seconds that an application may ask for in one request.
pub const VETO_MAX_S: u32 = 4 * 3600;
/// Seconds by which applications may put off one target altogether: after that the plane's word counts.
pub const VETO_TOTAL_S: u32 = 24 * 3600;
/// Milliseconds between two looks at why an install waits, when nothing else wakes the device.
pub const DEFER_LOOK_MS: u64 = 60 * 1000;
/// Maintenance windows of one device.
pub const MAINTENANCE_MAX: usize = 16;
/// Bytes of an application's reason.
pub const REASON_MAX_BYTES: usize = 200;
/// Bytes of an event log's file: a month of quiet turns, or a few bundles; twice that with the file before it.
pub const EVENT_LOG_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of an event log's file from which the next process start begins a new one: each start has at least as much.
pub const EVENT_LOG_ROTATE_BYTES: u64 = EVENT_LOG_MAX_BYTES / 2;
/// Bytes of one record of an event log: above the largest document a device is sent, with its names.
pub const EVENT_RECORD_MAX_BYTES: usize = 8 * 1024 * 1024;
/// Bytes up to which a payload stands in the turn itself: below, its digest would not be shorter by much.
pub const EVENT_INLINE_MAX_BYTES: usize = 256;
/// Payloads whose digests a recording remembers, so that each is stored once: 2 MiB of memory with their tree.
pub const EVENT_PAYLOADS_MAX: usize = 32 * 1024;
/// Generations that an assignment may be ahead of the one accepted before: no plane changes its mind so often, and
/// nobody gets to the end of the numbers in steps of this size.
pub const GENERATION_STEP_MAX: u64 = 1 << 32;
/// Generations up to this one are free to jump to: a device that lost its pointers meets a plane that is far ahead.
pub const GENERATION_FREE_MAX: u64 = 1 << 52;
/// Milliseconds before a new certificate is asked for again; doubles up to [`RENEWAL_BACKOFF_MAX_MS`], half of it random.
pub const RENEWAL_BACKOFF_MS: u64 = 20_000;
/// Milliseconds between two requests for a certificate at most: a plane that refuses is asked four times a day.
pub const RENEWAL_BACKOFF_MAX_MS: u64 = 6 * 3_600_000;
/// Milliseconds that the link is down before the certificate is suspected, whatever the clock says.
pub const RENEWAL_LINK_DOWN_MS: u64 = 10 * 60_000;
/// Bytes per second below which a source makes no progress: a satellite modem has four times as much.
pub const PROGRESS_FLOOR_BYTES_PER_S: u64 = 512;
/// Chunks asked for first, before it is known how fast the source is.
pub const WINDOW_FIRST_CHUNKS: u64 = 4;
/// Milliseconds within which what was asked for comes when twice as much may be asked for.
pub const WINDOW_FAST_MS: u64 = 2_000;
/// Milliseconds after which half as much is asked for: a control message may have to wait as long.
pub const WINDOW_SLOW_MS: u64 = 5_000;
/// Missing chunks from which on a device listens to what others are sent: fewer come as quickly alone.
pub const LISTEN_MIN_CHUNKS: u64 = 8;
/// Milliseconds within which a fleet's devices say what they miss, at random.
pub const LISTEN_JITTER_MS: u64 = 1_000;
/// Rounds of one blob before what is still missing is asked for alone.
pub const LISTEN_ROUNDS_MAX: u32 = 4;
/// Bytes of parity chunks in memory: what two stripes need.
pub const PARITY_HELD_MAX_BYTES: usize = 8 * 1024 * 1024;
