//! Every bound that the wire knows, with its unit and its reason.

/// Bytes in an identifier: fits a topic level, a file name and a certificate's common name.
pub const ID_MAX_BYTES: usize = 63;
/// Bytes of one MQTT payload we send or accept; above the 10 KB default of rumqttc, below brokers' usual 256 KiB.
pub const PAYLOAD_MAX_BYTES: usize = 192 * 1024;
/// Nesting of a CBOR document: ours need 6.
pub const CBOR_MAX_DEPTH: usize = 12;
/// Items in a CBOR document, so that a small input cannot ask for a large allocation.
pub const CBOR_MAX_ITEMS: usize = 65_536;
/// Bytes of one chunk: a lost MQTT message costs little, a hash list stays short.
pub const CHUNK_BYTES: u64 = 32 * 1024;
/// Bytes of one chunk in blobs of [`LARGE_BLOB_BYTES`] and more.
pub const CHUNK_LARGE_BYTES: u64 = 128 * 1024;
/// Bytes from which a blob uses large chunks: the digests of 1,200 chunks fit into a manifest, so of 150 MB.
pub const LARGE_BLOB_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes of a manifest: it is one TUF target and one or two messages.
pub const MANIFEST_MAX_BYTES: usize = 64 * 1024;
/// Blobs in one bundle: variants, profile, golden vectors, card, provenance, signatures.
pub const MANIFEST_MAX_BLOBS: usize = 64;
/// Features of one model: the profile counts each of them on the device.
pub const MANIFEST_MAX_FEATURES: usize = 512;
/// Classes of one classifier.
pub const MANIFEST_MAX_CLASSES: usize = 256;
/// Bytes of one blob; a device profile sets a lower bound for its class.
pub const BLOB_MAX_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// Chunks asked for in one request: one in-flight window on a slow link.
pub const WANT_MAX_CHUNKS: usize = 16;
/// Bytes of one window on the wire.
pub const WINDOW_MAX_BYTES: usize = 96 * 1024;
/// Windows above the watermark that the plane remembers per device and epoch; the agent sends no further ahead.
pub const WINDOW_MAX_AHEAD: u64 = 256;
/// Ledger epochs remembered per device: each re-join makes one.
pub const EPOCHS_MAX: usize = 8;
/// Bytes of a reason or other free text in a message.
pub const TEXT_MAX_BYTES: usize = 1024;
/// Log lines in one up/log message.
pub const LOG_MAX_LINES: usize = 64;
/// Bytes of all lines that one command collects: half of a message, with its frame.
pub const DIAGNOSTICS_MAX_BYTES: usize = 96 * 1024;
/// Lines that one command collects.
pub const DIAGNOSTICS_MAX_LINES: usize = 2048;
/// Seconds for which a command may be good: an operator waits for its answer.
pub const COMMAND_LIFE_MAX_S: u64 = 24 * 3600;
/// Labels of one device.
pub const LABELS_MAX: usize = 32;
/// Chunks of one blob: what [`BLOB_MAX_BYTES`] makes in even pieces, and as many more for cuts at tensors.
pub const BLOB_MAX_CHUNKS: u64 = 32 * 1024;
/// Data chunks of one stripe of parity: making up for lost ones takes 8 MiB of memory with chunks of [`CHUNK_BYTES`].
pub const STRIPE_CHUNKS: u64 = 128;
/// One parity chunk for so many data chunks: one lost message in twenty is made up for without asking.
pub const PARITY_PART: u64 = 10;
/// Chunks from which on a blob has parity: fewer are asked for as quickly.
pub const PARITY_MIN_CHUNKS: u64 = 8;
/// Bytes of a patch: its chunk digests travel with the assignment, 5.6 KB for as many.
pub const PATCH_MAX_BYTES: u64 = 4 * 1024 * 1024;
/// Patches offered with one assignment: one for each variant that can change.
pub const PATCH_OFFERS_MAX: usize = 8;
