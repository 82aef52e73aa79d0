//! Measures the device's health.

use std::path::{Path, PathBuf};

use pinnace_protocol::message::Health;
use sysinfo::{Components, Disks, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::router::Router;

/// Bytes of one MiB.
const MIB: u64 = 1024 * 1024;
/// Temperature sensors looked at; some boards list hundreds.
const SENSORS_MAX: usize = 64;

/// Measures the device's health, cheaply enough for every heartbeat.
pub struct HealthProbe {
    system: Option<System>,
    components: Option<Components>,
    disks: Option<Disks>,
    home: PathBuf,
}

impl HealthProbe {
    /// Returns a probe for an agent whose state lies below `home`.
    pub fn new(home: &Path) -> Self {
        Self {
            // A container may hide any of these: their numbers are then 0.
            system: System::new().ok(),
            components: Components::new_with_refreshed_list().ok(),
            disks: Disks::new_with_refreshed_list().ok(),
            home: home.canonicalize().unwrap_or_else(|_| home.to_path_buf()),
        }
    }

    /// Measures and returns the device's health now. CPU is the share since the last measurement; 0 the first time.
    ///
    /// `outbox` and `windows_lost` are left 0: the core knows them.
    pub fn measure(&mut self, router: &Router) -> Health {
        if let Some(system) = &mut self.system {
            system.refresh_cpu_usage();
            system.refresh_memory();
        }
        let system = self.system.as_ref();
        let counts = router.metrics().counts();
        Health {
            cpu_permille: system.map_or(0, |s| (s.global_cpu_usage() * 10.0).clamp(0.0, 1000.0) as u32),
            memory_mib: system.map_or(0, |s| mib(s.used_memory())),
            memory_total_mib: system.map_or(0, |s| mib(s.total_memory())),
            agent_mib: self.agent_mib(),
            disk_free_mib: self.disk_free_mib(),
            temperature_decic: self.temperature_decic(),
            uptime_s: System::uptime().unwrap_or(0),
            inferences: counts.rows,
            errors: counts.failed_rows,
            outbox: 0,
            windows_lost: 0,
        }
    }

    fn agent_mib(&mut self) -> u32 {
        let (Some(system), Ok(pid)) = (&mut self.system, sysinfo::get_current_pid()) else { return 0 };
        let what = ProcessRefreshKind::nothing().with_memory();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, what);
        system.process(pid).map_or(0, |process| mib(process.memory()))
    }

    fn disk_free_mib(&mut self) -> u32 {
        let Some(disks) = &mut self.disks else { return 0 };
        disks.refresh(false);
        // The longest mount point above the agent's home is the file system it lies on.
        let mine = disks.iter().filter(|d| self.home.starts_with(d.mount_point()));
        let mine = mine.max_by_key(|d| d.mount_point().as_os_str().len());
        mine.map_or(0, |d| mib(d.available_space()))
    }

    fn temperature_decic(&mut self) -> i32 {
        let Some(components) = &mut self.components else { return 0 };
        components.refresh(false);
        let read = components.iter().take(SENSORS_MAX).filter_map(|c| c.temperature());
        let hottest = read.filter(|t| t.is_finite()).max_by(f32::total_cmp);
        hottest.map_or(0, |celsius| (celsius * 10.0).clamp(-2730.0, 10_000.0) as i32)
    }
}

fn mib(bytes: u64) -> u32 {
    u32::try_from(bytes / MIB).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::{RouterConfig, WindowLimits};

    #[test]
    fn a_running_agent_on_a_real_system_has_memory_and_uptime() {
        let config = RouterConfig { workers: 1, max_inflight: 1, windows: WindowLimits::default() };
        let (router, _windows) = Router::start(config).unwrap();
        let health = HealthProbe::new(Path::new(".")).measure(&router);
        assert!(health.agent_mib > 0 && health.agent_mib < health.memory_total_mib, "{health:?}");
        assert!(health.memory_mib > 0 && health.uptime_s > 0, "{health:?}");
        assert_eq!(router.shutdown(), []);
    }
}
