//! Seeds that once found a bug, kept as `cases/*.case`: comment lines that tell what it was, then the command.
use std::fs;
use std::path::Path;

use pinnace_simulator::{Options, run};

/// Reads `pinnace sim run --seed 7f3a --devices 5 --hours 9 --profile chaos`.
fn parse(command: &str) -> Options {
    let words: Vec<&str> = command.split_whitespace().collect();
    let value = |name: &str| {
        let at = words.iter().position(|word| *word == name).unwrap_or_else(|| panic!("`{command}` lacks {name}"));
        words[at + 1]
    };
    Options {
        seed: u64::from_str_radix(value("--seed"), 16).unwrap(),
        devices: value("--devices").parse().unwrap(),
        hours: value("--hours").parse().unwrap(),
        profile: value("--profile").parse().unwrap(),
    }
}

#[test]
fn what_once_failed_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut cases: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(!cases.is_empty(), "the cases are missing");
    for path in cases {
        let text = fs::read_to_string(&path).unwrap();
        let command = text.lines().find(|line| line.starts_with("pinnace sim run")).unwrap();
        let verdict = run(&parse(command));
        if let Some(violation) = &verdict.violation {
            panic!("{}: {violation}\n{verdict}", path.display());
        }
        assert_eq!(verdict.replay, command, "{}", path.display());
    }
}
