//! One seed, one history.
use pinnace_simulator::{Options, Profile, run};

#[test]
fn the_same_seed_gives_the_same_history() {
    for profile in Profile::ALL {
        for seed in [1, 0x7f3a] {
            let options = Options { seed, devices: 5, hours: 6, profile };
            let (one, two) = (run(&options), run(&options));
            assert_eq!(one, two, "{}", one.replay);
            let other = run(&Options { seed: seed + 1, ..options });
            assert_ne!(one.trace, other.trace);
        }
    }
}
