//! The broker's shell: one task for the core, one per connection, bounded channels between them.
//!
//! The core never waits for a connection: what it sends is bounded by credits that the connection
//! gives back when it has written. A connection waits for the core, and stops reading meanwhile.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{self, Outgoing};
use super::core::{Core, Input, Output};
use super::limits::{CONNECTIONS_MAX, CORE_CHANNEL, OUTBOX_REPLIES_MAX, PACKET_MAX_BYTES, SHUTDOWN_TIMEOUT_MS};
use super::session::ConnId;
use super::stats::Stats;
use crate::ca::{Identity, Peer, Serial};
use crate::tls::{DenyList, TlsListener};

/// How the broker listens.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// The address listened on; port 0 takes any free one.
    pub listen: SocketAddr,
    /// TLS with [`crate::tls::ClientAuth::Required`].
    pub tls: Arc<ServerConfig>,
    /// Certificates that are refused, and whose connections are closed as soon as they are on this list.
    pub deny: DenyList,
    /// Bytes of a packet, at most [`PACKET_MAX_BYTES`], which is also the default.
    pub packet_max: usize,
    /// Connections at once, at most [`CONNECTIONS_MAX`], which is also the default.
    pub connections_max: usize,
}

impl BrokerConfig {
    /// Returns the defaults for an address and TLS.
    pub fn new(listen: SocketAddr, tls: Arc<ServerConfig>) -> Self {
        Self { listen, tls, deny: DenyList::default(), packet_max: PACKET_MAX_BYTES, connections_max: CONNECTIONS_MAX }
    }
}

/// Says why the broker did not start or no longer answers.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The address cannot be listened on.
    #[error(
        "the broker cannot listen on {address}: {error}\n  hint: is another process using the port? choose another with --mqtt"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        error: std::io::Error,
    },
    /// The broker has stopped.
    #[error("the broker has stopped\n  hint: look for its last message in the log; restart the control plane")]
    Stopped,
}

/// The embedded broker.
#[derive(Debug)]
pub struct Broker;

/// A running broker. Dropping it stops the broker without goodbyes.
#[derive(Debug)]
pub struct BrokerHandle {
    local: SocketAddr,
    commands: mpsc::Sender<Command>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

enum Command {
    Stats(oneshot::Sender<Stats>),
    Expel(Identity),
    Shutdown,
}

impl Broker {
    /// Starts listening and serving in the background of the current tokio runtime.
    ///
    /// # Errors
    /// [`BrokerError::Listen`] when the address cannot be used.
    pub async fn start(config: BrokerConfig) -> Result<BrokerHandle, BrokerError> {
        let address = config.listen;
        let listener = TlsListener::bind(address, config.tls, config.deny.clone())
            .await
            .map_err(|error| BrokerError::Listen { address, error })?;
        let local = listener.local_address();
        let (commands, command_receiver) = mpsc::channel(16);
        let (inputs, input_receiver) = mpsc::channel(CORE_CHANNEL);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let packet_max = config.packet_max.min(PACKET_MAX_BYTES);
        let shell = Shell {
            core: Core::new(u32::try_from(packet_max).unwrap_or(u32::MAX)),
            started: Instant::now(),
            open: HashMap::new(),
            deny: config.deny,
            packet_max,
            connections_max: config.connections_max.min(CONNECTIONS_MAX),
            inputs,
            tasks: tasks.clone(),
            stop: stop.clone(),
            next_conn: 1,
        };
        tasks.spawn(shell.run(listener, input_receiver, command_receiver));
        tasks.close();
        tracing::info!(%local, "the MQTT broker listens");
        Ok(BrokerHandle { local, commands, stop, tasks })
    }
}

impl BrokerHandle {
    /// Returns the address listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Returns counts of what the broker holds and has done.
    ///
    /// # Errors
    /// [`BrokerError::Stopped`].
    pub async fn stats(&self) -> Result<Stats, BrokerError> {
        let (sender, receiver) = oneshot::channel();
        self.command(Command::Stats(sender)).await?;
        receiver.await.map_err(|_| BrokerError::Stopped)
    }

    /// Closes all connections of an identity and forgets its sessions; put its certificate on the deny list first. What
    /// is on that list loses its connections by itself; this also ends the sessions of a client that is away.
    ///
    /// # Errors
    /// [`BrokerError::Stopped`].
    pub async fn expel(&self, identity: Identity) -> Result<(), BrokerError> {
        self.command(Command::Expel(identity)).await
    }

    /// Says goodbye to all clients and stops; returns when all connections are closed or have had their time.
    pub async fn shutdown(self) {
        if self.command(Command::Shutdown).await.is_ok() {
            let limit = Duration::from_millis(SHUTDOWN_TIMEOUT_MS);
            if tokio::time::timeout(limit, self.tasks.wait()).await.is_err() {
                tracing::debug!("some clients did not take their goodbye in time");
            }
        }
        self.stop.cancel();
        self.tasks.wait().await;
    }

    async fn command(&self, command: Command) -> Result<(), BrokerError> {
        self.commands.send(command).await.map_err(|_| BrokerError::Stopped)
    }
}

impl Drop for BrokerHandle {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// An open connection.
struct Open {
    outbox: mpsc::Sender<Outgoing>,
    peer: Peer,
}

struct Shell {
    core: Core,
    started: Instant,
    open: HashMap<ConnId, Open>,
    deny: DenyList,
    packet_max: usize,
    connections_max: usize,
    inputs: mpsc::Sender<Input>,
    tasks: TaskTracker,
    stop: CancellationToken,
    next_conn: ConnId,
}

impl Shell {
    async fn run(
        mut self,
        mut listener: TlsListener,
        mut inputs: mpsc::Receiver<Input>,
        mut commands: mpsc::Receiver<Command>,
    ) {
        let mut revoked = self.deny.changes();
        loop {
            let deadline = self.core.next_deadline().map(|ms| self.started + Duration::from_millis(ms));
            // Without a deadline this branch is disabled; the value does not matter then.
            let tick = tokio::time::sleep_until(deadline.unwrap_or(self.started));
            tokio::select! {
                () = self.stop.cancelled() => return,
                command = commands.recv() => match command {
                    Some(Command::Stats(answer)) => drop(answer.send(self.core.stats())),
                    Some(Command::Expel(identity)) => self.handle(Input::Expel { identity }),
                    Some(Command::Shutdown) => {
                        // Everyone is told; the connections end by themselves.
                        return self.handle(Input::Shutdown);
                    }
                    None => return,
                },
                Some(input) = inputs.recv() => self.handle(input),
                (stream, from) = listener.next() => self.open(stream, from),
                // The list lives as long as this shell does.
                Ok(()) = revoked.changed() => {
                    let serials = revoked.borrow_and_update().clone();
                    self.expel_revoked(&serials);
                }
                () = tick, if deadline.is_some() => self.handle(Input::Tick),
            }
        }
    }

    fn open(&mut self, stream: connection::Stream, from: crate::tls::PeerAddr) {
        let Some(peer) = from.peer else {
            return tracing::debug!(address = %from.address, "a client without certificate was refused");
        };
        if self.open.len() >= self.connections_max {
            return tracing::warn!(address = %from.address, "a client was refused: {} connections are open", self.open.len());
        }
        // Revoked while it waited here: the change was told before it was counted among the open ones.
        if self.deny.contains(&peer.serial) {
            return tracing::debug!(address = %from.address, identity = %peer.identity, "a revoked client was refused");
        }
        let conn = self.next_conn;
        self.next_conn += 1;
        tracing::debug!(conn, address = %from.address, identity = %peer.identity, "a client connected");
        // Room for every reply that the core may have outstanding, and the goodbye.
        let (outbox, outgoing) = mpsc::channel(OUTBOX_REPLIES_MAX as usize + 4);
        let identity = peer.identity.clone();
        self.open.insert(conn, Open { outbox, peer });
        self.handle(Input::Opened { conn, identity });
        let (inputs, stop, packet_max) = (self.inputs.clone(), self.stop.clone(), self.packet_max);
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = connection::run(conn, stream, packet_max, inputs, outgoing) => {}
            }
        });
    }

    /// Closes the connections of revoked certificates. A newer certificate of the same device may have to connect again.
    fn expel_revoked(&mut self, serials: &BTreeSet<Serial>) {
        let revoked = self.open.values().filter(|open| serials.contains(&open.peer.serial));
        let identities: BTreeSet<Identity> = revoked.map(|open| open.peer.identity.clone()).collect();
        for identity in identities {
            tracing::info!(%identity, "its certificate was revoked; its connections are closed");
            self.handle(Input::Expel { identity });
        }
    }

    fn handle(&mut self, input: Input) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        for output in self.core.handle(now, input) {
            match output {
                Output::Send { conn, reply } => {
                    // Fails only when the connection has ended, which it reports itself.
                    if let Some(open) = self.open.get(&conn) {
                        drop(open.outbox.try_send(Outgoing::Reply(reply)));
                    }
                }
                Output::Close { conn } => {
                    if let Some(open) = self.open.remove(&conn) {
                        drop(open.outbox.try_send(Outgoing::Close));
                    }
                }
            }
        }
    }
}
