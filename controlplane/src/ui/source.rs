//! Where the dashboard takes its data from: the running plane, or anything else that can fill the steward's pages.
use std::future::Future;
use std::sync::Arc;

use pinnace_controlplane_core::history::EventRecord;
use pinnace_controlplane_core::views::{BundleCell, DevicePage, DriftPage, FleetPage, RolloutCell, RolloutPage};
use pinnace_protocol::ids::{BundleRef, DeviceId, RolloutId};
use pinnace_protocol::manifest::{Manifest, Role};

use super::limits::CARD_MAX_BYTES;
use crate::api::problem::Problem;
use crate::api::types::{HealthReply, StatsReply};
use crate::api::{driver_problem, store_problem};
use crate::state::AppState;

/// What a released bundle says of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Release {
    /// Its manifest; `None` when it cannot be read.
    pub manifest: Option<Manifest>,
    /// The text of its model card, cut to [`CARD_MAX_BYTES`].
    pub card: Option<String>,
}

/// Fills the dashboard's pages. All errors are [`Problem`]s; a page shows them with their hint.
pub trait Source: Clone + Send + Sync + 'static {
    /// Returns the whole fleet.
    fn fleet(&self) -> impl Future<Output = Result<Arc<FleetPage>, Problem>> + Send;
    /// Returns one device; `None` when it never joined.
    fn device(&self, id: &DeviceId) -> impl Future<Output = Result<Option<DevicePage>, Problem>> + Send;
    /// Returns all rollouts, newest first.
    fn rollouts(&self) -> impl Future<Output = Result<Vec<RolloutCell>, Problem>> + Send;
    /// Returns one rollout; `None` when there is none of that name.
    fn rollout(&self, id: &RolloutId) -> impl Future<Output = Result<Option<RolloutPage>, Problem>> + Send;
    /// Returns all bundles, newest first.
    fn bundles(&self) -> impl Future<Output = Result<Vec<BundleCell>, Problem>> + Send;
    /// Returns what a released bundle says of itself.
    fn release(&self, bundle: &BundleCell) -> impl Future<Output = Release> + Send;
    /// Returns the drift of a bundle; `None` when it was never published.
    fn drift(&self, bundle: &BundleRef) -> impl Future<Output = Result<Option<DriftPage>, Problem>> + Send;
    /// Returns at most `limit` entries of the history, newest first: those before `before`, or the newest.
    fn events(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<EventRecord>, Problem>> + Send;
    /// Says whether everything works.
    fn health(&self) -> HealthReply;
    /// Returns what was counted since the start.
    fn stats(&self) -> StatsReply;
}

impl Source for AppState {
    async fn fleet(&self) -> Result<Arc<FleetPage>, Problem> {
        Self::fleet(self).await.map_err(driver_problem)
    }

    async fn device(&self, id: &DeviceId) -> Result<Option<DevicePage>, Problem> {
        Self::device(self, id).await.map_err(driver_problem)
    }

    async fn rollouts(&self) -> Result<Vec<RolloutCell>, Problem> {
        Self::rollouts(self).await.map_err(driver_problem)
    }

    async fn rollout(&self, id: &RolloutId) -> Result<Option<RolloutPage>, Problem> {
        Self::rollout(self, id).await.map_err(driver_problem)
    }

    async fn bundles(&self) -> Result<Vec<BundleCell>, Problem> {
        Self::bundles(self).await.map_err(driver_problem)
    }

    async fn release(&self, bundle: &BundleCell) -> Release {
        let blobs = self.registry.blobs();
        let read = async |sha256, length: u64| {
            let length = usize::try_from(length).ok()?;
            // A damaged disk must not take the page away; the log and the device API name the cause.
            blobs.read(&sha256, 0, length).await.ok().flatten()
        };
        let target = &bundle.manifest;
        let Some(bytes) = read(target.sha256, target.length).await else { return Release::default() };
        let Ok(manifest) = Manifest::parse(&bytes) else { return Release::default() };
        let card = match manifest.blobs.iter().find(|b| b.role == Role::Card) {
            Some(blob) => read(blob.sha256, blob.length.min(CARD_MAX_BYTES as u64)).await,
            None => None,
        };
        Release { card: card.map(|c| String::from_utf8_lossy(&c).into_owned()), manifest: Some(manifest) }
    }

    async fn drift(&self, bundle: &BundleRef) -> Result<Option<DriftPage>, Problem> {
        Self::drift(self, bundle).await.map_err(driver_problem)
    }

    async fn events(&self, before: Option<u64>, limit: usize) -> Result<Vec<EventRecord>, Problem> {
        let mut records = match before {
            None => self.events_newest(limit).await,
            Some(0) => return Ok(Vec::new()),
            Some(before) => {
                // Entries are numbered without gaps.
                let first = before.saturating_sub(limit as u64);
                let count = usize::try_from(before - first).unwrap_or(limit);
                self.events_after(first.checked_sub(1), count).await
            }
        }
        .map_err(store_problem)?;
        records.reverse();
        Ok(records)
    }

    fn health(&self) -> HealthReply {
        Self::health(self)
    }

    fn stats(&self) -> StatsReply {
        Self::stats(self)
    }
}
