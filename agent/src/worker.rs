//! Slot work: one thread that does what the core asks of disk and engines, in order, and tells how it went.
use std::sync::Arc;
use std::sync::mpsc as queue;
use std::thread::JoinHandle;

use pinnace_agent_core::api::{Job, LoadRole, LoadedInfo, ParityChunk, SlotError as CoreSlotError, SlotName, SlotPlan};
use pinnace_protocol::ids::Digest;
use pinnace_protocol::limits::TEXT_MAX_BYTES;
use pinnace_protocol::message::{FailCode, Failure};
use pinnace_protocol::sketch::{Layout, Profile};
use pinnace_protocol::trust::Released;
use tokio::sync::mpsc;

use crate::engine::{Engines, LoadedModel};
use crate::files::FileError;
use crate::router::Router;
use crate::slots::{SlotError, Slots};

/// Jobs that may wait; the core asks for one slot's work at a time, chunks in windows of
/// [`pinnace_protocol::limits::WANT_MAX_CHUNKS`].
const JOBS_MAX: usize = 1024;

/// What the thread is asked to do.
pub enum Order {
    /// Make room.
    Prepare(Job, SlotName, SlotPlan),
    /// Hash what is there.
    Scan(Job, SlotName),
    /// Write a chunk.
    Write(Job, SlotName, Digest, u64, Vec<u8>),
    /// Make a blob of one in another slot.
    Patch {
        /// Names the work.
        job: Job,
        /// Where to.
        slot: SlotName,
        /// What.
        blob: Digest,
        /// Slot of the old one.
        base: SlotName,
        /// The old one.
        from: Digest,
        /// How.
        patch: Vec<u8>,
    },
    /// Make the missing chunks of a stripe of the others and of parity: slot, blob, stripe.
    Restore(Job, SlotName, Digest, u64, Vec<ParityChunk>),
    /// Make durable.
    Seal(Job, SlotName),
    /// Verify, load, ask the golden vectors.
    Load(Job, SlotName, Vec<u8>, LoadRole),
    /// Let go of the candidate, also of one whose load waited before this.
    DropCandidate,
    /// Empty a slot.
    Erase(SlotName),
}

/// How it went.
pub enum Done {
    /// There is room.
    Prepared(Job),
    /// These chunks are whole.
    Scanned(Job, Vec<(Digest, u64)>),
    /// These chunks were made, or none for this reason.
    Filled(Job, Result<Vec<(Digest, u64)>, String>),
    /// Durable.
    Sealed(Job),
    /// Could not be done.
    Failed(Job, CoreSlotError),
    /// Loaded, with the reference profile's JSON; or not.
    Loaded(Job, Result<(LoadedInfo, Option<Vec<u8>>), Failure>),
}

/// The thread and the way to it.
pub struct Worker {
    orders: Option<queue::SyncSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread; results go to `done`.
    ///
    /// # Errors
    /// An I/O error when the system refuses a thread.
    pub fn start(
        slots: Slots,
        engines: Arc<Engines>,
        router: Router,
        done: mpsc::Sender<Done>,
    ) -> std::io::Result<Self> {
        let (orders, inbox) = queue::sync_channel(JOBS_MAX);
        let hands = Hands { slots, engines, router };
        let thread = std::thread::Builder::new().name("slots".into()).spawn(move || {
            for order in inbox {
                let answer = hands.carry_out(order);
                if let Some(answer) = answer
                    && done.blocking_send(answer).is_err()
                {
                    return;
                }
            }
        })?;
        Ok(Self { orders: Some(orders), thread: Some(thread) })
    }

    /// Queues an order; returns false when the thread is gone or the queue is full, which the core's deadlines notice.
    pub fn send(&self, order: Order) -> bool {
        self.orders.as_ref().is_some_and(|orders| orders.try_send(order).is_ok())
    }

    /// Finishes what is queued and ends the thread. Blocks.
    pub fn stop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by the missing answer.
            let _ = thread.join();
        }
    }
}

struct Hands {
    slots: Slots,
    engines: Arc<Engines>,
    router: Router,
}

impl Hands {
    fn carry_out(&self, order: Order) -> Option<Done> {
        match order {
            Order::Prepare(job, slot, plan) => Some(match self.slots.prepare(slot, &plan) {
                Ok(()) => Done::Prepared(job),
                Err(e) => Done::Failed(job, refusal(&e)),
            }),
            Order::Scan(job, slot) => Some(match self.slots.scan(slot) {
                Ok(present) => Done::Scanned(job, present),
                Err(e) => Done::Failed(job, refusal(&e)),
            }),
            Order::Write(job, slot, blob, offset, bytes) => {
                self.slots.write_chunk(slot, blob, offset, &bytes).err().map(|e| Done::Failed(job, refusal(&e.into())))
            }
            Order::Patch { job, slot, blob, base, from, patch } => {
                let made = self.slots.patch(slot, &blob, base, &from, &patch);
                Some(Done::Filled(job, made.map_err(|e| cut(e.to_string()))))
            }
            Order::Restore(job, slot, blob, stripe, parity) => {
                let made = self.slots.restore(slot, &blob, stripe, &parity);
                Some(Done::Filled(job, made.map_err(|e| cut(e.to_string()))))
            }
            Order::Seal(job, slot) => Some(match self.slots.seal(slot) {
                Ok(()) => Done::Sealed(job),
                Err(e) => Done::Failed(job, refusal(&e)),
            }),
            Order::Load(job, slot, released, role) => Some(Done::Loaded(job, self.load(slot, &released, role))),
            Order::DropCandidate => {
                self.router.drop_candidate();
                None
            }
            Order::Erase(slot) => {
                if let Err(e) = self.slots.erase(slot) {
                    tracing::warn!("{e}");
                }
                None
            }
        }
    }

    fn load(&self, slot: SlotName, released: &[u8], role: LoadRole) -> Result<(LoadedInfo, Option<Vec<u8>>), Failure> {
        let failed = |code, text: String| Failure { code, text: cut(text) };
        let released = Released::from_ledger(released).map_err(|e| failed(FailCode::Integrity, e.to_string()))?;
        let (bundle, _) = self.slots.open_bundle(slot, &released).map_err(|e| failed(code_of(&e), e.to_string()))?;
        let loaded = self.engines.load(&bundle).map_err(|e| failed(e.fail_code(), e.to_string()))?;
        let info = LoadedInfo {
            variant: loaded.variant.clone(),
            engine: loaded.engine.clone(),
            layout: layout(&loaded).map_err(|e| failed(FailCode::Load, e))?,
        };
        let profile = loaded.profile.as_ref().map(|(json, _)| json.clone());
        let placed = match role {
            LoadRole::Active => self.router.install(loaded),
            LoadRole::Candidate => self.router.set_candidate(loaded),
        };
        placed.map_err(|e| failed(FailCode::Load, e.to_string()))?;
        Ok((info, profile))
    }
}

fn layout(loaded: &LoadedModel) -> Result<Option<Arc<Layout>>, String> {
    let Some((bytes, _)) = &loaded.profile else { return Ok(None) };
    let profile = Profile::from_json(bytes).map_err(|e| e.to_string())?;
    Ok(Some(profile.layout().clone()))
}

fn code_of(e: &SlotError) -> FailCode {
    match e {
        SlotError::DiskFull { .. } => FailCode::DiskFull,
        SlotError::Damaged { .. } | SlotError::Manifest(_) | SlotError::Trust(_) => FailCode::Integrity,
        SlotError::File(e) if e.is_disk_full() => FailCode::DiskFull,
        SlotError::File(_) => FailCode::Load,
    }
}

fn refusal(e: &SlotError) -> CoreSlotError {
    match e {
        SlotError::DiskFull { need, free } => CoreSlotError::DiskFull { need: *need, free: *free },
        SlotError::File(file) if FileError::is_disk_full(file) => CoreSlotError::DiskFull { need: 0, free: 0 },
        other => CoreSlotError::Io(cut(other.to_string())),
    }
}

/// Cuts a text to what a message may carry, at a character's boundary.
fn cut(mut text: String) -> String {
    let mut end = text.len().min(TEXT_MAX_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}
