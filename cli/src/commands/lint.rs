//! `pinnace bundle lint`: what is in a model, and which engines answer its golden vectors.
use std::path::{Path, PathBuf};

use pinnace_agent::engine::{Capabilities, Engines, LibrarySearch, ProbePolicy, Trial};
use pinnace_firmware_targets::EngineName;
use pinnace_protocol::ids::Family;
use pinnace_protocol::manifest::{
    Blob, Compat, Feature, FeatureKind, Golden, Manifest, Role, SPEC, Signature, Task, Variant,
};
use pinnace_protocol::sketch::{Column, ProfileBuilder};
use pinnace_simulator::scenario::verified;
use pinnace_trainer::bundle::{Bundle, GOLDEN_FILE, MODEL_FILE, PROFILE_FILE};
use pinnace_trainer::lint::{self, MODEL_MAX_BYTES, Report};
use serde_json::json;

use crate::args::{Format, LintArgs};
use crate::output::{self, Failure, line};

/// Hardware class whose budgets the engines are tried under.
const DEVICE_PROFILE: &str = "x86-gateway";
/// Rows of a profile that is made up, and of one block of it.
const PROFILE_ROWS: u32 = 2_000;
const PROFILE_BLOCK: u32 = 200;
/// Bytes of a file with golden vectors.
const GOLDEN_MAX_BYTES: u64 = pinnace_agent::engine::limits::GOLDEN_MAX_BYTES as u64;

/// What an engine made of a model.
pub enum Verdict {
    /// It answered every golden vector.
    Passed(Trial),
    /// It did not.
    Refused(String),
    /// It could not be asked.
    NotAsked(String),
}

/// Runs the command.
pub fn run(args: &LintArgs) -> Result<(), Failure> {
    let bundle = if args.model.is_dir() { Some(Bundle::load(&args.model)?) } else { None };
    let model = match &bundle {
        Some(bundle) => bundle.content(Role::Model).unwrap_or_default().to_vec(),
        None => read(&args.model, MODEL_MAX_BYTES as u64)?,
    };
    let freeze = args.dim.iter().map(|text| dimension(text)).collect::<Result<Vec<_>, _>>()?;
    let cleaned = lint::clean(&model, &freeze)?;
    let report = lint::lint(&model)?;
    if let Some(path) = &args.clean {
        std::fs::write(path, &cleaned)
            .map_err(|e| Failure::error(format!("{}: {e}\n  hint: check the path", path.display())))?;
    }
    let asked = match (&bundle, &args.golden) {
        (Some(bundle), _) => Some(bundle.clone()),
        (None, Some(golden)) => Some(made_up(cleaned.clone(), read(golden, GOLDEN_MAX_BYTES)?, &report, args)?),
        (None, None) => None,
    };
    let verdicts = asked.as_ref().map(|bundle| verdicts(bundle, args.ort.clone())).transpose()?.unwrap_or_default();
    if args.output == Format::Json {
        output::json(&as_json(&report, cleaned.len(), &verdicts)?);
    } else {
        show(&report, cleaned.len(), &verdicts);
    }
    if asked.is_some() {
        allowed(&report, &verdicts)?;
    }
    Ok(())
}

/// Asks every engine the golden vectors of a bundle, in the way and under the limits of an agent.
pub fn verdicts(bundle: &Bundle, ort: Option<PathBuf>) -> Result<Vec<(EngineName, Verdict)>, Failure> {
    let mut profile = pinnace_firmware_targets::builtin(DEVICE_PROFILE)?;
    profile.inference.engines = vec![EngineName::Tract, EngineName::Ort];
    let search = LibrarySearch::of_this_system(ort, Vec::new());
    let engines = Engines::discover(&profile, &search, ProbePolicy::this_program()?);
    let here: Vec<Capabilities> = engines.capabilities();
    profile
        .inference
        .engines
        .iter()
        .map(|name| {
            let verdict = if here.iter().any(|c| c.engine == *name) {
                let mut alone = bundle.clone();
                alone.manifest.variants.truncate(1);
                for variant in &mut alone.manifest.variants {
                    variant.engines = vec![name.as_str().into()];
                }
                match engines.load(&*verified(&alone).map_err(Failure::error)?) {
                    Ok(loaded) => Verdict::Passed(loaded.trial),
                    Err(e) => Verdict::Refused(e.to_string().lines().next().unwrap_or_default().into()),
                }
            } else {
                Verdict::NotAsked(engines.notes().join("; "))
            };
            Ok((*name, verdict))
        })
        .collect()
}

/// Returns the engines that a bundle may allow, best first: those that answered, and those that could not be asked here,
/// which the device asks before it trusts them.
///
/// # Errors
/// [`Failure`] when no engine is left.
pub fn allowed(report: &Report, verdicts: &[(EngineName, Verdict)]) -> Result<Vec<String>, Failure> {
    let mut names: Vec<&EngineName> =
        verdicts.iter().filter(|(_, v)| !matches!(v, Verdict::Refused(_))).map(|(name, _)| name).collect();
    if names.is_empty() {
        let why: Vec<_> = verdicts.iter().map(|(name, v)| format!("{name}: {}", words(v))).collect();
        return Err(Failure::error(format!(
            "no engine answers the golden vectors: {}\n  hint: export the model with other operators; `pinnace bundle lint` shows them",
            why.join("; ")
        )));
    }
    if report.int8 {
        // Static int8 is what ONNX Runtime is good at, and tract slow, where it is right at all.
        names.sort_by_key(|name| **name == EngineName::Tract);
    }
    Ok(names.into_iter().map(|name| name.as_str().to_owned()).collect())
}

/// Lints a new bundle's model, asks every engine and writes down which are allowed; returns that in words.
pub fn settle(bundle: &mut Bundle) -> Result<String, Failure> {
    let report = lint::lint(bundle.content(Role::Model).unwrap_or_default())?;
    let verdicts = verdicts(bundle, std::env::var_os("PINNACE_ORT_LIB").map(PathBuf::from))?;
    let names = allowed(&report, &verdicts)?;
    for variant in &mut bundle.manifest.variants {
        variant.engines.clone_from(&names);
    }
    let said: Vec<_> = verdicts.iter().map(|(name, verdict)| format!("{name} {}", words(verdict))).collect();
    Ok(said.join("; "))
}

fn words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Passed(trial) => format!("answers rightly, {} us a row", trial.p50_ns / 1000),
        Verdict::Refused(why) => why.clone(),
        Verdict::NotAsked(_) => "is not here and was not asked".into(),
    }
}

fn show(report: &Report, cleaned: usize, verdicts: &[(EngineName, Verdict)]) {
    let opsets: Vec<_> = report.opsets.iter().map(|(domain, version)| format!("{domain} {version}")).collect();
    line(format!(
        "{} bytes, IR version {}, {}; by {}",
        report.bytes,
        report.ir_version,
        opsets.join(", "),
        if report.producer.is_empty() { "nobody named" } else { &report.producer }
    ));
    line(format!("{} tensors with {} bytes of values", report.tensors, report.tensor_bytes));
    for (what, ports) in [("input", &report.inputs), ("output", &report.outputs)] {
        for port in ports {
            let dims = port.dims.as_ref().map(|d| d.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
            line(format!("{what} {}: {} [{}]", port.name, port.element, dims.unwrap_or_else(|| "any".into())));
        }
    }
    if cleaned < report.bytes {
        line(format!("{} notes of shapes inside: a clean copy (--clean FILE) has {cleaned} bytes", report.value_infos));
    }
    for finding in &report.findings {
        line(format!("note: {finding}"));
    }
    let rows = report.operators.iter();
    let rows =
        rows.map(|o| vec![o.domain.clone(), o.name.clone(), o.version.to_string(), o.count.to_string()]).collect();
    output::table(&["domain", "operator", "version", "nodes"], rows, "No operators.");
    if verdicts.is_empty() {
        line("No golden vectors: name a file with --golden, or a bundle's folder, and the engines are asked.");
        return;
    }
    let rows = verdicts
        .iter()
        .map(|(name, verdict)| match verdict {
            Verdict::Passed(t) => vec![
                name.to_string(),
                "yes".into(),
                format!("{:.1}", t.p50_ns as f64 / 1e3),
                format!("{:.1}", t.p95_ns as f64 / 1e3),
                format!("{:.1}", t.memory_kib as f64 / 1024.0),
                String::new(),
            ],
            Verdict::Refused(why) => refused(name, "no", why),
            Verdict::NotAsked(why) => refused(name, "not asked", why),
        })
        .collect();
    output::table(&["engine", "answers", "p50 us", "p95 us", "MiB", "why not"], rows, "");
}

fn refused(name: &EngineName, answer: &str, why: &str) -> Vec<String> {
    vec![name.to_string(), answer.into(), String::new(), String::new(), String::new(), why.into()]
}

fn as_json(report: &Report, cleaned: usize, verdicts: &[(EngineName, Verdict)]) -> Result<serde_json::Value, Failure> {
    let engines: Vec<_> = verdicts
        .iter()
        .map(|(name, verdict)| match verdict {
            Verdict::Passed(trial) => json!({"engine": name.as_str(), "answers": true, "trial": trial}),
            Verdict::Refused(why) => json!({"engine": name.as_str(), "answers": false, "why": why}),
            Verdict::NotAsked(why) => json!({"engine": name.as_str(), "answers": null, "why": why}),
        })
        .collect();
    Ok(json!({"model": report, "clean_bytes": cleaned, "engines": engines}))
}

/// Returns a bundle around a model that has none, so that engines can be asked.
fn made_up(model: Vec<u8>, golden: Vec<u8>, report: &Report, args: &LintArgs) -> Result<Bundle, Failure> {
    let bad = |why: String| Failure::error(format!("{why}\n  hint: --golden takes a bundle's golden.json"));
    let vectors: Golden = serde_json::from_slice(&golden).map_err(|e| bad(e.to_string()))?;
    let width = |rows: usize| if rows == 0 { Err(bad("there are no golden vectors".into())) } else { Ok(rows) };
    let columns = width(vectors.input.first().map_or(0, Vec::len))?;
    let answers = width(vectors.expected.first().map_or(0, Vec::len))?;
    let [input] = report.inputs.as_slice() else {
        return Err(Failure::error(format!(
            "the model has {} inputs, an agent serves models of one\n  hint: join them, `[rows, features]`",
            report.inputs.len()
        )));
    };
    let first = report.outputs.iter().find(|o| o.element == "FLOAT").map(|o| o.name.clone());
    let output = args.tensor.clone().or(first).ok_or_else(|| {
        Failure::error("the model has no output of f32\n  hint: name the output to compare with --tensor")
    })?;
    let feature = |i| Feature { name: format!("f{i}"), kind: FeatureKind::Numeric, unit: String::new() };
    let classes: Vec<String> = if answers < 2 { Vec::new() } else { (0..answers).map(|c| c.to_string()).collect() };
    let profile = made_up_profile(columns)?;
    let blobs = [
        (MODEL_FILE, Role::Model, &model),
        (GOLDEN_FILE, Role::Golden, &golden),
        (PROFILE_FILE, Role::Profile, &profile),
    ];
    let manifest = Manifest {
        spec: SPEC.into(),
        family: Family::parse("lint")?,
        version: 1,
        release_counter: 1,
        created: 0,
        compat: Compat::default(),
        signature: Signature {
            task: if answers < 2 { Task::Regression } else { Task::Classification },
            input: input.name.clone(),
            output,
            label_output: None,
            classes,
            features: (0..columns).map(feature).collect(),
        },
        variants: vec![Variant {
            name: "fp32".into(),
            blob: MODEL_FILE.into(),
            engines: Vec::new(),
            requires: Default::default(),
        }],
        blobs: blobs.map(|(name, role, bytes)| Blob::describe(name, role, bytes)).to_vec(),
    };
    Ok(Bundle { manifest, contents: vec![model, golden, profile] })
}

/// Returns a reference profile of that many columns: no bundle is used without one, and here nothing is compared with it.
fn made_up_profile(columns: usize) -> Result<Vec<u8>, Failure> {
    let values: Vec<f64> = (0..PROFILE_ROWS).map(|row| f64::from(row % 101) / 10.0).collect();
    let column = || Column::Numeric { values: &values, nulls: None };
    let name = |at: usize| format!("f{at}");
    let builder = (0..columns).fold(ProfileBuilder::new(PROFILE_BLOCK), |b, at| b.feature(&name(at), column(), 1.0));
    Ok(builder.build().map_err(|e| Failure::error(e.to_string()))?.to_json())
}

fn dimension(text: &str) -> Result<(String, i64), Failure> {
    let parsed = text.split_once('=').and_then(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
    parsed.filter(|(_, value)| *value > 0).ok_or_else(|| {
        Failure::error(format!("--dim {text} is no dimension\n  hint: a name and a number, e.g. --dim width=30"))
    })
}

fn read(path: &Path, max: u64) -> Result<Vec<u8>, Failure> {
    let failed = |why: String| Failure::error(format!("{}: {why}\n  hint: check the path", path.display()));
    let length = std::fs::metadata(path).map_err(|e| failed(e.to_string()))?.len();
    if length > max {
        return Err(failed(format!("{length} bytes, at most {max} are read")));
    }
    std::fs::read(path).map_err(|e| failed(e.to_string()))
}
