//! The event loop: one case, one world, one verdict.
use crate::case::Case;
use crate::checks::{Check, DriftFound, ended, not_rolled_back, rolled_back, settled};
use crate::coverage::FLEET;
use crate::device::{Death, Device, Fuse};
use crate::env::{Env, Event, Http};
use crate::faults::{Fault, SITES};
use crate::limits::{AUDIT_MS, EVENTS_MAX, GRACE_MS, LARGE_FLEET};
use crate::net::Quality;
use crate::operator::Operator;
use crate::plane::{INTERVAL_MS, Plane};
use crate::plant::Plant;
use crate::rng::Rng;
use crate::scenario::Prepared;
use crate::story::Node;
use crate::verdict::{Verdict, Violation};

const HOUR_MS: u64 = 3_600_000;
/// Milliseconds until a device starts again whose ledger was lost.
const REPAIR_MS: u64 = 5_000;

/// Milliseconds until a broker stands that replaces a stolen one.
const NEW_BROKER_MS: u64 = 5_000;

/// Everything.
pub struct World {
    case: Case,
    pub(crate) env: Env,
    pub(crate) devices: Vec<Device>,
    pub(crate) plane: Plane,
    operator: Operator,
    end_ms: u64,
    healed: bool,
    finished: bool,
    events: u64,
}

impl World {
    /// Builds the world of a case; stories are told when `is_told`.
    pub fn new(case: &Case, plant: Option<Plant>, is_told: bool) -> Self {
        let (seed, plan) = (case.options.seed, &case.plan);
        let mut env = Env::new(case, plant, is_told);
        let plane = Plane::new(Rng::stream(seed, "plane"));
        let mut devices: Vec<Device> =
            (0..plan.joins_ms.len()).map(|index| Device::new(index, seed, &env, plane.public_key())).collect();
        for (version, fates) in &plan.fates {
            for (device, fate) in fates {
                if let Some(device) = devices.get_mut(*device) {
                    device.fates.insert(*version, *fate);
                }
            }
        }
        env.queue.at(0, Event::PlaneBoot);
        env.queue.at(30_000, Event::Operator);
        env.queue.at(plan.chaos_ms, Event::Heal);
        env.queue.at(AUDIT_MS, Event::Audit);
        for (index, at_ms) in plan.joins_ms.iter().enumerate() {
            env.queue.at(*at_ms, Event::Join(index));
        }
        for (index, planned) in plan.faults.iter().enumerate() {
            env.queue.at(planned.at_ms, Event::Fault(index));
        }
        let operator = Operator::new(Rng::stream(seed, "operator"), plan);
        let end_ms = u64::from(case.options.hours) * HOUR_MS;
        let (healed, finished) = (false, false);
        Self { case: case.clone(), env, devices, plane, operator, end_ms, healed, finished, events: 0 }
    }

    /// Uses real bundles and inputs.
    pub fn use_real(&mut self, prepared: &Prepared) {
        self.env.repo.use_real(&prepared.bundles);
        self.env.table.clone_from(&prepared.table);
    }

    /// Runs until everything has settled, or something did not hold.
    pub fn run(&mut self) {
        while self.step() {}
    }

    /// Lets the next event happen; returns `false` when the run is over.
    pub fn step(&mut self) -> bool {
        if self.is_over() {
            return false;
        }
        let Some(event) = self.env.queue.next() else {
            self.finished = true;
            return false;
        };
        self.events += 1;
        let now = self.env.queue.now();
        self.env.story.mix(now);
        self.env.story.mix(event.code());
        if self.events > EVENTS_MAX {
            self.env.judge(Check::S9, Node::Plane, Err("the world never becomes quiet".into()));
        }
        self.happen(event);
        true
    }

    /// Returns whether everything has settled, or something did not hold.
    pub fn is_over(&self) -> bool {
        self.finished || self.env.broken.is_some()
    }

    /// Returns when the next event happens, virtual milliseconds; `None` when none does.
    pub fn next_at(&self) -> Option<u64> {
        self.env.queue.next_at()
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
            Event::PlaneBroadcast(life) => self.plane.broadcast(env, life),
            Event::PlaneFuse(life) => self.plane.fuse(env, life),
            Event::PlaneBoot => self.plane.boot(env),
            Event::BrokerUp => env.broker_up(),
            Event::Operator => self.operator.look(env, &mut self.plane),
            Event::Fault(index) => self.begin(index),
            Event::Calm(index) => self.end(index),
            Event::Heal => self.heal(),
            Event::Audit => self.audit(),
            Event::Thief => env.thief_looks(),
        }
    }

    /// A fault of the plan begins.
    fn begin(&mut self, index: usize) {
        let env = &mut self.env;
        let fault = self.case.plan.faults[index].fault.clone();
        let phase = fault.device().map_or(FLEET, |device| self.devices[device].phase_name());
        let state = env.checks.exposure.newest_state();
        env.coverage.struck(fault.kind(), phase, state);
        let node = fault.device().map_or(Node::Plane, Node::Device);
        env.tell(node, format_args!("FAULT {fault}"));
        let mut lasts = None;
        match fault {
            Fault::PowerCut { device, fuse, down_ms } => {
                self.devices[device].light(env, Fuse { left: fuse, death: Death::PowerCut, down_ms });
            }
            Fault::Crash { device, fuse, down_ms } => {
                self.devices[device].light(env, Fuse { left: fuse, death: Death::Crash, down_ms });
            }
            Fault::Offline { device, for_ms } => {
                self.devices[device].trouble.offline = true;
                self.devices[device].cut_off(env);
                lasts = Some(for_ms);
            }
            Fault::SiteOffline { site, for_ms } => {
                for device in self.devices.iter_mut().filter(|d| d.index % SITES == site) {
                    device.trouble.offline = true;
                    device.cut_off(env);
                }
                lasts = Some(for_ms);
            }
            Fault::Deaf { device, for_ms } => {
                env.broker.deafen(device, true);
                lasts = Some(for_ms);
            }
            Fault::Mute { device, for_ms } => {
                env.broker.mute(device, true);
                lasts = Some(for_ms);
            }
            Fault::Disconnect { device } => self.devices[device].cut_off(env),
            Fault::Clog { device, for_ms } => {
                env.broker.clog(device, true);
                lasts = Some(for_ms);
            }
            Fault::DiskFull { device, for_ms } => {
                self.devices[device].trouble.disk_full = true;
                lasts = Some(for_ms);
            }
            Fault::BitRot { device } => self.devices[device].rot(env),
            Fault::LedgerLost { device } => self.devices[device].lose_ledger(env, REPAIR_MS),
            Fault::ClockJump { device, by_ms } => self.devices[device].jump_clock(by_ms),
            Fault::ClockFrozen { device, for_ms } => {
                self.devices[device].freeze_clock(env.now(), true);
                lasts = Some(for_ms);
            }
            Fault::ClockLost { device } => self.devices[device].lose_clock(),
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
                env.quality = self.case.plan.storm;
                lasts = Some(for_ms);
            }
            Fault::Freeze { device, for_ms } => {
                env.broker.freeze(device, true);
                lasts = Some(for_ms);
            }
            Fault::Flood { device, messages } => env.flood(device, messages),
            Fault::KeysStolen { for_ms } => {
                env.steal_keys();
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
        match self.case.plan.faults[index].fault {
            Fault::Offline { device, .. } => self.devices[device].trouble.offline = false,
            Fault::SiteOffline { site, .. } => {
                self.devices.iter_mut().filter(|d| d.index % SITES == site).for_each(|d| d.trouble.offline = false);
            }
            Fault::Deaf { device, .. } => env.broker.deafen(device, false),
            Fault::Mute { device, .. } => env.broker.mute(device, false),
            Fault::Clog { device, .. } => env.broker.clog(device, false),
            Fault::DiskFull { device, .. } => self.devices[device].trouble.disk_full = false,
            Fault::ClockFrozen { device, .. } => self.devices[device].freeze_clock(env.now(), false),
            Fault::HttpDown { .. } => env.http = Http::Up,
            Fault::Storm { .. } => env.quality = if self.healed { Quality::CALM } else { self.case.plan.base },
            Fault::Freeze { device, .. } => env.broker.freeze(device, false),
            Fault::KeysStolen { .. } => self.replace_keys(),
            Fault::PowerCut { .. }
            | Fault::Crash { .. }
            | Fault::Disconnect { .. }
            | Fault::BitRot { .. }
            | Fault::LedgerLost { .. }
            | Fault::ClockJump { .. }
            | Fault::ClockLost { .. }
            | Fault::Destroyed { .. }
            | Fault::PlaneCrash { .. }
            | Fault::BrokerRestart { .. }
            | Fault::Flood { .. } => {}
        }
    }

    /// The offline keys replace every online key. The broker is set up anew, without what the thief left in it.
    fn replace_keys(&mut self) {
        let env = &mut self.env;
        if !env.thief.stop() {
            return;
        }
        env.tell(Node::Plane, "every online key is replaced, the broker set up anew");
        env.repo.rotate(env.unix_ms() / 1000);
        env.broker.stop(true);
        self.devices.iter_mut().for_each(|device| device.cut_off(env));
        env.queue.after(NEW_BROKER_MS, Event::BrokerUp);
    }

    /// Chaos is over: what is not destroyed is repaired. Clocks stay wrong, since nobody resets them in the field.
    fn heal(&mut self) {
        self.healed = true;
        let env = &mut self.env;
        (env.quality, env.http, env.broker.hostile_permille) = (Quality::CALM, Http::Up, 0);
        self.plane.spare();
        for device in &mut self.devices {
            device.trouble = crate::device::Trouble::default();
            env.broker.repair(device.index);
            device.spare();
        }
        self.replace_keys();
    }

    fn audit(&mut self) {
        self.env.queue.after(AUDIT_MS, Event::Audit);
        let found = self.env.checks.counted.compare_bytes();
        self.env.judge(Check::S7, Node::Plane, found);
        self.plane.draw(&mut self.env);
        if self.case.plan.hands.is_some() {
            // A scenario has no second phase: it ends when its time is over, and its own expectations judge it.
            self.finished = self.env.now() >= self.end_ms;
            return;
        }
        if !self.healed {
            return;
        }
        match self.settled() {
            Ok(()) => self.finish(),
            Err((check, node, sentence)) if self.env.now() >= self.end_ms => {
                self.env.judge(check, node, Err(sentence));
            }
            Err(_) => {}
        }
    }

    /// Everything has settled: what is left to look at.
    fn finish(&mut self) {
        self.finished = true;
        let (sum, first) = not_rolled_back(&self.plane, &self.case.plan);
        (self.env.counts.good_rollouts, self.env.counts.false_rollbacks) = (sum.good, sum.taken_back);
        if let (Some(sentence), true) = (first, self.case.options.profile.is_quiet()) {
            self.env.judge(Check::L4, Node::Plane, Err(sentence));
        }
        let now = self.env.now();
        let rows = self.env.checks.counted.counted_rows() * HOUR_MS / now.max(1);
        let found = self.env.checks.drift.found(&self.case.plan.world, now, INTERVAL_MS, rows);
        self.env.judge(Check::L5, Node::Plane, found);
    }

    /// Returns the first liveness check that does not hold yet.
    fn settled(&self) -> Result<(), (Check, Node, String)> {
        let (env, devices, profile) = (&self.env, &self.devices, self.case.options.profile);
        let damaged = |device| env.checks.runnable.is_damaged(device);
        let name = |check| move |(node, sentence)| (check, node, sentence);
        if DriftFound::due(&env.world, INTERVAL_MS).is_some_and(|due| env.now() < due && due <= self.end_ms) {
            return Err((Check::L5, Node::Plane, "a change of the inputs may still be found in time".into()));
        }
        rolled_back(devices, &self.plane, profile, damaged).map_err(name(Check::L3))?;
        settled(devices, &self.plane, &self.operator, profile, damaged).map_err(name(Check::L1))?;
        ended(devices, &self.plane).map_err(name(Check::L6))?;
        let grace_from = if devices.len() > LARGE_FLEET { env.now().saturating_sub(GRACE_MS) } else { u64::MAX };
        for device in devices.iter().filter(|d| !d.destroyed) {
            let found = env.checks.closed.compare(device.index, &env.checks.counted, grace_from);
            found.map_err(|sentence| (Check::L2, Node::Device(device.index), sentence))?;
            let known = self.plane.steward().and_then(|steward| steward.known(&device.id));
            if let Some(cloned) = known.and_then(|known| known.cloned.as_ref()) {
                let sentence = format!("it exists once and is taken for two: {}", cloned.why);
                return Err((Check::L2, Node::Device(device.index), sentence));
            }
        }
        Ok(())
    }

    /// Returns what came of it; coverage and timeline are taken away.
    pub fn verdict(&mut self) -> Verdict {
        let env = &mut self.env;
        let (coverage, timeline) = (std::mem::take(&mut env.coverage), std::mem::take(&mut env.timeline));
        let env = &self.env;
        let name = |node| match node {
            Node::Device(index) => env.names[index].to_string(),
            Node::Plane => "the control plane".to_owned(),
        };
        let violation = env.broken.as_ref().map(|broken| {
            let nodes = match broken.node {
                Node::Device(_) => vec![Node::Plane, broken.node],
                Node::Plane => vec![Node::Plane],
            };
            Violation {
                check: broken.check,
                sentence: broken.sentence.clone(),
                at_ms: broken.at,
                node: name(broken.node),
                story: env.story.of(&nodes, name),
            }
        });
        Verdict {
            options: self.case.options.clone(),
            events: self.events,
            trace: env.story.hash(),
            virtual_ms: env.now(),
            counts: env.counts.clone(),
            outcome: self.operator.outcome(),
            violation,
            is_repeatable: true,
            coverage,
            timeline,
        }
    }

    /// Returns the last lines of a device's story.
    pub fn story_of(&self, device: usize) -> Vec<String> {
        self.env.story.of(&[Node::Device(device)], |_| String::new())
    }
}
