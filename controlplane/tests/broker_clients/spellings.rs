//! Every topic of the scheme, and every filter and topic name that somebody might write in its place.
//!
//! Nothing here asks the code under test what is allowed: rooms are compared as text.

use std::collections::BTreeSet;

use pinnace_protocol::ids::{DeviceId, TenantId};
use pinnace_protocol::topic::{Down, Topic, Up};

/// Rooms that device d1 of tenant acme may read.
pub const READABLE: [&str; 3] = ["pn/v1/acme/d/d1/down", "pn/v1/acme/tuf", "pn/v1/acme/blob"];
/// The room that it may write in.
pub const WRITABLE: &str = "pn/v1/acme/d/d1/up";

/// Returns whether a topic or filter is a room itself or lies in it, as text.
fn is_within(text: &str, room: &str) -> bool {
    text.strip_prefix(room).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns whether d1 of acme may read it.
pub fn is_readable(text: &str) -> bool {
    READABLE.iter().any(|room| is_within(text, room))
}

/// Returns whether a device (its room to write in is `room`) may write to it.
pub fn is_writable(topic: &str, room: &str) -> bool {
    is_within(topic, room)
}

/// Returns every topic that the protocol knows, of two devices of one tenant and of their namesakes at another.
pub fn scheme() -> Vec<String> {
    let mut topics = Vec::new();
    for tenant in ["acme", "other"] {
        for device in ["d1", "d2"] {
            let (t, d) = (TenantId::parse(tenant).unwrap(), DeviceId::parse(device).unwrap());
            topics.extend(Up::ALL.map(|kind| Topic::Up(t.clone(), d.clone(), kind).to_text()));
            topics.extend(Down::ALL.map(|kind| Topic::Down(t.clone(), d.clone(), kind).to_text()));
        }
        topics.extend(["tuf/root", "tuf/timestamp", "blob/00112233/c"].map(|rest| format!("pn/v1/{tenant}/{rest}")));
    }
    topics
}

/// Returns topics that the plane can publish and that lie beside, above, below or between those of the scheme.
pub fn neighbours() -> Vec<String> {
    [
        "pn/v1",
        "pn/v1/",
        "pn/v1/acme",
        "pn/v1/acme/",
        "pn/v1/acme/d",
        "pn/v1/acme/d/",
        "pn/v1/acme/d/d1",
        "pn/v1/acme/d/d1/",
        "pn/v1/acme/d/d1/up",
        "pn/v1/acme/d/d1/up/",
        "pn/v1/acme/d/d1/up/a/b",
        "pn/v1/acme/d/d1/down",
        "pn/v1/acme/d/d1/down/",
        "pn/v1/acme/d/d1/down/a/b",
        "pn/v1/acme/d/d1/downs/ack",
        "pn/v1/acme/d/d1/ups/hello",
        "pn/v1/acme/d/d1/x",
        "pn/v1/acme/d/d1//down/ack",
        "pn/v1/acme/d/d10/down/ack",
        "pn/v1/acme/d/d/down/ack",
        "pn/v1/acme/d//down/ack",
        "pn/v1/acme/d/D1/down/ack",
        "pn/v1/acme/d/D1/up/hello",
        "pn/v1/acme/d/$plane/down/ack",
        "pn/v1/acme/d/%u/down/ack",
        "pn/v1/acme/d/%c/up/hello",
        "pn/v1/acme/d/d2",
        "pn/v1/acme/d/d2/up",
        "pn/v1/acme/d/d2/down",
        "pn/v1/acme/d/d2/../d1/down/ack",
        "pn/v1/acme/D/d1/down/ack",
        "pn/v1/acme//d1/down/ack",
        "pn/v1/acme/tuf",
        "pn/v1/acme/blob",
        "pn/v1/acme/blobs/x",
        "pn/v1/acme/tufa/root",
        "pn/v1/acme/plane/x",
        "pn/v1/ACME/d/d1/down/ack",
        "pn/v1//d/d1/down/ack",
        "pn/v1//acme/d/d1/down/ack",
        "pn/v1/+x/tuf/root",
        "pn/v1/other",
        "pn/v1/$SYS/x",
    ]
    .map(str::to_owned)
    .into_iter()
    .filter(|topic| !topic.contains('+'))
    .collect()
}

/// Returns each topic with every choice of its levels replaced by `+`, and cut at every level with `#` in place of the rest.
fn wildcards(topic: &str, into: &mut BTreeSet<String>) {
    let levels: Vec<&str> = topic.split('/').collect();
    for kept in 0..=levels.len() {
        for choice in 0..1_u32 << kept {
            let chosen =
                levels[..kept].iter().enumerate().map(|(n, level)| if choice >> n & 1 == 1 { "+" } else { level });
            let mut filter: Vec<&str> = chosen.collect();
            if kept < levels.len() {
                filter.push("#");
                into.insert(filter.join("/"));
            } else {
                into.insert(filter.join("/"));
                filter.push("#");
                into.insert(filter.join("/"));
            }
        }
    }
}

/// Returns well-formed filters: every topic as it is and with every form of wildcards, each of these also as a shared
/// subscription and with empty levels before and behind.
pub fn filters() -> Vec<String> {
    let mut plain = BTreeSet::new();
    for topic in [
        "pn/v1/acme/d/d1/up/hello",
        "pn/v1/acme/d/d1/down/director",
        "pn/v1/acme/d/d2/up/hello",
        "pn/v1/acme/d/d2/down/director",
        "pn/v1/other/d/d1/up/hello",
        "pn/v1/other/d/d1/down/director",
        "pn/v1/acme/tuf/root",
        "pn/v1/other/tuf/root",
        "pn/v1/acme/blob/00112233/c",
        "pn/v1/other/blob/00112233/c",
    ] {
        wildcards(topic, &mut plain);
    }
    plain.extend(scheme());
    plain.extend(neighbours());
    let mut all = plain.clone();
    for filter in &plain {
        all.insert(format!("$share/g/{filter}"));
        all.insert(format!("/{filter}"));
        if !filter.ends_with('#') {
            all.insert(format!("{filter}/"));
            all.insert(format!("{filter}//#"));
        }
    }
    all.into_iter().collect()
}

/// Returns filters that are malformed, mean something to some broker, or look like something else.
pub fn strange_filters() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = [
        "",
        "/",
        "//",
        "/#",
        "+a",
        "a+",
        "++",
        "##",
        "#/",
        "#/#",
        "pn/#/hello",
        "pn/v1/acme/d/d1#",
        "pn/v1/acme/d/+1/down/#",
        "pn/v1/acme/d/d1/down/#/x",
        "$share",
        "$share/",
        "$share/g",
        "$share/g/",
        "$share//pn/v1/#",
        "$share/+/pn/v1/#",
        "$share/#/pn/v1/#",
        "$share/g+/pn/v1/#",
        "$share/g/h/pn/v1/#",
        "$share/g/$share/h/pn/v1/#",
        "$share/g/#",
        "$share/g//#",
        "$share/g/$SYS/#",
        "$SHARE/g/pn/v1/#",
        "$Share/g/pn/v1/#",
        "/$share/g/pn/v1/#",
        "$queue/pn/v1/#",
        "$queue/#",
        "$exclusive/pn/v1/#",
        "$local/#",
        "$SYS/#",
        "$SYS/+",
        "$SYS/+/+",
        "$SYS/broker/version",
        "$sys/#",
        "$CONTROL/#",
        "$CONTROL/dynamic-security/v1/response",
        "$/#",
        "$+/#",
        "%u",
        "pn/v1/acme/d/%u/down/#",
        "pn/v1/acme/d/%c/up/#",
        "%23",
        "%2B/%23",
        "pn%2Fv1%2F%23",
        "pn/v1/acme/d/%64%32/down/#",
        "PN/V1/ACME/#",
        "pn/V1/acme/#",
        "pn/v1/Acme/d/d2/down/#",
        "pn/v1/acme/d/D2/down/#",
        "pn/v1/acme/d/d1/../d2/down/#",
        "pn/v1/acme/d/d1/down/../../d2/down/#/",
        "./#",
        "pn\\v1\\#",
        " #",
        "# ",
        "\t#",
        "#\n",
        "pn/v1/acme/d/d2 /down/#",
        "pn/v1/acme/d/d2\u{200b}/down/#",
        "pn/v1/acme/d/\u{202e}2d/down/#",
        "\u{feff}pn/v1/#",
        "pn/v1/\u{430}cme/#",
        "pn\u{ff0f}v1\u{ff0f}\u{ff03}",
        "pn\u{2215}v1\u{2215}#",
        "\u{ff03}",
        "\u{ff0b}/\u{ff03}",
        "\u{fe62}/#",
        "pn/v1/acme/d/d\u{b2}/down/#",
        "pn/v1/acme/d/d2/down/\0",
        "#\0",
        "pn/v1/\0/../#",
        "\u{ffff}/#",
        "\u{1}/#",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    all.extend([
        // Not UTF-8: a lone byte, a long spelling of `/`, of `#`, half a surrogate pair.
        b"pn/v1/\xff/#".to_vec(),
        b"pn\xc0\xafv1\xc0\xaf#".to_vec(),
        b"\xc0\xa3".to_vec(),
        b"\xed\xa0\x80/#".to_vec(),
        [&b"+/".repeat(199)[..], b"#"].concat(),
        [&b"pn/v1/acme/d/d2/down/".repeat(40)[..], b"#"].concat(),
        b"#".repeat(65_535),
        b"a".repeat(65_535),
    ]);
    all
}

/// Returns names to publish to: those of the scheme, their neighbours, and whatever looks like them.
pub fn names() -> Vec<String> {
    let mut all: BTreeSet<String> = scheme().into_iter().chain(neighbours()).collect();
    for topic in scheme().into_iter().filter(|topic| topic.starts_with("pn/v1/acme/")) {
        all.insert(format!("/{topic}"));
        all.insert(format!("{topic}/"));
        all.insert(format!("$share/g/{topic}"));
        all.insert(topic.to_uppercase());
        all.insert(topic.replace("v1", "v2"));
        all.insert(topic.replacen('/', "//", 1));
        all.insert(topic.replace('/', "%2F"));
        all.insert(topic.replace('/', "\u{ff0f}"));
        all.insert(topic.replace('d', "\u{501}"));
        all.insert(format!("$SYS/{topic}"));
    }
    all.extend(
        [
            "pn/v1/acme/d/d1/up/../../d2/up/hello",
            "pn/v1/acme/d/d2/up/../../d1/up/hello",
            "pn/v1/acme/d/d1/upper",
            "pn/v1/acme/d/d1 /up/hello",
            "pn/v1/acme/d/d1\u{200b}/up/hello",
            "$SYS/broker/version",
            "$SYS/x",
            "$CONTROL/dynamic-security/v1",
            "$share/g/x",
            "$plane",
            "%u",
            "/",
            "//",
            "a",
            " ",
        ]
        .map(str::to_owned),
    );
    all.into_iter().collect()
}

/// Returns names that no broker may take for a topic: each is said over a connection of its own.
pub fn strange_names() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = [
        "",
        "#",
        "+",
        "pn/v1/acme/d/+/up/hello",
        "pn/v1/acme/d/d1/up/#",
        "pn/v1/acme/d/d1/up/+",
        "pn/v1/#",
        "pn/v1/acme/d/d1/up/hello\0",
        "pn/v1/acme/d/d2/up/hello\0",
        "pn/v1/acme/d/d1/up\0/../d2/up/hello",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    all.extend([b"pn/v1/acme/d/\xff/up/hello".to_vec(), b"pn\xc0\xafv1".to_vec(), b"a".repeat(65_535)]);
    all
}
