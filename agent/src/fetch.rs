//! The HTTP fallback: one request at a time in the background, results go to the driver.
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pinnace_agent_core::api::{FetchError, HttpId};
use pinnace_agent_core::limits::PROGRESS_FLOOR_BYTES_PER_S;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::http::read_body;

/// Time of a request without a byte of its body.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Time of one request at most, whatever its size.
const REQUEST_LIMIT_MAX: Duration = Duration::from_secs(900);

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
    /// The request under way: the core waits for one at a time, so the next ends it.
    current: Arc<Mutex<Option<AbortHandle>>>,
    done: mpsc::Sender<Fetched>,
}

impl Fetcher {
    /// Returns a fetcher for the device address `base` (`https://host:port`); results go to `done`.
    pub fn new(client: reqwest::Client, base: &str, done: mpsc::Sender<Fetched>) -> Self {
        Self { client, base: base.into(), current: Arc::default(), done }
    }

    /// Starts a request for `path`, or for `range` (first byte, number of bytes) of it; one before it that is still under
    /// way is given up, so that a source that trickles holds nothing.
    pub fn get(&self, id: HttpId, path: &str, range: Option<(u64, u64)>, max: u64) {
        let (this, url) = (self.clone(), format!("{}{path}", self.base));
        let task = tokio::spawn(async move {
            let result = this.fetch(&url, range, max).await;
            // The driver is gone only when the process ends.
            let _ = this.done.send(Fetched { id, result }).await;
        });
        let before = self.current.lock().unwrap_or_else(PoisonError::into_inner).replace(task.abort_handle());
        if let Some(before) = before {
            before.abort();
        }
    }

    async fn fetch(&self, url: &str, range: Option<(u64, u64)>, max: u64) -> Result<Vec<u8>, FetchError> {
        let network = |e: reqwest::Error| FetchError::Network(e.without_url().to_string());
        // What the body takes at the progress floor: the core has given up by then.
        let body = Duration::from_secs(max / PROGRESS_FLOOR_BYTES_PER_S);
        let mut request = self.client.get(url).timeout((ANSWER_LIMIT + body).min(REQUEST_LIMIT_MAX));
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// The first connection is answered with the beginning of a body and nothing more, the second one whole.
    #[tokio::test]
    async fn a_source_that_sends_next_to_nothing_does_not_hold_up_the_next_request() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (trickled, has_trickled) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let mut request = [0; 1024];
            let (mut slow, _) = listener.accept().await.unwrap();
            _ = slow.read(&mut request).await.unwrap();
            slow.write_all(b"HTTP/1.1 206 Partial Content\r\ncontent-length: 4\r\n\r\na").await.unwrap();
            trickled.send(()).unwrap();
            let (mut good, _) = listener.accept().await.unwrap();
            _ = good.read(&mut request).await.unwrap();
            good.write_all(b"HTTP/1.1 206 Partial Content\r\ncontent-length: 4\r\n\r\nabcd").await.unwrap();
            // The given-up request closes its connection.
            assert_eq!(slow.read(&mut request).await.unwrap(), 0);
        });
        let (done, mut results) = mpsc::channel(4);
        let fetcher = Fetcher::new(crate::http::client(None).unwrap(), &base, done);
        fetcher.get(HttpId(1), "/slow", Some((0, 4)), 4);
        has_trickled.await.unwrap();
        fetcher.get(HttpId(2), "/good", Some((0, 4)), 4);
        let fetched = results.recv().await.unwrap();
        assert_eq!((fetched.id, fetched.result), (HttpId(2), Ok(b"abcd".to_vec())));
    }
}
