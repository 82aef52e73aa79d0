//! Sends a file's rows through the router, at a rate, one after the other.

use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::config::SourceConfig;
use super::error::SourceError;
use super::limits;
use super::map::Mapping;
use super::read::{RawRow, Reader};
use crate::router::{Batch, InferError, Request, Router};

/// How a replay went, or stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceReport {
    /// Rows answered.
    pub rows: u64,
    /// Rows that the model did not answer, and rows that could not be read at all.
    pub failed: u64,
    /// Cells that could not be read; their value was null.
    pub bad_cells: u64,
    /// Labels that are none of the model's classes.
    pub bad_labels: u64,
    /// Next row of the file, from 0.
    pub position: u64,
    /// Whether the end of the file, or the limit, was reached.
    pub finished: bool,
    /// The first problems, with line and column; at most [`limits::PROBLEMS_MAX`].
    pub problems: Vec<String>,
}

impl SourceReport {
    fn problem(&mut self, text: String) {
        if self.problems.len() < limits::PROBLEMS_MAX {
            tracing::warn!("source: {text}");
            self.problems.push(text);
        }
    }
}

type Rows = mpsc::Receiver<Result<RawRow, (u64, std::io::Error)>>;

/// Replays a file from row `resume_at` (0 at the first start, else the last committed position) until its end, its
/// limit or `stop`; `progress` sees the report after every row.
///
/// At the end of the file the open window is closed, so that its last rows are not held back.
///
/// # Errors
/// [`SourceError`] when the settings make no sense or the file cannot be read.
pub async fn replay(
    config: SourceConfig,
    router: Router,
    resume_at: u64,
    stop: CancellationToken,
    mut progress: impl FnMut(&SourceReport),
) -> Result<SourceReport, SourceError> {
    config.check()?;
    let (header, mut rows) = open(&config, resume_at).await?;
    check_label(&config, header.as_deref())?;
    let mut report = SourceReport { position: resume_at, ..SourceReport::default() };
    let mut left = config.limit.map(|limit| limit.saturating_sub(config.taken_before(resume_at)));
    let mut pace = Pace::new(config.rate);
    let mut mapping: Option<Mapping> = None;
    while left != Some(0) {
        let next = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(report),
            next = rows.recv() => next,
        };
        let row = match next {
            None => break,
            Some(Ok(row)) => row,
            Some(Err((line, source))) => return Err(SourceError::Read { path: config.path, line, source }),
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(report),
            () = pace.wait() => {}
        }
        if !offer(&row, &config, header.as_deref(), &router, &mut mapping, &stop, &mut report).await {
            return Ok(report);
        }
        report.position = row.index + 1;
        left = left.map(|l| l - 1);
        progress(&report);
    }
    report.finished = true;
    router.close_window();
    progress(&report);
    Ok(report)
}

/// Opens the file and reads it in a thread of its own: disks block.
async fn open(config: &SourceConfig, resume_at: u64) -> Result<(Option<Vec<String>>, Rows), SourceError> {
    let (opened, header) = oneshot::channel();
    let (out, rows) = mpsc::channel(limits::READ_AHEAD_ROWS);
    let owned = config.clone();
    let read = move || {
        let mut reader = match Reader::open(&owned.path, owned.format) {
            Ok(reader) => reader,
            Err(error) => {
                // The receiver waits; if it does not, nobody needs to know.
                let _ = opened.send(Err(error));
                return;
            }
        };
        let _ = opened.send(Ok(reader.header().map(<[String]>::to_vec)));
        loop {
            let next = match reader.next_row() {
                Ok(None) => return,
                Ok(Some(row)) if row.index < resume_at || !owned.takes(row.index) => continue,
                Ok(Some(row)) => Ok(row),
                Err(error) => Err(error),
            };
            let ended = next.is_err();
            if out.blocking_send(next).is_err() || ended {
                return;
            }
        }
    };
    let failed = |source| SourceError::Read { path: config.path.clone(), line: 0, source };
    thread::Builder::new().name("source".into()).spawn(read).map_err(failed)?;
    let header = header.await.map_err(|_| failed(std::io::ErrorKind::Interrupted.into()))??;
    Ok((header, rows))
}

fn check_label(config: &SourceConfig, header: Option<&[String]>) -> Result<(), SourceError> {
    match (&config.label, header) {
        (Some(label), Some(header)) if !header.contains(label) => Err(SourceError::Label {
            path: config.path.clone(),
            label: label.clone(),
            columns: header.iter().take(limits::PROBLEMS_MAX).cloned().collect::<Vec<_>>().join(", "),
        }),
        _ => Ok(()),
    }
}

/// Offers one row until the router takes it; false when stopped before that.
///
/// A refused row was not counted, so it is offered again: none may be skipped. Any other outcome was counted.
async fn offer(
    row: &RawRow,
    config: &SourceConfig,
    header: Option<&[String]>,
    router: &Router,
    mapping: &mut Option<Mapping>,
    stop: &CancellationToken,
    report: &mut SourceReport,
) -> bool {
    loop {
        if let Some(signature) = router.signature() {
            if mapping.as_ref().is_none_or(|m| !m.is_for(&signature)) {
                *mapping = Some(Mapping::new(&signature, header, config.label.as_deref()));
            }
            let Some(mapping) = mapping.as_ref() else { return true };
            let mut problems = Vec::new();
            let mapped = match mapping.map(row, |text| problems.push(text)) {
                Ok(mapped) => mapped,
                Err(why) => {
                    report.failed += 1;
                    report.problem(why);
                    return true;
                }
            };
            let label = mapped.label.as_deref().map(|text| (text, router.class_index(text)));
            let Some(batch) = Batch::new(&signature, mapped.cells) else { return true };
            let labels = label.map(|(_, class)| vec![class]).unwrap_or_default();
            let answer = router.infer(Request { id: None, batch, labels, position: Some(row.index + 1) }).await;
            match answer {
                Err(InferError::Busy { .. } | InferError::NotReady) => {}
                Err(InferError::Stopping) => return false,
                taken => {
                    report.bad_cells += problems.len() as u64;
                    problems.into_iter().for_each(|p| report.problem(p));
                    if let Some((text, None)) = label {
                        report.bad_labels += 1;
                        let text: String = text.chars().take(40).collect();
                        report.problem(format!("line {}: the label `{text}` is none of the model's classes", row.line));
                    }
                    match taken {
                        Ok(_) => report.rows += 1,
                        Err(_) => report.failed += 1,
                    }
                    return true;
                }
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return false,
            () = tokio::time::sleep(limits::RETRY_WAIT) => {}
        }
    }
}

/// Keeps a rate without drifting.
struct Pace {
    gap: Option<Duration>,
    due: Instant,
}

impl Pace {
    fn new(rate: Option<f64>) -> Self {
        Self { gap: rate.map(|rate| Duration::from_secs_f64(1.0 / rate)), due: Instant::now() }
    }

    /// Waits until the next row is due.
    async fn wait(&mut self) {
        let Some(gap) = self.gap else { return };
        let now = Instant::now();
        if now.saturating_duration_since(self.due) > limits::CATCH_UP_MAX {
            // After a long halt (no model yet, a busy device) the rows go on at the rate instead of in a burst.
            self.due = now;
        }
        tokio::time::sleep_until(self.due).await;
        self.due += gap;
    }
}
