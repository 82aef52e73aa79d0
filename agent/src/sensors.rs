//! Reads what the system says about power, link, heat and load, from the files below a root.
//!
//! Everything may be missing: a container, a board without a battery, an old kernel. What cannot be read is `None`, and
//! nothing is decided by it. Each file is read up to [`FILE_MAX_BYTES`].
use std::fs;
use std::io::Read as _;
use std::path::Path;

/// Bytes of one file that are read: these hold a word or a few lines.
pub const FILE_MAX_BYTES: u64 = 16 * 1024;
/// Entries of one folder that are looked at; some boards list hundreds of sensors.
pub const ENTRIES_MAX: usize = 64;
/// Bytes of a MiB, in the KiB of /proc/meminfo.
const KIB_PER_MIB: u64 = 1024;

/// The device's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// All of it, MiB.
    pub total_mib: u64,
    /// What programs may still take, MiB.
    pub available_mib: u64,
}

/// The device's power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Power {
    /// Whether it is fed from outside.
    pub on_mains: bool,
    /// What is left in the emptiest battery, percent.
    pub battery_percent: u8,
}

fn text(path: &Path) -> Option<String> {
    let mut text = String::new();
    fs::File::open(path).ok()?.take(FILE_MAX_BYTES).read_to_string(&mut text).ok()?;
    Some(text.trim().to_owned())
}

fn entries(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found: Vec<_> =
        fs::read_dir(dir).into_iter().flatten().flatten().take(ENTRIES_MAX).map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// Returns the memory as `/proc/meminfo` has it.
pub fn memory(root: &Path) -> Option<Memory> {
    let text = text(&root.join("proc/meminfo"))?;
    let kib = |name: &str| -> Option<u64> {
        text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
    };
    Some(Memory { total_mib: kib("MemTotal:")? / KIB_PER_MIB, available_mib: kib("MemAvailable:")? / KIB_PER_MIB })
}

/// Returns the hottest sensor below `/sys/class/thermal`, tenths of a degree Celsius.
pub fn temperature_decic(root: &Path) -> Option<i32> {
    entries(&root.join("sys/class/thermal"))
        .iter()
        .filter_map(|zone| text(&zone.join("temp"))?.parse::<i32>().ok())
        // Millidegrees; a broken sensor says -273 or thousands.
        .map(|milli| milli / 100)
        .filter(|decic| (-1000..=2000).contains(decic))
        .max()
}

/// Returns the power as `/sys/class/power_supply` has it; none on a device without a battery.
pub fn power(root: &Path) -> Option<Power> {
    let supplies = entries(&root.join("sys/class/power_supply"));
    let is = |supply: &Path, kind: &str| text(&supply.join("type")).is_some_and(|t| t.eq_ignore_ascii_case(kind));
    // A wireless mouse has a battery too, of scope "Device".
    let batteries = supplies.iter().filter(|s| {
        is(s, "battery") && text(&s.join("scope")).is_none_or(|scope| !scope.eq_ignore_ascii_case("device"))
    });
    let levels: Vec<(u8, bool)> = batteries
        .filter_map(|s| {
            let percent = text(&s.join("capacity"))?.parse::<u8>().ok()?.min(100);
            let charges = text(&s.join("status"))
                .is_some_and(|state| state.eq_ignore_ascii_case("charging") || state.eq_ignore_ascii_case("full"));
            Some((percent, charges))
        })
        .collect();
    let battery_percent = levels.iter().map(|(percent, _)| *percent).min()?;
    let plugged = supplies
        .iter()
        .filter(|s| is(s, "mains") || is(s, "usb"))
        .any(|s| text(&s.join("online")).as_deref() == Some("1"));
    Some(Power { on_mains: plugged || levels.iter().any(|(_, charges)| *charges), battery_percent })
}

/// Returns the network interface of the default route with the lowest metric, as `/proc/net/route` has it.
pub fn default_interface(root: &Path) -> Option<String> {
    let text = text(&root.join("proc/net/route"))?;
    let routes = text.lines().skip(1).take(ENTRIES_MAX).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [name, destination, _, flags, _, _, metric, ..] = fields.as_slice() else { return None };
        let is_up = u32::from_str_radix(flags, 16).ok()? & 1 == 1;
        (*destination == "00000000" && is_up).then_some((metric.parse::<u32>().ok()?, (*name).to_owned()))
    });
    routes.min().map(|(_, name)| name)
}

/// Returns the share of busy processors over the last minute, per mille of all of them, by `/proc/loadavg`.
pub fn load_permille(root: &Path, cores: usize) -> Option<u32> {
    let text = text(&root.join("proc/loadavg"))?;
    let load: f64 = text.split_whitespace().next()?.parse().ok()?;
    let share = load / cores.max(1) as f64 * 1000.0;
    share.is_finite().then_some(share.clamp(0.0, 1_000_000.0) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plant(root: &Path, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn each_file_is_read_as_the_kernel_writes_it() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        assert_eq!((memory(root), temperature_decic(root), power(root)), (None, None, None));
        assert_eq!((default_interface(root), load_permille(root, 2)), (None, None));
        plant(
            root,
            &[
                ("proc/meminfo", "MemTotal:  4096000 kB\nMemFree: 1 kB\nMemAvailable: 2048000 kB\n"),
                ("proc/loadavg", "1.50 0.7 0.3 1/100 4242\n"),
                (
                    "proc/net/route",
                    "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
                     wwan0\t00000000\t0101A8C0\t0003\t0\t0\t700\t00000000\n\
                     eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\n\
                     eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\n",
                ),
                ("sys/class/thermal/thermal_zone0/temp", "45123\n"),
                ("sys/class/thermal/thermal_zone1/temp", "81999\n"),
                ("sys/class/thermal/thermal_zone2/temp", "-274000\n"),
                ("sys/class/power_supply/BAT0/type", "Battery\n"),
                ("sys/class/power_supply/BAT0/capacity", "37\n"),
                ("sys/class/power_supply/BAT0/status", "Discharging\n"),
                ("sys/class/power_supply/hid-mouse/type", "Battery\n"),
                ("sys/class/power_supply/hid-mouse/scope", "Device\n"),
                ("sys/class/power_supply/hid-mouse/capacity", "3\n"),
                ("sys/class/power_supply/AC/type", "Mains\n"),
                ("sys/class/power_supply/AC/online", "0\n"),
            ],
        );
        assert_eq!(memory(root), Some(Memory { total_mib: 4000, available_mib: 2000 }));
        assert_eq!(load_permille(root, 2), Some(750));
        assert_eq!(default_interface(root).as_deref(), Some("eth0"));
        assert_eq!(temperature_decic(root), Some(819));
        assert_eq!(power(root), Some(Power { on_mains: false, battery_percent: 37 }));
        plant(root, &[("sys/class/power_supply/AC/online", "1\n")]);
        assert_eq!(power(root), Some(Power { on_mains: true, battery_percent: 37 }));
    }

    #[test]
    fn nonsense_is_no_reading() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        let nonsense = "\u{0}zzz 99999999999999999999 -1 nan";
        plant(
            root,
            &[
                ("proc/meminfo", nonsense),
                ("proc/loadavg", "nan"),
                ("proc/net/route", nonsense),
                ("sys/class/thermal/x/temp", nonsense),
                ("sys/class/power_supply/BAT0/type", "Battery"),
                ("sys/class/power_supply/BAT0/capacity", nonsense),
            ],
        );
        assert_eq!((memory(root), temperature_decic(root), power(root)), (None, None, None));
        assert_eq!((default_interface(root), load_permille(root, 2)), (None, None));
    }
}
