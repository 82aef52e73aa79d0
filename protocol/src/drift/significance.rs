//! Tells how likely a difference is by chance: chi-square, Poisson tail, Benjamini-Hochberg.

use super::effect::Table;
use super::limits::{MAX_SERIES_STEPS, MIN_EXPECTED};
use alloc::vec;
use alloc::vec::Vec;

/// Returns the chi-square statistic of two samples and its degrees of freedom, with
/// neighbouring cells pooled until both sides expect five rows in each.
pub fn chi_square(table: &Table) -> (f64, usize) {
    let (reference, live) = (table.reference() as f64, table.live() as f64);
    if table.reference() == 0 || table.live() == 0 {
        return (0.0, 0);
    }
    let smaller = reference.min(live) / (reference + live);
    let mut pooled: Vec<(u64, u64)> = Vec::new();
    let mut open = (0u64, 0u64);
    for cell in table.cells() {
        open = (open.0 + cell.0, open.1 + cell.1);
        if (open.0 + open.1) as f64 * smaller >= MIN_EXPECTED {
            pooled.push(open);
            open = (0, 0);
        }
    }
    // What is left at the end joins the last cell.
    match pooled.last_mut() {
        Some(last) => *last = (last.0 + open.0, last.1 + open.1),
        None => pooled.push(open),
    }
    let (up, down) = (libm::sqrt(live / reference), libm::sqrt(reference / live));
    let terms = pooled.iter().map(|(r, l)| {
        let difference = up * *r as f64 - down * *l as f64;
        difference * difference / (r + l).max(1) as f64
    });
    (terms.sum(), pooled.len() - 1)
}

/// Returns the chance of a chi-square statistic at least this large when both sides are
/// equal, or 1 when there is nothing to compare.
pub fn chi_square_p(table: &Table) -> f64 {
    let (statistic, freedom) = chi_square(table);
    if freedom == 0 { 1.0 } else { 1.0 - gamma_lower(freedom as f64 * 0.5, statistic * 0.5) }.clamp(0.0, 1.0)
}

/// Returns the chance of counting at least `count` when `expected` are expected (Poisson).
pub fn poisson_at_least(count: u64, expected: f64) -> f64 {
    if count == 0 { 1.0 } else { gamma_lower(count as f64, expected.max(0.0)).clamp(0.0, 1.0) }
}

/// Returns the regularised lower incomplete gamma function P(shape, x).
fn gamma_lower(shape: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let scale = libm::exp(shape * libm::log(x) - x - libm::lgamma(shape));
    if x < shape + 1.0 {
        let (mut term, mut sum) = (1.0 / shape, 1.0 / shape);
        for step in 1..MAX_SERIES_STEPS {
            term *= x / (shape + step as f64);
            sum += term;
            if term < sum * f64::EPSILON {
                break;
            }
        }
        scale * sum
    } else {
        1.0 - scale * upper_fraction(shape, x)
    }
}

/// Evaluates the continued fraction of the upper incomplete gamma function (Lentz).
fn upper_fraction(shape: f64, x: f64) -> f64 {
    let tiny = f64::MIN_POSITIVE / f64::EPSILON;
    let keep = |value: f64| if libm::fabs(value) < tiny { tiny } else { value };
    let mut b = x + 1.0 - shape;
    let mut c = 1.0 / tiny;
    let mut d = 1.0 / keep(b);
    let mut fraction = d;
    for step in 1..MAX_SERIES_STEPS {
        let a = -(step as f64) * (step as f64 - shape);
        b += 2.0;
        d = 1.0 / keep(a * d + b);
        c = keep(b + a / c);
        fraction *= d * c;
        if libm::fabs(d * c - 1.0) < f64::EPSILON {
            break;
        }
    }
    fraction
}

/// Tells for each p-value whether it is a discovery at this false discovery rate
/// (Benjamini and Hochberg), in the order given. A value that is no number is none.
pub fn benjamini_hochberg(p_values: &[f64], rate: f64) -> Vec<bool> {
    let mut order: Vec<usize> = (0..p_values.len()).filter(|index| !p_values[*index].is_nan()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let share = |rank: usize| rate * (rank + 1) as f64 / p_values.len() as f64;
    let accepted =
        (0..order.len()).rev().find(|rank| p_values[order[*rank]] <= share(*rank)).map_or(0, |rank| rank + 1);
    let mut discoveries = vec![false; p_values.len()];
    for index in &order[..accepted] {
        discoveries[*index] = true;
    }
    discoveries
}
