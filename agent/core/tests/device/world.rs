//! The in-memory shell: carries out effects, keeps a disk, can lose power at any boundary, checks what must hold.
use std::collections::{BTreeMap, VecDeque};

use pinnace_agent_core::{
    Agent, Batch, CommandRefusal, Conditions, Config, DeferPolicy, Effect, Event, FetchError, HttpId, Intervals, Job,
    Level, LoadRole, LoadedInfo, Op, ParityChunk, SlotError, SlotName, SlotPlan, Step, UpMessage, WindowDraft,
};
use pinnace_protocol::ids::{DeviceId, Digest, TenantId};
use pinnace_protocol::manifest::Manifest;
use pinnace_protocol::message::{CommandKind, FailCode, Failure, Phase, Report, TrialStats, Want, WantBody};
use pinnace_protocol::time::{ClockTrust, Mono, Now, Wall};
use pinnace_protocol::topic::Down;
use pinnace_protocol::transfer::parity;
use pinnace_protocol::trust::Floors;

use crate::disk::{Disk, SlotDisk};
use crate::plane::Plane;
use crate::repo::{Assigned, NOW_S, Repo};
use crate::tape::Tape;

/// Turns after which a test has gone wrong.
const TURNS_MAX: usize = 200_000;

/// Something the shell will hand in.
#[derive(Clone)]
pub enum Stimulus {
    LinkUp,
    LinkDown,
    Message(Down, Vec<u8>),
    Http(HttpId, Result<Vec<u8>, FetchError>),
    Prepared(Job),
    Scanned(Job, Vec<(Digest, u64)>),
    Sealed(Job),
    Filled(Job, Result<Vec<(Digest, u64)>, String>),
    Failed(Job, SlotError),
    Loaded(Job, Result<(), Failure>),
    Trial(Job, TrialStats),
    Window(WindowDraft),
    Revert,
    Stopping,
    Surroundings(Conditions, DeferPolicy),
    Veto(u32),
    CommandEnded(u64, Result<(String, Vec<String>), CommandRefusal>),
}

/// What the engine says of a bundle.
#[derive(Clone, Default)]
pub struct Behaviour {
    pub load: Option<Failure>,
    pub trial: Option<TrialStats>,
    /// The process dies in each load, this many times.
    pub crashes: u32,
}

pub const GOOD: TrialStats = TrialStats {
    inferences: 50,
    errors: 0,
    not_finite: 0,
    varied: true,
    p95_us: 900,
    baseline_p95_us: 800,
    compared: 50,
    disagreements: 1,
    judged: 0,
    candidate_right: 0,
    active_right: 0,
};

/// Power is lost.
struct Cut;

pub struct World {
    pub plane: Plane,
    pub disk: Disk,
    pub agent: Option<Agent>,
    pub now: Now,
    pub queue: VecDeque<Stimulus>,
    pub link: bool,
    /// The device reaches the broker by itself after each start.
    pub connects: bool,
    pub behaviour: BTreeMap<Digest, Behaviour>,
    pub disk_full: u32,
    /// Writes to slots until one finds no room; none when there is room enough.
    pub full_at: Option<u32>,
    pub log: Vec<(Level, String)>,
    /// How far the device's wall clock is off, milliseconds.
    pub clock_off_ms: i64,
    pub serving: Option<SlotName>,
    pub trying: Option<SlotName>,
    pub starts: u64,
    /// The disk was damaged behind the core's back, so pointers may name a damaged model for a while.
    pub rot: bool,
    /// Boundaries that may still be passed before the power is cut, for each cut to come; the next one is last.
    pub fuses: Vec<u64>,
    /// Every stimulus is handed in twice.
    pub twice: bool,
    /// How often the power was cut.
    pub cuts: u32,
    pub boundaries: u64,
    /// Windows whose commit is durable, by their `from_unix_ms`.
    pub owed: Vec<u64>,
    pub layout: Option<std::sync::Arc<pinnace_protocol::sketch::Layout>>,
    /// Records every start and turn when it is there.
    pub tape: Option<Tape>,
    /// What is published to all of these is received.
    pub listening: Vec<Digest>,
    /// Patches make something else than they say.
    pub bad_patches: bool,
    /// Commands that the core wants carried out.
    pub commands: Vec<(u64, CommandKind)>,
    nonce: u64,
    highest: Floors,
}

impl World {
    pub fn new(repo: Repo) -> Self {
        Self::with_cuts(repo, Vec::new())
    }

    /// As [`World::new`], with the power cut after so many boundaries; the last of `fuses` burns first.
    pub fn with_cuts(repo: Repo, fuses: Vec<u64>) -> Self {
        let wall = Wall { unix_ms: NOW_S * 1000, trust: ClockTrust::Unknown };
        let mut world = Self {
            plane: Plane::new(repo),
            disk: Disk::default(),
            agent: None,
            now: Now { mono: Mono(1), wall },
            queue: VecDeque::new(),
            link: false,
            connects: true,
            behaviour: BTreeMap::new(),
            disk_full: 0,
            full_at: None,
            log: Vec::new(),
            clock_off_ms: 0,
            serving: None,
            trying: None,
            starts: 0,
            rot: false,
            fuses,
            twice: false,
            cuts: 0,
            boundaries: 0,
            owed: Vec::new(),
            layout: None,
            tape: None,
            listening: Vec::new(),
            bad_patches: false,
            commands: Vec::new(),
            nonce: 0,
            highest: Floors::default(),
        };
        world.start();
        world
    }

    /// Returns a world with the same disk, plane and time whose device is not started yet.
    pub fn fork(&self) -> Self {
        let mut world = Self::new(self.plane.repo.clone());
        (world.plane, world.disk, world.now) = (self.plane.clone(), self.disk.clone(), self.now);
        (world.starts, world.nonce) = (self.starts, self.nonce);
        world.agent = None;
        world
    }

    /// Lets so many things happen, or all there is.
    pub fn settle_for(&mut self, turns: usize) {
        let _ = (0..turns).all(|_| self.turn());
    }

    /// The disk was damaged from outside: what it lost is not the core's fault.
    pub fn forgive_damage(&mut self) {
        (self.highest, self.rot) = (Floors::default(), true);
    }

    pub fn config(&self) -> Config {
        Config {
            tenant: TenantId::parse("acme").unwrap(),
            device: DeviceId::parse("dev-1").unwrap(),
            agent: "0.1.0".into(),
            device_profile: "gateway".into(),
            arch: "x86_64".into(),
            labels: vec!["site=north".into()],
            engines: vec!["tract".into()],
            memory_mib: 256,
            bundle_max_bytes: 8 << 20,
            plane_key: self.plane.key.verifying_key(),
            verifier: pinnace_protocol::signature::Verifier::STRICT,
            image_root: self.plane.repo.image_root.clone(),
            director_root: self.plane.repo.director_root.clone(),
            not_before_s: NOW_S - 1000,
            new_epoch: 1000 + self.starts,
            seed: self.starts,
            intervals: Intervals::default(),
        }
    }

    /// Starts the process from what is on disk.
    pub fn start(&mut self) {
        loop {
            self.starts += 1;
            self.queue.clear();
            (self.link, self.serving, self.trying) = (false, None, None);
            self.listening.clear();
            self.now.mono = Mono(1);
            let (config, stored, now) = (self.config(), self.disk.stored(), self.clock());
            if let Some(tape) = &mut self.tape {
                tape.start(&config, &stored, now);
            }
            let (agent, step) = Agent::recover(config, stored, now);
            if let Some(tape) = &mut self.tape {
                tape.step(&step);
            }
            self.agent = Some(agent);
            if self.connects {
                self.queue.push_back(Stimulus::LinkUp);
            }
            match self.carry_out(step, None) {
                Ok(()) => return,
                Err(Cut) => self.agent = None,
            }
        }
    }

    pub fn assign(&mut self, assigned: Assigned) {
        self.plane.assigned = Some(assigned);
        self.push_director();
    }

    /// The plane sends the assignment without being asked.
    pub fn push_director(&mut self) {
        let bytes = self.plane.direct(&self.config().device, None);
        self.queue.push_back(Stimulus::Message(Down::Director, bytes));
    }

    fn boundary(&mut self) -> Result<(), Cut> {
        self.boundaries += 1;
        self.check_disk();
        match self.fuses.last_mut() {
            Some(0) => {
                self.fuses.pop();
                self.cuts += 1;
                Err(Cut)
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Holds at every moment: floors never fall, and the pointers name whole, sealed models.
    fn check_disk(&mut self) {
        let floors = self.disk.floors();
        if floors != Floors::default() || self.highest != Floors::default() {
            assert_eq!(floors.join(&self.highest), floors, "a floor fell");
        }
        self.highest = floors;
        let Some(pointers) = self.disk.pointers().filter(|_| !self.rot) else { return };
        for pointer in [pointers.active, pointers.fallback].into_iter().flatten() {
            self.disk.bundle(pointer.slot, &pointer.released).expect("active and fallback are whole");
        }
    }

    fn assert_free(&self, slot: SlotName) {
        let pointers = self.disk.pointers();
        let used = pointers.iter().flat_map(|p| [&p.active, &p.fallback]).flatten().any(|p| p.slot == slot);
        assert!(!used && slot != SlotName::Factory, "slot {slot} is active or fallback and must not be touched");
    }

    fn commit(&mut self, batch: Batch, window: Option<u64>) -> Result<(), Cut> {
        if let Some(bytes) = batch.floors {
            for at in 0..2 {
                self.boundary()?;
                self.disk.floors[at] = Some(bytes.clone());
            }
        }
        if let Some(bytes) = batch.pointers {
            for at in 0..2 {
                self.boundary()?;
                self.disk.pointers[at] = Some(bytes.clone());
            }
        }
        self.boundary()?;
        for op in batch.ops {
            match op {
                Op::Put { key, bytes } => _ = self.disk.records.insert(key, bytes),
                Op::Delete { key } => _ = self.disk.records.remove(&key),
            }
        }
        self.owed.extend(window);
        self.boundary()
    }

    fn carry_out(&mut self, step: Step, window: Option<u64>) -> Result<(), Cut> {
        if let Some(batch) = step.commit {
            self.commit(batch, window)?;
        }
        for effect in step.then {
            self.effect(effect)?;
            self.boundary()?;
        }
        Ok(())
    }

    /// Returns whether this write finds no room; the next ones do.
    fn is_full(&mut self) -> bool {
        match self.full_at.as_mut() {
            Some(0) => {
                self.full_at = None;
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }

    fn effect(&mut self, effect: Effect) -> Result<(), Cut> {
        if let Effect::Prepare { job, .. } | Effect::WriteChunk { job, .. } | Effect::Seal { job, .. } = &effect
            && self.is_full()
        {
            let error = SlotError::DiskFull { need: 0, free: 0 };
            self.queue.push_back(Stimulus::Failed(*job, error));
            return Ok(());
        }
        match effect {
            Effect::Publish(message) => self.publish(message),
            Effect::HttpGet { id, path, range, max } => {
                if self.plane.http_hangs {
                    return Ok(());
                }
                let result = self.plane.get(&path, range);
                let result = result.and_then(|b| if b.len() as u64 > max { Err(FetchError::TooLarge) } else { Ok(b) });
                self.queue.push_back(Stimulus::Http(id, result));
            }
            Effect::Prepare { job, slot, plan } => self.prepare(job, slot, &plan),
            Effect::Scan { job, slot } => {
                let present = self.disk.slots[&slot].present();
                self.queue.push_back(Stimulus::Scanned(job, present));
            }
            Effect::WriteChunk { slot, blob, index, offset, bytes, .. } => {
                self.assert_free(slot);
                let disk = self.disk.slots.get_mut(&slot).unwrap();
                let manifest = Manifest::parse(&disk.manifest).unwrap();
                let listed = manifest.blobs.iter().find(|b| b.sha256 == blob).unwrap();
                assert_eq!(
                    listed.chunk_digests()[index as usize],
                    Digest::of(&bytes),
                    "only verified bytes are written"
                );
                let file = disk.blobs.get_mut(&blob).unwrap();
                file[offset as usize..offset as usize + bytes.len()].copy_from_slice(&bytes);
            }
            Effect::Listen { blobs } => self.listening = blobs,
            Effect::Patch { job, slot, blob, base, from, patch } => {
                self.assert_free(slot);
                let result = self.patch(slot, &blob, base, &from, &patch);
                self.queue.push_back(Stimulus::Filled(job, result));
            }
            Effect::Restore { job, slot, blob, stripe, parity } => {
                self.assert_free(slot);
                let result = self.restore(slot, &blob, stripe, &parity);
                self.queue.push_back(Stimulus::Filled(job, result));
            }
            Effect::Seal { job, slot } => {
                self.assert_free(slot);
                let disk = self.disk.slots.get_mut(&slot).unwrap();
                // As on a device: every blob is hashed once more, since a write before may have failed.
                let damaged = disk.blobs.iter().find(|(digest, bytes)| Digest::of(bytes) != **digest);
                if let Some((digest, _)) = damaged {
                    let error = SlotError::Io(format!("blob {digest} is damaged"));
                    self.queue.push_back(Stimulus::Failed(job, error));
                } else {
                    disk.sealed = true;
                    self.queue.push_back(Stimulus::Sealed(job));
                }
            }
            Effect::Load { job, slot, released, role } => self.load(job, slot, &released, role)?,
            Effect::StartTrial { job, slot, .. } => {
                assert_eq!(self.trying, Some(slot), "only a loaded candidate is tried");
                if let Some(stats) = self.behaviour_of(slot).trial.or(Some(GOOD)) {
                    self.queue.push_back(Stimulus::Trial(job, stats));
                }
            }
            Effect::Promote { slot } => {
                assert_eq!(self.trying.take(), Some(slot), "only a tried candidate is promoted");
                self.serving = Some(slot);
            }
            Effect::DropCandidate { slot } => {
                if self.trying == Some(slot) {
                    self.trying = None;
                }
            }
            Effect::Erase { slot } => {
                self.assert_free(slot);
                self.disk.slots.remove(&slot);
            }
            Effect::Command { number, kind } => self.commands.push((number, kind)),
            Effect::Log { level, text } => self.log.push((level, text)),
        }
        Ok(())
    }

    /// Makes a blob of an old one: in this world a patch is the new blob's digest behind the old one's.
    fn patch(
        &mut self,
        slot: SlotName,
        to: &Digest,
        base: SlotName,
        from: &Digest,
        patch: &[u8],
    ) -> Result<Vec<(Digest, u64)>, String> {
        let old = self.disk.slots.get(&base).filter(|s| s.sealed).and_then(|s| s.blobs.get(from));
        old.ok_or("the old blob is not there")?;
        assert_eq!(patch[..64], [from.0, to.0].concat(), "the patch is what was offered");
        if self.bad_patches {
            return Err("it makes something else".into());
        }
        let made = self.plane.repo.blob(to).unwrap().clone();
        let count = self.plane.repo.chunks(to).0.layout().count();
        self.disk.slots.get_mut(&slot).unwrap().blobs.insert(*to, made);
        Ok((0..count).map(|index| (*to, index)).collect())
    }

    fn restore(
        &mut self,
        slot: SlotName,
        digest: &Digest,
        stripe: u64,
        parity: &[ParityChunk],
    ) -> Result<Vec<(Digest, u64)>, String> {
        let disk = self.disk.slots.get_mut(&slot).unwrap();
        let manifest = Manifest::parse(&disk.manifest).unwrap();
        let blob = manifest.blobs.iter().find(|b| b.sha256 == *digest).unwrap();
        let (cuts, digests, file) = (blob.layout(), blob.chunk_digests(), disk.blobs.get_mut(digest).unwrap());
        let read = |index: u64| {
            let Some((start, length)) = cuts.range(index) else {
                return parity.iter().find(|p| p.index == index).map(|p| p.bytes.clone());
            };
            let piece = file[start as usize..(start + length) as usize].to_vec();
            (Digest::of(&piece) == digests[index as usize]).then_some(piece)
        };
        let made = parity::restore(&cuts, &blob.stripes(), stripe, read).map_err(|e| e.to_string())?;
        for (index, bytes) in &made {
            let (start, length) = cuts.range(*index).unwrap();
            assert_eq!(Digest::of(bytes), digests[*index as usize]);
            file[start as usize..(start + length) as usize].copy_from_slice(bytes);
        }
        Ok(made.into_iter().map(|(index, _)| (*digest, index)).collect())
    }

    fn publish(&mut self, message: UpMessage) {
        assert!(self.link, "nothing is published without a link");
        if let UpMessage::Want(Want { body: WantBody::Missing { blob, .. }, .. }) = &message {
            assert!(self.listening.contains(blob), "who says what it misses listens");
        }
        let config = self.config();
        for (kind, payload) in self.plane.take(&config.tenant, &config.device, message) {
            self.queue.push_back(Stimulus::Message(kind, payload));
        }
    }

    fn prepare(&mut self, job: Job, slot: SlotName, plan: &SlotPlan) {
        self.assert_free(slot);
        if self.disk_full > 0 {
            self.disk_full -= 1;
            let error = SlotError::DiskFull { need: 1_000_000, free: 10 };
            return self.queue.push_back(Stimulus::Failed(job, error));
        }
        let same = self.disk.slots.get(&slot).is_some_and(|s| s.manifest == plan.manifest);
        if !same {
            let blobs = plan.blobs.iter().map(|b| (b.digest, vec![0; b.length as usize])).collect();
            self.disk.slots.insert(slot, SlotDisk { manifest: plan.manifest.clone(), blobs, sealed: false });
        }
        self.queue.push_back(Stimulus::Prepared(job));
    }

    fn behaviour_of(&self, slot: SlotName) -> Behaviour {
        let digest = Digest::of(&self.disk.slots[&slot].manifest);
        self.behaviour.get(&digest).cloned().unwrap_or_default()
    }

    fn load(&mut self, job: Job, slot: SlotName, released: &[u8], role: LoadRole) -> Result<(), Cut> {
        let result = match self.disk.bundle(slot, released) {
            Err(text) => Err(Failure { code: FailCode::Integrity, text }),
            Ok(_) => {
                let mut behaviour = self.behaviour_of(slot);
                if behaviour.crashes > 0 && role == LoadRole::Candidate {
                    behaviour.crashes -= 1;
                    self.behaviour.insert(Digest::of(&self.disk.slots[&slot].manifest), behaviour);
                    return Err(Cut);
                }
                behaviour.load.filter(|_| role == LoadRole::Candidate).map_or(Ok(()), Err)
            }
        };
        if result.is_ok() {
            match role {
                LoadRole::Active => self.serving = Some(slot),
                LoadRole::Candidate => self.trying = Some(slot),
            }
        }
        self.queue.push_back(Stimulus::Loaded(job, result));
        Ok(())
    }

    /// Hands one stimulus in (twice when asked to), or lets time pass. Returns whether anything happened.
    pub fn turn(&mut self) -> bool {
        // A window closes once, whatever the network does.
        let again = self.queue.front().filter(|s| self.twice && !matches!(s, Stimulus::Window(_))).cloned();
        let happened = self.single_turn();
        if let Some(stimulus) = again.filter(|_| self.agent.is_some()) {
            self.queue.push_front(stimulus);
            self.single_turn();
        }
        happened
    }

    fn single_turn(&mut self) -> bool {
        let Some(mut agent) = self.agent.take() else {
            self.start();
            return true;
        };
        let step;
        let mut window = None;
        match self.queue.pop_front() {
            None => {
                let Some(at) = agent.next_deadline() else {
                    self.agent = Some(agent);
                    return false;
                };
                self.pass(at.since_ms(self.now.mono));
                step = self.hand(&mut agent, Event::Tick);
            }
            Some(stimulus) => match &stimulus {
                Stimulus::LinkUp => {
                    self.link = true;
                    self.nonce += 1;
                    let mut nonce = [0; 16];
                    nonce[..8].copy_from_slice(&self.nonce.to_le_bytes());
                    step = self.hand(&mut agent, Event::LinkUp { nonce });
                }
                Stimulus::LinkDown => {
                    self.link = false;
                    step = self.hand(&mut agent, Event::LinkDown);
                }
                Stimulus::Message(kind, payload) => {
                    step = self.hand(&mut agent, Event::Message { kind: *kind, payload });
                }
                Stimulus::Http(id, result) => {
                    let result = result.as_deref().map_err(Clone::clone);
                    step = self.hand(&mut agent, Event::HttpDone { id: *id, result });
                }
                Stimulus::Prepared(job) => step = self.hand(&mut agent, Event::SlotPrepared { job: *job }),
                Stimulus::Scanned(job, present) => {
                    step = self.hand(&mut agent, Event::SlotScanned { job: *job, present });
                }
                Stimulus::Sealed(job) => step = self.hand(&mut agent, Event::SlotSealed { job: *job }),
                Stimulus::Filled(job, result) => {
                    let result = result.as_deref().map_err(Clone::clone);
                    step = self.hand(&mut agent, Event::SlotFilled { job: *job, result });
                }
                Stimulus::Failed(job, error) => {
                    step = self.hand(&mut agent, Event::SlotFailed { job: *job, error: error.clone() });
                }
                Stimulus::Loaded(job, result) => {
                    let (variant, engine, layout) = ("fp32".into(), "tract".into(), self.layout.clone());
                    let result = result.clone().map(|()| LoadedInfo { variant, engine, layout });
                    step = self.hand(&mut agent, Event::Loaded { job: *job, result });
                }
                Stimulus::Trial(job, stats) => {
                    step = self.hand(&mut agent, Event::Trial { job: *job, stats: *stats });
                }
                Stimulus::Window(draft) => {
                    window = Some(draft.from_unix_ms);
                    step = self.hand(&mut agent, Event::WindowClosed(draft.clone()));
                }
                Stimulus::Revert => step = self.hand(&mut agent, Event::LocalRevert),
                Stimulus::Stopping => step = self.hand(&mut agent, Event::Stopping),
                Stimulus::Surroundings(conditions, policy) => {
                    let (conditions, policy) = (*conditions, policy.clone());
                    step = self.hand(&mut agent, Event::Surroundings { conditions, policy });
                }
                Stimulus::Veto(seconds) => {
                    step = self.hand(&mut agent, Event::Veto { seconds: *seconds, reason: "a harvest is on".into() });
                }
                Stimulus::CommandEnded(number, result) => {
                    step = self.hand(&mut agent, Event::CommandEnded { number: *number, result: result.clone() });
                }
            },
        }
        self.agent = Some(agent);
        if self.carry_out(step, window).is_err() {
            self.agent = None;
        }
        true
    }

    /// Returns what the device takes for the time.
    fn clock(&self) -> Now {
        let unix_ms = self.now.wall.unix_ms.saturating_add_signed(self.clock_off_ms);
        Now { wall: Wall { unix_ms, ..self.now.wall }, ..self.now }
    }

    fn hand(&mut self, agent: &mut Agent, event: Event<'_>) -> Step {
        let now = self.clock();
        if let Some(tape) = &mut self.tape {
            tape.turn(now, &event);
        }
        let mut step = Step::default();
        agent.handle(now, event, &mut step);
        if let Some(tape) = &mut self.tape {
            tape.step(&step);
        }
        step
    }

    pub fn pass(&mut self, ms: u64) {
        self.now.mono = self.now.mono.plus_ms(ms);
        self.now.wall.unix_ms += ms;
        self.plane.now_s = self.now.wall.unix_ms / 1000;
    }

    /// Takes turns until `done` holds.
    pub fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        for _ in 0..TURNS_MAX {
            if done(self) {
                return;
            }
            assert!(self.turn(), "nothing left to do before: {what}; log: {:#?}", self.log);
        }
        panic!("never: {what}; last report {:?}; log: {:#?}", self.plane.reports.last(), self.log);
    }

    /// Takes turns until nothing but time would change anything.
    pub fn settle(&mut self) {
        self.until("a quiet moment", |w| w.queue.is_empty() && w.agent.is_some());
    }

    pub fn last(&self) -> &Report {
        self.plane.reports.last().expect("a report was sent")
    }

    pub fn phase(&self) -> Option<Phase> {
        self.plane.reports.last().map(|r| r.phase)
    }

    pub fn failure(&self) -> Option<FailCode> {
        self.plane.reports.last().and_then(|r| r.failure.as_ref()).map(|f| f.code)
    }

    /// Returns the manifest digest of the model that serves.
    pub fn serves(&self) -> Option<Digest> {
        Some(Digest::of(&self.disk.slots.get(&self.serving?)?.manifest))
    }

    /// Installs and waits for the end.
    pub fn install(&mut self, assigned: &Assigned) {
        self.assign(assigned.clone());
        let generation = assigned.generation;
        self.until("healthy", |w| w.phase() == Some(Phase::Healthy) && w.last().generation == generation);
        assert_eq!(self.serves(), Some(assigned.bundle.digest));
    }

    /// Both floor slots are gone, and with them what the harness holds against the core.
    pub fn forget_floors(&mut self) {
        self.disk.floors = [None, None];
        self.highest = Floors::default();
    }

    pub fn draft(&self, id: u64) -> WindowDraft {
        WindowDraft {
            bundle: "rain/v1".parse().unwrap(),
            profile: Digest::of(b"profile"),
            from_unix_ms: id,
            to_unix_ms: id + 1,
            rows: 10,
            sketch: vec![7; 100],
        }
    }
}
