//! A child process tries models first: what would take the agent down costs the child.
//!
//! Has its own `main`, because the child is this very program.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use common::{gateway, sample, sample_with_answers, variant};
use pinnace_agent::engine::{EngineError, Engines, LibrarySearch, ProbePolicy, Trial, probe_main};
use pinnace_firmware_targets::{DeviceProfile, Provider};
use pinnace_protocol::manifest::Requires;
use pinnace_protocol::message::FailCode;
use pinnace_protocol::trust::VerifiedBundle;

fn main() {
    if probe_main() {
        return;
    }
    let tests: [(&str, fn()); 11] = [
        ("a_sound_model_passes_and_is_timed", a_sound_model_passes_and_is_timed),
        ("a_memory_bomb_kills_only_the_child", a_memory_bomb_kills_only_the_child),
        ("errors_cross_the_process_boundary", errors_cross_the_process_boundary),
        ("a_program_that_is_no_probe_is_noticed", a_program_that_is_no_probe_is_noticed),
        ("libraries_that_are_none_are_left_alone", libraries_that_are_none_are_left_alone),
        ("a_library_that_hangs_costs_its_time_and_no_more", a_library_that_hangs_costs_its_time_and_no_more),
        ("a_provider_that_the_library_lacks_is_noted", a_provider_that_the_library_lacks_is_noted),
        ("a_model_over_its_memory_is_refused_with_figures", a_model_over_its_memory_is_refused_with_figures),
        ("a_model_over_its_time_is_refused_with_figures", a_model_over_its_time_is_refused_with_figures),
        ("variants_that_need_more_are_passed_over", variants_that_need_more_are_passed_over),
        ("a_choice_is_kept_until_its_circumstances_change", a_choice_is_kept_until_its_circumstances_change),
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
    assert!(
        loaded.trial.p50_ns > 0 && u128::from(loaded.trial.p50_ns) < Duration::from_secs(1).as_nanos(),
        "{:?}",
        loaded.trial
    );
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

/// Compiles a library called `name` from C; a linker is there, since this program was linked.
fn planted(folder: &Path, name: &str, source: &str) -> PathBuf {
    let (code, library) = (folder.join(format!("{name}.c")), folder.join(format!("lib{name}.so")));
    std::fs::write(&code, source).unwrap();
    let cc = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let built = Command::new(cc).args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&code).status().unwrap();
    assert!(built.success(), "{name}");
    library
}

/// Returns what is noted about a library, which must not be used; and how long that took.
fn refused(library: PathBuf, patience: Duration) -> (String, Duration) {
    let search = LibrarySearch { configured: Some(library), patience: Some(patience), ..LibrarySearch::default() };
    let began = Instant::now();
    let engines = Engines::discover(&gateway(), &search, ProbePolicy::this_program().unwrap());
    let names: Vec<_> = engines.capabilities().iter().map(|c| c.engine.as_str()).collect();
    assert_eq!(names, ["tract"], "{:?}", engines.notes());
    // The agent goes on with what it has.
    engines.load(&sample("linear").bundle(1, &["ort", "tract"])).unwrap();
    (engines.notes().join("; "), began.elapsed())
}

#[cfg(feature = "ort")]
fn libraries_that_are_none_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("libtext.so");
    std::fs::write(&text, "no library at all").unwrap();
    // What ONNX Runtime's C API begins with: a way to its functions, and its version.
    let old = "static const void* api(unsigned v) { return 0; } static const char* version(void) { return \"1.9.0\"; }
        struct base { const void* (*api)(unsigned); const char* (*version)(void); };
        static const struct base BASE = { api, version };
        const struct base* OrtGetApiBase(void) { return &BASE; }";
    let liar = old.replace("1.9.0", "1.32.0");
    let cases = [
        (text, "libtext.so"),
        (dir.path().join("libgone.so"), "libgone.so"),
        (planted(dir.path(), "empty", "int nothing(void) { return 0; }"), "OrtGetApiBase"),
        (planted(dir.path(), "old", old), "1.9.0"),
        (planted(dir.path(), "liar", &liar), "libliar.so"),
        (
            planted(dir.path(), "dies", "__attribute__((constructor)) static void f(void) { *(volatile int*)0 = 1; }"),
            "died",
        ),
    ];
    for (library, words) in cases {
        let (notes, _) = refused(library.clone(), Duration::from_secs(20));
        assert!(notes.contains(words), "{}: {notes}", library.display());
    }
}

#[cfg(feature = "ort")]
fn a_library_that_hangs_costs_its_time_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let hangs = "extern int pause(void); __attribute__((constructor)) static void f(void) { for (;;) pause(); }";
    let (notes, took) = refused(planted(dir.path(), "hangs", hangs), Duration::from_secs(1));
    assert!(notes.contains("did not finish within 1 s"), "{notes}");
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[cfg(feature = "ort")]
fn a_provider_that_the_library_lacks_is_noted() {
    let Some(library) = std::env::var_os("PINNACE_ORT_LIB") else {
        let ci = std::env::var("CI").is_ok_and(|v| v == "true");
        assert!(!ci, "CI=true but PINNACE_ORT_LIB is not set: point it at libonnxruntime.so");
        println!("skipped: PINNACE_ORT_LIB is not set");
        return;
    };
    let mut profile = gateway();
    profile.inference.providers = vec![Provider::Xnnpack, Provider::Cpu];
    let search = LibrarySearch { configured: Some(library.into()), ..LibrarySearch::default() };
    let engines = Engines::discover(&profile, &search, ProbePolicy::this_program().unwrap());
    let notes = engines.notes().join("; ");
    assert!(notes.contains("no provider xnnpack") && !notes.contains("no provider cpu"), "{notes}");
    assert!(engines.load(&sample("mlp").bundle(1, &["ort"])).unwrap().engine.starts_with("ort"));
}

#[cfg(not(feature = "ort"))]
fn libraries_that_are_none_are_left_alone() {}
#[cfg(not(feature = "ort"))]
fn a_library_that_hangs_costs_its_time_and_no_more() {}
#[cfg(not(feature = "ort"))]
fn a_provider_that_the_library_lacks_is_noted() {}

fn load_on(profile: &DeviceProfile, name: &str) -> Result<Trial, EngineError> {
    let policy = ProbePolicy::this_program().unwrap();
    let engines = Engines::discover(profile, &LibrarySearch::default(), policy);
    engines.load(&sample(name).bundle(1, &["tract"])).map(|loaded| loaded.trial)
}

fn a_model_over_its_memory_is_refused_with_figures() {
    let mut profile = gateway();
    profile.model.budget_ms = 10_000;
    let trial = load_on(&profile, "hungry").unwrap();
    assert!(trial.memory_kib > 12 * 1024 && trial.peak_kib >= trial.memory_kib, "{trial:?}");
    profile.model.memory_mib = Some(8);
    let error = load_on(&profile, "hungry").unwrap_err();
    assert!(matches!(error, EngineError::Memory { budget: 8, mib: 12..=256, .. }), "{error}");
    assert_eq!(error.fail_code(), FailCode::Incompatible);
    load_on(&profile, "linear").unwrap();
}

fn a_model_over_its_time_is_refused_with_figures() {
    let mut profile = gateway();
    profile.model.budget_ms = 0;
    let error = load_on(&profile, "hungry").unwrap_err();
    assert!(matches!(error, EngineError::TooSlow { p95_us: 1.., budget_ms: 0, .. }), "{error}");
    assert_eq!(error.fail_code(), FailCode::Latency);
}

fn variants_that_need_more_are_passed_over() {
    let engines = engines();
    let needs = |cpu: &str| Requires { cpu_features: vec![cpu.into()], ..Requires::default() };
    let (best, other) = (variant("wide", &["tract"], needs("amx")), variant("plain", &["tract"], needs("avx2")));
    let loaded = engines.load(&sample("linear").bundle_of(1, vec![best.clone(), other])).unwrap();
    assert_eq!(loaded.variant, "plain");
    let error = engines.load(&sample("linear").bundle_of(1, vec![best])).unwrap_err();
    assert!(matches!(&error, EngineError::Requires { variant, .. } if variant == "wide"), "{error}");
    assert_eq!(error.fail_code(), FailCode::Incompatible);
}

/// Returns whether a load needed a trial, which these engines cannot make.
fn tried(engines: Engines, bundle: &VerifiedBundle) -> bool {
    matches!(engines.load(bundle), Err(EngineError::Probe { .. }))
}

fn a_choice_is_kept_until_its_circumstances_change() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("choices.json");
    let start = |profile: &DeviceProfile, policy| {
        Engines::discover(profile, &LibrarySearch::default(), policy).remembering(file.clone())
    };
    let probing = || ProbePolicy::this_program().unwrap();
    // A probe that cannot start: what loads with it was not tried again.
    let blind = || ProbePolicy::Child("/nowhere/at/all".into());
    let bundle = sample("mlp").bundle(1, &["tract"]);
    let first = start(&gateway(), probing()).load(&bundle).unwrap().trial;
    assert!(first.why.starts_with("tract took "), "{}", first.why);
    assert_eq!(start(&gateway(), blind()).load(&bundle).unwrap().trial, first);
    // Another bundle and another hardware class are other questions.
    assert!(tried(start(&gateway(), blind()), &sample("mlp").bundle(2, &["tract"])));
    let mut other = gateway();
    other.name = "other".into();
    assert!(tried(start(&other, blind()), &bundle));
    // A choice that does not load any more is forgotten, and all are tried.
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("\"fp32\"", "\"gone\"")).unwrap();
    assert!(tried(start(&gateway(), blind()), &bundle));
    assert_eq!(start(&gateway(), probing()).load(&bundle).unwrap().trial.variant, "fp32");
}
