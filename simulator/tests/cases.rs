//! What once failed holds: real bugs that the simulator found, kept as `cases/*.case` with a note that tells the story.
use std::fs;
use std::path::Path;

use pinnace_simulator::{Case, run_case};

#[test]
fn what_once_failed_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut cases: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 5, "the cases are missing");
    for path in cases {
        let case = Case::from_json(&fs::read_to_string(&path).unwrap()).unwrap_or_else(|why| {
            panic!("{}: {why}", path.display());
        });
        assert!(case.note.len() > 40 && case.violated.is_some(), "{}: a case says what it was", path.display());
        let verdict = run_case(&case);
        if let Some(violation) = &verdict.violation {
            panic!("{}: {violation}\n{verdict}", path.display());
        }
    }
}
