//! Counts every answered row into the open statistics window, and closes windows.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pinnace_protocol::ids::{BundleRef, Digest};
use pinnace_protocol::sketch::Live;
use tokio::sync::mpsc;

use super::batch::Batch;
use super::error::RouterError;
use super::limits;
use super::served::Served;
use crate::engine::Answers;

/// A closed statistics window, before it has a number in the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedWindow {
    /// Bundle whose reference the bins belong to.
    pub bundle: BundleRef,
    /// Digest of the reference profile.
    pub profile: Digest,
    /// First row, milliseconds since 1970 by the device's clock.
    pub from_unix_ms: u64,
    /// Last row.
    pub to_unix_ms: u64,
    /// Rows counted.
    pub rows: u64,
    /// The encoded sketch.
    pub sketch: Vec<u8>,
    /// Where the file source goes on: every row before it is in this window or an earlier one. The driver commits
    /// it in the same batch as the window; none when no such source ran.
    pub source_position: Option<u64>,
}

/// When a window closes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowLimits {
    /// Rows in one window.
    pub rows: u64,
    /// Time after its first row.
    pub interval: Duration,
}

impl Default for WindowLimits {
    fn default() -> Self {
        Self { rows: 10_000, interval: Duration::from_secs(300) }
    }
}

/// One answered (or failed) request, as the recorder counts it.
pub(super) struct Entry<'a> {
    pub(super) served: &'a Served,
    pub(super) batch: &'a Batch,
    /// None when the request failed.
    pub(super) answers: Option<&'a Answers>,
    pub(super) latency_us: u32,
    /// True class per row, where known.
    pub(super) labels: &'a [Option<usize>],
    /// Next row of the file source, when the request came from it.
    pub(super) position: Option<u64>,
}

#[derive(Debug)]
struct Open {
    served: u64,
    bundle: BundleRef,
    profile: Digest,
    live: Live,
    from_unix_ms: u64,
    to_unix_ms: u64,
    opened: Instant,
}

/// The open window and the closed ones that wait.
#[derive(Debug)]
pub(super) struct Recorder {
    limits: WindowLimits,
    open: Option<Open>,
    position: Option<u64>,
    parked: VecDeque<ClosedWindow>,
    out: Option<mpsc::Sender<ClosedWindow>>,
}

impl Recorder {
    pub(super) fn new(limits: WindowLimits, out: mpsc::Sender<ClosedWindow>) -> Self {
        let rows = limits.rows.clamp(1, limits::WINDOW_MAX_ROWS);
        Self {
            limits: WindowLimits { rows, ..limits },
            open: None,
            position: None,
            parked: VecDeque::new(),
            out: Some(out),
        }
    }

    /// Counts one request, row by row.
    pub(super) fn count(&mut self, entry: &Entry<'_>) {
        if self.open.as_ref().is_some_and(|o| o.served != entry.served.id) {
            // A request that began before the swap: its rows belong to the bundle that answered them.
            self.close();
        }
        if let Some(open) = self.open_for(entry.served) {
            open.to_unix_ms = unix_ms();
            count_rows(&mut open.live, entry);
        }
        if entry.position.is_some() {
            self.position = entry.position;
        }
        self.close_if_due();
    }

    /// Counts the outcome of an earlier row; false when its window's bundle no longer answers.
    pub(super) fn outcome(&mut self, served: &Served, score: f32, predicted: usize, actual: usize) -> bool {
        let Some(open) = self.open_for(served).filter(|o| o.served == served.id) else { return false };
        open.to_unix_ms = unix_ms();
        open.live.observe_outcome(f64::from(score), predicted, actual).is_ok()
    }

    /// Closes the window when it is full or old enough, unless closed ones pile up: then it grows on.
    pub(super) fn close_if_due(&mut self) {
        let due = self.open.as_ref().is_some_and(|o| {
            u64::from(o.live.rows()) >= self.limits.rows || o.opened.elapsed() >= self.limits.interval
        });
        self.flush();
        if due && self.parked.is_empty() && self.out.as_ref().is_some_and(|out| out.capacity() > 0) {
            self.close();
        }
    }

    /// Returns an error when so many closed windows wait that the model must not change now.
    pub(super) fn check_room(&self) -> Result<(), RouterError> {
        if self.parked.len() + 2 > limits::PARKED_WINDOWS_MAX {
            return Err(RouterError::WindowsWaiting { waiting: self.parked.len() + limits::CLOSED_WINDOWS_MAX });
        }
        Ok(())
    }

    /// Closes the open window, however small.
    ///
    /// Bounded although nothing is refused here: swaps ask [`Recorder::check_room`] first, and after a swap each
    /// worker finishes at most one request of the model before, which costs at most two windows more.
    pub(super) fn close(&mut self) {
        let Some(open) = self.open.take_if(|o| !o.live.is_empty()) else {
            self.open = None;
            return;
        };
        self.parked.push_back(ClosedWindow {
            bundle: open.bundle,
            profile: open.profile,
            from_unix_ms: open.from_unix_ms,
            to_unix_ms: open.to_unix_ms,
            rows: u64::from(open.live.rows()),
            sketch: open.live.encode(),
            source_position: self.position,
        });
        self.flush();
    }

    /// Closes the open window and hands out everything that is left; the receiver then ends.
    pub(super) fn finish(&mut self) -> Vec<ClosedWindow> {
        self.close();
        self.out = None;
        self.parked.drain(..).collect()
    }

    /// Hands parked windows to the driver, as far as it has room.
    fn flush(&mut self) {
        let Some(out) = &self.out else { return };
        while let Some(window) = self.parked.pop_front() {
            if let Err(error) = out.try_send(window) {
                self.parked.push_front(error.into_inner());
                return;
            }
        }
    }

    fn open_for(&mut self, served: &Served) -> Option<&mut Open> {
        if self.open.is_none() {
            let (profile, digest) = served.profile.as_ref()?;
            let now = unix_ms();
            self.open = Some(Open {
                served: served.id,
                bundle: served.info.bundle.clone(),
                profile: *digest,
                live: Live::new(profile),
                from_unix_ms: now,
                to_unix_ms: now,
                opened: Instant::now(),
            });
        }
        self.open.as_mut()
    }
}

/// Counts a request's rows, answers and outcomes.
///
/// The sketch refuses only what cannot happen here (a profile that does not fit was refused when the model was taken,
/// and a window closes long before it is full), so a refusal has no one to be told to.
fn count_rows(live: &mut Live, entry: &Entry<'_>) {
    entry.batch.for_each_row(&entry.served.info.signature, |values| {
        let _ = live.update_row(values);
    });
    let Some(answers) = entry.answers else {
        for _ in 0..entry.batch.rows() {
            let _ = live.observe_error();
        }
        return;
    };
    for row in 0..answers.rows() {
        if let Some((class, score)) = answers.class(row) {
            let _ = live.observe_prediction(class, f64::from(score), entry.latency_us);
            if let Some(Some(label)) = entry.labels.get(row) {
                let _ = live.observe_outcome(f64::from(score), class, *label);
            }
        }
    }
}

/// Returns milliseconds since 1970 by the device's clock; 0 when it stands before.
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
