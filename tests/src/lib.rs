//! Drives the real `pinnace` program as people and devices do: processes, HTTP, files, signals, disks.
//!
//! The program is looked for at `PINNACE_BIN`, else beside the tests (`target/<profile>/pinnace`). Nothing of the agent
//! or the control plane is linked here.
pub mod agent;
pub mod bundles;
pub mod data;
pub mod http;
pub mod plane;
pub mod process;
pub mod room;
pub mod wait;

use std::path::{Path, PathBuf};

/// Returns the root of the source tree.
pub fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_path_buf()
}
