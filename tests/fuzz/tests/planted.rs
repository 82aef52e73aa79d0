//! The runner finds what was planted, makes it small, saves it, says how to see it again, and fails.
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

fn run(folder: &Path, args: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_pinnace-fuzz"))
        .args(args)
        .arg("--corpus")
        .arg(folder.join("corpus"))
        .arg("--findings")
        .arg(folder.join("findings"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, text)
}

/// Runs a planted target and returns the input found and what was said.
fn find(target: &str, seed_item: &[u8], runs: &str) -> (TempDir, PathBuf, Vec<u8>, String) {
    let folder = tempfile::tempdir().unwrap();
    let corpus = folder.path().join("corpus").join(target);
    std::fs::create_dir_all(&corpus).unwrap();
    std::fs::write(corpus.join("item"), seed_item).unwrap();
    let (output, text) = run(folder.path(), &[target, "--runs", runs, "--seed", "7"]);
    assert_eq!(output.status.code(), Some(1), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("FOUND") && text.contains(&format!("replay: pinnace-fuzz replay {target} ")), "{text}");
    let findings = folder.path().join("findings");
    let mut files: Vec<PathBuf> = std::fs::read_dir(findings).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "one finding, nothing left in flight: {files:?}");
    let path = files.pop().unwrap();
    let input = std::fs::read(&path).unwrap();
    (folder, path, input, text)
}

#[test]
fn a_planted_panic_is_found_and_made_as_small_as_it_can_be() {
    let (folder, path, input, text) = find("planted-panic", b"some bytes that are sound", "20000");
    assert_eq!(input, b"length", "{text}");
    assert!(text.contains("planted.rs"), "the place is named: {text}");
    let (output, text) = run(folder.path(), &["replay", "planted-panic", path.to_str().unwrap()]);
    assert!(output.status.code() == Some(1) && text.contains("FOUND panic at"), "{text}");
}

#[test]
fn memory_beyond_what_the_length_allows_is_found() {
    let (_folder, _, input, text) = find("planted-memory", b"MAGIC\0\x01", "20000");
    assert!(input.starts_with(b"MAGIC") && input.len() == 7, "{input:?}");
    assert!(text.contains("bytes of memory"), "{text}");
}

#[test]
fn an_input_that_ends_the_process_is_found_and_made_smaller() {
    let (folder, path, input, text) = find("planted-death", b"[[[[[[[[", "20000");
    assert!(text.contains("the process died"), "{text}");
    // Sixteen kilobytes for each bracket, two megabytes of stack.
    assert!((60..160).contains(&input.len()), "{}", input.len());
    let (output, _) = run(folder.path(), &["replay", "planted-death", path.to_str().unwrap()]);
    assert!(!matches!(output.status.code(), Some(0..=2)), "it still does: {:?}", output.status);
}

#[test]
fn a_second_spelling_breaks_a_law_and_is_found() {
    let (_folder, _, input, _) = find("planted-law", b"12", "20000");
    assert!(std::str::from_utf8(&input).is_ok_and(|t| t.parse::<u8>().is_ok()) && input.len() <= 2, "{input:?}");
}

#[test]
fn equal_seeds_run_equal_inputs() {
    let digest = |seed: &str| {
        let folder = tempfile::tempdir().unwrap();
        let corpus = pinnace_fuzz::corpus::in_tree();
        let output = Command::new(env!("CARGO_BIN_EXE_pinnace-fuzz"))
            .args(["manifest", "--runs", "2000", "--seed", seed, "--corpus"])
            .arg(corpus)
            .arg("--findings")
            .arg(folder.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}");
        text.lines().find_map(|l| Some(l.split_once("digest ")?.1.to_owned())).unwrap()
    };
    assert_eq!(digest("5"), digest("5"));
    assert_ne!(digest("5"), digest("6"));
}
