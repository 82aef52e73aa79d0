//! `POST …/infer` of the Open Inference Protocol.

use std::sync::Arc;

use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use pinnace_protocol::manifest::Signature;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::model::{self, ModelPath};
use super::tensor::{Datatype, Input, Scalar, TensorParameters};
use super::{Api, limits};
use crate::router::{Answer, Batch, Cell, Request};

/// Bytes of JSON in front of raw tensors.
const HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    parameters: Parameters,
    inputs: Vec<Input>,
    #[serde(default)]
    outputs: Vec<Wanted>,
}

#[derive(Default, Deserialize)]
struct Parameters {
    #[serde(default)]
    binary_data_output: bool,
}

#[derive(Deserialize)]
struct Wanted {
    name: String,
    #[serde(default)]
    parameters: TensorParameters,
}

#[derive(Serialize)]
struct Reply<'a> {
    model_name: &'a str,
    model_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    outputs: Vec<Output<'a>>,
}

#[derive(Serialize)]
struct Output<'a> {
    name: &'a str,
    datatype: Datatype,
    shape: Vec<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<OutputParameters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<OutputData<'a>>,
}

#[derive(Serialize)]
struct OutputParameters {
    binary_data_size: usize,
}

#[derive(Serialize)]
#[serde(untagged)]
enum OutputData<'a> {
    Floats(&'a [f32]),
    Integers(Vec<i64>),
    Texts(Vec<&'a str>),
}

/// Answers one inference request.
pub(super) async fn infer(
    State(api): State<Arc<Api>>,
    Path(path): Path<ModelPath>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let body = super::read_body(body)?;
    let info = model::find(&api, &path)?;
    let (json, mut raw) = split(&headers, &body)?;
    let mut request: Body = serde_json::from_slice(json).map_err(|e| {
        ApiError::bad_request(format!("the body is not an inference request: {e}\n  hint: send {{\"inputs\": […]}}"))
    })?;
    let cells = cells(&info.signature, &mut request.inputs, &mut raw)?;
    if !raw.is_empty() {
        return Err(ApiError::bad_request(format!("{} bytes are left behind the last input", raw.len())));
    }
    check_wanted(&info.signature, &request.outputs)?;
    let batch = Batch::new(&info.signature, cells).ok_or_else(|| ApiError::bad_request("the request has no rows"))?;
    let id = request.id.clone();
    let answer = api.router.infer(Request { id, batch, labels: Vec::new(), position: None }).await?;
    reply(&answer, &request)
}

/// Cuts the body into JSON and raw tensors.
fn split<'a>(headers: &HeaderMap, body: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), ApiError> {
    let Some(value) = headers.get(HEADER_LENGTH) else { return Ok((body, &[])) };
    let length = value.to_str().ok().and_then(|t| t.trim().parse::<usize>().ok());
    length.and_then(|l| body.split_at_checked(l)).ok_or_else(|| {
        ApiError::bad_request(format!("Inference-Header-Content-Length does not fit a body of {} bytes", body.len()))
    })
}

/// Reads the rows: from the one input of the signature, or from one input per feature.
fn cells(signature: &Signature, inputs: &mut [Input], raw: &mut &[u8]) -> Result<Vec<Cell>, ApiError> {
    if inputs.is_empty() || inputs.len() > limits::INPUTS_MAX {
        return Err(ApiError::bad_request(format!(
            "the request has {} inputs, 1 to {} are read",
            inputs.len(),
            limits::INPUTS_MAX
        )));
    }
    if let [only] = inputs
        && only.name == signature.input
    {
        return matrix_cells(signature, only, raw);
    }
    let width = signature.features.len();
    let mut columns: Vec<Option<Vec<Cell>>> = vec![None; width];
    for input in inputs {
        let Some(at) = signature.features.iter().position(|f| f.name == input.name) else {
            let why = format!(
                "there is no input `{}`\n  hint: send `{}` of shape [rows, {width}], or one input per feature",
                input.name, signature.input
            );
            return Err(ApiError::bad_request(why));
        };
        let data = input.take_data(raw)?;
        let shape = input.checked_shape(data.len())?;
        if shape.iter().skip(1).any(|d| *d != 1) || shape.is_empty() {
            return Err(ApiError::bad_request(format!(
                "input `{}` has shape {shape:?}, not [rows] or [rows, 1]",
                input.name
            )));
        }
        let kind = &signature.features[at].kind;
        let cell = |scalar: &Scalar| match scalar {
            Scalar::Null => Cell::Null,
            Scalar::Number(n) => Cell::of_number(kind, *n as f32),
            Scalar::Text(text) => Cell::of_text(kind, text),
        };
        if columns[at].replace(data.iter().map(cell).collect()).is_some() {
            return Err(ApiError::bad_request(format!("input `{}` is there twice", input.name)));
        }
    }
    let rows = columns.iter().flatten().map(Vec::len).next().unwrap_or(0);
    let mut all = vec![Cell::Null; rows * width];
    for (at, (column, feature)) in columns.into_iter().zip(&signature.features).enumerate() {
        let Some(column) = column else {
            return Err(ApiError::bad_request(format!(
                "the input `{}` is missing\n  hint: send null where there is no value",
                feature.name
            )));
        };
        if column.len() != rows {
            return Err(ApiError::bad_request(format!(
                "input `{}` has {} rows, others have {rows}",
                feature.name,
                column.len()
            )));
        }
        for (row, cell) in column.into_iter().enumerate() {
            all[row * width + at] = cell;
        }
    }
    Ok(all)
}

fn matrix_cells(signature: &Signature, input: &mut Input, raw: &mut &[u8]) -> Result<Vec<Cell>, ApiError> {
    let width = signature.features.len();
    let data = input.take_data(raw)?;
    let shape = input.checked_shape(data.len())?;
    if shape.len() != 2 || shape[1] != width {
        let why = format!("input `{}` has shape {shape:?}, the model takes [rows, {width}]", input.name);
        return Err(ApiError::bad_request(why));
    }
    let mut cells = Vec::with_capacity(data.len());
    for (scalar, feature) in data.into_iter().zip(signature.features.iter().cycle()) {
        cells.push(match scalar {
            Scalar::Null => Cell::Null,
            Scalar::Number(n) => Cell::of_number(&feature.kind, n as f32),
            Scalar::Text(_) => {
                let why = format!(
                    "input `{}` holds a text\n  hint: send categories as one BYTES input per feature",
                    input.name
                );
                return Err(ApiError::bad_request(why));
            }
        });
    }
    Ok(cells)
}

fn check_wanted(signature: &Signature, wanted: &[Wanted]) -> Result<(), ApiError> {
    let known = |name: &str| name == signature.output || Some(name) == model::label_output(signature);
    match wanted.iter().find(|w| !known(&w.name)) {
        Some(unknown) => Err(ApiError::bad_request(format!("there is no output `{}`", unknown.name))),
        None => Ok(()),
    }
}

fn reply(answer: &Answer, request: &Body) -> Result<Response, ApiError> {
    let signature = &answer.model.signature;
    let rows = answer.answers.rows();
    let wanted = |name: &str| request.outputs.is_empty() || request.outputs.iter().any(|w| w.name == name);
    let mut outputs = Vec::new();
    if wanted(&signature.output) {
        let values = &answer.answers.probabilities;
        let data = OutputData::Floats(values.values());
        outputs.push((signature.output.as_str(), Datatype::Fp32, vec![rows, values.columns()], data));
    }
    if let Some(name) = model::label_output(signature).filter(|name| wanted(name)) {
        let data = labels(signature, &answer.answers.labels);
        let datatype = if matches!(data, OutputData::Integers(_)) { Datatype::Int64 } else { Datatype::Bytes };
        outputs.push((name, datatype, vec![rows], data));
    }
    let mut raw = Vec::new();
    let mut described = Vec::with_capacity(outputs.len());
    for (name, datatype, shape, data) in outputs {
        let choice = request.outputs.iter().find(|w| w.name == name).and_then(|w| w.parameters.binary_data);
        let (parameters, data) = if choice.unwrap_or(request.parameters.binary_data_output) {
            let start = raw.len();
            encode_raw(&data, &mut raw);
            (Some(OutputParameters { binary_data_size: raw.len() - start }), None)
        } else {
            (None, Some(data))
        };
        described.push(Output { name, datatype, shape, parameters, data });
    }
    let reply = Reply {
        model_name: answer.model.bundle.family.as_str(),
        model_version: answer.model.bundle.version.to_string(),
        id: request.id.as_deref(),
        outputs: described,
    };
    let mut body = serde_json::to_vec(&reply).map_err(|e| ApiError {
        status: axum::http::StatusCode::INTERNAL_SERVER_ERROR,
        text: format!("the answer cannot be written: {e}"),
    })?;
    if raw.is_empty() {
        return Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response());
    }
    let length = HeaderValue::from(body.len());
    body.extend_from_slice(&raw);
    let kind = HeaderValue::from_static("application/octet-stream");
    Ok(([(header::CONTENT_TYPE, kind), (HEADER_LENGTH, length)], body).into_response())
}

/// Returns the class labels: as numbers when all of them are whole numbers, else as texts.
fn labels<'a>(signature: &'a Signature, found: &[usize]) -> OutputData<'a> {
    match model::numeric_classes(signature) {
        Some(numbers) => OutputData::Integers(found.iter().filter_map(|l| numbers.get(*l).copied()).collect()),
        None => OutputData::Texts(found.iter().filter_map(|l| signature.classes.get(*l).map(String::as_str)).collect()),
    }
}

fn encode_raw(data: &OutputData<'_>, out: &mut Vec<u8>) {
    match data {
        OutputData::Floats(values) => values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes())),
        OutputData::Integers(values) => values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes())),
        OutputData::Texts(texts) => {
            for text in texts {
                // Labels come from a manifest of at most 64 KiB.
                out.extend_from_slice(&(text.len() as u32).to_le_bytes());
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
}
