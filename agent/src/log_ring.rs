//! The log on disk: a ring of files in `<home>/logs`, bounded as a whole, the oldest dropped first.
//!
//! Each line is written at once, so that a `kill -9` costs none; nothing is synced, so that a log wears no flash out.
//! A line that cannot be written is dropped: the agent's work does not depend on its log.
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The folder below the agent's home.
pub const FOLDER: &str = "logs";
/// Files of a ring: what is dropped at once is one of so many parts.
pub const SEGMENTS: u64 = 8;
/// Bytes of a ring on a device whose profile says nothing else.
pub const CAP_BYTES: u64 = 8 * 1024 * 1024;
/// Bytes of a line; the rest is cut.
pub const LINE_MAX_BYTES: usize = 4 * 1024;
/// Permission bits: names of models and hosts are not everybody's business.
const MODE: u32 = 0o600;

static RING: Mutex<Option<Ring>> = Mutex::new(None);

/// A bounded log in a folder.
#[derive(Debug)]
pub struct Ring {
    folder: PathBuf,
    segment_bytes: u64,
    number: u64,
    file: File,
    length: u64,
}

impl Ring {
    /// Opens the ring below `home` with at most `cap` bytes in all; goes on in the newest file.
    ///
    /// # Errors
    /// What the system said.
    pub fn open(home: &Path, cap: u64) -> io::Result<Self> {
        let folder = home.join(FOLDER);
        fs::create_dir_all(&folder)?;
        let number = segments(&folder).last().map_or(1, |(number, _)| *number);
        let (file, length) = open(&folder, number)?;
        let segment_bytes = (cap / SEGMENTS).max(LINE_MAX_BYTES as u64);
        let mut ring = Self { folder, segment_bytes, number, file, length };
        ring.trim();
        // What a cut or a kill left of the last line is ended, so that the next one stands by itself.
        if ring.length > 0 {
            ring.append(b"\n");
        }
        Ok(ring)
    }

    /// Appends one line, with its line break.
    pub fn append(&mut self, line: &[u8]) {
        let line = &line[..line.len().min(LINE_MAX_BYTES)];
        if self.length + line.len() as u64 > self.segment_bytes && !self.turn() {
            return;
        }
        match self.file.write_all(line) {
            Ok(()) => self.length += line.len() as u64,
            // The disk is full: the place of the oldest lines is better used by the newest.
            Err(_) => self.drop_oldest(),
        }
    }

    fn turn(&mut self) -> bool {
        let Ok((file, length)) = open(&self.folder, self.number + 1) else { return false };
        (self.file, self.length) = (file, length);
        self.number += 1;
        self.trim();
        true
    }

    fn trim(&mut self) {
        let found = segments(&self.folder);
        let many = found.len().saturating_sub(SEGMENTS as usize);
        for (_, path) in found.into_iter().take(many) {
            // It is tried again with the next file.
            let _ = fs::remove_file(path);
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((number, path)) = segments(&self.folder).into_iter().next()
            && number != self.number
        {
            let _ = fs::remove_file(path);
        }
    }
}

fn open(folder: &Path, number: u64) -> io::Result<(File, u64)> {
    let path = folder.join(format!("{number:010}.log"));
    let file = OpenOptions::new().append(true).create(true).mode(MODE).open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

/// Returns the files of a ring, oldest first.
fn segments(folder: &Path) -> Vec<(u64, PathBuf)> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<(u64, PathBuf)> = names
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?;
            Some((name.strip_suffix(".log")?.parse().ok()?, path))
        })
        .collect();
    found.sort();
    found
}

/// Lets everything that is logged from now on go to the ring below `home` too.
///
/// # Errors
/// What the system said; nothing goes there then.
pub fn keep(home: &Path, cap: u64) -> io::Result<()> {
    let ring = Ring::open(home, cap)?;
    *RING.lock().unwrap_or_else(PoisonError::into_inner) = Some(ring);
    Ok(())
}

/// Writes what a log layer formats into the ring, when one is kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct ToRing;

impl Write for ToRing {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(ring) = RING.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            ring.append(line);
        }
        Ok(line.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How important a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum LineLevel {
    /// Everything.
    Trace,
    /// What helps to find a fault.
    Debug,
    /// Good to know.
    Info,
    /// Somebody should look at it.
    Warn,
    /// Something was refused or lost.
    Error,
}

impl LineLevel {
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "TRACE" => Self::Trace,
            "DEBUG" => Self::Debug,
            "INFO" => Self::Info,
            "WARN" => Self::Warn,
            "ERROR" => Self::Error,
            _ => return None,
        })
    }
}

/// Reads a ring: lines of at least a level, since a moment, oldest first.
#[derive(Debug)]
pub struct Reader {
    folder: PathBuf,
    level: LineLevel,
    /// RFC 3339; lines sort as their times do.
    since: String,
    at: (u64, u64),
    /// Whether the lines of the entry at hand are wanted: an entry may have several.
    wanted: bool,
}

impl Reader {
    /// Returns a reader of the ring below `home`; `since` is the beginning of an RFC 3339 time, empty for all.
    pub fn new(home: &Path, level: LineLevel, since: &str) -> Self {
        Self { folder: home.join(FOLDER), level, since: since.into(), at: (0, 0), wanted: false }
    }

    /// Returns the lines that are wanted and were not read before.
    pub fn lines(&mut self) -> Vec<String> {
        let mut out = Vec::new();
        for (number, path) in segments(&self.folder) {
            if number < self.at.0 {
                continue;
            }
            let from = if number == self.at.0 { self.at.1 } else { 0 };
            // Dropped meanwhile: what came after it is read all the same.
            let Ok(bytes) = fs::read(&path) else { continue };
            let new = bytes.get(usize::try_from(from).unwrap_or(usize::MAX)..).unwrap_or_default();
            let whole = new.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
            for line in String::from_utf8_lossy(&new[..whole]).lines().filter(|line| !line.is_empty()) {
                let mut words = line.split_whitespace();
                let (time, level) = (words.next().unwrap_or_default(), words.next().and_then(LineLevel::of));
                if let Some(level) = level {
                    self.wanted = level >= self.level && time >= self.since.as_str();
                }
                if self.wanted {
                    out.push(line.to_owned());
                }
            }
            self.at = (number, from + whole as u64);
        }
        out
    }
}

/// Characters from which a word without spaces may be a key, a token or a certificate.
const SECRET_MIN_CHARS: usize = 40;

/// Returns a line with everything removed that could be a secret: long words of key material, passwords in addresses.
pub fn redact(line: &str) -> String {
    let of_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '_' | '-');
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while !rest.is_empty() {
        let end = rest.find(|c| !of_key(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        // A path has many slashes and short names between them.
        let is_long = word.split('/').any(|part| part.len() >= SECRET_MIN_CHARS);
        out.push_str(if is_long { "[redacted]" } else { word });
        let next = after.chars().next().map_or(0, char::len_utf8);
        out.push_str(&after[..next]);
        rest = &after[next..];
    }
    match (out.find("://"), out.find('@')) {
        (Some(scheme), Some(at)) if scheme < at && !out[scheme + 3..at].contains(char::is_whitespace) => {
            format!("{}://[redacted]{}", &out[..scheme], &out[at..])
        }
        _ => out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u32, level: &str) -> String {
        format!("2026-11-27T10:{:02}:{:02}.000000Z {level:>5} line {number}\n", number / 60 % 60, number % 60)
    }

    fn size(home: &Path) -> u64 {
        segments(&home.join(FOLDER)).iter().map(|(_, path)| fs::metadata(path).unwrap().len()).sum()
    }

    #[test]
    fn a_ring_is_bounded_and_keeps_the_newest_over_restarts() {
        let temp = tempfile::tempdir().unwrap();
        let cap = 8 * LINE_MAX_BYTES as u64;
        for start in 0..5 {
            let mut ring = Ring::open(temp.path(), cap).unwrap();
            for number in start * 1000..(start + 1) * 1000 {
                ring.append(line(number, "INFO").as_bytes());
                assert!(size(temp.path()) <= cap);
            }
        }
        let lines = Reader::new(temp.path(), LineLevel::Trace, "").lines();
        let numbers: Vec<u32> = lines.iter().map(|l| l.rsplit_once(' ').unwrap().1.parse().unwrap()).collect();
        assert_eq!(numbers.last(), Some(&4999));
        assert!(numbers.len() > 500 && numbers.windows(2).all(|w| w[1] == w[0] + 1), "the newest, without a gap");
    }

    #[test]
    fn a_torn_line_costs_no_other_and_a_reader_follows() {
        let temp = tempfile::tempdir().unwrap();
        let mut ring = Ring::open(temp.path(), CAP_BYTES).unwrap();
        ring.append(line(1, "INFO").as_bytes());
        ring.append(b"2026-11-27T10:00:02.000000Z  INFO torn");
        let mut reader = Reader::new(temp.path(), LineLevel::Trace, "");
        assert_eq!(reader.lines().len(), 1, "half a line is not read yet");
        drop(ring);
        let mut ring = Ring::open(temp.path(), CAP_BYTES).unwrap();
        ring.append(line(3, "WARN").as_bytes());
        let rest = reader.lines();
        assert!(rest.len() == 2 && rest[0].ends_with("torn") && rest[1].ends_with("line 3"), "{rest:?}");
        assert_eq!(reader.lines(), Vec::<String>::new());
    }

    #[test]
    fn level_and_time_choose_whole_entries() {
        let temp = tempfile::tempdir().unwrap();
        let mut ring = Ring::open(temp.path(), CAP_BYTES).unwrap();
        ring.append(line(1, "WARN").as_bytes());
        ring.append(line(61, "INFO").as_bytes());
        ring.append(line(62, "WARN").as_bytes());
        ring.append(b"  hint: its second line\n");
        ring.append(line(63, "ERROR").as_bytes());
        let read = |level, since: &str| Reader::new(temp.path(), level, since).lines().len();
        assert_eq!((read(LineLevel::Trace, ""), read(LineLevel::Warn, ""), read(LineLevel::Error, "")), (5, 4, 1));
        assert_eq!(read(LineLevel::Warn, "2026-11-27T10:01"), 3);
    }

    #[test]
    fn secrets_do_not_leave_the_device() {
        let secret = "a1".repeat(32);
        for line in [
            format!("token {secret}"),
            format!("Bearer {secret}"),
            format!("{{\"secret\":\"{secret}\"}}"),
            format!("path /{secret}/x"),
        ] {
            let told = redact(&line);
            assert!(!told.contains(&secret) && told.contains("[redacted]"), "{told}");
        }
        assert_eq!(redact("http://user:pass@plane:1/x"), "http://[redacted]@plane:1/x");
        for plain in
            ["the model in slot a is active", "/var/lib/pinnace-agent/slots/a/manifest.json", "row 3: 0.25", ""]
        {
            assert_eq!(redact(plain), plain);
        }
    }

    #[test]
    fn a_full_disk_costs_lines_and_nothing_else() {
        let temp = tempfile::tempdir().unwrap();
        let mut ring = Ring::open(temp.path(), CAP_BYTES).unwrap();
        ring.file = OpenOptions::new().append(true).open("/dev/full").unwrap();
        (0..100).for_each(|n| ring.append(line(n, "INFO").as_bytes()));
    }
}
