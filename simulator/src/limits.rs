//! Every bound of the simulator, with its unit and its reason.

/// Events of one run: a hundred thousand devices for a day are some hundred million; beyond, something never becomes
/// quiet.
pub const EVENTS_MAX: u64 = 1_000_000_000;
/// Verdicts of real signatures that are remembered: a few per release and device fault.
pub const SIGNATURES_REMEMBERED: usize = 65_536;
/// Manifests that are kept as they were read: one for each release of a run.
pub const MANIFESTS_REMEMBERED: usize = 256;
/// Devices of one run: some 50 KB each.
pub const DEVICES_MAX: u32 = 250_000;
/// Virtual hours of one run at most.
pub const HOURS_MAX: u32 = 24 * 365;
/// Hours of chaos at most; the rest heals.
pub const CHAOS_HOURS_MAX: u64 = 8;
/// Lines of each story that are kept for a failure.
pub const STORY_LINES: usize = 20;
/// Last lines of a story among which a repeated one is looked for.
pub const REPEATS_AMONG: usize = 4;
/// Bytes of one line of a story.
pub const LINE_MAX_BYTES: usize = 240;
/// Old director messages of one device that a hostile broker remembers.
pub const HOSTILE_MEMORY: usize = 8;
/// Messages that the plane takes in with one commit.
pub const PLANE_BATCH: usize = 32;
/// Boundaries that a fuse may let pass before the power goes.
pub const FUSE_BOUNDARIES: u64 = 14;
/// Milliseconds after which a fuse blows even though nothing was being done.
pub const FUSE_MS: u64 = 120_000;
/// Turns of one device without progress in the same millisecond: beyond, it is spinning.
pub const SPINS_MAX: u32 = 64;
/// Times a person starts a good rollout again after it was aborted by bad luck.
pub const RETRIES_MAX: u32 = 6;
/// Times a person resumes a rollout that nobody answers before giving it up.
pub const RESUMES_MAX: u32 = 2;
/// Milliseconds between two looks at whether everything has settled.
pub const AUDIT_MS: u64 = 10 * 60_000;
/// Devices from which on some window is on its way at every instant, so that the last one of each has time to arrive.
pub const LARGE_FLEET: usize = 100;
/// Virtual milliseconds that it has: two times until a window is sent again.
pub const GRACE_MS: u64 = 2 * 60_000;
/// Faults of one plan.
pub const FAULTS_MAX: u64 = 20_000;
/// Bytes of a case that are read: a plan of twenty thousand faults.
pub const CASE_MAX_BYTES: usize = 16 << 20;
/// Bytes of an oversized message of a hostile broker: above what a device takes.
pub const FLOOD_BYTES: usize = 300_000;
/// Choices that a script enumerates in one history; later ones take the first way.
pub const SCRIPT_CHOICES_MAX: usize = 6;
/// Messages that a device may publish within an hour: windows in flight that nobody acknowledges are sent again each
/// minute.
pub const PUBLISHED_PER_HOUR_MAX: u64 = 4_000;
/// Requests that a device may make within an hour: a bundle in ranges, and back-offs.
pub const GETS_PER_HOUR_MAX: u64 = 1_500;
/// Windows that may wait in a ledger: the outbox's bound and the one being added.
pub const LEDGER_MAX_WINDOWS: usize = 1_025;
/// Bytes that a ledger may have: the outbox, the state, metadata of one family.
pub const LEDGER_MAX_BYTES: usize = 8 << 20;
/// Intervals of statistics within which a planted change must be found: three of four must show it, a slow one grows.
pub const DRIFT_INTERVALS_MAX: u64 = 9;
/// Rows an hour below which drift cannot be judged: an interval needs two hundred.
pub const DRIFT_ROWS_MIN: u64 = 300;
/// Points of a timeline, and decisions: what a page can draw.
pub const TIMELINE_POINTS: usize = 20_000;
/// Violations of a sweep that are told.
pub const FAILURES_KEPT: usize = 10;
/// Rollouts of good bundles from which on a sweep judges how many were taken back.
pub const FALSE_ROLLBACK_MIN: u64 = 200;
/// Good bundles that gates may take back in fleets full of trouble, per mille of their rollouts.
pub const FALSE_ROLLBACK_PERMILLE_MAX: u64 = 50;
/// Runs that shrinking a case may take.
pub const SHRINK_RUNS_MAX: u32 = 600;
/// Boundaries of a recovery at which a second end is tried: what comes after looks like the first life again.
pub const RECOVERY_BOUNDARIES: u64 = 40;
/// Violations of enumerated histories that are told.
pub const CRASH_FAILURES_KEPT: usize = 10;
/// Entries of a timeline that a page shows.
pub const PAGE_MOMENTS: usize = 2_000;
/// Bytes of a scenario that are read.
pub const SCENARIO_MAX_BYTES: usize = 256 * 1024;
/// Groups of a scenario's fleet.
pub const GROUPS_MAX: usize = 64;
/// Expectations of a scenario.
pub const EXPECTATIONS_MAX: usize = 64;
/// Messages that may wait for the plane, as in the embedded broker.
pub const PLANE_QUEUE_MESSAGES: usize = 32_768;
