//! Counts of what the broker holds and what it has done.

/// A snapshot of the broker's counts. The first five are current, the others only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Open connections with a verified certificate.
    pub connections: usize,
    /// Sessions, connected or kept.
    pub sessions: usize,
    /// Subscriptions of all sessions.
    pub subscriptions: usize,
    /// Retained messages.
    pub retained: usize,
    /// Messages waiting or not yet acknowledged by clients.
    pub pending: usize,
    /// Messages accepted from clients.
    pub published: u64,
    /// Messages handed to connections.
    pub delivered: u64,
    /// Wills published.
    pub wills: u64,
    /// Publishes refused by the access rules.
    pub refused_publish: u64,
    /// Subscriptions refused by the access rules.
    pub refused_subscribe: u64,
    /// CONNECTs refused.
    pub refused_connect: u64,
    /// Retained messages refused because a bound was reached.
    pub refused_retained: u64,
    /// Messages refused because the control plane's own queue was full.
    pub refused_by_plane: u64,
    /// QoS 0 messages dropped because a connected client's queue was full.
    pub dropped_qos0: u64,
    /// QoS 1 messages dropped because an absent client's queue was full.
    pub dropped_offline: u64,
    /// Messages discarded because they expired or were larger than the client reads.
    pub discarded: u64,
    /// Connections closed because they read too slowly or one certificate had too many.
    pub slow_or_surplus: u64,
    /// Connections closed because nothing was heard in time.
    pub keep_alive_timeouts: u64,
    /// Connections closed because of what they sent.
    pub malformed: u64,
    /// Sessions taken over by a newer connection.
    pub takeovers: u64,
}
