//! What each request of a client means: CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE.

use std::sync::Arc;

use super::core::Core;
use super::index::{Grant, SessionId};
use super::limits::{
    CLIENT_ID_MAX_BYTES, CONNECTIONS_PER_PLANE_MAX, KEEP_ALIVE_MAX_S, SESSION_EXPIRY_MAX_S, SESSIONS_MAX,
    SESSIONS_PER_DEVICE_MAX, SUBSCRIPTIONS_PER_DEVICE_MAX, SUBSCRIPTIONS_PER_PLANE_MAX,
};
use super::packet::{ConnAck, Connect, Granted, Publish, Qos, Reason, Reply, RetainHandling, Wish};
use super::session::{ConnId, Offer, Queued, Session};
use super::topic::{check_filter, check_name, is_shared};
use crate::ca::Identity;

impl Core {
    pub(super) fn connect(&mut self, conn: ConnId, connect: Connect) {
        if let Err(reason) = self.admit(conn, &connect) {
            self.stats.refused_connect += 1;
            return self.refuse(conn, reason);
        }
        let Some(identity) = self.conns.get(&conn).map(|c| c.identity.clone()) else { return };
        let assigned = connect.client_id.is_empty().then(|| format!("auto-{conn}"));
        let client_id = assigned.clone().unwrap_or_else(|| connect.client_id.clone());
        let (session_id, session_present) = self.session_for(&identity, client_id, connect.clean_start);

        let expiry_s = connect.session_expiry_s.min(SESSION_EXPIRY_MAX_S);
        let keep_alive_s = match connect.keep_alive_s {
            0 => KEEP_ALIVE_MAX_S,
            asked => asked.min(KEEP_ALIVE_MAX_S),
        };
        self.stop_timers(session_id);
        let Some(session) = self.sessions.get_mut(&session_id) else { return };
        session.attach(conn, connect.receive_max, connect.packet_max);
        session.expiry_s = expiry_s;
        session.will = connect.will;
        if let Some(c) = self.conns.get_mut(&conn) {
            c.session = Some(session_id);
        }
        self.watch(conn, keep_alive_s);
        let granted = Granted {
            keep_alive_s: (keep_alive_s != connect.keep_alive_s).then_some(keep_alive_s),
            session_expiry_s: (expiry_s != connect.session_expiry_s).then_some(expiry_s),
            client_id: assigned,
            packet_max: self.packet_max,
        };
        let ack = ConnAck { reason: Reason::Success, session_present, granted: Some(granted) };
        self.send(conn, Reply::ConnAck(Box::new(ack)));
        self.pump(session_id);
    }

    fn admit(&self, conn: ConnId, connect: &Connect) -> Result<(), Reason> {
        if connect.wants_authentication {
            return Err(Reason::BadAuthenticationMethod);
        }
        if connect.client_id.len() > CLIENT_ID_MAX_BYTES {
            return Err(Reason::ClientIdentifierNotValid);
        }
        let Some(conn) = self.conns.get(&conn) else { return Err(Reason::ProtocolError) };
        // Whoever has a session already may always come back to it.
        if self.sessions.len() >= SESSIONS_MAX && self.known_session(&conn.identity, &connect.client_id).is_none() {
            return Err(Reason::ServerBusy);
        }
        if let Some(will) = &connect.will {
            if !Self::offers(will.message.qos) {
                return Err(Reason::QosNotSupported);
            }
            if check_name(&will.message.topic).is_err() {
                return Err(Reason::TopicNameInvalid);
            }
            if !conn.permissions.may_publish(&will.message.topic) {
                return Err(Reason::NotAuthorized);
            }
        }
        Ok(())
    }

    fn known_session(&self, identity: &Identity, client_id: &str) -> Option<SessionId> {
        let sessions = &self.accounts.get(identity)?.sessions;
        sessions.iter().copied().find(|s| self.sessions.get(s).is_some_and(|s| s.client_id == client_id))
    }

    /// Returns the session of this identity and client id, and whether it goes on from an earlier
    /// connection. An identity never reaches another's session, whatever client id it claims.
    fn session_for(&mut self, identity: &Identity, client_id: String, clean_start: bool) -> (SessionId, bool) {
        if let Some(session_id) = self.known_session(identity, &client_id)
            && let Some(old) = self.sessions.get_mut(&session_id)
        {
            // A delayed will is not due when the client itself is back with its session.
            if !clean_start && old.expiry_s > 0 && old.will.as_ref().is_some_and(|w| w.delay_s > 0) {
                old.will = None;
            }
            if let Some(previous) = old.conn {
                self.stats.takeovers += 1;
                self.close(previous, Some(Reply::Disconnect(Reason::SessionTakenOver)), true);
            }
        }
        // The takeover may have ended the session.
        match self.known_session(identity, &client_id) {
            Some(session_id) if !clean_start => return (session_id, true),
            Some(session_id) => self.end_session(session_id),
            None => {}
        }
        self.make_room(identity);
        let session_id = self.next_session;
        self.next_session += 1;
        self.sessions.insert(session_id, Session::new(identity.clone(), client_id));
        if let Some(account) = self.accounts.get_mut(identity) {
            account.sessions.push_back(session_id);
        }
        (session_id, false)
    }

    /// Ends the identity's oldest session when it has as many as it may: it can only crowd out itself.
    fn make_room(&mut self, identity: &Identity) {
        let max = match identity {
            Identity::Plane => CONNECTIONS_PER_PLANE_MAX,
            Identity::Device { .. } => SESSIONS_PER_DEVICE_MAX,
        };
        let Some(account) = self.accounts.get(identity) else { return };
        if account.sessions.len() < max {
            return;
        }
        let absent = |s: &SessionId| self.sessions.get(s).is_some_and(|s| s.conn.is_none());
        let oldest = account.sessions.iter().copied().find(absent).or_else(|| account.sessions.front().copied());
        if let Some(oldest) = oldest {
            if let Some(conn) = self.sessions.get(&oldest).and_then(|s| s.conn) {
                self.refuse(conn, Reason::QuotaExceeded);
            }
            self.end_session(oldest);
        }
    }

    pub(super) fn client_publish(&mut self, conn_id: ConnId, session: SessionId, publish: Publish) {
        let Publish { message, id, aliased } = publish;
        if aliased {
            return self.refuse(conn_id, Reason::TopicAliasInvalid);
        }
        if !Self::offers(message.qos) {
            return self.refuse(conn_id, Reason::QosNotSupported);
        }
        if check_name(&message.topic).is_err() {
            return self.refuse(conn_id, Reason::TopicNameInvalid);
        }
        let Some(conn) = self.conns.get(&conn_id) else { return };
        let reason = if conn.permissions.may_publish(&message.topic) {
            let owner = conn.identity.clone();
            self.stats.published += 1;
            self.publish(Arc::new(message), &owner, Some(session))
        } else {
            self.stats.refused_publish += 1;
            Reason::NotAuthorized
        };
        if id != 0 {
            self.send(conn_id, Reply::PubAck { id, reason });
        }
    }

    pub(super) fn subscribe(&mut self, conn: ConnId, session: SessionId, id: u16, wishes: Vec<Wish>) {
        let mut reasons = Vec::with_capacity(wishes.len());
        let mut retained_wanted = Vec::new();
        for wish in wishes {
            match self.grant(conn, session, &wish) {
                Ok((grant, is_new)) => {
                    reasons.push(if grant.qos == Qos::AtMostOnce { Reason::Success } else { Reason::GrantedQos1 });
                    let wanted = match wish.retain_handling {
                        RetainHandling::Always => true,
                        RetainHandling::IfNew => is_new,
                        RetainHandling::Never => false,
                    };
                    if wanted {
                        retained_wanted.push((wish.filter, grant));
                    }
                }
                Err(reason) => {
                    self.stats.refused_subscribe += 1;
                    reasons.push(reason);
                }
            }
        }
        self.send(conn, Reply::SubAck { id, reasons });
        for (filter, grant) in retained_wanted {
            self.send_retained(session, &filter, grant);
        }
    }

    fn grant(&mut self, conn: ConnId, session_id: SessionId, wish: &Wish) -> Result<(Grant, bool), Reason> {
        if is_shared(&wish.filter) {
            return Err(Reason::SharedSubscriptionsNotSupported);
        }
        if check_filter(&wish.filter).is_err() {
            return Err(Reason::TopicFilterInvalid);
        }
        if !self.conns.get(&conn).is_some_and(|c| c.permissions.may_subscribe(&wish.filter)) {
            return Err(Reason::NotAuthorized);
        }
        let session = self.sessions.get_mut(&session_id).ok_or(Reason::ProtocolError)?;
        let max = match session.owner {
            Identity::Plane => SUBSCRIPTIONS_PER_PLANE_MAX,
            Identity::Device { .. } => SUBSCRIPTIONS_PER_DEVICE_MAX,
        };
        let is_new = !session.subscriptions.contains_key(&wish.filter);
        if is_new && session.subscriptions.len() >= max {
            return Err(Reason::QuotaExceeded);
        }
        let grant = Grant {
            qos: wish.qos.min(Qos::AtLeastOnce),
            no_local: wish.no_local,
            retain_as_published: wish.retain_as_published,
        };
        session.subscriptions.insert(wish.filter.clone(), grant);
        self.index.insert(&wish.filter, session_id, grant);
        Ok((grant, is_new))
    }

    fn send_retained(&mut self, session_id: SessionId, filter: &str, grant: Grant) {
        for kept in self.retained.matching(filter, self.now) {
            let Some(session) = self.sessions.get_mut(&session_id) else { return };
            let qos = grant.qos.min(kept.message.qos);
            match session.offer(Queued { message: kept.message, qos, retain: true, expires_at: kept.expires_at }) {
                Offer::Taken => self.pump(session_id),
                // It asked for more than it may have waiting; it can subscribe again, more narrowly.
                Offer::Dropped | Offer::Full => self.stats.discarded += 1,
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, conn: ConnId, session_id: SessionId, id: u16, filters: &[String]) {
        let Some(session) = self.sessions.get_mut(&session_id) else { return };
        let mut reasons = Vec::with_capacity(filters.len());
        for filter in filters {
            if session.subscriptions.remove(filter).is_some() {
                self.index.remove(filter, session_id);
                reasons.push(Reason::Success);
            } else {
                reasons.push(Reason::NoSubscriptionExisted);
            }
        }
        self.send(conn, Reply::UnsubAck { id, reasons });
    }
}
