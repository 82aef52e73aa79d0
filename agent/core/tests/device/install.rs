//! What goes well: install, update, rollback, superseding, resuming.
use pinnace_agent_core::SlotName;
use pinnace_protocol::message::{FailCode, Phase};

use crate::disk::Disk;
use crate::plane::{Http, Mqtt};
use crate::repo::{Assigned, Repo};
use crate::world::{GOOD, Stimulus, World};

#[test]
fn a_first_bundle_is_fetched_by_mqtt_tried_and_healthy() {
    let mut repo = Repo::new();
    let v1 = repo.release(1);
    let mut world = World::new(repo);
    world.install(&Assigned::new(&v1, 1));
    assert_eq!(world.plane.gets, 0, "MQTT was enough");
    let phases: Vec<Phase> = world.plane.reports.iter().map(|r| r.phase).collect();
    let expected = [
        Phase::Idle,
        Phase::Accepted,
        Phase::Downloading,
        Phase::Verified,
        Phase::Loading,
        Phase::Probation,
        Phase::Healthy,
    ];
    assert_eq!(phases, expected);
    let report = world.last();
    assert_eq!(report.running.as_ref().map(|r| r.generation), Some(1));
    assert_eq!((report.progress_ppm, report.trial), (1_000_000, Some(GOOD)));
    let counters: Vec<_> = world.plane.reports.iter().map(|r| r.counter).collect();
    assert!(counters.windows(2).all(|w| w[0] < w[1]), "counters grow");
}

#[test]
fn the_second_goes_to_the_other_slot_and_the_third_takes_the_fallbacks() {
    let mut repo = Repo::new();
    let (v1, v2, v3) = (repo.release(1), repo.release(2), repo.release(3));
    let mut world = World::new(repo);
    world.install(&Assigned::new(&v1, 1));
    let first = world.serving;
    world.install(&Assigned::new(&v2, 2));
    assert_ne!(world.serving, first);
    world.install(&Assigned::new(&v3, 3));
    assert_eq!(world.serving, first);
}

#[test]
fn a_rollback_swaps_back_at_once_without_fetching() {
    let mut repo = Repo::new();
    let (v1, v2) = (repo.release(1), repo.release(2));
    let mut world = World::new(repo);
    world.install(&Assigned::new(&v1, 1));
    world.install(&Assigned::new(&v2, 2));
    let wants = world.plane.wants;
    world.install(&Assigned { rollback: true, ..Assigned::new(&v1, 3) });
    assert_eq!(world.plane.wants, wants, "nothing was fetched");
    let phases: Vec<Phase> = world.plane.reports.iter().filter(|r| r.generation == 3).map(|r| r.phase).collect();
    assert_eq!(phases, [Phase::Accepted, Phase::Loading, Phase::Healthy], "golden vectors only");
    // And forward again: v2 is the fallback now.
    world.install(&Assigned::new(&v2, 4));
}

#[test]
fn two_steps_back_need_more_than_an_assignment() {
    let mut repo = Repo::new();
    let (v1, v2, v3) = (repo.release(1), repo.release(2), repo.release(3));
    let mut world = World::new(repo);
    for (at, bundle) in [&v1, &v2, &v3].into_iter().enumerate() {
        world.install(&Assigned::new(bundle, at as u64 + 1));
    }
    world.assign(Assigned { rollback: true, ..Assigned::new(&v1, 4) });
    world.until("refused", |w| w.phase() == Some(Phase::Failed));
    assert_eq!(world.failure(), Some(FailCode::Metadata));
    assert_eq!(world.serves(), Some(v3.digest));
}

#[test]
fn http_takes_over_when_mqtt_is_silent_or_gone() {
    for gone in [false, true] {
        let mut repo = Repo::new();
        let v1 = repo.release(1);
        let mut world = World::new(repo);
        world.settle();
        world.plane.mqtt = Mqtt::Silent;
        world.assign(Assigned::new(&v1, 1));
        if gone {
            world.turn();
            world.queue.push_back(Stimulus::LinkDown);
            world.until("served", |w| w.serves() == Some(v1.digest) && w.trying.is_none());
        } else {
            world.install(&Assigned::new(&v1, 1));
        }
        assert!(world.plane.gets > 3);
    }
}

#[test]
fn a_busy_server_costs_no_attempt() {
    let mut repo = Repo::new();
    let v1 = repo.release(1);
    let mut world = World::new(repo);
    world.settle();
    (world.plane.mqtt, world.plane.http) = (Mqtt::Silent, Http::BusyOnce);
    world.install(&Assigned::new(&v1, 1));
    assert!(world.plane.reports.iter().all(|r| r.phase != Phase::Deferred));
}

#[test]
fn an_offline_device_waits_without_counting_it_and_goes_on_with_the_link() {
    let mut repo = Repo::new();
    let v1 = repo.release(1);
    let mut world = World::new(repo);
    world.settle();
    world.assign(Assigned::new(&v1, 1));
    world.until("downloading", |w| w.phase() == Some(Phase::Downloading));
    world.plane.http = Http::Fails;
    world.queue.clear();
    world.queue.push_back(Stimulus::LinkDown);
    for _ in 0..200 {
        world.turn();
    }
    assert_eq!(world.serves(), None);
    world.plane.http = Http::Answers;
    world.queue.push_back(Stimulus::LinkUp);
    world.until("healthy", |w| w.phase() == Some(Phase::Healthy));
    assert!(world.plane.reports.iter().all(|r| r.phase != Phase::Failed));
}

#[test]
fn a_newer_target_supersedes_at_every_moment() {
    let mut repo = Repo::new();
    let [v1, v2, v3] = [1, 2, 3].map(|version| repo.release_with(version, 100_000, |_| {}));
    let turns = {
        let mut world = World::new(repo.clone());
        world.install(&Assigned::new(&v1, 1));
        world.assign(Assigned::new(&v2, 2));
        let mut turns = 0;
        while world.serves() != Some(v2.digest) {
            world.turn();
            turns += 1;
        }
        turns
    };
    for at in 0..=turns {
        let mut world = World::new(repo.clone());
        world.install(&Assigned::new(&v1, 1));
        world.assign(Assigned::new(&v2, 2));
        for _ in 0..at {
            world.turn();
        }
        world.install(&Assigned::new(&v3, 3));
    }
}

#[test]
fn an_interrupted_download_keeps_its_chunks() {
    let mut repo = Repo::new();
    let v1 = repo.release(1);
    let mut world = World::new(repo);
    world.settle();
    world.assign(Assigned::new(&v1, 1));
    world.until("half way", |w| {
        w.disk.slots.values().any(|s| s.blobs.values().any(|b| b.iter().skip(600_000).any(|byte| *byte != 0)))
    });
    let before = world.plane.wants;
    world.start();
    world.until("healthy", |w| w.phase() == Some(Phase::Healthy));
    assert!(world.plane.wants - before <= 2, "only the rest was asked for");
}

#[test]
fn a_damaged_active_model_is_replaced_by_the_fallback_and_fetched_again() {
    let mut repo = Repo::new();
    let (v1, v2) = (repo.release(1), repo.release(2));
    let mut world = World::new(repo);
    world.install(&Assigned::new(&v1, 1));
    world.install(&Assigned::new(&v2, 2));
    let slot = world.serving.unwrap();
    // Bit rot behind the core's back.
    world.disk.slots.get_mut(&slot).unwrap().blobs.values_mut().next().unwrap()[0] ^= 1;
    world.rot = true;
    world.start();
    world.until("the fallback serves", |w| w.serves() == Some(v1.digest));
    world.rot = false;
    world.until("the target serves again", |w| w.serves() == Some(v2.digest) && w.phase() == Some(Phase::Healthy));
}

#[test]
fn a_factory_bundle_serves_at_once_and_is_a_way_back() {
    let mut repo = Repo::new();
    let (v1, v2) = (repo.release_with(1, 50_000, |_| {}), repo.release_with(2, 50_000, |_| {}));
    let mut maker = World::new(repo.clone());
    maker.install(&Assigned::new(&v1, 1));
    let made = maker.disk.pointers().unwrap().active.unwrap();
    let content = maker.disk.slots[&made.slot].clone();

    let mut world = World::new(repo);
    world.disk = Disk { factory: Some(made.released), ..Disk::default() };
    world.forget_floors();
    world.disk.slots.insert(SlotName::Factory, content);
    world.connects = false;
    world.start();
    world.settle();
    assert_eq!(world.serves(), Some(v1.digest), "without any connection");
    world.queue.push_back(Stimulus::LinkUp);
    world.install(&Assigned::new(&v2, 1));
    let wants = world.plane.wants;
    world.install(&Assigned { rollback: true, ..Assigned::new(&v1, 2) });
    assert_eq!((world.serving, world.plane.wants), (Some(SlotName::Factory), wants));
    world.install(&Assigned::new(&v2, 3));
}

#[test]
fn an_empty_assignment_drops_what_is_on_its_way_and_keeps_what_runs() {
    let mut repo = Repo::new();
    let (v1, v2) = (repo.release(1), repo.release(2));
    let mut world = World::new(repo);
    world.install(&Assigned::new(&v1, 1));
    world.assign(Assigned::new(&v2, 2));
    world.until("downloading", |w| w.phase() == Some(Phase::Downloading));
    world.plane.assigned = None;
    world.push_director();
    world.until("idle", |w| w.phase() == Some(Phase::Idle));
    world.settle();
    assert_eq!((world.serves(), world.disk.slots.len()), (Some(v1.digest), 1));
}

#[test]
fn a_bundle_that_runs_already_is_healthy_under_a_newer_generation() {
    let mut repo = Repo::new();
    let v1 = repo.release(1);
    let mut world = World::new(repo);
    world.install(&Assigned::new(&v1, 1));
    // Its first rollout was given up before it had proven anything; a second one asks for it again.
    world.plane.assigned = None;
    world.push_director();
    world.until("idle", |w| w.phase() == Some(Phase::Idle));
    world.install(&Assigned::new(&v1, 3));
    world.start();
    world.until("still healthy", |w| {
        w.last().generation == 3 && w.phase() == Some(Phase::Healthy) && w.serves().is_some()
    });
}

#[test]
fn a_newer_generation_of_the_same_bundle_goes_on_with_what_is_there() {
    let mut repo = Repo::new();
    let v1 = repo.release(1);
    let mut world = World::new(repo);
    world.assign(Assigned::new(&v1, 1));
    world.until("downloading", |w| w.phase() == Some(Phase::Downloading));
    world.install(&Assigned::new(&v1, 2));
    let accepted = world.plane.reports.iter().filter(|r| r.phase == Phase::Accepted).count();
    assert_eq!(accepted, 1, "nothing began anew");
}
