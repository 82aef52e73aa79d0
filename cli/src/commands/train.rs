//! `pinnace train`: CSV in, bundle out.
use std::ops::ControlFlow;
use std::time::{SystemTime, UNIX_EPOCH};

use indicatif::{ProgressBar, ProgressStyle};
use pinnace_protocol::ids::{Digest, Family};
use pinnace_protocol::manifest::{Compat, Role};
use pinnace_trainer::bundle::BundleName;
use pinnace_trainer::data::{CsvOptions, parse_csv};
use pinnace_trainer::evaluate::Evaluation;
use pinnace_trainer::learn::Params;
use pinnace_trainer::pipeline::{self, Job, Outcome};

use crate::args::{Learner, TrainArgs};
use crate::output::{Failure, line};

/// Memory a bundle of ours asks a device for, MiB: our learners' models take far less.
const MODEL_MIB: u32 = 32;
/// Bytes of a CSV file that is read whole.
const CSV_MAX_BYTES: u64 = pinnace_trainer::limits::MAX_CSV_BYTES as u64;

/// Runs the command.
pub fn run(args: TrainArgs) -> Result<(), Failure> {
    let length = std::fs::metadata(&args.csv).map(|m| m.len()).unwrap_or(0);
    if length > CSV_MAX_BYTES {
        return Err(Failure::error(format!(
            "{} has {length} bytes, at most {CSV_MAX_BYTES} are read\n  hint: train on a part of it",
            args.csv.display()
        )));
    }
    let bytes = std::fs::read(&args.csv)
        .map_err(|e| Failure::error(format!("{} cannot be read: {e}\n  hint: check the path", args.csv.display())))?;
    let mut options = if args.regression { CsvOptions::values(&args.label) } else { CsvOptions::classes(&args.label) };
    options.drop = args.drop;
    if args.from.is_some() || args.to.is_some() {
        options.rows = Some(args.from.unwrap_or(0)..args.to.unwrap_or(usize::MAX));
    }
    let file = args.csv.display().to_string();
    let data = parse_csv(&bytes, &file, &options).map_err(|e| Failure::error(format!("{e}\n  hint: {}", e.hint())))?;
    let mut params = match args.learner {
        Learner::Boosting => Params::boosting(),
        Learner::Logistic => Params::logistic(),
    };
    params.seed = args.seed;
    let recipe = Recipe {
        family: Family::parse(&args.family)?,
        version: args.version,
        params,
        block_rows: args.block_rows,
        // Its name alone: bundles go to strangers, and folders of this machine tell them nothing.
        source: args.csv.file_name().map_or(file, |name| name.to_string_lossy().into_owned()),
        source_digest: Digest::of(&bytes),
    };
    let mut outcome = train(&data, &recipe, true)?;
    let engines = super::lint::settle(&mut outcome.bundle)?;
    outcome.bundle.save(&args.out)?;
    let model = outcome.bundle.content(Role::Model).map_or(0, <[u8]>::len);
    line(format!(
        "Trained {} on {} rows: {}.",
        outcome.bundle.manifest.bundle_ref(),
        data.rows(),
        quality(&outcome.evaluation)
    ));
    for (feature, share) in outcome.model.ranked().into_iter().take(5) {
        line(format!("  {:>5.1} %  {feature}", share * 100.0));
    }
    line(format!("Engines: {engines}."));
    line(format!(
        "Bundle in {} (model {model} bytes). Next: pinnace publish {}",
        args.out.display(),
        args.out.display()
    ));
    Ok(())
}

/// What to train, besides the rows.
pub struct Recipe {
    /// Model family.
    pub family: Family,
    /// Version and release counter.
    pub version: u64,
    /// Learner and its parameters.
    pub params: Params,
    /// Rows that one drift decision is based on.
    pub block_rows: u32,
    /// Name of the data.
    pub source: String,
    /// Digest of the data's file.
    pub source_digest: Digest,
}

/// Trains and returns the bundle, with a progress bar when `bar` is true.
pub fn train(data: &pinnace_trainer::data::Dataset, recipe: &Recipe, bar: bool) -> Result<Outcome, Failure> {
    let started = rfc3339();
    let progress = if bar { ProgressBar::new(0) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("training {bar:30} {pos}/{len} trees or steps, {msg}") {
        progress.set_style(style);
    }
    let job = Job {
        name: BundleName {
            family: recipe.family.clone(),
            version: recipe.version,
            release_counter: recipe.version,
            created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
            compat: Compat { hardware: Vec::new(), arch: Vec::new(), memory_mib: MODEL_MIB },
        },
        params: recipe.params.clone(),
        block_rows: recipe.block_rows,
        data: (&recipe.source, recipe.source_digest),
        started: &started,
        clock: &rfc3339,
    };
    let outcome = pipeline::run(data, &job, &mut |p| {
        progress.set_length(p.of as u64);
        progress.set_position(p.iteration as u64);
        if let Some(loss) = p.holdout_loss {
            progress.set_message(format!("held-out loss {loss:.4}"));
        }
        ControlFlow::Continue(())
    })?;
    progress.finish_and_clear();
    Ok(outcome)
}

/// Returns how good a model is, in a few words.
pub fn quality(evaluation: &Evaluation) -> String {
    match evaluation {
        Evaluation::Classify(c) => {
            let auc = c.auc.map_or_else(String::new, |auc| format!(", AUC {auc:.3}"));
            format!("accuracy {:.1} %{auc} on {} held-out rows", c.accuracy * 100.0, c.rows)
        }
        Evaluation::Regress(r) => format!("root mean squared error {:.4} on {} held-out rows", r.rmse, r.rows),
    }
}

fn rfc3339() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
