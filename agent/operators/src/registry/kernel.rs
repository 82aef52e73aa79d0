//! One operator of tract for all of the pack: facts and answers are functions that each module beside gives.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

use tract_onnx::tract_hir::internal::*;

/// Type and shape of an input or output.
pub(super) type Fact = (DatumType, TVec<TDim>);
type Facts = dyn Fn(&[Fact]) -> TractResult<TVec<Fact>> + Send + Sync;
type Answer = dyn Fn(&[TValue]) -> TractResult<TVec<Tensor>> + Send + Sync;
/// Makes the operator that the type of the first input asks for.
type Suited = dyn Fn(DatumType) -> TractResult<Option<Kernel>> + Send + Sync;

/// What an operator is: how its outputs look, and what they are.
#[derive(Clone)]
pub(super) struct Kernel {
    name: &'static str,
    facts: Arc<Facts>,
    answer: Arc<Answer>,
    suited: Option<Arc<Suited>>,
    sizes_unknown: bool,
    /// Which of the outputs are wanted.
    outputs: TVec<usize>,
}

impl Kernel {
    pub(super) fn new(
        name: &'static str,
        facts: impl Fn(&[Fact]) -> TractResult<TVec<Fact>> + Send + Sync + 'static,
        answer: impl Fn(&[TValue]) -> TractResult<TVec<Tensor>> + Send + Sync + 'static,
    ) -> Self {
        let (facts, answer) = (Arc::new(facts), Arc::new(answer));
        Self { name, facts, answer, suited: None, sizes_unknown: false, outputs: tvec!(0) }
    }

    pub(super) fn outputs(mut self, outputs: Vec<usize>) -> Self {
        self.outputs = outputs.into();
        self
    }

    /// Its facts name sizes that are known only when it has answered.
    pub(super) fn with_sizes_unknown(mut self) -> Self {
        self.sizes_unknown = true;
        self
    }

    pub(super) fn suited_by(
        mut self,
        suited: impl Fn(DatumType) -> TractResult<Option<Kernel>> + Send + Sync + 'static,
    ) -> Self {
        self.suited = Some(Arc::new(suited));
        self
    }

    pub(super) fn boxed(self) -> (Box<dyn InferenceOp>, Vec<String>) {
        (expand(self), vec![])
    }

    fn wanted<T: Clone>(&self, all: &[T]) -> TractResult<TVec<T>> {
        let wanted = self.outputs.iter().map(|i| all.get(*i).cloned());
        wanted.collect::<Option<TVec<T>>>().with_context(|| format!("{} has no such output", self.name))
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.answer, &other.answer) && self.outputs == other.outputs
    }
}

impl Eq for Kernel {}

impl Hash for Kernel {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (Arc::as_ptr(&self.answer).cast::<()>(), &self.outputs).hash(state);
    }
}

impl Op for Kernel {
    fn name(&self) -> StaticName {
        self.name.into()
    }

    fn mints_runtime_symbols(&self) -> bool {
        self.sizes_unknown
    }

    op_as_typed_op!();
}

impl EvalOp for Kernel {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut all: TVec<Option<Tensor>> = (self.answer)(&inputs)?.into_iter().map(Some).collect();
        let wanted = self.outputs.iter().map(|i| all.get_mut(*i).and_then(Option::take));
        let wanted: Option<TVec<TValue>> = wanted.map(|t| t.map(IntoTValue::into_tvalue)).collect();
        wanted.with_context(|| format!("{} has no such output", self.name))
    }
}

impl TypedOp for Kernel {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let inputs: Vec<Fact> = inputs.iter().map(|f| (f.datum_type, f.shape.to_tvec())).collect();
        let facts = self.wanted(&(self.facts)(&inputs)?)?;
        Ok(facts.into_iter().map(|(dt, shape)| dt.fact(&*shape)).collect())
    }

    as_op!();
}

impl Expansion for Kernel {
    fn name(&self) -> StaticName {
        self.name.into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.outputs.len())
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_output_arity(outputs, self.outputs.len())?;
        solver.given_all(inputs.iter().map(|i| &i.datum_type), move |solver, types: Vec<DatumType>| {
            solver.given_all(inputs.iter().map(|i| &i.shape), move |solver, shapes: Vec<TVec<TDim>>| {
                let inputs: Vec<Fact> = types.iter().copied().zip(shapes).collect();
                for (output, (dt, shape)) in outputs.iter().zip(self.wanted(&(self.facts)(&inputs)?)?) {
                    solver.equals(&output.datum_type, dt)?;
                    solver.equals(&output.shape, shape)?;
                }
                Ok(())
            })
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let suited = match (&self.suited, inputs.first()) {
            (Some(suited), Some(input)) => suited(model.outlet_fact(*input)?.datum_type)?,
            _ => None,
        };
        let mut kernel = suited.unwrap_or_else(|| self.clone());
        kernel.outputs.clone_from(&self.outputs);
        kernel.suited = None;
        model.wire_node(prefix, kernel, inputs)
    }
}

/// Rows and columns of a shape; a list is one row.
pub(super) fn rows_columns<D: Clone + From<usize>>(name: &str, shape: &[D]) -> TractResult<(D, D)> {
    match shape {
        [columns] => Ok((D::from(1), columns.clone())),
        [rows, columns] => Ok((rows.clone(), columns.clone())),
        _ => bail!("{name} takes a list or rows of features, not {} dimensions", shape.len()),
    }
}

/// Values of an input as `f32`.
pub(super) fn floats(value: &Tensor) -> TractResult<Cow<'_, Tensor>> {
    value.cast_to::<f32>()
}

/// Values of an input of integers.
pub(super) fn ints(value: &Tensor) -> TractResult<Vec<i64>> {
    Ok(slice::<i64>(&*value.cast_to::<i64>()?)?.to_vec())
}

/// The values of a tensor.
pub(super) fn slice<T: Datum>(tensor: &Tensor) -> TractResult<&[T]> {
    tensor.try_as_plain_ram()?.as_slice::<T>()
}

/// A tensor of values.
pub(super) fn tensor<T: Datum>(shape: &[usize], values: Vec<T>) -> TractResult<Tensor> {
    Ok(tract_ndarray::Array::from_shape_vec(shape, values)?.into())
}

/// The type that an output of a generic operator has: tract counts in dimensions where a file counts in integers.
pub(super) fn plain(dt: DatumType) -> DatumType {
    if dt == TDim::datum_type() { i64::datum_type() } else { dt }
}

/// The one input of an operator.
pub(super) fn only<'a, T>(name: &str, inputs: &'a [T]) -> TractResult<&'a T> {
    match inputs {
        [input] => Ok(input),
        _ => bail!("{name} takes one input, not {}", inputs.len()),
    }
}
