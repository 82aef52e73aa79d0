//! Prints what counting costs: nanoseconds per value, bytes per feature and window.
//!
//! Run with `cargo run --release -p pinnace-protocol --example sketch_speed`.

use pinnace_protocol::sketch::{Column, Live, Profile, ProfileBuilder, Value};
use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

const FEATURES: usize = 20;
const REFERENCE_ROWS: usize = 20_000;
/// One row a minute for a day.
const WINDOW_ROWS: usize = 1_440;
const REPEATS: usize = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let mut random = Random(1);
    let columns: Vec<Vec<f64>> = (0..FEATURES).map(|_| (0..REFERENCE_ROWS).map(|_| random.bell()).collect()).collect();
    let started = Instant::now();
    let profile = profile(&columns)?;
    let built = started.elapsed();
    let tensor: Vec<[f32; FEATURES]> =
        (0..WINDOW_ROWS).map(|_| core::array::from_fn(|_| random.bell() as f32)).collect();
    let rows: Vec<[Value<'_>; FEATURES]> = tensor.iter().map(|row| row.map(Value::from)).collect();

    let values = (FEATURES * WINDOW_ROWS) as f64;
    let by_value = fastest(|| {
        let mut live = Live::new(&profile);
        for row in &rows {
            live.update_row(black_box(row))?;
        }
        Ok(live)
    })?;
    let by_tensor = fastest(|| {
        let mut live = Live::new(&profile);
        for row in &tensor {
            live.update_numbers(black_box(row))?;
        }
        Ok(live)
    })?;
    let mut live = Live::new(&profile);
    for row in &rows {
        live.update_row(row)?;
    }
    let bytes = live.encode();
    let (coded, decoded) = (fastest(|| Ok(live.encode()))?, fastest(|| Ok(Live::decode(&profile, &bytes)?))?);
    println!("{FEATURES} features, {WINDOW_ROWS} rows a window, fastest of {REPEATS}");
    println!("update_row      {:6.2} ns per value", by_value / values);
    println!("update_numbers  {:6.2} ns per value", by_tensor / values);
    println!("encode          {:6.1} us per window", coded / 1e3);
    println!("decode          {:6.1} us per window", decoded / 1e3);
    println!("window          {:6} bytes, {:.1} per feature", bytes.len(), bytes.len() as f64 / FEATURES as f64);
    println!(
        "profile         {:6} bytes of JSON, built from {REFERENCE_ROWS} rows in {built:.0?}",
        profile.to_json().len()
    );
    Ok(())
}

fn profile(columns: &[Vec<f64>]) -> Result<Profile, Box<dyn Error>> {
    let mut builder = ProfileBuilder::new(1_000);
    for (index, values) in columns.iter().enumerate() {
        builder = builder.feature(&format!("feature {index}"), Column::Numeric { values, nulls: None }, 1.0);
    }
    Ok(builder.build()?)
}

/// Returns the nanoseconds of the fastest repeat: the one that no other process interrupted.
fn fastest<T>(work: impl Fn() -> Result<T, Box<dyn Error>>) -> Result<f64, Box<dyn Error>> {
    let mut fastest = f64::INFINITY;
    for _ in 0..REPEATS {
        let started = Instant::now();
        black_box(work()?);
        fastest = fastest.min(started.elapsed().as_nanos() as f64);
    }
    Ok(fastest)
}

/// A small generator, so that every run counts the same rows.
struct Random(u64);

impl Random {
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// The sum of twelve shares less six: close to a standard normal.
    fn bell(&mut self) -> f64 {
        (0..12).map(|_| self.share()).sum::<f64>() - 6.0
    }
}
