//! Starting and stopping a control plane: everything in one data directory, in one process.
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use axum::Router;
use bytes::Bytes;
use pinnace_controlplane_core::Steward;
use pinnace_controlplane_core::api::Config as StewardConfig;
use pinnace_protocol::ids::{Digest, TenantId};
use pinnace_protocol::join::Anchor;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::blobs::Blobs;
use crate::broker::{Broker, BrokerConfig};
use crate::ca::CertificateAuthority;
use crate::ceremony::{development, first};
use crate::datadir::{self, DataDir};
use crate::director::Director;
use crate::driver::{Clock, Driver, DriverCounters, Parts, parse_key};
use crate::error::PlaneError;
use crate::frames::Frames;
use crate::join::Admissions;
use crate::keys::KeySet;
use crate::link::{Keyring, Link, LinkConfig, LinkCounters};
use crate::outbox::Outbox;
use crate::registry::{DIRECTOR, DirectorRoots, IMAGE, Published, Registry};
use crate::revocation::Revocations;
use crate::state::{AppState, Inner};
use crate::store::{self, Extra, Reader, StoreError, Writer};
use crate::tls::{self, ClientAuth, DenyList, HandshakeLimits, TlsListener};
use crate::vendor::{VendorConfig, Vendors};
use crate::{api, device_api, http, limits};

/// Where the broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mqtt {
    /// In this process, listening here; port 0 takes a free one and keeps it.
    Embedded {
        /// The address listened on.
        addr: SocketAddr,
    },
    /// Elsewhere; its certificate must come from this plane's authority.
    External {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
    },
}

/// How a control plane runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Everything is in here; made when it is not there.
    pub data_dir: PathBuf,
    /// Operators' API and dashboard, plain HTTP; port 0 takes a free one and keeps it.
    pub http_addr: SocketAddr,
    /// Devices' API, HTTPS; port 0 takes a free one and keeps it.
    pub https_addr: SocketAddr,
    /// The broker.
    pub mqtt: Mqtt,
    /// The tenant served.
    pub tenant: TenantId,
    /// The host name or address that devices use; needed when listening on all addresses.
    pub public_host: Option<String>,
    /// Makers whose devices may join by their certificates.
    pub vendors: Option<VendorConfig>,
    /// What the steward is told once: how windows become intervals.
    pub steward: StewardConfig,
}

impl Config {
    /// Returns a plane on this machine alone, with free ports, in `data_dir`.
    pub fn local(data_dir: PathBuf, tenant: TenantId) -> Self {
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            data_dir,
            http_addr: addr,
            https_addr: addr,
            mqtt: Mqtt::Embedded { addr },
            tenant,
            public_host: None,
            vendors: None,
            steward: StewardConfig::default(),
        }
    }
}

/// A control plane.
#[derive(Debug)]
pub struct ControlPlane;

/// A running control plane. Dropping it stops everything without goodbyes; nothing durable is lost.
pub struct Handle {
    /// Operators' API and dashboard.
    pub http_addr: SocketAddr,
    /// Devices' API.
    pub https_addr: SocketAddr,
    /// The embedded broker.
    pub mqtt_addr: Option<SocketAddr>,
    /// What a write to the API needs; also in `admin.token` in the data directory.
    pub admin_token: String,
    state: AppState,
    stop: CancellationToken,
    tasks: TaskTracker,
    driver: tokio::task::JoinHandle<Result<(), StoreError>>,
    /// Held until the end: two planes must not share a data directory.
    _lock: std::fs::File,
}

impl ControlPlane {
    /// Starts a control plane in the background of the current tokio runtime.
    ///
    /// # Errors
    /// [`PlaneError`] when the data directory is in use, a file is damaged, or an address is taken.
    pub async fn start(config: Config) -> Result<Handle, PlaneError> {
        let dir = DataDir::open(&config.data_dir)?;
        let clock = Clock::start();
        let (mut writer, reader) = store::open(&dir.database()).await?;
        let keys = first_metadata(&dir, &mut writer, &reader, clock.unix_s()).await?;
        let files = reader.metadata(IMAGE).await?.into_iter().map(|(name, bytes)| (name, Bytes::from(bytes))).collect();
        let director_roots = DirectorRoots::load(reader.metadata(DIRECTOR).await?, &keys)?;
        let registry =
            Arc::new(Registry::new(Blobs::open(&dir.blobs())?, &keys, Published::load(files)?, director_roots)?);

        let ca = datadir::authority(&dir, clock.unix_s())?;
        let mut names: Vec<String> = config.public_host.iter().cloned().collect();
        names.push(config.https_addr.ip().to_string());
        if let Mqtt::Embedded { addr } = &config.mqtt {
            names.push(addr.ip().to_string());
        }
        let server = ca.issue_server(&names, clock.unix_s())?;
        let plane = ca.issue_plane(clock.unix_s())?;
        let deny = DenyList::default();

        let tls = |auth| tls::server_config(ca.certificate_pem(), &server, auth);
        let (broker, mqtt_addr) = match &config.mqtt {
            Mqtt::Embedded { addr } => {
                let listen = remembered(&mut writer, "mqtt", *addr).await?;
                let mut broker = BrokerConfig::new(listen, tls(ClientAuth::Required)?);
                broker.deny = deny.clone();
                let broker = Broker::start(broker).await?;
                let addr = broker.local_addr();
                (Some(broker), Some(addr))
            }
            Mqtt::External { .. } => (None, None),
        };
        let listen = remembered(&mut writer, "https", config.https_addr).await?;
        let vendors = config.vendors.as_ref().map(|v| Vendors::new(v, ca.certificate_pem())).transpose()?.map(Arc::new);
        let https_tls = match &vendors {
            None => tls(ClientAuth::Optional)?,
            Some(vendors) => tls::server_config_with(vendors.verifier(), &server)?,
        };
        let limits = HandshakeLimits::default();
        let https = TlsListener::bind_for_vendors(listen, https_tls, deny.clone(), limits, vendors.clone())
            .await
            .map_err(|source| PlaneError::Listen { address: listen, source })?;
        let https_addr = https.local_address();
        let listen = remembered(&mut writer, "http", config.http_addr).await?;
        let taken = |source| PlaneError::Listen { address: listen, source };
        let http = TcpListener::bind(listen).await.map_err(taken)?;
        let http_addr = http.local_addr().map_err(taken)?;
        for (name, addr) in [("http", Some(http_addr)), ("https", Some(https_addr)), ("mqtt", mqtt_addr)] {
            if let Some(addr) = addr {
                writer.put_setting(&address_key(name), addr.to_string().as_bytes()).await?;
            }
        }

        let places = Places::of(&config, http_addr, https_addr, mqtt_addr)?;
        let anchor = anchor(&config, &places, &mut writer, &registry, &keys, &ca, clock.unix_s()).await?;

        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (outbox, keyring) = (Arc::new(Outbox::default()), Arc::new(Keyring::default()));
        for device in reader.speaking().await? {
            let key = parse_key(&device.report_key);
            keyring.insert(device.device, key.ok_or(StoreError::Damaged { table: "enrolled", what: "report key" })?);
        }
        let revocations = Revocations::open(dir.revocation_list(), deny, &ca, clock.unix_s())?;
        let (steward, first) = Steward::recover(config.steward, writer.rows().await?, clock.now())?;
        let director = Director::new(registry.clone(), reader.director_sequences().await?);
        let (events, _) = broadcast::channel(limits::EVENT_STREAM_BUFFER);
        let (driver_counters, link_counters) = (Arc::<DriverCounters>::default(), Arc::<LinkCounters>::default());
        let parts = Parts {
            clock,
            tenant: config.tenant.clone(),
            writer,
            director,
            plane_key: keys.plane()?,
            outbox: outbox.clone(),
            keyring: keyring.clone(),
            registry: registry.clone(),
            events: events.clone(),
            counters: driver_counters.clone(),
        };
        let (to_driver, from_link) = mpsc::channel(limits::DRIVER_CHANNEL);
        let (driver, driver_handle) = Driver::new(parts, steward, from_link);

        let admissions = Admissions::new(
            ca,
            config.tenant.clone(),
            clock,
            driver_handle.clone(),
            reader.clone(),
            revocations,
            (places.http_url.clone(), Digest::of(&anchor)),
        )?
        .with_vendors(vendors);
        admissions.refresh_or_log().await?;
        let admin_token = datadir::admin_token(&dir)?;
        let link = LinkConfig {
            host: places.link_host.clone(),
            port: places.link_port,
            client_id: format!("pinnace-plane-{}", config.tenant),
            tls: tls::client_config(&places.ca_pem(&anchor)?, Some((&plane.issued.certificate_pem, &plane.key_pem)))?,
            tenant: config.tenant.clone(),
        };
        let link = Link::new(link, outbox.clone(), keyring, link_counters.clone(), Frames::new(registry.clone()));
        let state = AppState::new(Inner {
            driver: driver_handle,
            reader,
            registry,
            admissions,
            clock,
            tenant: config.tenant,
            anchor,
            admin: Digest::of(admin_token.as_bytes()),
            development_keys: keys.is_development(),
            events,
            driver_counters,
            link_counters,
            outbox,
            started: Instant::now(),
            uploads: Semaphore::new(limits::UPLOADS_MAX),
            streams: Arc::new(Semaphore::new(limits::EVENT_STREAMS_MAX)),
            broker: tokio::sync::Mutex::new(broker),
            stop: stop.clone(),
            fleet: RwLock::new(None),
        });

        let driver = {
            let stop = stop.clone();
            tokio::spawn(async move {
                // Without the driver nothing else makes sense, however it ended.
                let _guard = stop.clone().drop_guard();
                driver.run(first, stop).await
            })
        };
        tasks.spawn(link.run(to_driver, stop.clone()));
        tasks.spawn(http::serve(
            http,
            api::routes(state.clone(), pages(&state)),
            limits::HTTP_CONNECTIONS_MAX,
            stop.clone(),
        ));
        tasks.spawn(http::serve(https, device_api::routes(state.clone()), limits::HTTPS_CONNECTIONS_MAX, stop.clone()));
        tasks.spawn(refresh(state.clone(), stop.clone()));
        tasks.close();
        tracing::info!(http = %http_addr, https = %https_addr, mqtt = ?mqtt_addr, "the control plane is up");
        let lock = dir.into_lock();
        Ok(Handle { http_addr, https_addr, mqtt_addr, admin_token, state, stop, tasks, driver, _lock: lock })
    }
}

impl Handle {
    /// Returns the address of operators' API and dashboard, e.g. `http://127.0.0.1:7878`.
    pub fn url(&self) -> String {
        format!("http://{}", self.http_addr)
    }

    /// Returns the SHA-256 of the trust anchor, as devices without a token must know it.
    pub fn anchor_hash(&self) -> Digest {
        Digest::of(&self.state.anchor)
    }

    /// Returns what the APIs work on, for programs that run a plane inside themselves.
    pub const fn state(&self) -> &AppState {
        &self.state
    }

    /// Waits until the plane stops by itself, which it does only when its database cannot be written.
    ///
    /// # Errors
    /// [`PlaneError`] with the cause.
    pub async fn wait(&mut self) -> Result<(), PlaneError> {
        match (&mut self.driver).await {
            Ok(outcome) => Ok(outcome?),
            Err(error) => Err(PlaneError::Task(error.to_string())),
        }
    }

    /// Stops: no new requests, open ones get their time, the broker says goodbye, the database is closed.
    ///
    /// # Errors
    /// [`PlaneError`] when the plane had failed before.
    pub async fn shutdown(mut self) -> Result<(), PlaneError> {
        self.stop.cancel();
        let outcome = if self.driver.is_finished() { Ok(()) } else { self.wait().await };
        let limit = Duration::from_millis(2 * limits::SHUTDOWN_TIMEOUT_MS);
        if tokio::time::timeout(limit, self.tasks.wait()).await.is_err() {
            tracing::warn!("some tasks did not end in time");
        }
        if let Some(broker) = self.state.broker.lock().await.take() {
            broker.shutdown().await;
        }
        self.state.reader.close().await;
        outcome
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop.cancel();
        self.driver.abort();
    }
}

/// Returns the dashboard's pages.
fn pages(state: &AppState) -> Router {
    crate::ui::routes(state.clone())
}

/// Writes keys and metadata when the database has none yet; returns the keys.
async fn first_metadata(dir: &DataDir, writer: &mut Writer, reader: &Reader, now: u64) -> Result<KeySet, PlaneError> {
    if !reader.metadata(IMAGE).await?.is_empty() {
        let keys = KeySet::open(&dir.keys());
        if keys.is_development() {
            tracing::warn!("DEVELOPMENT KEY SET: offline keys lie beside the control plane; see `pinnace keys init`");
        }
        return Ok(keys);
    }
    let (keys, first) = if first::is_there(dir.path()) {
        let keys = KeySet::open_online(&dir.keys())?;
        let first = first::load(dir.path(), &keys, now)?;
        tracing::info!("the repositories begin with the metadata of a ceremony; no offline key is here");
        (keys, first)
    } else {
        first::check_not_begun(&dir.keys())?;
        let keys = KeySet::create(&dir.keys())?;
        let first = development::first_metadata(&keys, now)?;
        (keys, first)
    };
    let extras = [
        Extra::Metadata { repository: IMAGE, files: first.image, drop: Vec::new() },
        Extra::Metadata { repository: DIRECTOR, files: first.director, drop: Vec::new() },
    ];
    writer.commit(&Default::default(), &extras).await?;
    Ok(keys)
}

fn address_key(name: &str) -> String {
    format!("address:{name}")
}

/// Returns the address to listen on: a free port is chosen once and kept, because devices know it.
async fn remembered(writer: &mut Writer, name: &str, wanted: SocketAddr) -> Result<SocketAddr, PlaneError> {
    if wanted.port() != 0 {
        return Ok(wanted);
    }
    let stored = writer.setting(&address_key(name)).await?;
    let last = stored.and_then(|bytes| String::from_utf8(bytes).ok()?.parse::<SocketAddr>().ok());
    Ok(last.filter(|last| last.ip() == wanted.ip()).unwrap_or(wanted))
}

/// How others reach this plane.
struct Places {
    http_url: String,
    https_url: String,
    mqtt: String,
    link_host: String,
    link_port: u16,
}

impl Places {
    fn of(config: &Config, http: SocketAddr, https: SocketAddr, mqtt: Option<SocketAddr>) -> Result<Self, PlaneError> {
        let host = |addr: SocketAddr| match &config.public_host {
            Some(host) => Ok(host.clone()),
            None if addr.ip().is_unspecified() => Err(PlaneError::PublicHost(addr)),
            None if addr.is_ipv6() => Ok(format!("[{}]", addr.ip())),
            None => Ok(addr.ip().to_string()),
        };
        let (mqtt, link_host, link_port) = match (&config.mqtt, mqtt) {
            (Mqtt::External { host, port }, _) => (format!("{host}:{port}"), host.clone(), *port),
            (Mqtt::Embedded { addr }, local) => {
                let local = local.unwrap_or(*addr);
                let near = if local.ip().is_unspecified() { "127.0.0.1".to_owned() } else { local.ip().to_string() };
                (format!("{}:{}", host(local)?, local.port()), near, local.port())
            }
        };
        Ok(Self {
            http_url: format!("http://{}:{}", host(http)?, http.port()),
            https_url: format!("https://{}:{}", host(https)?, https.port()),
            mqtt,
            link_host,
            link_port,
        })
    }

    /// Reads the authority's certificate back from the anchor: the link trusts exactly what devices trust.
    fn ca_pem(&self, anchor: &[u8]) -> Result<String, PlaneError> {
        let anchor: Anchor =
            serde_json::from_slice(anchor).map_err(|_| StoreError::Damaged { table: "setting", what: "anchor" })?;
        Ok(anchor.ca_pem)
    }
}

/// Returns the anchor document; the stored one as long as nothing in it changed, so that open invitations stay good.
async fn anchor(
    config: &Config,
    places: &Places,
    writer: &mut Writer,
    registry: &Registry,
    keys: &KeySet,
    ca: &CertificateAuthority,
    now: u64,
) -> Result<Bytes, PlaneError> {
    let published = registry.published();
    let image_root = published.metadata(&format!("{}.root.json", published.root_version()));
    let director_root = Some(registry.director().newest_bytes().to_vec());
    let text = |bytes: Option<Vec<u8>>| {
        let damaged = PlaneError::from(StoreError::Damaged { table: "metadata", what: "root" });
        bytes.and_then(|b| String::from_utf8(b).ok()).ok_or(damaged)
    };
    let mut anchor = Anchor {
        tenant: config.tenant.clone(),
        image_root: text(image_root.map(|b| b.to_vec()))?,
        director_root: text(director_root)?,
        ca_pem: ca.certificate_pem().to_owned(),
        plane_key: hex::encode(keys.plane()?.verifying_key().to_bytes()),
        https_url: places.https_url.clone(),
        mqtt: places.mqtt.clone(),
        issued: now,
    };
    if let Some(stored) = writer.setting("anchor").await?
        && let Ok(old) = serde_json::from_slice::<Anchor>(&stored)
    {
        anchor.issued = old.issued;
        if anchor == old {
            return Ok(stored.into());
        }
        anchor.issued = now;
    }
    let bytes = anchor.to_bytes();
    writer.put_setting("anchor", &bytes).await?;
    Ok(bytes.into())
}

/// Signs snapshot, timestamp and the revocation list anew before they expire.
async fn refresh(state: AppState, stop: CancellationToken) {
    loop {
        let turn = state.registry.lock().await;
        match state.registry.refreshed(state.clock.unix_s()) {
            Ok(Some(candidate)) => {
                if let Err(error) = state.driver.refresh(candidate).await {
                    tracing::error!(%error, "the repository's timestamp was not renewed");
                }
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the repository's timestamp was not renewed"),
        }
        drop(turn);
        if let Err(error) = state.admissions.refresh_or_log().await {
            tracing::error!(%error, "the deny list was not renewed");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_millis(limits::REFRESH_CHECK_MS)) => {}
        }
    }
}
