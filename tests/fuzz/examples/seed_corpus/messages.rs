//! Messages, envelopes, windows, profiles, joins.
use std::error::Error;

use pinnace_fuzz::fixtures::NOW;
use pinnace_fuzz::fixtures::device::{NAMES, PROFILE};
use pinnace_fuzz::fixtures::director::ROOTS;
use pinnace_fuzz::fixtures::repository::REPOSITORY;
use pinnace_protocol::cbor;
use pinnace_protocol::ids::{BundleRef, DeviceId, Digest, Family, RolloutId, TenantId};
use pinnace_protocol::join::{Anchor, JoinReply, JoinRequest, JoinToken};
use pinnace_protocol::message::{
    Ack, Counter, FailCode, Failure, Frame, FrameBody, Health, Hello, LogLines, Phase, Report, Running, TrialStats,
    Want, WantBody, Window, seal, seal_from_plane,
};
use pinnace_protocol::sketch::{Live, Value};
use pinnace_protocol::time::ClockTrust;

use super::{Items, put};

pub fn write(items: &mut Items) -> Result<(), Box<dyn Error>> {
    let live = windows(items);
    let counter = Counter { epoch: 1000, boot: 2, seq: 3 };
    let bundle = BundleRef { family: Family::parse("rain")?, version: 3 };
    let running = Running {
        bundle: bundle.clone(),
        manifest: Digest::of(b"manifest"),
        generation: 7,
        variant: "fp32".into(),
        engine: "tract 0.23".into(),
    };
    let hello = Hello {
        counter,
        nonce: vec![7; 16],
        agent: "0.1.0".into(),
        device_profile: "x86-gateway".into(),
        arch: "x86_64".into(),
        labels: vec!["site=north".into()],
        engines: vec!["tract".into()],
        running: Some(running.clone()),
        generation: 7,
        next_window: 12,
        clock_unix_ms: NOW * 1000,
        clock_trust: ClockTrust::Unknown,
        director_root: 2,
    };
    let report = Report {
        counter,
        generation: 8,
        rollout: Some(RolloutId::parse("r1")?),
        target: Some(bundle.clone()),
        phase: Phase::Failed,
        progress_ppm: 500_000,
        failure: Some(Failure { code: FailCode::Golden, text: "row 3".into() }),
        trial: Some(TrialStats { inferences: 50, varied: true, ..TrialStats::default() }),
        running: Some(running),
        health: Health { cpu_permille: 12, temperature_decic: -40, ..Health::default() },
    };
    let window = Window {
        epoch: 1000,
        seq: 4,
        bundle,
        profile: Digest::of(&PROFILE.to_json()),
        from_unix_ms: NOW * 1000,
        to_unix_ms: NOW * 1000 + 60_000,
        rows: u64::from(live.rows()),
        sketch: live.encode(),
    };
    let wants = [
        WantBody::Meta { name: "3.snapshot.json".into() },
        WantBody::Chunks { blob: Digest::of(b"blob"), indices: vec![0, 1, 15, u64::MAX] },
    ];
    let frames = [
        FrameBody::Meta { name: "3.snapshot.json".into(), bytes: None },
        FrameBody::Meta { name: "timestamp.json".into(), bytes: Some(b"{}".to_vec().into()) },
        FrameBody::Chunk { blob: Digest::of(b"blob"), index: 3, bytes: vec![1; 300] },
    ];
    let log = LogLines { counter, lines: vec!["a line".into(), String::new()] };
    let ack = Ack { epoch: 1000, watermark: 4, above: vec![6, 9] };
    for (at, body) in frames.into_iter().enumerate() {
        put(items, &format!("message/frame-{at}"), cbor::encode(&Frame { body })?);
    }
    let (tenant, device) = (&NAMES.tenant, &NAMES.device);
    for (at, body) in wants.into_iter().enumerate() {
        let want = Want { counter, body };
        put(items, &format!("message/want-{at}"), cbor::encode(&want)?);
        put(items, &format!("envelope/want-{at}"), seal(&NAMES.report, tenant, device, "want", &want)?);
    }
    macro_rules! both {
        ($($kind:literal: $message:expr),+) => {$(
            put(items, concat!("message/", $kind), cbor::encode($message)?);
            put(items, concat!("envelope/", $kind), seal(&NAMES.report, tenant, device, $kind, $message)?);
        )+};
    }
    both!("hello": &hello, "report": &report, "window": &window, "log": &log);
    put(items, "message/ack", cbor::encode(&ack)?);
    put(items, "envelope/ack", seal_from_plane(&NAMES.plane, tenant, device, "ack", &ack)?);
    put(items, "envelope/ack-by-the-device", seal(&NAMES.report, tenant, device, "ack", &ack)?);
    put(items, "envelope/foreign-key", seal(&NAMES.plane, tenant, device, "report", &report)?);
    let other = DeviceId::parse("dev-2")?;
    put(items, "envelope/other-device", seal(&NAMES.report, tenant, &other, "report", &report)?);
    put(items, "envelope/other-tenant", seal(&NAMES.report, &TenantId::parse("umbrella")?, device, "report", &report)?);
    put(items, "envelope/other-topic", seal(&NAMES.report, tenant, device, "hello", &report)?);
    hostile(items);
    joins(items)
}

/// CBOR that readers stumble over.
fn hostile(items: &mut Items) {
    for (name, bytes) in [
        ("deep", vec![0x81; 4000]),
        ("array-of-2-to-the-64", [vec![0x9b], vec![0xff; 8]].concat()),
        ("map-of-2-to-the-63", [vec![0xbb, 0x80], vec![0; 7]].concat()),
        ("text-of-2-to-the-64", [vec![0x7b], vec![0xff; 8]].concat()),
        ("endless-array", vec![0x9f, 0x00, 0xff]),
        ("tag", vec![0xc1, 0x00]),
        ("many-items", [vec![0x9a, 0, 0, 0x3f, 0xf0], vec![0x60; 0x3ff0]].concat()),
        ("rest-behind", vec![0xa0, 0x00]),
        ("broken-utf-8", vec![0xa1, 0x00, 0x62, 0xc3, 0x28]),
        ("key-twice", vec![0xa2, 0x00, 0x01, 0x00, 0x02]),
        (
            "names-for-keys",
            [&[0xa3, 0x65][..], b"epoch", &[1, 0x69], b"watermark", &[2, 0x65], b"above", &[0x80]].concat(),
        ),
        ("long-form-numbers", vec![0xa3, 0x18, 0x00, 0x01, 0x01, 0x02, 0x02, 0x80]),
    ] {
        put(items, &format!("message/{name}"), bytes);
    }
}

fn windows(items: &mut Items) -> Live {
    let mut live = Live::new(&PROFILE);
    put(items, "window/empty", live.encode());
    for row in 0..60_u32 {
        let number = f64::from(row * 7 % 50) / 8.0;
        let cells =
            [Value::Num(number), if row % 9 == 0 { Value::Null } else { Value::Num(-number) }, Value::Cat("north")];
        // The fixtures' profile has these three columns.
        _ = live.update_row(&cells);
        _ = live.observe_prediction((row % 2) as usize, 0.75, 100 + row);
    }
    _ = live.update_row(&[Value::Num(f64::NAN), Value::Num(f64::INFINITY), Value::Cat("east")]);
    _ = live.observe_outcome(0.9, 1, 1);
    _ = live.observe_error();
    let bytes = live.encode();
    put(items, "window/counted", bytes.clone());
    put(items, "window/cut", &bytes[..bytes.len() - 3]);
    put(items, "window/rest-behind", [bytes.as_slice(), &[0]].concat());
    put(items, "window/format-2", [&[2], &bytes[1..]].concat());
    put(items, "window/other-profile", [&[1; 17], &bytes[17..]].concat());
    let json = PROFILE.to_json();
    let text = String::from_utf8_lossy(&json).into_owned();
    put(items, "profile/genuine", json);
    for (name, from, to) in [
        ("format-9", "\"format\":1", "\"format\":9"),
        ("no-rows", "\"rows\":200", "\"rows\":0"),
        ("more-rows", "\"rows\":200", "\"rows\":201"),
        ("huge-unit", "\"unit_exponent\":", "\"unit_exponent\":9"),
        ("edges-out-of-order", "\"edges\":[", "\"edges\":[1e30,"),
    ] {
        put(items, &format!("profile/{name}"), text.replacen(from, to, 1));
    }
    live
}

fn joins(items: &mut Items) -> Result<(), Box<dyn Error>> {
    let anchor = Anchor {
        tenant: NAMES.tenant.clone(),
        image_root: String::from_utf8(REPOSITORY.factory.clone())?,
        director_root: String::from_utf8(ROOTS[0].clone())?,
        ca_pem: "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n".into(),
        plane_key: "00".repeat(32),
        https_url: "https://plane.example:7879".into(),
        mqtt: "plane.example:8883".into(),
        issued: NOW,
    };
    let bytes = anchor.to_bytes();
    let token =
        JoinToken { url: "http://plane.example:7878".into(), secret: "ab".repeat(32), anchor: Digest::of(&bytes) };
    put(items, "join/anchor", bytes);
    let text = token.to_text();
    put(items, "join/token-cut", &text.as_bytes()[..text.len() - 4]);
    put(items, "join/token", text);
    put(items, "join/token-long", format!("pn1.{}", "A".repeat(2000)));
    let request = JoinRequest {
        secret: token.secret,
        device: NAMES.device.clone(),
        csr_pem: "-----BEGIN CERTIFICATE REQUEST-----\n".into(),
        report_key: "11".repeat(32),
        device_profile: "x86-gateway".into(),
        labels: vec!["site=north".into()],
    };
    let reply =
        JoinReply { tenant: NAMES.tenant.clone(), device: NAMES.device.clone(), certificate_pem: String::new() };
    put(items, "join/request", serde_json::to_vec(&request)?);
    put(items, "join/request-wildcard-name", serde_json::to_vec(&request)?.replace_all(b"dev-1", b"d/+/#"));
    put(items, "join/reply", serde_json::to_vec(&reply)?);
    Ok(())
}

/// Replaces every occurrence.
trait ReplaceAll {
    fn replace_all(&self, from: &[u8], to: &[u8]) -> Vec<u8>;
}

impl ReplaceAll for Vec<u8> {
    fn replace_all(&self, from: &[u8], to: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(self);
        text.replace(&*String::from_utf8_lossy(from), &String::from_utf8_lossy(to)).into_bytes()
    }
}
