//! Decides from counters how far live data is from the reference, and says why.
//!
//! Pure functions over [`crate::sketch`]: effect sizes decide, significance only guards, the
//! device is the unit, and every result carries reasons and one plain sentence.

pub mod limits;
pub mod performance;
pub mod permutation;

mod effect;
mod feature;
mod measure;
mod ordered;
mod persistence;
mod predictions;
mod report;
mod significance;

pub use effect::{Table, merge_slots};
pub use feature::{Distance, FeatureDrift, Level, Reason};
pub use measure::{Measures, Share, measure};
pub use ordered::{KolmogorovSmirnov, kolmogorov_smirnov, wasserstein};
pub use persistence::{Persistence, Verdict};
pub use report::{Report, assess, compare};
pub use significance::{benjamini_hochberg, chi_square, chi_square_p, poisson_at_least};
