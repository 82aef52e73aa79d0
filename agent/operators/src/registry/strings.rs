//! Operators on strings.

use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::attributes::Attributes;
use super::kernel::{Fact, Kernel, ints, only, rows_columns, slice, tensor};
use crate::encode::Key;
use crate::text::{Case, Pattern, StringNormalizer, TfIdf, TfIdfParts, Tokenizer, TokenizerParts, Weighting};
use crate::text::{concat, split};

type Parsed = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

pub(super) fn register(register: &mut OnnxOpRegister) {
    register.insert("RegexFullMatch", regex_full_match);
    register.insert("StringConcat", string_concat);
    register.insert("StringNormalizer", string_normalizer);
    register.insert("StringSplit", string_split);
    register.insert("TfIdfVectorizer", tf_idf);
    register.insert("Tokenizer", tokenizer);
}

fn string_normalizer(context: &ParsingContext, node: &NodeProto) -> Parsed {
    const NAME: &str = "StringNormalizer";
    let of = Attributes::of(context, node);
    let case = Case::named(&of.string_or("case_change_action", "NONE")?)?;
    let normalizer = StringNormalizer::new(case, of.int("is_case_sensitive", 0)? != 0, &of.strings("stopwords")?)?;
    // What stop words leave is known only afterwards.
    let left = (!normalizer.keeps_all()).then(|| of.new_size());
    let unknown = left.is_some();
    let facts = move |inputs: &[Fact]| {
        let mut shape = only(NAME, inputs)?.1.clone();
        if let (Some(last), Some(left)) = (shape.last_mut(), &left) {
            last.clone_from(left);
        }
        Ok(tvec!((String::datum_type(), shape)))
    };
    let answer = move |inputs: &[TValue]| {
        let input = only(NAME, inputs)?;
        let one_row = input.rank() == 1 || (input.rank() == 2 && input.shape()[0] == 1);
        if !one_row {
            bail!("{NAME} takes a list of strings, or one row of them");
        }
        let strings = normalizer.apply(slice(input)?);
        let shape = if input.rank() == 1 { vec![strings.len()] } else { vec![1, strings.len()] };
        Ok(tvec!(tensor(&shape, strings)?))
    };
    let kernel = Kernel::new(NAME, facts, answer);
    Ok(if unknown { kernel.with_sizes_unknown() } else { kernel }.boxed())
}

fn tokenizer(context: &ParsingContext, node: &NodeProto) -> Parsed {
    const NAME: &str = "Tokenizer";
    let of = Attributes::of(context, node);
    let tokenizer = Tokenizer::new(&TokenizerParts {
        mark: of.int("mark", 0)? != 0,
        pad_value: of.string_or("pad_value", "")?,
        mincharnum: of.int("mincharnum", 1)?,
        tokenexp: of.string("tokenexp")?,
        separators: of.strings("separators")?,
    })?;
    let columns = of.new_size();
    let facts = move |inputs: &[Fact]| {
        let mut shape = only(NAME, inputs)?.1.clone();
        shape.push(columns.clone());
        Ok(tvec!((String::datum_type(), shape)))
    };
    let answer = move |inputs: &[TValue]| {
        let input = only(NAME, inputs)?;
        let table = tokenizer.apply(slice(input)?)?;
        let mut shape = input.shape().to_vec();
        shape.push(table.columns);
        Ok(tvec!(tensor(&shape, table.strings)?))
    };
    Ok(Kernel::new(NAME, facts, answer).with_sizes_unknown().boxed())
}

fn string_split(context: &ParsingContext, node: &NodeProto) -> Parsed {
    const NAME: &str = "StringSplit";
    let of = Attributes::of(context, node);
    let delimiter = of.string_or("delimiter", "")?;
    let most = if of.has("maxsplit") { Some(usize::try_from(of.int("maxsplit", 0)?)?) } else { None };
    let columns = of.new_size();
    let facts = move |inputs: &[Fact]| {
        let shape = &only(NAME, inputs)?.1;
        let mut parts = shape.clone();
        parts.push(columns.clone());
        Ok(tvec!((String::datum_type(), parts), (i64::datum_type(), shape.clone())))
    };
    let answer = move |inputs: &[TValue]| {
        let input = only(NAME, inputs)?;
        let table = split(slice(input)?, &delimiter, most)?;
        let counts = table.counts.iter().map(|c| *c as i64).collect();
        let mut shape = input.shape().to_vec();
        shape.push(table.columns);
        Ok(tvec!(tensor(&shape, table.strings)?, tensor(input.shape(), counts)?))
    };
    Ok(Kernel::new(NAME, facts, answer).outputs(of.outputs(2)).with_sizes_unknown().boxed())
}

fn string_concat(_: &ParsingContext, _: &NodeProto) -> Parsed {
    const NAME: &str = "StringConcat";
    let longer = |a: &[usize], b: &[usize]| {
        let one = |shape: &[usize]| shape.iter().product::<usize>() == 1;
        if one(a) && a.len() <= b.len() { b.to_vec() } else { a.to_vec() }
    };
    let facts = |inputs: &[Fact]| {
        let [(_, a), (_, b)] = inputs else { bail!("{NAME} takes two inputs") };
        let one = |shape: &[TDim]| shape.iter().all(|d| *d == 1.to_dim());
        let shape = if one(a) && a.len() <= b.len() { b } else { a };
        Ok(tvec!((String::datum_type(), shape.clone())))
    };
    let answer = move |inputs: &[TValue]| {
        let [a, b] = inputs else { bail!("{NAME} takes two inputs") };
        let strings = concat(slice(a)?, slice(b)?)?;
        Ok(tvec!(tensor(&longer(a.shape(), b.shape()), strings)?))
    };
    Ok(Kernel::new(NAME, facts, answer).boxed())
}

fn regex_full_match(context: &ParsingContext, node: &NodeProto) -> Parsed {
    const NAME: &str = "RegexFullMatch";
    let expression = Attributes::of(context, node).string_or("pattern", "")?;
    let pattern = Pattern::whole(NAME, "pattern", &expression)?;
    let facts = |inputs: &[Fact]| Ok(tvec!((bool::datum_type(), only(NAME, inputs)?.1.clone())));
    let answer = move |inputs: &[TValue]| {
        let input = only(NAME, inputs)?;
        let found = slice::<String>(input)?.iter().map(|s| pattern.is_match(s)).collect();
        Ok(tvec!(tensor::<bool>(input.shape(), found)?))
    };
    Ok(Kernel::new(NAME, facts, answer).boxed())
}

fn tf_idf(context: &ParsingContext, node: &NodeProto) -> Parsed {
    let of = Attributes::of(context, node);
    if of.has("pool_strings") {
        let model = TfIdf::new(&parts(&of, of.strings("pool_strings")?)?)?;
        return Ok(tf_idf_of(model, |input| Ok(slice::<String>(input)?.to_vec())).boxed());
    }
    let model = TfIdf::new(&parts(&of, of.ints("pool_int64s")?)?)?;
    Ok(tf_idf_of(model, ints).boxed())
}

fn parts<K>(of: &Attributes, pool: Vec<K>) -> TractResult<TfIdfParts<K>> {
    Ok(TfIdfParts {
        weighting: Weighting::named(&of.string_or("mode", "")?)?,
        min_gram_length: of.int("min_gram_length", 0)?,
        max_gram_length: of.int("max_gram_length", 0)?,
        max_skip_count: of.int("max_skip_count", 0)?,
        ngram_counts: of.ints("ngram_counts")?,
        ngram_indexes: of.ints("ngram_indexes")?,
        pool,
        weights: of.floats("weights")?,
    })
}

fn tf_idf_of<K: Key + Send + Sync + 'static>(
    model: TfIdf<K>,
    items: impl Fn(&Tensor) -> TractResult<Vec<K>> + Send + Sync + 'static,
) -> Kernel {
    const NAME: &str = "TfIdfVectorizer";
    let columns = model.columns();
    let facts = move |inputs: &[Fact]| {
        let mut shape = only(NAME, inputs)?.1.clone();
        shape.pop();
        shape.push(columns.to_dim());
        Ok(tvec!((f32::datum_type(), shape)))
    };
    let answer = move |inputs: &[TValue]| {
        let input = only(NAME, inputs)?;
        let (rows, width) = rows_columns(NAME, input.shape())?;
        let values = model.apply(&items(input)?, rows, width)?;
        let shape = if input.rank() == 1 { vec![columns] } else { vec![rows, columns] };
        Ok(tvec!(tensor(&shape, values)?))
    };
    Kernel::new(NAME, facts, answer)
}
