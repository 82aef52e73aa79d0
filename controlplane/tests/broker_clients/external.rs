//! Mosquitto's clients with our broker, and Mosquitto itself with our access rules.

use std::net::SocketAddr;
use std::process::Stdio;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::LastWill;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::mosquitto::Mosquitto;
use super::support::{Client, PATIENCE, Papers, World, device_papers, options, write_papers};

/// Returns one of Mosquitto's client tools, ready to connect.
fn tool(name: &str, address: SocketAddr, id: &str, [authority, certificate, key]: &[std::path::PathBuf; 3]) -> Command {
    let mut command = Command::new(name);
    command
        .args(["-V", "mqttv5", "-h", "localhost", "-p", &address.port().to_string(), "-i", id, "-q", "1"])
        .arg("--cafile")
        .arg(authority)
        .arg("--cert")
        .arg(certificate)
        .arg("--key")
        .arg(key)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn finish(command: &mut Command) -> (Option<i32>, String, String) {
    let started = command.spawn().expect("mosquitto-clients must be installed");
    let out = tokio::time::timeout(PATIENCE, started.wait_with_output()).await.expect("it ends in time").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (out.status.code(), text(out.stdout), text(out.stderr))
}

#[tokio::test]
async fn mosquitto_clients_publish_and_subscribe() {
    let w = World::new().await;
    let dir = tempfile::tempdir().unwrap();
    let authority = w.authority.certificate_pem();
    let plane = write_papers(dir.path(), "plane", authority, &w.plane_papers());
    let d1 = write_papers(dir.path(), "d1", authority, &w.device_papers("acme", "d1"));

    let mut listening = tool("mosquitto_sub", w.address(), "plane", &plane)
        .args(["-t", "pn/v1/+/d/+/up/#", "-C", "2", "-v"])
        .spawn()
        .expect("mosquitto-clients must be installed");
    w.until(|s| s.subscriptions == 1).await;
    for payload in ["one", "two"] {
        let (code, _, errors) = finish(tool("mosquitto_pub", w.address(), "d1", &d1).args([
            "-t",
            "pn/v1/acme/d/d1/up/hello",
            "-m",
            payload,
        ]))
        .await;
        assert_eq!((code, errors.as_str()), (Some(0), ""));
    }
    let mut lines = BufReader::new(listening.stdout.take().unwrap()).lines();
    for payload in ["one", "two"] {
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
        assert_eq!(line, Some(format!("pn/v1/acme/d/d1/up/hello {payload}")));
    }
    assert!(tokio::time::timeout(PATIENCE, listening.wait()).await.unwrap().unwrap().success());
    let stats = w.until(|s| s.connections == 0).await;
    assert_eq!((stats.malformed, stats.wills, stats.sessions), (0, 0, 0));

    // Retained for a device, and refused outside its rooms.
    finish(tool("mosquitto_pub", w.address(), "plane", &plane).args([
        "-t",
        "pn/v1/acme/d/d1/down/director",
        "-m",
        "go",
        "-r",
    ]))
    .await;
    let (code, out, _) =
        finish(tool("mosquitto_sub", w.address(), "d1", &d1).args(["-t", "pn/v1/acme/d/d1/down/#", "-C", "1"])).await;
    assert_eq!((code, out.trim()), (Some(0), "go"));
    let (_, out, errors) =
        finish(tool("mosquitto_sub", w.address(), "d1", &d1).args(["-t", "pn/v1/#", "-C", "1", "-W", "1"])).await;
    assert!(out.is_empty() && errors.contains("denied"), "{out} {errors}");
    let (code, _, errors) =
        finish(tool("mosquitto_pub", w.address(), "d1", &d1).args(["-t", "pn/v1/acme/tuf/root", "-m", "x"])).await;
    assert!(errors.contains("Not authorized"), "{code:?} {errors}");
    assert_eq!(w.broker.stats().await.unwrap().refused_publish, 1);
}

/// The same story on any broker: what must arrive arrives, what must not does not.
async fn same_rules(w: &World, address: SocketAddr) {
    let authority = w.authority.certificate_pem();
    let open = |id: &str, papers: &Papers| options(address, authority, id, papers);
    let (p1, p2) = (device_papers(&w.authority, "acme", "d1"), device_papers(&w.authority, "acme", "d2"));
    let mut plane = Client::connect(open("plane", &w.plane_papers())).await;
    let mut d1 = Client::connect(open("d1", &p1)).await;
    let mut d2 = Client::connect(open("d2", &p2)).await;
    plane.subscribe("pn/v1/#").await;
    d1.subscribe("pn/v1/acme/d/d1/down/#").await;
    d1.subscribe("pn/v1/acme/tuf/#").await;
    // Whether this is refused at once or only nothing is delivered is the broker's choice.
    for filter in ["pn/v1/#", "pn/v1/acme/d/+/down/#", "pn/v1/acme/d/d1/#"] {
        d2.subscribe(filter).await;
    }
    d2.subscribe("pn/v1/acme/d/d2/down/#").await;

    for topic in ["pn/v1/acme/d/d1/up/hello", "pn/v1/acme/tuf/root", "pn/v1/acme/d/d2/down/ack"] {
        d2.publish(topic, true, "evil").await;
    }
    d1.publish("pn/v1/acme/d/d1/up/hello", false, "good").await;
    assert_eq!(plane.message().await, ("pn/v1/acme/d/d1/up/hello".into(), "good".into()), "nothing evil before it");
    plane.publish("pn/v1/acme/d/d1/down/ack", false, "for d1").await;
    assert_eq!(d1.message().await.1, "for d1");
    plane.publish("pn/v1/acme/tuf/root", true, "root").await;
    assert_eq!(d1.message().await.1, "root");
    plane.publish("pn/v1/acme/d/d2/down/ack", false, "for d2").await;
    // A broker that granted the wide filter may bring what d2 may read, never what is d1's.
    loop {
        let (topic, payload) = d2.message().await;
        assert!(topic == "pn/v1/acme/tuf/root" || topic == "pn/v1/acme/d/d2/down/ack", "{topic}");
        if payload == "for d2" {
            break;
        }
    }

    // The will of a device that vanishes, inside its rooms. Own messages came back to the plane meanwhile.
    let mut options = open("d3", &device_papers(&w.authority, "acme", "d3"));
    options.set_last_will(LastWill::new("pn/v1/acme/d/d3/up/report", "gone", QoS::AtLeastOnce, false, None));
    drop(Client::connect(options).await);
    while plane.message().await != ("pn/v1/acme/d/d3/up/report".into(), "gone".into()) {}

    // A will outside them never arrives: refused at once, or dropped when it is due.
    let mut options = open("d4", &device_papers(&w.authority, "acme", "d4"));
    options.set_last_will(LastWill::new("pn/v1/acme/tuf/root", "evil", QoS::AtLeastOnce, false, None));
    drop(Client::try_connect(options).await);
    let mut options = open("d5", &device_papers(&w.authority, "acme", "d5"));
    options.set_last_will(LastWill::new("pn/v1/acme/d/d5/up/report", "after", QoS::AtLeastOnce, false, None));
    drop(Client::connect(options).await);
    assert_eq!(plane.message().await.1, "after");
}

#[tokio::test]
async fn the_same_rules_hold_on_the_embedded_broker_and_on_mosquitto() {
    let w = World::new().await;
    same_rules(&w, w.address()).await;
    let dir = tempfile::tempdir().unwrap();
    let external = Mosquitto::start(dir.path(), &w.authority).await;
    same_rules(&w, external.address).await;
}
