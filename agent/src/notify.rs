//! Tells the service manager how the agent fares: the sd_notify protocol, one datagram for each message.
//!
//! Without `NOTIFY_SOCKET` nothing is sent. A message that cannot be sent is dropped: the agent's work does not depend
//! on who started it. The watchdog is fed by the driver's loop alone, so that an agent whose loop stands still is
//! killed and started again, however well its other threads do.
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

/// Characters of a status line: `systemctl status` shows one line.
const STATUS_MAX_CHARS: usize = 200;
/// The watchdog is fed this many times within its time: a datagram or a turn may be late.
const FEEDS_WITHIN: u32 = 3;
/// The shortest time between two feeds, whatever the manager asks for: no unit needs a faster one.
const FEED_MIN: Duration = Duration::from_millis(10);

/// The way to the service manager, or nowhere.
#[derive(Debug, Default)]
pub struct Notifier {
    socket: Option<UnixDatagram>,
    every: Option<Duration>,
    fed: Option<Instant>,
    status: String,
}

/// What the environment says about the service manager.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotifyEnv {
    /// `NOTIFY_SOCKET`: a path, or `@` and an abstract name.
    pub socket: Option<std::ffi::OsString>,
    /// `WATCHDOG_USEC`: microseconds within which the watchdog must be fed.
    pub watchdog_us: Option<String>,
    /// `WATCHDOG_PID`: the process that the watchdog is meant for.
    pub watchdog_pid: Option<String>,
}

impl NotifyEnv {
    /// Returns what this process was given.
    pub fn of_this_process() -> Self {
        Self {
            socket: std::env::var_os("NOTIFY_SOCKET"),
            watchdog_us: std::env::var("WATCHDOG_USEC").ok(),
            watchdog_pid: std::env::var("WATCHDOG_PID").ok(),
        }
    }
}

impl Notifier {
    /// Returns a notifier that sends nothing.
    pub fn off() -> Self {
        Self::default()
    }

    /// Returns the notifier for `env`; off, with a warning in the log, when its socket cannot be used.
    pub fn open(env: &NotifyEnv) -> Self {
        let Some(name) = env.socket.as_ref().filter(|name| !name.is_empty()) else { return Self::off() };
        let socket = match connect(name.as_bytes()) {
            Ok(socket) => socket,
            Err(e) => {
                tracing::warn!("the service manager is not told anything: NOTIFY_SOCKET cannot be used: {e}");
                return Self::off();
            }
        };
        let is_ours = env.watchdog_pid.as_ref().is_none_or(|pid| pid.parse() == Ok(std::process::id()));
        let limit = env.watchdog_us.as_ref().filter(|_| is_ours).and_then(|text| text.parse::<u64>().ok());
        let every = limit.filter(|us| *us > 0).map(|us| (Duration::from_micros(us) / FEEDS_WITHIN).max(FEED_MIN));
        Self { socket: Some(socket), every, ..Self::default() }
    }

    /// Returns how often the watchdog is to be fed; none when nobody watches.
    pub fn feed_every(&self) -> Option<Duration> {
        self.every
    }

    /// Feeds the watchdog when it is time for it; call it in every turn of the loop that it watches.
    pub fn turned(&mut self) {
        let Some(every) = self.every else { return };
        // Due a little before the tick that wakes the loop, or every second tick would come to nothing.
        if self.fed.is_none_or(|at| at.elapsed() + every / 4 >= every) {
            self.fed = Some(Instant::now());
            self.send("WATCHDOG=1");
        }
    }

    /// The agent serves: its local API listens and its memory is recovered.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// The agent reads its settings again; [`Notifier::ready`] ends it.
    pub fn reloading(&self) {
        // systemd wants to know when, by the monotonic clock, to tell this reload from one before.
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let us = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={us}"));
    }

    /// The agent ends in an orderly way.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=closing the last window");
    }

    /// Shows one line in `systemctl status`; sent only when it changed.
    pub fn status(&mut self, text: &str) {
        let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(STATUS_MAX_CHARS).collect();
        if self.socket.is_some() && line != self.status {
            self.send(&format!("STATUS={line}"));
            self.status = line;
        }
    }

    fn send(&self, message: &str) {
        if let Some(socket) = &self.socket
            && let Err(e) = socket.send(message.as_bytes())
        {
            tracing::debug!("the service manager does not take a message: {e}");
        }
    }
}

fn connect(name: &[u8]) -> io::Result<UnixDatagram> {
    let address = match name.split_first() {
        Some((b'@', rest)) => SocketAddr::from_abstract_name(rest)?,
        Some((b'/', _)) => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))?,
        _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a path nor an abstract name")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    // A manager that reads nothing must not hold the loop up.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(socket: &str, watchdog_us: Option<&str>, watchdog_pid: Option<u32>) -> NotifyEnv {
        NotifyEnv {
            socket: Some(socket.into()),
            watchdog_us: watchdog_us.map(Into::into),
            watchdog_pid: watchdog_pid.map(|pid| pid.to_string()),
        }
    }

    fn next(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 512];
        let n = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..n]).into_owned()
    }

    #[test]
    fn a_path_and_an_abstract_name_are_both_told_everything() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let abstract_name = format!("pinnace-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        let sockets = [
            (UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap().to_owned()),
            (UnixDatagram::bind_addr(&address).unwrap(), format!("@{abstract_name}")),
        ];
        for (socket, name) in sockets {
            let mut notifier = Notifier::open(&env(&name, None, None));
            notifier.ready();
            notifier.status("serves rain/v3\nX=1");
            notifier.status("serves rain/v3\nX=1");
            notifier.reloading();
            notifier.stopping();
            assert_eq!(next(&socket), "READY=1");
            // A line break would begin another assignment.
            assert_eq!(next(&socket), "STATUS=serves rain/v3 X=1");
            let reloading = next(&socket);
            let us = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
            assert!(us.parse::<u64>().unwrap() > 0);
            assert!(next(&socket).starts_with("STOPPING=1\n"));
        }
    }

    #[test]
    fn the_watchdog_is_fed_often_enough_and_only_when_it_is_ours() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let path = path.to_str().unwrap();
        let mut notifier = Notifier::open(&env(path, Some("3000000"), Some(std::process::id())));
        assert_eq!(notifier.feed_every(), Some(Duration::from_secs(1)));
        for _ in 0..100 {
            notifier.turned();
        }
        assert_eq!(next(&socket), "WATCHDOG=1");
        // A hundred turns within one period are one feed.
        assert_eq!(socket.recv(&mut [0; 64]).unwrap_err().kind(), io::ErrorKind::WouldBlock);

        for (us, pid) in [(Some("3000000"), Some(1)), (Some("x"), None), (Some("0"), None), (None, None)] {
            let mut notifier = Notifier::open(&env(path, us, pid));
            notifier.turned();
            assert_eq!((notifier.feed_every(), socket.recv(&mut [0; 64]).is_err()), (None, true), "{us:?} {pid:?}");
        }
    }

    #[test]
    fn a_socket_that_is_not_there_or_never_read_costs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["", "relative", "/nowhere/at/all"] {
            let mut notifier = Notifier::open(&env(name, Some("1000"), None));
            assert_eq!(notifier.feed_every(), None, "{name}");
            notifier.turned();
            notifier.ready();
        }
        let path = dir.path().join("notify");
        let _never_read = UnixDatagram::bind(&path).unwrap();
        let mut notifier = Notifier::open(&env(path.to_str().unwrap(), None, None));
        for i in 0..10_000 {
            notifier.status(&i.to_string());
        }
    }
}
