//! Windows: numbered without gaps, counted once, merged before any is dropped.
use std::sync::Arc;

use pinnace_agent_core::{Key, WindowDraft};
use pinnace_protocol::ids::Digest;
use pinnace_protocol::sketch::{Column, Live, Profile, ProfileBuilder};

use crate::repo::{Assigned, Repo};
use crate::world::{Stimulus, World};

pub fn profile() -> Profile {
    let wind: Vec<f64> = (0..2000).map(|i| f64::from(i % 97)).collect();
    ProfileBuilder::new(100).feature("wind", Column::Numeric { values: &wind, nulls: None }, 1.0).build().unwrap()
}

pub fn count(profile: &Profile, window: u64) -> Live {
    let mut live = Live::new(profile);
    for row in 0..3 {
        live.update_numbers(&[((window * 7 + row) % 101) as f32]).unwrap();
    }
    live
}

fn offline_world() -> World {
    let mut repo = Repo::new();
    let v1 = repo.release_with(1, 40_000, |_| {});
    let mut world = World::new(repo);
    world.layout = Some(Arc::clone(profile().layout()));
    world.install(&Assigned::new(&v1, 1));
    world.queue.push_back(Stimulus::LinkDown);
    world.settle();
    world
}

pub fn close(world: &mut World, ids: std::ops::Range<u64>, sketch: impl Fn(u64) -> Vec<u8>) {
    for id in ids {
        let draft = WindowDraft { rows: 3, sketch: sketch(id), ..world.draft(id) };
        world.queue.push_back(Stimulus::Window(draft));
    }
    world.settle();
}

fn waiting(world: &World) -> usize {
    world.disk.records.keys().filter(|k| matches!(k, Key::Window(_))).count()
}

fn reconnect(world: &mut World) {
    world.queue.push_back(Stimulus::LinkUp);
    world.until("all counted", |w| w.queue.is_empty() && waiting(w) == 0);
    let numbers: Vec<u64> = world.plane.folded.keys().map(|(_, seq)| *seq).collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>(), "numbers have no gaps");
}

#[test]
fn a_full_outbox_merges_neighbours_and_loses_no_count() {
    let profile = profile();
    let mut world = offline_world();
    close(&mut world, 0..3000, |id| count(&profile, id).encode());
    assert!(waiting(&world) <= pinnace_agent_core::limits::OUTBOX_MAX_WINDOWS);
    world.start();
    reconnect(&mut world);
    let mut all = Live::new(&profile);
    for window in world.plane.folded.values() {
        all.merge(&Live::decode(&profile, &window.sketch).unwrap()).unwrap();
    }
    let mut expected = Live::new(&profile);
    for id in 0..3000 {
        expected.merge(&count(&profile, id)).unwrap();
    }
    assert!(all.encode() == expected.encode(), "byte for byte what one pass counts");
    let rows: u64 = world.plane.folded.values().map(|w| w.rows).sum();
    assert_eq!(rows, 9000);
    world.until("heartbeat", |w| w.last().health.windows_lost > 0);
    assert_eq!(world.last().health.windows_lost, 3000 - world.plane.folded.len() as u64);
}

#[test]
fn what_cannot_be_merged_is_dropped_oldest_first_and_said() {
    let mut world = offline_world();
    let most = pinnace_agent_core::limits::OUTBOX_MAX_WINDOWS as u64;
    close(&mut world, 0..most + 20, |_| vec![7; 10]);
    assert_eq!(waiting(&world) as u64, most);
    reconnect(&mut world);
    let kept: Vec<u64> = world.plane.folded.values().map(|w| w.from_unix_ms).collect();
    assert_eq!(kept, (20..most + 20).collect::<Vec<_>>());
    world.until("heartbeat", |w| w.last().health.windows_lost == 20);
}

#[test]
fn what_was_published_is_never_merged_and_is_sent_again() {
    let profile = profile();
    let mut world = offline_world();
    world.plane.acks = false;
    world.queue.push_back(Stimulus::LinkUp);
    close(&mut world, 0..10, |id| count(&profile, id).encode());
    assert_eq!(world.plane.folded.len(), 10);
    world.queue.push_back(Stimulus::LinkDown);
    close(&mut world, 10..2500, |id| count(&profile, id).encode());
    // The plane asserts that a number always brings the same window.
    world.plane.acks = true;
    reconnect(&mut world);
    let rows: u64 = world.plane.folded.values().map(|w| w.rows).sum();
    assert_eq!(rows, 7500);
}

#[test]
fn few_are_in_flight_and_silence_repeats_them() {
    let mut world = offline_world();
    world.plane.acks = false;
    close(&mut world, 0..100, |_| vec![7; 10]);
    world.queue.push_back(Stimulus::LinkUp);
    world.queue.push_back(Stimulus::LinkDown);
    world.settle();
    // The ack that answers hello lets some more through; without any, only the first may fly.
    assert!(world.plane.folded.len() <= 2 * pinnace_agent_core::limits::WINDOWS_IN_FLIGHT_MAX);
    assert_eq!(waiting(&world), 100);
    world.queue.push_back(Stimulus::LinkUp);
    world.settle();
    world.plane.acks = true;
    world.until("all counted by repeating", |w| w.queue.is_empty() && waiting(w) == 0);
    assert_eq!(world.plane.folded.len(), 100);
}

#[test]
fn a_window_larger_than_a_message_is_dropped_and_counted() {
    let mut world = offline_world();
    close(&mut world, 0..1, |_| vec![0; pinnace_protocol::limits::WINDOW_MAX_BYTES + 1]);
    assert_eq!(waiting(&world), 0);
    reconnect(&mut world);
    world.until("heartbeat", |w| w.last().health.windows_lost == 1);
}

#[test]
fn an_older_copy_of_the_ledger_does_not_reuse_numbers() {
    let mut world = offline_world();
    let copy = world.disk.clone();
    world.queue.push_back(Stimulus::LinkUp);
    close(&mut world, 0..5, |_| vec![7; 10]);
    assert_eq!(world.plane.folded.len(), 5);
    world.disk.records = copy.records;
    world.connects = false;
    world.start();
    close(&mut world, 5..8, |_| vec![8; 10]);
    world.queue.push_back(Stimulus::LinkUp);
    // The plane's word on what it knows comes before the device publishes: as a shell's retained session may order it.
    let config = world.config();
    let epoch = world.plane.folded.keys().next().unwrap().0;
    let ack = world.plane.ack(&config.tenant, &config.device, epoch);
    world.queue.push_front(Stimulus::Message(pinnace_protocol::topic::Down::Ack, ack));
    world.until("all counted", |w| w.queue.is_empty() && waiting(w) == 0);
    let ids: Vec<u64> = world.plane.folded.values().map(|w| w.from_unix_ms).collect();
    assert_eq!(ids, (0..8).collect::<Vec<_>>());
    assert_eq!(world.plane.folded.values().next().unwrap().profile, Digest::of(b"profile"));
}
