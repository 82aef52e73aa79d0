//! What can go wrong, as data: drawn from the seed before the run, saved with a case, edited, shrunk.
mod draw;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::story::Moment;

pub use draw::{SITES, draw};

/// One fault; times are virtual milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Fault {
    /// The power goes after some more boundaries of commits and effects; what is not synced may be lost or torn.
    PowerCut {
        /// Which device.
        device: usize,
        /// Boundaries until then.
        fuse: u64,
        /// Until it starts again.
        down_ms: u64,
    },
    /// The process dies; the page cache survives.
    Crash {
        /// Which device.
        device: usize,
        /// Boundaries until then.
        fuse: u64,
        /// Until it starts again.
        down_ms: u64,
    },
    /// Neither broker nor plane can be reached.
    Offline {
        /// Which device.
        device: usize,
        /// For how long.
        for_ms: u64,
    },
    /// A whole site is offline.
    SiteOffline {
        /// Which site.
        site: usize,
        /// For how long.
        for_ms: u64,
    },
    /// The device is heard and hears nothing from the broker.
    Deaf {
        /// Which device.
        device: usize,
        /// For how long.
        for_ms: u64,
    },
    /// The device hears and is not heard by the broker.
    Mute {
        /// Which device.
        device: usize,
        /// For how long.
        for_ms: u64,
    },
    /// The connection to the broker breaks; it can be made again at once.
    Disconnect {
        /// Which device.
        device: usize,
    },
    /// Frames over MQTT do not arrive, so that HTTP has to serve.
    Clog {
        /// Which device.
        device: usize,
        /// For how long.
        for_ms: u64,
    },
    /// No room for a bundle.
    DiskFull {
        /// Which device.
        device: usize,
        /// For how long.
        for_ms: u64,
    },
    /// One bit of a stored bundle, or of one file of floors or pointers, flips.
    BitRot {
        /// Which device.
        device: usize,
    },
    /// The ledger is gone: the device forgets everything but floors, pointers and bundles.
    LedgerLost {
        /// Which device.
        device: usize,
    },
    /// The wall clock jumps.
    ClockJump {
        /// Which device.
        device: usize,
        /// By so many milliseconds.
        by_ms: i64,
    },
    /// The wall clock stands still.
    ClockFrozen {
        /// Which device.
        device: usize,
        /// For how long.
        for_ms: u64,
    },
    /// The clock has no battery: every start begins in 1970.
    ClockLost {
        /// Which device.
        device: usize,
    },
    /// The device is gone for good.
    Destroyed {
        /// Which device.
        device: usize,
    },
    /// The control plane dies and is started again from its rows.
    PlaneCrash {
        /// Boundaries until then.
        fuse: u64,
        /// Until it starts again.
        down_ms: u64,
    },
    /// The broker is restarted.
    BrokerRestart {
        /// For how long it is away.
        down_ms: u64,
        /// Whether it forgets its sessions; retained messages stay.
        sessions_lost: bool,
    },
    /// The plane's device address does not answer.
    HttpDown {
        /// For how long.
        for_ms: u64,
        /// Whether it says "busy" instead of nothing.
        busy: bool,
    },
    /// Loss, duplicates and delay are much worse everywhere.
    Storm {
        /// For how long.
        for_ms: u64,
    },
    /// A hostile broker withholds a device's orders and repeats the last one it has.
    Freeze {
        /// Which device.
        device: usize,
        /// For how long.
        for_ms: u64,
    },
    /// A hostile broker sends a device messages of its own making: noise, oversized, deeply nested.
    Flood {
        /// Which device.
        device: usize,
        /// How many.
        messages: u32,
    },
    /// Every online key is stolen, the broker's too: forged documents and orders, until the offline keys replace them.
    KeysStolen {
        /// For how long.
        for_ms: u64,
    },
}

/// The kind of a fault: for swarms and for coverage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is documented at the fault of the same name")]
pub enum FaultKind {
    PowerCut,
    Crash,
    Offline,
    SiteOffline,
    Deaf,
    Mute,
    Disconnect,
    Clog,
    DiskFull,
    BitRot,
    LedgerLost,
    ClockJump,
    ClockFrozen,
    ClockLost,
    Destroyed,
    PlaneCrash,
    BrokerRestart,
    HttpDown,
    Storm,
    Freeze,
    Flood,
    KeysStolen,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [Self; 22] = [
        Self::PowerCut,
        Self::Crash,
        Self::Offline,
        Self::SiteOffline,
        Self::Deaf,
        Self::Mute,
        Self::Disconnect,
        Self::Clog,
        Self::DiskFull,
        Self::BitRot,
        Self::LedgerLost,
        Self::ClockJump,
        Self::ClockFrozen,
        Self::ClockLost,
        Self::Destroyed,
        Self::PlaneCrash,
        Self::BrokerRestart,
        Self::HttpDown,
        Self::Storm,
        Self::Freeze,
        Self::Flood,
        Self::KeysStolen,
    ];

    /// Returns the stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PowerCut => "power-cut",
            Self::Crash => "crash",
            Self::Offline => "offline",
            Self::SiteOffline => "site-offline",
            Self::Deaf => "deaf",
            Self::Mute => "mute",
            Self::Disconnect => "disconnect",
            Self::Clog => "clog",
            Self::DiskFull => "disk-full",
            Self::BitRot => "bit-rot",
            Self::LedgerLost => "ledger-lost",
            Self::ClockJump => "clock-jump",
            Self::ClockFrozen => "clock-frozen",
            Self::ClockLost => "clock-lost",
            Self::Destroyed => "destroyed",
            Self::PlaneCrash => "plane-crash",
            Self::BrokerRestart => "broker-restart",
            Self::HttpDown => "http-down",
            Self::Storm => "storm",
            Self::Freeze => "freeze",
            Self::Flood => "flood",
            Self::KeysStolen => "keys-stolen",
        }
    }
}

impl Fault {
    /// Returns its kind.
    pub const fn kind(&self) -> FaultKind {
        match self {
            Self::PowerCut { .. } => FaultKind::PowerCut,
            Self::Crash { .. } => FaultKind::Crash,
            Self::Offline { .. } => FaultKind::Offline,
            Self::SiteOffline { .. } => FaultKind::SiteOffline,
            Self::Deaf { .. } => FaultKind::Deaf,
            Self::Mute { .. } => FaultKind::Mute,
            Self::Disconnect { .. } => FaultKind::Disconnect,
            Self::Clog { .. } => FaultKind::Clog,
            Self::DiskFull { .. } => FaultKind::DiskFull,
            Self::BitRot { .. } => FaultKind::BitRot,
            Self::LedgerLost { .. } => FaultKind::LedgerLost,
            Self::ClockJump { .. } => FaultKind::ClockJump,
            Self::ClockFrozen { .. } => FaultKind::ClockFrozen,
            Self::ClockLost { .. } => FaultKind::ClockLost,
            Self::Destroyed { .. } => FaultKind::Destroyed,
            Self::PlaneCrash { .. } => FaultKind::PlaneCrash,
            Self::BrokerRestart { .. } => FaultKind::BrokerRestart,
            Self::HttpDown { .. } => FaultKind::HttpDown,
            Self::Storm { .. } => FaultKind::Storm,
            Self::Freeze { .. } => FaultKind::Freeze,
            Self::Flood { .. } => FaultKind::Flood,
            Self::KeysStolen { .. } => FaultKind::KeysStolen,
        }
    }

    /// Returns the device it strikes; `None` for one that strikes many.
    pub const fn device(&self) -> Option<usize> {
        match self {
            Self::PowerCut { device, .. }
            | Self::Crash { device, .. }
            | Self::Offline { device, .. }
            | Self::Deaf { device, .. }
            | Self::Mute { device, .. }
            | Self::Disconnect { device }
            | Self::Clog { device, .. }
            | Self::DiskFull { device, .. }
            | Self::BitRot { device }
            | Self::LedgerLost { device }
            | Self::ClockJump { device, .. }
            | Self::ClockFrozen { device, .. }
            | Self::ClockLost { device }
            | Self::Destroyed { device }
            | Self::Freeze { device, .. }
            | Self::Flood { device, .. } => Some(*device),
            Self::SiteOffline { .. }
            | Self::PlaneCrash { .. }
            | Self::BrokerRestart { .. }
            | Self::HttpDown { .. }
            | Self::Storm { .. }
            | Self::KeysStolen { .. } => None,
        }
    }
}

impl Fault {
    /// Lets it strike another device; one that strikes many stays as it is.
    pub fn move_to(&mut self, to: usize) {
        match self {
            Self::PowerCut { device, .. }
            | Self::Crash { device, .. }
            | Self::Offline { device, .. }
            | Self::Deaf { device, .. }
            | Self::Mute { device, .. }
            | Self::Disconnect { device }
            | Self::Clog { device, .. }
            | Self::DiskFull { device, .. }
            | Self::BitRot { device }
            | Self::LedgerLost { device }
            | Self::ClockJump { device, .. }
            | Self::ClockFrozen { device, .. }
            | Self::ClockLost { device }
            | Self::Destroyed { device }
            | Self::Freeze { device, .. }
            | Self::Flood { device, .. } => *device = to,
            Self::SiteOffline { .. }
            | Self::PlaneCrash { .. }
            | Self::BrokerRestart { .. }
            | Self::HttpDown { .. }
            | Self::Storm { .. }
            | Self::KeysStolen { .. } => {}
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().as_str())?;
        match self {
            Self::PowerCut { fuse, down_ms, .. } | Self::Crash { fuse, down_ms, .. } => {
                write!(f, " after {fuse} more boundaries, down for {}", Moment(*down_ms))
            }
            Self::PlaneCrash { fuse, down_ms } => {
                write!(f, " after {fuse} more boundaries, down for {}", Moment(*down_ms))
            }
            Self::Offline { for_ms, .. }
            | Self::Deaf { for_ms, .. }
            | Self::Mute { for_ms, .. }
            | Self::Clog { for_ms, .. }
            | Self::DiskFull { for_ms, .. }
            | Self::ClockFrozen { for_ms, .. }
            | Self::Freeze { for_ms, .. }
            | Self::KeysStolen { for_ms }
            | Self::Storm { for_ms } => write!(f, " for {}", Moment(*for_ms)),
            Self::SiteOffline { site, for_ms } => write!(f, " of site s{site} for {}", Moment(*for_ms)),
            Self::HttpDown { for_ms, busy } => {
                write!(f, "{} for {}", if *busy { " (says busy)" } else { "" }, Moment(*for_ms))
            }
            Self::BrokerRestart { down_ms, sessions_lost } => {
                let sessions = if *sessions_lost { ", sessions lost" } else { "" };
                write!(f, ", away for {}{sessions}", Moment(*down_ms))
            }
            Self::ClockJump { by_ms, .. } => write!(f, " by {} h", by_ms / 3_600_000),
            Self::Flood { messages, .. } => write!(f, " with {messages} messages"),
            Self::Disconnect { .. }
            | Self::BitRot { .. }
            | Self::LedgerLost { .. }
            | Self::ClockLost { .. }
            | Self::Destroyed { .. } => Ok(()),
        }
    }
}

/// A fault and when it begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// Virtual milliseconds.
    pub at_ms: u64,
    /// What.
    #[serde(flatten)]
    pub fault: Fault,
}
