//! Tells what happens, one sentence a decision, and waits for what must happen next.
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use pinnace_controlplane_core::history::{EventKind, EventRecord};
use serde_json::Value;
use tokio::sync::mpsc;

use super::process::Died;
use crate::client::Client;
use crate::output::{Failure, line};

/// Time between two looks at the control plane.
const LOOK: Duration = Duration::from_millis(200);
/// Looks at a control plane that does not answer (it may have been killed and be starting again) before giving up.
const SILENT_MAX: u32 = 150;

/// The narrator.
pub struct Story {
    client: Client,
    started: Instant,
    after: Option<u64>,
    seen: VecDeque<EventRecord>,
    died: mpsc::UnboundedReceiver<Died>,
    silent: u32,
    drift_told: Option<String>,
}

impl Story {
    /// Returns a narrator that listens to the control plane and to the processes' keepers.
    pub fn new(client: Client, died: mpsc::UnboundedReceiver<Died>, started: Instant) -> Self {
        Self { client, started, after: None, seen: VecDeque::new(), died, silent: 0, drift_told: None }
    }

    /// Prints a sentence with the time since the start.
    pub fn tell(&self, text: &str) {
        line(format!("{:>6.1} s  {text}", self.started.elapsed().as_secs_f64()));
    }

    /// Waits until the control plane answers that it is healthy.
    ///
    /// # Errors
    /// [`Failure`] when that does not happen within `limit`.
    pub async fn healthy(&mut self, limit: Duration) -> Result<(), Failure> {
        let until = Instant::now() + limit;
        loop {
            self.mourn()?;
            match self.client.health().await {
                Ok(h) if h.healthy => return Ok(()),
                Ok(_) | Err(_) if Instant::now() < until => tokio::time::sleep(LOOK).await,
                Ok(h) => return Err(missed("the control plane to be healthy", &h.complaints.join("; "))),
                Err(e) => return Err(e),
            }
        }
    }

    /// Tells events as they come until `wanted` says that one is the awaited; returns that one.
    ///
    /// # Errors
    /// [`Failure`] when it does not come within `limit`, naming `what`.
    pub async fn until(
        &mut self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&EventRecord) -> bool,
    ) -> Result<EventRecord, Failure> {
        let until = Instant::now() + limit;
        loop {
            while let Some(event) = self.seen.pop_front() {
                self.narrate(&event);
                if wanted(&event) {
                    return Ok(event);
                }
            }
            if Instant::now() > until {
                return Err(missed(what, &format!("nothing of the kind within {} s", limit.as_secs())));
            }
            self.listen().await?;
        }
    }

    /// Waits until `wanted` holds for the JSON at `path`.
    ///
    /// # Errors
    /// [`Failure`] when it does not within `limit`, naming `what`.
    pub async fn until_page(
        &mut self,
        what: &str,
        limit: Duration,
        path: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value, Failure> {
        let until = Instant::now() + limit;
        loop {
            if let Ok(page) = self.client.get(path).await
                && wanted(&page)
            {
                return Ok(page);
            }
            if Instant::now() > until {
                return Err(missed(what, &format!("not so within {} s", limit.as_secs())));
            }
            self.listen().await?;
            while let Some(event) = self.seen.pop_front() {
                self.narrate(&event);
            }
        }
    }

    async fn listen(&mut self) -> Result<(), Failure> {
        self.mourn()?;
        match self.client.events(self.after).await {
            Ok(page) => {
                self.silent = 0;
                self.after = page.items.last().map(|e| e.seq).or(self.after);
                self.seen.extend(page.items);
            }
            Err(e) => {
                self.silent += 1;
                if self.silent > SILENT_MAX {
                    return Err(e);
                }
            }
        }
        tokio::time::sleep(LOOK).await;
        Ok(())
    }

    /// Tells of processes that died.
    fn mourn(&mut self) -> Result<(), Failure> {
        while let Ok(died) = self.died.try_recv() {
            if !died.restarted {
                return Err(Failure::error(format!(
                    "{} ended again and again ({})\n  hint: its log says why; see --data",
                    died.name, died.how
                )));
            }
            self.tell(&format!("{} ended ({}); it is started again and goes on.", died.name, died.how));
        }
        Ok(())
    }

    fn narrate(&mut self, event: &EventRecord) {
        let told = match event.kind {
            EventKind::BundlePublished
            | EventKind::RolloutCreated
            | EventKind::WaveStarted
            | EventKind::WavePromoted
            | EventKind::RolloutPaused
            | EventKind::RolloutResumed
            | EventKind::RolloutCompleted
            | EventKind::RolloutAborted
            | EventKind::RollingBack
            | EventKind::RolledBack
            | EventKind::RollbackStuck
            | EventKind::DeviceFailed
            | EventKind::WindowRejected
            | EventKind::RetrainWanted
            | EventKind::KeysChanged
            | EventKind::DeviceCloned
            | EventKind::DeviceReleased
            | EventKind::CommandGiven
            | EventKind::CommandDone => true,
            // One line an interval would drown the rest: told when other features drift than before.
            EventKind::Drift => {
                let words: String = event.text.chars().filter(|c| c.is_alphabetic()).collect();
                let new = self.drift_told.as_ref() != Some(&words);
                self.drift_told = Some(words);
                new
            }
            EventKind::DeviceJoined
            | EventKind::LabelsSet
            | EventKind::RolloutApproved
            | EventKind::WaveBaking
            | EventKind::DeviceOffered
            | EventKind::DeviceAccepted
            | EventKind::DeviceHealthy
            | EventKind::DeviceRetries
            | EventKind::DeviceUnreachable
            | EventKind::DeviceRolledBack
            | EventKind::DeviceAssigned => false,
        };
        if told {
            self.tell(&event.text);
        }
    }
}

fn missed(what: &str, why: &str) -> Failure {
    Failure::error(format!("the demo waited for {what}: {why}\n  hint: run it with --data DIR and look at DIR/logs"))
}
