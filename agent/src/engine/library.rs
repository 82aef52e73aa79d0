//! Looks for an ONNX Runtime library: configuration, environment, system directories, Python wheels.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::limits;

/// Where to look for an ONNX Runtime library.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LibrarySearch {
    /// The configured path; when set, nothing else is looked at.
    pub configured: Option<PathBuf>,
    /// Paths from the environment (`PINNACE_ORT_LIB`, then `ORT_DYLIB_PATH`).
    pub environment: Vec<PathBuf>,
    /// Directories that hold system libraries.
    pub system: Vec<PathBuf>,
    /// Python `site-packages` directories, or virtual environments such as `.venv`.
    pub python: Vec<PathBuf>,
    /// Time that one library may take to open; [`limits::PROBE_LIBRARY_TIME`] when left out.
    pub patience: Option<Duration>,
}

impl LibrarySearch {
    /// Returns the usual places of this system; `configured` and `python` come from the agent's configuration.
    pub fn of_this_system(configured: Option<PathBuf>, python: Vec<PathBuf>) -> Self {
        let named = ["PINNACE_ORT_LIB", "ORT_DYLIB_PATH"];
        let environment =
            named.iter().filter_map(std::env::var_os).filter(|v| !v.is_empty()).map(PathBuf::from).collect();
        let mut python = python;
        let homes = [("VIRTUAL_ENV", ""), ("HOME", ".local")];
        python
            .extend(homes.iter().filter_map(|(name, below)| Some(PathBuf::from(std::env::var_os(name)?).join(below))));
        python.extend(["/usr/local", "/usr/lib/python3/dist-packages"].map(PathBuf::from));
        let multiarch = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
        let system = ["/usr/local/lib", &multiarch, "/usr/lib", "/usr/lib64", "/opt/onnxruntime/lib"];
        let system = system.iter().map(PathBuf::from).collect();
        Self { configured, environment, system, python, patience: None }
    }

    /// Returns the files that may be the library, best first; none when nothing was found.
    ///
    /// A file that was searched for, and not named by the configuration or the environment, is left out when every user
    /// of the device may replace it: its code would run as the agent. [`Self::refused`] names those.
    pub fn candidates(&self) -> Vec<PathBuf> {
        if let Some(path) = &self.configured {
            return vec![path.clone()];
        }
        let named = self.environment.iter().filter(|p| p.is_file());
        let found = self.found().into_iter().filter(|p| !open_to_all(p));
        let mut unique: Vec<PathBuf> = Vec::new();
        for path in named.cloned().chain(found) {
            if !unique.contains(&path) {
                unique.push(path);
            }
        }
        unique
    }

    /// Returns the libraries that were found and are not used, because every user of the device may replace them.
    pub fn refused(&self) -> Vec<PathBuf> {
        if self.configured.is_some() {
            Vec::new()
        } else {
            self.found().into_iter().filter(|p| open_to_all(p)).collect()
        }
    }

    /// Returns the libraries in system directories and Python's packages.
    fn found(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for dir in self.system.iter().take(limits::LIBRARY_DIRS_MAX) {
            found.extend(libraries_in(dir));
        }
        for dir in self.python.iter().take(limits::LIBRARY_DIRS_MAX) {
            for packages in site_packages(dir) {
                found.extend(libraries_in(&packages.join("onnxruntime/capi")));
            }
        }
        found.retain(|path| path.is_file());
        found
    }
}

/// Returns whether every user may replace a file, itself or by its folder.
fn open_to_all(path: &Path) -> bool {
    let writable = |p: &Path| std::fs::metadata(p).is_ok_and(|m| m.mode() & 0o002 != 0);
    writable(path) || path.parent().is_some_and(writable)
}

/// Returns the directory itself and the `lib/python*/{site,dist}-packages` below it.
fn site_packages(dir: &Path) -> Vec<PathBuf> {
    let mut all = vec![dir.to_path_buf()];
    for python in entries(&dir.join("lib")).filter(|p| name(p).starts_with("python")) {
        all.extend(["site-packages", "dist-packages"].map(|packages| python.join(packages)));
    }
    all
}

/// Returns `libonnxruntime.so*` in `dir`, the highest version first.
fn libraries_in(dir: &Path) -> Vec<PathBuf> {
    let is_library = |p: &PathBuf| name(p) == "libonnxruntime.so" || name(p).starts_with("libonnxruntime.so.");
    let mut found: Vec<PathBuf> = entries(dir).filter(is_library).collect();
    found.sort_by_key(|p| std::cmp::Reverse(version(p)));
    found
}

fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let read = std::fs::read_dir(dir).into_iter().flatten();
    read.take(limits::LIBRARY_FILES_MAX).filter_map(|e| e.ok().map(|e| e.path()))
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(OsStr::to_str).unwrap_or_default()
}

fn version(path: &Path) -> Vec<u32> {
    name(path).split('.').filter_map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wheel_in_a_virtual_environment_is_found_and_the_newest_wins() {
        let root = tempfile::tempdir().unwrap();
        let capi = root.path().join(".venv/lib/python3.11/site-packages/onnxruntime/capi");
        std::fs::create_dir_all(&capi).unwrap();
        for file in ["libonnxruntime.so.1.9.0", "libonnxruntime.so.1.32.0", "libonnxruntime_providers_shared.so"] {
            std::fs::write(capi.join(file), b"").unwrap();
        }
        let search = LibrarySearch { python: vec![root.path().join(".venv")], ..LibrarySearch::default() };
        let names: Vec<_> = search.candidates().iter().map(|p| name(p).to_owned()).collect();
        assert_eq!(names, ["libonnxruntime.so.1.32.0", "libonnxruntime.so.1.9.0"]);
    }

    #[test]
    fn a_library_that_anyone_may_replace_is_not_used_unless_it_is_named() {
        use std::os::unix::fs::PermissionsExt as _;
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("libonnxruntime.so.1.32.0");
        std::fs::write(&file, b"").unwrap();
        let search = LibrarySearch { system: vec![root.path().into()], ..LibrarySearch::default() };
        let mode = |path: &Path, bits| std::fs::set_permissions(path, std::fs::Permissions::from_mode(bits)).unwrap();
        for (file_mode, dir_mode, used) in [(0o644, 0o755, true), (0o666, 0o755, false), (0o644, 0o777, false)] {
            mode(&file, file_mode);
            mode(root.path(), dir_mode);
            assert_eq!(search.candidates().len(), usize::from(used), "{file_mode:o} {dir_mode:o}");
            assert_eq!(search.refused().len(), usize::from(!used), "{file_mode:o} {dir_mode:o}");
        }
        let named = LibrarySearch { environment: vec![file.clone()], ..LibrarySearch::default() };
        assert_eq!(named.candidates(), [file]);
    }

    #[test]
    fn a_configured_path_is_the_only_candidate_and_files_that_are_not_there_are_none() {
        let configured = LibrarySearch { configured: Some("/x/lib.so".into()), ..LibrarySearch::default() };
        assert_eq!(configured.candidates(), [PathBuf::from("/x/lib.so")]);
        let gone = LibrarySearch { environment: vec!["/nowhere/libonnxruntime.so".into()], ..LibrarySearch::default() };
        assert!(gone.candidates().is_empty());
    }
}
