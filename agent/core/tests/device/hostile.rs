//! An enemy on the broker, a disk that lost things: nothing unsigned counts, nothing old comes back.
use pinnace_agent_core::{Key, Level};
use pinnace_protocol::ids::DeviceId;
use pinnace_protocol::message::{Ack, Phase, seal_from_plane};
use pinnace_protocol::topic::Down;

use crate::plane::Mqtt;
use crate::repo::{Assigned, NOW_S, Repo};
use crate::world::{Stimulus, World};

fn running_v1() -> (World, Repo, [crate::repo::Bundle; 2]) {
    let mut repo = Repo::new();
    let bundles = [repo.release_with(1, 50_000, |_| {}), repo.release_with(2, 50_000, |_| {})];
    let mut world = World::new(repo.clone());
    world.install(&Assigned::new(&bundles[0], 5));
    (world, repo, bundles)
}

/// Hands a director message in and returns how many log lines refuse something.
fn hand_in(world: &mut World, payload: Vec<u8>) -> usize {
    let refusals = |w: &World| w.log.iter().filter(|(level, _)| *level >= Level::Warn).count();
    let before = refusals(world);
    world.queue.push_back(Stimulus::Message(Down::Director, payload));
    world.settle();
    refusals(world) - before
}

#[test]
fn older_contradicting_and_foreign_assignments_are_refused() {
    let (mut world, _, [v1, v2]) = running_v1();
    let now_s = world.plane.now_s;
    let older = world.plane.repo.direct("dev-1", None, now_s, Some(&Assigned::new(&v2, 4)));
    let contradicting = world.plane.repo.direct("dev-1", None, now_s, Some(&Assigned::new(&v2, 5)));
    let foreign = world.plane.repo.direct("dev-2", None, now_s, Some(&Assigned::new(&v2, 9)));
    let mut forged = world.plane.repo.direct("dev-1", None, now_s, Some(&Assigned::new(&v2, 9)));
    let at = forged.len() / 2;
    forged[at] ^= 1;
    for payload in [older, contradicting, foreign, forged, b"{}".to_vec(), vec![0xff; 70_000]] {
        assert_eq!(hand_in(&mut world, payload), 1, "refused and said so");
        assert_eq!((world.serves(), world.phase()), (Some(v1.digest), Some(Phase::Healthy)));
    }
}

#[test]
fn a_replayed_director_message_is_refused() {
    let (mut world, _, [v1, v2]) = running_v1();
    let now_s = world.plane.now_s;
    let old = world.plane.repo.direct("dev-1", None, now_s, Some(&Assigned::new(&v2, 9)));
    world.push_director();
    world.settle();
    assert_eq!(hand_in(&mut world, old), 1);
    assert_eq!(world.serves(), Some(v1.digest));
}

#[test]
fn a_retained_message_waits_for_the_answer_to_the_nonce() {
    let (mut world, _, [v1, v2]) = running_v1();
    let now_s = world.plane.now_s;
    let retained = world.plane.repo.direct("dev-1", None, now_s, Some(&Assigned::new(&v2, 9)));
    world.connects = false;
    world.start();
    world.settle();
    // The retained message comes right after the subscription, before the plane has answered.
    world.queue.push_back(Stimulus::LinkUp);
    world.turn();
    world.queue.clear();
    world.queue.push_back(Stimulus::Message(Down::Director, retained));
    world.settle();
    assert_eq!((world.serves(), world.last().generation), (Some(v1.digest), 5));
    assert!(world.plane.hellos.len() >= 2);
    // Hello is repeated until it is answered; the answer counts.
    world.plane.assigned = Some(Assigned::new(&v2, 9));
    world.until("healthy", |w| w.serves() == Some(v2.digest) && w.phase() == Some(Phase::Healthy));
}

#[test]
fn an_answer_to_somebody_elses_hello_makes_the_device_say_hello_again() {
    let (mut world, _, [v1, _]) = running_v1();
    world.settle();
    let hellos = world.plane.hellos.len();
    // Newer than all before: the plane answers the hello of a ledger that this device has lost.
    let former = world.plane.direct(&world.config().device, Some(&[7; 16]));
    world.queue.push_back(Stimulus::Message(Down::Director, former.clone()));
    world.settle();
    assert_eq!(world.plane.hellos.len(), hellos + 1);
    // The same message once more is older than the answer, and says nothing.
    world.queue.push_back(Stimulus::Message(Down::Director, former));
    world.settle();
    assert_eq!((world.plane.hellos.len(), world.serves()), (hellos + 1, Some(v1.digest)));
}

#[test]
fn tampered_chunks_never_reach_the_disk_and_another_source_is_asked() {
    let mut repo = Repo::new();
    let v1 = repo.release_with(1, 300_000, |_| {});
    let mut world = World::new(repo);
    world.settle();
    world.plane.mqtt = Mqtt::Tampers;
    // The harness checks every chunk that is written; metadata over MQTT is spoiled too.
    world.install(&Assigned::new(&v1, 1));
    assert!(world.plane.gets > 5);

    let mut world = World::new(world.plane.repo.clone());
    world.assign(Assigned::new(&v1, 1));
    world.until("downloading", |w| w.phase() == Some(Phase::Downloading));
    world.plane.mqtt = Mqtt::Tampers;
    world.until("healthy", |w| w.phase() == Some(Phase::Healthy));
    assert!(world.log.iter().any(|(_, text)| text.contains("not what was signed")));
}

#[test]
fn everything_may_arrive_twice() {
    let mut repo = Repo::new();
    let (v1, v2) = (repo.release_with(1, 300_000, |_| {}), repo.release_with(2, 300_000, |_| {}));
    let mut world = World::new(repo);
    world.twice = true;
    world.install(&Assigned::new(&v1, 1));
    for id in 0..5 {
        let draft = world.draft(id);
        world.queue.push_back(Stimulus::Window(draft));
    }
    world.install(&Assigned::new(&v2, 2));
    world.install(&Assigned { rollback: true, ..Assigned::new(&v1, 3) });
    assert_eq!(world.plane.folded.len(), 5);
}

#[test]
fn junk_and_answers_nobody_asked_for_change_nothing() {
    let (mut world, _, [v1, _]) = running_v1();
    let records = world.disk.records.clone();
    for kind in Down::ALL {
        for payload in [vec![], vec![0], vec![0xff; 1000], vec![0x9f; 300_000], b"{\"v\":1}".to_vec()] {
            world.queue.push_back(Stimulus::Message(kind, payload));
        }
    }
    for id in 0..50 {
        world.queue.push_back(Stimulus::Http(pinnace_agent_core::HttpId(id), Ok(vec![1; 100])));
        world.queue.push_back(Stimulus::Prepared(pinnace_agent_core::Job(id)));
        world.queue.push_back(Stimulus::Scanned(pinnace_agent_core::Job(id), vec![]));
        world.queue.push_back(Stimulus::Sealed(pinnace_agent_core::Job(id)));
        world.queue.push_back(Stimulus::Trial(pinnace_agent_core::Job(id), crate::world::GOOD));
        world.queue.push_back(Stimulus::Loaded(pinnace_agent_core::Job(id), Ok(())));
    }
    world.settle();
    assert_eq!((world.serves(), world.phase()), (Some(v1.digest), Some(Phase::Healthy)));
    assert!(world.disk.records == records);
}

#[test]
fn an_acknowledgement_counts_only_from_the_plane_for_this_device_and_epoch() {
    let (mut world, _, _) = running_v1();
    world.plane.acks = false;
    let draft = world.draft(1);
    world.queue.push_back(Stimulus::Window(draft));
    world.settle();
    let epoch = world.plane.reports[0].counter.epoch;
    let config = world.config();
    let ack = |epoch| Ack { epoch, watermark: 1, above: vec![] };
    let other = DeviceId::parse("dev-2").unwrap();
    let enemy = ed25519_dalek::SigningKey::from_bytes(&[66; 32]);
    let kind = Down::Ack.as_str();
    let payloads = [
        seal_from_plane(&enemy, &config.tenant, &config.device, kind, &ack(epoch)).unwrap(),
        seal_from_plane(&world.plane.key, &config.tenant, &other, kind, &ack(epoch)).unwrap(),
        seal_from_plane(&world.plane.key, &config.tenant, &config.device, kind, &ack(epoch + 1)).unwrap(),
    ];
    for payload in payloads {
        world.queue.push_back(Stimulus::Message(Down::Ack, payload));
        world.settle();
        assert!(world.disk.records.contains_key(&Key::Window(0)));
    }
    let good = seal_from_plane(&world.plane.key, &config.tenant, &config.device, kind, &ack(epoch)).unwrap();
    world.queue.push_back(Stimulus::Message(Down::Ack, good));
    world.settle();
    assert!(!world.disk.records.contains_key(&Key::Window(0)));
}

#[test]
fn an_old_repository_is_refused_even_when_the_stored_metadata_is_gone() {
    let mut repo = Repo::new();
    let v1 = repo.release_with(1, 50_000, |_| {});
    let old = repo.clone();
    let v2 = repo.release_with(2, 50_000, |_| {});
    let mut world = World::new(repo.clone());
    world.install(&Assigned::new(&v2, 1));
    world.disk.records.retain(|key, _| !matches!(key, Key::Meta(_)));
    world.plane.repo.metadata = old.metadata;
    world.start();
    world.assign(Assigned::new(&v1, 2));
    world.until("failed", |w| w.phase() == Some(Phase::Failed));
    let report = world.last();
    assert!(report.failure.as_ref().unwrap().text.contains("older than version"), "{report:?}");
    assert_eq!(world.serves(), Some(v2.digest));
}

#[test]
fn a_lost_ledger_costs_no_model() {
    for damage in 0..4 {
        let (mut world, _, [v1, v2]) = running_v1();
        match damage {
            0 => world.disk.records.clear(),
            1 => _ = world.disk.records.insert(Key::State, vec![1, 2, 3]),
            2 => {
                world.disk.records.clear();
                world.disk.pointers[0] = Some(vec![0; 40]);
            }
            _ => {
                world.disk.records.clear();
                world.disk.pointers[1] = None;
                world.disk.floors[0] = Some(vec![9]);
            }
        }
        let epochs = world.plane.reports.last().map(|r| r.counter.epoch);
        world.connects = false;
        world.start();
        world.settle();
        assert_eq!(world.serves(), Some(v1.digest), "damage {damage}: runs before any connection");
        world.queue.push_back(Stimulus::LinkUp);
        world.settle();
        assert_ne!(world.plane.reports.last().map(|r| r.counter.epoch), epochs, "numbering starts anew");
        // The generation floor survived with the pointers.
        let stale = world.plane.repo.direct("dev-1", None, NOW_S, Some(&Assigned::new(&v2, 4)));
        assert_eq!(hand_in(&mut world, stale), 1);
        world.install(&Assigned::new(&v2, 6));
    }
}

#[test]
fn without_floors_nothing_goes_on_until_the_director_answers_afresh() {
    let (mut world, _, [v1, v2]) = running_v1();
    world.assign(Assigned::new(&v2, 6));
    world.until("downloading", |w| w.phase() == Some(Phase::Downloading));
    world.forget_floors();
    world.connects = false;
    world.start();
    for _ in 0..100 {
        world.turn();
    }
    assert_eq!((world.serves(), world.trying), (Some(v1.digest), None));
    world.queue.push_back(Stimulus::LinkUp);
    world.until("healthy", |w| w.serves() == Some(v2.digest) && w.phase() == Some(Phase::Healthy));
}

#[test]
fn new_roots_are_followed_and_remembered_and_the_old_online_key_is_dead() {
    let (mut world, _, [_, v2]) = running_v1();
    let now_s = world.plane.now_s;
    let mut stolen = world.plane.repo.clone();
    world.plane.repo.rotate_roots();
    world.install(&Assigned::new(&v2, 6));
    assert!(world.disk.records.contains_key(&Key::DirectorRoot));
    world.start();
    world.until("healthy after a restart", |w| w.phase() == Some(Phase::Healthy));
    let order = Assigned { rollback: true, ..Assigned::new(&v2, 99) };
    let forged = stolen.direct("dev-1", None, now_s, Some(&order));
    assert_eq!(hand_in(&mut world, forged), 1);
    assert_eq!(world.last().generation, 6);
}

/// Hands the device over to a thief who has every online key: broker, plane, director, snapshot, timestamp.
fn hand_over(world: &mut World, thief: Repo, assigned: Assigned) {
    world.plane.repo = thief;
    world.assign(assigned);
    world.settle_for(400);
}

#[test]
fn with_every_online_key_stolen_nothing_unreleased_runs_and_rotation_recovers() {
    let (mut world, _, [v1, v2]) = running_v1();
    world.install(&Assigned::new(&v2, 6));
    let honest = world.plane.repo.clone();

    // Content that no offline key released, named by every document that online keys can sign.
    let mut thief = honest.stolen();
    let evil = thief.release_with(9, 50_000, |_| {});
    hand_over(&mut world, thief.clone(), Assigned::new(&evil, 7));
    assert_eq!((world.serves(), world.trying), (Some(v2.digest), None), "forged family");
    // The same under the name, the counter and the path of what is released.
    let mut other = honest.stolen();
    let evil = other.release_with(2, 60_000, |_| {});
    hand_over(&mut world, other, Assigned::new(&evil, 8));
    assert_eq!((world.serves(), world.trying), (Some(v2.digest), None), "released name, other content");
    // What is released, for other hardware or with another counter than the offline keys said.
    let mut renamed = v1.clone();
    renamed.counter = 99;
    hand_over(&mut world, honest.stolen(), Assigned::new(&renamed, 9));
    assert_eq!((world.serves(), world.trying), (Some(v2.digest), None), "another release counter");
    assert!(world.disk.slots.values().all(|slot| slot.manifest != evil.manifest), "no byte of it was stored");

    // The offline keys rotate every online key: versions that the thief pushed out of reach are forgotten with them.
    let mut repo = honest;
    repo.rotate_often(1);
    let v3 = repo.release_with(3, 50_000, |_| {});
    world.plane.repo = repo;
    world.start();
    world.assign(Assigned::new(&v3, 20));
    world.until("recovered", |w| w.serves() == Some(v3.digest) && w.phase() == Some(Phase::Healthy));
    // And the thief's keys are worth nothing any more.
    let forged = thief.direct("dev-1", None, world.plane.now_s, Some(&Assigned::new(&v1, 99)));
    assert_eq!(hand_in(&mut world, forged), 1);
    assert_eq!(world.serves(), Some(v3.digest));
}

#[test]
fn what_a_thief_did_to_numbers_time_and_refusals_goes_with_its_keys() {
    let (mut world, honest, [v1, v2]) = running_v1();
    let now_s = world.plane.now_s;
    // The last generation there is: nothing honest could ever be newer.
    hand_over(&mut world, honest.stolen(), Assigned::new(&v2, u64::MAX));
    assert_eq!((world.last().generation, world.serves()), (5, Some(v1.digest)));
    // An answer to the device's own hello, from almost a year ahead: roots are valid as long.
    world.plane.now_s = now_s + 300 * 86_400;
    world.plane.assigned = None;
    world.queue.push_back(Stimulus::LinkUp);
    world.settle();
    // A mirror whose documents cannot be genuine, until the bundle is given up for good.
    let mut mirror = world.plane.repo.clone();
    mirror.release_with(9, 50_000, |_| {});
    hand_over(&mut world, mirror, Assigned::new(&v2, 6));
    assert_eq!((world.phase(), world.serves()), (Some(Phase::Failed), Some(v1.digest)));

    // New keys, the same order, the same process: all of it is forgotten.
    let mut repo = honest;
    repo.rotate_often(1);
    (world.plane.repo, world.plane.now_s) = (repo, now_s);
    world.assign(Assigned::new(&v2, 6));
    world.queue.push_back(Stimulus::LinkUp);
    world.until("recovered", |w| w.serves() == Some(v2.digest) && w.phase() == Some(Phase::Healthy));
    assert_eq!(world.last().generation, 6);
}

#[test]
fn what_was_given_up_is_said_again_when_it_is_ordered_again() {
    let (mut world, honest, [_, v2]) = running_v1();
    let mut mirror = honest.stolen();
    mirror.release_with(9, 50_000, |_| {});
    hand_over(&mut world, mirror, Assigned::new(&v2, 6));
    assert_eq!(world.phase(), Some(Phase::Failed));
    world.plane.assigned = None;
    world.queue.push_back(Stimulus::LinkUp);
    world.until("nothing is wanted", |w| w.phase() == Some(Phase::Idle));
    world.assign(Assigned::new(&v2, 6));
    world.until("said again", |w| w.phase() == Some(Phase::Failed) && w.last().failure.is_some());
}
