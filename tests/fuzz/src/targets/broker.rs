//! The embedded broker: MQTT packets from a stream, what its core makes of them, and topics.
use std::sync::Arc;

use bytes::BytesMut;
use pinnace_controlplane::broker::{
    CodecError, Core, Decoder, Delivery, Input, Output, Permissions, Publish, Qos, Reply, Request, check_filter,
    check_name, covers, encode, matches,
};
use pinnace_controlplane::ca::Identity;
use pinnace_protocol::topic::Topic;

use crate::fixtures::device::NAMES;
use crate::target::{Budget, Form, Target};
use crate::verdict::{Verdict, variant};

pub const MQTT: Target = Target {
    name: "mqtt",
    what: "MQTT 5 packets of one device, cut anywhere, and what the broker does with them",
    form: Form::Bytes,
    max_bytes: 8 * 1024,
    budget: Budget { base: 256 * 1024, per_byte: 200 },
    cost: 1,
    words: &[
        "\u{0}\u{4}MQTT\u{5}",
        "pn/v1/acme/d/dev-1/up/hello",
        "pn/v1/acme/d/dev-1/down/#",
        "pn/v1/acme/d/dev-2/down/#",
        "pn/v1/+/d/+/up/#",
        "#",
        "+",
        "$SYS/#",
        "$share/a/#",
        "dev-1",
    ],
    run: mqtt,
    repair: Some(lengths),
};

pub const TOPIC: Target = Target {
    name: "topic",
    what: "two filters and a topic, a line each: validity, matching, covering, rights",
    form: Form::Text,
    max_bytes: 2 * 1024,
    budget: Budget { base: 16 * 1024, per_byte: 64 },
    cost: 1,
    words: &[
        "pn/v1/acme/d/dev-1/up/hello",
        "pn/v1/acme/d/dev-1/down/#",
        "pn/v1/",
        "acme",
        "/",
        "+",
        "#",
        "/+/",
        "/#",
        "$",
        "$share/",
        "d/",
        "up/",
        "down/",
        "blob/",
        "tuf/",
        "\n",
        "director",
    ],
    run: topic,
    repair: None,
};

/// Bytes the decoder is shown at first; the rest comes later.
const PACKET_MAX: usize = 4 * 1024;

/// Reads all requests of a stream that arrives in pieces of `piece` bytes.
fn requests(input: &[u8], piece: usize) -> (Vec<Request>, Result<(), CodecError>) {
    let (mut decoder, mut buffer, mut all) = (Decoder::new(PACKET_MAX), BytesMut::new(), Vec::new());
    for part in input.chunks(piece.max(1)) {
        buffer.extend_from_slice(part);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(request)) => all.push(request),
                Ok(None) => break,
                Err(fault) => return (all, Err(fault)),
            }
        }
    }
    (all, Ok(()))
}

fn mqtt(input: &[u8]) -> Verdict {
    let (all, end) = requests(input, input.len());
    for piece in [1, 7] {
        let cut = requests(input, piece);
        assert_eq!(cut, (all.clone(), end), "where a stream is cut makes no difference");
    }
    let mut kinds = String::new();
    let mut core = Core::new(PACKET_MAX as u32);
    let (device, plane) = (1, 2);
    let identity = Identity::Device { tenant: NAMES.tenant.clone(), device: NAMES.device.clone() };
    let rights = Permissions::of(&identity);
    _ = core.handle(0, Input::Opened { conn: device, identity });
    _ = core.handle(0, Input::Opened { conn: plane, identity: Identity::Plane });
    for (at, request) in all.into_iter().enumerate() {
        kinds.push(kind(&request));
        if let Request::Publish(publish) = &request {
            comes_back(publish);
        }
        let now = at as u64;
        let outputs = core.handle(now, Input::Request { conn: device, request });
        for output in &outputs {
            let Output::Send { conn, reply } = output else { continue };
            let mut bytes = Vec::new();
            assert!(encode(reply, &mut bytes).is_ok(), "the core's own replies can be written: {reply:?}");
            if let Reply::Deliver(delivery) = reply {
                // Nothing reaches a device but what its certificate allows.
                let topic = &delivery.message.topic;
                assert!(*conn != device || rights.may_subscribe(topic), "{topic} reached the device");
            }
        }
        _ = core.next_deadline();
    }
    kinds.truncate(24);
    match end {
        Ok(()) => Verdict::accepted(kinds),
        Err(fault) => Verdict::refused(&variant(&fault.0), format!("{fault} after {kinds}")),
    }
}

/// A message is the same when the broker has passed it on.
fn comes_back(publish: &Publish) {
    // The codec reads QoS 2, which the core refuses; what is not checked yet may hold what cannot be written.
    if publish.message.qos == Qos::ExactlyOnce || publish.aliased || check_name(&publish.message.topic).is_err() {
        return;
    }
    let delivery = Delivery {
        message: Arc::new(publish.message.clone()),
        id: publish.id,
        duplicate: false,
        retain: publish.message.retain,
        expiry_s: publish.message.expiry_s,
    };
    let mut bytes = connect_bytes();
    if encode(&Reply::Deliver(delivery), &mut bytes).is_err() {
        return;
    }
    let (all, end) = requests(&bytes, bytes.len());
    // With its properties spelled out it may be larger than a client may send.
    if end.is_ok()
        && let Some(Request::Publish(again)) = all.get(1)
    {
        assert_eq!(again.message, publish.message);
    }
}

/// Returns a CONNECT without anything.
fn connect_bytes() -> Vec<u8> {
    [&[0x10, 0x0d, 0, 4][..], b"MQTT", &[5, 2, 0, 0, 0, 0, 0]].concat()
}

const fn kind(request: &Request) -> char {
    match request {
        Request::Connect(_) => 'C',
        Request::Publish(_) => 'P',
        Request::PubAck { .. } => 'A',
        Request::Subscribe { .. } => 'S',
        Request::Unsubscribe { .. } => 'U',
        Request::Ping => 'I',
        Request::Disconnect { .. } => 'D',
    }
}

/// Lets the first byte of a stream begin a packet that is as long as the stream, or puts a CONNECT before it.
fn lengths(input: &[u8], choice: u64) -> Option<Vec<u8>> {
    let (first, rest) = input.split_first()?;
    if choice.is_multiple_of(2) {
        return Some([connect_bytes().as_slice(), input].concat());
    }
    let rest = rest.get(1..)?;
    let mut out = vec![*first];
    let mut length = rest.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(rest);
    Some(out)
}

fn topic(input: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.split('\n');
    let [outer, inner, name] = [(); 3].map(|()| lines.next().unwrap_or_default());
    if let Some(parsed) = Topic::parse(name) {
        assert_eq!(parsed.to_text(), name, "one spelling");
    }
    let valid = [check_filter(outer), check_filter(inner), check_name(name)];
    if let Some(Err(fault)) = valid.iter().find(|v| v.is_err()) {
        return Verdict::refused(&variant(fault), fault);
    }
    assert!(covers(outer, outer) && matches(name, name), "everything covers itself");
    let facts = (covers(outer, inner), matches(inner, name), matches(outer, name));
    assert!(!(facts.0 && facts.1) || facts.2, "{outer} covers {inner}, which matches {name}; it does not itself");
    let identity = Identity::Device { tenant: NAMES.tenant.clone(), device: NAMES.device.clone() };
    let rights = Permissions::of(&identity);
    let down = format!("pn/v1/{}/d/{}/down/", NAMES.tenant, NAMES.device);
    let shared = [format!("pn/v1/{}/tuf", NAMES.tenant), format!("pn/v1/{}/blob", NAMES.tenant)];
    if rights.may_subscribe(inner) && matches(inner, name) {
        let own = format!("{name}/").starts_with(&down) || shared.iter().any(|s| name.starts_with(s.as_str()));
        assert!(own, "{inner} lets the device hear {name}");
    }
    let up = format!("pn/v1/{}/d/{}/up", NAMES.tenant, NAMES.device);
    assert!(!rights.may_publish(name) || name == up || name.starts_with(&format!("{up}/")), "{name}");
    Verdict::accepted(format!("{facts:?} {} {}", rights.may_subscribe(inner), rights.may_publish(name)))
}

/// Asks the broker's rules for one device: each line is `publish TOPIC` or `subscribe FILTER`; refused when all are.
pub fn rights(lines: &str) -> String {
    let rights = Permissions::of(&Identity::Device { tenant: NAMES.tenant.clone(), device: NAMES.device.clone() });
    let mut allowed = lines.lines().filter(|line| match line.split_once(' ') {
        Some(("publish", topic)) => rights.may_publish(topic),
        Some(("subscribe", filter)) => rights.may_subscribe(filter),
        _ => false,
    });
    match allowed.next() {
        Some(line) if lines.lines().count() > 1 + allowed.count() => format!("accepted in part: {line}"),
        Some(_) => "accepted".into(),
        None => "refused: not allowed".into(),
    }
}
