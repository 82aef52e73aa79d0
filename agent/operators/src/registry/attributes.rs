//! Attributes of a node, as the pure layer takes them.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::*;

/// Reads the attributes of one node.
pub(super) struct Attributes<'a> {
    context: &'a ParsingContext<'a>,
    node: &'a NodeProto,
}

impl<'a> Attributes<'a> {
    pub(super) fn of(context: &'a ParsingContext<'a>, node: &'a NodeProto) -> Self {
        Self { context, node }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.node.attribute.iter().any(|a| a.name == name)
    }

    pub(super) fn int(&self, name: &str, default: i64) -> TractResult<i64> {
        Ok(self.node.get_attr_opt::<i64>(name)?.unwrap_or(default))
    }

    pub(super) fn float(&self, name: &str, default: f32) -> TractResult<f32> {
        Ok(self.node.get_attr_opt::<f32>(name)?.unwrap_or(default))
    }

    pub(super) fn string(&self, name: &str) -> TractResult<Option<String>> {
        self.node.get_attr_opt::<String>(name)
    }

    pub(super) fn string_or(&self, name: &str, default: &str) -> TractResult<String> {
        Ok(self.string(name)?.unwrap_or_else(|| default.to_owned()))
    }

    pub(super) fn ints(&self, name: &str) -> TractResult<Vec<i64>> {
        Ok(self.node.get_attr_opt_slice::<i64>(name)?.map(<[i64]>::to_vec).unwrap_or_default())
    }

    pub(super) fn floats(&self, name: &str) -> TractResult<Vec<f32>> {
        Ok(self.node.get_attr_opt_slice::<f32>(name)?.map(<[f32]>::to_vec).unwrap_or_default())
    }

    pub(super) fn strings(&self, name: &str) -> TractResult<Vec<String>> {
        Ok(self.node.get_attr_opt_vec::<String>(name)?.unwrap_or_default())
    }

    pub(super) fn tensor(&self, name: &str) -> TractResult<Option<Tensor>> {
        let proto = self.node.get_attr_opt::<&tract_onnx::pb::TensorProto>(name)?;
        proto.map(|proto| self.context.load_tensor(proto)).transpose()
    }

    /// Floats of a list, or of the tensor beside it (`…_as_tensor`), which may be doubles.
    pub(super) fn floats_or_tensor(&self, name: &str) -> TractResult<Vec<f64>> {
        match self.tensor(&format!("{name}_as_tensor"))? {
            Some(tensor) => doubles(&tensor),
            None => Ok(self.floats(name)?.into_iter().map(f64::from).collect()),
        }
    }

    /// Which outputs are wanted, of `all` that the operator has.
    pub(super) fn outputs(&self, all: usize) -> Vec<usize> {
        (0..all).filter(|i| self.node.output.get(*i).is_some_and(|o| !o.is_empty())).collect()
    }

    /// A size that is known only when the operator has answered.
    pub(super) fn new_size(&self) -> TDim {
        self.context.template.symbols.new_with_prefix("strings").into()
    }
}

/// The values of a tensor of numbers as doubles.
pub(super) fn doubles(tensor: &Tensor) -> TractResult<Vec<f64>> {
    Ok(tensor.cast_to::<f64>()?.try_as_plain_ram()?.as_slice::<f64>()?.to_vec())
}
