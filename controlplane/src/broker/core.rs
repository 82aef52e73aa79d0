//! The broker's judgement, without sockets or clock: inputs in, outputs out.
//!
//! Time is milliseconds on any monotonic clock. The same inputs always give the same outputs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::acl::Permissions;
use super::index::{SessionId, SubscriptionIndex};
use super::lifetimes::Timer;
use super::limits::{
    CONNECT_TIMEOUT_MS, CONNECTIONS_PER_DEVICE_MAX, CONNECTIONS_PER_PLANE_MAX, OUTBOX_PACKETS, OUTBOX_REPLIES_MAX,
};
use super::packet::{ConnAck, Message, Qos, Reason, Reply, Request};
use super::retained::RetainedStore;
use super::session::{ConnId, Next, Offer, Queued, Session};
use super::stats::Stats;
use crate::ca::Identity;

/// Something that happened to the broker.
#[derive(Debug)]
pub enum Input {
    /// A connection with a verified certificate was opened; its number was never used before.
    Opened {
        /// The connection.
        conn: ConnId,
        /// Who the certificate speaks for.
        identity: Identity,
    },
    /// A request was read.
    Request {
        /// The connection.
        conn: ConnId,
        /// The request.
        request: Request,
    },
    /// Bytes were read that are no request.
    Malformed {
        /// The connection.
        conn: ConnId,
        /// What the client is told.
        reason: Reason,
    },
    /// The connection ended without a goodbye.
    Closed {
        /// The connection.
        conn: ConnId,
    },
    /// Packets sent earlier have been written.
    Written {
        /// The connection.
        conn: ConnId,
        /// How many.
        packets: u32,
    },
    /// All connections and sessions of an identity are to end: its certificate was revoked.
    Expel {
        /// The identity.
        identity: Identity,
    },
    /// A deadline may have passed.
    Tick,
    /// The broker stops: everyone is told so.
    Shutdown,
}

/// Something to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Write a reply.
    Send {
        /// The connection.
        conn: ConnId,
        /// The reply.
        reply: Reply,
    },
    /// Close the connection after everything sent before was written.
    Close {
        /// The connection.
        conn: ConnId,
    },
}

#[derive(Debug)]
pub(super) struct Conn {
    pub identity: Identity,
    pub permissions: Arc<Permissions>,
    pub session: Option<SessionId>,
    pub last_heard: u64,
    pub keep_alive_ms: u64,
    /// When its timer is due: the one for CONNECT, then the one for the keep-alive.
    pub alarm: u64,
    /// Packets sent and not yet reported as written.
    outstanding: u32,
}

#[derive(Debug)]
pub(super) struct Account {
    permissions: Arc<Permissions>,
    pub conns: VecDeque<ConnId>,
    pub sessions: VecDeque<SessionId>,
}

/// All state of the broker.
#[derive(Debug)]
pub struct Core {
    pub(super) packet_max: u32,
    pub(super) now: u64,
    pub(super) conns: BTreeMap<ConnId, Conn>,
    pub(super) sessions: BTreeMap<SessionId, Session>,
    pub(super) accounts: BTreeMap<Identity, Account>,
    pub(super) index: SubscriptionIndex,
    pub(super) retained: RetainedStore,
    pub(super) timers: BTreeSet<(u64, Timer)>,
    /// Connections to close before the current input is done with.
    doomed: VecDeque<(ConnId, Reason)>,
    pub(super) next_session: SessionId,
    pub(super) out: Vec<Output>,
    pub(super) stats: Stats,
}

impl Core {
    /// Returns a broker without connections that reads packets of up to `packet_max` bytes.
    pub fn new(packet_max: u32) -> Self {
        Self {
            packet_max,
            now: 0,
            conns: BTreeMap::new(),
            sessions: BTreeMap::new(),
            accounts: BTreeMap::new(),
            index: SubscriptionIndex::default(),
            retained: RetainedStore::default(),
            timers: BTreeSet::new(),
            doomed: VecDeque::new(),
            next_session: 1,
            out: Vec::new(),
            stats: Stats::default(),
        }
    }

    /// Takes one input at `now` milliseconds and returns what has to be done, in order.
    pub fn handle(&mut self, now: u64, input: Input) -> Vec<Output> {
        self.now = self.now.max(now);
        match input {
            Input::Opened { conn, identity } => self.opened(conn, identity),
            Input::Request { conn, request } => self.request(conn, request),
            Input::Malformed { conn, reason } => {
                if self.conns.contains_key(&conn) {
                    self.stats.malformed += 1;
                    self.refuse(conn, reason);
                }
            }
            Input::Closed { conn } => self.close(conn, None, true),
            Input::Written { conn, packets } => self.written(conn, packets),
            Input::Expel { identity } => self.expel(&identity),
            Input::Tick => {}
            Input::Shutdown => self.shutdown(),
        }
        self.fire_timers();
        self.close_doomed();
        std::mem::take(&mut self.out)
    }

    /// Returns when [`Input::Tick`] is due, in milliseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Returns counts of what is and what was.
    pub fn stats(&self) -> Stats {
        Stats {
            connections: self.conns.len(),
            sessions: self.sessions.len(),
            subscriptions: self.sessions.values().map(|s| s.subscriptions.len()).sum(),
            retained: self.retained.count(),
            pending: self.sessions.values().map(Session::pending).sum(),
            ..self.stats
        }
    }

    fn opened(&mut self, conn: ConnId, identity: Identity) {
        let account = self.accounts.entry(identity.clone()).or_insert_with(|| Account {
            permissions: Arc::new(Permissions::of(&identity)),
            conns: VecDeque::new(),
            sessions: VecDeque::new(),
        });
        let max = match identity {
            Identity::Plane => CONNECTIONS_PER_PLANE_MAX,
            Identity::Device { .. } => CONNECTIONS_PER_DEVICE_MAX,
        };
        // The oldest goes: after a network change it is the dead one.
        if account.conns.len() >= max
            && let Some(oldest) = account.conns.front()
        {
            self.doomed.push_back((*oldest, Reason::QuotaExceeded));
        }
        account.conns.push_back(conn);
        let permissions = Arc::clone(&account.permissions);
        let alarm = self.now + CONNECT_TIMEOUT_MS;
        let opened = Conn {
            identity,
            permissions,
            session: None,
            last_heard: self.now,
            keep_alive_ms: 0,
            alarm,
            outstanding: 0,
        };
        self.conns.insert(conn, opened);
        self.timers.insert((alarm, Timer::Conn(conn)));
    }

    fn request(&mut self, conn_id: ConnId, request: Request) {
        let Some(conn) = self.conns.get_mut(&conn_id) else { return };
        conn.last_heard = self.now;
        let session = conn.session;
        match (request, session) {
            (Request::Connect(connect), None) => self.connect(conn_id, *connect),
            (Request::Connect(_), Some(_)) | (_, None) => self.refuse(conn_id, Reason::ProtocolError),
            (Request::Publish(publish), Some(session)) => self.client_publish(conn_id, session, *publish),
            (Request::PubAck { id }, Some(session)) => {
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.acknowledge(id);
                }
                self.pump(session);
            }
            (Request::Subscribe { identified: true, .. }, Some(_)) => {
                self.refuse(conn_id, Reason::SubscriptionIdentifiersNotSupported);
            }
            (Request::Subscribe { id, wishes, identified: false }, Some(session)) => {
                self.subscribe(conn_id, session, id, wishes);
            }
            (Request::Unsubscribe { id, filters }, Some(session)) => self.unsubscribe(conn_id, session, id, &filters),
            (Request::Ping, Some(_)) => self.send(conn_id, Reply::Pong),
            (Request::Disconnect { with_will, session_expiry_s }, Some(session)) => {
                self.goodbye(conn_id, session, with_will, session_expiry_s);
            }
        }
    }

    fn goodbye(&mut self, conn: ConnId, session: SessionId, with_will: bool, session_expiry_s: Option<u32>) {
        if let (Some(seconds), Some(session)) = (session_expiry_s, self.sessions.get_mut(&session)) {
            // A session that was to end with its connection cannot be kept after the fact.
            if session.expiry_s == 0 && seconds != 0 {
                return self.refuse(conn, Reason::ProtocolError);
            }
            session.expiry_s = seconds.min(super::limits::SESSION_EXPIRY_MAX_S);
        }
        self.close(conn, None, with_will);
    }

    /// Sends a reply that the client asked for; a client that only asks and never reads is closed.
    pub(super) fn send(&mut self, conn_id: ConnId, reply: Reply) {
        let Some(conn) = self.conns.get_mut(&conn_id) else { return };
        conn.outstanding += 1;
        if conn.outstanding > OUTBOX_REPLIES_MAX {
            self.doomed.push_back((conn_id, Reason::QuotaExceeded));
        }
        self.out.push(Output::Send { conn: conn_id, reply });
    }

    /// Ends a connection for something the client did, and tells it the reason.
    pub(super) fn refuse(&mut self, conn: ConnId, reason: Reason) {
        let connected = self.conns.get(&conn).is_some_and(|c| c.session.is_some());
        let reply = if connected {
            Reply::Disconnect(reason)
        } else {
            Reply::ConnAck(Box::new(ConnAck { reason, session_present: false, granted: None }))
        };
        self.close(conn, Some(reply), true);
    }

    /// Ends a connection; its will is published if `with_will`.
    pub(super) fn close(&mut self, conn_id: ConnId, last: Option<Reply>, with_will: bool) {
        let Some(conn) = self.conns.remove(&conn_id) else { return };
        if let Some(reply) = last {
            self.out.push(Output::Send { conn: conn_id, reply });
        }
        self.out.push(Output::Close { conn: conn_id });
        self.timers.remove(&(conn.alarm, Timer::Conn(conn_id)));
        if let Some(account) = self.accounts.get_mut(&conn.identity) {
            account.conns.retain(|c| *c != conn_id);
        }
        match conn.session {
            Some(session) => self.leave(session, with_will),
            None => self.forget_account_if_idle(&conn.identity),
        }
    }

    /// Gives a message to everyone whose subscription matches, and keeps it if asked to.
    /// Returns [`Reason::QuotaExceeded`] when it could not be kept or the plane could not take it: publish it again later.
    pub(super) fn publish(&mut self, message: Arc<Message>, owner: &Identity, publisher: Option<SessionId>) -> Reason {
        let mut reason = Reason::Success;
        let expires_at = message.expiry_s.map(|s| self.now + u64::from(s) * 1000);
        if message.retain && self.retained.set(Arc::clone(&message), owner, expires_at).is_err() {
            self.stats.refused_retained += 1;
            reason = Reason::QuotaExceeded;
        }
        for (session_id, grant) in self.index.matching(&message.topic, publisher) {
            let Some(session) = self.sessions.get_mut(&session_id) else { continue };
            let qos = grant.qos.min(message.qos);
            let retain = grant.retain_as_published && message.retain;
            match session.offer(Queued { message: Arc::clone(&message), qos, retain, expires_at }) {
                Offer::Taken => self.pump(session_id),
                Offer::Dropped => self.stats.dropped_qos0 += u64::from(session.conn.is_some()),
                Offer::Full => match (&session.owner, session.conn) {
                    (Identity::Plane, _) => {
                        self.stats.refused_by_plane += 1;
                        reason = Reason::QuotaExceeded;
                    }
                    // One slow device must not hold up the others: it reconnects and asks for what it missed.
                    (Identity::Device { .. }, Some(conn)) => self.doomed.push_back((conn, Reason::QuotaExceeded)),
                    (Identity::Device { .. }, None) => self.stats.dropped_offline += 1,
                },
            }
        }
        reason
    }

    /// Sends what a session has waiting, as far as its connection takes it.
    pub(super) fn pump(&mut self, session_id: SessionId) {
        let Some(session) = self.sessions.get_mut(&session_id) else { return };
        let Some(conn_id) = session.conn else { return };
        let Some(conn) = self.conns.get_mut(&conn_id) else { return };
        while conn.outstanding < OUTBOX_PACKETS {
            match session.next(self.now) {
                Next::Deliver(delivery) => {
                    conn.outstanding += 1;
                    self.stats.delivered += 1;
                    self.out.push(Output::Send { conn: conn_id, reply: Reply::Deliver(delivery) });
                }
                Next::Discarded => self.stats.discarded += 1,
                Next::Nothing => break,
            }
        }
    }

    fn written(&mut self, conn_id: ConnId, packets: u32) {
        let Some(conn) = self.conns.get_mut(&conn_id) else { return };
        conn.outstanding = conn.outstanding.saturating_sub(packets);
        if let Some(session) = conn.session {
            self.pump(session);
        }
    }

    /// Each round removes a connection, so wills that doom further connections come to an end.
    fn close_doomed(&mut self) {
        while let Some((conn, reason)) = self.doomed.pop_front() {
            if self.conns.contains_key(&conn) {
                self.stats.slow_or_surplus += 1;
                self.refuse(conn, reason);
            }
        }
    }

    fn expel(&mut self, identity: &Identity) {
        let Some(account) = self.accounts.get(identity) else { return };
        let (conns, sessions) = (account.conns.clone(), account.sessions.clone());
        for conn in conns {
            self.refuse(conn, Reason::AdministrativeAction);
        }
        for session in sessions {
            self.end_session(session);
        }
    }

    fn shutdown(&mut self) {
        // A stopping broker tells nobody that its clients are gone: they are not.
        for conn in self.conns.keys().copied().collect::<Vec<_>>() {
            self.close(conn, Some(Reply::Disconnect(Reason::ServerShuttingDown)), false);
        }
    }

    /// Returns whether `qos` is one this broker offers for publishing.
    pub(super) fn offers(qos: Qos) -> bool {
        qos <= Qos::AtLeastOnce
    }
}
