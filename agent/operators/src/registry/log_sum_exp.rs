//! `ReduceLogSumExp` that does not overflow: naive Bayes of scikit-learn divides by it, and tract's own computes
//! `ln(sum(exp(x)))` as it is written.

use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};
use tract_onnx::tract_hir::internal::*;

use super::attributes::Attributes;

type Parsed = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

pub(super) fn register(register: &mut OnnxOpRegister) {
    register.insert("ReduceLogSumExp", log_sum_exp);
}

fn log_sum_exp(context: &ParsingContext, node: &NodeProto) -> Parsed {
    let of = Attributes::of(context, node);
    if !of.has("axes") {
        // All axes, or axes that come as an input: as tract does it.
        let tract = tract_onnx::onnx();
        let builder = tract.op_register.0.get("ReduceLogSumExp").context("tract has no ReduceLogSumExp")?;
        return builder(context, node);
    }
    Ok((expand(LogSumExp { axes: of.ints("axes")?, keep: of.int("keepdims", 1)? != 0 }), vec![]))
}

/// `max + ln(sum(exp(x - max)))`.
#[derive(Debug, Clone)]
struct LogSumExp {
    axes: Vec<i64>,
    keep: bool,
}

impl LogSumExp {
    /// The axes as numbers from the front, in order.
    fn positive(&self, rank: usize) -> TractResult<TVec<usize>> {
        let positive = |axis: &i64| usize::try_from(if *axis < 0 { axis + rank as i64 } else { *axis }).ok();
        let axes: Option<TVec<usize>> = self.axes.iter().map(|a| positive(a).filter(|a| *a < rank)).collect();
        let mut axes = axes.context("ReduceLogSumExp at an axis that is not there")?;
        axes.sort_unstable();
        axes.dedup();
        Ok(axes)
    }
}

impl Expansion for LogSumExp {
    fn name(&self) -> StaticName {
        "ReduceLogSumExp".into()
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
        solver.given(&inputs[0].shape, move |solver, mut shape| {
            for axis in self.positive(shape.len())?.into_iter().rev() {
                if self.keep {
                    shape[axis] = 1.to_dim();
                } else {
                    shape.remove(axis);
                }
            }
            solver.equals(&outputs[0].shape, shape)
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let axes = self.positive(model.outlet_fact(inputs[0])?.rank())?;
        let name = |part: &str| format!("{prefix}.{part}");
        let max = model.wire_node(name("max"), Reduce::new(axes.clone(), Reducer::Max), inputs)?[0];
        let less = model.wire_node(name("less"), math::sub(), &[inputs[0], max])?;
        let exp = model.wire_node(name("exp"), math::exp(), &less)?;
        let sum = model.wire_node(name("sum"), Reduce::new(axes.clone(), Reducer::Sum), &exp)?;
        let ln = model.wire_node(name("ln"), math::ln(), &sum)?[0];
        let mut out = model.wire_node(name("more"), math::add(), &[ln, max])?;
        if !self.keep {
            for axis in axes.into_iter().rev() {
                out = model.wire_node(name(&format!("without-{axis}")), AxisOp::Rm(axis), &out)?;
            }
        }
        Ok(out)
    }
}
