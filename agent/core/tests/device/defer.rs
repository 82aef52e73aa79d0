//! Waiting for a better moment: nothing begins while it is bad, everything goes on by itself, nothing holds the way back.
use pinnace_agent_core::limits::{VETO_MAX_S, VETO_TOTAL_S};
use pinnace_agent_core::{Conditions, DeferPolicy, Maintenance};
use pinnace_protocol::message::{FailCode, Phase};

use crate::repo::{Assigned, Bundle, NOW_S, Repo};
use crate::world::{Stimulus, World};

const LOW: Conditions = Conditions {
    battery_percent: Some(10),
    on_mains: Some(false),
    metered: false,
    temperature_decic: None,
    cpu_permille: None,
};

fn policy() -> DeferPolicy {
    DeferPolicy { battery_min_percent: 30, ..DeferPolicy::default() }
}

fn running_v1() -> (World, Bundle, Bundle, Bundle) {
    running(200_000)
}

fn running(size: usize) -> (World, Bundle, Bundle, Bundle) {
    let mut repo = Repo::new();
    let [v1, v2, v3] = [1, 2, 3].map(|version| repo.release_with(version, size, |_| {}));
    let mut world = World::new(repo);
    world.install(&Assigned::new(&v1, 1));
    (world, v1, v2, v3)
}

fn around(world: &mut World, conditions: Conditions) {
    world.queue.push_back(Stimulus::Surroundings(conditions, policy()));
    world.settle();
}

#[track_caller]
fn is_held(world: &World) {
    assert_eq!(
        (world.phase(), world.failure()),
        (Some(Phase::Deferred), Some(FailCode::Deferred)),
        "{:?}",
        world.last()
    );
}

#[test]
fn a_bad_moment_holds_a_new_model_back_and_a_good_one_lets_it_on() {
    let (mut world, v1, v2, _) = running_v1();
    around(&mut world, LOW);
    world.assign(Assigned::new(&v2, 2));
    world.settle();
    is_held(&world);
    assert_eq!(world.last().failure.as_ref().unwrap().text, "battery below 30 percent");
    let (wants, reports, began) = (world.plane.wants, world.plane.reports.len(), world.now.mono);
    // A day passes: nothing is fetched, and only heartbeats are sent.
    for _ in 0..1440 {
        world.turn();
    }
    assert_eq!((world.plane.wants, world.serves()), (wants, Some(v1.digest)));
    let heartbeats = world.now.mono.since_ms(began) / 60_000 + 1;
    assert!((world.plane.reports.len() - reports) as u64 <= heartbeats, "a wait is no news");
    is_held(&world);
    around(&mut world, Conditions { on_mains: Some(true), ..LOW });
    world.until("healthy", |w| w.serves() == Some(v2.digest) && w.phase() == Some(Phase::Healthy));
}

#[test]
fn a_download_rests_and_keeps_what_it_has() {
    let (mut world, v1, v2, _) = running_v1();
    world.assign(Assigned::new(&v2, 2));
    world.until("some chunks", |w| w.plane.wants > 4 && w.phase() == Some(Phase::Downloading));
    around(&mut world, LOW);
    is_held(&world);
    let wants = world.plane.wants;
    for _ in 0..100 {
        world.turn();
    }
    assert_eq!((world.plane.wants, world.serves()), (wants, Some(v1.digest)));
    around(&mut world, Conditions::default());
    world.until("healthy", |w| w.serves() == Some(v2.digest));
    // A wait is no failed attempt: as many as one can be held without the bundle being left alone.
    assert!(world.plane.reports.iter().all(|r| r.phase != Phase::Failed));
}

#[test]
fn a_wait_survives_restarts_and_counts_as_no_attempt() {
    let (mut world, v1, v2, _) = running_v1();
    world.assign(Assigned::new(&v2, 2));
    world.until("some chunks", |w| w.phase() == Some(Phase::Downloading));
    for _ in 0..6 {
        around(&mut world, LOW);
        is_held(&world);
        world.start();
        around(&mut world, LOW);
        world.settle();
        assert_eq!(world.serves(), Some(v1.digest));
    }
    around(&mut world, Conditions::default());
    world.until("healthy", |w| w.serves() == Some(v2.digest));
}

#[test]
fn nothing_holds_the_way_back() {
    let (mut world, v1, v2, _) = running_v1();
    world.install(&Assigned::new(&v2, 2));
    let worst = Conditions { metered: true, temperature_decic: Some(1200), cpu_permille: Some(1000), ..LOW };
    let strict = DeferPolicy {
        battery_min_percent: 99,
        metered: true,
        temperature_max_decic: Some(1),
        cpu_max_permille: Some(1),
        maintenance: vec![Maintenance { from_min: 1, to_min: 2 }],
    };
    world.queue.push_back(Stimulus::Surroundings(worst, strict.clone()));
    world.queue.push_back(Stimulus::Veto(VETO_MAX_S));
    world.settle();
    let mut back = Assigned::new(&v1, 3);
    back.rollback = true;
    let before = world.now.mono;
    world.assign(back);
    world.until("back", |w| w.serves() == Some(v1.digest) && w.phase() == Some(Phase::Healthy));
    assert!(world.now.mono.since_ms(before) < 5_000, "at once");

    // And on the device itself.
    let (mut world, v1, v2, _) = running_v1();
    world.install(&Assigned::new(&v2, 2));
    world.queue.push_back(Stimulus::Surroundings(worst, strict));
    world.queue.push_back(Stimulus::Revert);
    world.until("back", |w| w.serves() == Some(v1.digest));
}

#[test]
fn a_veto_ends_by_itself_and_its_sum_is_bounded_whatever_is_asked() {
    for seconds in [1, 60, VETO_MAX_S, u32::MAX] {
        let (mut world, v1, v2, v3) = running_v1();
        world.assign(Assigned::new(&v2, 2));
        world.queue.push_back(Stimulus::Veto(seconds));
        world.settle();
        is_held(&world);
        assert!(world.last().failure.as_ref().unwrap().text.ends_with("a harvest is on"));
        let began = world.now.mono;
        let mut asked = 0;
        // The application asks again and again, over restarts too.
        while world.serves() == Some(v1.digest) || world.serves().is_none() {
            world.queue.push_back(Stimulus::Veto(seconds));
            world.settle();
            for _ in 0..20 {
                world.turn();
            }
            asked += 1;
            assert!(asked < 200_000, "{seconds}");
            assert!(world.now.mono.since_ms(began) <= u64::from(VETO_TOTAL_S + VETO_MAX_S) * 1000, "{seconds}");
        }
        world.until("healthy", |w| w.serves() == Some(v2.digest) && w.phase() == Some(Phase::Healthy));
        // The next target may be put off anew, and a withdrawn veto holds nothing.
        world.assign(Assigned::new(&v3, 3));
        world.queue.push_back(Stimulus::Veto(100));
        world.settle();
        world.queue.push_back(Stimulus::Veto(50));
        world.settle();
        is_held(&world);
        world.queue.push_back(Stimulus::Veto(0));
        world.until("healthy", |w| w.serves() == Some(v3.digest));
    }
}

#[test]
fn a_maintenance_window_is_awaited_by_signed_time() {
    let (mut world, _, v2, _) = running_v1();
    let minute = NOW_S / 60 % 1440;
    let from = u16::try_from((minute + 120) % 1440).unwrap();
    let policy =
        DeferPolicy { maintenance: vec![Maintenance { from_min: from, to_min: (from + 30) % 1440 }], ..policy() };
    world.queue.push_back(Stimulus::Surroundings(Conditions::default(), policy));
    // The device's own clock says that it is time.
    world.clock_off_ms = 120 * 60_000;
    world.assign(Assigned::new(&v2, 2));
    world.settle();
    is_held(&world);
    let began = world.now.mono;
    world.until("healthy", |w| w.serves() == Some(v2.digest));
    let waited = world.now.mono.since_ms(began) / 60_000;
    assert!((115..=125).contains(&waited), "{waited} minutes");
}

/// Numbers that look random and repeat from their seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[test]
fn whatever_the_weather_no_new_model_begins_in_it_and_all_end_well_after_it() {
    for seed in 0..40 {
        let mut chance = Chance(seed);
        let (mut world, _, v2, v3) = running(1_000);
        let orders = [Assigned::new(&v2, 2), Assigned::new(&v3, 3)];
        let mut next = 0;
        let mut bad = false;
        for _ in 0..120 {
            match chance.below(9) {
                0 => {
                    bad = chance.below(2) == 0;
                    let now = if bad { LOW } else { Conditions::default() };
                    world.queue.push_back(Stimulus::Surroundings(now, policy()));
                }
                1 if next < orders.len() => {
                    world.assign(orders[next].clone());
                    next += 1;
                }
                2 => world.queue.push_back(Stimulus::LinkDown),
                3 => world.queue.push_back(Stimulus::LinkUp),
                // A restart in a trial costs a try, and may cost the model.
                4 if world.trying.is_none() => {
                    world.start();
                    let now = if bad { LOW } else { Conditions::default() };
                    world.queue.push_back(Stimulus::Surroundings(now, policy()));
                }
                _ => {}
            }
            let before = (world.trying, world.queue.is_empty(), bad);
            world.turn();
            if before == (None, true, true) {
                assert_eq!(world.trying, None, "seed {seed}: a trial began in a bad moment");
            }
            assert!(world.serving.is_some() || world.agent.is_none() || world.starts > 1, "seed {seed}");
        }
        for order in &orders[next..] {
            world.assign(order.clone());
        }
        world.queue.push_back(Stimulus::Surroundings(Conditions::default(), policy()));
        world.queue.push_back(Stimulus::LinkUp);
        world.until("healthy", |w| w.serves() == Some(v3.digest) && w.phase() == Some(Phase::Healthy));
    }
}
