//! A process that is killed inside a prepare, a write, a seal or an erase of real folders: the next one finds a bundle whole,
//! or can fetch it whole. A program of its own: whoever starts processes shares open files with them for a moment.
#[path = "../common/folders.rs"]
mod folders;

use std::collections::BTreeSet;
use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use pinnace_agent_core::api::SlotName;
use pinnace_simulator::conformance::Held;
use pinnace_simulator::conformance::slots::{Sample, Slots as _, sample};

use folders::OnDisk;

/// Where the child works.
const HOME: &str = "PINNACE_TEST_KILLED_HOME";
/// Set for a child that says "sealed" before it seals, to prove that the test sees it.
const LIES: &str = "PINNACE_TEST_KILLED_LIES";
/// How often the child is killed.
const KILLS: u64 = 200;
/// Files beside a bundle that is erased, and how often the process that erases it is killed.
const IN_THE_WAY: u32 = 500;
const ERASES: u64 = 30;
/// What the child says begins with this; the rest of its output is the test harness's.
const SAID: &str = "said: ";
const SLOT: SlotName = SlotName::A;

fn say(words: &str) {
    let mut out = std::io::stdout().lock();
    // A parent that is gone hears nothing more.
    _ = writeln!(out, "\n{SAID}{words}").and_then(|()| out.flush());
}

fn bundles() -> Result<[Sample; 2], String> {
    Ok([sample(1)?, sample(2)?])
}

#[test]
#[ignore = "the process that the tests below kill"]
fn child() {
    let Some(home) = env::var_os(HOME) else { return };
    let lies = env::var_os(LIES).is_some();
    let (mut slots, bundles) = (OnDisk::at(Path::new(&home), None).unwrap(), bundles().unwrap());
    for round in 0_usize.. {
        let version = 1 + round / 3 % 2;
        let bundle = &bundles[version - 1];
        say(&format!("fetching {version}"));
        slots.prepare(SLOT, &bundle.plan).unwrap();
        let is_given_up = round % 3 == 1;
        bundle.write(&mut slots, SLOT, |_, index| !is_given_up || index == 0).unwrap();
        if is_given_up {
            slots.erase(SLOT).unwrap();
            continue;
        }
        if lies {
            say(&format!("sealed {version}"));
        }
        slots.seal(SLOT).unwrap();
        say(&format!("sealed {version}"));
    }
}

#[test]
#[ignore = "the process that the test below kills"]
fn eraser() {
    let Some(home) = env::var_os(HOME) else { return };
    let (mut slots, [bundle, _]) = (OnDisk::at(Path::new(&home), None).unwrap(), bundles().unwrap());
    slots.prepare(SLOT, &bundle.plan).unwrap();
    // So many that an erase takes a while, whatever order the folder has.
    for number in 0..IN_THE_WAY {
        std::fs::write(Path::new(&home).join(format!("slots/a.part/{number}")), b"").unwrap();
    }
    say("erasing 1");
    slots.erase(SLOT).unwrap();
    say("erased 1");
}

/// Starts the child, lets it say `words` things and go on for `spins`, kills it, and returns the last thing it said.
fn killed(child: &str, home: &Path, lies: bool, words: usize, spins: u64) -> String {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([child, "--exact", "--ignored", "--nocapture"]).env(HOME, home);
    if lies {
        command.env(LIES, "1");
    }
    let mut child: Child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut said = said.by_ref().filter_map(|line| line.strip_prefix(SAID).map(str::to_owned));
    let mut last = said.by_ref().take(words).last().expect("the child works");
    for _ in 0..spins {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    if let Some(later) = said.last() {
        last = later;
    }
    child.wait().unwrap();
    last
}

/// Looks at the folder as the next process does, and fetches what was being fetched to its end.
fn goes_on(home: &Path, said: &str) -> Held {
    let (mut slots, bundles) = (OnDisk::at(home, None)?, bundles()?);
    let version = said.bytes().last().map_or(0, |digit| usize::from(digit - b'0'));
    let bundle = &bundles[version - 1];
    if said.starts_with("sealed") {
        bundle.is_in(&mut slots, SLOT)?;
    }
    for other in &bundles {
        if other.open(&mut slots, SLOT).is_ok() {
            other.is_in(&mut slots, SLOT)?;
        }
    }
    slots.prepare(SLOT, &bundle.plan)?;
    let found: BTreeSet<_> = slots.scan(SLOT)?.into_iter().collect();
    bundle.write(&mut slots, SLOT, |blob, index| !found.contains(&(blob, index)))?;
    slots.seal(SLOT)?;
    bundle.is_in(&mut slots, SLOT)
}

/// Kills a child again and again over one folder.
fn history(lies: bool) -> Held {
    let home = tempfile::tempdir().map_err(|e| e.to_string())?;
    let mut seed = 0x5eed_u64;
    for kill in 0..KILLS {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (words, spins) = (1 + (seed >> 60) as usize, (seed >> 32) % 200_000);
        let said = killed("child", home.path(), lies, words, spins);
        goes_on(home.path(), &said).map_err(|why| format!("kill {kill}, after `{said}`: {why}"))?;
    }
    Ok(())
}

#[test]
fn whoever_comes_after_a_killed_process_goes_on() {
    history(false).unwrap();
}

#[test]
fn a_seal_that_is_said_too_early_is_seen() {
    let why = history(true).unwrap_err();
    assert!(why.contains("after `sealed"), "{why}");
}

#[test]
fn a_half_erased_bundle_is_begun_anew() {
    for round in 0..ERASES {
        let home = tempfile::tempdir().unwrap();
        let said = killed("eraser", home.path(), false, 1, round * 40_000);
        goes_on(home.path(), &said).unwrap_or_else(|why| panic!("round {round}, after `{said}`: {why}"));
    }
}
