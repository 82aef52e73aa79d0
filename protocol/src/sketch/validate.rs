//! Checks a profile document against every rule that counting and comparing rely on.

use super::error::ProfileError;
use super::limits::{
    MAX_BINS, MAX_CATEGORIES, MAX_CLASSES, MAX_FEATURES, MAX_NAME_BYTES, MAX_RESIDUAL, MAX_UNIT_EXPONENT,
    MIN_UNIT_EXPONENT, SCORE_BINS,
};
use super::reference::{
    CategoricalProfile, FeatureKind, FeatureProfile, NumericProfile, PredictionProfile, ProfileDocument, Thresholds,
};
use alloc::collections::BTreeSet;
use alloc::string::String;

/// Checks a whole document.
pub(crate) fn document(document: &ProfileDocument) -> Result<(), ProfileError> {
    require("features", !document.features.is_empty(), "there must be at least one feature")?;
    require("features", document.features.len() <= MAX_FEATURES, "there are more than 256 features")?;
    require("rows", document.rows > 0, "the reference must have rows")?;
    require("block_rows", document.block_rows > 0, "a block must have rows")?;
    let mut names = BTreeSet::new();
    for part in &document.features {
        require(&part.name, name_is_usable(&part.name), "a name has 1 to 128 bytes")?;
        require(&part.name, names.insert(part.name.as_str()), "two features have this name")?;
        feature(part, document.rows)?;
    }
    document.predictions.as_ref().map_or(Ok(()), predictions)
}

fn feature(part: &FeatureProfile, rows: u32) -> Result<(), ProfileError> {
    let place = part.name.as_str();
    require(place, usable(part.importance), "importance must be zero or more")?;
    thresholds(place, &part.thresholds)?;
    match &part.kind {
        FeatureKind::Numeric(profile) => numeric(place, profile)?,
        FeatureKind::Categorical(profile) => categorical(place, profile)?,
    }
    require(place, part.tally().rows() == u64::from(rows), "the counts do not add up to the rows of the reference")
}

fn thresholds(place: &str, thresholds: &Thresholds) -> Result<(), ProfileError> {
    let Thresholds { psi_watch, psi_act, w1, ks, js, unseen, out_of_range, nulls } = *thresholds;
    let all = [psi_watch, psi_act, w1, ks, js, unseen, out_of_range, nulls];
    require(place, all.into_iter().all(usable), "thresholds must be zero or more")?;
    require(place, psi_watch <= psi_act, "psi_act must not be below psi_watch")
}

fn numeric(place: &str, profile: &NumericProfile) -> Result<(), ProfileError> {
    let edges = &profile.edges;
    require(place, (2..=MAX_BINS + 1).contains(&edges.len()), "there must be 2 to 37 edges")?;
    require(place, edges.iter().all(|edge| edge.is_finite()), "edges must be finite")?;
    // A feature that never varied has one bin without width.
    let ascending = edges.windows(2).all(|pair| pair[0] < pair[1]);
    require(place, ascending || (edges.len() == 2 && edges[0] == edges[1]), "edges must ascend")?;
    let units = MIN_UNIT_EXPONENT..=MAX_UNIT_EXPONENT;
    require(place, units.contains(&profile.unit_exponent), "the unit is out of range")?;
    let slots = edges.len() + 1;
    require(place, profile.counts.len() == slots && profile.sums.len() == slots, "one count and sum per slot")?;
    let possible = profile.counts.iter().zip(&profile.sums).all(|(count, sum)| sum_is_possible(*count, *sum));
    require(place, possible, "a sum is larger than its count allows")?;
    require(place, profile.counts.iter().any(|count| *count > 0), "the reference has no finite value")?;
    let range = profile.min.is_finite() && profile.max.is_finite() && profile.min <= profile.max;
    require(place, range, "min and max must be finite and in order")?;
    require(place, usable(f64::from(profile.sd)), "the standard deviation must be zero or more")
}

fn categorical(place: &str, profile: &CategoricalProfile) -> Result<(), ProfileError> {
    require(place, profile.values.len() <= MAX_CATEGORIES, "more than 32 values have a counter")?;
    require(place, profile.values.len() == profile.counts.len(), "one count per value")?;
    let mut seen = BTreeSet::new();
    let distinct = profile.values.iter().all(|value| value.len() <= MAX_NAME_BYTES && seen.insert(value.as_str()));
    require(place, distinct, "values must be distinct and at most 128 bytes long")
}

fn predictions(part: &PredictionProfile) -> Result<(), ProfileError> {
    let place = "predictions";
    require(place, (1..=MAX_CLASSES).contains(&part.classes.len()), "there must be 1 to 64 classes")?;
    let mut seen = BTreeSet::new();
    let distinct = part.classes.iter().all(|class| name_is_usable(class) && seen.insert(class.as_str()));
    require(place, distinct, "class labels must be distinct and have 1 to 128 bytes")?;
    let classes = part.classes.len();
    let tables = part.scores.len() == classes && part.calibration.len() == classes;
    let scores = part.scores.iter().all(|row| row.len() == SCORE_BINS);
    let calibration = part.calibration.iter().all(|row| row.len() == SCORE_BINS);
    require(place, tables && scores && calibration, "one row of 20 per class")?;
    let total = part.scores.iter().flatten().map(|count| u64::from(*count)).sum::<u64>();
    require(place, (1..=u64::from(u32::MAX)).contains(&total), "the reference must have predictions")?;
    let shares = part.calibration.iter().flatten().all(|share| (0.0..=1.0).contains(share));
    require(place, shares, "shares of correct predictions lie in 0..=1")
}

/// Tells whether a sum of residuals can come from this many values.
pub(crate) fn sum_is_possible(count: u32, sum: i64) -> bool {
    sum.unsigned_abs() <= u64::from(count) * MAX_RESIDUAL.unsigned_abs()
}

fn name_is_usable(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len())
}

fn usable(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

fn require(place: &str, holds: bool, rule: &'static str) -> Result<(), ProfileError> {
    if holds { Ok(()) } else { Err(ProfileError::Invalid { place: String::from(place), rule }) }
}
