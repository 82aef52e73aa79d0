//! Operators on features and categories.

use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::attributes::Attributes;
use super::kernel::{Fact, Kernel, floats, ints, only, plain, rows_columns, slice, tensor};
use crate::encode::{Key, Mapper, OneHot, category_of};
use crate::features::{FeatureVectorizer, Imputer, Normalizer, Scaler, binarize, extract};

type Parsed = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

pub(super) fn register(register: &mut OnnxOpRegister) {
    register.insert("ArrayFeatureExtractor", array_feature_extractor);
    register.insert("Binarizer", binarizer);
    register.insert("CategoryMapper", category_mapper);
    register.insert("FeatureVectorizer", feature_vectorizer);
    register.insert("Imputer", imputer);
    register.insert("LabelEncoder", label_encoder);
    register.insert("Normalizer", normalizer);
    register.insert("OneHotEncoder", one_hot);
    register.insert("Scaler", scaler);
    register.insert("ZipMap", zip_map);
}

/// An operator that answers `f32` in the shape of its input.
fn elementwise(
    name: &'static str,
    apply: impl Fn(&Tensor, usize) -> TractResult<Vec<f32>> + Send + Sync + 'static,
) -> Kernel {
    Kernel::new(
        name,
        move |inputs| Ok(tvec!((f32::datum_type(), only(name, inputs)?.1.clone()))),
        move |inputs| {
            let input = only(name, inputs)?;
            let (_, columns) = rows_columns(name, input.shape())?;
            Ok(tvec!(tensor(input.shape(), apply(input, columns)?)?))
        },
    )
}

fn scaler(context: &ParsingContext, node: &NodeProto) -> Parsed {
    let of = Attributes::of(context, node);
    let scaler = Scaler::new(of.floats("offset")?, of.floats("scale")?)?;
    let apply = move |input: &Tensor, columns| {
        if input.datum_type() == f64::datum_type() {
            return Ok(scaler.apply_wide(slice(input)?, columns)?);
        }
        let mut values = slice(&*floats(input)?)?.to_vec();
        scaler.apply(&mut values, columns)?;
        Ok(values)
    };
    Ok(elementwise("Scaler", apply).boxed())
}

fn normalizer(context: &ParsingContext, node: &NodeProto) -> Parsed {
    let normalizer = Normalizer::named(&Attributes::of(context, node).string_or("norm", "MAX")?)?;
    let apply = move |input: &Tensor, columns| {
        let mut values = slice(&*floats(input)?)?.to_vec();
        normalizer.apply(&mut values, columns);
        Ok(values)
    };
    Ok(elementwise("Normalizer", apply).boxed())
}

fn binarizer(context: &ParsingContext, node: &NodeProto) -> Parsed {
    const NAME: &str = "Binarizer";
    let threshold = Attributes::of(context, node).float("threshold", 1.0)?;
    let answer = move |inputs: &[TValue]| {
        let input = only(NAME, inputs)?;
        let mut values = slice(&*floats(input)?)?.to_vec();
        binarize(&mut values, threshold)?;
        let out = tensor(input.shape(), values)?;
        Ok(tvec!(out.cast_to_dt(plain(input.datum_type()))?.into_owned()))
    };
    Ok(Kernel::new(NAME, |inputs| same(NAME, inputs), answer).boxed())
}

/// Facts of an operator that answers in the type and shape of its input.
fn same(name: &str, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
    let (dt, shape) = only(name, inputs)?;
    Ok(tvec!((plain(*dt), shape.clone())))
}

fn imputer(context: &ParsingContext, node: &NodeProto) -> Parsed {
    const NAME: &str = "Imputer";
    let of = Attributes::of(context, node);
    let (floats_in, ints_in) = (of.floats("imputed_value_floats")?, of.ints("imputed_value_int64s")?);
    if floats_in.is_empty() == ints_in.is_empty() {
        bail!("Imputer takes values that are floats or integers, one of the two");
    }
    let facts = |inputs: &[Fact]| same(NAME, inputs);
    if ints_in.is_empty() {
        let imputer = Imputer::new(floats_in, of.float("replaced_value_float", 0.0)?)?;
        let answer = move |inputs: &[TValue]| {
            let input = only(NAME, inputs)?;
            let mut values = slice(&*floats(input)?)?.to_vec();
            imputer.apply(&mut values, rows_columns(NAME, input.shape())?.1);
            Ok(tvec!(tensor(input.shape(), values)?.cast_to_dt(plain(input.datum_type()))?.into_owned()))
        };
        return Ok(Kernel::new(NAME, facts, answer).boxed());
    }
    let imputer = Imputer::new(ints_in, of.int("replaced_value_int64", 0)?)?;
    let answer = move |inputs: &[TValue]| {
        let input = only(NAME, inputs)?;
        let mut values = ints(input)?;
        imputer.apply(&mut values, rows_columns(NAME, input.shape())?.1);
        Ok(tvec!(tensor(input.shape(), values)?.cast_to_dt(plain(input.datum_type()))?.into_owned()))
    };
    Ok(Kernel::new(NAME, facts, answer).boxed())
}

fn array_feature_extractor(_: &ParsingContext, _: &NodeProto) -> Parsed {
    const NAME: &str = "ArrayFeatureExtractor";
    let facts = |inputs: &[Fact]| {
        let [(dt, shape), (_, indices)] = inputs else { bail!("{NAME} takes two inputs") };
        let count: TDim = indices.iter().product();
        let mut out: TVec<TDim> = if shape.len() == 1 { tvec!(1.to_dim(), count.clone()) } else { shape.clone() };
        *out.last_mut().with_context(|| format!("{NAME} takes no scalar"))? = count;
        Ok(tvec!((plain(*dt), out)))
    };
    let answer = |inputs: &[TValue]| {
        let [values, indices] = inputs else { bail!("{NAME} takes two inputs") };
        let indices = ints(indices)?;
        let columns = *values.shape().last().with_context(|| format!("{NAME} takes no scalar"))?;
        let mut shape = if values.rank() == 1 { vec![1, 0] } else { values.shape().to_vec() };
        if let Some(last) = shape.last_mut() {
            *last = indices.len();
        }
        let dt = values.datum_type();
        let out = if dt == String::datum_type() {
            tensor(&shape, extract(slice::<String>(values)?, columns, &indices)?)?
        } else if dt.is_float() {
            let wide = values.cast_to::<f64>()?;
            tensor(&shape, extract(slice::<f64>(&wide)?, columns, &indices)?)?.cast_to_dt(dt)?.into_owned()
        } else {
            tensor(&shape, extract(&ints(values)?, columns, &indices)?)?.cast_to_dt(plain(dt))?.into_owned()
        };
        Ok(tvec!(out))
    };
    Ok(Kernel::new(NAME, facts, answer).boxed())
}

fn feature_vectorizer(context: &ParsingContext, node: &NodeProto) -> Parsed {
    const NAME: &str = "FeatureVectorizer";
    let vectorizer = FeatureVectorizer::new(&Attributes::of(context, node).ints("inputdimensions")?)?;
    let width = vectorizer.columns();
    let facts = move |inputs: &[Fact]| {
        let (_, shape) = inputs.first().with_context(|| format!("{NAME} takes inputs"))?;
        Ok(tvec!((f32::datum_type(), tvec!(rows_columns(NAME, shape)?.0, width.to_dim()))))
    };
    let answer = move |inputs: &[TValue]| {
        let mut rows = 0;
        let mut parts = Vec::with_capacity(inputs.len());
        for input in inputs {
            let columns;
            (rows, columns) = rows_columns(NAME, input.shape())?;
            parts.push((slice(&*floats(input)?)?.to_vec(), columns));
        }
        Ok(tvec!(tensor(&[rows, width], vectorizer.apply(&parts, rows)?)?))
    };
    Ok(Kernel::new(NAME, facts, answer).boxed())
}

fn one_hot(context: &ParsingContext, node: &NodeProto) -> Parsed {
    const NAME: &str = "OneHotEncoder";
    let of = Attributes::of(context, node);
    let (numbers, words) = (of.ints("cats_int64s")?, of.strings("cats_strings")?);
    let zeros = of.int("zeros", 1)? != 0;
    if numbers.is_empty() == words.is_empty() {
        bail!("{NAME} takes categories that are integers or strings, one of the two");
    }
    let facts = |categories: usize| {
        move |inputs: &[Fact]| {
            let mut shape = only(NAME, inputs)?.1.clone();
            shape.push(categories.to_dim());
            Ok(tvec!((f32::datum_type(), shape)))
        }
    };
    let shape_of = |input: &Tensor, categories: usize| {
        let mut shape = input.shape().to_vec();
        shape.push(categories);
        shape
    };
    if numbers.is_empty() {
        let encoder = OneHot::new(&words, zeros)?;
        let answer = move |inputs: &[TValue]| {
            let input = only(NAME, inputs)?;
            Ok(tvec!(tensor(&shape_of(input, encoder.categories()), encoder.apply(slice(input)?)?)?))
        };
        return Ok(Kernel::new(NAME, facts(words.len()), answer).boxed());
    }
    let encoder = OneHot::new(&numbers, zeros)?;
    let answer = move |inputs: &[TValue]| {
        let input = only(NAME, inputs)?;
        let values = if input.datum_type().is_float() {
            slice::<f64>(&*input.cast_to::<f64>()?)?.iter().map(|v| category_of(*v)).collect()
        } else {
            ints(input)?
        };
        Ok(tvec!(tensor(&shape_of(input, encoder.categories()), encoder.apply(&values)?)?))
    };
    Ok(Kernel::new(NAME, facts(numbers.len()), answer).boxed())
}

/// Scores that a map would be made of pass through.
fn zip_map(_: &ParsingContext, _: &NodeProto) -> Parsed {
    let answer = |inputs: &[TValue]| Ok(tvec!(only("ZipMap", inputs)?.clone().into_tensor()));
    Ok(Kernel::new("ZipMap", |inputs| same("ZipMap", inputs), answer).boxed())
}

/// What may be keys and values of a map.
enum Column {
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Doubles(Vec<f64>),
    Strings(Vec<String>),
}

impl Column {
    /// Returns the entries that the attributes name, and the type they have in the file.
    fn of(of: &Attributes, name: &str) -> TractResult<Option<(Self, DatumType)>> {
        if let Some(tensor) = of.tensor(&format!("{name}_tensor"))? {
            let dt = tensor.datum_type();
            return Ok(Some((Self::of_tensor(&tensor)?, dt)));
        }
        Ok(if of.has(&format!("{name}_strings")) {
            Some((Self::Strings(of.strings(&format!("{name}_strings"))?), String::datum_type()))
        } else if of.has(&format!("{name}_int64s")) {
            Some((Self::Ints(of.ints(&format!("{name}_int64s"))?), i64::datum_type()))
        } else if of.has(&format!("{name}_floats")) {
            Some((Self::Floats(of.floats(&format!("{name}_floats"))?), f32::datum_type()))
        } else {
            None
        })
    }

    fn of_tensor(tensor: &Tensor) -> TractResult<Self> {
        let dt = tensor.datum_type();
        Ok(if dt == String::datum_type() {
            Self::Strings(slice::<String>(tensor)?.to_vec())
        } else if dt == f64::datum_type() {
            Self::Doubles(slice::<f64>(tensor)?.to_vec())
        } else if dt.is_float() {
            Self::Floats(slice::<f32>(&*floats(tensor)?)?.to_vec())
        } else {
            Self::Ints(ints(tensor)?)
        })
    }
}

fn mapped<K: Key + Datum, V: Datum>(name: &'static str, map: Mapper<K, V>, dt: DatumType) -> Kernel
where
    Mapper<K, V>: Send + Sync,
{
    let facts = move |inputs: &[Fact]| Ok(tvec!((dt, only(name, inputs)?.1.clone())));
    let answer = move |inputs: &[TValue]| {
        let input = only(name, inputs)?;
        let is_string = |dt: DatumType| dt == String::datum_type();
        if is_string(input.datum_type()) != is_string(K::datum_type()) {
            bail!("{name} maps {:?}, not {:?}", K::datum_type(), input.datum_type());
        }
        let keys = input.cast_to::<K>()?;
        let values = tensor(input.shape(), map.apply(slice::<K>(&keys)?))?;
        Ok(tvec!(values.cast_to_dt(dt)?.into_owned()))
    };
    Kernel::new(name, facts, answer)
}

/// Both directions of a map between strings and integers; the input says which.
fn both_ways(
    name: &'static str,
    words: &[String],
    numbers: &[i64],
    default_word: String,
    default_number: i64,
) -> TractResult<Kernel> {
    let to_number = mapped(name, Mapper::new(name, words, numbers, default_number)?, i64::datum_type());
    let to_word = mapped(name, Mapper::new(name, numbers, words, default_word)?, String::datum_type());
    let facts = move |inputs: &[Fact]| {
        let (dt, shape) = only(name, inputs)?;
        let is_string = *dt == String::datum_type();
        Ok(tvec!((if is_string { i64::datum_type() } else { String::datum_type() }, shape.clone())))
    };
    let answer = move |_: &[TValue]| bail!("{name} was not told the type of its input");
    let suited = move |dt| Ok(Some(if dt == String::datum_type() { to_number.clone() } else { to_word.clone() }));
    Ok(Kernel::new(name, facts, answer).suited_by(suited))
}

fn category_mapper(context: &ParsingContext, node: &NodeProto) -> Parsed {
    let of = Attributes::of(context, node);
    let default_word = of.string_or("default_string", "_Unused")?;
    let (words, numbers) = (of.strings("cats_strings")?, of.ints("cats_int64s")?);
    Ok(both_ways("CategoryMapper", &words, &numbers, default_word, of.int("default_int64", -1)?)?.boxed())
}

fn label_encoder(context: &ParsingContext, node: &NodeProto) -> Parsed {
    const NAME: &str = "LabelEncoder";
    let of = Attributes::of(context, node);
    let default_word = of.string_or("default_string", "_Unused")?;
    let default_number = of.int("default_int64", -1)?;
    if of.has("classes_strings") {
        let words = of.strings("classes_strings")?;
        let numbers: Vec<i64> = (0i64..).take(words.len()).collect();
        return Ok(both_ways(NAME, &words, &numbers, default_word, default_number)?.boxed());
    }
    let (Some((keys, _)), Some((values, dt))) = (Column::of(&of, "keys")?, Column::of(&of, "values")?) else {
        bail!("{NAME} has no keys or no values");
    };
    let default = of.tensor("default_tensor")?.map(|t| Column::of_tensor(&t)).transpose()?;
    let default_float = of.float("default_float", -0.0)?;
    macro_rules! first {
        ($variant:ident, $else:expr) => {
            match &default {
                Some(Column::$variant(v)) if !v.is_empty() => v[0].clone(),
                _ => $else,
            }
        };
    }
    macro_rules! with_values {
        ($keys:expr) => {
            match &values {
                Column::Ints(v) => mapped(NAME, Mapper::new(NAME, $keys, v, first!(Ints, default_number))?, dt),
                Column::Floats(v) => mapped(NAME, Mapper::new(NAME, $keys, v, first!(Floats, default_float))?, dt),
                Column::Doubles(v) => {
                    mapped(NAME, Mapper::new(NAME, $keys, v, first!(Doubles, f64::from(default_float)))?, dt)
                }
                Column::Strings(v) => mapped(NAME, Mapper::new(NAME, $keys, v, first!(Strings, default_word))?, dt),
            }
        };
    }
    let kernel = match &keys {
        Column::Ints(k) => with_values!(k),
        Column::Floats(k) => with_values!(k),
        Column::Doubles(k) => with_values!(k),
        Column::Strings(k) => with_values!(k),
    };
    Ok(kernel.boxed())
}
