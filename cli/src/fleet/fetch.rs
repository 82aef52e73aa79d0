//! The HTTP way of one device: made when it is needed and let go afterwards, for it costs more than the device.
use std::sync::Arc;

use pinnace_agent::fetch::{Fetched, Fetcher};
use pinnace_agent::http::{self, TlsSetupError};
use pinnace_agent_core::HttpId;
use tokio::sync::mpsc;

use super::limits::FETCH_CHANNEL;

/// Requests of one device to the device address.
pub struct Fetch {
    tls: Arc<rustls::ClientConfig>,
    base: Arc<str>,
    open: Option<(Fetcher, mpsc::Receiver<Fetched>)>,
    under_way: u32,
}

impl Fetch {
    /// Returns the way to the device address `base` with the device's certificate.
    pub const fn new(tls: Arc<rustls::ClientConfig>, base: Arc<str>) -> Self {
        Self { tls, base, open: None, under_way: 0 }
    }

    /// Starts a request.
    ///
    /// # Errors
    /// [`TlsSetupError`] when no client can be made.
    pub fn get(&mut self, id: HttpId, path: &str, range: Option<(u64, u64)>, max: u64) -> Result<(), TlsSetupError> {
        let (fetcher, _) = match &mut self.open {
            Some(open) => open,
            closed => {
                let (done, results) = mpsc::channel(FETCH_CHANNEL);
                let client = http::client(Some(Arc::clone(&self.tls)))?;
                closed.insert((Fetcher::new(client, &self.base, done), results))
            }
        };
        fetcher.get(id, path, range, max);
        self.under_way += 1;
        Ok(())
    }

    /// Returns the next finished request; waits for ever while none is under way.
    pub async fn next(&mut self) -> Fetched {
        if let Some((_, results)) = &mut self.open
            && let Some(fetched) = results.recv().await
        {
            self.under_way = self.under_way.saturating_sub(1);
            return fetched;
        }
        // The fetcher holds the other end as long as it is open.
        std::future::pending().await
    }

    /// Lets the client go when nothing is under way.
    pub fn rest(&mut self) {
        if self.under_way == 0 {
            self.open = None;
        }
    }
}
