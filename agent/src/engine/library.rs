//! Looks for an ONNX Runtime library: configuration, environment, system directories, Python wheels.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

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
}

impl LibrarySearch {
    /// Returns the usual places of this system; `configured` and `python` come from the agent's configuration.
    pub fn of_this_system(configured: Option<PathBuf>, python: Vec<PathBuf>) -> Self {
        let named = ["PINNACE_ORT_LIB", "ORT_DYLIB_PATH"];
        let environment =
            named.iter().filter_map(std::env::var_os).filter(|v| !v.is_empty()).map(PathBuf::from).collect();
        let multiarch = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
        let system = ["/usr/local/lib", &multiarch, "/usr/lib", "/usr/lib64", "/opt/onnxruntime/lib"];
        Self { configured, environment, system: system.iter().map(PathBuf::from).collect(), python }
    }

    /// Returns the files that may be the library, best first; none when nothing was found.
    pub fn candidates(&self) -> Vec<PathBuf> {
        if let Some(path) = &self.configured {
            return vec![path.clone()];
        }
        let mut found: Vec<PathBuf> = self.environment.clone();
        for dir in self.system.iter().take(limits::LIBRARY_DIRS_MAX) {
            found.extend(libraries_in(dir));
        }
        for dir in self.python.iter().take(limits::LIBRARY_DIRS_MAX) {
            for packages in site_packages(dir) {
                found.extend(libraries_in(&packages.join("onnxruntime/capi")));
            }
        }
        let mut unique = Vec::new();
        for path in found {
            if path.is_file() && !unique.contains(&path) {
                unique.push(path);
            }
        }
        unique
    }
}

/// Returns the directory itself and the `lib/python*/site-packages` below it.
fn site_packages(dir: &Path) -> Vec<PathBuf> {
    let mut all = vec![dir.to_path_buf()];
    for python in entries(&dir.join("lib")).filter(|p| name(p).starts_with("python")) {
        all.push(python.join("site-packages"));
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
    fn a_configured_path_is_the_only_candidate_and_files_that_are_not_there_are_none() {
        let configured = LibrarySearch { configured: Some("/x/lib.so".into()), ..LibrarySearch::default() };
        assert_eq!(configured.candidates(), [PathBuf::from("/x/lib.so")]);
        let gone = LibrarySearch { environment: vec!["/nowhere/libonnxruntime.so".into()], ..LibrarySearch::default() };
        assert!(gone.candidates().is_empty());
    }
}
