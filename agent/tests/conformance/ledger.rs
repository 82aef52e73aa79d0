//! Ledgers on a real disk. A death is an image of the files as they are at that moment, which the next process opens.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pinnace_agent::ledger::{Change, Ledger, LedgerError, SledLedger};
use pinnace_agent_core::api::{Key, Op};
use pinnace_simulator::conformance::ledger::{self as rules, Ledger as Tested};
use pinnace_simulator::conformance::{Held, hold};
use tempfile::TempDir;

/// Files by their path below the ledger's folder.
type Image = BTreeMap<PathBuf, Vec<u8>>;

/// Opens a ledger in a folder.
type Open = fn(&Path) -> Result<Box<dyn Ledger>, LedgerError>;

struct OnDisk {
    home: TempDir,
    /// How many folders there were: each life has its own.
    lives: u32,
    open: Open,
    grows: Grows,
    /// None only between two lives.
    ledger: Option<Box<dyn Ledger>>,
}

fn read(folder: &Path, below: &Path, image: &mut Image) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            read(folder, &path, image)?;
        } else {
            image.insert(path, std::fs::read(entry.path())?);
        }
    }
    Ok(())
}

fn write(folder: &Path, image: &Image) -> std::io::Result<()> {
    for (path, bytes) in image {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
        std::fs::write(path, bytes)?;
    }
    Ok(())
}

/// When a file that grows has its new length.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grows {
    /// Before a byte is written into it: room is made first.
    First,
    /// With the bytes that are written.
    ByWriting,
}

/// Returns the files when of the bytes that differ only the first `permille` were written.
fn between(before: &Image, after: &Image, permille: u32, grows: Grows) -> Image {
    let empty = Vec::new();
    let span = |path: &PathBuf, new: &[u8]| {
        let old = before.get(path).unwrap_or(&empty);
        let differs = |at: usize| old.get(at) != new.get(at);
        let length = old.len().max(new.len());
        let first = (0..length).find(|at| differs(*at)).unwrap_or(length);
        let last = (first..length).rev().find(|at| differs(*at)).map_or(first, |at| at + 1);
        (first, last)
    };
    let spans: Vec<_> = after.iter().map(|(path, new)| (path, new, span(path, new))).collect();
    let total: usize = spans.iter().map(|(_, _, (first, last))| last - first).sum();
    let mut left = (total as u64 * u64::from(permille) / 1000) as usize;
    let mut image = before.clone();
    for (path, new, (first, last)) in spans {
        let count = left.min(last - first);
        left -= count;
        if count == last - first {
            // Also files that are new and empty, unless nothing at all was written.
            if permille > 0 {
                image.insert(path.clone(), new.clone());
            }
        } else if count > 0 {
            let file = image.entry(path.clone()).or_default();
            let until = (first + count).min(new.len());
            let length = if grows == Grows::First { new.len() } else { until };
            file.resize(file.len().max(length), 0);
            file[first..until].copy_from_slice(&new[first..until]);
        }
    }
    image
}

impl OnDisk {
    fn fresh(open: Open, grows: Grows) -> Result<Box<dyn Tested>, String> {
        let home = tempfile::tempdir().map_err(|e| e.to_string())?;
        let mut one = Self { home, lives: 0, open, grows, ledger: None };
        one.reopen()?;
        Ok(Box::new(one))
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join(self.lives.to_string())
    }

    fn image(&self) -> Result<Image, String> {
        let mut image = Image::new();
        read(&self.folder(), Path::new(""), &mut image).map_err(|e| e.to_string())?;
        Ok(image)
    }

    /// The next process finds these files.
    fn live_on(&mut self, image: &Image) -> Held {
        // Whatever the old process does on its way out, it does in its own folder.
        self.lives += 1;
        let folder = self.folder();
        std::fs::create_dir(&folder).and_then(|()| write(&folder, image)).map_err(|e| e.to_string())?;
        self.ledger = Some((self.open)(&folder).map_err(|e| e.to_string())?);
        Ok(())
    }
}

impl Tested for OnDisk {
    fn load(&self) -> Result<Vec<(Key, Vec<u8>)>, String> {
        let records = self.ledger.as_ref().ok_or("it is closed")?.load().map_err(|e| e.to_string())?;
        let key = |(key, bytes): (String, Vec<u8>)| Ok((Key::parse(&key).ok_or(key)?, bytes));
        records.into_iter().map(key).collect()
    }

    fn commit(&mut self, ops: Vec<Op>) -> Held {
        let change = |op| match op {
            Op::Put { key, bytes } => Change::Put { key: key.to_text(), value: bytes },
            Op::Delete { key } => Change::Delete { key: key.to_text() },
        };
        let changes: Vec<Change> = ops.into_iter().map(change).collect();
        self.ledger.as_mut().ok_or("it is closed")?.commit(&changes).map_err(|e| e.to_string())
    }

    fn reopen(&mut self) -> Held {
        self.ledger = None;
        self.ledger = Some((self.open)(&self.folder()).map_err(|e| e.to_string())?);
        Ok(())
    }

    fn die(&mut self) -> Held {
        let image = self.image()?;
        self.live_on(&image)
    }

    fn die_committing(&mut self, ops: Vec<Op>, permille: u32) -> Held {
        let before = self.image()?;
        self.commit(ops)?;
        let after = self.image()?;
        self.live_on(&between(&before, &after, permille, self.grows))
    }
}

#[test]
fn sled_keeps_the_rules_of_the_virtual_disk() {
    for grows in [Grows::First, Grows::ByWriting] {
        hold(rules::RULES, || OnDisk::fresh(|folder| Ok(Box::new(SledLedger::open(folder)?)), grows)).unwrap();
    }
}

#[test]
fn an_image_between_two_is_a_prefix_of_the_change() {
    let image = |bytes: &[u8]| Image::from([(PathBuf::from("db"), bytes.to_vec())]);
    let (before, after) = (image(b"aaaaaa"), image(b"abbbbbcc"));
    let told = |permille, grows| between(&before, &after, permille, grows)[Path::new("db")].clone();
    for grows in [Grows::First, Grows::ByWriting] {
        assert_eq!((told(0, grows), told(1000, grows)), (b"aaaaaa".to_vec(), b"abbbbbcc".to_vec()));
    }
    assert_eq!((told(300, Grows::ByWriting), told(900, Grows::ByWriting)), (b"abbaaa".to_vec(), b"abbbbbc".to_vec()));
    assert_eq!(told(300, Grows::First), b"abbaaa\0\0");
}

#[cfg(feature = "redb")]
#[test]
fn redb_keeps_the_rules_of_the_virtual_disk() {
    use pinnace_agent::ledger::redb::RedbLedger;
    // redb makes room in its file before it writes into it.
    hold(rules::RULES, || OnDisk::fresh(|folder| Ok(Box::new(RedbLedger::open(folder)?)), Grows::First)).unwrap();
}
