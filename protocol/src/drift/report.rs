//! Assesses a live window against its profile and says the result in one sentence.

use super::feature::{FeatureDrift, Level};
use super::limits::{FALSE_DISCOVERY_RATE, NAMED_FEATURES};
use super::measure::{Measures, measure};
use super::predictions;
use super::significance::benjamini_hochberg;
use crate::sketch::{FeatureLayout, Live, Profile, Tally, Thresholds};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// How far live data is from the reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Live rows.
    pub rows: u64,
    /// Every feature, in the order of the profile.
    pub features: Vec<FeatureDrift>,
    /// The predicted classes, for a classifier.
    pub predictions: Option<FeatureDrift>,
    /// The scores over all classes, for a classifier.
    pub scores: Option<FeatureDrift>,
    /// The highest level of any feature.
    pub level: Level,
    /// Share (0..=1) of the model's importance whose features are at [`Level::Act`].
    pub share_of_importance_drifted: f64,
    /// The result in plain words.
    pub sentence: String,
}

/// Assesses a live window against the profile that it was counted with.
///
/// Returns a report without features when the window belongs to another profile; its
/// sentence says so.
pub fn assess(profile: &Profile, live: &Live) -> Report {
    if profile.layout().fingerprint() != live.layout().fingerprint() {
        return foreign();
    }
    let reference: Vec<Tally> = profile.features().iter().map(|feature| feature.tally()).collect();
    let features = judge_all(profile.layout().features(), &reference, live.features(), |feature| feature.thresholds);
    let (predictions, scores) = match profile.predictions() {
        Some(part) => predictions::against_profile(part, live.predictions()),
        None => (None, None),
    };
    summarise(u64::from(live.rows()), features, predictions, scores, "training")
}

/// Compares two windows of the same profile, as canary with control or now with before;
/// `baseline` takes the part of the reference.
///
/// Every threshold is the floor: what seasons do to training does not excuse a difference
/// between devices at the same time. Returns a report without features when the profiles
/// differ; its sentence says so.
pub fn compare(baseline: &Live, other: &Live) -> Report {
    if baseline.layout().fingerprint() != other.layout().fingerprint() {
        return foreign();
    }
    let layout = baseline.layout();
    let features = judge_all(layout.features(), baseline.features(), other.features(), |_| Thresholds::FLOOR);
    let (predictions, scores) =
        predictions::between(layout.classes().len(), baseline.predictions(), other.predictions());
    summarise(u64::from(other.rows()), features, predictions, scores, "the baseline")
}

fn judge_all(
    layout: &[FeatureLayout],
    reference: &[Tally],
    live: &[Tally],
    thresholds: impl Fn(&FeatureLayout) -> Thresholds,
) -> Vec<FeatureDrift> {
    let measured: Vec<(&FeatureLayout, Measures)> = layout
        .iter()
        .zip(reference.iter().zip(live))
        .filter_map(|(feature, (reference, live))| Some((feature, measure(&feature.shape, reference, live)?)))
        .collect();
    let p_values: Vec<f64> = measured.iter().map(|(_, measures)| measures.p_value).collect();
    let discoveries = benjamini_hochberg(&p_values, FALSE_DISCOVERY_RATE);
    measured
        .iter()
        .zip(discoveries)
        .map(|((feature, measures), discovery)| {
            FeatureDrift::judge(&feature.name, feature.importance, measures, &thresholds(feature), discovery)
        })
        .collect()
}

fn summarise(
    rows: u64,
    features: Vec<FeatureDrift>,
    predictions: Option<FeatureDrift>,
    scores: Option<FeatureDrift>,
    against: &str,
) -> Report {
    let everything = || features.iter().chain(&predictions).chain(&scores);
    let level = everything().map(|feature| feature.level).max().unwrap_or(Level::Calm);
    let weight = |least: Level| -> f64 {
        // Starts from plain zero: the sum of nothing would be minus zero.
        let weights = features.iter().filter(|feature| feature.level >= least).map(|feature| feature.importance);
        weights.fold(0.0, |sum, weight| sum + weight)
    };
    let all = weight(Level::Calm);
    let share = if all > 0.0 { weight(Level::Act) / all } else { 0.0 };
    let mut named: Vec<&FeatureDrift> = everything().filter(|feature| feature.level == level).collect();
    named.sort_by(|a, b| b.psi_star.total_cmp(&a.psi_star));
    let sentence = match level {
        Level::Calm if rows == 0 => String::from("No rows were counted."),
        Level::Calm => format!("{rows} rows look like {against}."),
        Level::Watch => format!("Worth a look in {rows} rows: {} from {against}.", differs(&named)),
        Level::Act => format!(
            "Drift in {rows} rows: {} from {against}; {:.0} % of the model's importance is affected.",
            differs(&named),
            share * 100.0
        ),
    };
    Report { rows, features, predictions, scores, level, share_of_importance_drifted: share, sentence }
}

/// Names the first few features with their first reason.
fn differs(features: &[&FeatureDrift]) -> String {
    let names: Vec<String> = features
        .iter()
        .take(NAMED_FEATURES)
        .map(|feature| match feature.reasons.first() {
            Some(reason) => format!("{} ({})", feature.name, reason.sentence()),
            None => feature.name.to_string(),
        })
        .collect();
    let verb = if features.len() == 1 { "differs" } else { "differ" };
    match features.len() - names.len() {
        0 => format!("{} {verb}", names.join(", ")),
        more => format!("{} and {more} more {verb}", names.join(", ")),
    }
}

fn foreign() -> Report {
    Report {
        rows: 0,
        features: Vec::new(),
        predictions: None,
        scores: None,
        level: Level::Calm,
        share_of_importance_drifted: 0.0,
        sentence: String::from("The window was counted against another profile, so nothing was compared."),
    }
}
