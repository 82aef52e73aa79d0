//! Every way a candidate is given up, with its code; the active model serves on.
use pinnace_protocol::manifest::TrialPolicy;
use pinnace_protocol::message::{FailCode, Failure, Phase, TrialStats};

use crate::plane::{Http, Mqtt};
use crate::repo::{Assigned, Bundle, Repo};
use crate::world::{Behaviour, GOOD, Stimulus, World};

/// Returns a world that runs version 1, and version 2.
fn with_active(size: usize) -> (World, Bundle, Bundle) {
    let mut repo = Repo::new();
    let (v1, v2) = (repo.release_with(1, 50_000, |_| {}), repo.release_with(2, size, |_| {}));
    let mut world = World::new(repo);
    world.install(&Assigned::new(&v1, 1));
    (world, v1, v2)
}

/// Assigns version 2 and returns the code it fails with; checks that version 1 serves and that nothing is tried again.
fn fails(world: &mut World, v1: &Bundle, v2: &Bundle) -> FailCode {
    world.assign(Assigned::new(v2, 2));
    world.until("failed", |w| w.phase() == Some(Phase::Failed));
    world.settle();
    let code = world.failure().unwrap();
    assert_eq!((world.serves(), world.trying), (Some(v1.digest), None));
    assert_eq!(world.last().running.as_ref().map(|r| r.manifest), Some(v1.digest));
    let wants = world.plane.wants;
    world.push_director();
    world.start();
    world.until("up again", |w| w.serves() == Some(v1.digest) && w.phase() == Some(Phase::Failed));
    world.settle();
    assert_eq!(world.plane.wants, wants, "the same generation is not tried again after {code:?}");
    assert_eq!(world.failure(), Some(code), "and the reason is still known");
    code
}

#[test]
fn engine_and_golden_failures_are_passed_on() {
    for code in [FailCode::Load, FailCode::Golden] {
        let (mut world, v1, v2) = with_active(50_000);
        let load = Some(Failure { code, text: "planted".into() });
        world.behaviour.insert(v2.digest, Behaviour { load, ..Behaviour::default() });
        assert_eq!(fails(&mut world, &v1, &v2), code);
    }
}

#[test]
fn without_any_model_what_was_given_up_is_still_told_after_a_restart() {
    let mut repo = Repo::new();
    let v1 = repo.release_with(1, 50_000, |_| {});
    let mut world = World::new(repo);
    let load = Some(Failure { code: FailCode::Load, text: "planted".into() });
    world.behaviour.insert(v1.digest, Behaviour { load, ..Behaviour::default() });
    world.assign(Assigned::new(&v1, 1));
    world.until("failed", |w| w.phase() == Some(Phase::Failed));
    // The report was lost: nobody but the device knows.
    world.plane.reports.clear();
    world.start();
    world.until("told again", |w| w.phase().is_some());
    assert_eq!((world.phase(), world.failure()), (Some(Phase::Failed), Some(FailCode::Load)));
}

#[test]
fn every_trial_budget_reverts_by_itself() {
    let cases = [
        (TrialStats { p95_us: 60_000, ..GOOD }, FailCode::Latency),
        (TrialStats { errors: 9, ..GOOD }, FailCode::Errors),
        (TrialStats { not_finite: 1, ..GOOD }, FailCode::Degenerate),
        (TrialStats { varied: false, ..GOOD }, FailCode::Degenerate),
        (TrialStats { disagreements: 40, ..GOOD }, FailCode::Disagreement),
        (TrialStats { inferences: 3, compared: 3, ..GOOD }, FailCode::Deadline),
    ];
    for (stats, code) in cases {
        let (mut world, v1, v2) = with_active(50_000);
        world.behaviour.insert(v2.digest, Behaviour { trial: Some(stats), ..Behaviour::default() });
        assert_eq!(fails(&mut world, &v1, &v2), code);
    }
}

#[test]
fn a_crash_loop_ends_after_the_tries_and_not_before() {
    let (mut world, v1, v2) = with_active(50_000);
    world.behaviour.insert(v2.digest, Behaviour { crashes: 99, ..Behaviour::default() });
    let starts = world.starts;
    world.assign(Assigned::new(&v2, 2));
    world.until("failed", |w| w.phase() == Some(Phase::Failed));
    assert_eq!((world.failure(), world.serves()), (Some(FailCode::CrashLoop), Some(v1.digest)));
    assert_eq!(world.starts - starts, u64::from(TrialPolicy::default().tries));

    let (mut world, _, v2) = with_active(50_000);
    world.behaviour.insert(v2.digest, Behaviour { crashes: 2, ..Behaviour::default() });
    world.install(&Assigned::new(&v2, 2));
}

#[test]
fn an_orderly_stop_is_no_crash() {
    let (mut world, _, v2) = with_active(50_000);
    let slow = TrialStats { inferences: 1, compared: 1, ..GOOD };
    world.behaviour.insert(v2.digest, Behaviour { trial: Some(slow), ..Behaviour::default() });
    world.assign(Assigned::new(&v2, 2));
    for _ in 0..10 {
        world.until("on trial", |w| w.trying.is_some() && w.phase() == Some(Phase::Probation));
        world.queue.clear();
        world.queue.push_back(Stimulus::Stopping);
        world.turn();
        world.start();
    }
    world.behaviour.clear();
    world.until("healthy", |w| w.phase() == Some(Phase::Healthy) && w.serves() == Some(v2.digest));
}

#[test]
fn what_cannot_run_here_is_refused_before_a_byte_is_fetched() {
    let changes: [fn(&mut pinnace_protocol::manifest::Manifest); 4] = [
        |m| m.compat.hardware = vec!["rpi4-4g".into()],
        |m| m.compat.arch = vec!["aarch64".into()],
        |m| m.compat.memory_mib = 100_000,
        |m| {
            m.blobs.push(pinnace_protocol::manifest::Blob::describe(
                "big",
                pinnace_protocol::manifest::Role::Card,
                &vec![1; 9 << 20],
            ))
        },
    ];
    for change in changes {
        let mut repo = Repo::new();
        let (v1, v2) = (repo.release_with(1, 50_000, |_| {}), repo.release_with(2, 50_000, change));
        let mut world = World::new(repo);
        world.install(&Assigned::new(&v1, 1));
        let slots = world.disk.slots.len();
        assert_eq!(fails(&mut world, &v1, &v2), FailCode::Incompatible);
        assert_eq!(world.disk.slots.len(), slots);
    }
}

#[test]
fn what_the_image_repository_does_not_know_fails_as_metadata() {
    let (mut world, v1, v2) = with_active(50_000);
    let stranger = Repo::new().release_with(7, 40_000, |_| {});
    let _known_but_not_assigned = v2;
    assert_eq!(fails(&mut world, &v1, &stranger), FailCode::Metadata);
}

#[test]
fn a_full_disk_defers_and_then_gives_up_for_a_day() {
    let (mut world, v1, v2) = with_active(50_000);
    world.disk_full = 2;
    world.install(&Assigned::new(&v2, 2));
    let deferred = world.plane.reports.iter().filter(|r| r.phase == Phase::Deferred).count();
    assert_eq!(deferred, 2);

    let mut world = World::new(world.plane.repo.clone());
    world.install(&Assigned::new(&v1, 1));
    world.disk_full = 3;
    assert_eq!(fails(&mut world, &v1, &v2), FailCode::DiskFull);
    let at = world.now.wall.unix_ms;
    world.until("healthy after the day", |w| w.serves() == Some(v2.digest) && w.phase() == Some(Phase::Healthy));
    assert!(world.now.wall.unix_ms - at >= 23 * 3600 * 1000, "it was left alone for a day");
}

#[test]
fn a_dead_network_is_never_held_against_a_bundle() {
    let (mut world, v1, v2) = with_active(50_000);
    (world.plane.mqtt, world.plane.http) = (Mqtt::Silent, Http::Fails);
    world.assign(Assigned::new(&v2, 2));
    world.until("ten attempts", |w| w.plane.gets == 10 && w.phase() == Some(Phase::Deferred));
    assert_eq!(world.failure(), Some(FailCode::Network));
    assert_eq!(world.serves(), Some(v1.digest));
    // The longest wait is ten minutes as long as the link stands.
    let began = world.now.wall.unix_ms;
    world.until("more attempts", |w| w.plane.gets == 12);
    assert!(world.now.wall.unix_ms - began <= 2 * 11 * 60_000);
    (world.plane.mqtt, world.plane.http) = (Mqtt::Answers, Http::Answers);
    let back = world.now.wall.unix_ms;
    world.until("healthy", |w| w.serves() == Some(v2.digest) && w.phase() == Some(Phase::Healthy));
    assert!(world.now.wall.unix_ms - back <= 30 * 60_000, "no quarantine of a day");
}

#[test]
fn bytes_that_are_wrong_everywhere_fail_as_integrity() {
    let (mut world, v1, v2) = with_active(500_000);
    world.assign(Assigned::new(&v2, 2));
    world.until("downloading", |w| w.phase() == Some(Phase::Downloading));
    (world.plane.mqtt, world.plane.http) = (Mqtt::Tampers, Http::Tampers);
    world.until("failed or deferred", |w| matches!(w.phase(), Some(Phase::Failed | Phase::Deferred)));
    assert_eq!(world.failure(), Some(FailCode::Integrity));
    world.until("failed", |w| w.phase() == Some(Phase::Failed));
    assert_eq!(world.serves(), Some(v1.digest));
}

#[test]
fn the_device_may_take_a_candidate_or_the_newest_model_back() {
    let (mut world, v1, v2) = with_active(50_000);
    world.assign(Assigned::new(&v2, 2));
    world.until("downloading", |w| w.phase() == Some(Phase::Downloading));
    world.queue.push_front(Stimulus::Revert);
    world.until("failed", |w| w.phase() == Some(Phase::Failed));
    assert_eq!((world.failure(), world.serves()), (Some(FailCode::Local), Some(v1.digest)));

    let (mut world, v1, v2) = with_active(50_000);
    world.install(&Assigned::new(&v2, 2));
    world.queue.push_back(Stimulus::Revert);
    world.push_director();
    world.until("taken back", |w| w.serves() == Some(v1.digest) && w.phase() == Some(Phase::Failed));
    assert_eq!(world.failure(), Some(FailCode::Local));
    // A restart keeps it that way; only a newer generation brings the bundle back.
    world.start();
    world.until("still taken back", |w| w.serves() == Some(v1.digest) && w.phase() == Some(Phase::Failed));
    world.install(&Assigned::new(&v2, 3));
}

#[test]
fn with_nothing_to_go_back_to_the_model_stays() {
    let (mut world, v1, _) = with_active(50_000);
    world.queue.push_back(Stimulus::Revert);
    world.settle();
    assert_eq!(world.serves(), Some(v1.digest));
}

#[test]
fn each_write_of_an_install_may_find_no_room_and_nothing_is_half_applied() {
    let mut failed = 0;
    for write in 0.. {
        let (mut world, v1, v2) = with_active(300_000);
        world.full_at = Some(write);
        world.assign(Assigned::new(&v2, 2));
        let full =
            |w: &World| w.plane.reports.iter().any(|r| r.failure.as_ref().map(|f| f.code) == Some(FailCode::DiskFull));
        world.until("it came to something", |w| full(w) || w.serves() == Some(v2.digest));
        if world.full_at.is_some() {
            // Every write of this install was through before it came to that.
            break;
        }
        failed += 1;
        assert!(full(&world), "write {write}: {:?}", world.last());
        assert_eq!((world.serves(), world.trying), (Some(v1.digest), None), "write {write}");
        // The power goes too, before there is room again.
        if write % 2 == 1 {
            world.start();
        }
        world.until("healthy", |w| w.serves() == Some(v2.digest) && w.phase() == Some(Phase::Healthy));
        assert!(world.plane.reports.iter().all(|r| r.phase != Phase::Failed), "write {write}");
    }
    // Room for the bundle, its ten chunks, its seal.
    assert!(failed >= 12, "{failed}");
}
