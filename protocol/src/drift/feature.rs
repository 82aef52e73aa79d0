//! Judges one feature: how it drifted, how much that matters, and why in plain words.

use super::limits::{MIN_ROWS, SIGNIFICANCE};
use super::measure::{Measures, Share};
use super::significance::poisson_at_least;
use crate::sketch::Thresholds;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// How much a difference matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nothing to see.
    Calm,
    /// Worth a look.
    Watch,
    /// Calls for action.
    Act,
}

/// A measure of the difference of two distributions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distance {
    /// Population stability index less sampling noise.
    PsiStar,
    /// Wasserstein-1 in standard deviations.
    W1,
    /// Kolmogorov-Smirnov.
    Ks,
    /// Jensen-Shannon, base 2, less sampling noise.
    JsStar,
}

/// Why a feature has its level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reason {
    /// Too few rows to judge.
    TooFewRows {
        /// Rows at hand.
        rows: u64,
        /// Rows needed.
        needed: u64,
    },
    /// The distribution differs more than its threshold.
    Shape {
        /// Which measure.
        distance: Distance,
        /// Its value.
        value: f64,
        /// The threshold it is above.
        limit: f64,
    },
    /// More nulls than in training.
    Nulls {
        /// Live share.
        share: f64,
        /// Share in training.
        reference: f64,
    },
    /// More NaN, infinities or values of the wrong type than in training.
    Invalid {
        /// Live share.
        share: f64,
        /// Share in training.
        reference: f64,
    },
    /// Values that training never saw.
    Unseen {
        /// Live share.
        share: f64,
        /// Share in training.
        reference: f64,
    },
    /// Values outside the range of training.
    OutOfRange {
        /// Live share.
        share: f64,
        /// Share in training.
        reference: f64,
    },
    /// One value only, where training had several.
    Constant,
}

impl Reason {
    /// Returns the reason in plain words.
    pub fn sentence(&self) -> String {
        let percent = |share: f64| share * 100.0;
        match *self {
            Self::TooFewRows { rows, needed } => format!("{rows} rows are too few to judge, {needed} are needed"),
            Self::Shape { distance, value, limit } => {
                let name = match distance {
                    Distance::PsiStar => "PSI*",
                    Distance::W1 => "W1/sd",
                    Distance::Ks => "KS",
                    Distance::JsStar => "JS*",
                };
                format!("{name} {value:.2} is above {limit:.2}")
            }
            Self::Nulls { share, reference } => {
                format!("{:.1} % nulls, {:.1} % in training", percent(share), percent(reference))
            }
            Self::Invalid { share, reference } => {
                format!("{:.1} % unusable values, {:.1} % in training", percent(share), percent(reference))
            }
            Self::Unseen { share, .. } => format!("{:.1} % of values were never seen in training", percent(share)),
            Self::OutOfRange { share, .. } => {
                format!("{:.1} % of values lie outside the range of training", percent(share))
            }
            Self::Constant => String::from("every value is the same"),
        }
    }
}

/// How far one feature drifted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureDrift {
    /// Name of the feature.
    pub name: String,
    /// Weight of the feature in the model.
    pub importance: f64,
    /// Live rows.
    pub n: u64,
    /// Population stability index.
    pub psi: f64,
    /// Population stability index less sampling noise.
    pub psi_star: f64,
    /// Jensen-Shannon distance, base 2.
    pub js: f64,
    /// Jensen-Shannon distance less sampling noise.
    pub js_star: f64,
    /// Hellinger distance.
    pub hellinger: f64,
    /// Largest difference of the share of one cell.
    pub l_inf: f64,
    /// Kolmogorov-Smirnov distance; none for a categorical feature.
    pub ks: Option<f64>,
    /// The true Kolmogorov-Smirnov distance is at most this much larger.
    pub ks_bound: Option<f64>,
    /// Wasserstein-1 distance in standard deviations of the reference.
    pub w1: Option<f64>,
    /// Chance of such a difference between equal distributions.
    pub p_value: f64,
    /// Live share of nulls.
    pub nulls: f64,
    /// Live share of values never seen in training, where that is known.
    pub unseen: Option<f64>,
    /// Live share of values outside the range of training.
    pub out_of_range: Option<f64>,
    /// How much it matters.
    pub level: Level,
    /// Why.
    pub reasons: Vec<Reason>,
}

impl FeatureDrift {
    /// Judges the measures of one feature.
    ///
    /// Effect size decides, chance only guards: `discovery` says whether the difference stands
    /// out among all features of the report (false discovery rate), and its p-value must be
    /// below one in a thousand as well.
    pub fn judge(name: &str, importance: f64, measures: &Measures, thresholds: &Thresholds, discovery: bool) -> Self {
        let mut findings = Vec::new();
        if measures.rows.min(measures.reference_rows) < MIN_ROWS {
            let rows = measures.rows.min(measures.reference_rows);
            findings.push((Level::Calm, Reason::TooFewRows { rows, needed: MIN_ROWS }));
        } else {
            if discovery && measures.p_value < SIGNIFICANCE {
                shape(measures, thresholds, &mut findings);
            }
            shares(measures, thresholds, &mut findings);
            if measures.constant {
                findings.push((Level::Act, Reason::Constant));
            }
        }
        Self {
            name: String::from(name),
            importance,
            n: measures.rows,
            psi: measures.psi,
            psi_star: measures.psi_star,
            js: measures.js,
            js_star: measures.js_star,
            hellinger: measures.hellinger,
            l_inf: measures.l_inf,
            ks: measures.ks.map(|ks| ks.distance),
            ks_bound: measures.ks.map(|ks| ks.bound),
            w1: measures.w1,
            p_value: measures.p_value,
            nulls: measures.nulls.live(),
            unseen: measures.unseen.map(|share| share.live()),
            out_of_range: measures.out_of_range.map(|share| share.live()),
            level: findings.iter().map(|(level, _)| *level).max().unwrap_or(Level::Calm),
            reasons: findings.into_iter().map(|(_, reason)| reason).collect(),
        }
    }
}

type Findings = Vec<(Level, Reason)>;

fn shape(measures: &Measures, thresholds: &Thresholds, findings: &mut Findings) {
    let mut check = |level, distance, value: f64, limit: f64| {
        let above = value > limit;
        if above {
            findings.push((level, Reason::Shape { distance, value, limit }));
        }
        above
    };
    if !check(Level::Act, Distance::PsiStar, measures.psi_star, thresholds.psi_act) {
        check(Level::Watch, Distance::PsiStar, measures.psi_star, thresholds.psi_watch);
    }
    check(Level::Watch, Distance::W1, measures.w1.unwrap_or(0.0), thresholds.w1);
    check(Level::Watch, Distance::Ks, measures.ks.map_or(0.0, |ks| ks.distance), thresholds.ks);
    check(Level::Watch, Distance::JsStar, measures.js_star, thresholds.js);
}

fn shares(measures: &Measures, thresholds: &Thresholds, findings: &mut Findings) {
    let doubled = |share: &Share| share.live() > 2.0 * share.reference();
    let grown = |share: &Share, by: f64| share.live() > share.reference() + by && stands_out(share);
    let nulls = measures.nulls;
    if grown(&nulls, thresholds.nulls) && doubled(&nulls) {
        findings.push((Level::Watch, Reason::Nulls { share: nulls.live(), reference: nulls.reference() }));
    }
    let invalid = measures.invalid;
    if grown(&invalid, thresholds.nulls) && doubled(&invalid) {
        // A model was never meant to see these at all.
        findings.push((Level::Act, Reason::Invalid { share: invalid.live(), reference: invalid.reference() }));
    }
    if let Some(unseen) = measures.unseen.filter(|share| grown(share, thresholds.unseen)) {
        findings.push((Level::Watch, Reason::Unseen { share: unseen.live(), reference: unseen.reference() }));
    }
    if let Some(outside) = measures.out_of_range.filter(|share| grown(share, thresholds.out_of_range)) {
        findings.push((Level::Watch, Reason::OutOfRange { share: outside.live(), reference: outside.reference() }));
    }
}

/// Tells whether a live count is more than chance gives at the share of the reference. A
/// reference that never saw the property could still have missed it, or a new minimum and
/// maximum: two rows are added to its count.
fn stands_out(share: &Share) -> bool {
    let expected = (share.reference_count + 2) as f64 / (share.reference_rows + 2) as f64 * share.rows as f64;
    poisson_at_least(share.count, expected) < SIGNIFICANCE
}
