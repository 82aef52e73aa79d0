//! What a process uses, from /proc.
use serde::Serialize;

/// Clock ticks of a second in /proc: Linux shows 100 to programs on every architecture.
const TICKS_PER_S: f64 = 100.0;

/// Memory and processor time of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Usage {
    /// Resident memory, KiB.
    pub rss_kib: u64,
    /// Processor time since its start, seconds.
    pub cpu_s: f64,
}

impl Usage {
    /// Returns what the process uses, this one when `pid` is none; `None` when it does not exist.
    pub fn of(pid: Option<u32>) -> Option<Self> {
        let name = pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{name}/{file}")).ok();
        Self::parse(&read("status")?, &read("stat")?)
    }

    fn parse(status: &str, stat: &str) -> Option<Self> {
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let rss_kib = rss.split_whitespace().next()?.parse().ok()?;
        // The program's name stands in parentheses and may hold anything.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<f64>().ok();
        Some(Self { rss_kib, cpu_s: (ticks()? + ticks()?) / TICKS_PER_S })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_understood() {
        let status = "Name:\tx\nVmRSS:\t   2048 kB\n";
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 1 0";
        assert_eq!(Usage::parse(status, stat), Some(Usage { rss_kib: 2048, cpu_s: 2.0 }));
        assert_eq!(Usage::parse("", stat), None);
        assert!(Usage::of(None).is_some_and(|u| u.rss_kib > 0) && Usage::of(Some(u32::MAX)).is_none());
    }
}
