//! Devices, bundles, drift.
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use pinnace_controlplane_core::api::Command;
use pinnace_controlplane_core::views::{BundleCell, DeviceCell, DevicePage, DriftPage, RunningCount};
use pinnace_protocol::ids::{BundleRef, DeviceId, Family};
use pinnace_protocol::limits::COMMAND_LIFE_MAX_S;
use pinnace_protocol::message::CommandKind;
use serde::{Deserialize, Serialize};

use super::auth::bearer;
use super::body::JsonBody;
use super::problem::Problem;
use super::rollouts::OPERATOR;
use super::types::{CommandGiven, CommandRequest, LastCommand, SetLabels};
use super::{driver_problem, join_problem};
use crate::limits::{COMMAND_LIFE_S, PAGE_MAX};
use crate::state::AppState;

/// Which part of the list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeviceQuery {
    /// The name after which the page begins.
    after: Option<DeviceId>,
    /// Devices of the page; all of them when left out.
    limit: Option<usize>,
    /// Only devices with this label, `key=value`.
    label: Option<String>,
}

/// `GET /v1/devices`.
#[derive(Debug, Serialize)]
pub(super) struct DeviceList {
    /// Steward time, milliseconds since 1970.
    now_ms: u64,
    /// Devices of the whole fleet.
    total: usize,
    /// How many devices run what.
    running: Vec<RunningCount>,
    /// The page, by name.
    devices: Vec<DeviceCell>,
    /// The `after` of the next page.
    next: Option<DeviceId>,
}

pub(super) async fn devices(
    State(state): State<AppState>,
    Query(query): Query<DeviceQuery>,
) -> Result<Json<DeviceList>, Problem> {
    let fleet = state.fleet().await.map_err(driver_problem)?;
    let limit = query.limit.map_or(fleet.devices.len(), |limit| limit.clamp(1, PAGE_MAX));
    let mut rest = fleet
        .devices
        .iter()
        .filter(|cell| query.after.as_ref().is_none_or(|after| cell.device > *after))
        .filter(|cell| query.label.as_ref().is_none_or(|label| cell.labels.contains(label)));
    let devices: Vec<DeviceCell> = rest.by_ref().take(limit).cloned().collect();
    let next = rest.next().and_then(|_| devices.last().map(|cell| cell.device.clone()));
    let (total, running) = (fleet.devices.len(), fleet.running.clone());
    Ok(Json(DeviceList { now_ms: fleet.now_ms, total, running, devices, next }))
}

pub(super) async fn device(
    State(state): State<AppState>,
    Path(device): Path<DeviceId>,
) -> Result<Json<DevicePage>, Problem> {
    let page = state.device(&device).await.map_err(driver_problem)?;
    page.map(Json).ok_or_else(|| no_device(&device))
}

fn no_device(device: &DeviceId) -> Problem {
    Problem::not_found(&format!("there is no device {device}\n  hint: `pinnace device ls` lists them"))
}

pub(super) async fn revoke(State(state): State<AppState>, Path(device): Path<DeviceId>) -> Result<StatusCode, Problem> {
    if state.device(&device).await.map_err(driver_problem)?.is_none() {
        return Err(no_device(&device));
    }
    state.admissions.revoke(&device).await.map_err(join_problem)?;
    state.expel(&device).await;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn release(
    State(state): State<AppState>,
    Path(device): Path<DeviceId>,
) -> Result<StatusCode, Problem> {
    state.driver.command(OPERATOR, Command::Release(device)).await.map_err(driver_problem)?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/devices/{device}/commands`: signed for this device and sent; answered with its number.
pub(super) async fn command(
    State(state): State<AppState>,
    Path(device): Path<DeviceId>,
    JsonBody(request): JsonBody<CommandRequest>,
) -> Result<(StatusCode, Json<CommandGiven>), Problem> {
    let kind = CommandKind::parse(&request.kind).ok_or_else(|| {
        let known: Vec<&str> = CommandKind::ALL.iter().map(|kind| kind.as_str()).collect();
        Problem::bad_request(&format!("`{}` is no command\n  hint: one of {}", request.kind, known.join(", ")))
    })?;
    let life_s = request.life_s.unwrap_or(COMMAND_LIFE_S);
    if !(1..=COMMAND_LIFE_MAX_S).contains(&life_s) {
        let text = format!("life_s {life_s} is not in 1..={COMMAND_LIFE_MAX_S}\n  hint: an hour suits most");
        return Err(Problem::bad_request(&text));
    }
    let number = state.driver.tell(OPERATOR, device, kind, life_s).await.map_err(driver_problem)?;
    Ok((StatusCode::ACCEPTED, Json(CommandGiven { number })))
}

/// `GET /v1/devices/{device}/commands`: the last command and how it ended. What was collected needs the admin token.
pub(super) async fn last_command(
    State(state): State<AppState>,
    Path(device): Path<DeviceId>,
    headers: HeaderMap,
) -> Result<Json<LastCommand>, Problem> {
    let last = state.driver_counters.commands.last(&device);
    let mut last = last.ok_or_else(|| {
        let hint = "hint: `pinnace device command NAME KIND` gives one";
        Problem::not_found(&format!("{device} was given no command since the plane started\n  {hint}"))
    })?;
    if !bearer(&headers).is_some_and(|token| state.is_admin(token)) {
        last.lines.clear();
    }
    Ok(Json(last))
}

pub(super) async fn set_labels(
    State(state): State<AppState>,
    Path(device): Path<DeviceId>,
    JsonBody(request): JsonBody<SetLabels>,
) -> Result<StatusCode, Problem> {
    let command = Command::SetLabels { device, labels: request.labels };
    state.driver.command(OPERATOR, command).await.map_err(driver_problem)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn bundles(State(state): State<AppState>) -> Result<Json<Vec<BundleCell>>, Problem> {
    state.bundles().await.map(Json).map_err(driver_problem)
}

pub(super) async fn drift(
    State(state): State<AppState>,
    Path((family, version)): Path<(Family, String)>,
) -> Result<Json<DriftPage>, Problem> {
    let version = version
        .trim_start_matches('v')
        .parse()
        .map_err(|_| Problem::bad_request("the version is not a number\n  hint: GET /v1/bundles/rain/v3/drift"))?;
    let bundle = BundleRef { family, version };
    let page = state.drift(&bundle).await.map_err(driver_problem)?;
    page.map(Json).ok_or_else(|| {
        Problem::not_found(&format!("there is no bundle {bundle}\n  hint: `pinnace bundle ls` lists them"))
    })
}
