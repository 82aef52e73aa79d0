//! The loop: replay the corpus, then mutate what led somewhere new.
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::coverage::Coverage;
use crate::execute::{Fault, Run, execute};
use crate::limits::{FINDINGS_MAX, KEPT_MAX, KEPT_PER_WORD_MAX, SHRINK_RUNS_MAX, SLOW_FROM_BYTES};
use crate::mutate::mutate;
use crate::rng::Rng;
use crate::shrink::shrink_fault;
use crate::target::Target;

/// How long and from where.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Mutated inputs to run; the corpus comes before them.
    pub runs: u64,
    /// When to stop at the latest.
    pub time: Option<Duration>,
    /// Where the numbers begin.
    pub seed: u64,
}

/// An input that must not be, with what it does.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What went wrong.
    pub fault: Fault,
    /// The input, made as small as could be.
    pub input: Vec<u8>,
}

/// The input that took longest for its length.
#[derive(Debug, Clone, Default)]
pub struct Slowest {
    /// Its bytes.
    pub input: Vec<u8>,
    /// Its time.
    pub time: Duration,
}

impl Slowest {
    fn per_byte(&self) -> u128 {
        self.time.as_nanos() / self.input.len().max(1) as u128
    }
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct Report {
    /// Inputs of the corpus.
    pub replayed: u64,
    /// Mutated inputs.
    pub runs: u64,
    /// What must not be.
    pub findings: Vec<Finding>,
    /// Inputs that led somewhere new.
    pub kept: Vec<Vec<u8>>,
    /// How often each verdict was given.
    pub words: BTreeMap<String, u64>,
    /// Stands for all verdicts in their order: equal for equal seeds and corpora.
    pub digest: u64,
    /// The input that took longest for its length.
    pub slowest: Slowest,
    /// Bytes of memory that one input took, and its length: the largest share of what was allowed.
    pub peak: (usize, usize),
    /// Counters reached, where the program has them.
    pub reached: usize,
    /// How long it all took.
    pub time: Duration,
}

struct Loop<'a> {
    target: &'a Target,
    before: &'a mut dyn FnMut(&[u8]),
    coverage: Coverage,
    seen: BTreeSet<u64>,
    kept_of: BTreeMap<String, usize>,
    faults: Vec<Fault>,
    report: Report,
}

impl Loop<'_> {
    /// Runs one input; returns whether it led somewhere new.
    fn run(&mut self, input: &[u8]) -> bool {
        (self.before)(input);
        self.coverage.begin();
        let Run { result, peak, time } = execute(self.target, input);
        let reached = self.coverage.end();
        if input.len() >= SLOW_FROM_BYTES {
            let slow = Slowest { input: Vec::new(), time };
            if time.as_nanos() / input.len() as u128 > self.report.slowest.per_byte() {
                self.report.slowest = Slowest { input: input.to_vec(), ..slow };
            }
        }
        let share = |(peak, length): (usize, usize)| peak as f64 / self.target.budget.bytes(length) as f64;
        if share((peak, input.len())) > share(self.report.peak) {
            self.report.peak = (peak, input.len());
        }
        let novelty = match &result {
            Ok(verdict) => {
                *self.report.words.entry(verdict.word.clone()).or_default() += 1;
                verdict.novelty()
            }
            Err(fault) => {
                if !self.faults.iter().any(|known| known.is_like(fault)) {
                    self.faults.push(fault.clone());
                    let small = shrink_fault(self.target, input, SHRINK_RUNS_MAX);
                    let fault = execute(self.target, &small).result.err().unwrap_or_else(|| fault.clone());
                    self.report.findings.push(Finding { fault, input: small });
                }
                return false;
            }
        };
        self.report.digest = (self.report.digest.rotate_left(5) ^ novelty).wrapping_mul(0x0100_0000_01b3);
        let is_new = self.seen.insert(novelty) || reached > 0;
        let of_word = self.kept_of.entry(result.map(|v| v.word).unwrap_or_default()).or_default();
        let has_room = *of_word < KEPT_PER_WORD_MAX || reached > 0;
        *of_word += usize::from(is_new && has_room);
        is_new && has_room
    }
}

/// Replays `corpus`, then runs mutations as planned; `before` is shown each input before it is run.
pub fn fuzz(target: &Target, corpus: &[Vec<u8>], plan: Plan, before: &mut dyn FnMut(&[u8])) -> Report {
    let began = Instant::now();
    let mut state = Loop {
        target,
        before,
        coverage: Coverage::default(),
        seen: BTreeSet::new(),
        kept_of: BTreeMap::new(),
        faults: Vec::new(),
        report: Report::default(),
    };
    let mut pool: Vec<Vec<u8>> = corpus.to_vec();
    for input in corpus {
        _ = state.run(input);
        state.report.replayed += 1;
    }
    if pool.is_empty() {
        pool.push(Vec::new());
    }
    let mut rng = Rng::named(plan.seed, target.name);
    while state.report.runs < plan.runs
        && plan.time.is_none_or(|most| began.elapsed() < most)
        && state.faults.len() < FINDINGS_MAX
    {
        // What was found last leads on most often.
        let recent = pool.len().min(16);
        let at = if rng.one_in(3) { pool.len() - 1 - rng.index(recent) } else { rng.index(pool.len()) };
        let other = rng.index(pool.len());
        let input = mutate(target, &pool[at], &pool[other], &mut rng);
        state.report.runs += 1;
        if state.run(&input) && state.report.kept.len() < KEPT_MAX {
            state.report.kept.push(input.clone());
            pool.push(input);
        }
    }
    state.report.reached = state.coverage.reached();
    state.report.time = began.elapsed();
    state.report
}
