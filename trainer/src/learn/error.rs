//! What can go wrong in learning and predicting.

use thiserror::Error;

use crate::limits;

/// Says what was wrong; [`LearnError::hint`] says what to do.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum LearnError {
    /// A parameter is out of range.
    #[error("{parameter} is {value}, allowed is {allowed}")]
    Parameter {
        /// Its name.
        parameter: &'static str,
        /// What was given.
        value: String,
        /// The range.
        allowed: String,
    },
    /// The table has no label.
    #[error("the data has no label to learn")]
    NoLabel,
    /// The table has no features.
    #[error("the data has no feature columns")]
    NoFeatures,
    /// The table has too few rows.
    #[error("{rows} rows are too few to learn from")]
    TooFewRows {
        /// Rows there are.
        rows: usize,
    },
    /// All rows have one class.
    #[error("every row of label {label:?} is {class:?}")]
    OneClass {
        /// Label column.
        label: String,
        /// The class.
        class: String,
    },
    /// The learner cannot predict quantities.
    #[error("logistic regression learns classes, and {label:?} is a quantity")]
    NeedsClasses {
        /// Label column.
        label: String,
    },
    /// A feature of the model is not in the table.
    #[error("feature {name:?} is not in the data")]
    MissingFeature {
        /// Feature name.
        name: String,
    },
    /// A feature is of another kind than in the model.
    #[error("feature {name:?} is {found} in the data and {expected} in the model")]
    FeatureKind {
        /// Feature name.
        name: String,
        /// Kind in the data.
        found: &'static str,
        /// Kind in the model.
        expected: &'static str,
    },
    /// The label of the holdout does not fit the model.
    #[error("the label of the holdout does not fit the model: {detail}")]
    ForeignLabel {
        /// What differs.
        detail: String,
    },
    /// The problem is over a size limit.
    #[error("{what} needs {found}, the limit is {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// What it would take.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// A matrix has another width than the model has features.
    #[error("rows have {found} values, the model has {expected} features")]
    Width {
        /// Columns given.
        found: usize,
        /// Features of the model.
        expected: usize,
    },
}

impl LearnError {
    /// Returns what to do about it, in one sentence.
    pub fn hint(&self) -> String {
        match self {
            Self::Parameter { parameter, allowed, .. } => format!("set {parameter} to {allowed}"),
            Self::NoLabel => "name the label column when reading the data".into(),
            Self::NoFeatures => "keep at least one column besides the label".into(),
            Self::TooFewRows { .. } => {
                format!("give at least {} rows", limits::MIN_TRAINING_ROWS)
            }
            Self::OneClass { .. } => "take rows in which the label varies".into(),
            Self::NeedsClasses { .. } => "use boosting, or read the label as classes".into(),
            Self::MissingFeature { name } => {
                format!("add the column {name:?}, or train again without it")
            }
            Self::FeatureKind { .. } => "read the data with the model's features, so that kinds and codes agree".into(),
            Self::ForeignLabel { .. } => "read training and holdout from one file, then split".into(),
            Self::TooLarge { .. } => "use fewer rows, columns, leaves or iterations".into(),
            Self::Width { .. } => "encode rows with TrainedModel::encode".into(),
        }
    }
}

/// Returns an error unless `value` is within the range (both ends included; NaN is outside).
pub(super) fn within<T: PartialOrd + std::fmt::Display>(
    parameter: &'static str,
    value: T,
    low: T,
    high: T,
) -> Result<(), LearnError> {
    if value >= low && value <= high {
        return Ok(());
    }
    Err(LearnError::Parameter { parameter, value: value.to_string(), allowed: format!("{low} to {high}") })
}
