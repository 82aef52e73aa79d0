//! What the steward wants done: signed orders, acknowledgements, answers.
use std::collections::BTreeMap;

use pinnace_controlplane_core::history::{EventKind, EventRecord};
use pinnace_controlplane_core::{Assignment, Batch, Effect, Row};
use pinnace_protocol::ids::DeviceId;
use pinnace_protocol::message::seal_from_plane_with;
use pinnace_protocol::topic::Down;
use pinnace_protocol::trust::TargetFile;
use pinnace_protocol::trust::author::{DirectorOrder, direct, roots_after};
use pinnace_protocol::trust::released::{FIELD_HARDWARE, FIELD_MODEL, FIELD_RELEASE, FIELD_RUNTIME};
use serde_json::Value;

use super::Plane;
use crate::checks::{Check, order_is_durable, says_why};
use crate::coverage::Mark;
use crate::env::Env;
use crate::plant::Plant;
use crate::signatures::sign;
use crate::story::Node;

/// Seconds that a director bundle is valid.
const DIRECTOR_LIFE_S: u64 = 7 * 86_400;
/// Bytes of the nonce in a hello.
const NONCE_BYTES: usize = 16;

impl Plane {
    /// Makes rows durable and lets the checks see them.
    pub(super) fn commit(&mut self, env: &mut Env, mut batch: Batch) {
        if env.has(Plant::ForgetCounted) {
            batch.put.retain(|row| !matches!(row, Row::Dedupe(_)));
        }
        if env.has(Plant::LoseTotals) && self.rng.chance(50) {
            batch.put.retain(|row| !matches!(row, Row::Aggregate(_)));
        }
        for row in &mut batch.put {
            if let (Row::Rollout(rollout), true) = (&mut *row, env.has(Plant::GenerousWaves)) {
                rollout.quota += rollout.quota / 2 + 1;
            }
            let found = env.checks.exposure.stored(row);
            env.judge(Check::S6, Node::Plane, found);
        }
        let found = env.checks.counted.stored(&batch, &env.names);
        env.judge(Check::S7, Node::Plane, found);
        env.counts.windows = env.checks.counted.windows;
        self.store.apply(batch);
    }

    /// Takes a version for every order to sign: the last one of each device, which replaces the others.
    pub(super) fn versions(&mut self, env: &Env, then: &[Effect]) -> BTreeMap<usize, u64> {
        let mut last: BTreeMap<&DeviceId, usize> = BTreeMap::new();
        for (index, effect) in then.iter().enumerate() {
            if let Effect::Assign { device, .. } | Effect::Reassert { device, .. } = effect {
                last.insert(device, index);
            }
        }
        let now_s = env.unix_ms() / 1000;
        let places = last.into_iter().filter_map(|(id, index)| Some((index, env.place(id)?)));
        places.map(|(index, device)| (index, self.store.next_version(device, now_s))).collect()
    }

    pub(super) fn effect(&mut self, env: &mut Env, effect: Effect, version: Option<u64>) {
        match effect {
            Effect::Assign { device, nonce, assignment } => {
                self.order(env, &device, &nonce, Some(&assignment), version);
                if env.has(Plant::TellOneMore) {
                    self.tell_next(env, &device, &assignment);
                }
            }
            Effect::Reassert { device, nonce, assignment } => {
                if !env.has(Plant::SilentPlane) {
                    self.order(env, &device, &nonce, assignment.as_ref(), version);
                }
            }
            Effect::Ack { device, ack } => {
                let Some(index) = env.place(&device) else { return };
                let found = env.checks.counted.acknowledged(index, &ack);
                env.judge(Check::S8, Node::Device(index), found);
                let kind = Down::Ack;
                if let Ok(payload) =
                    seal_from_plane_with(|bytes| sign(&self.public, bytes), &env.tenant, &device, kind.as_str(), &ack)
                {
                    env.publish_down(index, kind, payload);
                }
            }
            Effect::Notify(record) => self.notify(env, record),
            Effect::Answer { request, result } => drop(self.answers.insert(request.0, result)),
        }
    }

    /// Tells listeners; they are part of the world, and of the checks.
    fn notify(&self, env: &mut Env, record: EventRecord) {
        if env.has(Plant::MuteRetrain) && record.kind == EventKind::RetrainWanted {
            return;
        }
        env.reached(Mark::Event(record.kind));
        // A person's own rows change as they please: only of this world's rows is it known whether they did.
        if env.table.is_none() {
            let found = env.checks.drift.told(&record, env.queue.now(), &env.world);
            env.judge(Check::L5, Node::Plane, found);
        }
        let found = says_why(&record);
        env.judge(Check::L6, Node::Plane, found);
        if env.story.is_told() {
            env.timeline.moment(env.queue.now(), record.text.clone());
        }
        env.tell(Node::Plane, record.text);
    }

    /// The planted bug: the next device is told too.
    fn tell_next(&mut self, env: &mut Env, device: &DeviceId, assignment: &Assignment) {
        let Some(index) = env.place(device) else { return };
        let next = (index + 1) % env.names.len();
        if self.keyring.contains_key(&next) {
            let version = self.store.next_version(next, env.unix_ms() / 1000);
            let name = env.names[next].clone();
            self.order(env, &name, &[], Some(assignment), Some(version));
        }
    }

    /// Signs what a device should run, bound to the nonce of its hello when there is one, and publishes it retained.
    fn order(
        &mut self,
        env: &mut Env,
        device: &DeviceId,
        nonce: &[u8],
        assignment: Option<&Assignment>,
        version: Option<u64>,
    ) {
        let (Some(index), Some(version)) = (env.place(device), version) else { return };
        let mut assignment = assignment;
        let mistaken;
        if let Some(assignment) = assignment {
            let custom = &assignment.custom;
            if custom.rollback && env.has(Plant::KeepBad) {
                return;
            }
            env.checks.generations.ordered(index, custom.generation, custom.bundle.clone());
            if let Some(rollout) = custom.rollout.as_deref().filter(|_| !custom.rollback) {
                let found = env.checks.exposure.told(rollout, index);
                env.judge(Check::S6, Node::Device(index), found);
            }
            let found = order_is_durable(&self.store, device, custom.generation);
            env.judge(Check::S8, Node::Plane, found);
        }
        if env.has(Plant::OrderOfAnother) {
            mistaken = std::mem::replace(&mut self.last_order, assignment.cloned());
            assignment = mistaken.as_ref().or(assignment);
        }
        let have = self.roots.get(&index).copied().unwrap_or(1);
        let running = self.running.get(&index).copied().filter(|_| env.patches);
        let offer = running.zip(assignment).and_then(|(base, a)| env.repo.offer(&base, &a.manifest.sha256));
        let with_patch = assignment.map(|a| {
            let mut a = a.clone();
            a.custom.patches.extend(offer);
            a
        });
        let assignment = with_patch.as_ref();
        let roots = if env.has(Plant::KeepRoots) { &[] } else { roots_after(&env.repo.director_roots, have) };
        match sign_order(env, device, nonce, assignment, version, roots) {
            Ok(payload) => {
                let what = assignment.map_or_else(
                    || "nothing new".into(),
                    |a| format!("{} of generation {}", a.custom.bundle, a.custom.generation),
                );
                env.tell(Node::Device(index), format_args!("the plane orders {what}"));
                env.publish_down(index, Down::Director, payload);
            }
            Err(why) => env.tell(Node::Plane, format_args!("cannot sign for {device}: {why}")),
        }
    }
}

fn sign_order(
    env: &Env,
    device: &DeviceId,
    nonce: &[u8],
    assignment: Option<&Assignment>,
    version: u64,
    roots: &[Vec<u8>],
) -> Result<Vec<u8>, String> {
    let nonce = (nonce.len() == NONCE_BYTES).then(|| hex::encode(nonce));
    let target = assignment.map(|a| describe(env, a).map(|file| (a.manifest.path.as_str(), file))).transpose()?;
    let now_s = env.unix_ms() / 1000;
    let order = DirectorOrder {
        device: device.as_str(),
        nonce: nonce.as_deref(),
        issued: now_s,
        expires: now_s + DIRECTOR_LIFE_S,
        sequence: version,
        generation: version,
        assignment: target.as_ref().map(|(path, file)| (*path, file)),
        roots,
    };
    direct(&order, &env.repo.director).and_then(|bundle| bundle.encode()).map_err(|e| e.to_string())
}

/// Describes the manifest: what the offline keys said of it, and the assignment.
fn describe(env: &Env, assignment: &Assignment) -> Result<TargetFile, String> {
    let missing = || format!("{} is not released", assignment.manifest.path);
    let release = env.repo.by_digest(&assignment.manifest.sha256).ok_or_else(missing)?;
    let mut custom = serde_json::to_value(&assignment.custom).map_err(|e| e.to_string())?;
    let signed = release.target.custom.as_ref().unwrap_or(&Value::Null);
    if let Value::Object(fields) = &mut custom {
        for field in [FIELD_HARDWARE, FIELD_RELEASE, FIELD_MODEL, FIELD_RUNTIME] {
            fields.extend(signed.get(field).map(|word| (field.to_owned(), word.clone())));
        }
    }
    let mut file = release.target.clone();
    file.custom = Some(custom);
    Ok(file)
}
