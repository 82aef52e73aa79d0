//! The agent's folder and the file system that it lies on.
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{Findings, Mark, Places};
use crate::slots::RESERVE_BYTES;

/// Inodes below which the next bundle may not find names for its files: 64 blobs, the ledger, their temporary twins.
const INODES_MIN: u64 = 256;
/// Bytes of an event log from which it is worth a look.
const EVENT_LOG_WARN_BYTES: u64 = 96 * 1024 * 1024;
/// Bytes of a MiB.
const MIB: u64 = 1024 * 1024;

/// Kinds of file systems by their magic number, with what is wrong with them for a device's memory.
const KINDS: [(u64, &str, Option<&str>); 9] = [
    (0x0102_1994, "tmpfs", Some("everything is lost when the device is switched off")),
    (0x8584_58f6, "ramfs", Some("everything is lost when the device is switched off")),
    (0x794c_7630, "overlay", Some("what is written may be lost with the container")),
    (0x6969, "nfs", Some("locks and syncs over a network are not to be relied on")),
    (0x4d44, "vfat", Some("it knows no permissions, and a power cut can cost the whole folder")),
    (0xef53, "ext4", None),
    (0x5846_5342, "xfs", None),
    (0x9123_683e, "btrfs", None),
    (0xf2f5_2010, "f2fs", None),
];

/// Checks that the folder is there, ours and closed to others.
pub(super) fn check(places: &Places, out: &mut Findings) {
    let home = &places.home;
    let found = match std::fs::metadata(home) {
        Ok(found) if found.is_dir() => found,
        Ok(_) => return out.fail("home", format!("{} is not a folder", home.display()), "name a folder with --home"),
        Err(e) => {
            let hint = "create it, or name the right one with --home";
            return out.fail("home", format!("{}: {e}", home.display()), hint);
        }
    };
    out.ok("home", home.display().to_string());
    if found.uid() == places.uid || places.uid == 0 {
        out.ok("owner", format!("user {}", found.uid()));
    } else {
        let hint = format!("run as that user, or: chown -R {} {}", places.uid, home.display());
        out.fail("owner", format!("user {} owns it, this is user {}", found.uid(), places.uid), hint);
    }
    let mode = found.mode() & 0o777;
    if mode & 0o022 != 0 {
        out.fail("home mode", format!("{mode:o}: others may write"), format!("chmod 700 {}", home.display()));
    } else {
        out.ok("home mode", format!("{mode:o}"));
    }
    event_log(home, out);
}

/// Looks for event logs, which grow to a bound that a small disk may not have.
fn event_log(home: &Path, out: &mut Findings) {
    let names = std::fs::read_dir(home).into_iter().flatten().flatten().take(1000);
    let logs = names.filter(|e| e.file_name().to_string_lossy().starts_with("events"));
    let bytes: u64 = logs.filter_map(|e| e.metadata().ok()).map(|m| m.len()).sum();
    let found = format!("{} MiB", bytes / MIB);
    let hint = "it is for finding faults: leave --event-log out of the unit when they are found, and remove the files";
    out.add("event log", if bytes > EVENT_LOG_WARN_BYTES { Mark::Warn } else { Mark::Ok }, found, hint);
}

/// What is known of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSystem {
    /// Bytes free for us.
    pub free_bytes: u64,
    /// Names that may still be made.
    pub inodes_free: u64,
    /// Names there can be; 0 where there is no such bound.
    pub inodes: u64,
    /// Its magic number.
    pub magic: u64,
    /// Whether it is mounted read-only.
    pub read_only: bool,
}

impl FileSystem {
    /// Returns what is known of the one below `path`.
    ///
    /// # Errors
    /// A text with what the system said.
    pub fn of(path: &Path) -> Result<Self, String> {
        let vfs = rustix::fs::statvfs(path).map_err(|e| e.to_string())?;
        let fs = rustix::fs::statfs(path).map_err(|e| e.to_string())?;
        Ok(Self {
            free_bytes: vfs.f_bavail.saturating_mul(vfs.f_frsize),
            inodes_free: vfs.f_favail,
            inodes: vfs.f_files,
            magic: u64::try_from(fs.f_type).unwrap_or(0) & 0xffff_ffff,
            read_only: vfs.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
        })
    }

    /// Checks that another bundle of `need` bytes fits, and that what is written stays.
    pub fn check(&self, need: u64, out: &mut Findings) {
        let (free, room) = (self.free_bytes, need.saturating_add(RESERVE_BYTES));
        let found = format!("{} MiB free, the largest bundle takes {} MiB", free / MIB, room / MIB);
        let mark = match free {
            _ if free < RESERVE_BYTES => Mark::Fail,
            _ if free < room => Mark::Warn,
            _ => Mark::Ok,
        };
        out.add(
            "disk",
            mark,
            found,
            "free some space: the next bundle waits until there is room, then goes on by itself",
        );
        if self.inodes > 0 && self.inodes_free < INODES_MIN {
            let hint = "remove small files nobody needs (`df -i`)";
            out.fail("inodes", format!("{} left of {}", self.inodes_free, self.inodes), hint);
        } else {
            out.ok("inodes", if self.inodes == 0 { "no bound".into() } else { format!("{} left", self.inodes_free) });
        }
        let known = KINDS.iter().find(|(magic, ..)| *magic == self.magic);
        match known {
            _ if self.read_only => {
                out.fail("file system", "mounted read-only", "mount it writable; look at `dmesg` first")
            }
            Some((_, name, Some(why))) => {
                out.warn("file system", format!("{name}: {why}"), "put --home on a disk of its own, e.g. ext4");
            }
            Some((_, name, None)) => out.ok("file system", *name),
            None => out.ok("file system", format!("kind {:#x}", self.magic)),
        }
    }
}
