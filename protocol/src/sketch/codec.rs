//! Writes a window as bytes and reads it back: compact, bounded, one form only.
//!
//! Layout: format byte, fingerprint of the profile, rows; then each feature; then predictions.
//! Equal windows give equal bytes, and bytes that are read give the same bytes when written,
//! so a digest of the bytes identifies the counts.

use super::error::WindowError;
use super::layout::{Fingerprint, Layout, Shape};
use super::limits::{MAX_WINDOW_BYTES, WINDOW_FORMAT};
use super::predictions::Predictions;
use super::reference::Profile;
use super::tally::{CategoricalTally, NumericTally, Tally};
use super::validate::sum_is_possible;
use super::window::Live;
use super::wire::{Reader, Writer};
use alloc::sync::Arc;
use alloc::vec::Vec;

const HAS_NULLS: u8 = 1;
const HAS_NAN: u8 = 2;
const HAS_POS_INF: u8 = 4;
const HAS_NEG_INF: u8 = 8;
const HAS_MISTYPED: u8 = 16;
const HAS_OTHER: u8 = 32;

impl Live {
    /// Returns the window as bytes, at most [`MAX_WINDOW_BYTES`].
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.byte(WINDOW_FORMAT);
        writer.raw(&self.layout.fingerprint);
        writer.varint(u64::from(self.rows));
        for (feature, tally) in self.layout.features.iter().zip(&self.features) {
            match (&feature.shape, tally) {
                (Shape::Numeric { bins, .. }, Tally::Numeric(tally)) => write_numeric(&mut writer, bins.slots(), tally),
                (Shape::Categorical { categories, .. }, Tally::Categorical(tally)) => {
                    write_categorical(&mut writer, categories.values().len(), tally);
                }
                // Tallies are made from this layout, feature by feature.
                (Shape::Numeric { .. }, Tally::Categorical(_)) | (Shape::Categorical { .. }, Tally::Numeric(_)) => {}
            }
        }
        write_predictions(&mut writer, &self.predictions);
        writer.bytes
    }

    /// Reads a window that was counted against this profile.
    ///
    /// # Errors
    /// Says what is wrong and where; never panics and never takes more memory than a window,
    /// whatever the bytes.
    pub fn decode(profile: &Profile, bytes: &[u8]) -> Result<Self, WindowError> {
        Self::decode_with(profile.layout(), bytes)
    }

    /// Reads a window that was counted against a layout that is already at hand.
    ///
    /// # Errors
    /// As [`Live::decode`].
    pub fn decode_with(layout: &Arc<Layout>, bytes: &[u8]) -> Result<Self, WindowError> {
        let mut reader = open(bytes)?;
        if reader.raw::<16>()? != layout.fingerprint {
            return Err(WindowError::Profile);
        }
        let mut live = Self::with_layout(layout);
        live.rows = reader.count()?;
        for (feature, tally) in layout.features.iter().zip(&mut live.features) {
            match (&feature.shape, &mut *tally) {
                (Shape::Numeric { bins, .. }, Tally::Numeric(tally)) => read_numeric(&mut reader, bins.slots(), tally)?,
                (Shape::Categorical { categories, .. }, Tally::Categorical(tally)) => {
                    read_categorical(&mut reader, categories.values().len(), tally)?;
                }
                // Tallies are made from this layout, feature by feature.
                (Shape::Numeric { .. }, Tally::Categorical(_)) | (Shape::Categorical { .. }, Tally::Numeric(_)) => {}
            }
            reader.require(tally.rows() == u64::from(live.rows), "a feature was counted in fewer or more rows")?;
        }
        read_predictions(&mut reader, &mut live.predictions)?;
        reader.finish()?;
        Ok(live)
    }

    /// Returns the fingerprint of the profile that an encoded window was counted against,
    /// without reading the rest.
    ///
    /// # Errors
    /// Refuses bytes that are no window of this format.
    pub fn fingerprint_of(bytes: &[u8]) -> Result<Fingerprint, WindowError> {
        open(bytes)?.raw()
    }
}

fn open(bytes: &[u8]) -> Result<Reader<'_>, WindowError> {
    if bytes.len() > MAX_WINDOW_BYTES {
        return Err(WindowError::TooLarge { bytes: bytes.len() });
    }
    let mut reader = Reader::new(bytes);
    match reader.byte()? {
        WINDOW_FORMAT => Ok(reader),
        found => Err(WindowError::Format { found }),
    }
}

/// Writes counters that are rarely anything but zero: a byte of flags, then those that are not.
fn write_rare(writer: &mut Writer, rare: &[(u8, u32)]) {
    writer.byte(rare.iter().filter(|(_, count)| *count > 0).fold(0, |flags, (flag, _)| flags | flag));
    for (_, count) in rare.iter().filter(|(_, count)| *count > 0) {
        writer.varint(u64::from(*count));
    }
}

fn read_rare<const N: usize>(reader: &mut Reader<'_>, rare: [(u8, &mut u32); N]) -> Result<(), WindowError> {
    let mut flags = reader.byte()?;
    for (flag, count) in rare {
        if flags & flag != 0 {
            *count = reader.nonzero()?;
            flags &= !flag;
        }
    }
    reader.require(flags == 0, "an unknown flag is set")
}

fn write_numeric(writer: &mut Writer, slots: usize, tally: &NumericTally) {
    let counts = &tally.counts[..slots];
    writer.counters(counts);
    for (_, sum) in counts.iter().zip(&tally.sums).filter(|(count, _)| **count > 0) {
        writer.signed(*sum);
    }
    let rare = [
        (HAS_NULLS, tally.nulls),
        (HAS_NAN, tally.nan),
        (HAS_POS_INF, tally.pos_inf),
        (HAS_NEG_INF, tally.neg_inf),
        (HAS_MISTYPED, tally.mistyped),
    ];
    write_rare(writer, &rare);
    if let Some((min, max)) = tally.range() {
        writer.float(min);
        writer.float(max);
    }
}

fn read_numeric(reader: &mut Reader<'_>, slots: usize, tally: &mut NumericTally) -> Result<(), WindowError> {
    reader.counters(&mut tally.counts[..slots])?;
    for (count, sum) in tally.counts.iter().zip(&mut tally.sums).filter(|(count, _)| **count > 0) {
        *sum = reader.signed()?;
        reader.require(sum_is_possible(*count, *sum), "a sum is larger than its count allows")?;
    }
    let rare = [
        (HAS_NULLS, &mut tally.nulls),
        (HAS_NAN, &mut tally.nan),
        (HAS_POS_INF, &mut tally.pos_inf),
        (HAS_NEG_INF, &mut tally.neg_inf),
        (HAS_MISTYPED, &mut tally.mistyped),
    ];
    read_rare(reader, rare)?;
    if tally.finite() > 0 {
        (tally.min, tally.max) = (reader.float()?, reader.float()?);
        let in_order = tally.min.is_finite() && tally.max.is_finite() && tally.min <= tally.max;
        reader.require(in_order, "min and max are not finite or not in order")?;
        let negative_zero = (-0.0f32).to_bits();
        let plain = tally.min.to_bits() != negative_zero && tally.max.to_bits() != negative_zero;
        reader.require(plain, "zero is written as negative zero")?;
    }
    Ok(())
}

fn write_categorical(writer: &mut Writer, values: usize, tally: &CategoricalTally) {
    writer.counters(&tally.counts[..values]);
    write_rare(writer, &[(HAS_NULLS, tally.nulls), (HAS_MISTYPED, tally.mistyped), (HAS_OTHER, tally.other)]);
}

fn read_categorical(reader: &mut Reader<'_>, values: usize, tally: &mut CategoricalTally) -> Result<(), WindowError> {
    reader.counters(&mut tally.counts[..values])?;
    let rare = [(HAS_NULLS, &mut tally.nulls), (HAS_MISTYPED, &mut tally.mistyped), (HAS_OTHER, &mut tally.other)];
    read_rare(reader, rare)
}

fn write_predictions(writer: &mut Writer, part: &Predictions) {
    writer.varint(u64::from(part.errors));
    writer.varint(u64::from(part.predictions));
    if part.predictions > 0 {
        writer.counters(&part.scores);
        writer.counters(&part.latency.buckets);
    }
    writer.varint(u64::from(part.outcomes));
    if part.outcomes > 0 {
        writer.counters(&part.known);
        for (_, correct) in part.known.iter().zip(&part.correct).filter(|(known, _)| **known > 0) {
            writer.varint(u64::from(*correct));
        }
    }
}

fn read_predictions(reader: &mut Reader<'_>, part: &mut Predictions) -> Result<(), WindowError> {
    part.errors = reader.count()?;
    part.predictions = reader.count()?;
    if part.predictions > 0 {
        reader.require(part.classes > 0, "a model without classes has no predictions")?;
        reader.counters(&mut part.scores)?;
        reader.require(total(&part.scores) == u64::from(part.predictions), "scores do not add up to predictions")?;
        reader.counters(&mut part.latency.buckets)?;
        let timed = part.latency.count();
        reader.require(timed == u64::from(part.predictions), "latencies do not add up to predictions")?;
    }
    part.outcomes = reader.count()?;
    if part.outcomes > 0 {
        reader.counters(&mut part.known)?;
        reader.require(total(&part.known) == u64::from(part.outcomes), "outcomes do not add up")?;
        for (known, correct) in part.known.iter().zip(&mut part.correct).filter(|(known, _)| **known > 0) {
            *correct = reader.count()?;
            reader.require(*correct <= *known, "more outcomes are correct than known")?;
        }
    }
    Ok(())
}

fn total(counters: &[u32]) -> u64 {
    counters.iter().map(|count| u64::from(*count)).sum()
}
