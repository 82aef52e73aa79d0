//! One reader of bytes from outside, as the runner sees it.
use crate::verdict::Verdict;

/// How inputs are built, so that mutations keep them whole where that goes deeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// No structure that is known here.
    Bytes,
    /// Lines of text.
    Text,
    /// A JSON document.
    Json,
    /// A CBOR document.
    Cbor,
    /// A protobuf message.
    Protobuf,
}

/// What reading an input may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of memory that even an empty input may take.
    pub base: usize,
    /// Bytes of memory for each byte of input.
    pub per_byte: usize,
}

impl Budget {
    /// Returns the bytes of memory that an input of this length may take.
    pub const fn bytes(self, length: usize) -> usize {
        self.base.saturating_add(self.per_byte.saturating_mul(length))
    }
}

/// Makes a mutated input whole again.
pub type Repair = fn(&[u8], u64) -> Option<Vec<u8>>;

/// A reader: judges bytes, and panics when one of its laws is broken.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: the folder of its corpus.
    pub name: &'static str,
    /// What reads it, in one sentence.
    pub what: &'static str,
    /// How its inputs are built.
    pub form: Form,
    /// Bytes of the longest input tried.
    pub max_bytes: usize,
    /// What an input may cost.
    pub budget: Budget,
    /// Times that a run takes longer than a cheap reader's: it gets so many times fewer.
    pub cost: u64,
    /// Pieces that mean something to it.
    pub words: &'static [&'static str],
    /// Judges an input.
    pub run: fn(&[u8]) -> Verdict,
    /// Makes a mutated input whole again (checksums, signatures, lengths), so that what lies behind them is reached;
    /// the number chooses among ways. `None` when it cannot.
    pub repair: Option<Repair>,
}
