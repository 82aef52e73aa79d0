//! `Flatten` of tokens: rows and tokens both are unknown when a model is loaded, and tract's own takes one unknown.

use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::array::Flatten as TractFlatten;

use super::attributes::Attributes;
use super::kernel::{Fact, Kernel, only};

type Parsed = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

pub(super) fn register(register: &mut OnnxOpRegister) {
    register.insert("Flatten", flatten);
}

fn flatten(context: &ParsingContext, node: &NodeProto) -> Parsed {
    Ok((expand(Flatten { axis: Attributes::of(context, node).int("axis", 1)? }), vec![]))
}

/// Tract's `Flatten` where that knows its sizes, one of the pack's operators else.
#[derive(Debug, Clone)]
struct Flatten {
    axis: i64,
}

fn two<D: Clone + std::iter::Product>(axis: i64, shape: &[D]) -> TractResult<[D; 2]> {
    let axis = if axis < 0 { axis + shape.len() as i64 } else { axis };
    let axis =
        usize::try_from(axis).ok().filter(|a| *a <= shape.len()).context("Flatten at an axis that is not there")?;
    Ok([shape[..axis].iter().cloned().product(), shape[axis..].iter().cloned().product()])
}

impl Expansion for Flatten {
    fn name(&self) -> StaticName {
        "Flatten".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&outputs[0].datum_type, &inputs[0].datum_type)?;
        solver.given(&inputs[0].shape, move |solver, shape| {
            solver.equals(&outputs[0].shape, ShapeFactoid::from(two(self.axis, &shape)?.to_vec()))
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let unknown = model.outlet_fact(inputs[0])?.shape.iter().filter(|d| d.to_usize().is_err()).count();
        if unknown < 2 {
            return TractFlatten { axis: self.axis }.wire(prefix, model, inputs);
        }
        let axis = self.axis;
        let facts = move |inputs: &[Fact]| {
            let (dt, shape) = only("Flatten", inputs)?;
            Ok(tvec!((*dt, two(axis, shape)?.into_iter().collect())))
        };
        let answer = move |inputs: &[TValue]| {
            let input = only("Flatten", inputs)?;
            Ok(tvec!(input.clone().into_tensor().into_shape(&two(axis, input.shape())?)?))
        };
        model.wire_node(prefix, Kernel::new("Flatten", facts, answer), inputs)
    }
}
