//! The reference profile: what the training data looked like, as the device will count live data.
use pinnace_protocol::sketch::{Column as SketchColumn, PredictionColumns, Profile, ProfileBuilder, ProfileError};

use crate::data::{Dataset, Target, Values};
use crate::evaluate::argmax;
use crate::learn::{LearnError, Model, Task, TrainedModel, matched};

/// Says why a profile cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ProfileBuildError {
    /// The model cannot predict on the data.
    #[error(transparent)]
    Learn(#[from] LearnError),
    /// A column cannot serve as a reference.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}

/// Returns the profile of `train` under `model`; predictions and calibration come from `holdout`, rows the model was
/// not trained on.
///
/// `block_rows` is the number of rows that one drift decision will be based on: thresholds are set from what blocks of
/// this size of the training data differ by.
///
/// # Errors
/// [`ProfileBuildError`] when a feature is missing or cannot serve.
pub fn reference(
    model: &TrainedModel,
    train: &Dataset,
    holdout: &Dataset,
    block_rows: u32,
) -> Result<Profile, ProfileBuildError> {
    // Texts of categorical columns, kept alive while the builder borrows them.
    let texts: Vec<Vec<Option<&str>>> = train
        .features()
        .iter()
        .map(|column| match &column.values {
            Values::Numeric(_) => Vec::new(),
            Values::Categorical { categories, codes } => {
                codes.iter().map(|c| c.and_then(|c| categories.get(c as usize)).map(String::as_str)).collect()
            }
        })
        .collect();
    // The model sees f32, and so does the device: the bins must be of the same numbers.
    let numbers: Vec<Vec<f64>> = train
        .features()
        .iter()
        .map(|column| match &column.values {
            Values::Numeric(values) => values.iter().map(|&v| f64::from(v as f32)).collect(),
            Values::Categorical { .. } => Vec::new(),
        })
        .collect();
    let nulls: Vec<Vec<bool>> = numbers.iter().map(|values| values.iter().map(|v| v.is_nan()).collect()).collect();

    let mut builder = ProfileBuilder::new(block_rows);
    for (at, feature) in model.features.iter().enumerate() {
        let place = train.features().iter().position(|c| c.name == feature.name);
        let place = place.ok_or_else(|| LearnError::MissingFeature { name: feature.name.clone() })?;
        let column = match &train.features()[place].values {
            Values::Numeric(_) => SketchColumn::Numeric { values: &numbers[place], nulls: Some(&nulls[place]) },
            Values::Categorical { .. } => SketchColumn::Categorical(&texts[place]),
        };
        builder = builder.feature(&feature.name, column, model.importance.get(at).copied().unwrap_or(0.0));
    }

    let judged = judge(model, holdout)?;
    if let Some((classes, predicted, scores, actual)) = &judged {
        let classes: Vec<&str> = classes.iter().map(String::as_str).collect();
        let columns = PredictionColumns { classes: &classes, predicted, scores, actual };
        return Ok(builder.predictions(columns).build()?);
    }
    Ok(builder.build()?)
}

type Judged = (Vec<String>, Vec<usize>, Vec<f64>, Vec<usize>);

/// Returns classes, predictions, scores and truth of labelled rows; `None` for a regression.
fn judge(model: &TrainedModel, data: &Dataset) -> Result<Option<Judged>, LearnError> {
    let (Task::Classify(classes), Target::Class { classes: known, index, .. }) = (&model.task, data.target()) else {
        return Ok(None);
    };
    let actual: Vec<usize> = matched(classes, known, index)?.into_iter().map(|c| c as usize).collect();
    let probabilities = model.predict_proba(data)?;
    let predicted: Vec<usize> = probabilities.iter().map(argmax).collect();
    let scores = probabilities.iter().zip(&predicted).map(|(row, &class)| f64::from(row[class])).collect();
    Ok(Some((classes.clone(), predicted, scores, actual)))
}
