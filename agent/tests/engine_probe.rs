//! A child process tries models first: what would take the agent down costs the child.
//!
//! Has its own `main`, because the child is this very program.

mod common;

use std::time::Duration;

use common::{gateway, sample, sample_with_answers};
use pinnace_agent::engine::{EngineError, Engines, LibrarySearch, ProbePolicy, probe_main};

fn main() {
    if probe_main() {
        return;
    }
    let tests: [(&str, fn()); 4] = [
        ("a_sound_model_passes_and_is_timed", a_sound_model_passes_and_is_timed),
        ("a_memory_bomb_kills_only_the_child", a_memory_bomb_kills_only_the_child),
        ("errors_cross_the_process_boundary", errors_cross_the_process_boundary),
        ("a_program_that_is_no_probe_is_noticed", a_program_that_is_no_probe_is_noticed),
    ];
    let filter = std::env::args().skip(1).find(|a| !a.starts_with('-'));
    for (name, test) in tests.iter().filter(|(name, _)| filter.as_ref().is_none_or(|f| name.contains(f.as_str()))) {
        // A panic ends the program with an error, as a failed test should.
        test();
        println!("test {name} ... ok");
    }
}

fn engines() -> Engines {
    Engines::discover(&gateway(), &LibrarySearch::default(), ProbePolicy::this_program().unwrap())
}

fn a_sound_model_passes_and_is_timed() {
    let loaded = engines().load(&sample("mlp").bundle(1, &["tract"])).unwrap();
    assert!(loaded.p50_ns > 0 && u128::from(loaded.p50_ns) < Duration::from_secs(1).as_nanos(), "{}", loaded.p50_ns);
}

fn a_memory_bomb_kills_only_the_child() {
    let bomb = sample_with_answers("memory_bomb", "linear");
    let error = engines().load(&bomb.bundle(1, &["tract"])).unwrap_err();
    // Which of the two depends on whether the engine asks for the memory at once.
    let refused =
        matches!(error, EngineError::Crashed { .. } | EngineError::Malformed { .. } | EngineError::Panicked { .. });
    assert!(refused, "{error}");
}

fn errors_cross_the_process_boundary() {
    let unknown = sample_with_answers("unknown_operator", "linear");
    let error = engines().load(&unknown.bundle(1, &["tract"])).unwrap_err();
    assert_eq!(error, EngineError::UnknownOperators { engine: "tract".into(), operators: vec!["Teleport".into()] });
    let mut wrong = sample("linear");
    wrong.golden.expected[0][0] += 0.5;
    let error = engines().load(&wrong.bundle(1, &["tract"])).unwrap_err();
    assert!(matches!(error, EngineError::Golden { row: 0, column: 0, .. }), "{error}");
}

fn a_program_that_is_no_probe_is_noticed() {
    for program in ["/bin/false", "/bin/echo", "/nowhere/at/all"] {
        let engines = Engines::discover(&gateway(), &LibrarySearch::default(), ProbePolicy::Child(program.into()));
        let error = engines.load(&sample("linear").bundle(1, &["tract"])).unwrap_err();
        assert!(matches!(error, EngineError::Crashed { .. } | EngineError::Probe { .. }), "{program}: {error}");
    }
}
