//! Wrong clocks and long sleeps: stale metadata is never installed, and no clock keeps a device from going on.
use pinnace_agent_core::Key;
use pinnace_protocol::message::Phase;
use pinnace_protocol::topic::Down;

use crate::repo::{Assigned, Bundle, NOW_S, Repo};
use crate::world::{Stimulus, World};

const YEAR_MS: i64 = 365 * 86_400_000;

fn running_v1() -> (World, Bundle, Bundle, Bundle) {
    let mut repo = Repo::new();
    let [v1, v2, v3] = [1, 2, 3].map(|version| repo.release_with(version, 5_000, |_| {}));
    let mut world = World::new(repo);
    world.install(&Assigned::new(&v1, 1));
    (world, v1, v2, v3)
}

/// Milliseconds from the true time to another one, seconds since 1970.
fn off_to(unix_s: u64) -> i64 {
    (unix_s as i64 - NOW_S as i64) * 1000
}

fn wrong_clocks() -> Vec<(&'static str, i64)> {
    vec![
        ("1970", off_to(0)),
        ("1990", off_to(631_152_000)),
        ("2106", off_to(u64::from(u32::MAX) + 1)),
        ("the end of time", i64::MAX / 2),
        ("ten years behind", -10 * YEAR_MS),
        ("ten years ahead", 10 * YEAR_MS),
    ]
}

#[test]
fn no_clock_makes_a_stale_assignment_fresh() {
    for (name, off) in wrong_clocks() {
        let (mut world, v1, v2, _) = running_v1();
        // Signed for this device once, never delivered, and long expired when the broker sends it at last.
        let now_s = world.plane.now_s;
        let stale = world.plane.repo.direct("dev-1", None, now_s, Some(&Assigned::new(&v2, 2)));
        world.pass(30 * 86_400_000);
        world.plane.deaf = true;
        world.clock_off_ms = off;
        world.start();
        world.settle_for(20);
        world.queue.push_back(Stimulus::Message(Down::Director, stale));
        world.settle_for(40);
        assert_eq!((world.serves(), world.trying), (Some(v1.digest), None), "{name}");
    }
}

#[test]
fn no_clock_keeps_a_device_from_the_next_release() {
    for (name, off) in wrong_clocks() {
        let (mut world, v1, v2, v3) = running_v1();
        // It starts with that clock,
        world.clock_off_ms = off;
        world.start();
        world.settle_for(20);
        assert_eq!(world.serves(), Some(v1.digest), "{name}: expiry never stops what runs");
        world.assign(Assigned::new(&v2, 2));
        world.until(name, |w| w.serves() == Some(v2.digest) && w.phase() == Some(Phase::Healthy));
        // and one start with it leaves no mark.
        world.clock_off_ms = 0;
        world.start();
        world.assign(Assigned::new(&v3, 3));
        world.until(name, |w| w.serves() == Some(v3.digest) && w.phase() == Some(Phase::Healthy));
    }
}

#[test]
fn a_clock_that_jumps_under_a_running_device_changes_nothing() {
    for (name, off) in wrong_clocks() {
        let (mut world, v1, v2, v3) = running_v1();
        world.clock_off_ms = off;
        world.settle_for(20);
        assert_eq!(world.serves(), Some(v1.digest), "{name}");
        world.assign(Assigned::new(&v2, 2));
        world.until(name, |w| w.serves() == Some(v2.digest) && w.phase() == Some(Phase::Healthy));
        world.clock_off_ms = off.saturating_neg();
        world.assign(Assigned::new(&v3, 3));
        world.until(name, |w| w.serves() == Some(v3.digest) && w.phase() == Some(Phase::Healthy));
    }
}

#[test]
fn a_device_that_slept_through_three_hundred_rotations_catches_up() {
    let (mut world, v1, v2, v3) = running_v1();
    world.connects = false;
    world.start();
    world.settle_for(5);
    world.plane.repo.rotate_often(300);
    world.pass(200 * 86_400_000);
    world.plane.assigned = Some(Assigned::new(&v2, 2));
    assert_eq!(world.serves(), Some(v1.digest));
    world.queue.push_back(Stimulus::LinkUp);
    world.until("healthy", |w| w.serves() == Some(v2.digest) && w.phase() == Some(Phase::Healthy));
    assert_eq!(world.plane.hellos.last().map(|h| h.director_root), Some(289), "sixteen at a time");
    assert!(world.disk.records.contains_key(&Key::DirectorRoot));
    // What it learnt survives the next start, without asking for the chain again.
    world.connects = true;
    world.start();
    world.assign(Assigned::new(&v3, 3));
    world.until("healthy again", |w| w.serves() == Some(v3.digest) && w.phase() == Some(Phase::Healthy));
    assert_eq!(world.plane.hellos.last().map(|h| h.director_root), Some(301));

    // A device that has lost its root begins at the first one again, although its floors know better.
    let v4 = world.plane.repo.release_with(4, 5_000, |_| {});
    world.disk.records.remove(&Key::DirectorRoot);
    world.start();
    world.assign(Assigned::new(&v4, 4));
    world.until("healthy at last", |w| w.serves() == Some(v4.digest) && w.phase() == Some(Phase::Healthy));
}
