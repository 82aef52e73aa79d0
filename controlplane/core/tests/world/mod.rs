//! A small world around the steward: a store of encoded rows, devices that obey or break, a lossy post office.
#![allow(dead_code, reason = "every test file uses another part of it")]
use std::collections::BTreeMap;

use pinnace_controlplane_core::policy::RolloutPolicy;
use pinnace_controlplane_core::rollout::MemberState;
use pinnace_controlplane_core::views::RolloutPage;
use pinnace_controlplane_core::{
    Assignment, Command, Config, Done, Effect, Event, IntervalBy, Published, Refusal, RequestId, Row, RowKey, Step,
    Steward, Table,
};
use pinnace_protocol::ids::{BundleRef, DeviceId, Digest, Family, RolloutId};
use pinnace_protocol::manifest::{Blob, Compat, Feature, FeatureKind, Manifest, Role, SPEC, Signature, Task, Variant};
use pinnace_protocol::message::{
    Counter, FailCode, Failure, Health, Hello, Phase, Report, Running, TrialStats, Window,
};
use pinnace_protocol::sketch::{Column, Live, Profile, ProfileBuilder, Value};
use pinnace_protocol::time::{ClockTrust, Mono, Now, Wall};

pub const START_MS: u64 = 1_800_000_000_000;

/// SplitMix64: enough for tests, the same everywhere.
#[derive(Clone)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

pub fn device(i: usize) -> DeviceId {
    DeviceId::parse(&format!("station-{i:02}")).unwrap()
}

pub fn bundle(version: u64) -> BundleRef {
    BundleRef { family: Family::parse("rain").unwrap(), version }
}

/// The reference every test bundle is published with.
pub fn profile() -> Profile {
    let wind: Vec<f64> = (0..4000).map(|i| ((i * 7919) % 1000) as f64 / 100.0).collect();
    let sky: Vec<Option<&str>> = (0..4000).map(|i| Some(["clear", "cloudy", "rain"][i % 3])).collect();
    ProfileBuilder::new(500)
        .feature("wind", Column::Numeric { values: &wind, nulls: None }, 0.7)
        .feature("sky", Column::Categorical(&sky), 0.3)
        .build()
        .unwrap()
}

pub fn manifest(version: u64) -> Manifest {
    let feature = |name: &str, kind| Feature { name: name.into(), kind, unit: String::new() };
    Manifest {
        spec: SPEC.into(),
        family: Family::parse("rain").unwrap(),
        version,
        release_counter: version,
        created: 1_800_000_000,
        compat: Compat::default(),
        signature: Signature {
            task: Task::Classification,
            input: "x".into(),
            output: "p".into(),
            label_output: None,
            classes: vec!["dry".into(), "rain".into()],
            features: vec![
                feature("wind", FeatureKind::Numeric),
                feature("sky", FeatureKind::Categorical(vec!["clear".into(), "cloudy".into(), "rain".into()])),
            ],
        },
        variants: vec![Variant {
            name: "fp32".into(),
            blob: "m".into(),
            engines: vec!["tract".into()],
            requires: Default::default(),
        }],
        blobs: vec![Blob::describe("m", Role::Model, &[version as u8; 100])],
    }
}

/// Encoded windows of `rows` rows whose wind is moved by `shift`.
pub fn window(profile: &Profile, rng: &mut Rng, rows: usize, shift: f64) -> Vec<u8> {
    let mut live = Live::new(profile);
    for _ in 0..rows {
        let wind = rng.share() * 10.0 + shift;
        let sky = ["clear", "cloudy", "rain"][rng.below(3)];
        live.update_row(&[Value::Num(wind), Value::Cat(sky)]).unwrap();
    }
    live.encode()
}

/// How a bundle does on a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    Healthy,
    Fails(FailCode),
    /// Accepts and is never heard of again.
    Silent,
    /// Works, but is right less often than the old model.
    Worse,
    /// Stays in probation for ever.
    Slow,
}

/// A device as the steward sees it.
pub struct Fake {
    pub id: DeviceId,
    pub labels: Vec<String>,
    pub class: String,
    pub online: bool,
    pub epoch: u64,
    pub seq: u64,
    pub windows: u64,
    pub accepted: u64,
    pub running: Option<BundleRef>,
    pub assignment: Option<Assignment>,
    pub fate: BTreeMap<u64, Fate>,
    pub outbox: Vec<Report>,
}

impl Fake {
    pub fn count(&mut self) -> Counter {
        self.seq += 1;
        Counter { epoch: self.epoch, boot: 1, seq: self.seq }
    }
    pub fn runs(&self) -> Option<Running> {
        self.running.clone().map(|bundle| Running {
            manifest: Digest::of(bundle.to_string().as_bytes()),
            bundle,
            generation: self.accepted,
            variant: "fp32".into(),
            engine: "tract".into(),
        })
    }
    pub fn hello(&mut self) -> Hello {
        Hello {
            counter: self.count(),
            nonce: self.seq.to_be_bytes().to_vec(),
            agent: "test".into(),
            device_profile: self.class.clone(),
            arch: "x86_64".into(),
            labels: self.labels.clone(),
            engines: vec!["tract".into()],
            running: self.runs(),
            generation: self.accepted,
            next_window: self.windows,
            clock_unix_ms: START_MS,
            clock_trust: ClockTrust::Attested,
            director_root: 1,
        }
    }
    pub fn report(&mut self, phase: Phase, failure: Option<FailCode>, trial: Option<TrialStats>) -> Report {
        Report {
            counter: self.count(),
            generation: self.accepted,
            rollout: None,
            target: self.assignment.as_ref().map(|a| a.custom.bundle.clone()),
            phase,
            progress_ppm: 0,
            failure: failure.map(|code| Failure { code, text: String::new() }),
            trial,
            running: self.runs(),
            health: Health::default(),
        }
    }
    /// Works an assignment off and queues the reports.
    pub fn take(&mut self, assignment: &Assignment) {
        if assignment.custom.generation <= self.accepted {
            return;
        }
        self.accepted = assignment.custom.generation;
        self.assignment = Some(assignment.clone());
        let bundle = assignment.custom.bundle.clone();
        let fate = self.fate.get(&bundle.version).copied().unwrap_or(Fate::Healthy);
        let fate = if assignment.custom.rollback { Fate::Healthy } else { fate };
        let accepted = self.report(Phase::Accepted, None, None);
        self.outbox.push(accepted);
        if self.running.as_ref() == Some(&bundle) {
            let settled = self.report(Phase::Healthy, None, None);
            self.outbox.push(settled);
            return;
        }
        let trial = |candidate_right| TrialStats {
            inferences: 100,
            compared: 100,
            judged: 100,
            candidate_right,
            active_right: 90,
            disagreements: 100 - candidate_right.min(90),
            varied: true,
            ..TrialStats::default()
        };
        match fate {
            Fate::Silent => {}
            Fate::Slow => {
                let r = self.report(Phase::Probation, None, None);
                self.outbox.push(r);
            }
            Fate::Fails(code) => {
                let r = self.report(Phase::Failed, Some(code), None);
                self.outbox.push(r);
            }
            Fate::Healthy | Fate::Worse => {
                let r = self.report(Phase::Probation, None, None);
                self.outbox.push(r);
                self.running = Some(bundle);
                let r = self.report(Phase::Healthy, None, Some(trial(if fate == Fate::Worse { 50 } else { 91 })));
                self.outbox.push(r);
            }
        }
    }
}

/// Steward, store, devices, time.
pub struct World {
    pub steward: Steward,
    pub config: Config,
    pub store: BTreeMap<RowKey, Vec<u8>>,
    pub now_ms: u64,
    pub devices: BTreeMap<DeviceId, Fake>,
    /// Effects done, in order.
    pub log: Vec<Effect>,
    pub answers: Vec<Result<Done, Refusal>>,
    requests: u64,
}

pub fn config() -> Config {
    Config { interval: IntervalBy::Windows(4), interval_rows: 400 }
}

impl World {
    /// `n` devices that run rain/v1, which is published; nothing was rolled out.
    pub fn new(n: usize) -> Self {
        Self::with(n, config())
    }

    pub fn with(n: usize, config: Config) -> Self {
        let now = Self::at(START_MS);
        let (steward, step) = Steward::recover(config.clone(), Vec::new(), now).unwrap();
        assert_eq!(step, Step::default());
        let mut world = Self {
            steward,
            config,
            store: BTreeMap::new(),
            now_ms: START_MS,
            devices: BTreeMap::new(),
            log: Vec::new(),
            answers: Vec::new(),
            requests: 0,
        };
        world.publish(1);
        for i in 0..n {
            world.join(i);
        }
        world
    }

    fn at(ms: u64) -> Now {
        Now { mono: Mono(ms - START_MS), wall: Wall { unix_ms: ms, trust: ClockTrust::Attested } }
    }

    pub fn now(&self) -> Now {
        Self::at(self.now_ms)
    }

    pub fn join(&mut self, i: usize) {
        self.join_with(i, Some(bundle(1)));
    }

    /// Joins a device that came without a model.
    pub fn join_bare(&mut self, i: usize) {
        self.join_with(i, None);
    }

    fn join_with(&mut self, i: usize, running: Option<BundleRef>) {
        let id = device(i);
        let fake = Fake {
            id: id.clone(),
            labels: vec![format!("site={}", if i.is_multiple_of(2) { "north" } else { "south" })],
            class: "pi".into(),
            online: true,
            epoch: 100 + i as u64,
            seq: 0,
            windows: 0,
            accepted: 0,
            running,
            assignment: None,
            fate: BTreeMap::new(),
            outbox: Vec::new(),
        };
        let (class, labels) = (fake.class.clone(), fake.labels.clone());
        self.devices.insert(id.clone(), fake);
        self.send(&Event::DeviceJoined { device: &id, device_profile: &class, labels: &labels });
        self.hello(&id);
    }

    pub fn publish(&mut self, version: u64) {
        let manifest = manifest(version);
        let bytes = manifest.to_bytes().unwrap();
        let profile = profile().to_json();
        self.send(&Event::BundlePublished(Published {
            manifest: &manifest,
            sha256: Digest::of(&bytes),
            length: bytes.len() as u64,
            profile: &profile,
        }));
    }

    pub fn fate(&mut self, version: u64, fate: impl Fn(usize) -> Fate) {
        for (i, fake) in self.devices.values_mut().enumerate() {
            fake.fate.insert(version, fate(i));
        }
    }

    /// One turn: decide, commit, then act. Checks what must hold after every turn.
    pub fn send(&mut self, event: &Event<'_>) {
        let mut step = Step::default();
        self.steward.handle(self.now(), event.clone(), &mut step);
        self.apply(step);
    }

    pub fn commit(&mut self, step: &Step) {
        let Some(batch) = &step.commit else { return };
        for row in &batch.put {
            let key = RowKey { table: row.table(), key: row.key() };
            self.store.insert(key, row.value().unwrap());
        }
        for key in &batch.delete {
            self.store.remove(key);
        }
        self.check();
    }

    pub fn apply(&mut self, step: Step) {
        self.commit(&step);
        for effect in step.then {
            self.act(&effect);
            self.log.push(effect);
        }
    }

    fn act(&mut self, effect: &Effect) {
        match effect {
            Effect::Assign { device, assignment, .. }
            | Effect::Reassert { device, assignment: Some(assignment), .. } => {
                // Whoever is told has been committed as exposed before.
                if let Some(rollout) = &assignment.custom.rollout {
                    let key = RowKey { table: Table::Member, key: format!("{rollout}/{device}") };
                    assert!(self.store.contains_key(&key), "{device} was told before the commit");
                }
                if let Some(fake) = self.devices.get_mut(device).filter(|f| f.online) {
                    fake.take(assignment);
                }
            }
            Effect::Answer { result, .. } => self.answers.push(result.clone()),
            Effect::Reassert { .. } | Effect::Ack { .. } | Effect::Notify(_) => {}
        }
    }

    /// What must hold at every instant: no more devices are exposed than the committed quota allows.
    pub fn check(&self) {
        // Pages of large fleets are long: every so often is enough there.
        if self.devices.len() > 300 && !self.log.len().is_multiple_of(64) {
            return;
        }
        for cell in self.steward.rollouts() {
            let page = self.steward.rollout(&cell.id).unwrap();
            assert_eq!(page.tally.exposed as usize, page.members.len());
            assert!(page.tally.exposed <= page.rollout.quota, "{} of {}", page.tally.exposed, page.rollout.quota);
            let share = page.rollout.plan.waves.get(page.rollout.wave as usize).map_or(0, |w| w.quota);
            assert!(page.rollout.quota >= share || page.rollout.plan.eligible == 0 || page.tally.exposed == 0);
            assert!(page.tally.healthy + page.tally.failed <= page.tally.accepted);
        }
    }

    /// Loses the process and everything not committed, and goes on from the store.
    pub fn crash(&mut self) {
        let rows: Vec<Row> = self.store.iter().map(|(k, v)| Row::decode(k.table, v).unwrap()).collect();
        // Monotonic time begins anew; the wall clock may even be behind.
        let (steward, step) = Steward::recover(self.config.clone(), rows, self.now()).unwrap();
        self.steward = steward;
        self.apply(step);
    }

    pub fn command(&mut self, command: Command) -> Result<Done, Refusal> {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.send(&Event::Command { request, actor: "ada", command: &command });
        self.answers.last().unwrap().clone()
    }

    pub fn create(&mut self, version: u64, policy: RolloutPolicy) -> RolloutId {
        match self.command(Command::CreateRollout { bundle: bundle(version), policy }) {
            Ok(Done::Created(id)) => id,
            other => panic!("{other:?}"),
        }
    }

    pub fn hello(&mut self, id: &DeviceId) {
        let Some(fake) = self.devices.get_mut(id) else { return };
        let hello = fake.hello();
        self.send(&Event::Hello { device: id, message: &hello });
    }

    pub fn deliver(&mut self, id: &DeviceId, report: &Report) {
        self.send(&Event::Report { device: id, message: report });
    }

    pub fn window(&mut self, id: &DeviceId, window: &Window) {
        self.send(&Event::Window { device: id, message: window });
    }

    /// Delivers every queued report in order until none is left.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            let next = self.devices.values_mut().find(|f| f.online && !f.outbox.is_empty());
            let Some((id, report)) = next.map(|f| (f.id.clone(), f.outbox.remove(0))) else { return };
            self.deliver(&id, &report);
        }
        panic!("devices never come to rest");
    }

    /// Lets `ms` pass, with a tick at every deadline, delivering what devices say.
    pub fn pass(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        for _ in 0..100_000 {
            self.settle();
            // Mono of a recovered steward begins at its own start; both are the same line here.
            let due = self.steward.next_deadline().map(|m| START_MS + m.0);
            match due {
                Some(at) if at <= end => self.now_ms = self.now_ms.max(at),
                _ => {
                    self.now_ms = end;
                    return;
                }
            }
            self.send(&Event::Tick);
        }
        panic!("a deadline never passes");
    }

    pub fn page(&self, id: &RolloutId) -> RolloutPage {
        self.steward.rollout(id).unwrap()
    }

    pub fn state(&self, id: &RolloutId) -> &'static str {
        self.page(id).state
    }

    pub fn running(&self, version: u64) -> usize {
        self.devices.values().filter(|f| f.running == Some(bundle(version))).count()
    }

    pub fn members(&self, id: &RolloutId, state: MemberState) -> usize {
        self.page(id).members.iter().filter(|m| m.state == state).count()
    }

    /// Everything stored, for comparisons; steward time stands still between.
    pub fn dump(&self) -> Vec<(RowKey, Vec<u8>)> {
        let rows = self.steward.export();
        let mut rows: Vec<_> =
            rows.iter().map(|r| (RowKey { table: r.table(), key: r.key() }, r.value().unwrap())).collect();
        rows.sort();
        rows
    }
}
