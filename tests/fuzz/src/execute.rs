//! Runs one input and says what went wrong, if anything did.
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::time::{Duration, Instant};

use crate::memory;
use crate::target::Target;
use crate::verdict::Verdict;

/// What is never right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The reader panicked, or one of the target's laws is broken.
    Panic {
        /// File and line.
        place: String,
        /// The message.
        text: String,
    },
    /// The reader took more memory than the input's length allows.
    Memory {
        /// Bytes taken.
        taken: usize,
        /// Bytes allowed.
        allowed: usize,
    },
}

impl Fault {
    /// Tells whether this is the same fault as another: found in the same place.
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Panic { place: a, .. }, Self::Panic { place: b, .. }) => a == b,
            (Self::Memory { .. }, Self::Memory { .. }) => true,
            _ => false,
        }
    }

    /// Returns a short name for files.
    pub const fn slug(&self) -> &'static str {
        match self {
            Self::Panic { .. } => "panic",
            Self::Memory { .. } => "memory",
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Panic { place, text } => write!(f, "panic at {place}: {text}"),
            Self::Memory { taken, allowed } => write!(f, "took {taken} bytes of memory, {allowed} are allowed"),
        }
    }
}

/// What one run came to.
#[derive(Debug, Clone)]
pub struct Run {
    /// What the reader said, or what went wrong.
    pub result: Result<Verdict, Fault>,
    /// Most bytes of memory held at once.
    pub peak: usize,
    /// How long it took.
    pub time: Duration,
}

thread_local! {
    static LAST_PANIC: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
}

/// Keeps the place of a panic for the one who catches it and prints nothing: an engine's own panics are caught inside.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !WITHIN.get() {
                return before(info);
            }
            let place = info.location().map(|l| format!("{}:{}", l.file(), l.line())).unwrap_or_default();
            let text = info.payload_as_str().unwrap_or("no message").chars().take(600).collect();
            LAST_PANIC.with_borrow_mut(|last| *last = Some((place, text)));
        }));
    });
}

thread_local! {
    static WITHIN: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Runs one input.
pub fn execute(target: &Target, input: &[u8]) -> Run {
    listen();
    WITHIN.set(true);
    let began = Instant::now();
    let (caught, peak) = memory::peak_of(|| catch_unwind(AssertUnwindSafe(|| (target.run)(input))));
    let time = began.elapsed();
    WITHIN.set(false);
    let allowed = target.budget.bytes(input.len());
    let result = match caught {
        Err(_) => {
            let (place, text) = LAST_PANIC.with_borrow_mut(Option::take).unwrap_or_default();
            Err(Fault::Panic { place, text })
        }
        Ok(_) if peak > allowed => Err(Fault::Memory { taken: peak, allowed }),
        Ok(verdict) => Ok(verdict),
    };
    Run { result, peak, time }
}
