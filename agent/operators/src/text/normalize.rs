//! `StringNormalizer`.

use std::collections::HashSet;

use crate::OperatorError;

/// What happens to the case of letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// It stays.
    Kept,
    /// All become small.
    Lower,
    /// All become capital.
    Upper,
}

impl Case {
    /// Returns the case of a name as in a file.
    ///
    /// # Errors
    /// [`OperatorError::Attribute`] for a name that there is none of.
    pub fn named(name: &str) -> Result<Self, OperatorError> {
        Ok(match name {
            "NONE" => Self::Kept,
            "LOWER" => Self::Lower,
            "UPPER" => Self::Upper,
            _ => {
                let why = "is not NONE, LOWER or UPPER";
                return Err(OperatorError::attribute("StringNormalizer", "case_change_action", why));
            }
        })
    }

    /// Letter by letter, as C does: a letter that would become two stays.
    fn of(self, text: &str) -> String {
        fn single(letter: char, mut changed: impl Iterator<Item = char>) -> char {
            match (changed.next(), changed.next()) {
                (Some(one), None) => one,
                _ => letter,
            }
        }
        match self {
            Self::Kept => text.to_owned(),
            Self::Lower => text.chars().map(|c| single(c, c.to_lowercase())).collect(),
            Self::Upper => text.chars().map(|c| single(c, c.to_uppercase())).collect(),
        }
    }
}

/// `StringNormalizer`: takes stop words out and changes case.
#[derive(Debug, Clone)]
pub struct StringNormalizer {
    case: Case,
    /// How strings are compared with stop words; none: as they are.
    compared: Option<Case>,
    stopwords: HashSet<String>,
}

impl StringNormalizer {
    /// Returns the operator.
    ///
    /// # Errors
    /// [`OperatorError::Attribute`] for a stop word that is empty or there twice.
    pub fn new(case: Case, is_case_sensitive: bool, stopwords: &[String]) -> Result<Self, OperatorError> {
        let refused = |why| Err(OperatorError::attribute("StringNormalizer", "stopwords", why));
        let compared = (!is_case_sensitive).then_some(if case == Case::Upper { Case::Upper } else { Case::Lower });
        let mut known = HashSet::with_capacity(stopwords.len());
        for word in stopwords {
            if word.is_empty() {
                return refused("has an empty word");
            }
            if !known.insert(compared.unwrap_or(Case::Kept).of(word)) {
                return refused("has a word twice");
            }
        }
        Ok(Self { case, compared, stopwords: known })
    }

    /// Says whether as many strings come out as go in.
    pub fn keeps_all(&self) -> bool {
        self.stopwords.is_empty()
    }

    /// Returns what is left; one empty string when nothing is.
    pub fn apply(&self, strings: &[String]) -> Vec<String> {
        let compared = self.compared.unwrap_or(Case::Kept);
        let left = strings.iter().filter(|s| self.stopwords.is_empty() || !self.stopwords.contains(&compared.of(s)));
        let out: Vec<String> = left.map(|s| self.case.of(s)).collect();
        if out.is_empty() { vec![String::new()] } else { out }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|w| (*w).to_owned()).collect()
    }

    #[test]
    fn stop_words_go_and_case_changes() {
        let days = words(&["monday", "Tuesday", "ÄPFEL", "straße"]);
        let of = |case, sensitive, stop: &[&str]| StringNormalizer::new(case, sensitive, &words(stop)).unwrap();
        assert_eq!(of(Case::Lower, true, &["monday"]).apply(&days), ["tuesday", "äpfel", "straße"]);
        assert_eq!(of(Case::Upper, false, &["MONDAY", "tuesday"]).apply(&days), ["ÄPFEL", "STRAßE"]);
        assert_eq!(of(Case::Kept, false, &["MONDAY"]).apply(&days), ["Tuesday", "ÄPFEL", "straße"]);
        assert_eq!(of(Case::Kept, true, &["monday"]).apply(&words(&["monday", "monday"])), [""]);
        assert!(StringNormalizer::new(Case::Kept, false, &words(&["a", "A"])).is_err());
        assert!(StringNormalizer::new(Case::Kept, true, &words(&[""])).is_err());
    }
}
