//! Watches the aggregates for drift. Drift never gates a rollout; when it lasts, a new model is asked for once.
use alloc::format;
use alloc::vec::Vec;
use pinnace_protocol::drift::limits::{PERSISTENCE_WINDOWS, RETRAIN_SHARE};
use pinnace_protocol::drift::{Level, Persistence, Verdict, assess};
use pinnace_protocol::ids::BundleRef;

use crate::Steward;
use crate::history::{Entry, EventKind};
use crate::turn::Turn;
use crate::windows::Assessed;

impl Steward {
    /// Compares an interval with the reference once it has enough rows.
    pub(crate) fn watch(&mut self, turn: &mut Turn, bundle: &BundleRef, first: u64) {
        let Some(profile) = self.profiles.get(bundle) else { return };
        let before =
            self.intervals.of(bundle).filter(|i| i.first < first).filter_map(|i| i.assessed.as_ref()).next_back();
        let before = before.map_or(Level::Calm, |a| a.level);
        let needed = self.config.interval_rows.max(1);
        let Some(interval) = self.intervals.get_mut(bundle, first) else { return };
        if interval.assessed.is_some() || interval.rows() < needed {
            return;
        }
        let report = assess(profile, &interval.live);
        let share = report.share_of_importance_drifted;
        interval.assessed =
            Some(Assessed { rows: report.rows, level: report.level, share, sentence: report.sentence.clone() });
        turn.aggregates.insert((bundle.clone(), first));
        // A calm interval is news only after one that was not.
        if report.level > Level::Calm || before > Level::Calm {
            let mut entry = Entry::new(EventKind::Drift, format!("{bundle}: {}", report.sentence))
                .bundle(bundle)
                .detail("level", level_name(report.level).into())
                .detail("interval", format!("{first}"))
                .detail("share", format!("{share:.3}"));
            let mut drivers: Vec<_> = report.features.iter().filter(|f| f.level > Level::Calm).collect();
            drivers.sort_by(|a, b| b.level.cmp(&a.level).then(b.psi_star.total_cmp(&a.psi_star)));
            for feature in drivers.into_iter().take(crate::limits::DRIVERS_NAMED) {
                entry = entry.detail("feature", feature.name.clone());
            }
            self.record(turn, entry);
        }
        self.decide(turn, bundle);
    }

    /// Returns what the newest assessed intervals of a bundle say together.
    pub(crate) fn persistence(&self, bundle: &BundleRef) -> Verdict {
        let newest: Vec<bool> = self
            .intervals
            .of(bundle)
            .filter_map(|i| i.assessed.as_ref())
            .rev()
            .take(PERSISTENCE_WINDOWS as usize)
            .map(|a| a.share >= RETRAIN_SHARE)
            .collect();
        let mut memory = Persistence::new();
        for drifted in newest.into_iter().rev() {
            memory.push_drifted(drifted);
        }
        memory.verdict()
    }

    /// Asks for a new model when drift lasts, once per bundle and only for the one the fleet runs.
    fn decide(&mut self, turn: &mut Turn, bundle: &BundleRef) {
        let verdict = self.persistence(bundle);
        if !verdict.is_lasting() || !self.is_armed(bundle) {
            return;
        }
        if let Some(record) = self.bundles.get_mut(bundle) {
            record.retrain_at_ms = Some(turn.now_ms);
            turn.bundles.insert(bundle.clone());
        }
        let text = format!("{bundle} should be trained anew: {}", lower_first(&verdict.sentence()));
        self.record(turn, Entry::new(EventKind::RetrainWanted, text).bundle(bundle));
    }

    /// A bundle may ask once; after that its family stays silent until a newer bundle proved itself on the fleet.
    fn is_armed(&self, bundle: &BundleRef) -> bool {
        let family = || self.bundles.values().filter(|b| b.bundle.family == bundle.family);
        let asked = family().filter_map(|b| b.retrain_at_ms).max();
        let proven = family().filter_map(|b| Some((b.proven_at_ms?, &b.bundle))).max();
        match (proven, asked) {
            (None, asked) => asked.is_none(),
            (Some((at, newest)), asked) => newest == bundle && asked.is_none_or(|asked| asked < at),
        }
    }
}

/// Returns the stable name of a level.
pub(crate) fn level_name(level: Level) -> &'static str {
    match level {
        Level::Calm => "calm",
        Level::Watch => "watch",
        Level::Act => "act",
    }
}

fn lower_first(text: &str) -> alloc::string::String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_lowercase().chain(chars).collect()).unwrap_or_default()
}
