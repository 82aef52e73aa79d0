//! Writes a seed's case to keep: `keep <profile> <seed hex> <devices> <hours> <check> <file> <note>`.
use pinnace_simulator::{Case, Check, Options, parse_seed};

fn main() -> Result<(), String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [profile, seed, devices, hours, check, file, note] = &words[..] else {
        return Err("seven words are needed".into());
    };
    let number = |text: &String| text.parse::<u32>().map_err(|e| e.to_string());
    let options = Options {
        seed: parse_seed(seed)?,
        devices: number(devices)?,
        hours: number(hours)?,
        profile: profile.parse()?,
    };
    let mut case = Case::draw(&options);
    case.violated = Check::ALL.into_iter().find(|c| format!("{c:?}") == *check);
    case.note.clone_from(note);
    std::fs::write(file, case.to_json()?).map_err(|e| e.to_string())
}
