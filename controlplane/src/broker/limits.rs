//! Every bound of the embedded broker, with its unit and its reason.

/// Bytes of one MQTT packet, both ways: the wire's largest payload (192 KiB) plus headers, below
/// the 256 KiB that hosted brokers usually accept.
pub const PACKET_MAX_BYTES: usize = 256 * 1024;
/// Bytes of a CONNECT packet: a client id and a will; read before anything is known about the client's manners.
pub const CONNECT_MAX_BYTES: usize = 16 * 1024;
/// Bytes of a client id.
pub const CLIENT_ID_MAX_BYTES: usize = 128;
/// Bytes of a topic name or topic filter: the longest of ours has 3 ids of 63 bytes.
pub const TOPIC_MAX_BYTES: usize = 512;
/// Levels of a topic name or filter: ours have at most 7; bounds the recursion of the subscription tree.
pub const TOPIC_MAX_LEVELS: usize = 16;
/// User properties of one message: forwarded as they came, so they cost memory per message.
pub const USER_PROPERTIES_MAX: usize = 32;
/// Filters in one SUBSCRIBE or UNSUBSCRIBE.
pub const FILTERS_PER_REQUEST_MAX: usize = 64;

/// Connections at once; more are closed before MQTT begins.
pub const CONNECTIONS_MAX: usize = 20_000;
/// TLS handshakes under way at once. When full, the oldest one past [`HANDSHAKE_GRACE_MS`] is cut.
pub const HANDSHAKES_MAX: usize = 1_024;
/// Milliseconds in which a TLS handshake must end.
pub const HANDSHAKE_TIMEOUT_MS: u64 = 10_000;
/// Milliseconds during which no handshake is cut in favour of a newer one.
pub const HANDSHAKE_GRACE_MS: u64 = 1_000;
/// Finished handshakes waiting to be taken by the server.
pub const ACCEPT_BACKLOG: usize = 64;
/// Milliseconds between two attempts to accept after the system refused one (no more file handles).
pub const ACCEPT_RETRY_MS: u64 = 100;
/// Milliseconds from the end of the handshake to a complete CONNECT.
pub const CONNECT_TIMEOUT_MS: u64 = 10_000;
/// Milliseconds that writing to a client may stall before it is given up.
pub const WRITE_TIMEOUT_MS: u64 = 20_000;
/// Milliseconds that a stopping broker waits for its connections to say goodbye.
pub const SHUTDOWN_TIMEOUT_MS: u64 = 2_000;

/// Seconds of keep-alive granted at most; also used when a client asks for none. A vanished client is noticed after 1.5 times this.
pub const KEEP_ALIVE_MAX_S: u16 = 1_200;
/// Seconds that the session of an absent client is kept at most: a long weekend.
pub const SESSION_EXPIRY_MAX_S: u32 = 4 * 24 * 3_600;
/// Sessions, connected or kept.
pub const SESSIONS_MAX: usize = 50_000;
/// Open connections of one device certificate: the live one and those not yet known to be dead.
pub const CONNECTIONS_PER_DEVICE_MAX: usize = 4;
/// Sessions (client ids) of one device certificate.
pub const SESSIONS_PER_DEVICE_MAX: usize = 4;
/// Connections and sessions of the control plane's certificate: replicas and tools.
pub const CONNECTIONS_PER_PLANE_MAX: usize = 64;
/// Subscriptions of one device session: it needs 3.
pub const SUBSCRIPTIONS_PER_DEVICE_MAX: usize = 16;
/// Subscriptions of one control plane session.
pub const SUBSCRIPTIONS_PER_PLANE_MAX: usize = 1_024;

/// QoS 1 messages sent and not yet acknowledged, per client, however many it asks for.
pub const INFLIGHT_MAX: u16 = 64;
/// QoS 1 publishes a client may have unacknowledged, as told to it. Each is answered when it is read, so this only bounds its own buffers.
pub const RECEIVE_MAX: u16 = 64;
/// Messages waiting or unacknowledged for one connected device: a broadcast of one 8 MiB blob in 32 KiB chunks.
pub const DEVICE_QUEUE_MESSAGES: usize = 256;
/// Bytes waiting for one connected device.
pub const DEVICE_QUEUE_BYTES: usize = 10 * 1024 * 1024;
/// QoS 1 messages waiting or unacknowledged for one absent device: assignments, acknowledgements; it asks again when it comes back.
pub const OFFLINE_QUEUE_MESSAGES: usize = 64;
/// Bytes waiting for one absent device.
pub const OFFLINE_QUEUE_BYTES: usize = 512 * 1024;
/// Messages waiting or unacknowledged for one control plane session, connected or not: half a minute of 1,000 windows a second.
pub const PLANE_QUEUE_MESSAGES: usize = 32_768;
/// Bytes waiting for one control plane session.
pub const PLANE_QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// Retained messages of the whole broker: three per device at 30,000 devices, and the metadata.
pub const RETAINED_MAX: usize = 100_000;
/// Bytes of all retained messages.
pub const RETAINED_MAX_BYTES: usize = 512 * 1024 * 1024;
/// Retained messages that one device may own: one per kind of upward topic, and some.
pub const RETAINED_PER_DEVICE_MAX: usize = 8;

/// Packets handed to a connection and not yet written, above which messages wait in the session's queue.
pub const OUTBOX_PACKETS: u32 = 64;
/// The same for replies the client asked for (acknowledgements, pings): a client that asks and never reads is closed here.
pub const OUTBOX_REPLIES_MAX: u32 = 256;
/// Packets a connection writes before it reports so; less than half of [`OUTBOX_PACKETS`], so that reports never run dry.
pub const OUTBOX_REPORT: u32 = 24;
/// Requests of all connections waiting for the core; a full channel makes connections stop reading.
pub const CORE_CHANNEL: usize = 1_024;
/// Bytes that a connection gathers before one write.
pub const WRITE_BATCH_BYTES: usize = 64 * 1024;
/// Bytes of an idle connection's read buffer; it grows with the packet being read and shrinks back.
pub const READ_BUFFER_BYTES: usize = 1_024;
