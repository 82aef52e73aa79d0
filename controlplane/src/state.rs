//! What the HTTP APIs and the dashboard share: reads of the steward's views, and the ways to change things.
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pinnace_controlplane_core::api::{Row, Table};
use pinnace_controlplane_core::history::EventRecord;
use pinnace_controlplane_core::views::{BundleCell, DevicePage, DriftPage, FleetPage, RolloutCell, RolloutPage};
use pinnace_protocol::ids::{BundleRef, DeviceId, Digest, RolloutId, TenantId};
use pinnace_protocol::trust::metadata::{ROOT, SNAPSHOT, TARGETS, TIMESTAMP};
use tokio::sync::{Semaphore, broadcast};
use tokio_util::sync::CancellationToken;

use crate::api::types::{HealthReply, StatsReply};
use crate::driver::{Clock, DriverCounters, DriverError, DriverHandle};
use crate::join::Admissions;
use crate::limits;
use crate::link::LinkCounters;
use crate::outbox::Outbox;
use crate::registry::status::{self, Expiry};
use crate::registry::{DIRECTOR, Registry};
use crate::store::{Reader, StoreError};

/// Shared by all handlers; cheap to clone.
#[derive(Clone)]
pub struct AppState(Arc<Inner>);

/// What [`AppState`] is made of.
pub struct Inner {
    /// The way to the steward.
    pub driver: DriverHandle,
    /// Reads the store.
    pub reader: Reader,
    /// What is published.
    pub registry: Arc<Registry>,
    /// Lets devices in.
    pub admissions: Admissions,
    /// The clock.
    pub clock: Clock,
    /// The tenant served.
    pub tenant: TenantId,
    /// The anchor document, as devices hash it.
    pub anchor: Bytes,
    /// SHA-256 of the admin token.
    pub admin: Digest,
    /// Whether offline keys lie beside the plane.
    pub development_keys: bool,
    /// Listeners of the history.
    pub events: broadcast::Sender<Arc<EventRecord>>,
    /// Counters of the driver.
    pub driver_counters: Arc<DriverCounters>,
    /// Counters of the link.
    pub link_counters: Arc<LinkCounters>,
    /// Messages to devices.
    pub outbox: Arc<Outbox>,
    /// When the process started.
    pub started: Instant,
    /// Uploads at once.
    pub uploads: Semaphore,
    /// Event streams at once.
    pub streams: Arc<Semaphore>,
    /// The embedded broker, when there is one.
    pub broker: tokio::sync::Mutex<Option<crate::broker::BrokerHandle>>,
    /// Cancelled when the plane stops: long answers end then.
    pub stop: CancellationToken,
    /// The last fleet page, which is the largest and most asked for.
    pub fleet: RwLock<Option<(Instant, Arc<FleetPage>)>>,
}

impl std::ops::Deref for AppState {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl AppState {
    /// Wraps the parts.
    pub fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Returns the whole fleet, at most [`limits::VIEWS_INTERVAL_MS`] old.
    ///
    /// # Errors
    /// [`DriverError::Stopped`].
    pub async fn fleet(&self) -> Result<Arc<FleetPage>, DriverError> {
        let kept = self.fleet.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, page)) = kept
            && at.elapsed() < Duration::from_millis(limits::VIEWS_INTERVAL_MS)
        {
            return Ok(page);
        }
        let page = Arc::new(self.driver.view(|steward| steward.fleet()).await?);
        *self.fleet.write().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), page.clone()));
        Ok(page)
    }

    /// Returns one device in full; `None` when it never joined.
    ///
    /// # Errors
    /// [`DriverError::Stopped`].
    pub async fn device(&self, device: &DeviceId) -> Result<Option<DevicePage>, DriverError> {
        let device = device.clone();
        self.driver.view(move |steward| steward.device(&device)).await
    }

    /// Returns all rollouts, newest first.
    ///
    /// # Errors
    /// [`DriverError::Stopped`].
    pub async fn rollouts(&self) -> Result<Vec<RolloutCell>, DriverError> {
        self.driver.view(|steward| steward.rollouts()).await
    }

    /// Returns one rollout in full; `None` when there is none of that name.
    ///
    /// # Errors
    /// [`DriverError::Stopped`].
    pub async fn rollout(&self, rollout: &RolloutId) -> Result<Option<RolloutPage>, DriverError> {
        let rollout = rollout.clone();
        self.driver.view(move |steward| steward.rollout(&rollout)).await
    }

    /// Returns all bundles.
    ///
    /// # Errors
    /// [`DriverError::Stopped`].
    pub async fn bundles(&self) -> Result<Vec<BundleCell>, DriverError> {
        self.driver.view(|steward| steward.bundles()).await
    }

    /// Returns the drift of one bundle; `None` when it was never published.
    ///
    /// # Errors
    /// [`DriverError::Stopped`].
    pub async fn drift(&self, bundle: &BundleRef) -> Result<Option<DriftPage>, DriverError> {
        let bundle = bundle.clone();
        self.driver.view(move |steward| steward.drift(&bundle)).await
    }

    /// Returns the history after an entry, oldest first, at most `limit` entries; from the beginning for `None`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events_after(&self, after: Option<u64>, limit: usize) -> Result<Vec<EventRecord>, StoreError> {
        let rows = self.reader.events_from(after.map_or(0, |seq| seq.saturating_add(1)), limit).await?;
        Ok(records(rows))
    }

    /// Returns the newest entries of the history, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events_newest(&self, limit: usize) -> Result<Vec<EventRecord>, StoreError> {
        let mut records = records(self.reader.events_newest(limit).await?);
        records.reverse();
        Ok(records)
    }

    /// Closes a device's connections to the embedded broker; an external one reads the revocation list.
    pub async fn expel(&self, device: &DeviceId) {
        let identity = crate::ca::Identity::Device { tenant: self.tenant.clone(), device: device.clone() };
        if let Some(broker) = self.broker.lock().await.as_ref()
            && let Err(error) = broker.expel(identity).await
        {
            tracing::warn!(%device, %error, "a revoked device may stay connected");
        }
    }

    /// Says whether everything that devices need works.
    pub fn health(&self) -> HealthReply {
        let broker_connected = self.driver_counters.connected.load(Ordering::Relaxed) == 1;
        let now = self.clock.unix_s();
        let mut complaints = Vec::new();
        if !broker_connected {
            complaints.push("no connection to the broker".to_owned());
        }
        let roles = status::roles(&self.registry.published(), &self.registry.director(), now);
        for role in roles.iter().filter(|role| role.expiry == Expiry::Expired) {
            match (role.repository.as_str(), role.role.as_str()) {
                (DIRECTOR, _) => complaints.push(format!("the {} has expired: devices take no orders", role.name())),
                (_, ROOT | TARGETS | SNAPSHOT | TIMESTAMP) => {
                    complaints.push(format!("the {} has expired: devices install nothing", role.name()));
                }
                // One family's end is no fault of the plane; the banner names it.
                _ => {}
            }
        }
        let healthy = complaints.is_empty();
        if self.development_keys {
            complaints.push("offline keys lie beside the control plane (development key set)".to_owned());
        }
        HealthReply {
            healthy,
            tenant: self.tenant.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            development_keys: self.development_keys,
            broker_connected,
            roles,
            complaints,
        }
    }

    /// Returns what was counted since the process started.
    pub fn stats(&self) -> StatsReply {
        let (d, l) = (&self.driver_counters, &self.link_counters);
        let get = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        StatsReply {
            uptime_s: self.started.elapsed().as_secs(),
            messages: get(&l.accepted),
            unknown: get(&l.unknown),
            unverified: get(&l.unverified),
            commits: get(&d.commits),
            events: get(&d.events),
            commit_max_us: get(&d.commit_max_us),
            directors: get(&d.directors),
            acks: get(&d.acks),
            frames: get(&l.frames),
            broadcasts: get(&l.broadcasts),
            frame_bytes: get(&l.frame_bytes),
            dropped: self.outbox.dropped(),
            log_lines: get(&d.log_lines),
            connections: get(&l.connections),
            failures: get(&l.failures),
        }
    }
}

fn records(rows: Vec<Row>) -> Vec<EventRecord> {
    rows.into_iter()
        .filter_map(|row| match row {
            Row::Event(record) => Some(record),
            other => {
                // The table holds nothing else: rows are decoded by their table.
                debug_assert_eq!(other.table(), Table::Event);
                None
            }
        })
        .collect()
}
