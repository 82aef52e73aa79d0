//! The two widths that thresholds and scores come in.

/// A floating-point number: `f32` or `f64`.
pub trait Number: Copy + Default + PartialOrd + Send + Sync + std::fmt::Debug + 'static {
    /// Returns the number nearest to it.
    fn from_f64(value: f64) -> Self;
    /// Returns it as `f32`, rounded when it does not fit.
    fn to_f32(self) -> f32;
    /// Returns the sum.
    #[must_use]
    fn plus(self, other: Self) -> Self;
    /// Returns it divided by a count.
    #[must_use]
    fn over(self, count: usize) -> Self;
    /// Says whether it is not a number.
    fn is_nan(self) -> bool;
    /// Returns an index in the bits of a number; it is never computed with.
    fn from_index(index: u32) -> Self;
    /// Returns the index that [`Number::from_index`] was given.
    fn to_index(self) -> u32;
}

impl Number for f32 {
    #[expect(clippy::cast_possible_truncation, reason = "rounding is what it is for")]
    fn from_f64(value: f64) -> Self {
        value as f32
    }
    fn to_f32(self) -> f32 {
        self
    }
    fn plus(self, other: Self) -> Self {
        self + other
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of trees")]
    fn over(self, count: usize) -> Self {
        self / count as f32
    }
    fn is_nan(self) -> bool {
        self.is_nan()
    }
    fn from_index(index: u32) -> Self {
        Self::from_bits(index)
    }
    fn to_index(self) -> u32 {
        self.to_bits()
    }
}

impl Number for f64 {
    fn from_f64(value: f64) -> Self {
        value
    }
    #[expect(clippy::cast_possible_truncation, reason = "rounding is what it is for")]
    fn to_f32(self) -> f32 {
        self as f32
    }
    fn plus(self, other: Self) -> Self {
        self + other
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of trees")]
    fn over(self, count: usize) -> Self {
        self / count as f64
    }
    fn is_nan(self) -> bool {
        self.is_nan()
    }
    fn from_index(index: u32) -> Self {
        Self::from_bits(u64::from(index))
    }
    #[expect(clippy::cast_possible_truncation, reason = "it was a u32")]
    fn to_index(self) -> u32 {
        self.to_bits() as u32
    }
}
