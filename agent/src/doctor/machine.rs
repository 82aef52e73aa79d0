//! The hardware and the system around the agent, compared with the device profile.
use std::path::{Path, PathBuf};

use pinnace_firmware_targets::{DeviceProfile, EngineName};

use super::identity::first_line;
use super::{Findings, Mark};
use crate::identity::Identity;
use crate::sensors;

/// Open files that an agent with a busy local API may need.
const FILES_MIN: u64 = 1024;
/// Share of a profile's memory that the device must have, percent: firmware keeps some for itself.
const MEMORY_MIN_PERCENT: u64 = 85;
/// Tenths of a degree Celsius from which boards slow themselves down.
const HOT_DECIC: i32 = 800;
/// Tenths of a degree from which they may switch off.
const TOO_HOT_DECIC: i32 = 950;
/// Bytes of a unit file.
const UNIT_MAX_BYTES: u64 = 64 * 1024;

/// What the machine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Rust's name of its architecture.
    pub arch: String,
    /// Memory, MiB; 0 when unknown.
    pub memory_mib: u64,
    /// Memory that programs may still take, MiB; 0 when unknown.
    pub available_mib: u64,
    /// Processors.
    pub cores: usize,
    /// The hottest sensor, tenths of a degree Celsius.
    pub temperature_decic: Option<i32>,
    /// Files that this process may have open; none when there is no bound.
    pub files: Option<u64>,
    /// The unit file that starts the agent, when there is one.
    pub unit: Option<(PathBuf, String)>,
}

impl Machine {
    /// Returns what this machine is, by the files below `root`.
    pub fn of(root: &Path) -> Self {
        let memory = sensors::memory(root);
        let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let units = ["etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"];
        let unit = units.iter().map(|dir| root.join(dir).join("pinnace-agent.service")).find_map(|path| {
            let bytes = crate::files::read_bounded(&path, UNIT_MAX_BYTES).ok()??;
            Some((path, String::from_utf8_lossy(&bytes).into_owned()))
        });
        Self {
            arch: std::env::consts::ARCH.into(),
            memory_mib: memory.map_or(0, |m| m.total_mib),
            available_mib: memory.map_or(0, |m| m.available_mib),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            temperature_decic: sensors::temperature_decic(root),
            files: limits.current,
            unit,
        }
    }

    /// Checks the machine, by its profile when it has one.
    pub fn check(&self, profile: Option<&DeviceProfile>, out: &mut Findings) {
        if let Some(profile) = profile {
            self.fits(profile, out);
        }
        self.heat(out);
        match self.files {
            Some(files) if files < FILES_MIN => {
                out.warn(
                    "open files",
                    format!("at most {files}"),
                    format!("LimitNOFILE={FILES_MIN} in the unit, or ulimit -n"),
                );
            }
            Some(files) => out.ok("open files", format!("at most {files}")),
            None => out.ok("open files", "no bound"),
        }
        self.service(out);
    }

    fn fits(&self, profile: &DeviceProfile, out: &mut Findings) {
        let hint = "join again with --profile of what this device is";
        if profile.arch.as_str() == self.arch {
            out.ok("architecture", self.arch.clone());
        } else {
            let found = format!("this is {}, profile {} is for {}", self.arch, profile.name, profile.arch);
            out.fail("architecture", found, hint);
        }
        let (has, wants) = (self.memory_mib, u64::from(profile.ram_mib));
        let found = format!("{has} MiB and {} processors; profile {} names {wants} MiB", self.cores, profile.name);
        let is_less = has > 0 && has < wants * MEMORY_MIN_PERCENT / 100;
        out.add("hardware", if is_less { Mark::Warn } else { Mark::Ok }, found, hint);
        let (free, budget) = (self.available_mib, u64::from(profile.agent.memory_mib));
        let found = format!("{free} MiB available, the agent may take {budget}");
        let mark = if free > 0 && free < budget { Mark::Warn } else { Mark::Ok };
        out.add("memory budget", mark, found, "free memory for the agent, or use a profile with a smaller budget");
    }

    fn heat(&self, out: &mut Findings) {
        let Some(decic) = self.temperature_decic else { return out.ok("temperature", "no sensor") };
        let mark = match decic {
            TOO_HOT_DECIC.. => Mark::Fail,
            HOT_DECIC.. => Mark::Warn,
            _ => Mark::Ok,
        };
        let found = format!("{}.{} degrees Celsius", decic / 10, (decic % 10).abs());
        out.add(
            "temperature",
            mark,
            found,
            "cool the device; `[deferral] temperature_max_c` keeps installs for cooler hours",
        );
    }

    fn service(&self, out: &mut Findings) {
        let Some((path, text)) = &self.unit else {
            return out.warn(
                "service",
                "no unit starts the agent",
                "install firmware-targets/systemd/pinnace-agent.service, so that it is started again whatever ends it",
            );
        };
        let has = |wanted: &str| text.lines().any(|line| line.trim().starts_with(wanted));
        let missing: Vec<&str> =
            [("Type=notify", "Type=notify"), ("WatchdogSec=", "WatchdogSec=2min"), ("Restart=", "Restart=always")]
                .into_iter()
                .filter(|(wanted, _)| !has(wanted))
                .map(|(_, line)| line)
                .collect();
        if missing.is_empty() {
            out.ok("service", format!("{}: watched and started again", path.display()));
        } else {
            let hint = format!("add to [Service]: {}", missing.join(", "));
            out.warn("service", format!("{} lacks {}", path.display(), missing.join(", ")), hint);
        }
    }
}

/// Checks that the profile which the device joined with is known, and returns it.
pub(super) fn check_profile(identity: Option<&Identity>, out: &mut Findings) -> Option<DeviceProfile> {
    let name = &identity?.device.device_profile;
    match pinnace_firmware_targets::builtin(name) {
        Ok(profile) => {
            out.ok("device profile", format!("{name}: {}", profile.about));
            Some(profile)
        }
        Err(e) => {
            out.fail("device profile", first_line(&e), "join again with --profile of a known one, or update the agent");
            None
        }
    }
}

/// Checks which engines were found.
pub(super) fn check_engines(labels: &[String], notes: &[String], profile: &DeviceProfile, out: &mut Findings) {
    if labels.is_empty() {
        out.fail("engines", "none", "the agent's program is damaged: install it again");
    } else {
        out.ok("engines", labels.join(", "));
    }
    let has_ort = labels.iter().any(|label| label.starts_with("ort"));
    if has_ort {
        out.ok("ONNX Runtime", "found and probed");
    } else if profile.allows(EngineName::Ort) {
        let why = notes.first().map_or("not found", String::as_str);
        let hint = "name its library with --ort or PINNACE_ORT_LIB; without it tract serves, which most models do with";
        out.warn("ONNX Runtime", why, hint);
    } else {
        out.ok("ONNX Runtime", format!("profile {} does without", profile.name));
    }
}
