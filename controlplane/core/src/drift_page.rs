//! Builds the drift page: features against time, and reference against live.
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use pinnace_protocol::drift::performance::estimate;
use pinnace_protocol::drift::{FeatureDrift, Level, Report, assess};
use pinnace_protocol::ids::BundleRef;
use pinnace_protocol::sketch::{FeatureLayout, Live, Profile, Shape, Tally};

use crate::Steward;
use crate::api::IntervalBy;
use crate::views::{DriftPage, FeatureRow, HeatCell, Histogram, IntervalColumn};

impl Steward {
    /// Returns the drift of one bundle; `None` when it was never published. Every interval is assessed anew from all
    /// its rows: a page costs about 10 µs per feature and interval.
    pub fn drift(&self, bundle: &BundleRef) -> Option<DriftPage> {
        let (record, profile) = (self.bundles.get(bundle)?, self.profiles.get(bundle)?);
        let intervals: Vec<_> = self.intervals.of(bundle).collect();
        let reports: Vec<Report> = intervals.iter().map(|i| assess(profile, &i.live)).collect();
        let complete = |i: usize| intervals[i].rows() >= self.config.interval_rows.max(1);
        let newest = (0..intervals.len()).rev().find(|i| complete(*i)).or(intervals.len().checked_sub(1));
        let columns = intervals.iter().zip(&reports).enumerate().map(|(index, (interval, report))| IntervalColumn {
            first: interval.first,
            last: interval.last,
            from_ms: match self.config.interval {
                IntervalBy::Seconds(s) => Some(interval.first.saturating_mul(s.max(1)).saturating_mul(1000)),
                IntervalBy::Windows(_) => None,
            },
            rows: interval.rows(),
            windows: interval.windows,
            complete: complete(index),
            level: report.level,
            sentence: report.sentence.clone(),
            performance: estimate(profile, &interval.live),
        });
        let columns: Vec<IntervalColumn> = columns.collect();
        let newest_live = newest.map(|i| &intervals[i].live);
        let newest_report = newest.map(|i| &reports[i]);
        let mut features: Vec<FeatureRow> = profile
            .layout()
            .features()
            .iter()
            .enumerate()
            .map(|(index, layout)| FeatureRow {
                name: layout.name.clone(),
                importance: layout.importance,
                cells: reports.iter().map(|r| r.features.get(index).map(cell)).collect(),
                histogram: newest_live.and_then(|live| histogram(layout, profile, live, index)),
                newest: newest_report.and_then(|r| r.features.get(index).cloned()),
            })
            .collect();
        for (name, pick) in [
            ("predictions", (|r| r.predictions.as_ref()) as fn(&Report) -> Option<&FeatureDrift>),
            ("scores", |r| r.scores.as_ref()),
        ] {
            if reports.iter().any(|r| pick(r).is_some()) {
                features.push(FeatureRow {
                    name: name.into(),
                    importance: 0.0,
                    cells: reports.iter().map(|r| pick(r).map(cell)).collect(),
                    histogram: newest_live.and_then(|live| answers(name, profile, live)),
                    newest: newest_report.and_then(|r| pick(r).cloned()),
                });
            }
        }
        Some(DriftPage {
            bundle: bundle.clone(),
            intervals: columns,
            features,
            persistence: self.persistence(bundle).sentence(),
            performance: newest_live.and_then(|live| estimate(profile, live)),
            drivers: newest_report.map(drivers).unwrap_or_default(),
            retrain_at_ms: record.retrain_at_ms,
            sentence: newest_report.map_or_else(|| "No window was counted yet.".into(), |r| r.sentence.clone()),
        })
    }
}

fn cell(feature: &FeatureDrift) -> HeatCell {
    HeatCell { score: feature.psi_star, level: feature.level }
}

fn drivers(report: &Report) -> Vec<String> {
    let mut drifting: Vec<&FeatureDrift> = report.features.iter().filter(|f| f.level > Level::Calm).collect();
    drifting.sort_by(|a, b| {
        b.level.cmp(&a.level).then((b.psi_star * b.importance).total_cmp(&(a.psi_star * a.importance)))
    });
    drifting.into_iter().map(|f| f.name.clone()).collect()
}

fn shares(counts: &[u64]) -> Vec<f64> {
    let total: u64 = counts.iter().sum();
    counts.iter().map(|c| if total == 0 { 0.0 } else { *c as f64 / total as f64 }).collect()
}

fn histogram(layout: &FeatureLayout, profile: &Profile, live: &Live, index: usize) -> Option<Histogram> {
    let (reference, live) = (profile.features().get(index)?.tally(), live.features().get(index)?);
    match (&layout.shape, &reference, live) {
        (Shape::Numeric { bins, .. }, Tally::Numeric(reference), Tally::Numeric(live)) => {
            let slots = bins.slots();
            let counts = |t: &[u32]| t.iter().take(slots).map(|c| u64::from(*c)).collect::<Vec<u64>>();
            let label = |slot: usize| match slot {
                0 => format!("below {}", short(bins.edge(0))),
                s if s > bins.bins() => format!("above {}", short(bins.edge(bins.bins()))),
                s => format!("{} to {}", short(bins.edge(s - 1)), short(bins.edge(s))),
            };
            Some(Histogram {
                bins: (0..slots).map(label).collect(),
                edges: (0..=bins.bins()).map(|i| bins.edge(i)).collect(),
                reference: shares(&counts(reference.counts())),
                live: shares(&counts(live.counts())),
            })
        }
        (Shape::Categorical { categories, .. }, Tally::Categorical(reference), Tally::Categorical(live)) => {
            let names = categories.values();
            let counts = |t: &pinnace_protocol::sketch::CategoricalTally| {
                let own = t.counts().iter().take(names.len()).map(|c| u64::from(*c));
                own.chain([u64::from(t.other), u64::from(t.nulls)]).collect::<Vec<u64>>()
            };
            let labels = names.iter().cloned().chain(["(other)".to_string(), "(none)".to_string()]);
            Some(Histogram {
                bins: labels.collect(),
                edges: Vec::new(),
                reference: shares(&counts(reference)),
                live: shares(&counts(live)),
            })
        }
        (Shape::Numeric { .. }, ..) | (Shape::Categorical { .. }, ..) => None,
    }
}

/// The histogram of predicted classes, or of scores over all classes.
fn answers(name: &str, profile: &Profile, live: &Live) -> Option<Histogram> {
    let part = profile.predictions()?;
    let classes = part.classes.len();
    let reference = |class: usize| part.scores.get(class).map(Vec::as_slice).unwrap_or_default();
    let sum = |row: &[u32]| row.iter().map(|c| u64::from(*c)).sum::<u64>();
    if name == "predictions" {
        let theirs: Vec<u64> = (0..classes).map(|c| sum(reference(c))).collect();
        let ours: Vec<u64> = (0..classes).map(|c| sum(live.predictions().scores(c))).collect();
        return Some(Histogram {
            bins: part.classes.clone(),
            edges: Vec::new(),
            reference: shares(&theirs),
            live: shares(&ours),
        });
    }
    let bins = pinnace_protocol::sketch::limits::SCORE_BINS;
    let column = |rows: &dyn Fn(usize) -> Vec<u32>| -> Vec<u64> {
        (0..bins).map(|bin| (0..classes).map(|c| rows(c).get(bin).map_or(0, |n| u64::from(*n))).sum()).collect()
    };
    let width = 1.0 / bins as f64;
    Some(Histogram {
        bins: (0..bins).map(|b| format!("{} to {}", short(b as f64 * width), short((b + 1) as f64 * width))).collect(),
        edges: (0..=bins).map(|b| b as f64 * width).collect(),
        reference: shares(&column(&|c| reference(c).to_vec())),
        live: shares(&column(&|c| live.predictions().scores(c).to_vec())),
    })
}

/// Returns a number with four significant digits at most.
fn short(value: f64) -> String {
    let magnitude = libm::fabs(value);
    let digits = match magnitude {
        m if m >= 1000.0 => 0,
        m if m >= 100.0 => 1,
        m if m >= 10.0 => 2,
        m if m >= 0.1 || m == 0.0 => 3,
        _ => return format!("{value:.2e}"),
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}
