//! From a table to a bundle in one call: train, evaluate, profile, golden vectors, card, bill of materials,
//! provenance.
use std::ops::ControlFlow;

use pinnace_protocol::ids::Digest;

use crate::bundle::{self, Bundle, BundleError, BundleName, Parts};
use crate::data::{DataError, Dataset, split_by_time};
use crate::evaluate::{self, EvaluateError, Evaluation};
use crate::learn::{self, LearnError, Params, Progress, TrainedModel};
use crate::profile::ProfileBuildError;
use crate::provenance::Provenance;
use crate::supply::BOM_FILE;
use crate::supply::mlbom::{self, MlBom};
use crate::{card, golden, onnx, profile, provenance};

/// Share of the rows, the latest ones, that is kept from training to judge the model.
pub const HOLDOUT_SHARE: f64 = 0.2;

/// Says which step failed.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The data cannot be used.
    #[error("{0}\n  hint: {hint}", hint = .0.hint())]
    Data(#[from] DataError),
    /// Nothing could be learnt.
    #[error("{0}\n  hint: {hint}", hint = .0.hint())]
    Learn(#[from] LearnError),
    /// The model could not be judged.
    #[error("{0}\n  hint: {hint}", hint = .0.hint())]
    Evaluate(#[from] EvaluateError),
    /// No reference profile could be made.
    #[error(transparent)]
    Profile(#[from] ProfileBuildError),
    /// The bundle could not be made.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

/// What the pipeline is told besides the data.
pub struct Job<'a> {
    /// What the bundle is called.
    pub name: BundleName,
    /// What to learn with.
    pub params: Params,
    /// Rows that one drift decision is based on.
    pub block_rows: u32,
    /// Name of the data and SHA-256 of the file it came from.
    pub data: (&'a str, Digest),
    /// When it started, RFC 3339.
    pub started: &'a str,
    /// Tells the time when asked, RFC 3339: the library reads no clock.
    pub clock: &'a dyn Fn() -> String,
}

/// A bundle and how good its model is.
pub struct Outcome {
    /// The bundle, not yet signed.
    pub bundle: Bundle,
    /// The model.
    pub model: TrainedModel,
    /// Figures on the rows kept from training.
    pub evaluation: Evaluation,
}

/// Trains on `data` (rows in the order of time) and returns the bundle.
///
/// # Errors
/// [`PipelineError`] naming the step.
pub fn run(
    data: &Dataset,
    job: &Job<'_>,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Outcome, PipelineError> {
    let (train, holdout) = split_by_time(data, HOLDOUT_SHARE)?;
    let model = learn::train(&train, Some(&holdout), &job.params, progress)?;
    let evaluation = evaluate::evaluate(&model, &holdout)?;
    let profile = profile::reference(&model, data, &holdout, job.block_rows)?;
    let golden = golden::choose(&model, &model.encode(&holdout)?, golden::DEFAULT_COUNT)?;
    let holdout_words = "the latest fifth of the rows, in the order of time";
    let data_sha = job.data.1.to_hex();
    let finished = (job.clock)();
    let version = format!("v{}", job.name.version);
    let card = card::render(
        &model,
        &card::Facts {
            name: job.name.family.as_str(),
            version: &version,
            date: &finished,
            data: (job.data.0, &data_sha),
            holdout: holdout_words,
            evaluation: &evaluation,
        },
    );
    let mut parts = Parts {
        model: onnx::export(&model),
        profile: profile.to_json(),
        golden: bundle::part("the golden vectors", &golden)?,
        card: card.into_bytes(),
        provenance: Vec::new(),
        bom: Vec::new(),
    };
    let others = [
        (bundle::PROFILE_FILE, Digest::of(&parts.profile)),
        (bundle::GOLDEN_FILE, Digest::of(&parts.golden)),
        (bundle::CARD_FILE, Digest::of(&parts.card)),
    ];
    let model_file = (bundle::MODEL_FILE, Digest::of(&parts.model));
    let bill = mlbom::bom(&MlBom {
        name: job.name.family.as_str(),
        version: &job.name.version.to_string(),
        date: &finished,
        model: &model,
        file: model_file,
        others: &others,
        data: job.data,
        evaluation: &evaluation,
        holdout: holdout_words,
        open_fields: card::open_fields(&String::from_utf8_lossy(&parts.card)),
    });
    parts.bom = bundle::part("the bill of materials", &bill)?;
    let made = [model_file].into_iter().chain(others).chain([(BOM_FILE, Digest::of(&parts.bom))]);
    let made: Vec<(&str, String)> = made.map(|(name, digest)| (name, digest.to_hex())).collect();
    let subjects: Vec<(&str, &str)> = made.iter().map(|(name, digest)| (*name, digest.as_str())).collect();
    let statement = provenance::statement(&Provenance {
        subjects: &subjects,
        data: job.data.0,
        data_sha256: &data_sha,
        rows: model.training_rows,
        params: &job.params,
        source: None,
        builder: "urn:pinnace:builder:local",
        run: &format!("{}/{version}", job.name.family),
        started: job.started,
        finished: &finished,
    });
    parts.provenance = bundle::part("the provenance", &statement)?;
    let bundle = bundle::build(&job.name, &model, parts)?;
    Ok(Outcome { bundle, model, evaluation })
}
