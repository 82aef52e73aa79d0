//! Operators on strings.

mod grams;
mod normalize;
mod pattern;
mod tokens;

pub use grams::{TfIdf, TfIdfParts, Weighting};
pub use normalize::{Case, StringNormalizer};
pub use pattern::Pattern;
pub use tokens::{Table, Tokenizer, TokenizerParts, split};

use crate::OperatorError;
use crate::limits::ANSWER_VALUES_MAX;

/// `StringConcat` of two equally long lists, or of one with a single string.
///
/// # Errors
/// [`OperatorError::Input`] when the lengths do not fit each other.
pub fn concat(a: &[String], b: &[String]) -> Result<Vec<String>, OperatorError> {
    let length = if a.len() == 1 { b.len() } else { a.len() };
    if (b.len() != length && b.len() != 1) || length > ANSWER_VALUES_MAX {
        let why = format!("{} strings do not fit {}", a.len(), b.len());
        return Err(OperatorError::input("StringConcat", why));
    }
    let pick = |list: &'_ [String], i: usize| if list.len() == 1 { list[0].clone() } else { list[i].clone() };
    Ok((0..length).map(|i| pick(a, i) + &pick(b, i)).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn strings_are_joined_one_by_one() {
        let list = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        assert_eq!(super::concat(&list(&["a", "b"]), &list(&["x"])).unwrap(), ["ax", "bx"]);
        assert_eq!(super::concat(&list(&["a"]), &list(&["x", "y"])).unwrap(), ["ax", "ay"]);
        assert!(super::concat(&list(&["a", "b"]), &list(&["x", "y", "z"])).is_err());
    }
}
