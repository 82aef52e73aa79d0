//! What the device's owner wants: `agent.toml` in the home folder, or where `--config` says. Read again on SIGHUP.
//!
//! ```toml
//! [deferral]                       # new models wait; what serves and the way back never do
//! battery_min_percent = 30         # while not fed from outside
//! metered = ["wwan0"]              # default routes over these interfaces cost money
//! temperature_max_c = 75
//! cpu_max_percent = 90
//! maintenance = ["22:00-05:00"]    # UTC; at most 16
//!
//! [commands]
//! diagnostics = false              # whether an operator may fetch status and log of this device
//! ```
use std::path::{Path, PathBuf};

use pinnace_agent_core::api::{Conditions, DeferPolicy, Maintenance};
use pinnace_agent_core::limits::MAINTENANCE_MAX;
use serde::Deserialize;

use crate::files::{self, FileError};
use crate::sensors;

/// The file in the home folder.
pub const FILE: &str = "agent.toml";
/// Bytes of the file.
const FILE_MAX_BYTES: u64 = 64 * 1024;
/// Interfaces that may be named as metered.
const METERED_MAX: usize = 16;

/// Says why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Disk trouble.
    #[error(transparent)]
    File(#[from] FileError),
    /// Named with --config, and not there.
    #[error("there is no settings file {0}\n  hint: name another one with --config, or leave it out")]
    Missing(PathBuf),
    /// Not TOML, or of another shape.
    #[error(
        "{path} does not read as settings: {why}\n  hint: `pinnace-agent run --help` and the README show the file's form"
    )]
    Parse {
        /// The file.
        path: PathBuf,
        /// What the parser found.
        why: String,
    },
    /// A value makes no sense.
    #[error("{path}, {field}: {why}\n  hint: {hint}")]
    Value {
        /// The file.
        path: PathBuf,
        /// Which.
        field: &'static str,
        /// What is wrong.
        why: String,
        /// What helps.
        hint: &'static str,
    },
}

/// The owner's settings; without a file nothing is put off and nothing is consented to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// What installs wait for.
    pub policy: DeferPolicy,
    /// Network interfaces that cost money.
    pub metered: Vec<String>,
    /// Whether an operator may fetch diagnostics.
    pub diagnostics: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    deferral: Deferral,
    commands: Commands,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Deferral {
    battery_min_percent: u8,
    metered: Vec<String>,
    temperature_max_c: Option<i32>,
    cpu_max_percent: Option<u32>,
    maintenance: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Commands {
    diagnostics: bool,
}

impl Settings {
    /// Reads the settings of an agent in `home`; `named` is the file of `--config`.
    ///
    /// # Errors
    /// [`SettingsError`]; nothing of a file that does not read counts.
    pub fn load(home: &Path, named: Option<&Path>) -> Result<Self, SettingsError> {
        let path = named.map_or_else(|| home.join(FILE), Path::to_path_buf);
        match files::read_bounded(&path, FILE_MAX_BYTES)? {
            Some(bytes) => Self::parse(&path, &String::from_utf8_lossy(&bytes)),
            None if named.is_some() => Err(SettingsError::Missing(path)),
            None => Ok(Self::default()),
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self, SettingsError> {
        let parse =
            |why: toml::de::Error| SettingsError::Parse { path: path.into(), why: why.to_string().trim_end().into() };
        let File { deferral, commands } = toml::from_str(text).map_err(parse)?;
        let wrong = |field, why: String, hint| SettingsError::Value { path: path.into(), field, why, hint };
        let count = |field, has: usize, max: usize| {
            let hint = "name fewer";
            if has > max { Err(wrong(field, format!("{has} are named, at most {max} count"), hint)) } else { Ok(()) }
        };
        count("deferral.maintenance", deferral.maintenance.len(), MAINTENANCE_MAX)?;
        count("deferral.metered", deferral.metered.len(), METERED_MAX)?;
        if deferral.battery_min_percent > 100 {
            let why = format!("{} is more than 100", deferral.battery_min_percent);
            return Err(wrong("deferral.battery_min_percent", why, "give percent, e.g. 30"));
        }
        if let Some(c) = deferral.temperature_max_c.filter(|c| !(-40..=150).contains(c)) {
            return Err(wrong("deferral.temperature_max_c", format!("{c} is no temperature of a board"), "e.g. 75"));
        }
        if let Some(percent) = deferral.cpu_max_percent.filter(|p| !(1..=100).contains(p)) {
            return Err(wrong("deferral.cpu_max_percent", format!("{percent} is not in 1..=100"), "e.g. 90"));
        }
        let maintenance = deferral.maintenance.iter().map(|text| {
            let hint = "write it as 22:00-05:00, UTC";
            span(text).ok_or_else(|| wrong("deferral.maintenance", format!("`{text}` is no span of a day"), hint))
        });
        let policy = DeferPolicy {
            battery_min_percent: deferral.battery_min_percent,
            metered: !deferral.metered.is_empty(),
            temperature_max_decic: deferral.temperature_max_c.map(|c| c * 10),
            cpu_max_permille: deferral.cpu_max_percent.map(|p| p * 10),
            maintenance: maintenance.collect::<Result<_, _>>()?,
        };
        Ok(Self { policy, metered: deferral.metered, diagnostics: commands.diagnostics })
    }

    /// Measures what the core judges these settings by, below `root`; CPU and heat come with the device's health.
    pub fn measure(&self, root: &Path, cpu_permille: u32, temperature_decic: i32) -> Conditions {
        let power = sensors::power(root);
        let route = sensors::default_interface(root);
        Conditions {
            battery_percent: power.map(|p| p.battery_percent),
            on_mains: power.map(|p| p.on_mains),
            metered: route.is_some_and(|name| self.metered.contains(&name)),
            // Health says 0 when there is no sensor.
            temperature_decic: sensors::temperature_decic(root).max(Some(temperature_decic).filter(|t| *t != 0)),
            cpu_permille: Some(cpu_permille),
        }
    }
}

/// Reads `22:00-05:00`.
fn span(text: &str) -> Option<Maintenance> {
    let minute = |text: &str| -> Option<u16> {
        let (hour, minute) = text.trim().split_once(':')?;
        let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
        (hour < 24 && minute < 60).then_some(hour * 60 + minute)
    };
    let (from, to) = text.split_once('-')?;
    Some(Maintenance { from_min: minute(from)?, to_min: minute(to)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, SettingsError> {
        Settings::parse(Path::new("agent.toml"), text)
    }

    #[test]
    fn the_documented_file_reads_and_none_means_nothing() {
        let documented: String = include_str!("settings.rs")
            .lines()
            .skip_while(|line| !line.contains("```toml"))
            .skip(1)
            .take_while(|line| !line.contains("```"))
            .map(|line| format!("{}\n", line.trim_start_matches("//!").trim()))
            .collect();
        let settings = read(&documented).unwrap();
        assert_eq!(settings.policy.battery_min_percent, 30);
        assert_eq!(settings.policy.temperature_max_decic, Some(750));
        assert_eq!(settings.policy.cpu_max_permille, Some(900));
        assert_eq!(settings.policy.maintenance, [Maintenance { from_min: 1320, to_min: 300 }]);
        assert_eq!((settings.metered.as_slice(), settings.diagnostics), (["wwan0".to_owned()].as_slice(), false));
        assert_eq!(read("").unwrap(), Settings::default());
        let temp = tempfile::tempdir().unwrap();
        assert_eq!(Settings::load(temp.path(), None).unwrap(), Settings::default());
        let missing = Settings::load(temp.path(), Some(&temp.path().join("x.toml"))).unwrap_err();
        assert!(matches!(missing, SettingsError::Missing(_)), "{missing}");
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name_and_with_a_hint() {
        for (text, named) in [
            ("[deferral]\nbattery = 3", "battery"),
            ("[deferral]\nbattery_min_percent = 101", "battery_min_percent"),
            ("[deferral]\nbattery_min_percent = -1", "battery_min_percent"),
            ("[deferral]\ntemperature_max_c = 900", "temperature_max_c"),
            ("[deferral]\ncpu_max_percent = 0", "cpu_max_percent"),
            ("[deferral]\nmaintenance = [\"25:00-05:00\"]", "maintenance"),
            ("[deferral]\nmaintenance = [\"night\"]", "maintenance"),
            ("[commands]\ndiagnostics = \"yes\"", "diagnostics"),
            ("[shell]\nroot = true", "shell"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(named) && error.contains("\n  hint: "), "{text}: {error}");
        }
        let many = format!("[deferral]\nmaintenance = [{}]", "\"01:00-02:00\",".repeat(17));
        assert!(read(&many).is_err());
    }
}
