//! One target in this process. The parent learns of a death by the process's end, and of its cause from a file that
//! holds the input in flight.
use std::error::Error;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use pinnace_fuzz::execute::execute;
use pinnace_fuzz::fuzz::{Plan, Report, fuzz};
use pinnace_fuzz::limits::{HANG_S, STACK_BYTES};
use pinnace_fuzz::{Target, corpus};

use crate::args::Args;

/// Returns the file that holds the input in flight: its length in 8 bytes, then its bytes.
pub fn in_flight(findings: &Path, target: &str) -> PathBuf {
    findings.join(format!("{target}.in-flight"))
}

/// Runs work in a thread with the stack that a worker of the agent has.
fn on_small_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Box<dyn Error>> {
    std::thread::scope(|scope| {
        let thread =
            std::thread::Builder::new().name("target".into()).stack_size(STACK_BYTES).spawn_scoped(scope, work)?;
        thread.join().map_err(|_| "the runner itself panicked".into())
    })
}

/// Runs the one target of `args`; prints a report and returns whether nothing was found.
pub fn run(args: &Args) -> Result<bool, Box<dyn Error>> {
    let target = args.targets.first().ok_or("no target")?;
    fs::create_dir_all(&args.findings)?;
    let items = corpus::load(&args.corpus, target.name)?;
    let inputs: Vec<Vec<u8>> = items.into_iter().map(|item| item.bytes).collect();
    let flight = File::create(in_flight(&args.findings, target.name))?;
    let (count, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    watch(Arc::clone(&count), Arc::clone(&done));
    let plan =
        Plan { runs: (args.runs / target.cost).max(1), time: args.seconds.map(Duration::from_secs), seed: args.seed };
    let report = on_small_stack(|| {
        fuzz(target, &inputs, plan, &mut |input| {
            count.fetch_add(1, Ordering::Relaxed);
            // Where this fails a death cannot be explained, and that is all.
            _ = flight.write_all_at(&(input.len() as u64).to_le_bytes(), 0);
            _ = flight.write_all_at(input, 8);
        })
    })?;
    done.store(true, Ordering::Relaxed);
    fs::remove_file(in_flight(&args.findings, target.name))?;
    print(target, &report);
    for finding in &report.findings {
        let path = save(&args.findings, target, finding.fault.slug(), &finding.input)?;
        println!("  FOUND {}\n    replay: pinnace-fuzz replay {} {}", finding.fault, target.name, path.display());
    }
    if args.grow {
        // Short ones say the same as long ones in less room.
        let small = report.kept.iter().map(Vec::as_slice).filter(|input| input.len() <= 4096);
        let added = corpus::add(&args.corpus, target.name, "grown-", small)?;
        println!("  {added} inputs added to the corpus");
    }
    Ok(report.findings.is_empty())
}

/// Ends the process when one input takes too long: the parent finds it in flight.
fn watch(count: Arc<AtomicU64>, done: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        let mut last = u64::MAX;
        loop {
            std::thread::park_timeout(Duration::from_secs(HANG_S));
            let now = count.load(Ordering::Relaxed);
            if done.load(Ordering::Relaxed) {
                return;
            }
            if now == last {
                eprintln!("an input has not come to an end in {HANG_S} s");
                std::process::abort();
            }
            last = now;
        }
    });
}

/// Writes a finding and returns its path.
pub fn save(findings: &Path, target: &Target, slug: &str, input: &[u8]) -> std::io::Result<PathBuf> {
    let name = format!("{}-{slug}-{}", target.name, pinnace_protocol::ids::Digest::of(input).short());
    let path = findings.join(name);
    fs::write(&path, input)?;
    Ok(path)
}

fn print(target: &Target, report: &Report) {
    let total = report.replayed + report.runs;
    let per_s = total as f64 / report.time.as_secs_f64().max(1e-9);
    let accepted: u64 = report.words.iter().filter(|(w, _)| !w.starts_with("refused")).map(|(_, n)| n).sum();
    println!(
        "{:10} {} items, {} runs, {per_s:.0}/s; {accepted} not refused, {} verdicts, {} kept{}; {} findings; digest {:016x}",
        target.name,
        report.replayed,
        report.runs,
        report.words.len(),
        report.kept.len(),
        if report.reached > 0 { format!(", {} counters", report.reached) } else { String::new() },
        report.findings.len(),
        report.digest,
    );
    let slow = &report.slowest;
    println!(
        "  slowest {:?} for {} bytes; most memory {} bytes for {} (allowed {})",
        slow.time,
        slow.input.len(),
        report.peak.0,
        report.peak.1,
        target.budget.bytes(report.peak.1),
    );
}

/// Runs files alone and says what each gets.
pub fn replay(args: &Args, files: &[PathBuf]) -> Result<bool, Box<dyn Error>> {
    let target = args.targets.first().ok_or("no target")?;
    let mut clean = true;
    for file in files {
        let input = fs::read(file)?;
        let run = on_small_stack(|| execute(target, &input))?;
        let text = match &run.result {
            Ok(verdict) => format!("{} ({})", verdict.word, verdict.detail.chars().take(300).collect::<String>()),
            Err(fault) => format!("FOUND {fault}"),
        };
        clean &= run.result.is_ok();
        println!("{}: {text}; {:?}, {} bytes of memory", file.display(), run.time, run.peak);
    }
    Ok(clean)
}
