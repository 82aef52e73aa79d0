//! The broker's judgement on a hand-turned clock.

use super::core::{Core, Input, Output};
use super::limits::{
    CONNECT_TIMEOUT_MS, CONNECTIONS_PER_DEVICE_MAX, DEVICE_QUEUE_MESSAGES, INFLIGHT_MAX, KEEP_ALIVE_MAX_S,
    OFFLINE_QUEUE_MESSAGES, OUTBOX_PACKETS, OUTBOX_REPLIES_MAX, PACKET_MAX_BYTES, PLANE_QUEUE_MESSAGES,
    SESSION_EXPIRY_MAX_S, SESSIONS_PER_DEVICE_MAX, SUBSCRIPTIONS_PER_DEVICE_MAX,
};
use super::{
    ConnAck, ConnId, Connect, Delivery, Message, Payload, Publish, Qos, Reason, Reply, Request, RetainHandling, Stats,
    Will, Wish,
};
use crate::ca::Identity;
use pinnace_protocol::ids::{DeviceId, TenantId};
use proptest::prelude::*;

pub(super) fn device(tenant: &str, device: &str) -> Identity {
    Identity::Device { tenant: TenantId::parse(tenant).unwrap(), device: DeviceId::parse(device).unwrap() }
}

fn message(topic: &str, payload: &str, qos: Qos) -> Message {
    let payload = Payload::from(payload.as_bytes());
    Message { topic: topic.into(), payload, qos, retain: false, expiry_s: None, forwarded: None }
}

fn connect(client_id: &str) -> Connect {
    Connect {
        client_id: client_id.into(),
        clean_start: true,
        keep_alive_s: 60,
        session_expiry_s: 0,
        receive_max: u16::MAX,
        packet_max: None,
        wants_authentication: false,
        will: None,
    }
}

/// A core, a clock, and the outputs seen so far; written packets are reported at once unless a connection is stuck.
struct Bench {
    core: Core,
    now: u64,
    next: ConnId,
    stuck: Vec<ConnId>,
}

impl Bench {
    fn new() -> Self {
        Self { core: Core::new(PACKET_MAX_BYTES as u32), now: 0, next: 1, stuck: Vec::new() }
    }

    fn feed(&mut self, input: Input) -> Vec<Output> {
        let mut all = self.core.handle(self.now, input);
        let mut reported = 0;
        while reported < all.len() {
            let conn = match &all[reported] {
                Output::Send { conn, .. } => Some(*conn),
                Output::Close { .. } => None,
            };
            reported += 1;
            if let Some(conn) = conn.filter(|c| !self.stuck.contains(c)) {
                all.extend(self.core.handle(self.now, Input::Written { conn, packets: 1 }));
            }
        }
        all
    }

    fn pass(&mut self, ms: u64) -> Vec<Output> {
        self.now += ms;
        self.feed(Input::Tick)
    }

    fn open(&mut self, identity: &Identity) -> ConnId {
        let conn = self.next;
        self.next += 1;
        self.feed(Input::Opened { conn, identity: identity.clone() });
        conn
    }

    fn ask(&mut self, conn: ConnId, request: Request) -> Vec<Output> {
        self.feed(Input::Request { conn, request })
    }

    fn enter(&mut self, identity: &Identity, connect: Connect) -> (ConnId, ConnAck, Vec<Output>) {
        let conn = self.open(identity);
        let outputs = self.ask(conn, Request::Connect(Box::new(connect)));
        let ack = outputs.iter().find_map(|o| match o {
            Output::Send { conn: c, reply: Reply::ConnAck(ack) } if *c == conn => Some((**ack).clone()),
            _ => None,
        });
        (conn, ack.expect("a CONNACK"), outputs)
    }

    fn client(&mut self, identity: &Identity) -> ConnId {
        let (conn, ack, _) = self.enter(identity, connect("c"));
        assert_eq!(ack.reason, Reason::Success);
        conn
    }

    fn subscribe(&mut self, conn: ConnId, filter: &str, qos: Qos) -> (Reason, Vec<Output>) {
        let retain_handling = RetainHandling::Always;
        let wish = Wish { filter: filter.into(), qos, no_local: false, retain_as_published: false, retain_handling };
        let outputs = self.ask(conn, Request::Subscribe { id: 1, wishes: vec![wish], identified: false });
        let reason = outputs.iter().find_map(|o| match o {
            Output::Send { reply: Reply::SubAck { reasons, .. }, .. } => reasons.first().copied(),
            _ => None,
        });
        (reason.expect("a SUBACK"), outputs)
    }

    fn publish(&mut self, conn: ConnId, message: Message) -> Vec<Output> {
        let id = if message.qos == Qos::AtMostOnce { 0 } else { 9 };
        self.ask(conn, Request::Publish(Box::new(Publish { message, id, aliased: false })))
    }

    fn stats(&self) -> Stats {
        self.core.stats()
    }
}

fn deliveries(outputs: &[Output], to: ConnId) -> Vec<&Delivery> {
    let to = move |o| match o {
        &Output::Send { conn, reply: Reply::Deliver(ref d) } if conn == to => Some(d),
        _ => None,
    };
    outputs.iter().filter_map(to).collect()
}

fn payloads(outputs: &[Output], to: ConnId) -> Vec<String> {
    let text = |d: &Delivery| String::from_utf8_lossy(d.message.payload.as_slice()).into_owned();
    deliveries(outputs, to).into_iter().map(text).collect()
}

fn goodbye(outputs: &[Output], to: ConnId) -> Option<Reason> {
    let closed = outputs.contains(&Output::Close { conn: to });
    let reason = outputs.iter().find_map(|o| match o {
        Output::Send { conn, reply: Reply::Disconnect(reason) } if *conn == to => Some(*reason),
        _ => None,
    });
    assert_eq!(closed, reason.is_some(), "a goodbye comes with closing");
    reason
}

fn puback(outputs: &[Output]) -> Option<Reason> {
    outputs.iter().find_map(|o| match o {
        Output::Send { reply: Reply::PubAck { reason, .. }, .. } => Some(*reason),
        _ => None,
    })
}

const DOWN: &str = "pn/v1/acme/d/d1/down/chunk";
const UP: &str = "pn/v1/acme/d/d1/up/hello";

#[test]
fn a_message_reaches_whom_it_concerns_and_nobody_else() {
    let mut b = Bench::new();
    let plane = b.client(&Identity::Plane);
    let (d1, d2, twin) = (device("acme", "d1"), device("acme", "d2"), device("other", "d1"));
    let (c1, c2, c3) = (b.client(&d1), b.client(&d2), b.client(&twin));
    assert_eq!(b.subscribe(plane, "pn/v1/+/d/+/up/#", Qos::AtLeastOnce).0, Reason::GrantedQos1);
    assert_eq!(b.subscribe(c1, "pn/v1/acme/d/d1/down/#", Qos::ExactlyOnce).0, Reason::GrantedQos1);
    assert_eq!(b.subscribe(c2, "pn/v1/acme/d/d2/down/#", Qos::AtMostOnce).0, Reason::Success);
    assert_eq!(b.subscribe(c3, "pn/v1/other/d/d1/down/#", Qos::AtMostOnce).0, Reason::Success);
    let out = b.publish(plane, message(DOWN, "x", Qos::AtLeastOnce));
    assert_eq!((puback(&out), payloads(&out, c1)), (Some(Reason::Success), vec!["x".to_owned()]));
    assert!(deliveries(&out, c2).is_empty() && deliveries(&out, c3).is_empty());
    let out = b.publish(c1, message(UP, "hello", Qos::AtLeastOnce));
    assert_eq!(payloads(&out, plane), ["hello"]);
    let out = b.publish(c2, message(UP, "spoof", Qos::AtLeastOnce));
    assert_eq!((puback(&out), payloads(&out, plane).len()), (Some(Reason::NotAuthorized), 0));
    let out = b.publish(c2, message(UP, "spoof", Qos::AtMostOnce));
    assert!(out.is_empty(), "refused without a word");
    assert_eq!(b.stats().refused_publish, 2);
}

#[test]
fn the_same_client_id_of_another_certificate_takes_nothing_over() {
    let mut b = Bench::new();
    let one = b.client(&device("acme", "d1"));
    let (_, _, out) = b.enter(&device("other", "d1"), connect("c"));
    assert_eq!(goodbye(&out, one), None);
    let (_, _, out) = b.enter(&device("acme", "d1"), connect("c"));
    assert_eq!(goodbye(&out, one), Some(Reason::SessionTakenOver));
    assert_eq!((b.stats().takeovers, b.stats().connections), (1, 2));
}

#[test]
fn a_kept_session_goes_on_where_it_was() {
    let mut b = Bench::new();
    let plane = b.client(&Identity::Plane);
    let me = device("acme", "d1");
    let kept = Connect { session_expiry_s: 100, clean_start: false, receive_max: 2, ..connect("c") };
    let (c, ack, _) = b.enter(&me, kept.clone());
    assert!(!ack.session_present);
    b.subscribe(c, "pn/v1/acme/d/d1/down/#", Qos::AtLeastOnce);
    let mut sent = Vec::new();
    for n in 0..4 {
        sent.extend(b.publish(plane, message(DOWN, &n.to_string(), Qos::AtLeastOnce)));
    }
    assert_eq!(payloads(&sent, c), ["0", "1"], "two may be unacknowledged");
    let first = deliveries(&sent, c)[0].id;
    let out = b.ask(c, Request::PubAck { id: first });
    assert_eq!(payloads(&out, c), ["2"]);
    b.publish(plane, message(DOWN, "lost", Qos::AtMostOnce));
    b.feed(Input::Closed { conn: c });
    b.publish(plane, message(DOWN, "4", Qos::AtLeastOnce));
    b.publish(plane, message(DOWN, "lost too", Qos::AtMostOnce));
    let (c, ack, mut out) = b.enter(&me, kept.clone());
    assert!(ack.session_present);
    assert_eq!(payloads(&out, c), ["1", "2"]);
    assert!(deliveries(&out, c).iter().all(|d| d.duplicate));
    let ids: Vec<u16> = deliveries(&out, c).iter().map(|d| d.id).collect();
    for id in ids {
        out = b.ask(c, Request::PubAck { id });
        assert!(deliveries(&out, c).iter().all(|d| !d.duplicate && d.id != 0));
    }
    assert_eq!(payloads(&out, c), ["4"]);
    b.feed(Input::Closed { conn: c });
    let (_, ack, out) = b.enter(&me, Connect { clean_start: true, ..kept });
    assert!(!ack.session_present && out.iter().all(|o| !matches!(o, Output::Send { reply: Reply::Deliver(_), .. })));
    assert_eq!(b.stats().subscriptions, 0, "clean start forgets");
}

#[test]
fn sessions_end_when_they_expire_and_no_later_than_the_bound() {
    let mut b = Bench::new();
    let me = device("acme", "d1");
    let (c, ack, _) = b.enter(&me, Connect { session_expiry_s: u32::MAX, ..connect("c") });
    assert_eq!(ack.granted.unwrap().session_expiry_s, Some(SESSION_EXPIRY_MAX_S));
    b.feed(Input::Closed { conn: c });
    b.pass(u64::from(SESSION_EXPIRY_MAX_S) * 1000 - 1);
    assert_eq!(b.stats().sessions, 1);
    b.pass(1);
    assert_eq!((b.stats().sessions, b.core.next_deadline()), (0, None));
    // A goodbye may shorten it, and must not lengthen one that was to end with the connection.
    let (c, _, _) = b.enter(&me, Connect { session_expiry_s: 50, ..connect("c") });
    b.ask(c, Request::Disconnect { with_will: false, session_expiry_s: Some(0) });
    assert_eq!(b.stats().sessions, 0);
    let c = b.client(&me);
    let out = b.ask(c, Request::Disconnect { with_will: false, session_expiry_s: Some(9) });
    assert_eq!(goodbye(&out, c), Some(Reason::ProtocolError));
}

fn with_will(delay_s: u32, session_expiry_s: u32) -> Connect {
    let will = Will { message: message("pn/v1/acme/d/d1/up/report", "gone", Qos::AtLeastOnce), delay_s };
    Connect { will: Some(will), session_expiry_s, clean_start: false, ..connect("c") }
}

#[test]
fn a_will_is_published_when_a_client_goes_without_goodbye() {
    let me = device("acme", "d1");
    let mut b = Bench::new();
    let plane = b.client(&Identity::Plane);
    b.subscribe(plane, "pn/v1/#", Qos::AtLeastOnce);
    let (c, _, _) = b.enter(&me, with_will(0, 0));
    let out = b.feed(Input::Closed { conn: c });
    assert_eq!(payloads(&out, plane), ["gone"]);
    let (c, _, _) = b.enter(&me, with_will(0, 0));
    let out = b.ask(c, Request::Disconnect { with_will: false, session_expiry_s: None });
    assert!(payloads(&out, plane).is_empty());
    let (c, _, _) = b.enter(&me, with_will(0, 0));
    let out = b.ask(c, Request::Disconnect { with_will: true, session_expiry_s: None });
    assert_eq!(payloads(&out, plane), ["gone"]);
    // Delayed: not when the client comes back, once when it does not, at the latest with its session.
    let (c, _, _) = b.enter(&me, with_will(10, 60));
    assert!(payloads(&b.feed(Input::Closed { conn: c }), plane).is_empty());
    b.pass(9_999);
    let (c, ack, _) = b.enter(&me, with_will(10, 60));
    assert!(ack.session_present);
    assert!(payloads(&b.pass(50_000), plane).is_empty());
    b.feed(Input::Closed { conn: c });
    assert_eq!(payloads(&b.pass(10_000), plane), ["gone"]);
    let (c, _, _) = b.enter(&me, with_will(1_000, 5));
    b.feed(Input::Closed { conn: c });
    assert_eq!(payloads(&b.pass(5_000), plane), ["gone"]);
    assert_eq!(b.stats().wills, 4);
}

#[test]
fn a_will_obeys_the_access_rules() {
    let mut b = Bench::new();
    for topic in ["pn/v1/acme/d/d2/up/hello", "pn/v1/acme/d/d1/down/director", "pn/v1/other/d/d1/up/hello", "x"] {
        let will = Will { message: message(topic, "evil", Qos::AtMostOnce), delay_s: 0 };
        let (_, ack, out) = b.enter(&device("acme", "d1"), Connect { will: Some(will), ..connect("c") });
        assert_eq!(ack.reason, Reason::NotAuthorized, "{topic}");
        assert!(matches!(out.last(), Some(Output::Close { .. })));
    }
    for topic in ["pn/v1/acme/d/d1/up/#", "pn/v1/acme/d/+/up/hello", ""] {
        let will = Will { message: message(topic, "evil", Qos::AtMostOnce), delay_s: 0 };
        let (_, ack, _) = b.enter(&device("acme", "d1"), Connect { will: Some(will), ..connect("c") });
        assert_eq!(ack.reason, Reason::TopicNameInvalid, "{topic}");
    }
    assert_eq!((b.stats().connections, b.stats().sessions, b.stats().wills), (0, 0, 0));
}

#[test]
fn silence_ends_a_connection() {
    let mut b = Bench::new();
    let me = device("acme", "d1");
    let silent = b.open(&me);
    let out = b.pass(CONNECT_TIMEOUT_MS);
    assert_eq!(out, [Output::Close { conn: silent }]);
    let c = b.client(&me);
    b.pass(80_000);
    assert_eq!(b.ask(c, Request::Ping), [Output::Send { conn: c, reply: Reply::Pong }]);
    assert!(b.pass(89_999).is_empty(), "heard of 90 s ago at most");
    assert_eq!(goodbye(&b.pass(1), c), Some(Reason::KeepAliveTimeout));
    let (c, ack, _) = b.enter(&me, Connect { keep_alive_s: 0, ..connect("c") });
    assert_eq!(ack.granted.unwrap().keep_alive_s, Some(KEEP_ALIVE_MAX_S));
    assert_eq!(goodbye(&b.pass(u64::from(KEEP_ALIVE_MAX_S) * 1500), c), Some(Reason::KeepAliveTimeout));
    assert_eq!(b.core.next_deadline(), None);
}

#[test]
fn a_slow_device_harms_only_itself() {
    let mut b = Bench::new();
    let plane = b.client(&Identity::Plane);
    let (slow, quick) = (b.client(&device("acme", "d1")), b.client(&device("acme", "d2")));
    for c in [slow, quick] {
        b.subscribe(c, "pn/v1/acme/blob/#", Qos::AtLeastOnce);
    }
    b.stuck.push(slow);
    let room = OUTBOX_PACKETS as usize + DEVICE_QUEUE_MESSAGES;
    let (mut to_slow, mut to_quick) = (0, 0);
    for n in 0..2 * room {
        let out = b.publish(plane, message("pn/v1/acme/blob/x/c", &n.to_string(), Qos::AtMostOnce));
        to_slow += deliveries(&out, slow).len();
        to_quick += deliveries(&out, quick).len();
    }
    // Two of its packets were the answers to CONNECT and SUBSCRIBE, reported before it got stuck.
    assert_eq!((to_slow, to_quick), (OUTBOX_PACKETS as usize, 2 * room));
    assert_eq!(b.stats().dropped_qos0 as usize, room);
    let out = b.publish(plane, message("pn/v1/acme/blob/x/c", "must", Qos::AtLeastOnce));
    assert_eq!(goodbye(&out, slow), Some(Reason::QuotaExceeded));
    assert_eq!((puback(&out), payloads(&out, quick)), (Some(Reason::Success), vec!["must".to_owned()]));
}

#[test]
fn a_plane_that_cannot_keep_up_slows_the_senders() {
    let mut b = Bench::new();
    let plane = b.client(&Identity::Plane);
    b.subscribe(plane, "pn/v1/+/d/+/up/#", Qos::AtLeastOnce);
    let c = b.client(&device("acme", "d1"));
    let mut refused = 0;
    for _ in 0..PLANE_QUEUE_MESSAGES + 5 {
        let out = b.publish(c, message(UP, "w", Qos::AtLeastOnce));
        refused += usize::from(puback(&out) == Some(Reason::QuotaExceeded));
    }
    assert_eq!((refused, b.stats().refused_by_plane, b.stats().connections), (5, 5, 2));
}

#[test]
fn what_waits_for_an_absent_device_is_bounded() {
    let mut b = Bench::new();
    let plane = b.client(&Identity::Plane);
    let kept = Connect { session_expiry_s: 100, clean_start: false, ..connect("c") };
    let (c, _, _) = b.enter(&device("acme", "d1"), kept.clone());
    b.subscribe(c, "pn/v1/acme/d/d1/down/#", Qos::AtLeastOnce);
    b.stuck.push(c);
    for n in 0..OFFLINE_QUEUE_MESSAGES + 10 {
        b.publish(plane, message(DOWN, &n.to_string(), Qos::AtLeastOnce));
    }
    b.feed(Input::Closed { conn: c });
    assert_eq!((b.stats().pending, b.stats().dropped_offline), (OFFLINE_QUEUE_MESSAGES, 10));
    let out = b.publish(plane, message(DOWN, "more", Qos::AtLeastOnce));
    assert_eq!((puback(&out), b.stats().dropped_offline), (Some(Reason::Success), 11));
    let (c, _, out) = b.enter(&device("acme", "d1"), kept);
    assert_eq!(payloads(&out, c).len(), OFFLINE_QUEUE_MESSAGES.min(usize::from(INFLIGHT_MAX)));
}

#[test]
fn retained_messages_are_sent_as_the_subscriber_asks() {
    let mut b = Bench::new();
    let plane = b.client(&Identity::Plane);
    for (topic, expiry_s) in
        [("pn/v1/acme/tuf/root", None), ("pn/v1/acme/tuf/timestamp", Some(10)), ("pn/v1/other/tuf/root", None)]
    {
        b.publish(plane, Message { retain: true, expiry_s, ..message(topic, topic, Qos::AtLeastOnce) });
    }
    let c = b.client(&device("acme", "d1"));
    b.now += 4_000;
    let (_, out) = b.subscribe(c, "pn/v1/acme/tuf/#", Qos::AtLeastOnce);
    let got: Vec<_> = deliveries(&out, c).iter().map(|d| (d.message.topic.as_str(), d.retain, d.expiry_s)).collect();
    assert_eq!(got, [("pn/v1/acme/tuf/root", true, None), ("pn/v1/acme/tuf/timestamp", true, Some(6))]);
    let again = |b: &mut Bench, retain_handling, retain_as_published| {
        let filter = "pn/v1/acme/tuf/#".to_owned();
        let wish = Wish { filter, qos: Qos::AtMostOnce, no_local: false, retain_as_published, retain_handling };
        let out = b.ask(c, Request::Subscribe { id: 2, wishes: vec![wish], identified: false });
        deliveries(&out, c).len()
    };
    assert_eq!(again(&mut b, RetainHandling::Never, false), 0);
    assert_eq!(again(&mut b, RetainHandling::IfNew, false), 0, "it is not new");
    b.now += 6_000;
    assert_eq!(again(&mut b, RetainHandling::Always, true), 1, "the other has expired");
    let out = b.publish(plane, Message { retain: true, ..message("pn/v1/acme/tuf/root", "2", Qos::AtLeastOnce) });
    assert!(deliveries(&out, c)[0].retain && deliveries(&out, c)[0].id == 0, "as published, with the granted QoS");
    assert_eq!(b.stats().retained, 2);
}

#[test]
fn a_message_that_expired_or_is_too_large_for_a_client_is_not_sent() {
    let mut b = Bench::new();
    let plane = b.client(&Identity::Plane);
    let (c, _, _) = b.enter(&device("acme", "d1"), Connect { receive_max: 1, packet_max: Some(100), ..connect("c") });
    b.subscribe(c, "pn/v1/acme/d/d1/down/#", Qos::AtLeastOnce);
    let out = b.publish(plane, message(DOWN, "0", Qos::AtLeastOnce));
    let id = deliveries(&out, c)[0].id;
    b.publish(plane, Message { expiry_s: Some(5), ..message(DOWN, "stale", Qos::AtLeastOnce) });
    b.publish(plane, message(DOWN, &"large".repeat(50), Qos::AtLeastOnce));
    b.publish(plane, Message { expiry_s: Some(50), ..message(DOWN, "good", Qos::AtLeastOnce) });
    b.now += 5_000;
    let out = b.ask(c, Request::PubAck { id });
    assert_eq!(payloads(&out, c), ["good"]);
    assert_eq!((deliveries(&out, c)[0].expiry_s, b.stats().discarded), (Some(45), 2));
}

#[test]
fn what_is_not_offered_is_refused_with_its_reason() {
    let me = device("acme", "d1");
    let mut b = Bench::new();
    let c = b.client(&me);
    for filter in ["$share/g/pn/v1/acme/tuf/#", "$queue/pn/v1/acme/tuf/#"] {
        assert_eq!(b.subscribe(c, filter, Qos::AtLeastOnce).0, Reason::SharedSubscriptionsNotSupported);
    }
    assert_eq!(b.subscribe(c, "pn/v1/acme/#/x", Qos::AtLeastOnce).0, Reason::TopicFilterInvalid);
    assert_eq!(b.subscribe(c, "#", Qos::AtLeastOnce).0, Reason::NotAuthorized);
    for n in 0..SUBSCRIPTIONS_PER_DEVICE_MAX {
        assert_eq!(b.subscribe(c, &format!("pn/v1/acme/blob/{n}/c"), Qos::AtLeastOnce).0, Reason::GrantedQos1);
    }
    assert_eq!(b.subscribe(c, "pn/v1/acme/blob/more/c", Qos::AtLeastOnce).0, Reason::QuotaExceeded);
    assert_eq!(b.subscribe(c, "pn/v1/acme/blob/0/c", Qos::AtMostOnce).0, Reason::Success, "changing one is allowed");

    let refused = |b: &mut Bench, request: Request| {
        let c = b.client(&device("acme", "d9"));
        let out = b.ask(c, request);
        goodbye(&out, c)
    };
    let publish = |topic: &str, qos, aliased| {
        Request::Publish(Box::new(Publish { message: message(topic, "", qos), id: 1, aliased }))
    };
    let wish = Wish {
        filter: "pn/v1/acme/tuf/#".into(),
        qos: Qos::AtMostOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Always,
    };
    assert_eq!(refused(&mut b, publish(UP, Qos::AtLeastOnce, true)), Some(Reason::TopicAliasInvalid));
    assert_eq!(refused(&mut b, publish(UP, Qos::ExactlyOnce, false)), Some(Reason::QosNotSupported));
    assert_eq!(refused(&mut b, publish("a/+", Qos::AtLeastOnce, false)), Some(Reason::TopicNameInvalid));
    let identified = Request::Subscribe { id: 1, wishes: vec![wish], identified: true };
    assert_eq!(refused(&mut b, identified), Some(Reason::SubscriptionIdentifiersNotSupported));
    assert_eq!(refused(&mut b, Request::Connect(Box::new(connect("c")))), Some(Reason::ProtocolError));

    let refused = |b: &mut Bench, connect| b.enter(&me, connect).1.reason;
    assert_eq!(
        refused(&mut b, Connect { wants_authentication: true, ..connect("c") }),
        Reason::BadAuthenticationMethod
    );
    assert_eq!(refused(&mut b, connect(&"c".repeat(500))), Reason::ClientIdentifierNotValid);
    let mut will = with_will(0, 0);
    if let Some(w) = &mut will.will {
        w.message.qos = Qos::ExactlyOnce;
    }
    assert_eq!(refused(&mut b, will), Reason::QosNotSupported);
    let (_, ack, _) = b.enter(&me, connect(""));
    assert!(ack.granted.unwrap().client_id.is_some_and(|id| !id.is_empty()));
}

#[test]
fn one_certificate_can_crowd_out_only_itself() {
    let mut b = Bench::new();
    let (me, other) = (device("acme", "d1"), device("acme", "d2"));
    let bystander = b.client(&other);
    let mut conns = Vec::new();
    for _ in 0..CONNECTIONS_PER_DEVICE_MAX + 2 {
        conns.push(b.open(&me));
    }
    assert_eq!(b.stats().connections, CONNECTIONS_PER_DEVICE_MAX + 1);
    for n in 0..3 * SESSIONS_PER_DEVICE_MAX {
        let (c, ack, _) = b.enter(&me, Connect { session_expiry_s: 1_000, ..connect(&n.to_string()) });
        assert_eq!(ack.reason, Reason::Success);
        b.feed(Input::Closed { conn: c });
    }
    assert_eq!(b.stats().sessions, SESSIONS_PER_DEVICE_MAX + 1);
    assert_eq!(b.ask(bystander, Request::Ping).len(), 1, "it never noticed");
    b.feed(Input::Expel { identity: me.clone() });
    assert_eq!((b.stats().sessions, b.stats().connections, b.core.accounts.contains_key(&me)), (1, 1, false));
}

#[test]
fn a_client_that_asks_and_never_reads_is_closed() {
    let mut b = Bench::new();
    let c = b.client(&device("acme", "d1"));
    b.stuck.push(c);
    let asked = (0..).find(|_| goodbye(&b.ask(c, Request::Ping), c) == Some(Reason::QuotaExceeded));
    assert_eq!(asked, Some(OUTBOX_REPLIES_MAX));
}

#[test]
fn stopping_says_goodbye_and_publishes_no_will() {
    let mut b = Bench::new();
    let (c, _, _) = b.enter(&device("acme", "d1"), with_will(0, 0));
    let out = b.feed(Input::Shutdown);
    assert_eq!((goodbye(&out, c), b.stats().wills), (Some(Reason::ServerShuttingDown), 0));
}

fn arbitrary_topic() -> impl Strategy<Value = String> {
    let level = proptest::sample::select(vec!["pn", "v1", "acme", "d", "d1", "d2", "up", "down", "tuf", "+", "#", "x"]);
    prop_oneof![
        proptest::sample::select(vec![
            UP,
            DOWN,
            "pn/v1/acme/tuf/root",
            "pn/v1/acme/d/d1/down/#",
            "pn/v1/acme/tuf/#",
            "pn/v1/#"
        ])
        .prop_map(str::to_owned),
        proptest::collection::vec(level, 1..7).prop_map(|l| l.join("/")),
    ]
}

fn arbitrary_message() -> impl Strategy<Value = Message> {
    let qos = proptest::sample::select(vec![Qos::AtMostOnce, Qos::AtLeastOnce, Qos::AtLeastOnce, Qos::ExactlyOnce]);
    (arbitrary_topic(), "[ab]{0,3}", qos, any::<bool>(), proptest::option::of(0_u32..20)).prop_map(
        |(topic, payload, qos, retain, expiry_s)| Message { retain, expiry_s, ..message(&topic, &payload, qos) },
    )
}

#[derive(Debug, Clone)]
enum Step {
    Open(u8),
    Ask(u64, Request),
    Close(u64),
    Written(u64, u32),
    Pass(u64),
    Expel(u8),
}

fn arbitrary_request() -> impl Strategy<Value = Request> {
    let will =
        proptest::option::of((arbitrary_message(), 0_u32..20).prop_map(|(message, delay_s)| Will { message, delay_s }));
    let connects = ("[ab]?", any::<bool>(), 0_u16..30, 0_u32..60, 0_u16..3, will).prop_map(
        |(id, clean_start, keep_alive_s, session_expiry_s, receive_max, will)| {
            Request::Connect(Box::new(Connect {
                clean_start,
                keep_alive_s,
                session_expiry_s,
                receive_max,
                will,
                ..connect(&id)
            }))
        },
    );
    let wish = (arbitrary_topic(), any::<bool>(), any::<bool>()).prop_map(|(filter, no_local, retain_as_published)| {
        Wish { filter, qos: Qos::AtLeastOnce, no_local, retain_as_published, retain_handling: RetainHandling::Always }
    });
    prop_oneof![
        3 => connects,
        4 => (arbitrary_message(), 1_u16..9).prop_map(|(message, id)| Request::Publish(Box::new(Publish { message, id, aliased: false }))),
        3 => proptest::collection::vec(wish, 1..4).prop_map(|wishes| Request::Subscribe { id: 1, wishes, identified: false }),
        1 => arbitrary_topic().prop_map(|f| Request::Unsubscribe { id: 1, filters: vec![f] }),
        2 => (1_u16..9).prop_map(|id| Request::PubAck { id }),
        1 => (any::<bool>(), proptest::option::of(0_u32..9)).prop_map(|(with_will, session_expiry_s)| Request::Disconnect { with_will, session_expiry_s }),
        1 => Just(Request::Ping),
    ]
}

fn arbitrary_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0_u8..3).prop_map(Step::Open),
        12 => (1_u64..12, arbitrary_request()).prop_map(|(c, r)| Step::Ask(c, r)),
        2 => (1_u64..12).prop_map(Step::Close),
        3 => (1_u64..12, 0_u32..9).prop_map(|(c, n)| Step::Written(c, n)),
        2 => (0_u64..40_000).prop_map(Step::Pass),
        1 => (0_u8..3).prop_map(Step::Expel),
    ]
}

proptest! {
    /// Whatever clients do: nobody receives what its certificate does not allow, nothing is sent to who
    /// is gone, and when all have left and time has passed nothing but retained messages remains.
    #[test]
    fn no_sequence_of_requests_breaks_the_rules(steps in proptest::collection::vec(arbitrary_step(), 1..120)) {
        let who = [Identity::Plane, device("acme", "d1"), device("acme", "d2")];
        let mut core = Core::new(PACKET_MAX_BYTES as u32);
        let (mut now, mut next) = (0, 1);
        let mut open: std::collections::BTreeMap<ConnId, Identity> = std::collections::BTreeMap::new();
        for step in steps {
            let input = match step {
                Step::Open(n) => {
                    open.insert(next, who[usize::from(n)].clone());
                    next += 1;
                    Input::Opened { conn: next - 1, identity: who[usize::from(n)].clone() }
                }
                Step::Ask(conn, request) => Input::Request { conn, request },
                Step::Close(conn) => Input::Closed { conn },
                Step::Written(conn, packets) => Input::Written { conn, packets },
                Step::Pass(ms) => { now += ms; Input::Tick }
                Step::Expel(n) => Input::Expel { identity: who[usize::from(n)].clone() },
            };
            for output in core.handle(now, input) {
                match output {
                    Output::Send { conn, reply } => {
                        let identity = open.get(&conn);
                        prop_assert!(identity.is_some(), "sent to {conn} after it was closed");
                        if let (Some(identity), Reply::Deliver(d)) = (identity, reply) {
                            let allowed = super::Permissions::of(identity).may_subscribe(&d.message.topic);
                            prop_assert!(allowed, "{} received {}", identity, d.message.topic);
                            prop_assert!(d.message.qos <= Qos::AtLeastOnce);
                        }
                    }
                    Output::Close { conn } => prop_assert!(open.remove(&conn).is_some()),
                }
            }
            prop_assert_eq!(core.stats().connections, open.len());
            prop_assert!(core.next_deadline().is_none_or(|at| at > now));
        }
        for conn in open.into_keys() {
            core.handle(now, Input::Closed { conn });
        }
        core.handle(now + 1_000 * u64::from(SESSION_EXPIRY_MAX_S), Input::Tick);
        let left = core.stats();
        prop_assert_eq!((left.connections, left.sessions, left.subscriptions, left.pending), (0, 0, 0, 0));
        prop_assert!(core.accounts.is_empty() && core.next_deadline().is_none() && core.index.matching(UP, None).is_empty());
    }
}
