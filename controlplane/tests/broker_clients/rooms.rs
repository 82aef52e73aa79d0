//! A device reads and writes in its own rooms and nowhere else, in whatever spelling, on both brokers.
//!
//! What counts is what arrives. Behind each attempt comes a message that does arrive, so that nothing is waited for in
//! vain, and every list holds allowed topics too, so that silence cannot pass for safety.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::mosquitto::Mosquitto;
use super::raw::{Gone, Hello, Message, Raw, Say, short_property, text_property};
use super::spellings::{
    WRITABLE, filters, is_readable, is_writable, names, neighbours, scheme, strange_filters, strange_names,
};
use super::support::{Papers, World};

/// Filters of one SUBSCRIBE: the embedded broker grants a device 16, and one is for the last message.
const FILTERS_AT_ONCE: usize = 15;
/// Where the last message for d1 goes: it is always subscribed.
const LAST_DOWN: &str = "pn/v1/acme/d/d1/down/last";
/// Not authorized.
const NOT_AUTHORIZED: u8 = 0x87;
/// Shared subscriptions not supported.
const NOT_SHARED: u8 = 0x9e;

/// A broker under test.
struct Place {
    name: &'static str,
    address: SocketAddr,
    /// Ours tells at once what it refuses; Mosquitto only does not deliver.
    is_strict: bool,
    /// The name of a client that may read all there is, where there is such a one.
    witness: Option<&'static str>,
    w: World,
    _mosquitto: Option<(Mosquitto, tempfile::TempDir)>,
}

impl Place {
    async fn both() -> [Self; 2] {
        let (w, other) = (World::new().await, World::new().await);
        let dir = tempfile::tempdir().unwrap();
        // A witness that sees more than even the plane; Mosquitto's own devices cannot be called so.
        let rules = "\nuser witness\ntopic read #\ntopic read $SYS/#\ntopic read $CONTROL/#\ntopic read $share/#\n";
        let mosquitto = Mosquitto::start_with(dir.path(), &other.authority, rules, |config| config).await;
        [
            Self { name: "embedded", address: w.address(), is_strict: true, witness: None, w, _mosquitto: None },
            Self {
                name: "mosquitto",
                address: mosquitto.address,
                is_strict: false,
                witness: Some("witness"),
                w: other,
                _mosquitto: Some((mosquitto, dir)),
            },
        ]
    }

    async fn enter(&self, papers: &Papers, hello: &Hello) -> Result<(Raw, bool), Gone> {
        Raw::connect(self.address, self.w.authority.certificate_pem(), papers, hello).await
    }

    async fn client(&self, client_id: &str, papers: &Papers) -> Raw {
        self.enter(papers, &Hello::new(client_id)).await.expect("it is let in").0
    }

    async fn plane(&self) -> Raw {
        self.client("plane", &self.w.plane_papers()).await
    }

    /// Returns whoever sees most: subscribed to all of it.
    async fn witness(&self) -> Raw {
        match self.witness {
            Some(name) => {
                let mut witness = self.client(name, &self.w.device_papers("acme", name)).await;
                witness.subscribe(&["#", "$SYS/#", "$CONTROL/#", "$share/#"]).await.unwrap();
                witness
            }
            None => {
                let mut plane = self.client("witness", &self.w.plane_papers()).await;
                assert_eq!(plane.subscribe(&["pn/v1/#"]).await.unwrap(), [1]);
                plane
            }
        }
    }
}

/// Everything the plane can say, once more with each round.
fn probes() -> Vec<String> {
    scheme().into_iter().chain(neighbours()).collect()
}

/// Says everything, then the last word; returns what the device got before that.
async fn round(plane: &mut Raw, device: &mut Raw, probes: &[String], number: u64) -> Result<Vec<Message>, Gone> {
    let last = format!("last {number}");
    let said = async {
        plane.publish_all(probes, "probe", false).await;
        plane.publish_all(&[LAST_DOWN.to_owned()], &last, false).await;
    };
    tokio::join!(said, device.messages_until(LAST_DOWN, &last)).1
}

fn topics(messages: &[Message]) -> BTreeSet<String> {
    messages.iter().map(|m| m.topic.clone()).collect()
}

fn check_read(place: &Place, seen: &[Message], filters: &dyn std::fmt::Debug) {
    for message in seen {
        assert!(is_readable(&message.topic), "{}: {message:?} came through one of {filters:?}", place.name);
    }
}

/// Starts the plane and d1, with one message kept for every topic.
async fn ready_to_read(place: &Place, probes: &[String]) -> (Raw, Raw) {
    let mut plane = place.plane().await;
    plane.publish_all(probes, "kept", true).await;
    let mut d1 = place.client("d1", &place.w.device_papers("acme", "d1")).await;
    assert_eq!(d1.subscribe(&[LAST_DOWN]).await.unwrap(), [1]);
    (plane, d1)
}

#[tokio::test]
async fn no_filter_brings_a_device_what_is_not_its_own() {
    let (all, probes) = (filters(), probes());
    for place in Place::both().await {
        let (mut plane, mut d1) = ready_to_read(&place, &probes).await;
        // Its own rooms bring all that is in them, kept and new: without this, the rest would mean nothing.
        let own: Vec<String> = super::spellings::READABLE.map(|room| format!("{room}/#")).into();
        assert_eq!(d1.subscribe(&own).await.unwrap(), [1, 1, 1]);
        let seen = round(&mut plane, &mut d1, &probes, 0).await.unwrap();
        let readable: BTreeSet<String> = probes.iter().filter(|topic| is_readable(topic)).cloned().collect();
        for payload in ["kept", "probe"] {
            let seen: Vec<Message> = seen.iter().filter(|m| m.payload == payload).cloned().collect();
            assert_eq!(topics(&seen), readable, "{}: {payload}", place.name);
        }
        d1.unsubscribe(&own).await.unwrap();

        let mut granted = 0;
        for (number, filters) in (1_u64..).zip(all.chunks(FILTERS_AT_ONCE)) {
            let codes = d1.subscribe(filters).await.unwrap();
            for (filter, code) in filters.iter().zip(codes) {
                let wanted = match () {
                    () if filter.starts_with("$share/") => NOT_SHARED,
                    () if is_readable(filter) => 1,
                    () => NOT_AUTHORIZED,
                };
                granted += usize::from(code < 0x80);
                assert!(!place.is_strict || code == wanted, "{}: {filter} got {code:#x}", place.name);
            }
            let seen = round(&mut plane, &mut d1, &probes, number).await.unwrap();
            check_read(&place, &seen, &filters);
            d1.unsubscribe(filters).await.unwrap();
        }
        assert!(granted > 0 && all.len() > 4_000, "{}: {granted} of {}", place.name, all.len());
    }
}

#[tokio::test]
async fn no_strange_filter_brings_a_device_anything_either() {
    let probes = probes();
    for place in Place::both().await {
        let (mut plane, first) = ready_to_read(&place, &probes).await;
        drop(first);
        let papers = place.w.device_papers("acme", "d1");
        let mut closed = 0;
        for (number, filter) in (1_u64..).zip(strange_filters()) {
            let shown = String::from_utf8_lossy(&filter[..filter.len().min(80)]).into_owned();
            let mut d1 = place.client("d1", &papers).await;
            d1.subscribe(&[LAST_DOWN]).await.unwrap();
            let Ok(codes) = d1.subscribe(&[filter]).await else {
                closed += 1;
                continue;
            };
            assert!(!place.is_strict || codes[0] >= 0x80, "{}: {shown} got {codes:?}", place.name);
            let seen = round(&mut plane, &mut d1, &probes, number).await;
            check_read(&place, &seen.expect("it may stay"), &shown);
            d1.leave(false).await;
        }
        assert!(closed > 0, "{}: nothing was worth closing the connection", place.name);
        // Nobody else was harmed.
        plane.ping().await.unwrap();
    }
}

/// Returns what the witness saw up to the last word that `device` has just said, and who said what he may not.
async fn heard(place: &Place, witness: &mut Raw, device: &mut Raw, room: &str, number: u64) -> Vec<Message> {
    let (last, topic) = (format!("last {number}"), format!("{room}/last"));
    device.publish(&Say::new(&topic, &last)).await.unwrap();
    let mut seen = witness.messages_until(&topic, &last).await.unwrap();
    // Mosquitto speaks of itself there.
    seen.retain(|m| !m.topic.starts_with("$SYS/") || m.payload.starts_with("evil"));
    for message in &seen {
        assert!(is_writable(&message.topic, room), "{}: {message:?} was published", place.name);
    }
    seen
}

/// Asserts that the broker keeps only what `room` may hold.
async fn check_kept(place: &Place, room: &str, last: &str) -> Vec<Message> {
    let mut witness = place.witness().await;
    let mut plane = place.client("asker", &place.w.plane_papers()).await;
    plane.publish(&Say::new(format!("{room}/asked"), last)).await.unwrap();
    let mut seen = witness.messages_until(&format!("{room}/asked"), last).await.unwrap();
    seen.retain(|m| m.retain && !m.topic.starts_with("$SYS/"));
    for message in &seen {
        assert!(is_writable(&message.topic, room), "{}: {message:?} was kept", place.name);
    }
    seen
}

#[tokio::test]
async fn what_a_device_says_outside_its_topics_reaches_nobody() {
    for place in Place::both().await {
        let mut witness = place.witness().await;
        let papers = place.w.device_papers("acme", "d1");
        let mut d1 = place.client("d1", &papers).await;
        let mut number = 0;
        for (qos, retain) in [(0, false), (1, false), (0, true), (1, true)] {
            let mut allowed = BTreeSet::new();
            for topic in names() {
                // What it may write it may also have kept; a few are enough.
                if retain && is_writable(&topic, WRITABLE) && topic != "pn/v1/acme/d/d1/up/hello" {
                    continue;
                }
                let say = Say { qos, retain, ..Say::new(&topic, &format!("evil {topic}")) };
                let answer = d1.publish(&say).await;
                if is_writable(&topic, WRITABLE) {
                    assert!(matches!(answer, Ok(0)), "{}: {topic}: {answer:?}", place.name);
                    allowed.insert(topic);
                } else if place.is_strict && qos == 1 {
                    assert_eq!(answer, Ok(NOT_AUTHORIZED), "{topic}");
                }
                // A broker may throw out who says such things, sooner or later.
                if answer.is_err() || d1.ping().await.is_err() {
                    d1 = place.client("d1", &papers).await;
                }
            }
            number += 1;
            let seen = heard(&place, &mut witness, &mut d1, WRITABLE, number).await;
            assert_eq!(topics(&seen), allowed, "{}: QoS {qos}, retained {retain}", place.name);
        }
        let kept = check_kept(&place, WRITABLE, "asked").await;
        assert_eq!(topics(&kept), BTreeSet::from(["pn/v1/acme/d/d1/up/hello".to_owned()]), "{}", place.name);
    }
}

#[tokio::test]
async fn strange_names_qos_2_aliases_and_answers_reach_nobody() {
    // Property numbers of MQTT 5.
    const TOPIC_ALIAS: u8 = 0x23;
    const RESPONSE_TOPIC: u8 = 0x08;
    let (own, foreign) = ("pn/v1/acme/d/d1/up/hello", "pn/v1/acme/d/d2/up/hello");
    let alias =
        |topic: &str, number| Say { properties: short_property(TOPIC_ALIAS, number), ..Say::new(topic, "evil alias") };
    let mut attempts: Vec<Vec<Say>> = strange_names().iter().map(|name| vec![Say::new(name, "evil name")]).collect();
    attempts.extend(strange_names().iter().map(|name| vec![Say { qos: 0, ..Say::new(name, "evil name") }]));
    attempts.extend([
        vec![Say { qos: 2, ..Say::new(foreign, "evil qos") }],
        vec![Say { qos: 2, ..Say::new(own, "evil qos") }],
        // A number that stands for nothing; for a foreign topic; first for the own one, then for a foreign one.
        vec![alias("", 1)],
        vec![alias("", 0)],
        vec![alias("", 65_535)],
        vec![alias(foreign, 1), alias("", 1)],
        vec![alias(own, 1), alias(foreign, 1), alias("", 1)],
        vec![alias(foreign, 1), alias(own, 1), alias("", 1)],
        // The answer would be somebody else's to send.
        vec![Say { properties: text_property(RESPONSE_TOPIC, foreign), ..Say::new(own, "good") }],
        vec![Say { properties: text_property(RESPONSE_TOPIC, "pn/v1/acme/tuf/root"), ..Say::new(own, "good") }],
        vec![Say { properties: text_property(RESPONSE_TOPIC, "pn/v1/#"), ..Say::new(own, "good") }],
    ]);
    for place in Place::both().await {
        let mut witness = place.witness().await;
        let papers = place.w.device_papers("acme", "d1");
        let mut good = 0;
        for (number, attempt) in (1_u64..).zip(&attempts) {
            let mut d1 = place.client("d1", &papers).await;
            for say in attempt {
                if d1.publish(say).await.is_err() {
                    break;
                }
            }
            if d1.ping().await.is_err() {
                d1 = place.client("d1", &papers).await;
            }
            let seen = heard(&place, &mut witness, &mut d1, WRITABLE, number).await;
            // An alias that the broker took may bring what the device could have said without it.
            good += seen.iter().filter(|m| m.payload == "good" && m.topic == own).count();
            assert!(seen.iter().all(|m| m.topic == own), "{}: {attempt:?}: {seen:?}", place.name);
            d1.leave(false).await;
        }
        assert!(good >= 2, "{}: a question with an address for its answer is allowed", place.name);
        assert_eq!(check_kept(&place, WRITABLE, "asked").await, [], "{}", place.name);
    }
}

#[tokio::test]
async fn an_older_mqtt_and_a_claimed_user_name_change_nothing() {
    for place in Place::both().await {
        let mut witness = place.witness().await;
        let papers = place.w.device_papers("acme", "d1");
        let user = |name: &str| Some((name.to_owned(), "secret".to_owned()));
        for (number, hello) in (1_u64..).zip([
            Hello { version: 4, ..Hello::new("d1") },
            Hello { user: user("$plane"), ..Hello::new("$plane") },
            Hello { user: user("d2"), ..Hello::new("d2") },
            Hello { user: user("witness"), ..Hello::new("x") },
            Hello { user: user("+"), ..Hello::new("#") },
        ]) {
            if let Ok((mut client, _)) = place.enter(&papers, &hello).await {
                for topic in ["pn/v1/acme/d/d2/up/hello", "pn/v1/acme/tuf/root", "pn/v1/acme/d/+/up/hello"] {
                    let say = Say { qos: 0, retain: true, ..Say::new(topic, "evil") };
                    if client.publish(&say).await.is_err() {
                        break;
                    }
                }
                client.leave(false).await;
            } else {
                assert!(hello.version == 4, "{}: a user name is of no account", place.name);
            }
            let mut d1 = place.client("d1", &papers).await;
            assert_eq!(heard(&place, &mut witness, &mut d1, WRITABLE, number).await, [], "{}", place.name);
        }
        assert_eq!(check_kept(&place, WRITABLE, "asked").await, [], "{}", place.name);
    }
}

#[tokio::test]
async fn no_will_reaches_anybody_outside_the_own_topics() {
    let room = "pn/v1/acme/d/d3/up";
    let own = [format!("{room}/report"), room.to_owned()];
    for place in Place::both().await {
        let mut witness = place.witness().await;
        let papers = place.w.device_papers("acme", "d3");
        for (round, retain) in [(0, false), (1, true)] {
            let mut number = 1_000 * round;
            let foreign = names().into_iter().map(String::into_bytes).chain(strange_names());
            for topic in foreign.chain(own.clone().map(String::into_bytes)) {
                let shown = String::from_utf8_lossy(&topic[..topic.len().min(60)]).into_owned();
                let is_own = own.contains(&shown);
                let with_will = Hello { will: Some((topic, "evil will".into(), retain)), ..Hello::new("d3") };
                // Said at a goodbye that asks for it, and when the next connection takes the session over.
                let mut let_in = false;
                match place.enter(&papers, &with_will).await {
                    Ok((client, _)) => {
                        let_in = true;
                        client.leave(true).await;
                    }
                    Err(gone) => assert!(!is_own, "{}: {shown}: {gone:?}", place.name),
                }
                let dying = place.enter(&papers, &with_will).await;
                assert_eq!(dying.is_ok(), let_in, "{}: {shown}", place.name);
                assert!(!place.is_strict || let_in == is_own, "{shown} as a will");
                let mut next = place.client("d3", &papers).await;
                drop(dying);
                number += 1;
                let seen = heard(&place, &mut witness, &mut next, room, number).await;
                let wills = seen.iter().filter(|m| m.topic == shown && m.payload == "evil will").count();
                assert_eq!((seen.len(), wills), if is_own { (2, 2) } else { (0, 0) }, "{}: {shown}", place.name);
            }
        }
        let kept = check_kept(&place, room, "asked").await;
        assert_eq!(topics(&kept), BTreeSet::from(own.clone()), "{}", place.name);
    }
}

#[tokio::test]
async fn nobody_takes_over_a_session_by_naming_its_client_id() {
    let last_of_d2 = "pn/v1/acme/d/d2/down/last";
    for place in Place::both().await {
        let w = &place.w;
        let mut plane = place.plane().await;
        plane.subscribe(&["pn/v1/+/d/+/up/#"]).await.unwrap();
        // Both are away for a moment while their sessions are kept, and something waits for each.
        let kept = |id: &str| Hello { session_expiry: 600, clean_start: false, ..Hello::new(id) };
        let (p1, p2) = (w.device_papers("acme", "d1"), w.device_papers("acme", "d2"));
        let (mut d1, _) = place.enter(&p1, &kept("d1")).await.unwrap();
        d1.subscribe(&["pn/v1/acme/d/d1/down/#"]).await.unwrap();
        for (number, id) in (0_u64..).zip(["d1", "plane", "$plane", "pinnace-plane-acme", "", "d1"]) {
            // Once while d1 is here, at last while it is away.
            let is_away = number == 5;
            if is_away {
                d1.leave(false).await;
                plane.publish_all(&["pn/v1/acme/d/d1/down/ack".into()], "secret", false).await;
                d1 = place.client("unused", &w.device_papers("acme", "d9")).await;
            }
            let (mut thief, goes_on) = place.enter(&p2, &kept(id)).await.unwrap();
            assert!(!goes_on || number > 0, "{}: the session of {id}", place.name);
            thief.subscribe(&[last_of_d2]).await.unwrap();
            let last = format!("last {number}");
            plane.publish_all(&["pn/v1/acme/d/d1/down/ack".into(), last_of_d2.into()], &last, false).await;
            let seen = thief.messages_until(last_of_d2, &last).await.unwrap();
            assert_eq!(seen, [], "{}: the thief who called himself {id} got mail", place.name);
            if is_away {
                break;
            }
            // Whom it named is still there: the plane has just spoken, and d1 hears it.
            let seen = d1.messages_until("pn/v1/acme/d/d1/down/ack", &last).await;
            assert_eq!(seen, Ok(vec![]), "{}: {id}", place.name);
        }
        let (mut d1, goes_on) = place.enter(&p1, &kept("d1")).await.unwrap();
        assert!(goes_on, "{}: its session waited for it", place.name);
        let seen = d1.messages_until("pn/v1/acme/d/d1/down/ack", "last 5").await.unwrap();
        assert_eq!(seen.iter().map(|m| m.payload.as_str()).collect::<Vec<_>>(), ["secret"], "{}", place.name);
    }
}

#[tokio::test]
async fn mosquitto_without_our_line_would_hand_sessions_over() {
    // Why the line is there: take it away, and any device throws the plane out.
    let w = World::new().await;
    let dir = tempfile::tempdir().unwrap();
    let without = |config: String| config.replace("use_username_as_clientid true\n", "");
    let mosquitto = Mosquitto::start_with(dir.path(), &w.authority, "", without).await;
    let enter = async |papers: &Papers| {
        Raw::connect(mosquitto.address, w.authority.certificate_pem(), papers, &Hello::new("plane")).await.unwrap().0
    };
    let mut plane = enter(&w.plane_papers()).await;
    let _thief = enter(&w.device_papers("acme", "d2")).await;
    plane.ended().await;
}
