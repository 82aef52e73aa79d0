//! Speaks to the control plane's operator API.
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use pinnace_controlplane::api::problem::Problem;
use pinnace_controlplane::api::types::{
    CreateRollout, EventPage, HealthReply, InviteReply, InviteRequest, KeysReply, KeysRequest, ReleaseReply,
    ReleaseRequest, RepositoryReply, RolloutCreated,
};
use pinnace_protocol::ids::{BundleRef, DeviceId, RolloutId};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::args::Plane;
use crate::output::{AUTH, Failure};

/// Where the control plane leaves the admin token, in its data folder.
pub const ADMIN_TOKEN_FILE: &str = "admin.token";
/// Time of one request; an upload of a large blob over a slow line takes longest.
const REQUEST_LIMIT: Duration = Duration::from_secs(300);
/// Bytes of one answer: 10,000 devices in JSON take about 4 MB.
const ANSWER_MAX_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of a refusal.
const REFUSAL_MAX_BYTES: usize = 64 * 1024;

/// A connection to one control plane.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Client {
    /// Returns a client for the control plane named on the command line.
    ///
    /// # Errors
    /// [`Failure`] when the HTTP client cannot be built.
    pub fn new(plane: &Plane) -> Result<Self, Failure> {
        let token = plane
            .token
            .clone()
            .or_else(|| std::fs::read_to_string(plane.data.join(ADMIN_TOKEN_FILE)).ok().map(|t| t.trim().into()));
        Self::at(&plane.url, token)
    }

    /// Returns a client for the control plane at `url`.
    ///
    /// # Errors
    /// [`Failure`] when the HTTP client cannot be built.
    pub fn at(url: &str, token: Option<String>) -> Result<Self, Failure> {
        Ok(Self { http: pinnace_agent::http::client(None)?, base: url.trim_end_matches('/').into(), token })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base)).timeout(REQUEST_LIMIT);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn bytes(&self, request: RequestBuilder) -> Result<Vec<u8>, Failure> {
        let (status, body) = self.answer(request, ANSWER_MAX_BYTES).await?;
        if status.is_success() {
            return Ok(body);
        }
        Err(refusal(status, &body))
    }

    /// Returns whatever was answered, of at most `max` bytes.
    async fn answer(&self, request: RequestBuilder, max: usize) -> Result<(StatusCode, Vec<u8>), Failure> {
        let response = request.send().await.map_err(|e| {
            let mut why = e.to_string();
            let mut source = std::error::Error::source(&e);
            // The reason ("connection refused") is a few levels down.
            for _ in 0..5 {
                let Some(inner) = source else { break };
                why = inner.to_string();
                source = inner.source();
            }
            Failure::error(format!("the control plane at {} does not answer: {why}\n  hint: start it with `pinnace up`, or name its address with --url", self.base))
        })?;
        let status = response.status();
        let body = pinnace_agent::http::read_body(response, max).await.map_err(Failure::error)?;
        Ok((status, body))
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        let body = self.bytes(request).await?;
        serde_json::from_slice(&body).map_err(|e| Failure::error(format!("the control plane's answer does not parse: {e}\n  hint: use the same version of `pinnace` on both sides")))
    }

    /// Returns the JSON at `path`.
    ///
    /// # Errors
    /// [`Failure`] as every method here: the plane cannot be reached or refuses.
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.json(self.request(Method::GET, path)).await
    }

    /// Sends `body` to `path` and returns the answer, null when it is empty.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn send(&self, method: Method, path: &str, body: &impl Serialize) -> Result<Value, Failure> {
        let answer = self.bytes(self.request(method, path).json(body)).await?;
        Ok(serde_json::from_slice(&answer).unwrap_or(Value::Null))
    }

    /// Deletes what is at `path`.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn delete(&self, path: &str) -> Result<(), Failure> {
        self.bytes(self.request(Method::DELETE, path)).await?;
        Ok(())
    }

    /// Returns the plane's health.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn health(&self) -> Result<HealthReply, Failure> {
        self.json(self.request(Method::GET, "/v1/health")).await
    }

    /// Returns a new join token.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn invite(&self, request: &InviteRequest) -> Result<InviteReply, Failure> {
        self.json(self.request(Method::POST, "/v1/invites").json(request)).await
    }

    /// Returns a token that lets in one device of this name, in place of the one that has it.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn invite_one(&self, device: DeviceId) -> Result<InviteReply, Failure> {
        self.invite(&InviteRequest { device: Some(device), ..InviteRequest::default() }).await
    }

    /// Starts a rollout.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn create_rollout(&self, body: &CreateRollout) -> Result<RolloutId, Failure> {
        let reply: RolloutCreated = self.json(self.request(Method::POST, "/v1/rollouts").json(body)).await?;
        Ok(reply.rollout)
    }

    /// Returns the newest `limit` events, oldest first.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn newest_events(&self, limit: usize) -> Result<EventPage, Failure> {
        self.json(self.request(Method::GET, &format!("/v1/events?limit={limit}"))).await
    }

    /// Returns the events after `after`, oldest first; the newest ones when it is `None`.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn events(&self, after: Option<u64>) -> Result<EventPage, Failure> {
        let path = after.map_or_else(|| "/v1/events".to_string(), |seq| format!("/v1/events?after={seq}"));
        self.json(self.request(Method::GET, &path)).await
    }

    /// Returns what a releaser needs to write the next documents.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn repository(&self) -> Result<RepositoryReply, Failure> {
        self.json(self.request(Method::GET, "/v1/repository")).await
    }

    /// Returns a metadata file of the image repository.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn metadata(&self, file: &str) -> Result<Vec<u8>, Failure> {
        self.bytes(self.request(Method::GET, &format!("/repo/metadata/{file}"))).await
    }

    /// Returns a metadata file of at most `max` bytes, `None` when the repository has none of this name.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn metadata_if_any(&self, file: &str, max: usize) -> Result<Option<Vec<u8>>, Failure> {
        let request = self.request(Method::GET, &format!("/repo/metadata/{file}"));
        // A refusal's text may be longer than a small file.
        let (status, body) = self.answer(request, max.max(REFUSAL_MAX_BYTES)).await?;
        match status {
            StatusCode::NOT_FOUND => Ok(None),
            s if s.is_success() => Ok(Some(body)),
            s => Err(refusal(s, &body)),
        }
    }

    /// Returns a released file of at most `max` bytes, by its name below the targets directory.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn target(&self, file: &str, max: usize) -> Result<Vec<u8>, Failure> {
        let request = self.request(Method::GET, &format!("/repo/targets/{file}"));
        let (status, body) = self.answer(request, max.max(REFUSAL_MAX_BYTES)).await?;
        if status.is_success() { Ok(body) } else { Err(refusal(status, &body)) }
    }

    /// Returns the director's newest root.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn director_root(&self) -> Result<Vec<u8>, Failure> {
        self.bytes(self.request(Method::GET, "/v1/director/root.json")).await
    }

    /// Returns all roles with their keys.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn keys(&self) -> Result<KeysReply, Failure> {
        self.json(self.request(Method::GET, "/v1/keys")).await
    }

    /// Hands in signed metadata that change keys or expiry.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn publish_keys(&self, body: &KeysRequest) -> Result<KeysReply, Failure> {
        self.json(self.request(Method::POST, "/v1/keys").json(body)).await
    }

    /// Returns the text at `path`.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn text(&self, path: &str) -> Result<String, Failure> {
        let bytes = self.bytes(self.request(Method::GET, path)).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Uploads a blob.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn put_blob(&self, sha256: &str, bytes: Vec<u8>) -> Result<(), Failure> {
        self.bytes(self.request(Method::PUT, &format!("/v1/blobs/{sha256}")).body(bytes)).await?;
        Ok(())
    }

    /// Publishes a release whose blobs were uploaded.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn release(&self, release: &pinnace_trainer::release::Release) -> Result<BundleRef, Failure> {
        let family = pinnace_protocol::ids::Family::parse(&release.role)?;
        let body = ReleaseRequest {
            family,
            targets_metadata: release.targets_metadata.as_ref().map(|b| BASE64.encode(b)),
            family_metadata: BASE64.encode(&release.metadata),
            manifest: BASE64.encode(&release.manifest),
        };
        let reply: ReleaseReply = self.json(self.request(Method::POST, "/v1/releases").json(&body)).await?;
        Ok(reply.bundle)
    }
}

/// Returns the control plane's refusal in its own words.
fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    let text = serde_json::from_slice::<Problem>(body).map_or_else(
        |_| format!("the control plane answered {status}\n  hint: is this address a Pinnace control plane?"),
        |p| p.to_string(),
    );
    let unknown = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    Failure::coded(if unknown { AUTH } else { crate::output::FAILED }, text)
}
