//! The event loop: one seed, one world, one verdict.
use pinnace_protocol::ids::{DeviceId, TenantId};

use crate::broker::Broker;
use crate::checks::{Check, Checks, rolled_back, settled};
use crate::device::{Death, Device, Fuse};
use crate::engine::Fate;
use crate::env::{Counts, Env, Event, Http, START_UNIX_MS};
use crate::faults::{Fault, Plan};
use crate::limits::{AUDIT_MS, CHAOS_HOURS_MAX, DEVICES_MAX, EVENTS_MAX, HOURS_MAX, HOURS_MIN};
use crate::net::Quality;
use crate::operator::Operator;
use crate::options::Options;
use crate::plane::Plane;
use crate::plant::Plant;
use crate::queue::Queue;
use crate::repo::Repo;
use crate::rng::Rng;
use crate::story::{Node, Story};
use crate::verdict::{Verdict, Violation};

const HOUR_MS: u64 = 3_600_000;

/// Everything.
pub struct World {
    options: Options,
    env: Env,
    devices: Vec<Device>,
    plane: Plane,
    operator: Operator,
    plan: Plan,
    end_ms: u64,
    healed: bool,
    finished: bool,
    events: u64,
}

impl World {
    /// Builds the world of `options`.
    pub fn new(options: &Options, plant: Plant) -> Self {
        let seed = options.seed;
        let count = options.devices.clamp(1, DEVICES_MAX) as usize;
        let hours = u64::from(options.hours.clamp(HOURS_MIN, HOURS_MAX));
        let chaos_ms = (hours * HOUR_MS / 3).min(CHAOS_HOURS_MAX * HOUR_MS);
        let plan = Plan::draw(options.profile, seed, count, chaos_ms);
        let name = |i| DeviceId::parse(&format!("d{i:04}")).ok();
        let broker = Broker::new(count, plan.hostile_permille, Rng::stream(seed, "broker"));
        let mut env = Env {
            queue: Queue::new(Rng::stream(seed, "ties")),
            broker,
            repo: Repo::new(START_UNIX_MS / 1000, Rng::stream(seed, "repo")),
            checks: Checks::default(),
            story: Story::new(count),
            plant,
            quality: plan.base,
            http: Http::Up,
            plane_up: false,
            counts: Counts::default(),
            broken: None,
            tenant: TenantId::parse("sim").unwrap_or_else(|_| unreachable!("`sim` is an identifier")),
            names: (0..count).filter_map(name).collect(),
            rng: Rng::stream(seed, "net"),
        };
        let plane = Plane::new(Rng::stream(seed, "plane"));
        let mut devices: Vec<Device> =
            (0..count).map(|index| Device::new(index, seed, &env, plane.public_key())).collect();
        let mut rng = Rng::stream(seed, "scenario");
        let bad = draw_fates(&mut rng, &mut devices);
        let second_ms = rng.between(chaos_ms / 4, chaos_ms * 3 / 4);
        let operator = Operator::new(Rng::stream(seed, "operator"), second_ms, bad);
        env.queue.at(0, Event::PlaneBoot);
        env.queue.at(30_000, Event::Operator);
        env.queue.at(chaos_ms, Event::Heal);
        env.queue.at(AUDIT_MS, Event::Audit);
        for index in 0..count {
            // Most are there from the beginning, some join late.
            let within = if rng.chance(200) { chaos_ms } else { 300_000 };
            env.queue.at(rng.between(1_000, within), Event::Join(index));
        }
        for (index, (at, _)) in plan.faults.iter().enumerate() {
            env.queue.at(*at, Event::Fault(index));
        }
        let end_ms = hours * HOUR_MS;
        let options = options.clone();
        Self { options, env, devices, plane, operator, plan, end_ms, healed: false, finished: false, events: 0 }
    }

    /// Runs until everything has settled, or something did not hold.
    pub fn run(mut self) -> Verdict {
        while !self.finished && self.env.broken.is_none() {
            let Some(event) = self.env.queue.next() else { break };
            self.events += 1;
            if self.events > EVENTS_MAX {
                self.env.judge(Check::S9, Node::Plane, Err("the world never becomes quiet".into()));
            }
            self.happen(event);
        }
        self.verdict()
    }

    fn happen(&mut self, event: Event) {
        let env = &mut self.env;
        match event {
            Event::Join(index) => {
                let key = self.devices[index].public;
                if self.plane.join(env, index, key) {
                    env.queue.after(1_000, Event::Boot(index));
                } else {
                    env.queue.after(30_000, Event::Join(index));
                }
            }
            Event::Boot(index) => self.devices[index].boot(env),
            Event::Device(index, life, stimulus) => self.devices[index].stimulate(env, life, stimulus),
            Event::Down(index, kind, payload) => self.devices[index].deliver(env, kind, &payload),
            Event::Up(packet) => self.plane.receive(env, packet),
            Event::PlaneTurn(life) => self.plane.turn(env, life),
            Event::PlaneTick(life) => self.plane.tick(env, life),
            Event::PlaneFuse(life) => self.plane.fuse(env, life),
            Event::PlaneBoot => self.plane.boot(env),
            Event::BrokerUp => env.broker_up(),
            Event::Operator => self.operator.look(env, &mut self.plane),
            Event::Fault(index) => self.begin(index),
            Event::Calm(index) => self.end(index),
            Event::Heal => self.heal(),
            Event::Audit => self.audit(),
        }
    }

    /// A fault of the plan begins.
    fn begin(&mut self, index: usize) {
        let env = &mut self.env;
        let (_, fault) = &self.plan.faults[index];
        let mut lasts = None;
        match *fault {
            Fault::PowerCut { device, fuse, down_ms } => {
                self.devices[device].light(env, Fuse { left: fuse, death: Death::PowerCut, down_ms });
            }
            Fault::Crash { device, fuse, down_ms } => {
                self.devices[device].light(env, Fuse { left: fuse, death: Death::Crash, down_ms });
            }
            Fault::Offline { device, for_ms } => {
                self.devices[device].offline = true;
                self.devices[device].cut_off(env);
                lasts = Some(for_ms);
            }
            Fault::Disconnect { device } => self.devices[device].cut_off(env),
            Fault::Clog { device, for_ms } => {
                env.broker.clog(device, true);
                lasts = Some(for_ms);
            }
            Fault::DiskFull { device, for_ms } => {
                self.devices[device].disk_full = true;
                lasts = Some(for_ms);
            }
            Fault::BitRot { device } => self.devices[device].rot(env),
            Fault::ClockJump { device, by_ms } => self.devices[device].jump_clock(by_ms),
            Fault::Destroyed { device } => self.devices[device].destroy(env),
            Fault::PlaneCrash { fuse, down_ms } => self.plane.light(env, fuse, down_ms),
            Fault::BrokerRestart { down_ms, sessions_lost } => {
                env.broker.stop(sessions_lost);
                self.devices.iter_mut().for_each(|device| device.cut_off(env));
                env.queue.after(down_ms, Event::BrokerUp);
            }
            Fault::HttpDown { for_ms, busy } => {
                env.http = if busy { Http::Busy } else { Http::Down };
                lasts = Some(for_ms);
            }
            Fault::Storm { for_ms } => {
                env.quality = self.plan.storm;
                lasts = Some(for_ms);
            }
        }
        if let Some(for_ms) = lasts {
            env.queue.after(for_ms, Event::Calm(index));
        }
    }

    /// A fault of the plan ends. Overlapping ones end with the first.
    fn end(&mut self, index: usize) {
        let env = &mut self.env;
        match self.plan.faults[index].1 {
            Fault::Offline { device, .. } => self.devices[device].offline = false,
            Fault::Clog { device, .. } => env.broker.clog(device, false),
            Fault::DiskFull { device, .. } => self.devices[device].disk_full = false,
            Fault::HttpDown { .. } => env.http = Http::Up,
            Fault::Storm { .. } => env.quality = if self.healed { Quality::CALM } else { self.plan.base },
            Fault::PowerCut { .. }
            | Fault::Crash { .. }
            | Fault::Disconnect { .. }
            | Fault::BitRot { .. }
            | Fault::ClockJump { .. }
            | Fault::Destroyed { .. }
            | Fault::PlaneCrash { .. }
            | Fault::BrokerRestart { .. } => {}
        }
    }

    /// Chaos is over: what is not destroyed is repaired.
    fn heal(&mut self) {
        self.healed = true;
        let env = &mut self.env;
        (env.quality, env.http, env.broker.hostile_permille) = (Quality::CALM, Http::Up, 0);
        self.plane.spare();
        for device in &mut self.devices {
            (device.offline, device.disk_full) = (false, false);
            env.broker.clog(device.index, false);
            device.spare();
        }
    }

    fn audit(&mut self) {
        self.env.queue.after(AUDIT_MS, Event::Audit);
        let found = self.env.checks.counted.compare_bytes();
        self.env.judge(Check::S7, Node::Plane, found);
        if !self.healed {
            return;
        }
        match self.settled() {
            Ok(()) => self.finished = true,
            Err((check, node, sentence)) if self.env.now() >= self.end_ms => {
                self.env.judge(check, node, Err(sentence));
            }
            Err(_) => {}
        }
    }

    /// Returns the first liveness check that does not hold yet.
    fn settled(&self) -> Result<(), (Check, Node, String)> {
        let (env, devices) = (&self.env, &self.devices);
        let damaged = |device| env.checks.runnable.is_damaged(device);
        let name = |check| move |(node, sentence)| (check, node, sentence);
        rolled_back(devices, &self.plane, self.options.profile, damaged).map_err(name(Check::L3))?;
        settled(devices, &self.plane, &self.operator, self.options.profile, damaged).map_err(name(Check::L1))?;
        for device in devices.iter().filter(|d| !d.destroyed) {
            let found = env.checks.closed.compare(device.index, &env.checks.counted);
            found.map_err(|sentence| (Check::L2, Node::Device(device.index), sentence))?;
        }
        Ok(())
    }

    fn verdict(self) -> Verdict {
        let env = self.env;
        let violation = env.broken.as_ref().map(|broken| Violation {
            check: broken.check,
            sentence: broken.sentence.clone(),
            at_ms: broken.at,
            node: match broken.node {
                Node::Device(index) => env.names[index].to_string(),
                Node::Plane => "the control plane".into(),
            },
            story: env.story.of(broken.node),
        });
        Verdict {
            replay: Verdict::replay(&self.options),
            options: self.options,
            events: self.events,
            trace: env.story.hash(),
            virtual_ms: env.now(),
            counts: env.counts,
            outcome: self.operator.outcome(),
            violation,
        }
    }
}

/// Draws whether version 2 is good, bad everywhere, or bad on some devices; returns the bad versions.
fn draw_fates(rng: &mut Rng, devices: &mut [Device]) -> Vec<u64> {
    let share = match rng.below(4) {
        0 | 1 => return Vec::new(),
        2 => 1000,
        _ => rng.between(300, 800) as u32,
    };
    let fate = Fate::bad(rng);
    for device in devices {
        if rng.chance(share) {
            device.fates.insert(2, fate);
        }
    }
    vec![2]
}
