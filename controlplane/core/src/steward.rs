//! The steward: everything it knows, the one entrance, recovery.
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use pinnace_protocol::ids::{BundleRef, DeviceId, RolloutId};
use pinnace_protocol::sketch::{Profile, ProfileError, WindowError};
use pinnace_protocol::time::{Mono, Now};

use crate::api::{Batch, Config, Effect, Event, Row, Step};
use crate::bundle::Bundle;
use crate::fleet::Device;
use crate::history::{ChainError, Entry, EventKind, EventRecord, History, cut, verify_chain};
use crate::intervals::Intervals;
use crate::rollout::Active;
use crate::turn::Turn;
use crate::windows::Dedupe;

/// Says why stored rows cannot be gone on from. The shell stops; nothing was changed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RecoverError {
    /// The history was changed.
    #[error(transparent)]
    History(#[from] ChainError),
    /// A bundle's reference profile does not parse.
    #[error("the stored reference profile of {bundle} cannot be read: {source}")]
    Profile {
        /// Which bundle.
        bundle: BundleRef,
        /// What is wrong.
        source: ProfileError,
    },
    /// An aggregate does not fit its reference profile.
    #[error("the stored statistics of {bundle}, interval {first}, cannot be read: {source}")]
    Aggregate {
        /// Which bundle.
        bundle: BundleRef,
        /// Which interval.
        first: u64,
        /// What is wrong.
        source: WindowError,
    },
    /// A row refers to one that is missing.
    #[error("row `{key}` refers to `{missing}`, which is missing\n  hint: restore the whole database from one backup")]
    Missing {
        /// The row.
        key: String,
        /// What it refers to.
        missing: String,
    },
}

/// Steward time: milliseconds since 1970 that never go back, whatever the wall clock does while the process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clock {
    start: Mono,
    start_ms: u64,
}

impl Clock {
    fn read(&self, now: Now) -> u64 {
        self.start_ms.saturating_add(now.mono.since_ms(self.start))
    }
}

/// The control plane's judgement.
#[derive(Debug, Clone)]
pub struct Steward {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    /// Steward time of the newest turn.
    pub(crate) now_ms: u64,
    pub(crate) devices: BTreeMap<DeviceId, Device>,
    pub(crate) bundles: BTreeMap<BundleRef, Bundle>,
    pub(crate) profiles: BTreeMap<BundleRef, Profile>,
    pub(crate) rollouts: BTreeMap<RolloutId, Active>,
    /// Number of the next rollout.
    pub(crate) next_rollout: u64,
    pub(crate) intervals: Intervals,
    pub(crate) dedupe: BTreeMap<DeviceId, Dedupe>,
    pub(crate) history: History,
    /// Messages refused since the process started.
    pub(crate) refused: u64,
}

impl Steward {
    /// Goes on from stored rows, given in any order; none for a new installation.
    ///
    /// Event rows: all of them, or at least an unbroken run of the newest. The returned step repeats what may have been
    /// lost between the last commit and the crash; apply it like any other.
    ///
    /// # Errors
    /// [`RecoverError`] when the rows contradict each other.
    pub fn recover(config: Config, rows: Vec<Row>, now: Now) -> Result<(Self, Step), RecoverError> {
        let mut steward = Self {
            config,
            clock: Clock { start: now.mono, start_ms: now.wall.unix_ms },
            now_ms: 0,
            devices: BTreeMap::new(),
            bundles: BTreeMap::new(),
            profiles: BTreeMap::new(),
            rollouts: BTreeMap::new(),
            next_rollout: 1,
            intervals: Intervals::default(),
            dedupe: BTreeMap::new(),
            history: History::default(),
            refused: 0,
        };
        let (mut members, mut aggregates, mut events) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            match row {
                Row::Device(d) => drop(steward.devices.insert(d.id.clone(), d)),
                Row::Bundle(b) => drop(steward.bundles.insert(b.bundle.clone(), b)),
                Row::Rollout(r) => {
                    steward.next_rollout = steward.next_rollout.max(r.number + 1);
                    steward.rollouts.insert(r.id.clone(), Active::new(r));
                }
                Row::Dedupe(d) => drop(steward.dedupe.insert(d.device.clone(), d)),
                Row::Member(m) => members.push(m),
                Row::Aggregate(a) => aggregates.push(a),
                Row::Event(e) => events.push(e),
            }
        }
        for (id, bundle) in &steward.bundles {
            let profile = Profile::from_json(&bundle.profile)
                .map_err(|source| RecoverError::Profile { bundle: id.clone(), source })?;
            steward.profiles.insert(id.clone(), profile);
        }
        for member in members {
            match steward.rollouts.get_mut(&member.rollout) {
                Some(active) => active.restore(member),
                None => {
                    let missing = alloc::format!("rollout {}", member.rollout);
                    return Err(RecoverError::Missing { key: Row::Member(member).key(), missing });
                }
            }
        }
        for aggregate in aggregates {
            let (bundle, first) = (aggregate.bundle.clone(), aggregate.first);
            let Some(profile) = steward.profiles.get(&bundle) else {
                let missing = alloc::format!("bundle {bundle}");
                return Err(RecoverError::Missing { key: Row::Aggregate(aggregate).key(), missing });
            };
            steward.intervals.restore(aggregate, profile).map_err(|source| RecoverError::Aggregate {
                bundle,
                first,
                source,
            })?;
        }
        events.sort_by_key(|e| e.seq);
        verify_chain(&events)?;
        // Steward time never goes back, also when the wall clock did while the process was down.
        let newest = events.last().map_or(0, |e| e.at_ms);
        let newest = steward.devices.values().map(|d| d.seen_at_ms).fold(newest, u64::max);
        steward.clock.start_ms = steward.clock.start_ms.max(newest);
        steward.now_ms = steward.clock.start_ms;
        for event in events {
            steward.history.restore(event);
        }
        let step = Step { commit: None, then: steward.repeat() };
        Ok((steward, step))
    }

    /// Returns the effects that a crash between commit and effect may have swallowed.
    fn repeat(&self) -> Vec<Effect> {
        let mut then = Vec::new();
        for device in self.devices.values().filter(|d| d.accepted < d.generation) {
            then.push(match self.assignment(device) {
                Some(assignment) => {
                    Effect::Assign { device: device.id.clone(), nonce: device.nonce.clone(), assignment }
                }
                None => Effect::Reassert { device: device.id.clone(), nonce: device.nonce.clone(), assignment: None },
            });
        }
        let unanswered = |e: &&EventRecord| {
            e.kind == EventKind::RetrainWanted
                && e.bundle.as_ref().is_some_and(|b| {
                    !self.bundles.values().any(|n| n.bundle.family == b.family && n.published_at_ms > e.at_ms)
                })
        };
        then.extend(self.history.recent().filter(unanswered).cloned().map(Effect::Notify));
        then
    }

    /// Returns the effects that sign every device's present target afresh: the director's key or root changed.
    pub fn reassert_all(&self) -> impl Iterator<Item = Effect> {
        self.devices.values().map(|device| Effect::Reassert {
            device: device.id.clone(),
            nonce: device.nonce.clone(),
            assignment: self.assignment(device),
        })
    }

    /// Takes one event in. May be called several times with the same step: rows and effects are added at its end.
    pub fn handle(&mut self, now: Now, event: Event<'_>, out: &mut Step) {
        self.now_ms = self.clock.read(now).max(self.now_ms);
        let mut turn = Turn::new(self.now_ms);
        match event {
            Event::DeviceJoined { device, device_profile, labels } => {
                self.on_joined(&mut turn, device, device_profile, labels);
            }
            Event::Hello { device, message } => self.on_hello(&mut turn, device, message),
            Event::Report { device, message } => self.on_report(&mut turn, device, message),
            Event::Window { device, message } => self.on_window(&mut turn, device, message),
            Event::CommandDone { device, message } => self.command_done(&mut turn, device, message),
            Event::BundlePublished(published) => self.on_published(&mut turn, &published),
            Event::KeysChanged { actor, what } => {
                let text = alloc::format!("{} changed keys: {}", cut(actor), cut(what));
                self.record(&mut turn, Entry::new(EventKind::KeysChanged, text).by(actor));
            }
            Event::Command { request, actor, command } => {
                let result = self.on_command(&mut turn, actor, command);
                turn.then.push(Effect::Answer { request, result });
            }
            Event::Tick => self.on_tick(&mut turn),
        }
        self.finish(turn, out);
    }

    /// Returns when [`Event::Tick`] is due next; `None` while nothing waits.
    pub fn next_deadline(&self) -> Option<Mono> {
        let due = self.rollouts.values().map(|a| a.look_at_ms).min().filter(|at| *at != u64::MAX)?;
        Some(self.clock.start.plus_ms(due.saturating_sub(self.clock.start_ms)))
    }

    /// Adds an entry to the history and tells listeners.
    pub(crate) fn record(&mut self, turn: &mut Turn, entry: Entry) {
        let record = self.history.append(entry, turn.now_ms);
        turn.then.push(Effect::Notify(record.clone()));
        turn.events.push(record);
    }

    /// Turns what changed into rows.
    fn finish(&self, turn: Turn, out: &mut Step) {
        let mut put: Vec<Row> = Vec::new();
        put.extend(turn.bundles.iter().filter_map(|b| self.bundles.get(b).cloned().map(Row::Bundle)));
        put.extend(turn.devices.iter().filter_map(|d| self.devices.get(d).cloned().map(Row::Device)));
        let rollouts = turn.rollouts.iter().filter_map(|r| self.rollouts.get(r));
        put.extend(rollouts.map(|a| Row::Rollout(a.rollout.clone())));
        let members = turn.members.iter().filter_map(|(r, d)| self.rollouts.get(r)?.members.get(d));
        put.extend(members.cloned().map(Row::Member));
        let intervals = turn.aggregates.iter().filter_map(|(b, first)| Some(self.intervals.get(b, *first)?.row(b)));
        put.extend(intervals.map(Row::Aggregate));
        put.extend(turn.dedupes.iter().filter_map(|d| self.dedupe.get(d).cloned().map(Row::Dedupe)));
        put.extend(turn.events.into_iter().map(Row::Event));
        if !put.is_empty() || !turn.gone.is_empty() {
            let batch = out.commit.get_or_insert_with(Batch::default);
            // An earlier turn of the same step may have deleted a row that this one writes, and the other way round.
            batch.delete.retain(|key| !put.iter().any(|row| row.table() == key.table && row.key() == key.key));
            batch.put.retain(|row| !turn.gone.iter().any(|key| row.table() == key.table && row.key() == key.key));
            batch.put.extend(put);
            batch.delete.extend(turn.gone);
        }
        out.then.extend(turn.then);
    }

    /// Returns everything the steward knows as rows, in a fixed order: for backups and comparisons. Of the history only
    /// what is in memory.
    pub fn export(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = self.bundles.values().cloned().map(Row::Bundle).collect();
        rows.extend(self.devices.values().cloned().map(Row::Device));
        rows.extend(self.rollouts.values().map(|a| Row::Rollout(a.rollout.clone())));
        rows.extend(self.rollouts.values().flat_map(|a| a.members.values().cloned().map(Row::Member)));
        rows.extend(self.intervals.all().map(|(bundle, interval)| Row::Aggregate(interval.row(bundle))));
        rows.extend(self.dedupe.values().filter(|d| !d.epochs.is_empty()).cloned().map(Row::Dedupe));
        rows.extend(self.history.recent().cloned().map(Row::Event));
        rows
    }
}
