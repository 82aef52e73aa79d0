//! Describes the models of the Open Inference Protocol: metadata, readiness, statistics, the repository's index.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use pinnace_protocol::manifest::{FeatureKind, Signature, Task};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Api;
use super::error::ApiError;
use super::tensor::Datatype;
use crate::router::{ModelCounters, ModelInfo};

/// Name of the label output when the manifest gives none.
const LABEL_OUTPUT: &str = "label";

/// A model in a path.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ModelPath {
    model: String,
    #[serde(default)]
    version: Option<String>,
}

#[derive(Serialize)]
struct TensorInfo<'a> {
    name: &'a str,
    datatype: Datatype,
    shape: Vec<i64>,
}

/// Returns the model that a path names.
pub(super) fn find(api: &Api, path: &ModelPath) -> Result<Arc<ModelInfo>, ApiError> {
    let Some(info) = api.router.answering() else {
        return Err(crate::router::InferError::NotReady.into());
    };
    if path.model != info.bundle.family.as_str() {
        let why = format!("there is no model `{}`, this device runs `{}`", path.model, info.bundle.family);
        return Err(ApiError::not_found(why));
    }
    match &path.version {
        Some(version) if *version != info.bundle.version.to_string() => {
            let why = format!(
                "version {version} of `{}` does not answer here, version {} does",
                path.model, info.bundle.version
            );
            Err(ApiError::not_found(why))
        }
        _ => Ok(info),
    }
}

/// Returns the name of the label output; none for a regression.
pub(super) fn label_output(signature: &Signature) -> Option<&str> {
    match signature.task {
        Task::Classification => Some(signature.label_output.as_deref().unwrap_or(LABEL_OUTPUT)),
        Task::Regression => None,
    }
}

/// Returns the classes as whole numbers, when all of them are.
pub(super) fn numeric_classes(signature: &Signature) -> Option<Vec<i64>> {
    signature.classes.iter().map(|c| c.parse().ok()).collect()
}

fn outputs(signature: &Signature) -> Vec<TensorInfo<'_>> {
    let columns = match signature.task {
        Task::Classification => i64::try_from(signature.classes.len()).unwrap_or(-1),
        Task::Regression => 1,
    };
    let mut all = vec![TensorInfo { name: &signature.output, datatype: Datatype::Fp32, shape: vec![-1, columns] }];
    if let Some(name) = label_output(signature) {
        let datatype = if numeric_classes(signature).is_some() { Datatype::Int64 } else { Datatype::Bytes };
        all.push(TensorInfo { name, datatype, shape: vec![-1] });
    }
    all
}

/// `GET /v2/models/{model}`: metadata.
pub(super) async fn metadata(
    State(api): State<Arc<Api>>,
    Path(path): Path<ModelPath>,
) -> Result<Json<Value>, ApiError> {
    let info = find(&api, &path)?;
    let signature = &info.signature;
    let width = i64::try_from(signature.features.len()).unwrap_or(-1);
    let input = TensorInfo { name: &signature.input, datatype: Datatype::Fp32, shape: vec![-1, width] };
    let features: Vec<Value> = signature
        .features
        .iter()
        .map(|f| match &f.kind {
            FeatureKind::Numeric => json!({"name": f.name, "kind": "numeric", "unit": f.unit}),
            FeatureKind::Categorical(values) => {
                json!({"name": f.name, "kind": "categorical", "unit": f.unit, "values": values})
            }
        })
        .collect();
    Ok(Json(json!({
        "name": info.bundle.family,
        "versions": [info.bundle.version.to_string()],
        "platform": "onnx",
        "inputs": [input],
        "outputs": outputs(signature),
        "features": features,
        "classes": signature.classes,
    })))
}

/// `GET /v2/models/{model}/ready`.
pub(super) async fn ready(State(api): State<Arc<Api>>, Path(path): Path<ModelPath>) -> Result<Json<Value>, ApiError> {
    let info = find(&api, &path)?;
    Ok(Json(json!({"name": info.bundle.family, "version": info.bundle.version.to_string(), "ready": true})))
}

/// `GET /v2/models/{model}/stats`: what the models in memory have done.
pub(super) async fn stats(State(api): State<Arc<Api>>, Path(path): Path<ModelPath>) -> Result<Json<Value>, ApiError> {
    find(&api, &path)?;
    let all: Vec<Value> = [api.router.active(), api.router.candidate()]
        .iter()
        .flatten()
        .map(|(info, counters)| one_stats(info, counters))
        .collect();
    Ok(Json(json!({"model_stats": all})))
}

fn one_stats(info: &ModelInfo, counters: &ModelCounters) -> Value {
    let ModelCounters { requests, rows, failed, compute_ns, queue_ns } = *counters;
    json!({
        "name": info.bundle.family,
        "version": info.bundle.version.to_string(),
        "inference_count": rows,
        "execution_count": requests,
        "inference_stats": {
            "success": {"count": requests, "ns": compute_ns + queue_ns},
            "fail": {"count": failed, "ns": 0},
            "queue": {"count": requests + failed, "ns": queue_ns},
            "compute_infer": {"count": requests, "ns": compute_ns},
        },
    })
}

/// `POST /v2/repository/index`: the models in memory.
pub(super) async fn index(State(api): State<Arc<Api>>) -> Json<Value> {
    let lead = api.router.answering();
    let describe = |info: &ModelInfo| {
        let answers = lead.as_deref().is_some_and(|l| l.manifest == info.manifest);
        let (state, reason) =
            if answers { ("READY", "") } else { ("UNAVAILABLE", "it does not answer applications now") };
        json!({"name": info.bundle.family, "version": info.bundle.version.to_string(), "state": state, "reason": reason})
    };
    let models = [api.router.active(), api.router.candidate()];
    Json(models.iter().flatten().map(|(info, _)| describe(info)).collect())
}

/// `GET /v2`: the server.
pub(super) async fn server() -> Json<Value> {
    Json(json!({
        "name": "pinnace-agent",
        "version": env!("CARGO_PKG_VERSION"),
        "extensions": ["binary_tensor_data", "model_repository", "statistics"],
    }))
}

/// `GET /v2/health/live`.
pub(super) async fn live() -> Json<Value> {
    Json(json!({"live": true}))
}

/// `GET /v2/health/ready`.
pub(super) async fn server_ready(State(api): State<Arc<Api>>) -> (StatusCode, Json<Value>) {
    let ready = api.router.answering().is_some();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({"ready": ready})))
}
