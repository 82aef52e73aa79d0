//! The operators of `ai.onnx.ml` (and the text operators that exports of scikit-learn put before them), with the
//! answers of ONNX Runtime.
//!
//! Two layers. The modules below are pure: attributes become a checked operator, the operator answers slices; they know
//! nothing of tract, files or threads. [`registry`] is thin: it reads the attributes of a node and hands tensors over.
//! What a model says is never believed: lengths, indices, cycles and sizes are checked when the operator is made, so
//! that answering neither panics nor loops.

pub mod encode;
pub mod error;
pub mod features;
pub mod limits;
pub mod linear;
pub mod number;
pub mod registry;
pub mod score;
pub mod svm;
pub mod text;
pub mod tree;

pub use error::OperatorError;
