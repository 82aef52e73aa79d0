//! The operators as tract knows them.
//!
//! [`onnx`] is tract's reader with the pack in it: what tract has of `ai.onnx.ml` itself is replaced, and `Flatten` (of
//! tokens) and `ReduceLogSumExp` (which overflowed). tract knows operators by name alone, whatever their domain.
//!
//! `ZipMap`, which turns scores into maps for Python, passes the scores through: a device takes a matrix `[rows,
//! classes]`, and its columns stand in the order of the labels that the file names. `DictVectorizer`, `CastMap` and
//! `FeatureHasher` are not there: tract has no maps, and no device of ours is asked with one.

mod attributes;
mod flatten;
mod kernel;
mod log_sum_exp;
mod models;
mod numeric;
mod strings;
mod trees;

use tract_onnx::Onnx;

/// Names of all operators of the pack.
pub const OPERATORS: [&str; 23] = [
    "ArrayFeatureExtractor",
    "Binarizer",
    "CategoryMapper",
    "FeatureVectorizer",
    "Imputer",
    "LabelEncoder",
    "LinearClassifier",
    "LinearRegressor",
    "Normalizer",
    "OneHotEncoder",
    "RegexFullMatch",
    "SVMClassifier",
    "SVMRegressor",
    "Scaler",
    "StringConcat",
    "StringNormalizer",
    "StringSplit",
    "TfIdfVectorizer",
    "Tokenizer",
    "TreeEnsemble",
    "TreeEnsembleClassifier",
    "TreeEnsembleRegressor",
    "ZipMap",
];

/// Returns tract's reader of ONNX files with the operators of the pack.
pub fn onnx() -> Onnx {
    let mut onnx = tract_onnx::onnx();
    let register = &mut onnx.op_register;
    flatten::register(register);
    log_sum_exp::register(register);
    numeric::register(register);
    models::register(register);
    trees::register(register);
    strings::register(register);
    onnx
}
