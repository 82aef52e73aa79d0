//! The command line.
use std::path::PathBuf;

use pinnace_fuzz::{Target, corpus, targets};

/// How it is used.
pub const USAGE: &str = "\
usage: pinnace-fuzz TARGET|all [--runs N] [--seconds S] [--seed HEX] [--corpus DIR] [--findings DIR] [--jobs N] [--grow]
       pinnace-fuzz list
       pinnace-fuzz record [TARGET]           write down what each item of the corpus gets now
       pinnace-fuzz replay TARGET FILE...     run files alone

Runs N mutations of each target's corpus (default 20000; a share of it where a run is costly), or as many as S seconds
allow each.
  --grow   adds inputs that led somewhere new to the corpus; then run `record` and read what changed";

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Name the targets.
    List,
    /// Write verdicts down.
    Record,
    /// Run these files.
    Replay(Vec<PathBuf>),
    /// Run one target in this process.
    Child,
    /// Run targets, each in a process of its own.
    Run,
}

/// What was asked for.
#[derive(Debug, Clone)]
pub struct Args {
    /// What is to be done.
    pub mode: Mode,
    /// With which targets.
    pub targets: Vec<Target>,
    /// Mutations for each target.
    pub runs: u64,
    /// Seconds for each target.
    pub seconds: Option<u64>,
    /// Where the numbers begin.
    pub seed: u64,
    /// Where the corpus lies.
    pub corpus: PathBuf,
    /// Where findings go.
    pub findings: PathBuf,
    /// Processes at once.
    pub jobs: usize,
    /// Whether the corpus takes over what led somewhere new.
    pub grow: bool,
}

impl Args {
    /// Reads the command line.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub fn parse(mut parser: lexopt::Parser) -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;
        let mut words: Vec<String> = Vec::new();
        let mut args = Self {
            mode: Mode::Run,
            targets: targets::all(),
            runs: 20_000,
            seconds: None,
            seed: 1,
            corpus: corpus::in_tree(),
            findings: "target/fuzz-findings".into(),
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
            grow: false,
        };
        while let Some(arg) = parser.next()? {
            match arg {
                Value(word) => words.push(word.string()?),
                Long("runs") => args.runs = parser.value()?.parse()?,
                Long("seconds") => {
                    args.seconds = Some(parser.value()?.parse()?);
                    args.runs = u64::MAX;
                }
                Long("seed") => {
                    args.seed =
                        parser.value()?.parse_with(|text| u64::from_str_radix(text.get(..16).unwrap_or(text), 16))?;
                }
                Long("corpus") => args.corpus = parser.value()?.into(),
                Long("findings") => args.findings = parser.value()?.into(),
                Long("jobs") => args.jobs = parser.value()?.parse::<usize>()?.max(1),
                Long("grow") => args.grow = true,
                Long("child") => args.mode = Mode::Child,
                other => return Err(other.unexpected()),
            }
        }
        let mut words = words.into_iter();
        let first = words.next().ok_or("name a target, or `all`")?;
        let name = match first.as_str() {
            "list" => {
                args.mode = Mode::List;
                None
            }
            "record" => {
                args.mode = Mode::Record;
                words.next()
            }
            "replay" => {
                let name = words.next().ok_or("name a target and files")?;
                args.mode = Mode::Replay(words.by_ref().map(PathBuf::from).collect());
                Some(name)
            }
            _ => Some(first),
        };
        if let Some(name) = name.filter(|name| name != "all") {
            let target = targets::named(&name);
            args.targets = vec![target.ok_or_else(|| format!("there is no target `{name}`; `list` names them"))?];
        }
        if let Some(word) = words.next() {
            return Err(format!("`{word}` is one word too many").into());
        }
        Ok(args)
    }
}
