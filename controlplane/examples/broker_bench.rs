//! Measures the embedded broker: mTLS connects, fan-out of one message to all clients, memory per client.
//!
//! `cargo run --profile ci -p pinnace-controlplane --example broker_bench -- [clients]`
//!
//! Clients are bare sockets in a child process, so that the memory measured is the broker's alone.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pinnace_controlplane::broker::{Broker, BrokerConfig, BrokerHandle};
use pinnace_controlplane::ca::{self, CertificateAuthority};
use pinnace_controlplane::tls::{ClientAuth, client_config, server_config};
use pinnace_protocol::ids::{DeviceId, TenantId};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Connect, Filter, Packet, Subscribe};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const TOPIC: &str = "pn/v1/acme/blob/0123456789abcdef/c";
/// Handshakes that the load generator has under way at once.
const AT_ONCE: usize = 64;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["clients", address, count, directory] => clients(address.parse()?, count.parse()?, directory).await,
        [count] => broker(count.parse()?).await,
        _ => broker(1_000).await,
    }
}

fn now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

fn resident_kb() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).ok_or("no value")?.parse()?)
}

fn cpu_seconds() -> Result<f64> {
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().ok_or("no stat")?.split_whitespace().collect();
    Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / TICKS)
}

async fn until(broker: &BrokerHandle, reached: impl Fn(&pinnace_controlplane::broker::Stats) -> bool) -> Result<()> {
    while !reached(&broker.stats().await?) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

async fn broker(count: usize) -> Result<()> {
    let authority = CertificateAuthority::create("bench", now()?)?;
    let server = authority.issue_server(&[], now()?)?;
    let tls = server_config(authority.certificate_pem(), &server, ClientAuth::Required)?;
    let broker = Broker::start(BrokerConfig::new("127.0.0.1:0".parse()?, tls)).await?;
    let directory = tempfile::tempdir()?;
    std::fs::write(directory.path().join("ca.pem"), authority.certificate_pem())?;
    for n in 0..count {
        let (key, request) = ca::new_request()?;
        let issued =
            authority.issue_device(&request, &TenantId::parse("acme")?, &DeviceId::parse(&format!("d{n}"))?, now()?)?;
        std::fs::write(directory.path().join(format!("{n}.pem")), issued.certificate_pem + &key)?;
    }

    let (address, before_kb, before_cpu) = (broker.local_addr(), resident_kb()?, cpu_seconds()?);
    let started = Instant::now();
    let mut child = Command::new(std::env::current_exe()?)
        .args(["clients", &address.to_string(), &count.to_string()])
        .arg(directory.path())
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
    until(&broker, |s| s.subscriptions == count).await?;
    let connected = started.elapsed();
    let (after_kb, cpu) = (resident_kb()?, cpu_seconds()? - before_cpu);
    println!(
        "{count} mTLS connects and subscriptions: {connected:.2?}, broker CPU {:.3} ms each",
        cpu * 1e3 / count as f64
    );
    println!(
        "resident memory: {before_kb} kB before, {after_kb} kB after, {:.1} kB a client",
        (after_kb - before_kb) as f64 / count as f64
    );

    let papers = authority.issue_plane(now()?)?;
    let mut options = MqttOptions::new("plane", "localhost", address.port());
    let config = client_config(authority.certificate_pem(), Some((&papers.issued.certificate_pem, &papers.key_pem)))?;
    options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(config)));
    let (plane, mut events) = AsyncClient::new(options, 10);
    tokio::spawn(async move { while let Ok(Event::Incoming(_) | Event::Outgoing(_)) = events.poll().await {} });
    for (what, qos, bytes) in [
        ("1 KiB, QoS 0", QoS::AtMostOnce, 1 << 10),
        ("1 KiB, QoS 1", QoS::AtLeastOnce, 1 << 10),
        ("32 KiB, QoS 0", QoS::AtMostOnce, 32 << 10),
    ] {
        let (before_cpu, started) = (cpu_seconds()?, Instant::now());
        plane.publish(TOPIC, qos, false, vec![7; bytes]).await?;
        let line = lines.next_line().await?.ok_or("the clients ended")?;
        println!(
            "{what}: to all {line} clients in {:.1?}, broker CPU {:.1} ms",
            started.elapsed(),
            (cpu_seconds()? - before_cpu) * 1e3
        );
    }
    until(&broker, |s| s.pending == 0).await?;
    println!("resident memory after fan-out: {} kB", resident_kb()?);
    println!("{:?}", broker.stats().await?);
    Ok(())
}

/// Connects all clients; prints the number of clients after each message that all have received.
async fn clients(address: SocketAddr, count: usize, directory: &str) -> Result<()> {
    let authority = Arc::new(std::fs::read_to_string(format!("{directory}/ca.pem"))?);
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let (received, mut all) = tokio::sync::mpsc::unbounded_channel();
    let mut running = JoinSet::new();
    for n in 0..count {
        let papers = std::fs::read_to_string(format!("{directory}/{n}.pem"))?;
        let (authority, permits, received) = (Arc::clone(&authority), Arc::clone(&permits), received.clone());
        running.spawn(async move {
            let permit = permits.acquire_owned().await?;
            let config = client_config(&authority, Some((&papers, &papers)))?;
            let tcp = TcpStream::connect(address).await?;
            let mut stream = tokio_rustls::TlsConnector::from(config).connect("localhost".try_into()?, tcp).await?;
            let mut bytes = bytes::BytesMut::new();
            let connect =
                Connect { keep_alive: 1_000, client_id: format!("d{n}"), clean_start: true, properties: None };
            Packet::Connect(connect, None, None).write(&mut bytes, None)?;
            let mut subscribe = Subscribe::new(Filter::new("pn/v1/acme/blob/#", QoS::AtLeastOnce), None);
            subscribe.pkid = 1;
            Packet::Subscribe(subscribe).write(&mut bytes, None)?;
            stream.write_all(&bytes).await?;
            drop(permit);
            let mut read = bytes::BytesMut::new();
            loop {
                match Packet::read(&mut read, Some(1 << 20)) {
                    Ok(Packet::Publish(publish)) => {
                        received.send(())?;
                        if publish.pkid != 0 {
                            stream.write_all(&[0x40, 2, (publish.pkid >> 8) as u8, publish.pkid as u8]).await?;
                        }
                    }
                    Ok(_) => {}
                    Err(rumqttc::v5::mqttbytes::Error::InsufficientBytes(_)) => {
                        if stream.read_buf(&mut read).await? == 0 {
                            return Result::Ok(());
                        }
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        });
    }
    drop(received);
    let mut seen = 0;
    loop {
        tokio::select! {
            Some(()) = all.recv() => {
                seen += 1;
                if seen % count == 0 {
                    println!("{count}");
                }
            }
            Some(ended) = running.join_next() => ended??,
            else => return Ok(()),
        }
    }
}
