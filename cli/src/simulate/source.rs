//! What a scenario needs besides its file: bundles, rows, and how the real engine does with both.
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use pinnace_agent::engine::{Answers, Engines, LibrarySearch, LoadedModel, Matrix, ProbePolicy};
use pinnace_protocol::manifest::{Feature, FeatureKind, Manifest};
use pinnace_simulator::scenario::{Prepared, Scenario, verified};
use pinnace_simulator::{Cell, Rates, Table};
use pinnace_trainer::bundle::Bundle;

use super::unusable;
use crate::output::{Failure, line};

/// Rows of a CSV that are read: what devices see goes round.
const ROWS_MAX: usize = 200_000;
/// Rows that each sampled device really runs through the engine.
const SAMPLE_ROWS: usize = 200;
/// Times that each of them is run, to find how long it takes.
const TIMES: usize = 3;
/// Hardware on which the engine is asked: a gateway with tract.
const DEVICE_PROFILE: &str = "x86-gateway";

/// Reads bundles and rows below `folder`, and runs the new version through the real engine.
pub fn prepare(scenario: &Scenario, folder: &Path) -> Result<Prepared, Failure> {
    let mut prepared = Prepared::default();
    let read = |path: &String| Bundle::load(&folder.join(path)).map(Arc::new).map_err(|e| unusable(e.to_string()));
    if let Some(path) = &scenario.bundle.baseline {
        prepared.bundles.insert(1, read(path)?);
    }
    let Some(path) = &scenario.bundle.path else { return Ok(prepared) };
    let bundle = read(path)?;
    prepared.bundles.insert(2, Arc::clone(&bundle));
    // Without a baseline of its own the fleet runs the new version's own files as version 1.
    let baseline = Arc::clone(prepared.bundles.entry(1).or_insert_with(|| Arc::clone(&bundle)));
    if let Some(csv) = &scenario.workload.csv {
        let versions = prepared.bundles.iter().map(|(version, b)| (*version, &b.manifest.signature.features[..]));
        prepared.table = Some(Arc::new(table(&folder.join(csv), &versions.collect())?));
    }
    let rows = prepared.table.clone().unwrap_or_default();
    let sampled = scenario.bundle.sampled.clamp(1, 64) as usize;
    prepared.measured = measure(&bundle, &baseline, &rows, sampled)?;
    for (at, rates) in prepared.measured.iter().enumerate() {
        line(format!(
            "real engine, sampled device {at}: {}, {} of a million answers differ, p95 {} us (before: {} us)",
            if rates.loads { "loads" } else { "is refused" },
            rates.disagreements_ppm,
            rates.p95_us,
            rates.baseline_p95_us
        ));
    }
    Ok(prepared)
}

/// Reads the columns that are features of any version.
fn table(file: &Path, versions: &BTreeMap<u64, &[Feature]>) -> Result<Table, Failure> {
    let named = |why: String| unusable(format!("{}: {why}", file.display()));
    let mut reader = csv::Reader::from_path(file)
        .map_err(|e| named(format!("{e}\n  hint: `workload.csv` is a path seen from the scenario's folder")))?;
    let header = reader.headers().map_err(|e| named(e.to_string()))?.clone();
    let mut table = Table::default();
    // Columns that are read: place in the file, and the feature.
    let mut columns: Vec<(usize, &Feature)> = Vec::new();
    for (version, features) in versions {
        for feature in *features {
            let at = header.iter().position(|column| column.trim() == feature.name);
            let hint = "hint: the scenario's CSV needs every feature that the bundles were trained on";
            let at = at.ok_or_else(|| named(format!("there is no column `{}`\n  {hint}", feature.name)))?;
            let known = columns.iter().position(|(column, _)| *column == at).unwrap_or_else(|| {
                columns.push((at, feature));
                columns.len() - 1
            });
            table.places.entry(*version).or_default().push(known);
        }
    }
    for (number, record) in reader.records().enumerate().take(ROWS_MAX) {
        let record = record.map_err(|e| named(e.to_string()))?;
        let mut row = Vec::with_capacity(columns.len());
        for (column, feature) in &columns {
            let text = record.get(*column).unwrap_or_default().trim();
            row.push(match &feature.kind {
                _ if text.is_empty() => Cell::Null,
                FeatureKind::Categorical(_) => Cell::Cat(text.to_owned()),
                FeatureKind::Numeric => Cell::Num(text.parse().map_err(|_| {
                    let place = format!("line {}, column `{}`", number + 2, feature.name);
                    named(format!(
                        "{place}: `{}` is no number\n  hint: mend the row, or leave the field empty",
                        text.escape_debug()
                    ))
                })?),
            });
        }
        table.rows.push(row);
    }
    if table.rows.is_empty() {
        return Err(named("there are no rows\n  hint: a header and at least one row are needed".into()));
    }
    Ok(table)
}

/// Runs the new version beside the baseline on the rows that each sampled device begins with.
fn measure(bundle: &Bundle, baseline: &Bundle, rows: &Table, sampled: usize) -> Result<Vec<Rates>, Failure> {
    let profile = pinnace_firmware_targets::builtin(DEVICE_PROFILE)?;
    let policy = ProbePolicy::this_program()?;
    let engines = Engines::discover(&profile, &LibrarySearch::default(), policy);
    // Through the whole virtual way, signatures and all: nothing else is let into an engine.
    let load = |bundle: &Bundle| {
        let verified = verified(bundle).map_err(unusable)?;
        Ok::<_, Failure>(engines.load(&verified))
    };
    let mut before = load(baseline)?.map_err(|e| unusable(format!("the baseline does not load: {e}")))?;
    let mut new = match load(bundle)? {
        Ok(new) => new,
        Err(e) => {
            line(format!("the real engine refuses the new version: {e}"));
            return Ok(vec![Rates::default(); sampled]);
        }
    };
    (0..sampled).map(|device| rates(&mut new, &mut before, rows, device)).collect()
}

fn rates(new: &mut LoadedModel, before: &mut LoadedModel, rows: &Table, device: usize) -> Result<Rates, Failure> {
    let (mut errors, mut not_finite, mut differ, mut answered) = (0_u64, 0_u64, 0_u64, 0_u64);
    let (mut times, mut before_times) = (Vec::new(), Vec::new());
    let mut first: Option<Answers> = None;
    let mut varied = false;
    for at in 0..SAMPLE_ROWS {
        let (input, old_input) =
            (matrix(rows, 2, &new.manifest, device, at)?, matrix(rows, 1, &before.manifest, device, at)?);
        let (answer, took) = timed(|| new.model.run(&input));
        times.push(took);
        let (old, took) = timed(|| before.model.run(&old_input));
        before_times.push(took);
        let Ok(answer) = answer else {
            errors += 1;
            continue;
        };
        answered += 1;
        not_finite += u64::from(!answer.is_finite(0));
        varied |= first.as_ref().is_some_and(|first| *first != answer);
        differ += u64::from(old.is_ok_and(|old| old.labels != answer.labels));
        first.get_or_insert(answer);
    }
    let ppm = |part: u64, of: u64| u32::try_from(part * 1_000_000 / of.max(1)).unwrap_or(u32::MAX);
    Ok(Rates {
        loads: true,
        errors_ppm: ppm(errors, SAMPLE_ROWS as u64),
        not_finite_ppm: ppm(not_finite, answered),
        varied,
        p95_us: p95(times),
        baseline_p95_us: p95(before_times),
        disagreements_ppm: ppm(differ, answered),
    })
}

/// Returns an answer and the shortest of a few times, microseconds: what else the machine does must decide nothing.
fn timed<T>(mut run: impl FnMut() -> T) -> (T, u128) {
    let mut once = || {
        let began = Instant::now();
        (run(), began.elapsed().as_micros())
    };
    let (answer, first) = once();
    (answer, (1..TIMES).map(|_| once().1).fold(first, u128::min))
}

fn p95(mut times: Vec<u128>) -> u64 {
    times.sort_unstable();
    let at = times.len().saturating_sub(1) * 95 / 100;
    times.get(at).and_then(|us| u64::try_from(*us).ok()).unwrap_or(0)
}

/// Returns one row as the model of a version takes it: categories by their place, nothing as NaN.
fn matrix(rows: &Table, version: u64, manifest: &Manifest, device: usize, at: usize) -> Result<Matrix, Failure> {
    let features = &manifest.signature.features;
    let value = |cell: &Cell, feature: &Feature| match (cell, &feature.kind) {
        (Cell::Num(number), _) => *number as f32,
        (Cell::Cat(text), FeatureKind::Categorical(words)) => {
            words.iter().position(|word| word == text).map_or(f32::NAN, |index| index as f32)
        }
        _ => f32::NAN,
    };
    let values = if rows.rows.is_empty() {
        // Without a table: small numbers that differ from row to row.
        let made_up = |place: usize| ((at * 31 + place * 17 + device * 7) % 97) as f32 / 9.7 - 5.0;
        (0..features.len()).map(made_up).collect()
    } else {
        rows.cells(version, device, at as u64).zip(features).map(|(cell, feature)| value(cell, feature)).collect()
    };
    Matrix::new(features.len(), values).map_err(|e| Failure::error(e.to_string()))
}
