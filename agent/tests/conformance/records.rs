//! Records in two real files.
use std::path::PathBuf;

use pinnace_agent::twoslot::TwoSlotFile;
use pinnace_simulator::conformance::records::{self as rules, Record};
use pinnace_simulator::conformance::{Damage, Held, hold};
use tempfile::TempDir;

/// Bytes of a file that is longer than any record.
const OVERSIZED: usize = 256 * 1024 + 1;

struct OnDisk {
    home: TempDir,
    file: TwoSlotFile,
}

impl OnDisk {
    fn fresh() -> Result<Box<dyn Record>, String> {
        let home = tempfile::tempdir().map_err(|e| e.to_string())?;
        let file = TwoSlotFile::new(home.path(), "floors");
        Ok(Box::new(Self { home, file }))
    }

    fn path(&self, at: usize) -> PathBuf {
        self.home.path().join(format!("floors.{at}"))
    }

    fn put(&self, at: usize, bytes: &[u8]) -> Held {
        std::fs::write(self.path(at), bytes).map_err(|e| e.to_string())
    }
}

impl Record for OnDisk {
    fn load(&self) -> Result<[Option<Vec<u8>>; 2], String> {
        self.file.load().map_err(|e| e.to_string())
    }

    fn store(&mut self, bytes: &[u8]) -> Held {
        self.file.store(bytes).map_err(|e| e.to_string())
    }

    fn die_storing(&mut self, bytes: &[u8], at: usize, is_done: bool) -> Held {
        // The steps of a replacement are a file beside, in any state, and then its new name.
        (0..at).try_for_each(|before| self.put(before, bytes))?;
        if is_done {
            self.put(at, bytes)?;
        } else {
            let beside = self.path(at).with_added_extension("new");
            std::fs::write(beside, &bytes[..bytes.len() / 2]).map_err(|e| e.to_string())?;
        }
        // The next process.
        self.file = TwoSlotFile::new(self.home.path(), "floors");
        Ok(())
    }

    fn damage(&mut self, at: usize, damage: Damage) -> Held {
        let bytes = std::fs::read(self.path(at)).map_err(|e| e.to_string())?;
        match damage.apply(&bytes, OVERSIZED) {
            Some(left) => self.put(at, &left),
            None => std::fs::remove_file(self.path(at)).map_err(|e| e.to_string()),
        }
    }
}

#[test]
fn two_files_keep_the_rules_of_the_virtual_disk() {
    hold(rules::RULES, OnDisk::fresh).unwrap();
}
