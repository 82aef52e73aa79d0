//! Runs each target in a process of its own, so that one which dies takes nothing with it and is explained.
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

use pinnace_fuzz::Target;
use pinnace_fuzz::limits::SHRINK_PROCESSES_MAX;
use pinnace_fuzz::shrink::shrink;

use crate::args::Args;
use crate::child::{in_flight, save};

/// Runs all targets of `args`, a few at a time; returns whether nothing was found.
pub fn run(args: &Args) -> Result<bool, Box<dyn Error>> {
    fs::create_dir_all(&args.findings)?;
    let queue = Mutex::new(args.targets.iter().rev().collect::<Vec<_>>());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..args.jobs {
            scope.spawn(|| {
                let next = || queue.lock().ok().and_then(|mut queue| queue.pop());
                while let Some(target) = next() {
                    match one(args, target) {
                        Ok(true) => {}
                        Ok(false) => push(&failed, target.name.to_owned()),
                        Err(why) => push(&failed, format!("{} ({why})", target.name)),
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_default();
    println!(
        "{} targets, seed {:x}: {} with findings {}",
        args.targets.len(),
        args.seed,
        failed.len(),
        failed.join(", ")
    );
    Ok(failed.is_empty())
}

fn push(list: &Mutex<Vec<String>>, text: String) {
    // A poisoned list still tells the rest.
    list.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(text);
}

/// Runs one target in a child and prints what it said.
fn one(args: &Args, target: &Target) -> Result<bool, Box<dyn Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(target.name).args(["--child", "--seed", &format!("{:x}", args.seed)]);
    command.arg("--corpus").arg(&args.corpus).arg("--findings").arg(&args.findings);
    match args.seconds {
        Some(seconds) => command.args(["--seconds", &seconds.to_string()]),
        None => command.args(["--runs", &args.runs.to_string()]),
    };
    if args.grow {
        command.arg("--grow");
    }
    let output = command.stdin(Stdio::null()).output()?;
    print!("{}", String::from_utf8_lossy(&output.stdout));
    match output.status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => died(args, target, &output),
    }
}

/// Explains a child that died: by the input that was in flight.
fn died(args: &Args, target: &Target, output: &Output) -> Result<bool, Box<dyn Error>> {
    let said = String::from_utf8_lossy(&output.stderr);
    println!("{:10} the process died: {}; {}", target.name, output.status, said.lines().last().unwrap_or_default());
    let flight = in_flight(&args.findings, target.name);
    let raw = fs::read(&flight)?;
    let (length, rest) = raw.split_first_chunk::<8>().ok_or("nothing was in flight")?;
    let input = rest.get(..usize::try_from(u64::from_le_bytes(*length))?).ok_or("the input in flight is cut")?;
    // An input that hangs is not made smaller: each attempt would wait as long.
    let attempts = if said.contains("not come to an end") { 0 } else { SHRINK_PROCESSES_MAX };
    let small = shrink(input, attempts, |candidate| dies(args, target, candidate));
    let path = save(&args.findings, target, "death", &small)?;
    fs::remove_file(flight)?;
    println!(
        "  FOUND an input that ends the process\n    replay: pinnace-fuzz replay {} {}",
        target.name,
        path.display()
    );
    Ok(false)
}

/// Tells whether an input ends a process.
fn dies(args: &Args, target: &Target, input: &[u8]) -> bool {
    let path = args.findings.join(format!("{}.attempt", target.name));
    let outcome = fs::write(&path, input).and_then(|()| alone(target, &path));
    // It is written again for the next attempt.
    _ = fs::remove_file(&path);
    outcome.is_ok_and(|output| !matches!(output.status.code(), Some(0..=2)))
}

fn alone(target: &Target, path: &Path) -> std::io::Result<Output> {
    Command::new(std::env::current_exe()?).args(["replay", target.name]).arg(path).stdin(Stdio::null()).output()
}
