//! Statistics windows: each counted exactly once, whatever the network and the process do.
mod world;

use pinnace_controlplane_core::history::EventKind;
use pinnace_controlplane_core::policy::RolloutPolicy;
use pinnace_controlplane_core::{Config, Effect, Event, IntervalBy, Step, Table};
use pinnace_protocol::drift::Level;
use pinnace_protocol::ids::{DeviceId, Digest};
use pinnace_protocol::limits::WINDOW_MAX_AHEAD;
use pinnace_protocol::message::{Ack, Window};
use pinnace_protocol::sketch::Live;
use world::{Rng, START_MS, World, bundle, device, profile, window};

fn make(world: &World, rng: &mut Rng, id: &DeviceId, seq: u64, rows: usize, shift: f64) -> Window {
    let profile = profile();
    Window {
        epoch: world.devices[id].epoch,
        seq,
        bundle: bundle(1),
        profile: Digest::of(&profile.to_json()),
        from_unix_ms: START_MS + seq * 1000,
        to_unix_ms: START_MS + seq * 1000 + 999,
        rows: rows as u64,
        sketch: window(&profile, rng, rows, shift),
    }
}

fn aggregates(world: &World) -> Vec<Vec<u8>> {
    world.store.iter().filter(|(k, _)| k.table == Table::Aggregate).map(|(_, v)| v.clone()).collect()
}

fn last_ack(world: &World, id: &DeviceId) -> Ack {
    let mine = world.log.iter().rev().find_map(|e| match e {
        Effect::Ack { device, ack } if device == id => Some(ack.clone()),
        _ => None,
    });
    mine.unwrap()
}

#[test]
fn duplicates_reordering_and_crashes_leave_the_same_bytes() {
    let calm = {
        let mut w = World::new(4);
        let mut rng = Rng(1);
        let all = script(&w, &mut rng);
        for (id, x) in &all {
            w.window(id, x);
        }
        aggregates(&w)
    };
    assert_eq!(calm.len(), 3, "12 windows of each device make 3 intervals of 4");
    for seed in 0..20 {
        let mut w = World::new(4);
        let all = script(&w, &mut Rng(1));
        let mut rng = Rng(1000 + seed);
        // Three copies of everything in any order; some turns are lost before the commit, some after it.
        let mut post: Vec<_> = (0..3).flat_map(|_| all.clone()).collect();
        for i in (1..post.len()).rev() {
            post.swap(i, rng.below(i + 1));
        }
        for (id, x) in &post {
            match rng.below(10) {
                0 => {
                    let mut lost = Step::default();
                    w.steward.handle(w.now(), Event::Window { device: id, message: x }, &mut lost);
                    w.crash();
                }
                1 => {
                    let mut step = Step::default();
                    w.steward.handle(w.now(), Event::Window { device: id, message: x }, &mut step);
                    w.commit(&step);
                    w.crash();
                }
                _ => w.window(id, x),
            }
        }
        // The devices send what was not acknowledged.
        for (id, x) in &all {
            w.window(id, x);
        }
        assert_eq!(aggregates(&w), calm, "seed {seed}");
        for i in 0..4 {
            assert_eq!(last_ack(&w, &device(i)), Ack { epoch: 100 + i as u64, watermark: 12, above: Vec::new() });
        }
        // Drift entries and their sentences are the same as well, except for which interval was complete first.
        assert_eq!(w.steward.fleet().rows, 4 * 12 * 50);
    }
}

fn script(world: &World, rng: &mut Rng) -> Vec<(DeviceId, Window)> {
    let mut all = Vec::new();
    for seq in 0..12 {
        for i in 0..4 {
            all.push((device(i), make(world, rng, &device(i), seq, 50, 0.0)));
        }
    }
    all
}

#[test]
fn the_sum_of_windows_is_one_pass_over_all_rows() {
    let mut w = World::with(2, Config { interval: IntervalBy::Windows(1000), interval_rows: 1_000_000 });
    let (profile, mut rng) = (profile(), Rng(5));
    let mut whole = Live::new(&profile);
    for seq in (0..20).rev() {
        let x = make(&w, &mut rng, &device(0), seq, 30, 1.0);
        whole.merge(&Live::decode(&profile, &x.sketch).unwrap()).unwrap();
        w.window(&device(0), &x);
    }
    let stored = w.steward.export().into_iter().find_map(|r| match r {
        pinnace_controlplane_core::Row::Aggregate(a) => Some(a),
        _ => None,
    });
    assert_eq!(stored.unwrap().sketch, whole.encode());
}

#[test]
fn what_cannot_be_read_is_acknowledged_and_never_counted() {
    let mut w = World::new(1);
    let (id, mut rng) = (device(0), Rng(2));
    let good = make(&w, &mut rng, &id, 0, 50, 0.0);
    let broken = [
        Window { seq: 0, sketch: vec![1, 2, 3], ..good.clone() },
        Window { seq: 1, sketch: good.sketch[..good.sketch.len() - 1].to_vec(), ..good.clone() },
        Window { seq: 2, rows: 51, ..good.clone() },
        Window { seq: 3, bundle: bundle(9), ..good.clone() },
        Window { seq: 4, rows: u64::MAX, ..good.clone() },
    ];
    for x in &broken {
        w.window(&id, x);
    }
    assert_eq!(last_ack(&w, &id).watermark, 5);
    assert_eq!(w.steward.fleet().rows, 0);
    assert_eq!(w.steward.device(&id).unwrap().device.rejected_windows, 5);
    let told = w.steward.events(None, 100).iter().filter(|e| e.kind == EventKind::WindowRejected).count();
    assert_eq!(told, 3, "the 1st, 2nd and 4th");
    w.window(&id, &Window { seq: 5, ..good });
    assert_eq!(w.steward.fleet().rows, 50);
}

#[test]
fn windows_far_ahead_and_of_unheard_epochs_wait() {
    let mut w = World::new(1);
    let (id, mut rng) = (device(0), Rng(3));
    let x = make(&w, &mut rng, &id, 0, 10, 0.0);
    w.window(&id, &Window { seq: WINDOW_MAX_AHEAD, ..x.clone() });
    assert_eq!(last_ack(&w, &id), Ack { epoch: 100, watermark: 0, above: Vec::new() });
    w.window(&id, &Window { seq: WINDOW_MAX_AHEAD - 1, ..x.clone() });
    assert_eq!(last_ack(&w, &id).above, [WINDOW_MAX_AHEAD - 1]);
    let acks = w.log.len();
    w.window(&id, &Window { epoch: 555, ..x.clone() });
    assert_eq!(w.log.len(), acks, "no hello named this ledger yet");
    w.devices.get_mut(&id).unwrap().epoch = 555;
    w.hello(&id);
    w.window(&id, &Window { epoch: 555, ..x });
    assert_eq!(w.steward.fleet().rows, 20);
}

#[test]
fn intervals_are_bounded_and_no_row_is_lost() {
    let mut w = World::with(1, Config { interval: IntervalBy::Windows(1), interval_rows: 1_000_000 });
    let (id, mut rng) = (device(0), Rng(4));
    let x = make(&w, &mut rng, &id, 0, 7, 0.0);
    for seq in 0..700 {
        w.window(&id, &Window { seq, ..x.clone() });
    }
    let page = w.steward.drift(&bundle(1)).unwrap();
    assert!(page.intervals.len() <= 288, "{}", page.intervals.len());
    assert_eq!(page.intervals.iter().map(|i| i.rows).sum::<u64>(), 4900);
    assert!(page.intervals.windows(2).all(|p| p[0].last < p[1].first));
    assert_eq!(page.intervals.iter().map(|i| i.last - i.first + 1).sum::<u64>(), 700);
    assert_eq!(page.intervals.last().map(|i| (i.first, i.last)), Some((699, 699)));
    let stored = w.store.keys().filter(|k| k.table == Table::Aggregate).count();
    assert_eq!(stored, page.intervals.len(), "merged rows are deleted");
    let before = w.dump();
    w.crash();
    assert_eq!(w.dump(), before);
}

#[test]
fn lasting_drift_asks_for_a_new_model_once_and_again_only_after_a_new_one_proved_itself() {
    let mut w = World::new(4);
    let mut rng = Rng(6);
    let send = |w: &mut World, rng: &mut Rng, from: u64, to: u64, shift: f64, version: u64| {
        for seq in from..to {
            for i in 0..4 {
                let x = make(w, rng, &device(i), seq, 50, shift);
                w.window(&device(i), &Window { bundle: bundle(version), ..x });
            }
        }
    };
    let wanted =
        |w: &World| w.steward.events(None, 10_000).iter().filter(|e| e.kind == EventKind::RetrainWanted).count();
    send(&mut w, &mut rng, 0, 16, 0.0, 1);
    assert!(w.steward.drift(&bundle(1)).unwrap().intervals.iter().all(|i| i.level == Level::Calm));
    assert!(!w.steward.events(None, 10_000).iter().any(|e| e.kind == EventKind::Drift));
    send(&mut w, &mut rng, 16, 24, 5.0, 1);
    assert_eq!(wanted(&w), 0, "two of four");
    send(&mut w, &mut rng, 24, 28, 5.0, 1);
    assert_eq!(wanted(&w), 1, "three of four");
    let told = w.log.iter().filter(|e| matches!(e, Effect::Notify(r) if r.kind == EventKind::RetrainWanted)).count();
    assert_eq!(told, 1);
    let drift = w.steward.events(None, 10_000).into_iter().find(|e| e.kind == EventKind::Drift).unwrap();
    assert!(drift.details.iter().any(|d| d.name == "feature" && d.value == "wind"), "{drift:?}");
    // Until somebody answers, the wish is repeated after a crash, but never written twice.
    w.crash();
    assert!(w.log.iter().filter(|e| matches!(e, Effect::Notify(r) if r.kind == EventKind::RetrainWanted)).count() == 2);
    send(&mut w, &mut rng, 28, 40, 5.0, 1);
    assert_eq!(wanted(&w), 1);
    let page = w.steward.drift(&bundle(1)).unwrap();
    assert_eq!(page.drivers, ["wind"]);
    assert!(page.retrain_at_ms.is_some() && page.persistence.contains("of the last 4"));
    let json = serde_json::to_value(&page).unwrap();
    assert_eq!(
        json["features"][0]["histogram"]["live"].as_array().unwrap().len(),
        json["features"][0]["histogram"]["bins"].as_array().unwrap().len()
    );
    w.publish(2);
    w.now_ms += 1000;
    let id = w.create(2, RolloutPolicy::demo());
    send(&mut w, &mut rng, 40, 60, 5.0, 2);
    assert_eq!(wanted(&w), 1, "a bundle on trial does not ask");
    w.pass(60_000);
    assert_eq!(w.state(&id), "completed");
    send(&mut w, &mut rng, 60, 64, 5.0, 2);
    assert_eq!(wanted(&w), 2);
}

#[test]
fn by_time_a_wrong_clock_cannot_reach_outside_the_bundle_s_life() {
    let mut w = World::with(1, Config { interval: IntervalBy::Seconds(60), interval_rows: 10 });
    w.now_ms += 600_000;
    let (id, mut rng) = (device(0), Rng(9));
    for (seq, at) in [0, START_MS + 300_000, u64::MAX].into_iter().enumerate() {
        let x = make(&w, &mut rng, &id, seq as u64, 20, 0.0);
        w.window(&id, &Window { to_unix_ms: at, ..x });
    }
    let page = w.steward.drift(&bundle(1)).unwrap();
    let minutes: Vec<u64> = page.intervals.iter().map(|i| i.first - START_MS / 60_000).collect();
    assert_eq!(minutes, [0, 5, 10]);
    assert_eq!(page.intervals[1].from_ms, Some(START_MS + 300_000));
}

#[test]
fn a_hundred_windows_in_one_step_are_one_transaction() {
    let calm = {
        let mut w = World::new(4);
        for (id, x) in &script(&w, &mut Rng(1)) {
            w.window(id, x);
        }
        aggregates(&w)
    };
    let mut w = World::new(4);
    let all = script(&w, &mut Rng(1));
    let mut step = Step::default();
    for (id, x) in &all {
        w.steward.handle(w.now(), Event::Window { device: id, message: x }, &mut step);
    }
    let keys: std::collections::BTreeSet<_> =
        step.commit.as_ref().unwrap().put.iter().map(|r| (r.table(), r.key())).collect();
    assert_eq!(keys.iter().filter(|(t, _)| *t == Table::Aggregate).count(), 3);
    w.apply(step);
    assert_eq!(aggregates(&w), calm);
}
