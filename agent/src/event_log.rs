//! The event log on disk: what the core was given and what it decided, for `pinnace sim replay-log`.
//!
//! Recording never stops the agent: what cannot be written is warned of once, and the rest of this process start is
//! not on record. Nothing is synced, so a power cut may cost the last turns; a kill costs none. A start appends to the
//! file, after what a cut left of the last record is removed; from [`EVENT_LOG_ROTATE_BYTES`] on it moves the file to
//! `FILE.1` and begins a new one. A start that fills the file to [`EVENT_LOG_MAX_BYTES`] ends with a mark that says so:
//! later turns could not be replayed without the ones before.
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use pinnace_agent_core::api::{Config, Event, Step, Stored};
use pinnace_agent_core::limits::{EVENT_LOG_MAX_BYTES, EVENT_LOG_ROTATE_BYTES};
use pinnace_agent_core::log::{LogError, LogWriter, MAGIC, whole_until};
use pinnace_protocol::time::Now;

use crate::files::FileError;

/// Bytes kept free for the mark at the end of a full file.
const MARK_BYTES: u64 = 64;
/// Permission bits of a log: it names models and hosts, which is not everybody's business.
const MODE: u32 = 0o600;

/// Records the turns of one process start, or nothing when it is off.
#[derive(Debug, Default)]
pub struct EventLog {
    recording: Option<Recording>,
}

#[derive(Debug)]
struct Recording {
    file: File,
    path: PathBuf,
    /// Bytes of the file.
    length: u64,
    /// Bytes that the file may have.
    max: u64,
    writer: LogWriter,
}

impl EventLog {
    /// Returns a log that records nothing.
    pub fn off() -> Self {
        Self::default()
    }

    /// Returns a log that records to `path`; one that is off, with a warning, when that file cannot be had.
    pub fn open(path: &Path) -> Self {
        Self::open_bounded(path, EVENT_LOG_MAX_BYTES, EVENT_LOG_ROTATE_BYTES)
    }

    fn open_bounded(path: &Path, max: u64, rotate: u64) -> Self {
        match prepare(path, rotate) {
            Ok((file, length)) => {
                tracing::info!("every turn is recorded in {}", path.display());
                let path = path.into();
                Self { recording: Some(Recording { file, path, length, max, writer: LogWriter::new() }) }
            }
            Err(e) => {
                tracing::warn!("this start is not recorded: {e}");
                Self::off()
            }
        }
    }

    /// Records what the core is about to be recovered from.
    pub fn start(&mut self, config: &Config, stored: &Stored, now: Now) {
        self.append(|writer| writer.start(config, stored, now));
    }

    /// Records what the core is about to be told; `profile` is the JSON behind the layout of an [`Event::Loaded`].
    pub fn turn(&mut self, now: Now, event: &Event<'_>, profile: Option<&[u8]>) {
        self.append(|writer| writer.turn(now, event, profile));
    }

    /// Records what the core has decided.
    pub fn step(&mut self, step: &Step) {
        self.append(|writer| writer.step(step));
    }

    fn append(&mut self, records: impl FnOnce(&mut LogWriter) -> Result<Vec<u8>, LogError>) {
        let Some(recording) = &mut self.recording else { return };
        if !tokio::task::block_in_place(|| recording.append(records)) {
            self.recording = None;
        }
    }
}

impl Recording {
    /// Appends what `records` returns; returns whether recording goes on.
    fn append(&mut self, records: impl FnOnce(&mut LogWriter) -> Result<Vec<u8>, LogError>) -> bool {
        let path = self.path.display();
        match records(&mut self.writer) {
            Ok(bytes) if self.length + bytes.len() as u64 + MARK_BYTES > self.max => {
                tracing::warn!(
                    "{path} is full: the rest of this start is not recorded; the next start begins a new file"
                );
                match self.writer.full().map(|mark| self.file.write_all(&mark)) {
                    Ok(Ok(())) => {}
                    Ok(Err(e)) => tracing::debug!("the mark at the end of {path} is missing: {e}"),
                    Err(e) => tracing::debug!("{e}"),
                }
                false
            }
            Ok(bytes) => match self.file.write_all(&bytes) {
                Ok(()) => {
                    self.length += bytes.len() as u64;
                    true
                }
                Err(e) => {
                    // Half a record would hide what later starts append; the next start looks again.
                    let _ = self.file.set_len(self.length);
                    let e = FileError::new("write", &self.path, e);
                    tracing::warn!("the rest of this start is not recorded: {e}");
                    false
                }
            },
            Err(e) => {
                tracing::warn!("the rest of this start is not recorded: {e}");
                false
            }
        }
    }
}

/// Opens the file for appending; returns it with its length.
fn prepare(path: &Path, rotate: u64) -> Result<(File, u64), FileError> {
    let length = match fs::metadata(path) {
        Ok(m) => m.len(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => 0,
        Err(e) => return Err(FileError::new("read", path, e)),
    };
    let whole = if length > rotate { None } else { whole_bytes(path)? };
    if whole.is_none() && length > 0 {
        let before = path.with_added_extension("1");
        fs::rename(path, &before).map_err(|e| FileError::new("rename", path, e))?;
        tracing::info!("the event log so far is {}", before.display());
    }
    let open = || -> io::Result<(File, u64)> {
        let mut file = OpenOptions::new().append(true).create(true).mode(MODE).open(path)?;
        let whole = whole.unwrap_or_default();
        file.set_len(whole)?;
        if whole == 0 {
            file.write_all(&MAGIC)?;
        }
        Ok((file, whole.max(MAGIC.len() as u64)))
    };
    open().map_err(|e| FileError::new("open", path, e))
}

/// Returns how many bytes of the file are whole records; none when it is not there, damaged or another kind of file.
fn whole_bytes(path: &Path) -> Result<Option<u64>, FileError> {
    match fs::read(path) {
        Ok(bytes) => Ok(whole_until(&bytes).ok().map(|whole| whole as u64)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(FileError::new("read", path, e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinnace_agent_core::log::{Entry, LogReader};
    use pinnace_protocol::time::{ClockTrust, Mono, Wall};

    fn now(ms: u64) -> Now {
        Now { mono: Mono(ms), wall: Wall { unix_ms: ms, trust: ClockTrust::Unknown } }
    }

    fn turns(path: &Path) -> (usize, bool) {
        let bytes = fs::read(path).unwrap();
        let mut reader = LogReader::new(&bytes).unwrap();
        let (mut turns, mut full) = (0, false);
        while let Some(entry) = reader.entry().unwrap() {
            assert!(!full, "nothing comes behind the mark of a full file");
            match entry {
                Entry::Turn { .. } => turns += 1,
                Entry::Full => full = true,
                Entry::Start(_) | Entry::Step(_) => {}
            }
        }
        (turns, full)
    }

    #[test]
    fn a_torn_end_is_removed_and_a_foreign_or_damaged_file_is_moved_away() {
        let temp = tempfile::tempdir().unwrap();
        let (path, before) = (temp.path().join("events"), temp.path().join("events.1"));
        let record = |count: u64| {
            let mut log = EventLog::open(&path);
            (0..count).for_each(|ms| log.turn(now(ms), &Event::Tick, None));
        };
        record(3);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        record(2);
        assert_eq!((turns(&path), before.exists()), ((4, false), false));

        let mut damaged = fs::read(&path).unwrap();
        damaged[20] ^= 1;
        fs::write(&path, &damaged).unwrap();
        record(1);
        assert_eq!((turns(&path), fs::read(&before).unwrap()), ((1, false), damaged));

        fs::write(&path, "somebody's notes").unwrap();
        record(1);
        assert_eq!((turns(&path), fs::read(&before).unwrap()), ((1, false), b"somebody's notes".to_vec()));
    }

    #[test]
    fn a_full_file_ends_with_its_mark_and_the_next_start_begins_a_new_one() {
        let temp = tempfile::tempdir().unwrap();
        let (path, before) = (temp.path().join("events"), temp.path().join("events.1"));
        let mut log = EventLog::open_bounded(&path, 1000, 500);
        (0..100).for_each(|ms| log.turn(now(ms), &Event::Tick, None));
        let (recorded, full) = turns(&path);
        assert!(full && (3..100).contains(&recorded), "{recorded}");
        assert!(fs::metadata(&path).unwrap().len() <= 1000);

        EventLog::open_bounded(&path, 1000, 500).turn(now(0), &Event::Tick, None);
        assert_eq!((turns(&path), turns(&before)), ((1, false), (recorded, true)));
    }

    #[test]
    fn what_cannot_be_written_is_not_recorded_and_nothing_else_happens() {
        let temp = tempfile::tempdir().unwrap();
        let mut log = EventLog::open(&temp.path().join("nowhere").join("events"));
        log.turn(now(1), &Event::Tick, None);
        assert!(log.recording.is_none());

        let full = Path::new("/dev/full");
        let file = OpenOptions::new().append(true).open(full).unwrap();
        let recording = Recording { file, path: full.into(), length: 8, max: 1000, writer: LogWriter::new() };
        let mut log = EventLog { recording: Some(recording) };
        log.turn(now(1), &Event::Tick, None);
        assert!(log.recording.is_none());
    }
}
