//! Every bound of a light fleet, with its unit and its reason.
use std::time::Duration;

/// Devices of one process: what the embedded broker takes, and what file handles allow.
pub const DEVICES_MAX: u32 = 20_000;
/// Joins under way at once: enough to keep the plane busy, few enough that none waits for its time limit.
pub const JOINS_AT_ONCE: usize = 32;
/// Attempts to join one device; the request is the same each time, so a lost answer costs no invitation.
pub const JOIN_TRIES: u32 = 3;
/// Milliseconds between two attempts to join.
pub const JOIN_AGAIN_MS: u64 = 500;
/// Milliseconds between two batches of devices that begin to connect.
pub const PACE_MS: u64 = 20;
/// Longest wait until every device has connected once; those that have not go on trying.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(300);
/// Time between two looks at the counters while something is awaited.
pub const LOOK: Duration = Duration::from_millis(100);
/// Time between two lines on what the fleet does.
pub const LINE_EVERY: Duration = Duration::from_secs(5);
/// Longest wait at the end for windows that are not acknowledged: twice the time after which they are sent again.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(60);
/// Longest wait for the devices' tasks to end.
pub const STOP_LIMIT: Duration = Duration::from_secs(5);

/// File handles of the process besides those of devices: runtime, terminal, operator's requests, joins.
pub const FILES_BESIDES: u64 = 256;
/// File handles of one device: one connection to the broker; beside it one to the device address while the broker
/// does not give what is asked for, which is rare.
pub const FILES_PER_DEVICE: u64 = 1;

/// Messages that may wait for one device.
pub const DEVICE_CHANNEL: usize = 32;
/// Finished requests that may wait for one device; the core asks for one at a time.
pub const FETCH_CHANNEL: usize = 4;
/// Slot results taken in before other events of the device have their turn.
pub const WORK_PER_TURN: usize = 64;
/// Milliseconds until a device without any deadline wakes up.
pub const IDLE_MAX_MS: u64 = 60_000;
/// Seconds between two reports at least.
pub const HEARTBEAT_MIN_S: u64 = 1;

/// Bundles kept in memory that no device holds any more; a rollback needs the one before.
pub const BUNDLES_IDLE_MAX: usize = 4;
/// Bytes of one bundle that a device takes: what the smallest hardware class does.
pub const BUNDLE_MAX_BYTES: u64 = 256 * 1024 * 1024;
/// Memory a model may take, MiB, as devices say of themselves; nothing is ever loaded.
pub const MODEL_MEMORY_MIB: u32 = 512;

/// Time between two looks at a trial.
pub const TRIAL_LOOK: Duration = Duration::from_millis(1_000);
/// Inferences of a trial between two looks: an application that asks a hundred times a second.
pub const TRIAL_INFERENCES: u64 = 100;
/// Latency that trials tell, microseconds: below every sensible policy.
pub const TRIAL_P95_US: u64 = 900;
/// Latencies that windows count, microseconds: at least and at most.
pub const LATENCY_US: (u64, u64) = (200, 2_000);
/// Rows of one window at most: drawing them must not hold up the other devices.
pub const ROWS_MAX: u32 = 100_000;

/// Bytes of the file with identities, for each device: certificate and key in PEM take about 1.3 kB.
pub const MEMBER_MAX_BYTES: u64 = 8 * 1024;
