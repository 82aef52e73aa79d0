//! What will go wrong: a plan drawn from the seed before the run, as data.
use crate::limits::FUSE_BOUNDARIES;
use crate::net::Quality;
use crate::options::Profile;
use crate::rng::Rng;

const MINUTE: u64 = 60_000;

/// One fault; times are virtual milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// The wall clock jumps.
    ClockJump {
        /// Which device.
        device: usize,
        /// By so many milliseconds.
        by_ms: i64,
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
}

/// Everything that will go wrong in one run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Faults and when they begin, virtual milliseconds.
    pub faults: Vec<(u64, Fault)>,
    /// Links outside storms.
    pub base: Quality,
    /// Links in storms.
    pub storm: Quality,
    /// Share of messages that a hostile broker tampers with, per mille.
    pub hostile_permille: u32,
}

impl Plan {
    /// Draws the plan for `devices` devices and `chaos_ms` milliseconds.
    pub fn draw(profile: Profile, seed: u64, devices: usize, chaos_ms: u64) -> Self {
        let mut rng = Rng::stream(seed, "faults");
        let mut plan = Self {
            faults: Vec::new(),
            base: Quality::CALM,
            storm: Quality::STORM,
            hostile_permille: if profile == Profile::Hostile { 30 } else { 0 },
        };
        // Expected faults per hour: of the whole plane and of each device.
        let (plane_rate, device_rate) = match profile {
            Profile::Calm => return plan,
            Profile::Chaos | Profile::Hostile => (2, 2),
            Profile::Powerloss => (1, 6),
        };
        plan.base = Quality::draw(&mut rng);
        let hours = chaos_ms.div_ceil(60 * MINUTE);
        for _ in 0..hours * plane_rate {
            let fault = shared(&mut rng);
            plan.faults.push((rng.below(chaos_ms), fault));
        }
        for device in 0..devices {
            // Some devices have a quiet life.
            let count = rng.below(2 * hours * device_rate + 1);
            for _ in 0..count {
                let fault = if profile == Profile::Powerloss { power(&mut rng, device) } else { own(&mut rng, device) };
                plan.faults.push((rng.below(chaos_ms), fault));
            }
            if profile != Profile::Powerloss && devices > 3 && rng.chance(40) {
                plan.faults.push((rng.below(chaos_ms), Fault::Destroyed { device }));
            }
        }
        plan
    }
}

/// Draws a time: mostly short, sometimes long.
fn span(rng: &mut Rng) -> u64 {
    let most = [2_000, 30_000, 5 * MINUTE, 40 * MINUTE][rng.index(4)];
    rng.between(500, most)
}

fn shared(rng: &mut Rng) -> Fault {
    match rng.below(10) {
        0..=3 => Fault::PlaneCrash { fuse: rng.below(FUSE_BOUNDARIES), down_ms: span(rng) },
        4 | 5 => Fault::BrokerRestart { down_ms: span(rng), sessions_lost: rng.chance(500) },
        6 | 7 => Fault::HttpDown { for_ms: span(rng), busy: rng.chance(300) },
        _ => Fault::Storm { for_ms: span(rng) },
    }
}

fn power(rng: &mut Rng, device: usize) -> Fault {
    let (fuse, down_ms) = (rng.below(FUSE_BOUNDARIES), rng.between(1_000, 2 * MINUTE));
    if rng.chance(850) { Fault::PowerCut { device, fuse, down_ms } } else { Fault::Crash { device, fuse, down_ms } }
}

fn own(rng: &mut Rng, device: usize) -> Fault {
    match rng.below(20) {
        0..=3 => Fault::PowerCut { device, fuse: rng.below(FUSE_BOUNDARIES), down_ms: span(rng) },
        4..=6 => Fault::Crash { device, fuse: rng.below(FUSE_BOUNDARIES), down_ms: span(rng) },
        7..=10 => Fault::Offline { device, for_ms: span(rng) },
        11 | 12 => Fault::Disconnect { device },
        13 | 14 => Fault::Clog { device, for_ms: span(rng) },
        15 | 16 => Fault::DiskFull { device, for_ms: span(rng) },
        17 => Fault::BitRot { device },
        _ => {
            let hours = [1, 30, 24 * 400, 24 * 3650][rng.index(4)];
            let hours = if rng.chance(500) { hours } else { -hours };
            Fault::ClockJump { device, by_ms: hours * 3_600_000 }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_is_the_seeds_and_calm_is_calm() {
        let draw = |seed| Plan::draw(Profile::Chaos, seed, 8, 4 * 3_600_000).faults;
        assert_eq!(draw(5), draw(5));
        assert_ne!(draw(5), draw(6));
        assert!(!draw(5).is_empty());
        assert!(Plan::draw(Profile::Calm, 5, 8, 4 * 3_600_000).faults.is_empty());
    }
}
