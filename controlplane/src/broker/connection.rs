//! One client's connection: bytes in, requests to the core; replies from the core, bytes out.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;

use super::codec::{Decoder, encode};
use super::core::Input;
use super::limits::{OUTBOX_REPORT, READ_BUFFER_BYTES, WRITE_BATCH_BYTES, WRITE_TIMEOUT_MS};
use super::packet::Reply;
use super::session::ConnId;

/// What a connection reads from and writes to.
pub(super) type Stream = TlsStream<TcpStream>;

/// What the core hands to a connection.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// Write this.
    Reply(Reply),
    /// Write what came before, then close.
    Close,
}

/// Serves a connection until it ends, and tells the core. Not even a defect of the codec reaches further than this connection.
pub(super) async fn run(
    conn: ConnId,
    stream: Stream,
    packet_max: usize,
    inputs: mpsc::Sender<Input>,
    outgoing: mpsc::Receiver<Outgoing>,
) {
    let served = AssertUnwindSafe(serve(conn, stream, packet_max, &inputs, outgoing)).catch_unwind().await;
    if served.is_err() {
        tracing::error!(conn, "serving a connection panicked; it was closed");
    }
    // The core is gone only when the broker stops.
    drop(inputs.send(Input::Closed { conn }).await);
}

async fn serve(
    conn: ConnId,
    mut stream: Stream,
    packet_max: usize,
    inputs: &mpsc::Sender<Input>,
    mut outgoing: mpsc::Receiver<Outgoing>,
) {
    let mut decoder = Decoder::new(packet_max);
    let mut read = BytesMut::new();
    let mut unreported = 0;
    // Set once the client sent what it must not: nothing more is read, but the core's last word is written.
    let mut deaf = false;
    loop {
        if read.capacity() == read.len() {
            read.reserve(READ_BUFFER_BYTES);
        }
        tokio::select! {
            received = stream.read_buf(&mut read), if !deaf => match received {
                Ok(0) | Err(_) => return,
                Ok(_) => match requests(conn, &mut decoder, &mut read, inputs).await {
                    Some(heard) => deaf = !heard,
                    None => return,
                },
            },
            first = outgoing.recv() => {
                let Some(first) = first else { return };
                let (bytes, packets, close) = gather(first, &mut outgoing);
                let limit = Duration::from_millis(WRITE_TIMEOUT_MS);
                let written = tokio::time::timeout(limit, async {
                    stream.write_all(&bytes).await?;
                    stream.flush().await
                });
                if !matches!(written.await, Ok(Ok(()))) {
                    return;
                }
                if close {
                    // The client may be gone already.
                    drop(tokio::time::timeout(limit, stream.shutdown()).await);
                    return;
                }
                unreported += packets;
                if unreported >= OUTBOX_REPORT {
                    if inputs.send(Input::Written { conn, packets: unreported }).await.is_err() {
                        return;
                    }
                    unreported = 0;
                }
            }
        }
    }
}

/// Passes all complete requests to the core; returns whether reading goes on, or `None` when the core is gone.
async fn requests(
    conn: ConnId,
    decoder: &mut Decoder,
    read: &mut BytesMut,
    inputs: &mpsc::Sender<Input>,
) -> Option<bool> {
    loop {
        let input = match decoder.decode(read) {
            Ok(Some(request)) => Input::Request { conn, request },
            Ok(None) => break,
            Err(error) => {
                tracing::debug!(conn, %error, "a client was refused");
                inputs.send(Input::Malformed { conn, reason: error.0 }).await.ok()?;
                return Some(false);
            }
        };
        inputs.send(input).await.ok()?;
    }
    // A large packet must not leave its buffer behind on an idle connection.
    if read.is_empty() && read.capacity() > READ_BUFFER_BYTES {
        *read = BytesMut::new();
    }
    Some(true)
}

/// Encodes what waits, up to one batch; returns the bytes, the number of packets, and whether to close then.
fn gather(first: Outgoing, outgoing: &mut mpsc::Receiver<Outgoing>) -> (Vec<u8>, u32, bool) {
    let mut bytes = Vec::new();
    let mut packets = 0;
    let mut next = Some(first);
    while let Some(item) = next {
        match item {
            Outgoing::Close => return (bytes, packets, true),
            Outgoing::Reply(reply) => {
                packets += 1;
                if let Err(error) = encode(&reply, &mut bytes) {
                    tracing::error!(%error, ?reply, "a reply could not be written");
                }
            }
        }
        next = if bytes.len() < WRITE_BATCH_BYTES { outgoing.try_recv().ok() } else { None };
    }
    (bytes, packets, false)
}
