//! Linear models and support vector machines.

use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::attributes::Attributes;
use super::kernel::{Fact, Kernel, floats, only, rows_columns, slice, tensor};
use crate::linear::{LinearClassifier, LinearRegressor};
use crate::score::PostTransform;
use crate::svm::{Kernel as Likeness, SvmClassifier, SvmClassifierParts, SvmRegressor};

type Parsed = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

pub(super) fn register(register: &mut OnnxOpRegister) {
    register.insert("LinearClassifier", linear_classifier);
    register.insert("LinearRegressor", linear_regressor);
    register.insert("SVMClassifier", svm_classifier);
    register.insert("SVMRegressor", svm_regressor);
}

/// The labels of a classifier.
#[derive(Debug, Clone)]
pub(super) enum Labels {
    Numbers(Vec<i64>),
    Words(Vec<String>),
}

impl Labels {
    pub(super) fn of(of: &Attributes, numbers: &str, words: &str) -> TractResult<Self> {
        let strings = of.strings(words)?;
        Ok(if strings.is_empty() { Self::Numbers(of.ints(numbers)?) } else { Self::Words(strings) })
    }

    pub(super) fn count(&self) -> usize {
        match self {
            Self::Numbers(n) => n.len(),
            Self::Words(w) => w.len(),
        }
    }

    pub(super) fn datum_type(&self) -> DatumType {
        match self {
            Self::Numbers(_) => i64::datum_type(),
            Self::Words(_) => String::datum_type(),
        }
    }

    /// The labels of winners: a number of a label, or a number itself.
    pub(super) fn named(&self, winners: impl ExactSizeIterator<Item = Choice>) -> TractResult<Tensor> {
        let shape = [winners.len()];
        match self {
            Self::Numbers(numbers) => {
                let label = |choice| match choice {
                    Choice::Label(i) => numbers.get(i).copied().unwrap_or_default(),
                    Choice::Itself(i) | Choice::NumberItself(i) => i,
                };
                tensor(&shape, winners.map(label).collect())
            }
            Self::Words(words) => {
                let label = |choice| match choice {
                    Choice::Label(i) => words.get(i).cloned().unwrap_or_default(),
                    Choice::Itself(i) => i.to_string(),
                    Choice::NumberItself(i) => {
                        usize::try_from(i).ok().and_then(|i| words.get(i).cloned()).unwrap_or_default()
                    }
                };
                tensor(&shape, winners.map(label).collect())
            }
        }
    }
}

/// What a classifier answered.
#[derive(Debug, Clone, Copy)]
pub(super) enum Choice {
    /// The label of that number.
    Label(usize),
    /// The number itself, as a string when labels are.
    Itself(i64),
    /// The number itself, or the label of that number when labels are strings.
    NumberItself(i64),
}

/// Facts of a classifier: a label and `scores` columns for each row.
pub(super) fn classifier_facts(
    name: &str,
    inputs: &[Fact],
    labels: DatumType,
    scores: usize,
) -> TractResult<TVec<Fact>> {
    let (_, shape) = only(name, inputs)?;
    let (rows, _) = rows_columns(name, shape)?;
    Ok(tvec!((labels, tvec!(rows.clone())), (f32::datum_type(), tvec!(rows, scores.to_dim()))))
}

/// Facts of a regressor: `targets` columns for each row.
pub(super) fn regressor_facts(name: &str, inputs: &[Fact], dt: DatumType, targets: usize) -> TractResult<TVec<Fact>> {
    let (_, shape) = only(name, inputs)?;
    Ok(tvec!((dt, tvec!(rows_columns(name, shape)?.0, targets.to_dim()))))
}

fn transform(of: &Attributes, name: &'static str) -> TractResult<PostTransform> {
    Ok(PostTransform::named(name, &of.string_or("post_transform", "NONE")?)?)
}

fn linear_classifier(context: &ParsingContext, node: &NodeProto) -> Parsed {
    const NAME: &str = "LinearClassifier";
    let of = Attributes::of(context, node);
    let labels = Labels::of(&of, "classlabels_ints", "classlabels_strings")?;
    let (weights, intercepts) = (of.floats("coefficients")?, of.floats("intercepts")?);
    let one_sum = intercepts.len() == 1;
    let model = LinearClassifier::new(labels.count(), weights, intercepts, transform(&of, NAME)?)?;
    let (dt, scores) = (labels.datum_type(), model.scores());
    let literal = one_sum && labels.count() != 2;
    let answer = move |inputs: &[TValue]| {
        let input = only(NAME, inputs)?;
        let (rows, columns) = rows_columns(NAME, input.shape())?;
        let (winners, out) = model.apply(slice(&*floats(input)?)?, rows, columns)?;
        let choice = |w: usize| if literal { Choice::Itself(w as i64) } else { Choice::Label(w) };
        Ok(tvec!(labels.named(winners.into_iter().map(choice))?, tensor(&[rows, scores], out)?))
    };
    let facts = move |inputs: &[Fact]| classifier_facts(NAME, inputs, dt, scores);
    Ok(Kernel::new(NAME, facts, answer).outputs(of.outputs(2)).boxed())
}

fn linear_regressor(context: &ParsingContext, node: &NodeProto) -> Parsed {
    const NAME: &str = "LinearRegressor";
    let of = Attributes::of(context, node);
    let (weights, intercepts) = (of.floats("coefficients")?, of.floats("intercepts")?);
    let model = LinearRegressor::new(of.int("targets", 1)?, weights, intercepts, transform(&of, NAME)?)?;
    let targets = model.targets();
    let answer = move |inputs: &[TValue]| {
        let input = only(NAME, inputs)?;
        let (rows, columns) = rows_columns(NAME, input.shape())?;
        Ok(tvec!(tensor(&[rows, targets], model.apply(slice(&*floats(input)?)?, rows, columns)?)?))
    };
    let facts = move |inputs: &[Fact]| regressor_facts(NAME, inputs, f32::datum_type(), targets);
    Ok(Kernel::new(NAME, facts, answer).boxed())
}

fn likeness(of: &Attributes, name: &'static str) -> TractResult<Likeness> {
    Ok(Likeness::named(name, &of.string_or("kernel_type", "LINEAR")?, &of.floats("kernel_params")?)?)
}

fn svm_classifier(context: &ParsingContext, node: &NodeProto) -> Parsed {
    const NAME: &str = "SVMClassifier";
    let of = Attributes::of(context, node);
    let labels = Labels::of(&of, "classlabels_ints", "classlabels_strings")?;
    let model = SvmClassifier::new(SvmClassifierParts {
        classes: labels.count(),
        vectors_per_class: of.ints("vectors_per_class")?,
        vectors: of.floats("support_vectors")?,
        weights: of.floats("coefficients")?,
        rho: of.floats("rho")?,
        prob_a: of.floats("prob_a")?,
        prob_b: of.floats("prob_b")?,
        kernel: likeness(&of, NAME)?,
        transform: transform(&of, NAME)?,
    })?;
    let (dt, scores) = (labels.datum_type(), model.scores());
    let answer = move |inputs: &[TValue]| {
        let input = only(NAME, inputs)?;
        let (rows, columns) = rows_columns(NAME, input.shape())?;
        let (winners, out) = model.apply(slice(&*floats(input)?)?, rows, columns)?;
        Ok(tvec!(labels.named(winners.into_iter().map(|w| Choice::Label(w.0)))?, tensor(&[rows, scores], out)?))
    };
    let facts = move |inputs: &[Fact]| classifier_facts(NAME, inputs, dt, scores);
    Ok(Kernel::new(NAME, facts, answer).outputs(of.outputs(2)).boxed())
}

fn svm_regressor(context: &ParsingContext, node: &NodeProto) -> Parsed {
    const NAME: &str = "SVMRegressor";
    let of = Attributes::of(context, node);
    let model = SvmRegressor::new(
        of.int("n_supports", 0)?,
        of.floats("support_vectors")?,
        of.floats("coefficients")?,
        &of.floats("rho")?,
        likeness(&of, NAME)?,
        of.int("one_class", 0)? != 0,
    )?;
    let answer = move |inputs: &[TValue]| {
        let input = only(NAME, inputs)?;
        let (rows, columns) = rows_columns(NAME, input.shape())?;
        Ok(tvec!(tensor(&[rows, 1], model.apply(slice(&*floats(input)?)?, rows, columns)?)?))
    };
    let facts = |inputs: &[Fact]| regressor_facts(NAME, inputs, f32::datum_type(), 1);
    Ok(Kernel::new(NAME, facts, answer).boxed())
}
