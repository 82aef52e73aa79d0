//! Every bound of the control plane's shell, with its unit and its reason. The broker's own are in `broker::limits`.

/// Events waiting for the driver; a full channel makes the link stop reading, so that the broker keeps the rest.
pub const DRIVER_CHANNEL: usize = 1_024;
/// Requests of the API waiting for the driver.
pub const DRIVER_REQUESTS: usize = 64;
/// Events that one transaction takes in: one fsync is shared, and an answer never waits for more than this.
pub const BATCH_EVENTS: usize = 256;
/// Milliseconds between two attempts to write after the disk refused one.
pub const COMMIT_RETRY_MS: u64 = 500;
/// Attempts to write one batch before the plane gives up and stops: a full disk needs a person.
pub const COMMIT_RETRIES_MAX: u32 = 10;
/// Milliseconds between two rebuilt snapshots of the views under load: a dashboard needs no more.
pub const VIEWS_INTERVAL_MS: u64 = 200;
/// Milliseconds the driver sleeps at most when the steward names no deadline.
pub const IDLE_TICK_MS: u64 = 60_000;

/// Messages from devices that the broker may have on the way to us unacknowledged (MQTT receive maximum).
pub const LINK_RECEIVE_MAX: u16 = 512;
/// Messages to devices on the way to the broker unacknowledged.
pub const LINK_INFLIGHT_MAX: u16 = 64;
/// Requests handed to the MQTT client and not yet taken by it.
pub const LINK_REQUESTS: usize = 64;
/// Control messages that may be handed to the client and not yet acknowledged by the broker: both bounds above, and the
/// one being handed over. They are sent again when the broker forgot our session.
pub const CONTROL_IN_FLIGHT: usize = LINK_INFLIGHT_MAX as usize + LINK_REQUESTS + 1;
/// Bytes of one MQTT packet: the largest payload and its headers.
pub const LINK_PACKET_MAX_BYTES: u32 = pinnace_protocol::limits::PAYLOAD_MAX_BYTES as u32 + 4 * 1024;
/// Seconds between keep-alive pings.
pub const LINK_KEEP_ALIVE_S: u64 = 30;
/// Milliseconds before the first attempt to connect again; doubles up to [`LINK_BACKOFF_MAX_MS`], half of it random.
pub const LINK_BACKOFF_MIN_MS: u64 = 100;
/// Milliseconds between attempts to connect at most.
pub const LINK_BACKOFF_MAX_MS: u64 = 15_000;
/// Seconds the broker keeps our session: a restart of the plane finds the messages of that time.
pub const LINK_SESSION_S: u32 = 24 * 3_600;

/// Frames waiting for one device: four full requests; a device asks again for what was dropped.
pub const FRAMES_PER_DEVICE: usize = 64;
/// Devices with waiting frames; a request beyond is dropped, the device asks again.
pub const FRAME_DEVICES_MAX: usize = 4_096;
/// Bytes a second of frames to all devices: leaves room for control messages on a 1 Gbit/s link.
pub const FRAMES_BYTES_PER_S: u64 = 32 * 1024 * 1024;
/// Bytes of frames that may be sent at once after a pause.
pub const FRAMES_BURST_BYTES: u64 = 4 * 1024 * 1024;
/// Devices with a waiting director or acknowledgement: newest wins per device, so this bounds the memory.
pub const CONTROL_DEVICES_MAX: usize = 100_000;

/// Bytes of a JSON request to the API.
pub const API_BODY_MAX_BYTES: usize = 1024 * 1024;
/// Bytes of a release request: two metadata files and a manifest in base64.
pub const RELEASE_BODY_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of a request to join or renew.
pub const JOIN_BODY_MAX_BYTES: usize = 16 * 1024;
/// Seconds that a request may take, uploads apart.
pub const REQUEST_TIMEOUT_S: u64 = 30;
/// Seconds that an upload may take.
pub const UPLOAD_TIMEOUT_S: u64 = 3_600;
/// Items of one page.
pub const PAGE_MAX: usize = 1_000;
/// Items of a page when none is named.
pub const PAGE_DEFAULT: usize = 100;
/// Events that wait for one slow listener of the event stream; it is cut and asks again by Last-Event-ID.
pub const EVENT_STREAM_BUFFER: usize = 256;
/// Seconds between signs of life on an idle event stream.
pub const EVENT_KEEP_ALIVE_S: u64 = 15;
/// Listeners of the event stream.
pub const EVENT_STREAMS_MAX: usize = 64;
/// Uploads written at once.
pub const UPLOADS_MAX: usize = 4;
/// Seconds in which a client must have sent the head of a request.
pub const HEADER_TIMEOUT_S: u64 = 15;
/// Bytes of the head of a request, and of what is read ahead.
pub const HEADERS_MAX_BYTES: usize = 32 * 1024;
/// Connections of devices to the device API at once.
pub const HTTPS_CONNECTIONS_MAX: usize = 1_024;
/// Connections of operators at once.
pub const HTTP_CONNECTIONS_MAX: usize = 256;

/// Seconds a join token lives.
pub const TOKEN_LIFE_S: u64 = 24 * 3_600;
/// Seconds a join token may be asked to live.
pub const TOKEN_LIFE_MAX_S: u64 = 90 * 24 * 3_600;
/// Tokens alive at once.
pub const TOKENS_MAX: i64 = 10_000;
/// Seconds in which a device must answer a challenge for a new certificate.
pub const CHALLENGE_LIFE_S: u64 = 300;
/// Challenges answered within that time, kept so that none is answered twice: every device of the largest fleet once.
pub const CHALLENGES_USED_MAX: usize = 32_768;
/// Devices that one invitation may admit.
pub const TOKEN_USES_MAX: u64 = 10_000;
/// Names on one invitation's list: as JSON within [`API_BODY_MAX_BYTES`].
pub const TOKEN_NAMES_MAX: usize = 10_000;
/// Names on the lists of all invitations together.
pub const LISTED_NAMES_MAX: i64 = 100_000;
/// Digits of an invitation's id, which is the beginning of the hash of its secret.
pub const TOKEN_ID_DIGITS: usize = 16;
/// Trust anchors of makers of devices.
pub const VENDOR_ANCHORS_MAX: usize = 16;
/// Serial numbers on the list of those that may join by their maker's certificate.
pub const VENDOR_SERIALS_MAX: usize = 100_000;
/// Characters of a device's serial number.
pub const SERIAL_MAX_CHARS: usize = 64;
/// Devices of one plane.
pub const DEVICES_MAX: i64 = 30_000;

/// Seconds that image-repository roots live in a development key set.
pub const ROOT_LIFE_S: u64 = 365 * 24 * 3_600;
/// Seconds that top-level targets live.
pub const TARGETS_LIFE_S: u64 = 365 * 24 * 3_600;
/// Seconds that a family's metadata lives.
pub const FAMILY_LIFE_S: u64 = 90 * 24 * 3_600;
/// Seconds that a snapshot lives.
pub const SNAPSHOT_LIFE_S: u64 = 14 * 24 * 3_600;
/// Seconds that a timestamp lives.
pub const TIMESTAMP_LIFE_S: u64 = 3 * 24 * 3_600;
/// Seconds that a director's metadata lives.
pub const DIRECTOR_LIFE_S: u64 = 3 * 24 * 3_600;
/// Versions of each metadata document kept: a device that is in the middle of a refresh still finds what it began with.
pub const METADATA_VERSIONS_KEPT: u64 = 8;
/// A document is signed anew when less than this part of its life is left: one third.
pub const REFRESH_PART: u64 = 3;
/// What the plane renews by itself is a worry when less than this part of its life is left: the renewal is overdue.
pub const WARN_PART_ONLINE: u64 = 6;
/// Milliseconds between two looks at the expiry of online metadata.
pub const REFRESH_CHECK_MS: u64 = 10 * 60 * 1_000;

/// Bytes of one temporary upload buffer.
pub const COPY_BUFFER_BYTES: usize = 64 * 1024;
/// Bytes of a blob range answered to one HTTP request without a Range header: the whole blob is streamed in pieces of this.
pub const RANGE_PIECE_BYTES: usize = 256 * 1024;
/// Milliseconds the plane waits for its tasks when it stops.
pub const SHUTDOWN_TIMEOUT_MS: u64 = 5_000;

/// Bytes of a draft: two targets documents and those they follow.
pub const DRAFT_MAX_BYTES: usize = 24 * 1024 * 1024;
/// Documents of one draft: a root and its targets, or targets and one family.
pub const DRAFT_DOCUMENTS_MAX: usize = 4;
/// Bytes of a file of detached signatures.
pub const SIGNATURE_FILE_MAX_BYTES: usize = 64 * 1024;
/// Bytes of a key file, secret or public.
pub const KEY_FILE_MAX_BYTES: u64 = 4 * 1024;
/// Key files looked at in one directory.
pub const KEY_FILES_MAX: usize = 256;
/// Keys of one role: 3 of 5 is usual for real fleets.
pub const ROLE_KEYS_MAX: usize = 32;
/// Changes of one kind that are named one by one when a draft is put in words; the rest is counted.
pub const WORDS_LISTED_MAX: usize = 20;
/// Roots of one repository: a device follows this many in one refresh.
pub const ROOTS_MAX: u64 = pinnace_protocol::trust::limits::ROOT_ROTATIONS_MAX as u64;
/// Seconds between this clock and another one that are nobody's fault.
pub const CLOCK_SKEW_S: u64 = 60;
/// Certificates of one device that have not ended: a device whose every answer is lost asks four times a day.
pub const CERTIFICATES_PER_DEVICE_MAX: u64 = 128;
/// Older bundles of a family from which patches to a new one are made.
pub const PATCH_BASES_MAX: usize = 4;
/// Bytes of a blob that patches are made for: old and new one are in memory together.
pub const PATCH_BLOB_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of chunk digests in the patches of one assignment: with the roots of a ceremony beside them, the director's
/// message stays below its bound.
pub const PATCH_DIGESTS_MAX_BYTES: usize = 12 * 1024;
/// Pairs of bundles whose patches are remembered.
pub const PATCH_PAIRS_MAX: usize = 16 * 1024;
/// Bytes of the file that lists the patches of one pair.
pub const PATCH_FILE_MAX_BYTES: u64 = 256 * 1024;
/// Seconds that publishing waits for patches: then devices are offered them as soon as they are there.
pub const PATCH_WAIT_S: u64 = 20;
/// Devices whose last command and its answer are remembered.
pub const COMMANDS_MAX: usize = 10_000;
/// Devices whose collected diagnostics are kept in memory, each at most 96 KiB.
pub const DIAGNOSTICS_MAX: usize = 64;
/// Seconds for which a command is good when nobody says otherwise: the device may be offline for a while.
pub const COMMAND_LIFE_S: u64 = 3600;
