//! pinnace-fuzz: runs targets on their corpus and on mutations of it, and says what must not be.
mod args;
mod child;
mod parent;

use std::process::ExitCode;

use args::{Args, Mode};
use pinnace_fuzz::{corpus, targets};

fn main() -> ExitCode {
    let args = match Args::parse(lexopt::Parser::from_env()) {
        Ok(args) => args,
        Err(why) => {
            eprintln!("{why}\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    let result = match &args.mode {
        Mode::List => {
            for target in targets::all() {
                println!("{:12} {}", target.name, target.what);
            }
            Ok(true)
        }
        Mode::Record => record(&args),
        Mode::Replay(files) => child::replay(&args, files),
        Mode::Child => child::run(&args),
        Mode::Run => parent::run(&args),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

/// Writes down what each item of the corpus gets now.
fn record(args: &Args) -> Result<bool, Box<dyn std::error::Error>> {
    let words = corpus::judge(&args.corpus, &args.targets)?;
    let faults: Vec<_> = words.iter().filter(|(_, word)| word.starts_with("FAULT")).collect();
    for (item, word) in &faults {
        eprintln!("{item}: {word}");
    }
    let clean = faults.is_empty();
    println!("{} verdicts written to {}", words.len(), args.corpus.join(corpus::VERDICTS).display());
    corpus::record(&args.corpus, &args.targets, words)?;
    Ok(clean)
}
