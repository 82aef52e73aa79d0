//! Every bound of the simulator, with its unit and its reason.

/// Events of one run: a thousand devices for a day are ten million; beyond, something never becomes quiet.
pub const EVENTS_MAX: u64 = 100_000_000;
/// Verdicts of real signatures that are remembered: a few per release and device fault.
pub const SIGNATURES_REMEMBERED: usize = 65_536;
/// Devices of one run: about 1 MB of virtual disk each.
pub const DEVICES_MAX: u32 = 10_000;
/// Virtual hours of one run at least: chaos for a third, then long enough for every deadline of the policy.
pub const HOURS_MIN: u32 = 6;
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
/// Messages that a broker keeps for a client that is away; the oldest goes first.
pub const SESSION_MESSAGES: usize = 64;
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
