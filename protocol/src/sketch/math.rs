//! Small float helpers that give the same bits on every processor.

/// Returns 2 to the given power, exactly, for exponents of normal `f64` numbers.
pub(crate) fn exp2i(exponent: i32) -> f64 {
    libm::ldexp(1.0, exponent)
}

/// Rounds to six decimals, so that the shortest JSON text of the number reads back as itself
/// in every parser (15 digits or fewer and a small exponent are always exact).
pub(crate) fn round6(value: f64) -> f64 {
    libm::round(value * 1e6) / 1e6
}

/// Returns the exponent of the largest power of two that is not above a positive number.
pub(crate) fn floor_log2(value: f64) -> i32 {
    // frexp gives a mantissa in 0.5..1, so the exponent is one too large.
    libm::frexp(value).1 - 1
}

/// Returns the value at a quantile (0..=1) of sorted numbers: the smallest one that has at
/// least that share at or below it. Zero when there are none.
pub(crate) fn nearest_rank(sorted: &[f64], quantile: f64) -> f64 {
    let rank = libm::ceil(quantile * sorted.len() as f64) as usize;
    sorted.get(rank.max(1).min(sorted.len()).wrapping_sub(1)).copied().unwrap_or(0.0)
}
