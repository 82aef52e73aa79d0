//! One case, one history: on every run, on every thread, in debug and release, on every machine.
use pinnace_simulator::{Case, Options, Profile, run_fast};

#[test]
fn the_same_seed_gives_the_same_history() {
    for profile in Profile::ALL {
        for seed in [1, 0x7f3a] {
            let options = Options { seed, devices: 5, hours: 6, profile };
            let case = Case::draw(&options);
            let one = run_fast(&case);
            let two = std::thread::spawn(move || run_fast(&case)).join().unwrap();
            assert_eq!(one, two, "{}", one.replay());
            let other = run_fast(&Case::draw(&Options { seed: seed + 1, ..options }));
            assert_ne!(one.trace, other.trace);
        }
    }
}

/// The hashes of these runs, the same in debug and release and on aarch64; a change of behaviour changes them, and
/// whoever changes it writes the new ones down.
#[test]
fn the_histories_are_the_ones_written_down() {
    let golden = include_str!("golden_traces.txt");
    let mut found = String::new();
    for profile in Profile::ALL {
        let verdict = run_fast(&Case::draw(&Options { seed: 0x9e37, devices: 4, hours: 8, profile }));
        found += &format!("{profile} {} {:016x}\n", verdict.events, verdict.trace);
    }
    assert_eq!(found, golden, "if the change is meant, write the new hashes into tests/golden_traces.txt");
}
