//! Prints the end of one device's story: `story <profile> <seed hex> <devices> <hours> <h:mm:ss> <device>`.
use pinnace_simulator::{Case, Moment, Options, parse_seed, run_until};

fn main() -> Result<(), String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [profile, seed, devices, hours, until, device] = &words[..] else { return Err("six words are needed".into()) };
    let number = |text: &String| text.parse::<u32>().map_err(|e| e.to_string());
    let options = Options {
        seed: parse_seed(seed)?,
        devices: number(devices)?,
        hours: number(hours)?,
        profile: profile.parse()?,
    };
    for line in run_until(&Case::draw(&options), Moment::parse(until)?, number(device)? as usize) {
        println!("{line}");
    }
    Ok(())
}
