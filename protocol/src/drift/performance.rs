//! Estimates accuracy without labels from the scores, and replaces it once labels arrive.

use super::limits::MIN_OUTCOMES;
use crate::sketch::limits::SCORE_BINS;
use crate::sketch::{Live, PredictionProfile, Profile};
use alloc::format;
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// Where an accuracy comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// From the scores and how often each was right on reference data. Blind to a change of
    /// what is right for the same input.
    Estimated,
    /// From outcomes that became known.
    Measured,
}

/// How often the model is right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Share of correct predictions.
    pub accuracy: f64,
    /// Standard error of the accuracy from the number of predictions alone.
    pub standard_error: f64,
    /// Share of correct predictions on reference data.
    pub reference: f64,
    /// Predictions or outcomes that it rests on.
    pub n: u64,
    /// Where it comes from.
    pub source: Source,
    /// The result in plain words.
    pub sentence: String,
}

/// Estimates the accuracy over a window, or measures it when at least 50 outcomes are known.
///
/// Returns `None` for a model that is no classifier, a window of another profile, or one
/// without usable predictions.
pub fn estimate(profile: &Profile, live: &Live) -> Option<Estimate> {
    let part = profile.predictions()?;
    if profile.layout().fingerprint() != live.layout().fingerprint() {
        return None;
    }
    let counts = live.predictions();
    let reference = over(part, |class| part.scores.get(class).map_or(&[], |row| row.as_slice()))?.mean;
    let known = u64::from(counts.outcomes());
    let (accuracy, variance, n, source) = if known >= MIN_OUTCOMES {
        let accuracy = counts.correct() as f64 / known as f64;
        (accuracy, accuracy * (1.0 - accuracy), known, Source::Measured)
    } else {
        let expected = over(part, |class| counts.scores(class))?;
        (expected.mean, expected.variance, expected.n, Source::Estimated)
    };
    let standard_error = libm::sqrt(variance / n as f64);
    let percent = |share: f64| share * 100.0;
    let sentence = match source {
        Source::Measured => format!(
            "Accuracy is {:.1} %, measured on {n} outcomes; it was {:.1} % on reference data.",
            percent(accuracy),
            percent(reference)
        ),
        Source::Estimated => format!(
            "Accuracy is estimated at {:.1} % from {n} scores; it was {:.1} % on reference data. \
             The estimate cannot see a change of what is right for the same input.",
            percent(accuracy),
            percent(reference)
        ),
    };
    Some(Estimate { accuracy, standard_error, reference, n, source, sentence })
}

struct Expected {
    mean: f64,
    variance: f64,
    n: u64,
}

/// Averages the calibration over counted scores. Scores that are no number are left out.
fn over<'a>(part: &PredictionProfile, counts: impl Fn(usize) -> &'a [u32]) -> Option<Expected> {
    let (mut n, mut right, mut variance) = (0u64, 0.0, 0.0);
    for (class, calibration) in part.calibration.iter().enumerate() {
        for (share, count) in calibration.iter().zip(counts(class).iter().take(SCORE_BINS)) {
            n += u64::from(*count);
            right += f64::from(*count) * share;
            variance += f64::from(*count) * share * (1.0 - share);
        }
    }
    (n > 0).then(|| Expected { mean: right / n as f64, variance: variance / n as f64, n })
}
