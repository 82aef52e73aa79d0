//! How long things live: connections by their keep-alive, sessions by their expiry, wills by their delay.

use std::sync::Arc;

use super::core::Core;
use super::index::SessionId;
use super::packet::{Reason, Will};
use super::session::ConnId;
use crate::ca::Identity;

/// What a deadline is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A connection: for CONNECT at first, then for its keep-alive.
    Conn(ConnId),
    /// An absent client's delayed will.
    Will(SessionId),
    /// An absent client's session.
    Expiry(SessionId),
}

impl Core {
    /// Starts watching the keep-alive of a connection that has just connected.
    pub(super) fn watch(&mut self, conn_id: ConnId, keep_alive_s: u16) {
        let Some(conn) = self.conns.get_mut(&conn_id) else { return };
        self.timers.remove(&(conn.alarm, Timer::Conn(conn_id)));
        conn.keep_alive_ms = u64::from(keep_alive_s) * 1500;
        conn.alarm = conn.last_heard + conn.keep_alive_ms;
        self.timers.insert((conn.alarm, Timer::Conn(conn_id)));
    }

    pub(super) fn fire_timers(&mut self) {
        while let Some((at, timer)) = self.timers.first().copied()
            && at <= self.now
        {
            self.timers.pop_first();
            match timer {
                Timer::Conn(conn) => self.check_alive(conn),
                Timer::Will(session) => self.publish_will(session),
                Timer::Expiry(session) => self.end_session(session),
            }
        }
    }

    fn check_alive(&mut self, conn_id: ConnId) {
        let Some(conn) = self.conns.get_mut(&conn_id) else { return };
        if conn.session.is_none() {
            return self.close(conn_id, None, false);
        }
        let due = conn.last_heard + conn.keep_alive_ms;
        if due <= self.now {
            self.stats.keep_alive_timeouts += 1;
            return self.refuse(conn_id, Reason::KeepAliveTimeout);
        }
        // Heard of since: timers are moved when they fire, not with every packet.
        conn.alarm = due;
        self.timers.insert((due, Timer::Conn(conn_id)));
    }

    pub(super) fn leave(&mut self, session_id: SessionId, with_will: bool) {
        let Some(session) = self.sessions.get_mut(&session_id) else { return };
        self.stats.dropped_offline += session.detach();
        if !with_will {
            session.will = None;
        }
        if session.expiry_s == 0 {
            return self.end_session(session_id);
        }
        let expiry_at = self.now + u64::from(session.expiry_s) * 1000;
        session.expiry_at = Some(expiry_at);
        self.timers.insert((expiry_at, Timer::Expiry(session_id)));
        match &session.will {
            Some(will) if will.delay_s > 0 => {
                let will_at = self.now + u64::from(will.delay_s.min(session.expiry_s)) * 1000;
                session.will_at = Some(will_at);
                self.timers.insert((will_at, Timer::Will(session_id)));
            }
            _ => self.publish_will(session_id),
        }
    }

    /// Stops the timers of an absent client's session.
    pub(super) fn stop_timers(&mut self, session_id: SessionId) {
        let Some(session) = self.sessions.get_mut(&session_id) else { return };
        if let Some(at) = session.expiry_at.take() {
            self.timers.remove(&(at, Timer::Expiry(session_id)));
        }
        if let Some(at) = session.will_at.take() {
            self.timers.remove(&(at, Timer::Will(session_id)));
        }
    }

    fn publish_will(&mut self, session_id: SessionId) {
        let Some(session) = self.sessions.get_mut(&session_id) else { return };
        if let Some(Will { message, .. }) = session.will.take() {
            let owner = session.owner.clone();
            self.stats.wills += 1;
            self.publish(Arc::new(message), &owner, Some(session_id));
        }
    }

    /// Forgets a session and everything it subscribed; its will, if still there, is published.
    pub(super) fn end_session(&mut self, session_id: SessionId) {
        self.publish_will(session_id);
        self.stop_timers(session_id);
        let Some(session) = self.sessions.remove(&session_id) else { return };
        for filter in session.subscriptions.keys() {
            self.index.remove(filter, session_id);
        }
        if let Some(account) = self.accounts.get_mut(&session.owner) {
            account.sessions.retain(|s| *s != session_id);
        }
        self.forget_account_if_idle(&session.owner);
    }

    pub(super) fn forget_account_if_idle(&mut self, identity: &Identity) {
        if self.accounts.get(identity).is_some_and(|a| a.conns.is_empty() && a.sessions.is_empty()) {
            self.accounts.remove(identity);
        }
    }
}
