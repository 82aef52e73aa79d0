//! The start: from whatever is on disk to an agent that has something runnable.
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use pinnace_protocol::ids::{BundleRef, Digest, Family};
use pinnace_protocol::time::Now;
use pinnace_protocol::trust::{Floors, Recovered, Released, TrustedState, first_root};

use crate::Agent;
use crate::api::{Config, Key, Level, SlotName, Step, Stored};
use crate::jitter::Jitter;
use crate::outbox::Outbox;
use crate::state::{Installed, State};
use crate::turn::Turn;
use crate::work::Work;

impl Agent {
    /// Returns the agent as the disk left it, and its first step.
    ///
    /// Damaged or missing records cost what they held and nothing else: without a state record the pointers name the
    /// model, without metadata the repository is asked again, and without floors nothing is installed until the
    /// director answered a fresh nonce. What ran before runs again.
    pub fn recover(config: Config, stored: Stored, now: Now) -> (Self, Step) {
        let mut turn = Turn::new(now);
        let (mut floors, had_floors) = match Floors::recover(stored.floors[0].as_deref(), stored.floors[1].as_deref()) {
            Recovered::Floors(floors) => (floors, true),
            Recovered::BothLost => (Floors::default(), false),
        };
        floors.raise_time(config.not_before_s);
        if stored.floors.iter().any(|slot| slot.as_deref() != Some(&floors.encode())) {
            turn.save_floors();
        }

        let state_record = stored.records.iter().find(|(key, _)| *key == Key::State);
        let remembered = state_record.and_then(|(_, bytes)| State::decode(bytes));
        let is_new = remembered.is_none();
        let mut state = remembered.unwrap_or_else(|| State::new(config.new_epoch));
        let is_older = stored.pointers.iter().flatten().any(|slot| state.is_older_than(slot));
        if is_older && !is_new {
            // What the older state was about to do is superseded; the director says anew what is wanted.
            turn.log(Level::Warn, "the state record is older than the pointers, which name the model");
            (state.candidate, state.target) = (None, None);
        }
        if is_new || is_older {
            if is_new && state_record.is_some() {
                turn.log(
                    Level::Error,
                    "the state record is damaged: the pointers name the model, numbering starts anew",
                );
            }
            // Either slot may be torn, and both are written before the ledger: the newer sound one wins.
            for slot in stored.pointers.iter().flatten() {
                state.adopt_pointers(slot);
            }
        }
        state.boot = state.boot.saturating_add(1);
        if state.active.is_none() {
            state.active = state.fallback.take();
        }

        let (outbox, useless) = Outbox::recover(&stored.records, &state);
        state.windows_lost = state.windows_lost.saturating_add(useless.len() as u64);
        for key in useless {
            turn.delete(key);
        }
        let mut metadata = BTreeMap::new();
        let (mut manifest, mut director_root) = (None, None);
        for (key, bytes) in stored.records {
            match key {
                Key::Meta(name) => _ = metadata.insert(name, bytes),
                Key::Manifest => manifest = Some(bytes),
                Key::DirectorRoot => director_root = Some(bytes),
                Key::State | Key::Window(_) => {}
            }
        }
        let trusted = match TrustedState::load_with(&config.image_root, metadata, config.verifier) {
            Ok(trusted) => Some(trusted),
            Err(e) => {
                turn.log(
                    Level::Error,
                    alloc::format!("the image repository's first root is unsound: {e}; {}", e.hint()),
                );
                None
            }
        };
        let director_root = director_root.and_then(|bytes| {
            first_root(&bytes, config.verifier)
                .inspect_err(|e| {
                    turn.log(
                        Level::Error,
                        alloc::format!("the stored director root is unsound: {e}; the first one is used"),
                    );
                })
                .ok()
        });
        let director_root = director_root.map_or_else(|| first_root(&config.director_root, config.verifier), Ok);
        let factory = stored.factory.and_then(|bytes| factory_bundle(&bytes));
        if state.active.is_none() {
            state.active.clone_from(&factory);
        }
        // Both slots are repaired at once when either was torn, lost or older.
        if stored.pointers.iter().any(|slot| slot.as_deref() != Some(&state.pointers())) {
            turn.save_pointers();
        }
        turn.save();

        let mut agent = Self {
            jitter: Jitter::new(config.seed, "backoff"),
            director_root,
            config,
            state,
            floors,
            trusted,
            manifest,
            factory,
            outbox,
            deferral: Default::default(),
            clock: Default::default(),
            link: Default::default(),
            reporter: Default::default(),
            serving: None,
            tried: None,
            layouts: Vec::new(),
            order: None,
            work: Work::Idle,
            listening: false,
            active_load: None,
            active_retry: None,
            active_tries: 0,
            unanswered: 0,
            messages: 0,
            jobs: 0,
            https: 0,
        };
        if !had_floors && !is_new && agent.state.candidate.is_some() {
            turn.log(
                Level::Error,
                "both floor records are lost: nothing is installed until the director answers afresh",
            );
            agent.abandon(&mut turn);
        }
        agent.command_after_restart(&mut turn);
        agent.load_active(&mut turn);
        if agent.active_load.is_none() {
            // A device that never had a model still says what it has given up.
            if agent.state.candidate.is_none() {
                agent.settle(&mut turn);
            }
            agent.resume(&mut turn);
        }
        let mut step = Step::default();
        turn.finish(&agent.state, &agent.floors, &mut step);
        (agent, step)
    }
}

/// Returns the bundle that came with the device.
fn factory_bundle(record: &[u8]) -> Option<Installed> {
    let released = Released::from_ledger(record).ok()?;
    let version = released.path().strip_suffix(".manifest.json")?.rsplit_once("-v")?.1.parse().ok()?;
    Some(Installed {
        slot: SlotName::Factory,
        released: record.to_vec(),
        bundle: BundleRef { family: Family::parse(released.model()).ok()?, version },
        manifest: Digest(*released.sha256()),
        release_counter: released.release_counter(),
        generation: 0,
        rollout: None,
    })
}
