//! Random orders, duplicates, losses and crashes at any point: what must hold, holds; what was healthy converges.
mod world;

use pinnace_controlplane_core::policy::RolloutPolicy;
use pinnace_controlplane_core::rollout::MemberState;
use pinnace_controlplane_core::{Command, Event, Step};
use pinnace_protocol::message::{FailCode, Report};
use world::{Fate, Rng, World, bundle, device};

/// One fleet, two rollouts, everything that can go wrong on the way, then quiet.
fn run(seed: u64, bad: bool) -> World {
    let mut rng = Rng(seed);
    let n = 4 + rng.below(20);
    let mut w = World::new(n);
    w.publish(2);
    let draw = rng.next();
    w.fate(2, |i| match Rng(draw ^ i as u64).below(10) {
        _ if bad => Fate::Fails([FailCode::Golden, FailCode::CrashLoop, FailCode::Latency][i % 3]),
        0 => Fate::Fails(FailCode::Network),
        _ => Fate::Healthy,
    });
    let policy = RolloutPolicy { canary: 1 + rng.below(4) as u32, ..RolloutPolicy::demo() };
    w.create(2, policy.clone());
    let mut second = None;
    let mut post: Vec<(usize, Report)> = Vec::new();
    for turn in 0..400 {
        for i in 0..n {
            let fake = w.devices.get_mut(&device(i)).unwrap();
            post.extend(fake.outbox.drain(..).map(|r| (i, r)));
        }
        match rng.below(12) {
            0..=4 if !post.is_empty() => {
                let at = rng.below(post.len());
                let (i, report) = post[at].clone();
                let id = device(i);
                match rng.below(8) {
                    // Lost before the commit: the process dies and the broker sends it again.
                    0 => {
                        let mut lost = Step::default();
                        w.steward.handle(w.now(), Event::Report { device: &id, message: &report }, &mut lost);
                        w.crash();
                    }
                    // Lost after the commit, before anything was done.
                    1 => {
                        let mut step = Step::default();
                        w.steward.handle(w.now(), Event::Report { device: &id, message: &report }, &mut step);
                        w.commit(&step);
                        w.crash();
                        post.remove(at);
                    }
                    // Delivered and left in the post: it comes again.
                    2 => w.deliver(&id, &report),
                    _ => {
                        post.remove(at);
                        w.deliver(&id, &report);
                    }
                }
            }
            5 => {
                let id = device(rng.below(n));
                w.hello(&id);
            }
            6 => {
                let fake = w.devices.get_mut(&device(rng.below(n))).unwrap();
                fake.online = !fake.online;
            }
            7 => w.crash(),
            8 if turn > 150 && second.is_none() && rng.below(4) == 0 => {
                w.publish(3);
                second = Some(w.create(3, policy.clone()));
            }
            _ => {
                w.now_ms += rng.below(4_000) as u64;
                w.send(&Event::Tick);
            }
        }
        w.check();
        if turn % 20 == 0 {
            let before = w.dump();
            w.crash();
            assert_eq!(w.dump(), before, "seed {seed}: recovery gives the same state");
        }
    }
    // Heal: everybody is on line, says hello and has time.
    for (i, report) in post {
        w.deliver(&device(i), &report);
    }
    for i in 0..n {
        w.devices.get_mut(&device(i)).unwrap().online = true;
    }
    for _ in 0..8 {
        for i in 0..n {
            let id = device(i);
            let fake = w.devices.get_mut(&id).unwrap();
            // A heartbeat repeats what is true now.
            let runs_target = fake.assignment.as_ref().map(|a| &a.custom.bundle) == fake.running.as_ref();
            if fake.assignment.is_some() && runs_target {
                let again = fake.report(pinnace_protocol::message::Phase::Healthy, None, None);
                fake.outbox.push(again);
            }
            w.hello(&id);
        }
        w.pass(200_000);
        for cell in w.steward.rollouts() {
            if cell.state.starts_with("paused") {
                w.command(Command::Promote(cell.id.clone())).unwrap();
            }
        }
    }
    w
}

#[test]
fn exposure_never_exceeds_the_quota_and_the_healed_fleet_converges() {
    let mut completed = 0;
    for seed in 0..40 {
        let w = run(seed, false);
        for cell in w.steward.rollouts() {
            let page = w.steward.rollout(&cell.id).unwrap();
            assert!(
                matches!(page.state, "completed" | "rolled-back"),
                "seed {seed}: {}: {}",
                page.state,
                page.sentence
            );
            let under_way = page.tally.waiting + page.tally.open() + page.tally.going_back;
            assert_eq!(under_way, 0, "seed {seed}: {}: {:?}", page.sentence, page.tally);
        }
        // Whoever the newest completed rollout called healthy runs its bundle, the others something older.
        let newest = w.steward.rollouts().into_iter().find(|c| c.state == "completed");
        if let Some(page) = newest.and_then(|c| w.steward.rollout(&c.id)) {
            completed += 1;
            for m in page.members.iter().filter(|m| m.state == MemberState::Healthy) {
                assert_eq!(
                    w.devices[&m.device].running.as_ref(),
                    Some(&page.rollout.bundle),
                    "seed {seed}: {}",
                    m.device
                );
            }
        }
    }
    assert!(completed >= 20, "only {completed} of 40 runs came to a completed rollout");
}

#[test]
fn a_broken_bundle_never_gets_far_and_everybody_comes_back() {
    for seed in 100..130 {
        let w = run(seed, true);
        let rollouts = w.steward.rollouts();
        let first = rollouts.last().unwrap();
        let page = w.steward.rollout(&first.id).unwrap();
        assert!(page.tally.exposed <= 4, "seed {seed}: {} devices were exposed", page.tally.exposed);
        assert_eq!(w.running(2), 0, "seed {seed}");
        if rollouts.len() == 1 && page.rollout.abort.is_some() {
            assert_eq!(page.state, "rolled-back", "seed {seed}: {}", page.sentence);
            let touched = w.devices.values().filter(|d| d.accepted > 0).count();
            assert!(touched <= page.tally.exposed as usize, "seed {seed}: only the exposed were touched");
        }
        assert!(w.devices.values().all(|d| d.running == Some(bundle(1)) || d.running == Some(bundle(3))));
    }
}
