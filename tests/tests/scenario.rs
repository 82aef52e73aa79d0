//! A scenario with a person's own bundles, rows and policy: the real engine says how the new version does.
use std::path::Path;

use pinnace_tests::bundles::{rename_operator, train};
use pinnace_tests::data::{RAIN, read, weather};
use pinnace_tests::process::pinnace;

/// Writes a scenario of thirty gateways in `dir` and returns its file.
fn scenario(dir: &Path, csv: &str, outcome: &str, more: &str) -> String {
    let file = dir.join("rollout.toml");
    let text = format!(
        "name = \"our own\"\nhours = 8\nstart = \"1h\"\n\
         [[group]]\ndevices = 30\noffline = 0.2\n\
         [workload]\ncsv = \"{csv}\"\n\
         [bundle]\npath = \"rain-2\"\nbaseline = \"rain-1\"\nsampled = 2\n\
         [policy]\ncanary = 3\nwaves_permille = [300, 1000]\nbake_s = 300\nsmall_fleet = \"auto\"\n\
         [[expect]]\noutcome = \"{outcome}\"\nwithin = \"6h\"\n{more}"
    );
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

/// Writes the weather with two columns exchanged under their names.
fn swap_columns(from: &Path, to: &Path, one: &str, other: &str) {
    let (mut header, rows) = read(from);
    let at = |name: &str| header.iter().position(|column| column == name).expect("a column");
    let (a, b) = (at(one), at(other));
    header.swap(a, b);
    let lines = std::iter::once(&header).chain(&rows).map(|row| row.join(","));
    std::fs::write(to, lines.collect::<Vec<_>>().join("\n")).unwrap();
}

#[test]
fn a_persons_own_bundle_is_judged_by_the_real_engine_on_their_own_rows() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    weather(&dir.join("live.csv"), 1826, 2826);
    let learn = weather(&dir.join("learn.csv"), 0, 1826);
    for version in 1..3 {
        train(&learn, RAIN, "rain", version, "boosting", &[]);
    }

    // A version like the one before completes.
    let file = scenario(dir, "live.csv", "completed", "healthy_at_least = 0.9\n");
    let said = pinnace(&["sim", "scenario", &file]).ok();
    assert!(said.contains("sampled device 1: loads, 0 of a million answers differ"), "{said}");
    assert!(said.contains("our own, seed 1: passed"), "{said}");
    // The same expectation the other way round fails: the test can.
    let file = scenario(dir, "live.csv", "rolled-back", "");
    let said = pinnace(&["sim", "scenario", &file]).failed(1);
    assert!(said.contains("FAIL the rollout is taken back within 6 h"), "{said}");

    // One that learned from swapped columns answers differently, and the canaries stop it.
    let swapped = dir.join("swapped.csv");
    swap_columns(&learn, &swapped, "dew point", "visibility");
    train(&swapped, RAIN, "rain", 2, "boosting", &[]);
    let file = scenario(dir, "live.csv", "rolled-back", "exposed_at_most = 9\n");
    let said = pinnace(&["sim", "scenario", &file]).ok();
    assert!(said.contains("our own, seed 1: passed") && said.contains("the rollout is taken back"), "{said}");

    // One that no engine loads is stopped as well.
    rename_operator(&dir.join("rain-2"), "TreeEnsembleClassifier", "TreeEnsembleClassifieR");
    let said = pinnace(&["sim", "scenario", &file]).ok();
    assert!(said.contains("the real engine refuses the new version") && said.contains("passed"), "{said}");
}

#[test]
fn rows_that_do_not_fit_the_bundle_are_named() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let learn = weather(&dir.join("learn.csv"), 0, 600);
    for version in 1..3 {
        train(&learn, RAIN, "rain", version, "logistic", &[]);
    }
    let rows = std::fs::read_to_string(&learn).unwrap();
    std::fs::write(dir.join("column.csv"), rows.replacen("visibility", "haze", 1)).unwrap();
    let first = rows.lines().nth(1).unwrap();
    let cell = first.split(',').nth(1).unwrap();
    std::fs::write(dir.join("number.csv"), rows.replacen(cell, "windy", 1)).unwrap();
    std::fs::write(dir.join("empty.csv"), rows.lines().next().unwrap()).unwrap();
    for (csv, word) in
        [("column.csv", "no column"), ("number.csv", "line 2"), ("empty.csv", "no rows"), ("gone.csv", "gone.csv")]
    {
        let said = pinnace(&["sim", "scenario", &scenario(dir, csv, "completed", "")]).failed(2);
        assert!(said.contains(word) && said.contains("hint:"), "{csv}: {said}");
    }
}
