//! What an order of somebody who held the director's key leaves behind, and how the steward gets its device back.
mod world;

use pinnace_controlplane_core::policy::RolloutPolicy;
use pinnace_controlplane_core::rollout::MemberState;
use pinnace_protocol::message::Phase;
use world::{World, bundle, device};

const MINUTE: u64 = 60_000;

/// Device 0 follows a forged order for version 1 under the very number of ours for version 2.
fn forged(w: &mut World) {
    let id = device(0);
    let fake = w.devices.get_mut(&id).unwrap();
    let mut order = fake.assignment.clone().unwrap();
    order.custom.bundle = bundle(1);
    (fake.assignment, fake.running) = (Some(order), Some(bundle(1)));
    let report = fake.report(Phase::Healthy, None, None);
    w.deliver(&id, &report);
}

#[test]
fn a_device_that_follows_a_forged_order_under_our_number_is_ordered_anew() {
    let mut w = World::new(3);
    w.publish(2);
    w.create(2, RolloutPolicy::demo());
    w.pass(10 * MINUTE);
    assert_eq!(w.devices[&device(0)].running, Some(bundle(2)));
    forged(&mut w);
    w.settle();
    let fake = &w.devices[&device(0)];
    assert_eq!((fake.accepted, fake.running.clone()), (2, Some(bundle(2))));
}

#[test]
fn healthy_under_a_forged_order_is_not_healthy_with_ours() {
    let mut w = World::new(1);
    w.publish(2);
    w.fate(2, |_| world::Fate::Slow);
    let rollout = w.create(2, RolloutPolicy::demo());
    w.pass(2 * MINUTE);
    assert!(w.devices[&device(0)].assignment.is_some());
    forged(&mut w);
    assert_eq!(w.members(&rollout, MemberState::Healthy), 0);
}
