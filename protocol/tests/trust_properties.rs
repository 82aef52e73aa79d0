//! Laws that must hold for every input.

mod trust_support;

use pinnace_protocol::signature::Verifier;
use pinnace_protocol::trust::canonical::canonical;
use pinnace_protocol::trust::delegation::path_matches;
use pinnace_protocol::trust::state::first_root;
use pinnace_protocol::trust::{DirectorBundle, Envelope, Floors, Recovered, Released, iso_time, json};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;
use trust_support::{Device, NOW, Repo};

/// One step in the life of a device's floors.
#[derive(Debug, Clone)]
enum Step {
    Image(u8, u64),
    Director(u8, u64),
    ImageRoot(bool),
    DirectorRoot(bool),
    Time(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4u8, 0..50u64).prop_map(|(role, version)| Step::Image(role, version)),
        (0..4u8, 0..50u64).prop_map(|(role, version)| Step::Director(role, version)),
        any::<bool>().prop_map(Step::ImageRoot),
        any::<bool>().prop_map(Step::DirectorRoot),
        (0..1000u64).prop_map(Step::Time),
    ]
}

/// Lives through the steps and returns the state after each.
fn live(steps: &[Step]) -> Vec<Floors> {
    let mut floors = Floors::default();
    let mut states = vec![floors.clone()];
    for step in steps {
        match step {
            Step::Image(role, version) => floors.image.raise(&format!("role-{role}"), *version).expect("few roles"),
            Step::Director(role, version) => {
                floors.director.raise(&format!("role-{role}"), *version).expect("few roles");
            }
            Step::ImageRoot(retires) => _ = floors.image.raise_root(floors.image.root() + 1, *retires),
            Step::DirectorRoot(retires) => floors.raise_director_root(floors.director.root() + 1, *retires),
            Step::Time(seconds) => floors.raise_time(*seconds),
        }
        states.push(floors.clone());
    }
    states
}

fn last(steps: &[Step]) -> Floors {
    live(steps).pop().unwrap_or_default()
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        "[ -~é😀]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec(("[ -~é😀]{0,4}", inner), 0..6).prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// The definition of a match, slow and plain.
fn plain_match(pattern: &[char], text: &[char]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some(('*', rest)), tail) => {
            plain_match(rest, text) || tail.is_some_and(|(c, tail)| *c != '/' && plain_match(pattern, tail))
        }
        (Some(('?', rest)), Some((c, tail))) => *c != '/' && plain_match(rest, tail),
        (Some((p, rest)), Some((c, tail))) => p == c && plain_match(rest, tail),
        _ => false,
    }
}

proptest! {
    // A failing case is printed; it becomes a named test instead of a file of seeds.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn joining_floors_is_a_lattice(a in vec(step(), 0..12), b in vec(step(), 0..12), c in vec(step(), 0..12)) {
        let (a, b, c) = (last(&a), last(&b), last(&c));
        prop_assert_eq!(a.join(&a), a.clone());
        prop_assert_eq!(a.join(&b), b.join(&a));
        prop_assert_eq!(a.join(&b).join(&c), a.join(&b.join(&c)));
        for (one, other) in [(&a, &b), (&a.join(&b), &b), (&b, &a.join(&b)), (&a, &a)] {
            prop_assert_eq!(one.covers(other), one.join(other) == *one);
        }
    }

    #[test]
    fn of_two_slots_of_one_life_the_later_state_wins(steps in vec(step(), 1..20), at in any::<prop::sample::Index>()) {
        let states = live(&steps);
        let newest = &states[states.len() - 1];
        let older = &states[at.index(states.len())];
        let recovered = Floors::recover(Some(&older.encode()), Some(&newest.encode()));
        prop_assert_eq!(recovered, Recovered::Floors(newest.clone()));
    }

    #[test]
    fn times_round_trip(seconds in 0..=253_402_300_799u64) {
        prop_assert_eq!(iso_time::parse(&iso_time::format(seconds)), Some(seconds));
    }

    #[test]
    fn an_accepted_time_has_one_spelling(text in "(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]Z") {
        if let Some(seconds) = iso_time::parse(&text) {
            prop_assert!(seconds == 0 || iso_time::format(seconds) == text);
        }
    }

    #[test]
    fn canonical_json_is_read_back_as_itself(value in value()) {
        let bytes = canonical(&value).expect("whole numbers");
        prop_assert_eq!(json::parse("it", &bytes, 1 << 20).expect("it is JSON"), value);
    }

    #[test]
    fn patterns_match_as_defined(pattern in "[ab*?/]{0,8}", path in "[ab/]{0,8}") {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        prop_assert_eq!(path_matches(&pattern, &path), plain_match(&chars(&pattern), &chars(&path)));
    }

    #[test]
    fn noise_is_refused_and_never_panics(noise in vec(any::<u8>(), 0..300)) {
        prop_assert!(Envelope::parse("it", &noise, 1000).is_err());
        prop_assert!(DirectorBundle::decode(&noise).is_err());
        prop_assert!(Floors::decode(&noise).is_err());
        prop_assert!(Released::from_ledger(&noise).is_err());
    }

    #[test]
    fn an_edited_root_is_refused_or_says_the_same(edits in vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..4)) {
        let repo = Repo::new();
        let honest = Envelope::parse("root", repo.factory(), 1 << 16).expect("JSON");
        let mut bytes = repo.factory().to_vec();
        for (at, byte, how) in edits {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        if first_root(&bytes, Verifier::STRICT).is_ok() {
            let edited = Envelope::parse("root", &bytes, 1 << 16).expect("it was accepted");
            prop_assert_eq!(edited.payload(), honest.payload());
        }
    }

    #[test]
    fn floors_never_sink_whatever_a_mirror_serves(order in vec(0..4usize, 1..6)) {
        let mut repo = Repo::new();
        let mut mirrors = vec![repo.files.clone()];
        for _ in 0..3 {
            repo.targets = pinnace_protocol::trust::author::next(&repo.targets, NOW + 1000);
            repo.publish();
            mirrors.push(repo.files.clone());
        }
        let mut device = Device::new(repo.factory());
        let mut newest = 0;
        for index in order {
            let before = device.floors();
            let outcome = device.refresh(&mirrors[index], NOW);
            prop_assert_eq!(outcome.is_ok(), index >= newest);
            newest = newest.max(index);
            prop_assert_eq!(before.join(&device.floors()), device.floors());
        }
    }
}
