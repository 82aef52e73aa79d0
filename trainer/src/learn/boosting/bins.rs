//! Features cut into at most 255 bins, one byte per cell.

use crate::learn::matrix::Matrix;

/// The byte of a missing cell.
pub(super) const MISSING: u8 = u8::MAX;

/// The training rows, binned, column by column.
pub(super) struct Binned {
    rows: usize,
    columns: Vec<Vec<u8>>,
    /// Upper edges: a value is in the first bin whose edge is not below it, else in the last.
    edges: Vec<Vec<f32>>,
}

impl Binned {
    /// Cuts every column at the midpoints between values, or at quantiles where there are more
    /// distinct values than bins.
    pub(super) fn of(matrix: &Matrix, max_bins: usize) -> Self {
        let rows = matrix.rows();
        let (mut columns, mut edges) = (Vec::new(), Vec::new());
        for feature in 0..matrix.columns() {
            let values: Vec<f32> = (0..rows).map(|row| matrix.get(row, feature)).collect();
            let cuts = cut(&values, max_bins);
            columns.push(values.iter().map(|&v| bin(&cuts, v)).collect());
            edges.push(cuts);
        }
        Self { rows, columns, edges }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn features(&self) -> usize {
        self.columns.len()
    }

    pub(super) fn column(&self, feature: usize) -> &[u8] {
        &self.columns[feature]
    }

    /// Returns how many bins a feature has, without the one for missing cells.
    pub(super) fn bins(&self, feature: usize) -> usize {
        self.edges[feature].len() + 1
    }

    /// Returns the largest value that goes left of a split after `bin`; after the last bin all
    /// values go left and only missing cells go right.
    pub(super) fn threshold(&self, feature: usize, bin: u8) -> f32 {
        self.edges[feature].get(usize::from(bin)).copied().unwrap_or(f32::MAX)
    }
}

fn bin(edges: &[f32], value: f32) -> u8 {
    if value.is_nan() {
        return MISSING;
    }
    edges.partition_point(|&edge| edge < value) as u8
}

fn cut(values: &[f32], max_bins: usize) -> Vec<f32> {
    let mut sorted: Vec<f32> = values.iter().copied().filter(|v| !v.is_nan()).collect();
    sorted.sort_by(f32::total_cmp);
    let mut distinct = sorted.clone();
    distinct.dedup();
    let mut edges = Vec::new();
    if distinct.len() <= max_bins {
        edges.extend(distinct.windows(2).map(|pair| between(pair[0], pair[1])));
    } else {
        for k in 1..max_bins {
            let at = k * sorted.len() / max_bins;
            // The edge must part two different values: step to where the value changes.
            let above = sorted[at];
            let below = sorted[..at].partition_point(|&v| v < above).checked_sub(1);
            if let Some(below) = below {
                edges.push(between(sorted[below], above));
            }
        }
        edges.dedup();
    }
    edges
}

/// Returns a number m with a <= m < b, near the middle.
fn between(a: f32, b: f32) -> f32 {
    let middle = (f64::from(a) + (f64::from(b) - f64::from(a)) / 2.0) as f32;
    if middle >= a && middle < b { middle } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_part_neighbouring_floats() {
        let a = 1.0f32;
        let b = f32::from_bits(a.to_bits() + 1);
        let edges = cut(&[b, a, f32::NAN, a], 255);
        assert_eq!(edges.len(), 1);
        assert_ne!(bin(&edges, a), bin(&edges, b));
        assert_eq!(bin(&edges, f32::NAN), MISSING);
    }

    #[test]
    fn many_values_fall_into_even_bins() {
        let values: Vec<f32> = (0..10_000).map(|i| i as f32).collect();
        let edges = cut(&values, 255);
        assert_eq!(edges.len(), 254);
        let mut counts = vec![0usize; 255];
        for &value in &values {
            counts[usize::from(bin(&edges, value))] += 1;
        }
        assert!(counts.iter().all(|&n| (38..=41).contains(&n)), "{counts:?}");
    }

    #[test]
    fn a_heavy_value_keeps_a_bin_of_its_own() {
        let mut values = vec![0.0f32; 9_000];
        values.extend((1..=1_000).map(|i| i as f32));
        let edges = cut(&values, 10);
        assert!(edges.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(bin(&edges, 0.0), 0);
        assert!(bin(&edges, 1_000.0) >= 1);
    }
}
