//! The engine stub: takes verified bundles and nothing else, and draws windows that look like the reference.
use std::sync::Arc;

use pinnace_agent_core::LoadedInfo;
use pinnace_protocol::ids::{BundleRef, Digest};
use pinnace_protocol::manifest::{Manifest, Role};
use pinnace_protocol::message::{FailCode, Failure, TrialStats};
use pinnace_protocol::sketch::limits::SCORE_BINS;
use pinnace_protocol::sketch::{FeatureKind, FeatureProfile, Layout, Live, Profile, Shape, Value};
use pinnace_protocol::trust::VerifiedBundle;

use super::chance::Chance;
use super::limits::{LATENCY_US, TRIAL_P95_US};

/// A model in memory, shared by all devices that have its bundle.
#[derive(Debug)]
pub struct Model {
    /// Which bundle.
    pub bundle: BundleRef,
    profile: Digest,
    layout: Arc<Layout>,
    variant: String,
    features: Vec<Feature>,
    /// Class and bin of the score, by their counts in the reference.
    predictions: Weighted<(usize, usize)>,
}

/// Values with weights.
#[derive(Debug)]
struct Weighted<T> {
    /// Sum of the weights up to and with each value.
    up_to: Vec<u64>,
    values: Vec<T>,
}

impl<T: Copy> Weighted<T> {
    fn new(pairs: impl Iterator<Item = (T, u32)>) -> Self {
        let (mut up_to, mut values, mut sum) = (Vec::new(), Vec::new(), 0);
        for (value, weight) in pairs.filter(|(_, weight)| *weight > 0) {
            sum += u64::from(weight);
            up_to.push(sum);
            values.push(value);
        }
        Self { up_to, values }
    }

    fn draw(&self, chance: &mut Chance) -> Option<T> {
        let at = chance.below(*self.up_to.last()?);
        self.values.get(self.up_to.partition_point(|sum| *sum <= at)).copied()
    }
}

#[derive(Debug)]
enum Feature {
    /// The mean of each bin; none for a missing value.
    Numeric(Weighted<Option<f64>>),
    /// The index among the listed values; none for a missing value.
    Categorical(Vec<String>, Weighted<Option<usize>>),
}

impl Feature {
    fn of(profile: &FeatureProfile, shape: &Shape) -> Self {
        match (&profile.kind, shape) {
            (FeatureKind::Numeric(n), Shape::Numeric { bins, .. }) => {
                let counted = n.counts.iter().zip(&n.sums).enumerate();
                let means = counted.map(|(slot, (count, sum))| (bins.mean(slot, *count, *sum), *count));
                Self::Numeric(Weighted::new(means.chain([(None, n.nulls)])))
            }
            (FeatureKind::Categorical(c), _) => {
                let listed = c.counts.iter().enumerate().map(|(index, count)| (Some(index), *count));
                Self::Categorical(c.values.clone(), Weighted::new(listed.chain([(None, c.nulls)])))
            }
            // Profile and layout are made from one document; were they not, the value would count as missing.
            (FeatureKind::Numeric(_), Shape::Categorical { .. }) => Self::Numeric(Weighted::new(std::iter::empty())),
        }
    }

    fn draw(&self, chance: &mut Chance) -> Value<'_> {
        match self {
            Self::Numeric(means) => means.draw(chance).flatten().map_or(Value::Null, Value::Num),
            Self::Categorical(values, weights) => {
                let value = weights.draw(chance).flatten().and_then(|index| values.get(index));
                value.map_or(Value::Null, |text| Value::Cat(text))
            }
        }
    }
}

impl Model {
    /// Takes a verified bundle in: reads its manifest and its reference profile.
    ///
    /// # Errors
    /// A failure when one of them cannot be used.
    pub fn load(bundle: &VerifiedBundle) -> Result<Self, Failure> {
        let fail = |text: String| Failure { code: FailCode::Load, text };
        let manifest = Manifest::parse(bundle.manifest_bytes()).map_err(|e| fail(e.to_string()))?;
        let blob = manifest.blob(Role::Profile).ok_or_else(|| fail("it has no reference profile".into()))?;
        let bytes = bundle.blob(&blob.sha256.0).ok_or_else(|| fail("its reference profile is missing".into()))?;
        let profile = Profile::from_json(bytes).map_err(|e| fail(e.to_string()))?;
        let layout = Arc::clone(profile.layout());
        let features = profile.features().iter().zip(layout.features());
        let scores = profile.predictions().map(|p| p.scores.as_slice()).unwrap_or_default();
        let scores = scores
            .iter()
            .enumerate()
            .flat_map(|(class, counts)| counts.iter().enumerate().map(move |(bin, count)| ((class, bin), *count)));
        Ok(Self {
            bundle: manifest.bundle_ref(),
            profile: blob.sha256,
            variant: manifest.variants.first().map_or_else(String::new, |v| v.name.clone()),
            features: features.map(|(feature, laid)| Feature::of(feature, &laid.shape)).collect(),
            predictions: Weighted::new(scores),
            layout,
        })
    }

    /// Returns what the core is told of it.
    pub fn info(&self) -> LoadedInfo {
        LoadedInfo { variant: self.variant.clone(), engine: "stub".into(), layout: Some(Arc::clone(&self.layout)) }
    }

    /// Returns the digest of its reference profile.
    pub const fn profile(&self) -> Digest {
        self.profile
    }

    /// Returns the counters of a window of `rows` rows and predictions that are distributed as the reference.
    pub fn window(&self, rows: u32, chance: &mut Chance) -> Live {
        let mut live = Live::with_layout(&self.layout);
        let mut row = Vec::with_capacity(self.features.len());
        for _ in 0..rows {
            row.clear();
            row.extend(self.features.iter().map(|feature| feature.draw(chance)));
            if live.update_row(&row).is_err() {
                // Only when the window is full.
                break;
            }
            if let Some((class, bin)) = self.predictions.draw(chance) {
                let score = (bin as f64 + chance.share()) / SCORE_BINS as f64;
                let latency = u32::try_from(chance.between(LATENCY_US.0, LATENCY_US.1)).unwrap_or(u32::MAX);
                // Class and score come from the profile, so they are never refused.
                let _ = live.observe_prediction(class, score, latency);
            }
        }
        live
    }
}

/// Returns a trial's counters after `inferences`; `compared` when an active model answered the same inputs.
pub fn trial(inferences: u64, failing: bool, compared: bool) -> TrialStats {
    let good = TrialStats {
        inferences,
        varied: inferences > 1,
        p95_us: TRIAL_P95_US,
        baseline_p95_us: if compared { TRIAL_P95_US } else { 0 },
        compared: if compared { inferences } else { 0 },
        ..TrialStats::default()
    };
    if failing { TrialStats { inferences: inferences / 2, errors: inferences.div_ceil(2), ..good } } else { good }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_their_weights() {
        let weighted = Weighted::new([('a', 1), ('b', 0), ('c', 3)].into_iter());
        let mut chance = Chance::new(7);
        let drawn: Vec<_> = (0..4000).filter_map(|_| weighted.draw(&mut chance)).collect();
        let share = drawn.iter().filter(|c| **c == 'c').count();
        assert!(drawn.len() == 4000 && !drawn.contains(&'b') && (2850..3150).contains(&share), "{share}");
        assert_eq!(Weighted::<u8>::new(std::iter::empty()).draw(&mut chance), None);
    }

    #[test]
    fn a_failing_trial_tells_errors() {
        assert_eq!(trial(100, false, true).errors, 0);
        let bad = trial(100, true, false);
        assert_eq!((bad.inferences, bad.errors, bad.compared), (50, 50, 0));
    }
}
