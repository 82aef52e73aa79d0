//! Tree ensembles of all versions.

use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::attributes::{Attributes, doubles};
use super::kernel::{Fact, Kernel, only, rows_columns, slice, tensor};
use super::models::{Choice, Labels, classifier_facts, regressor_facts};
use crate::number::Number;
use crate::score::PostTransform;
use crate::tree::{Aggregate, Classifier, LeafForm, Mode, NodeTables, Plan, Regressor, Winner};

type Parsed = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

pub(super) fn register(register: &mut OnnxOpRegister) {
    register.insert("TreeEnsemble", ensemble);
    register.insert("TreeEnsembleClassifier", classifier);
    register.insert("TreeEnsembleRegressor", regressor);
}

/// The lists of nodes and leaves; leaves are of a `class` or a `target`.
fn tables(of: &Attributes, leaf: &str, targets: usize) -> TractResult<NodeTables> {
    let modes = of.strings("nodes_modes")?;
    Ok(NodeTables {
        treeids: of.ints("nodes_treeids")?,
        nodeids: of.ints("nodes_nodeids")?,
        featureids: of.ints("nodes_featureids")?,
        modes: modes.iter().map(|m| Mode::named(m)).collect::<Result<_, _>>()?,
        values: of.floats_or_tensor("nodes_values")?,
        truenodeids: of.ints("nodes_truenodeids")?,
        falsenodeids: of.ints("nodes_falsenodeids")?,
        missing_value_tracks_true: of.ints("nodes_missing_value_tracks_true")?,
        leaf_treeids: of.ints(&format!("{leaf}_treeids"))?,
        leaf_nodeids: of.ints(&format!("{leaf}_nodeids"))?,
        leaf_targets: of.ints(&format!("{leaf}_ids"))?,
        leaf_weights: of.floats_or_tensor(&format!("{leaf}_weights"))?,
        targets,
    })
}

/// Values of the input in the width that the trees compare in.
fn with_values<T: Number + Datum, R>(
    name: &str,
    inputs: &[TValue],
    apply: impl FnOnce(&[T], usize, usize) -> Result<R, crate::OperatorError>,
) -> TractResult<R> {
    let input = only(name, inputs)?;
    let (rows, columns) = rows_columns(name, input.shape())?;
    let values = input.cast_to::<T>()?;
    Ok(apply(slice::<T>(&values)?, rows, columns)?)
}

fn classifier(context: &ParsingContext, node: &NodeProto) -> Parsed {
    const NAME: &str = "TreeEnsembleClassifier";
    let of = Attributes::of(context, node);
    let labels = Labels::of(&of, "classlabels_int64s", "classlabels_strings")?;
    let plan = Arc::new(tables(&of, "class", labels.count())?.plan().map_err(crate::OperatorError::from)?);
    let base = of.floats_or_tensor("base_values")?;
    let transform = PostTransform::named(NAME, &of.string_or("post_transform", "NONE")?)?;
    let narrow = classifier_of::<f32>(&plan, &base, transform, labels.clone())?;
    let suited = move |dt| {
        let wide = dt == f64::datum_type();
        wide.then(|| classifier_of::<f64>(&plan, &base, transform, labels.clone())).transpose()
    };
    Ok(narrow.suited_by(suited).outputs(of.outputs(2)).boxed())
}

fn classifier_of<T: Number + Datum>(
    plan: &Plan,
    base: &[f64],
    transform: PostTransform,
    labels: Labels,
) -> TractResult<Kernel> {
    const NAME: &str = "TreeEnsembleClassifier";
    let model = Classifier::<T>::new(plan, base, transform)?;
    let (dt, classes) = (labels.datum_type(), model.classes());
    let answer = move |inputs: &[TValue]| {
        let (winners, scores) = with_values(NAME, inputs, |v, rows, columns| model.apply(v, rows, columns))?;
        let choice = |winner| match winner {
            Winner::Class(i) => Choice::Label(i),
            Winner::Literal(one) => Choice::NumberItself(i64::from(one)),
        };
        let rows = winners.len();
        Ok(tvec!(labels.named(winners.into_iter().map(choice))?, tensor(&[rows, classes], scores)?))
    };
    Ok(Kernel::new(NAME, move |inputs| classifier_facts(NAME, inputs, dt, classes), answer))
}

fn regressor(context: &ParsingContext, node: &NodeProto) -> Parsed {
    const NAME: &str = "TreeEnsembleRegressor";
    let of = Attributes::of(context, node);
    let targets = usize::try_from(of.int("n_targets", 0)?).unwrap_or(0);
    let parts = Arc::new(Parts {
        plan: tables(&of, "target", targets)?.plan().map_err(crate::OperatorError::from)?,
        base: of.floats_or_tensor("base_values")?,
        aggregate: Aggregate::named(NAME, &of.string_or("aggregate_function", "SUM")?)?,
        transform: PostTransform::named(NAME, &of.string_or("post_transform", "NONE")?)?,
    });
    // Version 3 answers in f32 whatever it is asked in.
    let narrow = regressor_of::<f32>(NAME, &parts, f32::datum_type())?;
    let suited = move |dt| {
        let wide = dt == f64::datum_type();
        wide.then(|| regressor_of::<f64>(NAME, &parts, f32::datum_type())).transpose()
    };
    Ok(narrow.suited_by(suited).boxed())
}

fn ensemble(context: &ParsingContext, node: &NodeProto) -> Parsed {
    const NAME: &str = "TreeEnsemble";
    let of = Attributes::of(context, node);
    let numbers = |name: &str| of.tensor(name)?.map(|t| doubles(&t)).transpose().map(Option::unwrap_or_default);
    let modes = of.tensor("nodes_modes")?.map(|t| Ok::<_, TractError>(slice::<u8>(&*t.cast_to::<u8>()?)?.to_vec()));
    let form = LeafForm {
        tree_roots: of.ints("tree_roots")?,
        nodes_modes: modes.transpose()?.unwrap_or_default(),
        nodes_featureids: of.ints("nodes_featureids")?,
        nodes_splits: numbers("nodes_splits")?,
        nodes_truenodeids: of.ints("nodes_truenodeids")?,
        nodes_trueleafs: of.ints("nodes_trueleafs")?,
        nodes_falsenodeids: of.ints("nodes_falsenodeids")?,
        nodes_falseleafs: of.ints("nodes_falseleafs")?,
        nodes_missing_value_tracks_true: of.ints("nodes_missing_value_tracks_true")?,
        membership_values: numbers("membership_values")?,
        leaf_targetids: of.ints("leaf_targetids")?,
        leaf_weights: numbers("leaf_weights")?,
        n_targets: of.int("n_targets", 0)?,
    };
    let parts = Arc::new(Parts {
        plan: form.plan().map_err(crate::OperatorError::from)?,
        base: Vec::new(),
        aggregate: Aggregate::numbered(NAME, of.int("aggregate_function", 1)?)?,
        transform: PostTransform::numbered(NAME, of.int("post_transform", 0)?)?,
    });
    // Version 5 answers in the type it is asked in.
    let narrow = regressor_of::<f32>(NAME, &parts, f32::datum_type())?;
    let suited = move |dt| {
        let wide = dt == f64::datum_type();
        wide.then(|| regressor_of::<f64>(NAME, &parts, f64::datum_type())).transpose()
    };
    Ok(narrow.suited_by(suited).boxed())
}

/// What a regressor is made of.
struct Parts {
    plan: Plan,
    base: Vec<f64>,
    aggregate: Aggregate,
    transform: PostTransform,
}

fn regressor_of<T: Number + Datum>(name: &'static str, parts: &Parts, out: DatumType) -> TractResult<Kernel> {
    let model = Regressor::<T>::new(name, &parts.plan, &parts.base, parts.aggregate, parts.transform)?;
    let targets = model.targets();
    // Facts say what the operator answers once its input's type is known.
    let facts = move |inputs: &[Fact]| {
        let wide = name == "TreeEnsemble" && only(name, inputs)?.0 == f64::datum_type();
        regressor_facts(name, inputs, if wide { f64::datum_type() } else { f32::datum_type() }, targets)
    };
    let answer = move |inputs: &[TValue]| {
        let values = with_values(name, inputs, |v, rows, columns| model.apply(v, rows, columns))?;
        let rows = values.len() / targets;
        Ok(tvec!(tensor(&[rows, targets], values)?.cast_to_dt(out)?.into_owned()))
    };
    Ok(Kernel::new(name, facts, answer))
}
