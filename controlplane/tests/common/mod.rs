//! A real control plane in a runtime of its own, and a scripted device over real HTTPS and MQTT.
#![allow(dead_code, reason = "each test file uses another part of this module")]

pub mod author;
pub mod device;

use std::path::Path;
use std::time::Duration;

use pinnace_controlplane::{Config, ControlPlane, Handle, PlaneError};
use pinnace_protocol::ids::TenantId;
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

/// Everything here must happen within this; it is a limit, not a wait.
pub const SOON: Duration = Duration::from_secs(30);

/// A control plane whose runtime can be torn down in the middle of anything.
pub struct Plane {
    runtime: Option<tokio::runtime::Runtime>,
    pub handle: Option<Handle>,
    http: reqwest::Client,
}

/// Returns a client that speaks TLS as `tls` says, or plain HTTP.
#[expect(clippy::disallowed_methods, reason = "tests make their own client, with their own roots")]
pub fn http_client(tls: Option<std::sync::Arc<rustls::ClientConfig>>) -> reqwest::Client {
    let tls = tls.unwrap_or_else(|| {
        let provider = pinnace_controlplane::tls::provider();
        let builder =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        std::sync::Arc::new(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
    });
    reqwest::Client::builder().no_proxy().timeout(SOON).tls_backend_preconfigured((*tls).clone()).build().unwrap()
}

impl Plane {
    pub fn config(dir: &Path) -> Config {
        Config::local(dir.to_path_buf(), TenantId::parse("acme").unwrap())
    }

    pub async fn start(dir: &Path) -> Self {
        Self::try_start(Self::config(dir)).await.unwrap()
    }

    pub async fn try_start(config: Config) -> Result<Self, PlaneError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let started = runtime.spawn(ControlPlane::start(config)).await.unwrap();
        let handle = match started {
            Ok(handle) => handle,
            Err(error) => {
                runtime.shutdown_background();
                return Err(error);
            }
        };
        Ok(Self { runtime: Some(runtime), handle: Some(handle), http: http_client(None) })
    }

    /// Ends every task wherever it is, as a kill would; returns when all sockets and files are closed.
    pub async fn crash(mut self) {
        let (runtime, handle) = (self.runtime.take(), self.handle.take());
        tokio::task::spawn_blocking(move || {
            drop(runtime);
            drop(handle);
        })
        .await
        .unwrap();
    }

    pub async fn shutdown(mut self) {
        let handle = self.handle.take().unwrap();
        let runtime = self.runtime.take().unwrap();
        runtime.spawn(handle.shutdown()).await.unwrap().unwrap();
        tokio::task::spawn_blocking(move || drop(runtime)).await.unwrap();
    }

    pub fn up(&self) -> &Handle {
        self.handle.as_ref().unwrap()
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        let mut request = self.http.request(method, format!("{}{path}", self.up().url()));
        request = request.bearer_auth(&self.up().admin_token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Value {
        let response = self.send(Method::GET, path, None).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.json().await.unwrap()
    }

    pub async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        let response = self.send(Method::POST, path, Some(body)).await;
        let status = response.status();
        let bytes = response.bytes().await.unwrap();
        (status, if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() })
    }

    /// Sends a request without the admin token.
    pub async fn anonymous(&self, method: Method, path: &str) -> Response {
        self.http.request(method, format!("{}{path}", self.up().url())).send().await.unwrap()
    }

    pub async fn put_blob(&self, sha256: &str, bytes: Vec<u8>) -> Response {
        let url = format!("{}/v1/blobs/{sha256}", self.up().url());
        self.http.put(url).bearer_auth(&self.up().admin_token).body(bytes).send().await.unwrap()
    }

    pub async fn invite(&self) -> String {
        let (status, reply) = self.post("/v1/invites", serde_json::json!({})).await;
        assert_eq!(status, StatusCode::CREATED, "{reply}");
        reply["token"].as_str().unwrap().to_owned()
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        // A runtime must not be dropped where a test waits; a test that failed has no time to wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
