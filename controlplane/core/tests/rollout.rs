//! Rollouts from beginning to end, on small fleets.
mod world;

use pinnace_controlplane_core::history::{EventKind, verify_chain};
use pinnace_controlplane_core::policy::{RolloutPolicy, SmallFleet};
use pinnace_controlplane_core::rollout::{AbortBy, MemberState};
use pinnace_controlplane_core::{Command, Effect, Event, Refusal, Row, Steward};
use pinnace_protocol::ids::RolloutId;
use pinnace_protocol::message::{FailCode, Phase, TrialStats};
use pinnace_protocol::time::{ClockTrust, Mono, Now, Wall};
use world::{Fate, START_MS, World, bundle, device};

const MINUTE: u64 = 60_000;

fn kinds(world: &World) -> Vec<EventKind> {
    let mut kinds: Vec<_> = world.steward.events(None, 10_000).into_iter().map(|e| e.kind).collect();
    kinds.reverse();
    kinds
}

#[test]
fn a_good_bundle_reaches_eight_devices_wave_by_wave() {
    let mut w = World::new(8);
    w.publish(2);
    let id = w.create(2, RolloutPolicy::demo());
    assert_eq!(w.page(&id).tally.exposed, 2, "canaries first");
    w.settle();
    assert_eq!(w.state(&id), "baking");
    assert_eq!(w.running(2), 2, "nobody else before the bake time is over");
    w.pass(1_900);
    assert_eq!(w.running(2), 2);
    w.pass(200);
    assert_eq!(w.page(&id).tally.exposed, 4);
    w.pass(10_000);
    assert_eq!((w.state(&id), w.running(2)), ("completed", 8));
    let sentence = w.page(&id).sentence;
    assert!(sentence.contains("8 devices are healthy on rain/v2"), "{sentence}");
    assert!(w.steward.bundles().iter().any(|b| b.bundle == bundle(2) && b.proven_at_ms.is_some()));
    let waves = kinds(&w).iter().filter(|k| **k == EventKind::WaveStarted).count();
    assert_eq!(waves, 3);
    assert_eq!(w.steward.next_deadline(), None, "nothing is left to wait for");
}

#[test]
fn a_failing_bundle_is_taken_back_from_exactly_the_exposed() {
    let mut w = World::new(8);
    w.publish(2);
    let first = w.create(2, RolloutPolicy::demo());
    w.pass(10 * MINUTE);
    assert_eq!(w.state(&first), "completed");
    w.publish(3);
    w.fate(3, |_| Fate::Fails(FailCode::Disagreement));
    let generations: Vec<u64> = w.devices.values().map(|d| d.accepted).collect();
    let id = w.create(3, RolloutPolicy::demo());
    w.settle();
    assert_eq!(w.state(&id), "rolled-back");
    let page = w.page(&id);
    let sentence = &page.sentence;
    assert!(sentence.starts_with("Aborted at "), "{sentence}");
    assert!(
        sentence.contains("2 of 2 canaries failed (disagreement; limit 5 %; evidence 1")
            && sentence.contains(":1, needed 100:1). 2 devices exposed, 2 kept or took back rain/v2, 6 never touched."),
        "{sentence}"
    );
    let abort = page.rollout.abort.unwrap();
    assert!(matches!(abort.by, AbortBy::Gate(_)));
    assert!(abort.reasons[0].evidence >= 100.0 && abort.reasons[0].needed == 100.0);
    assert_eq!(w.running(2), 8);
    let moved = w.devices.values().zip(generations).filter(|(d, g)| d.accepted != *g).count();
    assert_eq!(moved, 2, "the other six never heard of it");
    verify_chain(&{
        let mut all = w.steward.events(None, 10_000);
        all.reverse();
        all
    })
    .unwrap();
}

#[test]
fn two_integrity_failures_abort_whatever_the_share() {
    let mut w = World::new(60);
    w.publish(2);
    w.fate(2, |_| Fate::Slow);
    let policy = RolloutPolicy { canary: 40, ..RolloutPolicy::demo() };
    let id = w.create(2, policy);
    w.settle();
    let exposed: Vec<_> = w.page(&id).members.iter().map(|m| m.device.clone()).collect();
    for victim in &exposed[..2] {
        assert_eq!(w.state(&id), "running");
        let report = w.devices.get_mut(victim).unwrap().report(Phase::Failed, Some(FailCode::Integrity), None);
        w.deliver(victim, &report);
    }
    assert!(
        w.page(&id).sentence.contains("2 canaries met a wrong signature or hash (integrity)"),
        "{}",
        w.page(&id).sentence
    );
    assert!(matches!(w.page(&id).rollout.abort.unwrap().by, AbortBy::Gate(g) if g.as_str() == "integrity"));
}

#[test]
fn a_model_that_is_wrong_more_often_is_taken_back_although_every_device_calls_it_healthy() {
    let mut w = World::new(20);
    w.publish(2);
    w.fate(2, |_| Fate::Worse);
    let id = w.create(2, RolloutPolicy { canary: 5, ..RolloutPolicy::demo() });
    w.settle();
    let page = w.page(&id);
    assert!(
        matches!(page.rollout.abort.as_ref().unwrap().by, AbortBy::Gate(g) if g.as_str() == "behaviour"),
        "{}",
        page.sentence
    );
    assert_eq!((w.running(1), w.running(2)), (20, 0));
    assert_eq!(w.state(&id), "rolled-back");
}

#[test]
fn silence_before_accepting_is_no_failure_and_silence_after_it_is_one() {
    let mut w = World::new(10);
    w.publish(2);
    let id = w.create(2, RolloutPolicy { canary: 5, ..RolloutPolicy::demo() });
    let told: Vec<_> = w.page(&id).members.iter().map(|m| m.device.clone()).collect();
    // The offers reached them, but two are switched off before they can say so.
    for gone in &told[..2] {
        w.devices.get_mut(gone).unwrap().online = false;
    }
    w.pass(59_000);
    assert_eq!((w.page(&id).tally.waiting, w.state(&id)), (2, "running"));
    w.pass(2_000);
    let t = w.page(&id).tally;
    assert_eq!((t.unreachable, t.failed, t.accepted, t.exposed), (2, 0, 3, 5));
    w.pass(MINUTE);
    assert!(w.page(&id).tally.exposed > 5, "three of five healthy are enough for a small wave");
    let mut w = World::new(10);
    w.publish(2);
    w.fate(2, |_| Fate::Silent);
    let id = w.create(2, RolloutPolicy { canary: 5, ..RolloutPolicy::demo() });
    w.pass(59_000);
    assert_eq!(w.page(&id).tally.failed, 0);
    w.pass(2_000);
    assert!(w.page(&id).tally.failed >= 3);
    assert!(w.page(&id).sentence.contains("canaries failed (silence"), "{}", w.page(&id).sentence);
}

#[test]
fn a_device_that_was_away_when_a_rollout_completed_belongs_to_the_next_one_only() {
    let mut w = World::new(10);
    w.publish(2);
    let first = w.create(2, RolloutPolicy { canary: 5, ..RolloutPolicy::demo() });
    let gone = w.page(&first).members[0].device.clone();
    w.devices.get_mut(&gone).unwrap().online = false;
    w.pass(20 * MINUTE);
    assert_eq!((w.state(&first), w.members(&first, MemberState::Unreachable)), ("completed", 1));
    w.publish(3);
    let second = w.create(3, RolloutPolicy { canary: 10, ..RolloutPolicy::demo() });
    w.pass(MINUTE);
    let state = |id| w.page(id).members.into_iter().find(|m| m.device == gone).map(|m| m.state);
    assert_eq!((state(&first), state(&second).is_some()), (Some(MemberState::Superseded), true));
    assert_eq!((w.state(&first), w.members(&first, MemberState::Healthy)), ("completed", 9));
}

#[test]
fn failures_that_may_pass_are_tried_again_and_only_the_last_counts() {
    let mut w = World::new(4);
    w.publish(2);
    w.fate(2, |_| Fate::Fails(FailCode::Network));
    let id = w.create(2, RolloutPolicy { canary: 1, ..RolloutPolicy::demo() });
    w.settle();
    assert_eq!(w.members(&id, MemberState::Retrying), 1);
    assert_eq!(w.page(&id).tally.failed, 0);
    w.pass(20_000);
    let page = w.page(&id);
    assert_eq!((page.members[0].attempts, page.tally.failed), (3, 1));
    assert_eq!(page.state, "paused-inconclusive", "one failed canary neither promotes nor aborts");
    assert!(page.sentence.contains("1 failed"), "{}", page.sentence);
    // The second attempt works.
    let mut w = World::new(4);
    w.publish(2);
    w.fate(2, |_| Fate::Fails(FailCode::DiskFull));
    let id = w.create(2, RolloutPolicy { canary: 1, ..RolloutPolicy::demo() });
    w.settle();
    w.fate(2, |_| Fate::Healthy);
    w.pass(MINUTE);
    assert_eq!((w.state(&id), w.running(2)), ("completed", 4));
}

#[test]
fn a_small_wave_asks_a_person_when_the_policy_says_so() {
    let mut w = World::new(8);
    w.publish(2);
    let id = w.create(2, RolloutPolicy { small_fleet: SmallFleet::Ask, ..RolloutPolicy::demo() });
    w.pass(10 * MINUTE);
    assert_eq!((w.state(&id), w.running(2)), ("paused-for-approval", 2));
    let sentence = w.page(&id).sentence;
    assert!(sentence.contains("2 clean devices prove only: fewer than about 78 % broken"), "{sentence}");
    w.command(Command::Promote(id.clone())).unwrap();
    assert_eq!(w.page(&id).tally.exposed, 4);
    w.pass(10 * MINUTE);
    w.command(Command::Resume(id.clone())).unwrap();
    w.pass(10 * MINUTE);
    assert_eq!((w.state(&id), w.running(2)), ("completed", 8));
}

#[test]
fn a_large_wave_is_promoted_by_evidence_without_asking() {
    let mut w = World::new(200);
    w.publish(2);
    let policy = RolloutPolicy {
        canary: 42,
        waves_permille: vec![500, 1000],
        small_fleet: SmallFleet::Ask,
        ..RolloutPolicy::demo()
    };
    let id = w.create(2, policy.clone());
    w.pass(10 * MINUTE);
    assert_eq!((w.state(&id), w.running(2)), ("completed", 200));
    let mut w = World::new(200);
    w.publish(2);
    let id = w.create(2, RolloutPolicy { canary: 41, ..policy });
    w.pass(10 * MINUTE);
    assert_eq!(w.state(&id), "paused-for-approval", "41 clean devices are one too few");
}

#[test]
fn a_pause_stops_offers_but_not_the_gates() {
    let mut w = World::new(20);
    w.publish(2);
    w.fate(2, |_| Fate::Slow);
    let id = w.create(2, RolloutPolicy { canary: 5, ..RolloutPolicy::demo() });
    w.settle();
    w.command(Command::Pause(id.clone())).unwrap();
    assert_eq!(w.state(&id), "paused");
    let told: Vec<_> = w.page(&id).members.iter().map(|m| m.device.clone()).collect();
    for victim in &told[..3] {
        let report = w.devices.get_mut(victim).unwrap().report(Phase::Failed, Some(FailCode::CrashLoop), None);
        w.deliver(victim, &report);
    }
    assert!(w.page(&id).sentence.contains("3 of 5 canaries failed (crash-loop"), "{}", w.page(&id).sentence);
    w.settle();
    assert_eq!(w.running(1), 20);
}

#[test]
fn an_operator_s_abort_takes_healthy_devices_back_too() {
    let mut w = World::new(8);
    w.publish(2);
    let id = w.create(2, RolloutPolicy::demo());
    w.settle();
    assert_eq!(w.running(2), 2);
    w.command(Command::Abort { rollout: id.clone(), reason: "wrong season".into() }).unwrap();
    assert!(w.log.iter().any(|e| matches!(e, Effect::Assign { assignment, .. } if assignment.custom.rollback)));
    w.settle();
    assert_eq!((w.state(&id), w.running(1)), ("rolled-back", 8));
    assert!(w.page(&id).sentence.contains("by hand (ada: wrong season)"), "{}", w.page(&id).sentence);
    assert!(matches!(
        w.command(Command::Abort { rollout: id, reason: String::new() }),
        Err(Refusal::WrongState { .. })
    ));
}

#[test]
fn a_rollback_that_devices_do_not_follow_is_stuck_says_so_and_blocks_nothing() {
    let mut w = World::new(8);
    w.publish(2);
    let id = w.create(2, RolloutPolicy::demo());
    w.settle();
    let told: Vec<_> = w.page(&id).members.iter().map(|m| m.device.clone()).collect();
    w.devices.get_mut(&told[0]).unwrap().online = false;
    w.command(Command::Abort { rollout: id.clone(), reason: "x".into() }).unwrap();
    w.pass(121_000);
    assert_eq!(w.state(&id), "rollback-stuck");
    assert!(w.page(&id).sentence.contains(told[0].as_str()), "{}", w.page(&id).sentence);
    w.publish(3);
    let next = w.create(3, RolloutPolicy::demo());
    w.pass(5 * MINUTE);
    w.devices.get_mut(&told[0]).unwrap().online = true;
    w.hello(&told[0]);
    w.pass(10 * MINUTE);
    assert_eq!((w.state(&next), w.running(3)), ("completed", 8));
    assert_eq!(w.state(&id), "rolled-back", "the last device left for the newer rollout");
}

#[test]
fn a_newer_rollout_supersedes_the_older_safely() {
    let mut w = World::new(12);
    w.publish(2);
    let old = w.create(2, RolloutPolicy { canary: 4, ..RolloutPolicy::demo() });
    w.settle();
    assert_eq!(w.running(2), 4);
    w.publish(3);
    w.fate(3, |_| Fate::Slow);
    let new = w.create(3, RolloutPolicy { canary: 2, ..RolloutPolicy::demo() });
    w.settle();
    assert_eq!(w.state(&old), "rolled-back");
    assert_eq!(w.page(&new).tally.exposed, 2);
    let old_page = w.page(&old);
    assert!(matches!(old_page.rollout.abort.as_ref().unwrap().by, AbortBy::Superseded));
    assert!(old_page.sentence.contains(new.as_str()), "{}", old_page.sentence);
    // A device of both goes straight to the new bundle; the way back from there is still rain/v1.
    for m in &w.page(&new).members {
        assert_eq!(m.previous, Some(bundle(1)));
    }
    w.command(Command::Abort { rollout: new.clone(), reason: "x".into() }).unwrap();
    w.settle();
    w.pass(5 * MINUTE);
    assert_eq!((w.state(&new), w.running(1)), ("rolled-back", 12));
}

#[test]
fn rollouts_for_different_devices_live_side_by_side() {
    let mut w = World::new(8);
    w.publish(2);
    w.publish(3);
    let north = w.create(2, RolloutPolicy { target: "site=north".into(), ..RolloutPolicy::demo() });
    let south = w.create(3, RolloutPolicy { target: "site=south".into(), ..RolloutPolicy::demo() });
    w.pass(10 * MINUTE);
    assert_eq!((w.state(&north), w.state(&south)), ("completed", "completed"));
    assert_eq!((w.running(2), w.running(3)), (4, 4));
}

#[test]
fn late_joiners_enter_the_last_open_wave_or_get_the_fleet_s_bundle() {
    let mut w = World::new(4);
    w.publish(2);
    let id = w.create(2, RolloutPolicy::demo());
    w.pass(2_100);
    assert_eq!(w.page(&id).tally.exposed, 4, "the last wave is open");
    w.join(10);
    w.pass(10 * MINUTE);
    assert_eq!((w.state(&id), w.running(2)), ("completed", 5));
    w.join(11);
    w.settle();
    assert_eq!(w.running(2), 6);
    assert_eq!(w.steward.device(&device(11)).unwrap().device.good, Some(bundle(2)));
    assert!(w.steward.device(&device(11)).unwrap().why.contains("rain/v2"));
}

#[test]
fn labelled_canaries_and_labels_set_by_hand_decide_who_is_first() {
    let mut w = World::new(12);
    w.publish(2);
    for i in [7, 9] {
        w.command(Command::SetLabels { device: device(i), labels: vec!["canary=true".into()] }).unwrap();
    }
    let id = w.create(2, RolloutPolicy::demo());
    let first: Vec<_> = w.page(&id).members.iter().map(|m| m.device.clone()).collect();
    assert_eq!(first, [device(7), device(9)]);
}

#[test]
fn drafts_wait_for_approval_and_schedules_for_their_time() {
    let mut w = World::new(4);
    w.publish(2);
    let start = w.now_ms + 5 * MINUTE;
    let id = w.create(2, RolloutPolicy { approval: true, start_at_ms: Some(start), ..RolloutPolicy::demo() });
    w.pass(MINUTE);
    assert_eq!((w.state(&id), w.page(&id).tally.exposed), ("draft", 0));
    w.command(Command::Approve(id.clone())).unwrap();
    assert_eq!(w.state(&id), "scheduled");
    w.pass(3 * MINUTE);
    assert_eq!(w.page(&id).tally.exposed, 0);
    w.pass(10 * MINUTE);
    assert_eq!(w.state(&id), "completed");
}

#[test]
fn nonsense_is_refused_with_a_hint_and_changes_nothing() {
    let mut w = World::new(2);
    let before = w.dump();
    let nobody = RolloutId::parse("nobody").unwrap();
    let cases = [
        Command::CreateRollout { bundle: bundle(9), policy: RolloutPolicy::demo() },
        Command::CreateRollout { bundle: bundle(1), policy: RolloutPolicy { canary: 0, ..RolloutPolicy::demo() } },
        Command::CreateRollout {
            bundle: bundle(1),
            policy: RolloutPolicy { target: "site=moon".into(), ..RolloutPolicy::demo() },
        },
        Command::CreateRollout { bundle: bundle(1), policy: RolloutPolicy::demo() },
        Command::Promote(nobody.clone()),
        Command::Abort { rollout: nobody, reason: String::new() },
        Command::SetLabels { device: device(77), labels: Vec::new() },
    ];
    for command in cases {
        let refusal = w.command(command.clone()).unwrap_err();
        assert!(refusal.to_string().contains("\n  hint: "), "{command:?}: {refusal}");
    }
    assert_eq!(w.dump(), before);
}

#[test]
fn unknown_devices_are_refused() {
    let mut w = World::new(1);
    let (before, log) = (w.dump(), w.log.len());
    w.join(5);
    let mut stranger = w.devices.remove(&device(5)).unwrap();
    let mut other = World::new(1);
    stranger.epoch = 7;
    let (hello, report) = (stranger.hello(), stranger.report(Phase::Healthy, None, None));
    let quiet = other.log.len();
    other.send(&Event::Hello { device: &stranger.id, message: &hello });
    other.send(&Event::Report { device: &stranger.id, message: &report });
    assert_eq!(other.log.len(), quiet);
    assert_eq!(other.dump(), before);
    assert_eq!(other.steward.fleet().refused, 2);
    assert!(w.log.len() > log);
}

/// Found by the simulator: a broker handed over the first hello of a lost ledger after that of the new one.
#[test]
fn a_late_word_of_a_lost_ledger_does_not_silence_the_new_one() {
    let mut w = World::new(1);
    let id = device(0);
    let fake = w.devices.get_mut(&id).unwrap();
    (fake.epoch, fake.seq) = (900, 0);
    let (late_hello, late_report) = (fake.hello(), fake.report(Phase::Healthy, None, None));
    (fake.epoch, fake.seq) = (901, 0);
    let answers =
        |w: &World| w.log.iter().filter(|e| matches!(e, Effect::Reassert { device, .. } if *device == id)).count();
    w.hello(&id);
    let before = answers(&w);
    w.send(&Event::Report { device: &id, message: &late_report });
    assert_eq!(w.steward.device(&id).unwrap().device.phase, Phase::Idle, "a report begins no ledger");
    assert_eq!(answers(&w), before + 1, "whoever it was is told what the plane believes");
    w.send(&Event::Hello { device: &id, message: &late_hello });
    let report = w.devices.get_mut(&id).unwrap().report(Phase::Healthy, None, None);
    w.send(&Event::Report { device: &id, message: &report });
    assert_eq!(answers(&w), before + 3, "its reports are refused, and it is told with whom it is confused");
    w.hello(&id);
    assert_eq!(answers(&w), before + 4, "the device is itself again with its next hello");
    assert_eq!(w.steward.device(&id).unwrap().device.epoch(), Some(901));
    w.send(&Event::Hello { device: &id, message: &late_hello });
    assert_eq!(answers(&w), before + 4, "heard before, never again");
    w.crash();
    assert_eq!(w.steward.device(&id).unwrap().device.epoch(), Some(901));
}

/// Found by the simulator: a first bundle that was given up kept its rollout stuck for ever.
#[test]
fn a_device_that_had_nothing_keeps_what_it_has_and_the_rollback_ends() {
    let mut w = World::new(0);
    for i in 0..2 {
        w.join_bare(i);
    }
    let id = w.create(1, RolloutPolicy { small_fleet: SmallFleet::Ask, ..RolloutPolicy::demo() });
    w.settle();
    assert!(w.running(1) > 0);
    w.command(Command::Abort { rollout: id.clone(), reason: "a second thought".into() }).unwrap();
    assert_eq!(w.state(&id), "rolling-back");
    for device in w.devices.keys().cloned().collect::<Vec<_>>() {
        let mut report = w.devices.get_mut(&device).unwrap().report(Phase::Idle, None, None);
        report.target = None;
        w.deliver(&device, &report);
    }
    assert_eq!(w.state(&id), "rolled-back");
    assert!(w.running(1) > 0, "a device is never left without a model");
}

#[test]
fn a_hello_is_answered_once_with_its_nonce_and_late_ones_are_not() {
    let mut w = World::new(1);
    w.publish(2);
    let id = device(0);
    w.devices.get_mut(&id).unwrap().online = false;
    w.create(2, RolloutPolicy::demo());
    let early = w.devices.get_mut(&id).unwrap().hello();
    let late = w.devices.get_mut(&id).unwrap().hello();
    let from = w.log.len();
    w.send(&Event::Hello { device: &id, message: &late });
    w.send(&Event::Hello { device: &id, message: &early });
    let answers: Vec<_> =
        w.log[from..].iter().filter(|e| matches!(e, Effect::Reassert { .. } | Effect::Assign { .. })).collect();
    assert_eq!(answers.len(), 1);
    assert!(
        matches!(answers[0], Effect::Reassert { nonce, assignment: Some(a), .. } if *nonce == late.nonce && a.custom.bundle == bundle(2))
    );
}

#[test]
fn a_device_that_is_ahead_of_a_restored_plane_gets_a_generation_it_takes() {
    let mut w = World::new(3);
    w.publish(2);
    w.create(2, RolloutPolicy::demo());
    w.pass(10 * MINUTE);
    let id = device(0);
    let fake = w.devices.get_mut(&id).unwrap();
    fake.accepted = 40;
    fake.running = Some(bundle(1));
    w.hello(&id);
    w.settle();
    let fake = &w.devices[&id];
    assert_eq!((fake.accepted, fake.running.clone()), (41, Some(bundle(2))));
}

#[test]
fn steward_time_never_goes_back_though_the_wall_clock_does() {
    let mut w = World::new(4);
    w.publish(2);
    let id = w.create(2, RolloutPolicy { bake_s: 600, ..RolloutPolicy::demo() });
    w.pass(MINUTE);
    let before = w.steward.fleet().now_ms;
    let rows = w.steward.export();
    let year_earlier = Wall { unix_ms: START_MS - 365 * 24 * 60 * MINUTE, trust: ClockTrust::Unknown };
    let now = Now { mono: Mono(5), wall: year_earlier };
    let (steward, _) = Steward::recover(w.config.clone(), rows, now).unwrap();
    assert!(steward.fleet().now_ms >= before - 2 * MINUTE && steward.fleet().now_ms > START_MS - MINUTE);
    assert_eq!(steward.rollout(&id).unwrap().state, "baking");
    assert!(steward.next_deadline().is_some());
}

#[test]
fn a_history_that_was_changed_on_disk_stops_the_steward() {
    let mut w = World::new(4);
    w.publish(2);
    w.create(2, RolloutPolicy::demo());
    let mut rows = w.steward.export();
    for row in &mut rows {
        match row {
            Row::Event(event) if event.kind == EventKind::RolloutCreated => event.actor = "somebody else".into(),
            _ => {}
        }
    }
    let error = Steward::recover(w.config.clone(), rows, w.now()).unwrap_err();
    assert!(error.to_string().contains("the history was changed at entry"), "{error}");
}

#[test]
fn large_waves_are_handed_out_in_bounded_steps_and_all_taken_back() {
    let mut w = World::new(700);
    w.publish(2);
    w.fate(2, |_| Fate::Slow);
    let id = w.create(2, RolloutPolicy { canary: 600, ..RolloutPolicy::demo() });
    assert_eq!(w.page(&id).tally.exposed, 512, "one step's worth of signatures");
    assert_eq!(w.steward.next_deadline().map(|m| START_MS + m.0), Some(w.now_ms), "the rest follows at once");
    w.pass(1_000);
    assert_eq!(w.page(&id).tally.exposed, 600);
    w.command(Command::Abort { rollout: id.clone(), reason: "x".into() }).unwrap();
    assert_eq!(w.state(&id), "aborting");
    w.pass(1_000);
    assert_eq!((w.state(&id), w.running(1)), ("rolled-back", 700));
    let told = w.log.iter().filter(|e| matches!(e, Effect::Assign { assignment, .. } if assignment.custom.rollback));
    assert_eq!(told.count(), 600);
}

#[test]
fn whatever_a_device_claims_the_steward_stays_up() {
    let mut w = World::new(3);
    w.publish(2);
    let id = w.create(2, RolloutPolicy::demo());
    let liar = w.page(&id).members[0].device.clone();
    let fake = w.devices.get_mut(&liar).unwrap();
    fake.outbox.clear();
    fake.accepted = u64::MAX;
    let absurd = TrialStats {
        inferences: u64::MAX,
        compared: u64::MAX,
        disagreements: u64::MAX,
        judged: u64::MAX,
        candidate_right: u64::MAX,
        active_right: u64::MAX,
        ..TrialStats::default()
    };
    let mut report = fake.report(Phase::Healthy, Some(FailCode::Errors), Some(absurd));
    report.failure.as_mut().unwrap().text = "ä".repeat(100_000);
    w.deliver(&liar, &report);
    w.hello(&liar);
    let page = w.steward.device(&liar).unwrap();
    assert_eq!(page.device.generation, u64::MAX);
    assert!(page.device.failure.is_none_or(|f| f.text.len() <= 1024));
    w.crash();
    assert_eq!(w.page(&id).tally.exposed, 2);
}

#[test]
fn after_completion_late_devices_are_still_retried() {
    let mut w = World::new(3);
    w.publish(2);
    let id = w.create(2, RolloutPolicy { canary: 3, retry_base_s: 30, ..RolloutPolicy::demo() });
    let slow = w.page(&id).members[0].device.clone();
    let fake = w.devices.get_mut(&slow).unwrap();
    fake.outbox.clear();
    fake.running = Some(bundle(1));
    let failed = fake.report(Phase::Failed, Some(FailCode::Network), None);
    w.deliver(&slow, &failed);
    w.settle();
    w.command(Command::Promote(id.clone())).unwrap();
    assert_eq!((w.state(&id), w.running(2)), ("completed", 2));
    w.pass(5 * MINUTE);
    assert_eq!(w.running(2), 3);
    assert_eq!(w.steward.device(&slow).unwrap().device.good, Some(bundle(2)));
    assert_eq!(w.steward.next_deadline(), None);
}

#[test]
fn a_device_that_another_rollout_took_is_not_waited_for() {
    let mut w = World::new(6);
    w.publish(2);
    w.publish(3);
    let north = w.create(2, RolloutPolicy { target: "site=north".into(), canary: 3, ..RolloutPolicy::demo() });
    // One of the three begins, and is then moved to where the other rollout goes.
    let moved = w.page(&north).members[0].device.clone();
    let fake = w.devices.get_mut(&moved).unwrap();
    fake.running = Some(bundle(1));
    fake.outbox.truncate(1);
    w.settle();
    assert_eq!(w.page(&north).tally.open(), 1);
    w.command(Command::SetLabels { device: moved.clone(), labels: vec!["site=south".into()] }).unwrap();
    let south = w.create(3, RolloutPolicy { target: "site=south".into(), canary: 9, ..RolloutPolicy::demo() });
    w.settle();
    w.pass(MINUTE);
    assert_eq!(w.state(&south), "completed");
    assert_eq!(w.devices[&moved].running, Some(bundle(3)));
    let page = w.page(&north);
    assert_eq!((page.tally.open(), page.tally.superseded), (0, 1), "{}", page.sentence);
}
