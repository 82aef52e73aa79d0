//! Readers with faults on purpose: they prove that the runner finds, shrinks, saves and reports. Only by name.
use crate::target::{Budget, Form, Target};
use crate::verdict::Verdict;

/// All of them.
pub const ALL: [Target; 4] = [
    planted("planted-panic", panics),
    planted("planted-memory", takes_memory),
    planted("planted-death", dies),
    planted("planted-law", breaks_a_law),
];

const fn planted(name: &'static str, run: fn(&[u8]) -> Verdict) -> Target {
    Target {
        name,
        what: "a reader with a planted fault",
        form: Form::Bytes,
        max_bytes: 256,
        budget: Budget { base: 4096, per_byte: 16 },
        cost: 1,
        words: &["MAGIC", "length"],
        run,
        repair: None,
    }
}

/// Reads behind its end when `length` is not followed by anything.
fn panics(input: &[u8]) -> Verdict {
    match input.windows(6).position(|w| w == b"length") {
        Some(at) => Verdict::accepted(format!("{}", input[at + 6] > 9)),
        None => Verdict::refused("no length", ""),
    }
}

/// Believes the two bytes behind `MAGIC` and makes room for as many kilobytes.
fn takes_memory(input: &[u8]) -> Verdict {
    let Some(rest) = input.strip_prefix(b"MAGIC") else { return Verdict::refused("no magic", "") };
    let [high, low, ..] = rest else { return Verdict::refused("short", "") };
    let room: Vec<u8> = Vec::with_capacity(usize::from(u16::from_be_bytes([*high, *low])) * 1024);
    Verdict::accepted(std::hint::black_box(room).len().to_string())
}

/// Calls itself once for every byte, without end in sight.
fn dies(input: &[u8]) -> Verdict {
    fn deep(rest: &[u8], room: &[u8; 16 * 1024]) -> usize {
        let mut more = [0; 16 * 1024];
        more.copy_from_slice(room);
        match rest.split_first() {
            Some((b'[', rest)) => 1 + deep(rest, std::hint::black_box(&more)),
            _ => usize::from(more[0]),
        }
    }
    Verdict::accepted(deep(input, &[0; 16 * 1024]).to_string())
}

/// Two spellings of one number are both taken, and only one is written.
fn breaks_a_law(input: &[u8]) -> Verdict {
    let Some(text) = std::str::from_utf8(input).ok().filter(|t| (1..4).contains(&t.len())) else {
        return Verdict::refused("no text", "");
    };
    match text.parse::<u8>() {
        Ok(number) => {
            assert_eq!(number.to_string(), text, "one spelling");
            Verdict::accepted("a number")
        }
        Err(error) => Verdict::refused("no number", error),
    }
}
