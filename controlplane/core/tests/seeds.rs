//! Faults that the simulator found, in their smallest form.
mod world;

use pinnace_controlplane_core::Effect;
use pinnace_controlplane_core::policy::RolloutPolicy;
use world::{Fate, World, device};

#[test]
fn a_fleet_that_grows_during_the_canary_wave_is_not_exposed_by_that() {
    let mut w = World::new(2);
    w.publish(2);
    w.fate(2, |_| Fate::Slow);
    // Two canaries are the whole fleet when the rollout begins.
    let id = w.create(2, RolloutPolicy { canary: 2, ..RolloutPolicy::demo() });
    assert_eq!(w.page(&id).tally.exposed, 2);
    for i in 2..40 {
        w.join(i);
    }
    let page = w.page(&id);
    assert_eq!((page.tally.exposed, page.rollout.quota, page.rollout.plan.eligible), (2, 2, 40));
    // The canaries prove it; then the policy's waves follow.
    for i in 0..2 {
        let fake = w.devices.get_mut(&device(i)).unwrap();
        fake.running = Some(world::bundle(2));
        let healthy = fake.report(pinnace_protocol::message::Phase::Healthy, None, None);
        fake.outbox.push(healthy);
    }
    w.fate(2, |_| Fate::Healthy);
    w.pass(3_000);
    assert_eq!(w.page(&id).rollout.quota, 20, "half of them");
    w.pass(20_000);
    assert_eq!((w.state(&id), w.running(2)), ("completed", 40));
}

#[test]
fn an_order_that_the_broker_lost_is_repeated() {
    let mut w = World::new(1);
    w.publish(2);
    let id = device(0);
    // The connection stands, the message is lost.
    w.devices.get_mut(&id).unwrap().online = false;
    w.create(2, RolloutPolicy { canary: 1, ..RolloutPolicy::demo() });
    w.devices.get_mut(&id).unwrap().online = true;
    let repeats = |w: &World| w.log.iter().filter(|e| matches!(e, Effect::Reassert { .. })).count();
    let before = repeats(&w);
    let heartbeat = |w: &mut World| {
        let report = w.devices.get_mut(&id).unwrap().report(pinnace_protocol::message::Phase::Idle, None, None);
        w.deliver(&id, &report);
    };
    w.now_ms += 5_000;
    heartbeat(&mut w);
    assert_eq!(repeats(&w), before, "the order may still be on its way");
    w.now_ms += 40_000;
    heartbeat(&mut w);
    assert_eq!(repeats(&w), before + 1);
    w.pass(10_000);
    assert_eq!(w.running(2), 1);
    heartbeat(&mut w);
    assert_eq!(repeats(&w), before + 1, "it has arrived");
}
