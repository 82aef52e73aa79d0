//! `Tokenizer` (of Microsoft's contributed operators) and `StringSplit`.

use super::pattern::Pattern;
use crate::OperatorError;
use crate::limits::ANSWER_VALUES_MAX;

/// Rows of equally many strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Strings of a row.
    pub columns: usize,
    /// All rows, one after the other.
    pub strings: Vec<String>,
    /// How many strings each row had before it was filled up.
    pub counts: Vec<usize>,
}

impl Table {
    fn of(operator: &'static str, rows: Vec<Vec<String>>, columns: usize, pad: &str) -> Result<Self, OperatorError> {
        let size = rows.len().checked_mul(columns).filter(|s| *s <= ANSWER_VALUES_MAX);
        let size = size.ok_or_else(|| OperatorError::input(operator, "too many tokens"))?;
        let mut strings = Vec::with_capacity(size);
        let mut counts = Vec::with_capacity(rows.len());
        for row in rows {
            counts.push(row.len());
            let pads = columns - row.len();
            strings.extend(row);
            strings.extend(std::iter::repeat_n(pad.to_owned(), pads));
        }
        Ok(Self { columns, strings, counts })
    }
}

/// How a text is cut.
#[derive(Debug, Clone)]
enum Cut {
    /// Each letter is a token.
    Letters,
    /// What matches is a token.
    Matches(Pattern),
    /// What lies between matches is a token, one separator after the other.
    Between(Vec<Pattern>),
}

/// What a tokenizer is made of, as in the file.
#[derive(Debug, Clone, Default)]
pub struct TokenizerParts {
    /// Whether a row begins with `\x02` and ends with `\x03`.
    pub mark: bool,
    /// What short rows are filled up with.
    pub pad_value: String,
    /// Letters of the shortest token.
    pub mincharnum: i64,
    /// Expression of tokens.
    pub tokenexp: Option<String>,
    /// Expressions of what lies between tokens; a single empty one: letters.
    pub separators: Vec<String>,
}

/// `Tokenizer`: cuts each string into a row of tokens.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    mark: bool,
    pad: String,
    least: usize,
    cut: Cut,
}

impl Tokenizer {
    const NAME: &'static str = "Tokenizer";

    /// Returns the operator.
    ///
    /// # Errors
    /// [`OperatorError::Attribute`] without, or with both, tokens and separators, and for expressions that are none.
    pub fn new(parts: &TokenizerParts) -> Result<Self, OperatorError> {
        let refused = |attribute, why| Err(OperatorError::attribute(Self::NAME, attribute, why));
        let Some(least) = usize::try_from(parts.mincharnum).ok().filter(|m| *m > 0) else {
            return refused("mincharnum", "is not positive");
        };
        let cut = match (parts.tokenexp.as_deref(), parts.separators.as_slice()) {
            (Some(expression), []) if !expression.is_empty() => {
                Cut::Matches(Pattern::new(Self::NAME, "tokenexp", expression)?)
            }
            (None, [only]) if only.is_empty() && least == 1 => Cut::Letters,
            (None, separators) if !separators.is_empty() && separators.iter().all(|s| !s.is_empty()) => {
                let patterns = separators.iter().map(|s| Pattern::new(Self::NAME, "separators", s));
                Cut::Between(patterns.collect::<Result<_, _>>()?)
            }
            _ => return refused("tokenexp", "or separators, one of the two, must say how to cut"),
        };
        Ok(Self { mark: parts.mark, pad: parts.pad_value.clone(), least, cut })
    }

    /// Returns the tokens of each string; without columns when there are none at all.
    ///
    /// # Errors
    /// [`OperatorError::Input`] when the tokens are beyond [`ANSWER_VALUES_MAX`].
    pub fn apply(&self, strings: &[String]) -> Result<Table, OperatorError> {
        let rows: Vec<Vec<String>> = strings.iter().map(|s| self.cut(s)).collect();
        let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
        if longest == 0 {
            return Ok(Table { columns: 0, strings: Vec::new(), counts: vec![0; rows.len()] });
        }
        if !self.mark {
            return Table::of(Self::NAME, rows, longest, &self.pad);
        }
        let marked = |mut row: Vec<String>| {
            row.insert(0, "\u{2}".to_owned());
            row.push("\u{3}".to_owned());
            row
        };
        Table::of(Self::NAME, rows.into_iter().map(marked).collect(), longest + 2, &self.pad)
    }

    fn long_enough(&self, token: &str) -> bool {
        token.chars().take(self.least).count() == self.least
    }

    fn cut(&self, text: &str) -> Vec<String> {
        match &self.cut {
            Cut::Letters => text.chars().map(String::from).collect(),
            Cut::Matches(pattern) => {
                let tokens = pattern.matches(text).filter(|(_, t)| self.long_enough(t));
                tokens.map(|(_, t)| t.to_owned()).collect()
            }
            Cut::Between(patterns) => {
                let mut tokens = vec![text];
                for pattern in patterns {
                    tokens = tokens.into_iter().flat_map(|token| self.between(pattern, token)).collect();
                }
                tokens.into_iter().map(str::to_owned).collect()
            }
        }
    }

    fn between<'t>(&self, pattern: &Pattern, text: &'t str) -> Vec<&'t str> {
        let mut tokens = Vec::new();
        let mut from = 0;
        for (at, found) in pattern.matches(text) {
            tokens.push(&text[from..at]);
            from = at + found.len();
        }
        tokens.push(&text[from..]);
        tokens.retain(|t| self.long_enough(t));
        tokens
    }
}

/// `StringSplit`: cuts strings at a delimiter (empty or absent: at blanks), at most `maxsplit` times.
///
/// # Errors
/// [`OperatorError::Input`] when the parts are beyond [`ANSWER_VALUES_MAX`].
pub fn split(strings: &[String], delimiter: &str, maxsplit: Option<usize>) -> Result<Table, OperatorError> {
    let parts = |text: &String| -> Vec<String> {
        let most = maxsplit.map_or(usize::MAX, |m| m.saturating_add(1));
        if delimiter.is_empty() {
            let mut parts = Vec::new();
            let mut rest = text.trim_start();
            while !rest.is_empty() {
                let end = if parts.len() + 1 == most { None } else { rest.find(char::is_whitespace) };
                let (part, after) = rest.split_at(end.unwrap_or(rest.len()));
                parts.push(part.to_owned());
                rest = after.trim_start();
            }
            return parts;
        }
        if text.is_empty() { Vec::new() } else { text.splitn(most, delimiter).map(str::to_owned).collect() }
    };
    let rows: Vec<Vec<String>> = strings.iter().map(parts).collect();
    let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
    Table::of("StringSplit", rows, longest, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|w| (*w).to_owned()).collect()
    }

    fn tokens(parts: TokenizerParts, texts: &[&str]) -> Vec<Vec<String>> {
        let parts = TokenizerParts { mincharnum: parts.mincharnum.max(1), pad_value: "#".to_owned(), ..parts };
        let table = Tokenizer::new(&parts).unwrap().apply(&words(texts)).unwrap();
        table.strings.chunks(table.columns.max(1)).map(<[String]>::to_vec).collect()
    }

    #[test]
    fn texts_are_cut_into_tokens_of_equal_number() {
        let by = |tokenexp: &str| TokenizerParts { tokenexp: Some(tokenexp.to_owned()), ..TokenizerParts::default() };
        assert_eq!(tokens(by("[a-z]+"), &["ab, c", "d"]), [["ab", "c"], ["d", "#"]]);
        let at = |list: &[&str]| TokenizerParts { separators: words(list), ..TokenizerParts::default() };
        assert_eq!(tokens(at(&[" ", ","]), &["a,b c"]), [["a", "b", "c"]]);
        assert_eq!(tokens(TokenizerParts { mincharnum: 2, ..at(&[" "]) }, &["aé b ccc"]), [["aé", "ccc"]]);
        assert_eq!(tokens(at(&[""]), &["aé", "b"]), [["a", "é"], ["b", "#"]]);
        let marked = TokenizerParts { mark: true, ..at(&[" "]) };
        assert_eq!(tokens(marked.clone(), &["a b", "c"]), [["\u{2}", "a", "b", "\u{3}"], ["\u{2}", "c", "\u{3}", "#"]]);
        assert!(tokens(marked, &["", " "]).is_empty());
        for wrong in [by(""), at(&[]), TokenizerParts { mincharnum: -1, ..at(&[" "]) }, at(&["a", ""])] {
            assert!(Tokenizer::new(&TokenizerParts { mincharnum: wrong.mincharnum, ..wrong }).is_err());
        }
    }

    #[test]
    fn strings_split_at_blanks_or_a_delimiter() {
        let table = split(&words(&[" a  b c", "d"]), "", Some(1)).unwrap();
        assert_eq!((table.columns, table.counts), (2, vec![2, 1]));
        assert_eq!(table.strings, ["a", "b c", "d", ""]);
        assert_eq!(split(&words(&["a,,b"]), ",", None).unwrap().strings, ["a", "", "b"]);
        assert_eq!(split(&words(&[""]), ",", None).unwrap().columns, 0);
    }
}
