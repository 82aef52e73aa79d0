//! A client that writes MQTT 5 byte by byte, so that it can say what no library would.

use std::collections::VecDeque;
use std::net::SocketAddr;

use pinnace_controlplane::tls::client_config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::support::{PATIENCE, Papers};

/// Publishes on their way unacknowledged: both brokers take at least 64.
const WINDOW: usize = 32;

/// A message that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub payload: String,
    pub retain: bool,
}

/// The connection is over, with the broker's last words when it had any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone(pub Option<u8>);

/// What a client says first.
#[derive(Debug, Clone)]
pub struct Hello {
    pub client_id: String,
    pub version: u8,
    pub clean_start: bool,
    /// Seconds.
    pub session_expiry: u32,
    /// Topic, payload, whether it is retained.
    pub will: Option<(Vec<u8>, String, bool)>,
    pub user: Option<(String, String)>,
}

impl Hello {
    pub fn new(client_id: &str) -> Self {
        Self { client_id: client_id.into(), version: 5, clean_start: true, session_expiry: 0, will: None, user: None }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut flags = u8::from(self.clean_start) << 1;
        if let Some((_, _, retain)) = &self.will {
            flags |= 0b0000_1100 | u8::from(*retain) << 5;
        }
        if self.user.is_some() {
            flags |= 0b1100_0000;
        }
        let mut body = string(b"MQTT");
        body.extend([self.version, flags, 0, 60]);
        if self.version == 5 {
            body.extend([5, 0x11]);
            body.extend(self.session_expiry.to_be_bytes());
        }
        body.extend(string(self.client_id.as_bytes()));
        if let Some((topic, payload, _)) = &self.will {
            if self.version == 5 {
                body.push(0);
            }
            body.extend(string(topic));
            body.extend(string(payload.as_bytes()));
        }
        if let Some((user, password)) = &self.user {
            body.extend(string(user.as_bytes()));
            body.extend(string(password.as_bytes()));
        }
        packet(0x10, &body)
    }
}

/// Something to say.
#[derive(Debug, Clone)]
pub struct Say {
    pub topic: Vec<u8>,
    pub payload: String,
    pub qos: u8,
    pub retain: bool,
    pub properties: Vec<u8>,
}

impl Say {
    pub fn new(topic: impl AsRef<[u8]>, payload: &str) -> Self {
        let topic = topic.as_ref().to_vec();
        Self { topic, payload: payload.into(), qos: 1, retain: false, properties: Vec::new() }
    }

    fn bytes(&self, id: u16) -> Vec<u8> {
        let mut body = string(&self.topic);
        if self.qos > 0 {
            body.extend(id.to_be_bytes());
        }
        body.push(u8::try_from(self.properties.len()).unwrap());
        body.extend(&self.properties);
        body.extend(self.payload.as_bytes());
        packet(0x30 | self.qos << 1 | u8::from(self.retain), &body)
    }
}

/// Returns a property that is a number of two bytes.
pub fn short_property(id: u8, value: u16) -> Vec<u8> {
    let mut out = vec![id];
    out.extend(value.to_be_bytes());
    out
}

/// Returns a property that is a text.
pub fn text_property(id: u8, value: &str) -> Vec<u8> {
    let mut out = vec![id];
    out.extend(string(value.as_bytes()));
    out
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let mut out = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    out.extend(bytes);
    out
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let mut length = body.len();
    loop {
        let low = u8::try_from(length % 128).unwrap();
        length /= 128;
        out.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    out.extend(body);
    out
}

/// Takes a variable byte integer off the front.
fn variable(bytes: &mut &[u8]) -> usize {
    let (mut value, mut shift) = (0, 0);
    while let Some((byte, rest)) = bytes.split_first() {
        *bytes = rest;
        value |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

fn number(bytes: &mut &[u8]) -> u16 {
    u16::from_be_bytes(take(bytes, 2).try_into().unwrap())
}

pub struct Raw {
    stream: TlsStream<TcpStream>,
    next_id: u16,
    /// Messages that came while something else was awaited.
    pub inbox: VecDeque<Message>,
}

impl Raw {
    /// Opens TLS and says hello; returns whether an earlier session goes on.
    pub async fn connect(
        address: SocketAddr,
        authority_pem: &str,
        papers: &Papers,
        hello: &Hello,
    ) -> Result<(Self, bool), Gone> {
        let config = client_config(authority_pem, Some((&papers.certificate, &papers.key))).unwrap();
        let tcp = TcpStream::connect(address).await.map_err(|_| Gone(None))?;
        // What is said must not wait for an answer to what was said before.
        tcp.set_nodelay(true).unwrap();
        let stream =
            TlsConnector::from(config).connect("localhost".try_into().unwrap(), tcp).await.map_err(|_| Gone(None))?;
        let mut raw = Self { stream, next_id: 0, inbox: VecDeque::new() };
        raw.write(&hello.bytes()).await?;
        let (first, body) = raw.packet().await?;
        assert_eq!(first, 0x20, "CONNACK");
        if body[1] == 0 { Ok((raw, body[0] & 1 == 1)) } else { Err(Gone(Some(body[1]))) }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        let written = tokio::time::timeout(PATIENCE, async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        });
        written.await.expect("the broker reads").map_err(|_| Gone(None))
    }

    /// Reads one packet.
    async fn packet(&mut self) -> Result<(u8, Vec<u8>), Gone> {
        let read = tokio::time::timeout(PATIENCE, async {
            let first = self.stream.read_u8().await?;
            let (mut length, mut shift) = (0, 0);
            loop {
                let byte = self.stream.read_u8().await?;
                length |= usize::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            let mut body = vec![0; length];
            self.stream.read_exact(&mut body).await?;
            Ok::<_, std::io::Error>((first, body))
        });
        let (first, body) = read.await.expect("the awaited packet did not come").map_err(|_| Gone(None))?;
        if first == 0xe0 { Err(Gone(body.first().copied())) } else { Ok((first, body)) }
    }

    /// Reads until a packet of this kind; messages before it go to the inbox and are acknowledged.
    async fn until(&mut self, kind: u8) -> Result<Vec<u8>, Gone> {
        loop {
            let (first, body) = self.packet().await?;
            if first >> 4 == 3 {
                self.take_message(first, &body).await?;
            }
            if first >> 4 == kind {
                return Ok(body);
            }
        }
    }

    async fn take_message(&mut self, first: u8, body: &[u8]) -> Result<(), Gone> {
        let mut rest = body;
        let length = usize::from(number(&mut rest));
        let topic = String::from_utf8(take(&mut rest, length).to_vec()).unwrap();
        let id = if first & 0b110 == 0 { None } else { Some(number(&mut rest)) };
        let properties = variable(&mut rest);
        take(&mut rest, properties);
        let payload = String::from_utf8(rest.to_vec()).unwrap();
        self.inbox.push_back(Message { topic, payload, retain: first & 1 == 1 });
        match id {
            Some(id) => self.write(&packet(0x40, &id.to_be_bytes())).await,
            None => Ok(()),
        }
    }

    fn id(&mut self) -> u16 {
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        self.next_id
    }

    /// Subscribes to all filters with QoS 1; returns the reason codes.
    pub async fn subscribe<F: AsRef<[u8]>>(&mut self, filters: &[F]) -> Result<Vec<u8>, Gone> {
        let mut body = self.id().to_be_bytes().to_vec();
        body.push(0);
        for filter in filters {
            body.extend(string(filter.as_ref()));
            body.push(1);
        }
        self.write(&packet(0x82, &body)).await?;
        self.codes(9).await
    }

    /// Ends subscriptions; returns the reason codes.
    pub async fn unsubscribe<F: AsRef<[u8]>>(&mut self, filters: &[F]) -> Result<Vec<u8>, Gone> {
        let mut body = self.id().to_be_bytes().to_vec();
        body.push(0);
        for filter in filters {
            body.extend(string(filter.as_ref()));
        }
        self.write(&packet(0xa2, &body)).await?;
        self.codes(11).await
    }

    async fn codes(&mut self, kind: u8) -> Result<Vec<u8>, Gone> {
        let body = self.until(kind).await?;
        let mut rest = &body[2..];
        let properties = variable(&mut rest);
        Ok(rest[properties..].to_vec())
    }

    /// Publishes; returns the reason code, which for QoS 0 is always that of success.
    pub async fn publish(&mut self, say: &Say) -> Result<u8, Gone> {
        let id = self.id();
        self.write(&say.bytes(id)).await?;
        if say.qos == 0 {
            return Ok(0);
        }
        // PUBACK, or PUBREC from a broker that takes QoS 2.
        let body = self.until(if say.qos == 1 { 4 } else { 5 }).await?;
        Ok(body.get(2).copied().unwrap_or(0))
    }

    /// Publishes all with QoS 1, many at a time; all must be taken.
    pub async fn publish_all(&mut self, topics: &[String], payload: &str, retain: bool) {
        for window in topics.chunks(WINDOW) {
            let mut bytes = Vec::new();
            for topic in window {
                let id = self.id();
                bytes.extend(Say { retain, ..Say::new(topic, payload) }.bytes(id));
            }
            self.write(&bytes).await.unwrap();
            for _ in window {
                let body = self.until(4).await.unwrap();
                let reason = body.get(2).copied().unwrap_or(0);
                // 16: nobody listens.
                assert!(reason == 0 || reason == 16, "a message of the plane was refused: {reason:#x}");
            }
        }
    }

    /// Returns all messages up to the one with `topic` and `payload`, without that one.
    pub async fn messages_until(&mut self, topic: &str, payload: &str) -> Result<Vec<Message>, Gone> {
        let mut seen = Vec::new();
        loop {
            while let Some(message) = self.inbox.pop_front() {
                if message.topic == topic && message.payload == payload {
                    return Ok(seen);
                }
                seen.push(message);
            }
            self.until(3).await?;
        }
    }

    /// Waits until the broker has answered a ping: what was said before it has been heard.
    pub async fn ping(&mut self) -> Result<(), Gone> {
        self.write(&packet(0xc0, &[])).await?;
        self.until(13).await.map(drop)
    }

    /// Leaves in peace, or (`with_will`) asking for the will to be published; returns when the broker has closed.
    pub async fn leave(mut self, with_will: bool) {
        let reason: &[u8] = if with_will { &[4] } else { &[] };
        if self.write(&packet(0xe0, reason)).await.is_ok() {
            self.ended().await;
        }
    }

    /// Waits until the broker closes; returns its last word.
    pub async fn ended(&mut self) -> Gone {
        loop {
            if let Err(gone) = self.packet().await {
                return gone;
            }
        }
    }
}
