//! Runs any ONNX model once, with tensors of any type: what published test suites ask of an engine.
//!
//! The agent itself serves models of one input `[rows, features]`. Here the same engines, opened and told the same way,
//! are asked everything else that ONNX defines, so that what they can and cannot do is a list and not an opinion.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::f16;
use tract_onnx::tract_hir::infer::InferenceFact;

use super::error::{EngineError, panic_text, reason};
use super::{limits, tract};

/// A tensor of any type that the engines share.
#[derive(Debug, Clone)]
pub struct AnyTensor(Tensor);

impl AnyTensor {
    /// Reads an ONNX `TensorProto`, e.g. `input_0.pb` of a test suite.
    ///
    /// # Errors
    /// [`EngineError::Malformed`] when it is too large, does not parse, or is of a type that is not read (sequences, optionals, 4- and
    /// 8-bit floats, complex numbers).
    pub fn from_proto(bytes: &[u8]) -> Result<Self, EngineError> {
        let bad = |why: String| EngineError::Malformed { engine: "tensor".into(), why: reason(&why) };
        if bytes.len() > limits::MODEL_MAX_BYTES {
            return Err(bad(format!("{} bytes", bytes.len())));
        }
        let read = || -> TractResult<Tensor> {
            let proto = tract_onnx::tensor::proto_from_reader(bytes)?;
            tract_onnx::tensor::load_tensor(&*tract_onnx::onnx().provider, &proto, None)
        };
        let read = catch_unwind(AssertUnwindSafe(read)).map_err(|p| bad(panic_text(&*p)))?;
        read.map(Self).map_err(|e| bad(format!("{e:#}")))
    }

    /// Returns the largest magnitude among finite values; 0 without any.
    fn scale(&self) -> f64 {
        let Ok(values) = self.0.cast_to::<f64>() else { return 0.0 };
        let Ok(values) = values.to_plain_array_view::<f64>() else { return 0.0 };
        values.iter().filter(|v| v.is_finite()).fold(0.0, |most, v| most.max(v.abs()))
    }

    /// Returns how `found` differs from this reference; none when it does not.
    ///
    /// Type and shape must be the same. Floating-point values may differ by `rtol` of the reference's value plus
    /// `atol` of its largest magnitude; NaN equals NaN; everything else must be equal.
    pub fn difference(&self, found: &Self, rtol: f64, atol: f64) -> Option<String> {
        let (ours, theirs) = (&found.0, &self.0);
        if ours.datum_type() != theirs.datum_type() || ours.shape() != theirs.shape() {
            let text = |t: &Tensor| format!("{:?} {:?}", t.datum_type(), t.shape());
            return Some(format!("{}, expected {}", text(ours), text(theirs)));
        }
        if !theirs.datum_type().is_float() {
            return (ours != theirs).then(|| "other values".into());
        }
        let as_f64 = |t: &Tensor| Some(t.cast_to::<f64>().ok()?.to_plain_array_view::<f64>().ok()?.to_owned());
        let (Some(ours), Some(theirs)) = (as_f64(ours), as_f64(theirs)) else { return Some("unreadable".into()) };
        let slack = atol * self.scale();
        // Nothing but infinity is close to infinity.
        let close = |f: f64, e: f64| e.is_finite() && (f - e).abs() <= slack + rtol * e.abs();
        let differs = |f: f64, e: f64| !(f == e || (f.is_nan() && e.is_nan()) || close(f, e));
        let at = ours.iter().zip(&theirs).position(|(f, e)| differs(*f, *e))?;
        let (f, e) = (ours.iter().nth(at)?, theirs.iter().nth(at)?);
        Some(format!("value {at} is {f}, expected {e}"))
    }
}

/// Runs a model once with tract. Inputs are those that the graph gives no constant for, in its order; so are the outputs.
///
/// # Errors
/// [`EngineError`] when the model does not load or run; a panic is an error too.
pub fn run_tract(model: &[u8], inputs: &[AnyTensor]) -> Result<Vec<AnyTensor>, EngineError> {
    caught("tract", || {
        let proto = tract::parse(model)?;
        let run = || -> TractResult<Vec<AnyTensor>> {
            let parsed = tract::onnx().parse(&proto, None)?;
            if !parsed.unresolved_inputs.is_empty() {
                return Err(TractError::msg(format!("no one makes {:?}", parsed.unresolved_inputs)));
            }
            let mut graph = parsed.model;
            if graph.input_outlets()?.len() != inputs.len() {
                return Err(TractError::msg(format!("it has {} inputs", graph.input_outlets()?.len())));
            }
            for (index, AnyTensor(tensor)) in inputs.iter().enumerate() {
                let fact = InferenceFact::dt_shape(tensor.datum_type(), tensor.shape());
                graph.set_input_fact(index, fact)?;
            }
            let plan = graph.into_optimized()?.into_runnable()?;
            let found = plan.run(inputs.iter().map(|t| t.0.clone().into_tvalue()).collect())?;
            found.into_iter().map(|t| plain(t.into_tensor()).map(AnyTensor)).collect()
        };
        run().map_err(|e| EngineError::Malformed { engine: "tract".into(), why: reason(&format!("{e:#}")) })
    })
}

/// Returns a tensor of lengths, which tract keeps symbolic, as the integers that ONNX means.
fn plain(tensor: Tensor) -> TractResult<Tensor> {
    if tensor.datum_type() == TDim::datum_type() {
        return Ok(tensor.cast_to::<i64>()?.into_owned());
    }
    Ok(tensor)
}

/// Runs a model once with ONNX Runtime, like [`run_tract`].
///
/// # Errors
/// [`EngineError`] when the library does not open, or the model does not load or run.
#[cfg(feature = "ort")]
pub fn run_ort(library: &Path, model: &[u8], inputs: &[AnyTensor]) -> Result<Vec<AnyTensor>, EngineError> {
    caught("ort", || {
        let mut session = super::ort::open_session(library, model, 1, &[])?;
        let failed = |why: String| EngineError::Run { engine: "ort".into(), why: reason(&why) };
        let names: Vec<String> = session.inputs().iter().map(|i| i.name().to_owned()).collect();
        if names.len() != inputs.len() {
            return Err(failed(format!("it has {} inputs", names.len())));
        }
        let values: Result<Vec<_>, String> =
            names.into_iter().zip(inputs).map(|(name, t)| Ok((name, to_ort(&t.0)?))).collect();
        let outputs = session.run(values.map_err(failed)?).map_err(|e| failed(e.to_string()))?;
        outputs.values().map(|value| from_ort(&value).map(AnyTensor)).collect::<Result<_, _>>().map_err(failed)
    })
}

/// Says that this program was built without ONNX Runtime.
///
/// # Errors
/// Always.
#[cfg(not(feature = "ort"))]
pub fn run_ort(_: &Path, _: &[u8], _: &[AnyTensor]) -> Result<Vec<AnyTensor>, EngineError> {
    Err(EngineError::Library { why: "this program was built without it (feature `ort`)".into() })
}

fn caught<T>(engine: &str, run: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|p| Err(EngineError::Panicked { engine: engine.into(), why: panic_text(&*p) }))
}

/// Calls a macro with every plain type that both engines know: its name in tract, in ONNX Runtime, in Rust.
#[cfg(feature = "ort")]
macro_rules! plain_types {
    ($each:ident) => {
        $each! {
            F16 Float16 f16, F32 Float32 f32, F64 Float64 f64, I8 Int8 i8, I16 Int16 i16, I32 Int32 i32, I64 Int64 i64,
            U8 Uint8 u8, U16 Uint16 u16, U32 Uint32 u32, U64 Uint64 u64, Bool Bool bool
        }
    };
}

#[cfg(feature = "ort")]
fn to_ort(tensor: &Tensor) -> Result<ort::value::DynValue, String> {
    let shape = tensor.shape().to_vec();
    macro_rules! each {
        ($($dt:ident $_ort:ident $t:ty),*) => {
            match tensor.datum_type() {
                $(DatumType::$dt => {
                    let view = tensor.to_plain_array_view::<$t>().map_err(|e| e.to_string())?;
                    let values: Vec<$t> = view.iter().copied().collect();
                    ort::value::Tensor::from_array((shape, values)).map(ort::value::Value::into_dyn)
                })*
                DatumType::String => {
                    let view = tensor.to_plain_array_view::<String>().map_err(|e| e.to_string())?;
                    let values: Vec<String> = view.iter().cloned().collect();
                    ort::value::Tensor::from_string_array((shape, &*values)).map(ort::value::Value::into_dyn)
                }
                other => return Err(format!("{other:?} is not passed on")),
            }
        };
    }
    plain_types!(each).map_err(|e| e.to_string())
}

#[cfg(feature = "ort")]
fn from_ort(value: &ort::value::DynValue) -> Result<Tensor, String> {
    use ort::value::TensorElementType;
    let ort::value::ValueType::Tensor { ty, .. } = value.dtype() else { return Err("an output is no tensor".into()) };
    let shape = |s: &ort::value::Shape| s.iter().map(|d| usize::try_from(*d).unwrap_or(0)).collect::<Vec<_>>();
    macro_rules! each {
        ($($_dt:ident $ort:ident $t:ty),*) => {
            match ty {
                $(TensorElementType::$ort => {
                    let (dims, values) = value.try_extract_tensor::<$t>().map_err(|e| e.to_string())?;
                    Tensor::from_shape(&shape(dims), values)
                })*
                TensorElementType::String => {
                    let (dims, values) = value.try_extract_strings().map_err(|e| e.to_string())?;
                    tract_ndarray::ArrayD::from_shape_vec(shape(dims), values).map(Tensor::from).map_err(Into::into)
                }
                other => return Err(format!("{other:?} is not read")),
            }
        };
    }
    plain_types!(each).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_close_is_equal() {
        let t = |values: &[f32]| AnyTensor(tensor1(values));
        let reference = t(&[1.0, f32::NAN, f32::INFINITY]);
        assert_eq!(reference.difference(&t(&[1.0005, f32::NAN, f32::INFINITY]), 1e-3, 0.0), None);
        for wrong in [&[1.01, f32::NAN, f32::INFINITY][..], &[1.0, 0.0, f32::INFINITY], &[1.0, f32::NAN, 1.0], &[1.0]] {
            assert!(reference.difference(&t(wrong), 1e-3, 1e-5).is_some(), "{wrong:?}");
        }
        let whole = AnyTensor(tensor1(&[1_i64, 2]));
        assert!(whole.difference(&AnyTensor(tensor1(&[1_i64, 3])), 1.0, 1.0).is_some());
        assert!(whole.difference(&t(&[1.0, 2.0]), 1.0, 1.0).is_some());
    }

    #[test]
    fn bytes_that_are_no_tensor_are_refused() {
        for bytes in [&b"not a tensor"[..], &[0xff; 64], &[0x10, 0x11]] {
            assert!(matches!(AnyTensor::from_proto(bytes), Err(EngineError::Malformed { .. })), "{bytes:?}");
        }
    }
}
