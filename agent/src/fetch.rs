//! The HTTP fallback: one request at a time in the background, results go to the driver.
use pinnace_agent_core::api::{FetchError, HttpId};
use tokio::sync::{Semaphore, mpsc};

use std::sync::Arc;

use crate::http::read_body;

/// Requests under way at once: the control channel must not starve.
const CONCURRENT_MAX: usize = 2;

/// A finished request.
#[derive(Debug)]
pub struct Fetched {
    /// Which.
    pub id: HttpId,
    /// The body, or why there is none.
    pub result: Result<Vec<u8>, FetchError>,
}

/// Fetches from the plane's device address with the device's certificate.
#[derive(Clone)]
pub struct Fetcher {
    client: reqwest::Client,
    base: String,
    permits: Arc<Semaphore>,
    done: mpsc::Sender<Fetched>,
}

impl Fetcher {
    /// Returns a fetcher for the device address `base` (`https://host:port`); results go to `done`.
    pub fn new(client: reqwest::Client, base: &str, done: mpsc::Sender<Fetched>) -> Self {
        Self { client, base: base.into(), permits: Arc::new(Semaphore::new(CONCURRENT_MAX)), done }
    }

    /// Starts a request for `path`, or for `range` (first byte, number of bytes) of it.
    pub fn get(&self, id: HttpId, path: &str, range: Option<(u64, u64)>, max: u64) {
        let (this, url) = (self.clone(), format!("{}{path}", self.base));
        tokio::spawn(async move {
            // The semaphore is never closed, so a permit always comes.
            let _permit = this.permits.acquire().await;
            let result = this.fetch(&url, range, max).await;
            // The driver is gone only when the process ends.
            let _ = this.done.send(Fetched { id, result }).await;
        });
    }

    async fn fetch(&self, url: &str, range: Option<(u64, u64)>, max: u64) -> Result<Vec<u8>, FetchError> {
        let network = |e: reqwest::Error| FetchError::Network(e.without_url().to_string());
        let mut request = self.client.get(url);
        if let Some((first, count)) = range {
            request = request.header("range", format!("bytes={first}-{}", first + count.max(1) - 1));
        }
        let response = request.send().await.map_err(network)?;
        let retry_after_s = response
            .headers()
            .get("retry-after")
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.parse().ok())
            .unwrap_or(0);
        match response.status().as_u16() {
            404 => return Err(FetchError::NotFound),
            429 | 503 => return Err(FetchError::Busy { retry_after_s }),
            206 if range.is_some() => {}
            200 if range.is_none() => {}
            other => return Err(FetchError::Status(other)),
        }
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        if response.content_length().is_some_and(|n| n > max as u64) {
            return Err(FetchError::TooLarge);
        }
        read_body(response, max).await.map_err(FetchError::Network)
    }
}
