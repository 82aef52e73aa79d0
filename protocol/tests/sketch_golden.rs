//! Windows and profiles that were written once are read for ever.

use pinnace_protocol::sketch::{Live, Profile, Value};

/// A profile of format 1.
const PROFILE: &str = include_str!("data/sketch_profile_v1.json");

/// A window of format 1 that was counted against it.
const WINDOW: &str = include_str!("data/sketch_window_v1.hex");

fn counted(profile: &Profile) -> Live {
    let mut live = Live::new(profile);
    let rows = [
        [Value::Num(0.25), Value::Cat("north")],
        [Value::Num(-0.0), Value::Cat("south")],
        [Value::Num(7.5), Value::Cat("east")],
        [Value::Num(-900.0), Value::Null],
        [Value::Num(f64::NAN), Value::Num(1.0)],
        [Value::Null, Value::Cat("north")],
    ];
    for row in &rows {
        live.update_row(row).expect("the row fits");
    }
    live.observe_prediction(1, 0.83, 1_250).expect("the class exists");
    live.observe_prediction(0, 0.5, 90).expect("the class exists");
    live.observe_error().expect("not full");
    live.observe_outcome(0.83, 1, 1).expect("the classes exist");
    live.observe_outcome(0.5, 0, 1).expect("the classes exist");
    live
}

#[test]
fn the_first_profile_and_window_are_still_read_and_still_written() {
    let profile = Profile::from_json(PROFILE.trim_end().as_bytes()).expect("format 1 is read");
    assert_eq!(profile.to_json(), PROFILE.trim_end().as_bytes());
    let live = counted(&profile);
    assert_eq!(hex::encode(live.encode()), WINDOW.trim_end());
    let bytes = hex::decode(WINDOW.trim_end()).expect("the file is hexadecimal");
    assert_eq!(Live::decode(&profile, &bytes), Ok(live));
}
