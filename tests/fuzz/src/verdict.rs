//! What a reader said of an input.
use std::fmt::Debug;

/// One word for the corpus, and what tells this input from others with the same word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// `accepted`, or `refused: ` and the kind of the error: kept in the corpus, so that a change of judgement is seen.
    pub word: String,
    /// What else is known: two inputs that differ here are both worth keeping.
    pub detail: String,
}

impl Verdict {
    /// Returns the verdict on an input that was taken; `detail` says what kind of input it was.
    pub fn accepted(detail: impl Into<String>) -> Self {
        Self { word: "accepted".into(), detail: detail.into() }
    }

    /// Returns the verdict on an input that was refused with an error of this kind.
    pub fn refused(kind: &str, error: impl ToString) -> Self {
        Self { word: format!("refused: {kind}"), detail: error.to_string() }
    }

    /// Returns the verdict on an input that was refused; the kind is the name of the error's variant.
    pub fn refused_as(error: &(impl Debug + ToString)) -> Self {
        Self::refused(&variant(error), error.to_string())
    }

    /// Returns what stands for all inputs like this one.
    pub fn novelty(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut eat = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        self.word.bytes().for_each(&mut eat);
        eat(0);
        // Texts of errors repeat what was sent, between backticks, and numbers: neither is news.
        let (mut quoted, mut digits) = (false, false);
        for byte in self.detail.bytes().take(400) {
            quoted ^= byte == b'`';
            let is_digit = byte.is_ascii_digit();
            if !(quoted || is_digit && digits) {
                eat(if is_digit { b'0' } else { byte });
            }
            digits = is_digit;
        }
        hash
    }
}

/// Returns the name of an error's variant.
pub fn variant(error: &impl Debug) -> String {
    let text = format!("{error:?}");
    text.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default().to_owned()
}

/// Returns the magnitude of a number: what differs by less than a factor of two looks alike.
pub fn magnitude(number: u64) -> u32 {
    u64::BITS - number.leading_zeros()
}
