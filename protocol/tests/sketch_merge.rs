//! Windows merge in any order to the same bytes, and no bytes can harm a reader.

use pinnace_protocol::sketch::limits::MAX_WINDOW_BYTES;
use pinnace_protocol::sketch::{Column, Live, PredictionColumns, Profile, ProfileBuilder, Value, WindowError};
use proptest::prelude::*;

const CLASSES: [&str; 3] = ["dry", "rain", "snow"];
const PLACES: [&str; 4] = ["north", "south", "", "nord ☂"];

/// Something that a window counts.
#[derive(Debug, Clone)]
enum Event {
    Row(Option<f64>, Option<&'static str>, bool),
    Prediction(usize, f64, u32),
    Outcome(usize, f64, usize),
    Error,
}

fn profile() -> Profile {
    let wide: Vec<f64> = (0..500).map(|step| f64::from(step * step % 499) / 7.0 - 20.0).collect();
    let place: Vec<Option<&str>> = (0..500).map(|step| Some(PLACES[step % 3])).collect();
    let few: Vec<f64> = (0..500).map(|step| f64::from(step % 5)).collect();
    let classes: Vec<usize> = (0..500).map(|step| step % 3).collect();
    let scores: Vec<f64> = (0..500).map(|step| f64::from(step % 97) / 96.0).collect();
    ProfileBuilder::new(100)
        .feature("wide", Column::Numeric { values: &wide, nulls: None }, 1.0)
        .feature("place", Column::Categorical(&place), 1.0)
        .feature("few", Column::Numeric { values: &few, nulls: None }, 1.0)
        .predictions(PredictionColumns { classes: &CLASSES, predicted: &classes, scores: &scores, actual: &classes })
        .build()
        .expect("the columns are sound")
}

fn count(live: &mut Live, event: &Event) {
    match event {
        Event::Row(number, place, swapped) => {
            let number = number.map_or(Value::Null, Value::Num);
            let place = place.map_or(Value::Null, Value::Cat);
            let row = if *swapped { [place, number, number] } else { [number, place, number] };
            live.update_row(&row).expect("the row has three values");
        }
        Event::Prediction(class, score, latency) => {
            live.observe_prediction(*class, *score, *latency).expect("the class exists");
        }
        Event::Outcome(class, score, actual) => {
            live.observe_outcome(*score, *class, *actual).expect("the classes exist");
        }
        Event::Error => live.observe_error().expect("the window is not full"),
    }
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => -40.0..60.0f64,
        2 => (-2..7i32).prop_map(f64::from),
        1 => any::<f64>(),
        1 => any::<f32>().prop_map(f64::from),
        1 => prop::sample::select(vec![0.0, -0.0, 1e300, -1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY]),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let place = prop::option::weighted(0.9, prop::sample::select(PLACES.to_vec()));
    let score = prop_oneof![9 => 0.0..=1.0f64, 1 => any::<f64>()];
    prop_oneof![
        6 => (prop::option::weighted(0.9, number()), place, prop::bool::weighted(0.05))
            .prop_map(|(number, place, swapped)| Event::Row(number, place, swapped)),
        2 => (0..3usize, score.clone(), any::<u32>()).prop_map(|(class, score, us)| Event::Prediction(class, score, us)),
        1 => (0..3usize, score, 0..3usize).prop_map(|(class, score, actual)| Event::Outcome(class, score, actual)),
        1 => Just(Event::Error),
    ]
}

/// Merges the parts pairwise in the order that the choices give, as a fleet and its roll-ups do.
fn fold(mut parts: Vec<Live>, choices: &[prop::sample::Index]) -> Live {
    let mut choices = choices.iter().cycle();
    while parts.len() > 1 {
        let mut next = || choices.next().expect("there are choices");
        let taken = parts.swap_remove(next().index(parts.len()));
        let into = next().index(parts.len());
        parts[into].merge(&taken).expect("both windows have the same profile");
    }
    parts.pop().expect("there is at least one part")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_split_and_order_gives_the_bytes_of_one_pass(
        events in prop::collection::vec((event(), any::<prop::sample::Index>()), 0..300),
        parts in 1..12usize,
        choices in prop::collection::vec(any::<prop::sample::Index>(), 1..40),
        shuffle in any::<prop::sample::Index>(),
    ) {
        let profile = profile();
        let mut whole = Live::new(&profile);
        for (event, _) in &events {
            count(&mut whole, event);
        }
        let mut split = vec![Live::new(&profile); parts];
        let start = if events.is_empty() { 0 } else { shuffle.index(events.len()) };
        for (event, part) in events[start..].iter().rev().chain(&events[..start]) {
            count(&mut split[part.index(parts)], event);
        }
        // Every part travels as bytes, as it would from a device.
        let split = split.iter().map(|part| Live::decode(&profile, &part.encode()).expect("own bytes are read"));
        let folded = fold(split.collect(), &choices);
        prop_assert_eq!(folded.encode(), whole.encode());
        prop_assert_eq!(&folded, &whole);
        let read = Live::decode(&profile, &whole.encode());
        prop_assert_eq!(read.as_ref(), Ok(&whole));
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_read_to_the_same_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let profile = profile();
        let mut framed = Live::new(&profile).encode()[..17].to_vec();
        framed.extend_from_slice(&bytes);
        for bytes in [&bytes, &framed] {
            if let Ok(live) = Live::decode(&profile, bytes) {
                prop_assert_eq!(&live.encode(), bytes);
            }
        }
    }

    #[test]
    fn damaged_windows_are_refused_or_read_to_the_same_bytes(
        events in prop::collection::vec(event(), 1..60),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let profile = profile();
        let mut live = Live::new(&profile);
        for event in &events {
            count(&mut live, event);
        }
        let mut bytes = live.encode();
        for (at, value) in &damage {
            let at = at.index(bytes.len());
            bytes[at] = *value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(read) = Live::decode(&profile, &bytes) {
            prop_assert_eq!(read.encode(), bytes);
        }
    }
}

#[test]
fn every_truncation_is_refused_and_so_is_a_byte_too_many() {
    let profile = profile();
    let mut live = Live::new(&profile);
    for step in 0..200 {
        let value = f64::from(step) / 3.0 - 20.0;
        live.update_row(&[value.into(), "north".into(), Value::Num(f64::from(step % 5))]).expect("the row fits");
        live.observe_prediction(1, 0.7, 300 + step).expect("the class exists");
    }
    let mut bytes = live.encode();
    for length in 0..bytes.len() {
        assert!(Live::decode(&profile, &bytes[..length]).is_err(), "{length} of {} bytes were read", bytes.len());
    }
    bytes.push(0);
    assert_eq!(Live::decode(&profile, &bytes), Err(WindowError::Trailing { at: bytes.len() - 1 }));
}

#[test]
fn windows_of_another_profile_format_or_size_are_refused() {
    let mine = profile();
    let values: Vec<f64> = (0..50).map(f64::from).collect();
    let other = ProfileBuilder::new(10)
        .feature("wide", Column::Numeric { values: &values, nulls: None }, 1.0)
        .build()
        .expect("the column is sound");
    let foreign = Live::new(&other);
    assert_eq!(Live::decode(&mine, &foreign.encode()), Err(WindowError::Profile));
    assert_eq!(Live::new(&mine).merge(&foreign), Err(WindowError::Profile));
    assert_eq!(Live::fingerprint_of(&foreign.encode()), Ok(other.layout().fingerprint()));
    assert_eq!(Live::decode(&mine, &[9]), Err(WindowError::Format { found: 9 }));
    let huge = vec![1; MAX_WINDOW_BYTES + 1];
    assert_eq!(Live::decode(&mine, &huge), Err(WindowError::TooLarge { bytes: huge.len() }));
}

#[test]
fn three_hundred_parts_merge_to_the_bytes_of_one_pass_from_either_end() {
    let profile = profile();
    let rows: Vec<[Value<'_>; 3]> = (0..3_000)
        .map(|step: u32| {
            let value = f64::from(step.wrapping_mul(2_654_435_761) >> 8) / 1e5 - 60.0;
            [value.into(), PLACES[step as usize % 4].into(), Value::Num(f64::from(step % 6))]
        })
        .collect();
    let mut whole = Live::new(&profile);
    let mut parts = vec![Live::new(&profile); 300];
    for (index, row) in rows.iter().enumerate() {
        whole.update_row(row).expect("the row fits");
        parts[index % 300].update_row(row).expect("the row fits");
    }
    let (mut forwards, mut backwards) = (Live::new(&profile), Live::new(&profile));
    for part in &parts {
        forwards.merge(part).expect("same profile");
    }
    for part in parts.iter().rev() {
        backwards.merge(part).expect("same profile");
    }
    assert_eq!(forwards.encode(), whole.encode());
    assert_eq!(backwards.encode(), whole.encode());
}
