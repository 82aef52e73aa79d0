//! Fetches files over HTTP, at most so many bytes of each.
use std::io::Read as _;
use std::time::Duration;

use ureq::Agent;

use crate::error::Fault;

/// Until a whole answer must be here.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Until a connection must stand.
const CONNECT: Duration = Duration::from_secs(10);

/// Fetches; keeps connections open between files.
pub struct Fetcher(Agent);

impl Fetcher {
    /// Returns a fetcher that follows no proxy settings of the environment.
    pub fn new() -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .timeout_connect(Some(CONNECT))
            .proxy(None)
            .build();
        Self(config.into())
    }

    /// Returns a file's bytes; `None` when the repository says that there is none (404 or 403).
    ///
    /// One byte more than `max` is read, never more: the judge sees that the file is too long.
    ///
    /// # Errors
    /// `Fetch` for no connection, no answer in time, any other status.
    pub fn get(&self, url: &str, max: u64) -> Result<Option<Vec<u8>>, Fault> {
        let failed = |why: String| Fault::Fetch { url: url.into(), why };
        let mut response = self.0.get(url).call().map_err(|e| failed(e.to_string()))?;
        match response.status().as_u16() {
            200 => {}
            403 | 404 => return Ok(None),
            status => return Err(failed(format!("HTTP status {status}"))),
        }
        let mut bytes = Vec::new();
        let mut body = response.body_mut().as_reader().take(max.saturating_add(1));
        body.read_to_end(&mut bytes).map_err(|e| failed(e.to_string()))?;
        Ok(Some(bytes))
    }
}

/// Returns `base` and a relative path as one address. What is no letter, digit or one of `-_.~/` is percent-encoded.
pub fn join(base: &str, path: &str) -> String {
    let mut url = format!("{}/", base.trim_end_matches('/'));
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => url.push(char::from(byte)),
            other => url.push_str(&format!("%{other:02X}")),
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_change_the_address_around_it() {
        assert_eq!(join("http://a/t/", "x/y z?q#f%"), "http://a/t/x/y%20z%3Fq%23f%25");
        assert_eq!(join("http://a/t", "é"), "http://a/t/%C3%A9");
    }
}
