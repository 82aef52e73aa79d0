//! A small disk of its own: a tmpfs in a mount namespace that lives as long as the test.
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use crate::process::Process;

/// Seconds until the disk must be there.
const START_S: u64 = 30;
/// A name on the disk that nobody else uses.
const FILLER: &str = "filler";

/// A small disk, mounted on a folder for processes that are started inside.
pub struct Room {
    holder: Process,
    dir: PathBuf,
    root: bool,
}

impl Room {
    /// Makes a disk of `mib` MiB on the folder `dir`.
    ///
    /// Without the right to mount (`unshare -m` as root, or `unshare -rm`), the test cannot run: `None` when
    /// `PINNACE_SKIP_FULL_DISK` says that this is known.
    ///
    /// # Panics
    /// When it cannot be made and that was not known.
    pub fn new(dir: &Path, mib: u32) -> Option<Self> {
        if std::env::var_os("PINNACE_SKIP_FULL_DISK").is_some() {
            eprintln!("not run: no disk can be mounted here (PINNACE_SKIP_FULL_DISK)");
            return None;
        }
        std::fs::create_dir_all(dir).expect("the folder can be made");
        let root = rustix::process::geteuid().is_root();
        let script = format!(
            "mount -t tmpfs -o size={mib}m tmpfs \"$0\" && echo mounted here && exec setpriv --pdeathsig KILL sleep infinity"
        );
        let way = if root { "-m" } else { "-rm" };
        let args = [way, "sh", "-c", &script, &dir.display().to_string()].map(String::from);
        let mut holder = Process::other("unshare", &args, &dir.with_extension("room.log"));
        holder.wait_for("mounted", START_S);
        Some(Self { holder, dir: dir.into(), root })
    }

    /// Returns the words in front of a program that runs inside.
    pub fn inside(&self) -> Vec<String> {
        let id = self.holder.id().to_string();
        let mut words = ["nsenter", "-t", &id, "-m"].map(String::from).to_vec();
        if !self.root {
            words.extend(["-U", "--preserve-credentials"].map(String::from));
        }
        words
    }

    /// Returns where the disk is seen from outside.
    pub fn outside(&self) -> PathBuf {
        let dir = self.dir.strip_prefix("/").unwrap_or(&self.dir);
        PathBuf::from(format!("/proc/{}/root", self.holder.id())).join(dir)
    }

    /// Returns the free bytes.
    ///
    /// # Panics
    /// When the disk is gone.
    pub fn free(&self) -> u64 {
        let stat = rustix::fs::statvfs(self.outside()).expect("the disk is there");
        stat.f_bavail * stat.f_frsize
    }

    /// Takes space until `leave` bytes are free.
    ///
    /// # Panics
    /// When that does not work.
    pub fn fill(&self, leave: u64) {
        let file = OpenOptions::new().create(true).append(true).open(self.outside().join(FILLER)).expect("a file");
        let length = file.metadata().map_or(0, |m| m.len());
        let more = self.free().saturating_sub(leave);
        if more > 0 {
            let flags = rustix::fs::FallocateFlags::empty();
            rustix::fs::fallocate(&file, flags, length, more).expect("the space can be taken");
        }
    }

    /// Gives the space back.
    ///
    /// # Panics
    /// When the file cannot be removed.
    pub fn relieve(&self) {
        std::fs::remove_file(self.outside().join(FILLER)).expect("the filler can be removed");
    }
}
