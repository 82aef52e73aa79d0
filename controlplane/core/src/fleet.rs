//! What the steward knows of each device, and in which order it believes its messages.
use alloc::string::String;
use alloc::vec::Vec;
use pinnace_protocol::ids::{BundleRef, DeviceId, RolloutId};
use pinnace_protocol::limits::{EPOCHS_MAX, LABELS_MAX, TEXT_MAX_BYTES};
use pinnace_protocol::manifest::TrialPolicy;
use pinnace_protocol::message::{Counter, Failure, Health, Hello, Phase, Report, Running, TrialStats};
use serde::{Deserialize, Serialize};

use crate::clone::{self, Cloned};

/// What a device should run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The bundle.
    pub bundle: BundleRef,
    /// The rollout that asks for it; none for a plain assignment.
    pub rollout: Option<RolloutId>,
    /// Whether the fleet takes a version back.
    pub rollback: bool,
    /// What the candidate must prove.
    pub trial: TrialPolicy,
    /// Since when, steward time in milliseconds.
    pub since_ms: u64,
}

/// A bundle that a device is not offered for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// The bundle.
    pub bundle: BundleRef,
    /// Until when, steward time in milliseconds.
    pub until_ms: u64,
}

/// One device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its name.
    pub id: DeviceId,
    /// Hardware class.
    pub device_profile: String,
    /// Rust architecture name; empty before the first hello.
    pub arch: String,
    /// Labels it says of itself.
    pub declared: Vec<String>,
    /// Labels an operator gave it; they win per key.
    pub given: Vec<String>,
    /// When it joined, steward time in milliseconds.
    pub joined_at_ms: u64,
    /// When it was last heard of; 0 before that.
    pub seen_at_ms: u64,
    /// Ledger epochs, the present one last; messages of the others are late.
    pub epochs: Vec<u64>,
    /// Counter of the newest hello.
    pub hello: Counter,
    /// Counter of the newest report.
    pub report: Counter,
    /// Nonce of the newest hello.
    #[serde(with = "serde_bytes")]
    pub nonce: Vec<u8>,
    /// Agent version.
    pub agent: String,
    /// Engines found.
    pub engines: Vec<String>,
    /// What it runs.
    pub running: Option<Running>,
    /// Generation of the newest assignment.
    pub generation: u64,
    /// Highest generation it said it accepted.
    pub accepted: u64,
    /// What it should run.
    pub target: Option<Target>,
    /// What a rollback returns to: the last bundle that a completed rollout or a plain assignment brought.
    pub good: Option<BundleRef>,
    /// Where it stands with its target.
    pub phase: Phase,
    /// Share of bytes fetched, per million.
    pub progress_ppm: u32,
    /// Why it failed or waits.
    pub failure: Option<Failure>,
    /// The trial so far.
    pub trial: Option<TrialStats>,
    /// Its health.
    pub health: Health,
    /// Bundles it is not offered for a while.
    pub quarantine: Vec<Quarantine>,
    /// Windows that could not be read.
    pub rejected_windows: u64,
    /// The newest messages of earlier ledger epochs.
    #[serde(default)]
    pub heard: Vec<Heard>,
    /// What a second copy of the device would contradict.
    #[serde(default)]
    pub present: clone::Heard,
    /// Why it is taken for two copies of one, if it is.
    #[serde(default)]
    pub cloned: Option<Cloned>,
}

/// Counters of the newest messages of one ledger epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// Of the newest hello; names the epoch.
    pub hello: Counter,
    /// Of the newest report.
    pub report: Counter,
}

impl Device {
    /// Returns a device that was just admitted.
    pub(crate) fn new(id: DeviceId, device_profile: &str, labels: &[String], now_ms: u64) -> Self {
        Self {
            id,
            device_profile: device_profile.into(),
            arch: String::new(),
            declared: bounded(labels),
            given: Vec::new(),
            joined_at_ms: now_ms,
            seen_at_ms: 0,
            epochs: Vec::new(),
            hello: Counter::default(),
            report: Counter::default(),
            nonce: Vec::new(),
            agent: String::new(),
            engines: Vec::new(),
            running: None,
            generation: 0,
            accepted: 0,
            target: None,
            good: None,
            phase: Phase::Idle,
            progress_ppm: 0,
            failure: None,
            trial: None,
            health: Health::default(),
            quarantine: Vec::new(),
            rejected_windows: 0,
            heard: Vec::new(),
            present: clone::Heard::default(),
            cloned: None,
        }
    }

    /// Returns the labels that count: the operator's, and of the device's own those with another key.
    pub fn labels(&self) -> Vec<String> {
        let mut labels = self.given.clone();
        labels
            .extend(self.declared.iter().filter(|d| !self.given.iter().any(|g| label_key(g) == label_key(d))).cloned());
        labels
    }

    /// Returns the running bundle.
    pub fn runs(&self) -> Option<&BundleRef> {
        self.running.as_ref().map(|r| &r.bundle)
    }

    /// Returns whether `bundle` is withheld at `now_ms`.
    pub fn is_quarantined(&self, bundle: &BundleRef, now_ms: u64) -> bool {
        self.quarantine.iter().any(|q| q.bundle == *bundle && now_ms < q.until_ms)
    }

    /// Takes in a hello; returns `false` when it is older than one already heard.
    ///
    /// Ledger epochs have no order of their own: what a broker kept from a ledger that is lost may arrive after the
    /// first word of the new one. So a hello is believed when it is newer than any of the same epoch, and a device that
    /// was taken for its former self is itself again with its next hello.
    pub(crate) fn hear_hello(&mut self, hello: &Hello, now_ms: u64) -> bool {
        let epoch = hello.counter.epoch;
        let is_late = match self.heard.iter().find(|heard| heard.hello.epoch == epoch) {
            _ if self.epoch() == Some(epoch) => hello.counter < self.hello,
            Some(heard) => hello.counter <= heard.hello,
            // Forgotten, if it was ever known.
            None => self.epochs.contains(&epoch),
        };
        if is_late {
            return false;
        }
        self.enter_epoch(epoch);
        self.hello = hello.counter;
        self.seen_at_ms = now_ms;
        self.nonce.clone_from(&hello.nonce);
        self.agent.clone_from(&hello.agent);
        self.device_profile.clone_from(&hello.device_profile);
        self.arch.clone_from(&hello.arch);
        self.declared = bounded(&hello.labels);
        self.engines.clone_from(&hello.engines);
        self.running.clone_from(&hello.running);
        self.accepted = hello.generation;
        true
    }

    /// Takes in a report; returns `false` when it is not newer than one already heard.
    pub(crate) fn hear_report(&mut self, report: &Report, now_ms: u64) -> bool {
        let epoch = report.counter.epoch;
        // Only a hello begins an epoch: it is repeated until it is answered, a late report says nothing new.
        if self.epoch().is_some_and(|present| present != epoch) || report.counter <= self.report {
            return false;
        }
        self.enter_epoch(epoch);
        self.report = report.counter;
        self.seen_at_ms = now_ms;
        self.running.clone_from(&report.running);
        self.health = report.health;
        self.accepted = self.accepted.max(report.generation);
        // Without a target every word counts: it says how far a withdrawn one has come.
        if report.generation == self.generation || self.target.is_none() {
            self.phase = report.phase;
            self.progress_ppm = report.progress_ppm;
            self.failure = report.failure.as_ref().map(bounded_failure);
            self.trial = report.trial;
        }
        true
    }

    /// Returns the present ledger epoch.
    pub fn epoch(&self) -> Option<u64> {
        self.epochs.last().copied()
    }

    fn enter_epoch(&mut self, epoch: u64) {
        if self.epoch() == Some(epoch) {
            return;
        }
        if self.epoch().is_some() {
            self.heard.push(Heard { hello: self.hello, report: self.report });
        }
        let before = self.heard.iter().find(|heard| heard.hello.epoch == epoch).copied();
        self.epochs.retain(|known| *known != epoch);
        self.heard.retain(|heard| heard.hello.epoch != epoch);
        // Of one present epoch and those before it.
        if self.epochs.len() == EPOCHS_MAX {
            let oldest = self.epochs.remove(0);
            self.heard.retain(|heard| heard.hello.epoch != oldest);
        }
        self.epochs.push(epoch);
        self.present.enter_epoch();
        // A new ledger counts anew.
        self.hello = before.map_or(Counter::default(), |heard| heard.hello);
        self.report = before.map_or(Counter::default(), |heard| heard.report);
    }
}

/// Keeps the first labels up to the protocol's limit.
pub(crate) fn bounded(labels: &[String]) -> Vec<String> {
    labels.iter().take(LABELS_MAX).cloned().collect()
}

/// Cuts the words of a failure to the protocol's limit.
pub(crate) fn bounded_failure(failure: &Failure) -> Failure {
    let mut text = failure.text.clone();
    let end = (0..=TEXT_MAX_BYTES.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.truncate(end);
    Failure { code: failure.code, text }
}

fn label_key(label: &str) -> &str {
    label.split('=').next().unwrap_or_default().trim()
}
