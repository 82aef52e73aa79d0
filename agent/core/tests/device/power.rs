//! The power is cut at every boundary: before each record of each commit, and before each effect.
use std::collections::BTreeSet;

use pinnace_protocol::message::Phase;

use crate::repo::{Assigned, Repo};
use crate::world::{Stimulus, World};

/// Installs, updates and rolls back while windows close. Returns how many boundaries that had.
fn story(repo: &Repo, bundles: &[crate::repo::Bundle; 2], fuses: Vec<u64>) -> World {
    let mut world = World::with_cuts(repo.clone(), fuses);
    let orders = [
        Assigned::new(&bundles[0], 1),
        Assigned::new(&bundles[1], 2),
        Assigned { rollback: true, ..Assigned::new(&bundles[0], 3) },
    ];
    let mut id = 0;
    let mut had_model = false;
    for order in orders {
        let generation = order.generation;
        world.assign(order);
        let mut turns = 0;
        while !(world.phase() == Some(Phase::Healthy) && world.last().generation == generation && world.agent.is_some())
        {
            if turns % 5 == 0 {
                id += 1;
                let draft = world.draft(id);
                world.queue.push_back(Stimulus::Window(draft));
            }
            world.turn();
            had_model |= world.serving.is_some();
            turns += 1;
            assert!(
                turns < 5_000,
                "generation {generation} never becomes healthy: {:?} {:#?}",
                world.last(),
                world.log
            );
        }
        assert!(had_model);
    }
    world.until("all windows counted", |w| {
        w.agent.is_some()
            && w.queue.is_empty()
            && !w.disk.records.keys().any(|k| matches!(k, pinnace_agent_core::Key::Window(_)))
    });
    world
}

fn check(world: &World, bundles: &[crate::repo::Bundle; 2]) {
    assert_eq!(world.serves(), Some(bundles[0].digest));
    let counted: Vec<u64> = world.plane.folded.values().map(|w| w.from_unix_ms).collect();
    let once: BTreeSet<u64> = counted.iter().copied().collect();
    assert_eq!(once.len(), counted.len(), "a window was counted twice");
    assert_eq!(once, world.owed.iter().copied().collect(), "every durable window is counted");
    let numbers: Vec<u64> = world.plane.folded.keys().map(|(_, seq)| *seq).collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>(), "numbers have no gaps");
}

fn small() -> (Repo, [crate::repo::Bundle; 2]) {
    let mut repo = Repo::new();
    let bundles = [repo.release_with(1, 40_000, |_| {}), repo.release_with(2, 40_000, |_| {})];
    (repo, bundles)
}

#[test]
fn a_cut_at_any_boundary_costs_nothing() {
    let (repo, bundles) = small();
    let whole = story(&repo, &bundles, vec![]);
    check(&whole, &bundles);
    assert!(whole.owed.len() >= 10 && whole.cuts == 0);
    for at in 0..whole.boundaries {
        let world = story(&repo, &bundles, vec![at]);
        assert_eq!(world.cuts, 1, "cut {at} took place");
        check(&world, &bundles);
    }
}

#[test]
fn a_second_cut_during_the_recovery_costs_nothing_either() {
    let (repo, bundles) = small();
    let whole = story(&repo, &bundles, vec![]);
    for at in (0..whole.boundaries).step_by(3) {
        let world = story(&repo, &bundles, vec![at % 11, at]);
        assert_eq!(world.cuts, 2, "cuts {at} took place");
        check(&world, &bundles);
    }
}
