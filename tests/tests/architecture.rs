//! What docs/ARCHITECTURE.md promises about the source tree holds in the source tree.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use pinnace_tests::source_root;
use serde_json::Value;

/// Lines of one source file; beyond, it has more than one role.
const FILE_MAX_LINES: usize = 700;
/// What a pure crate must not name: clock, disk, socket, thread, environment, runtime, chance.
const IMPURE: [&str; 10] = [
    "std::time",
    "std::fs",
    "std::net",
    "std::thread",
    "std::env",
    "std::process",
    "tokio::",
    "rand::",
    "getrandom",
    "HashMap",
];
/// The pure crates' sources.
const PURE: [&str; 3] = ["protocol/src", "agent/core/src", "controlplane/core/src"];

fn text(path: &str) -> String {
    let path = source_root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs" || e == "py") {
            found.push(path);
        }
    }
}

/// Returns the table under "Who may use whom": crate, and the crates of ours it may use.
fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let doc = text("docs/ARCHITECTURE.md");
    let (_, after) = doc.split_once("## Who may use whom").expect("the chapter");
    let chapter = after.split("\n## ").next().unwrap_or_default();
    let rows = chapter.lines().filter(|l| l.starts_with("| pinnace"));
    rows.map(|line| {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let name = cells.next().unwrap_or_default().to_owned();
        let uses = cells.next().unwrap_or_default().split(',').map(str::trim).filter(|c| !c.is_empty());
        (name, uses.map(str::to_owned).collect())
    })
    .collect()
}

#[test]
fn crates_use_each_other_as_the_table_says() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(source_root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let uses = package["dependencies"].as_array().unwrap().iter();
        // What a crate's own tests use beyond that is no arrow of the architecture.
        let uses = uses.filter(|d| d["kind"].is_null() && d["path"].is_string());
        let uses = uses.map(|d| d["name"].as_str().unwrap().to_owned()).collect();
        found.insert(package["name"].as_str().unwrap().to_owned(), uses);
    }
    let allowed = allowed();
    assert_eq!(found.keys().collect::<Vec<_>>(), allowed.keys().collect::<Vec<_>>(), "the table names every crate");
    for (name, uses) in &found {
        let beyond: Vec<_> = uses.difference(&allowed[name]).collect();
        assert!(beyond.is_empty(), "{name} uses {beyond:?}, which the table does not allow");
    }
}

#[test]
fn pure_crates_have_no_clock_disk_socket_thread_or_chance() {
    for folder in PURE {
        let library = text(&format!("{folder}/lib.rs"));
        assert!(library.contains("#![no_std]") && library.contains("forbid(unsafe_code)"), "{folder}/lib.rs");
        let mut files = Vec::new();
        sources(&source_root().join(folder), &mut files);
        assert!(files.len() > 5, "{folder}");
        for file in files {
            let content = std::fs::read_to_string(&file).unwrap();
            for (number, line) in content.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                let impure = IMPURE.iter().find(|word| code.contains(**word));
                assert!(impure.is_none(), "{}:{}: {}", file.display(), number + 1, line.trim());
            }
        }
    }
}

#[test]
fn only_the_simulator_judges_signatures_in_its_own_way() {
    for folder in ["agent", "controlplane", "cli", "trainer", "firmware-targets"] {
        let mut files = Vec::new();
        sources(&source_root().join(folder), &mut files);
        for file in files {
            let content = std::fs::read_to_string(&file).unwrap();
            assert!(!content.contains("Verifier::simulated"), "{}: ADR 0005", file.display());
        }
    }
}

#[test]
fn no_daemon_runs_models_that_nobody_signed() {
    for folder in ["agent/src", "cli/src", "controlplane/src", "trainer/src", "simulator/src"] {
        let mut files = Vec::new();
        sources(&source_root().join(folder), &mut files);
        for file in files.iter().filter(|f| !f.ends_with("engine/conformance.rs") && !f.ends_with("engine/mod.rs")) {
            let content = std::fs::read_to_string(file).unwrap();
            assert!(!content.contains("conformance::run_"), "{}: only test suites take this way in", file.display());
        }
    }
}

#[test]
fn no_source_file_has_more_than_one_role_s_worth_of_lines() {
    let mut files = Vec::new();
    sources(&source_root(), &mut files);
    assert!(files.len() > 100);
    for file in files {
        let lines = std::fs::read_to_string(&file).unwrap().lines().count();
        assert!(
            lines <= FILE_MAX_LINES,
            "{} has {lines} lines, at most {FILE_MAX_LINES} belong in one file",
            file.display()
        );
    }
}

/// Returns the names that deny.toml bans.
fn banned() -> Vec<String> {
    let names = text("deny.toml");
    let names: Vec<_> = names
        .lines()
        .filter_map(|l| l.trim().strip_prefix("{ name = \"")?.split_once('"').map(|(name, _)| name.to_owned()))
        .collect();
    assert!(names.len() >= 3, "{names:?}");
    names
}

#[test]
fn banned_crates_are_not_in_the_lock_file() {
    // `cargo deny` itself also wants the advisory database from the network; the bans can be held without it.
    let lock = text("Cargo.lock");
    let names: BTreeSet<&str> = lock.lines().filter_map(|l| l.strip_prefix("name = \"")?.strip_suffix('"')).collect();
    assert!(names.contains("rustls") && names.contains("ring"), "the lock file is read");
    for name in banned() {
        assert!(!names.contains(name.as_str()), "{name} is banned (deny.toml)");
    }
}

#[test]
fn the_two_commands_of_the_readme_exist() {
    let readme = text("README.md");
    assert!(readme.contains("cargo run --release -- demo"), "README.md names the demo");
    assert!(readme.contains("tests/run"), "README.md names the tests");
    assert!(text("Cargo.toml").contains("default-members = [\"cli\"]"), "`cargo run` finds the program");
    let demo = pinnace_tests::process::pinnace(&["demo", "--help"]).ok();
    assert!(demo.contains("--exit"), "{demo}");
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(source_root().join("tests/run")).unwrap().permissions().mode();
    assert!(mode & 0o111 != 0, "tests/run can be run");
}

#[test]
fn every_test_that_the_list_of_attacks_names_is_there() {
    let mut files = Vec::new();
    for folder in ["protocol", "agent", "controlplane", "cli", "simulator", "tests"] {
        sources(&source_root().join(folder), &mut files);
    }
    let all: String = files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let doc = text("docs/ATTACKS.md");
    let rows = doc.lines().filter(|line| line.starts_with("| ")).skip(1);
    let tests: Vec<&str> =
        rows.flat_map(|row| row.split('|').nth(3).unwrap_or_default().split('`').skip(1).step_by(2)).collect();
    assert!(tests.len() > 40, "{tests:?}");
    let missing: Vec<_> = tests.iter().filter(|name| !all.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "docs/ATTACKS.md names tests that are not there: {missing:?}");
}
