//! Months without a link: what serves goes on, what waits is bounded, and everything is caught up with afterwards.
use std::sync::Arc;

use pinnace_agent_core::limits::{OUTBOX_MAX_BYTES, OUTBOX_MAX_WINDOWS};
use pinnace_agent_core::{Key, WindowDraft};
use pinnace_protocol::message::Phase;

use crate::plane::Http;
use crate::repo::{Assigned, Repo};
use crate::windows::{count, profile};
use crate::world::{Stimulus, World};

/// Days without a link.
const DAYS: u64 = 120;
/// Windows of one day.
const DAILY: u64 = 48;

#[test]
fn a_device_serves_for_120_days_without_a_link_and_catches_up() {
    let profile = profile();
    let mut repo = Repo::new();
    let [v1, v2] = [1, 2].map(|version| repo.release_with(version, 40_000, |_| {}));
    let mut world = World::new(repo);
    world.layout = Some(Arc::clone(profile.layout()));
    world.install(&Assigned::new(&v1, 1));
    world.connects = false;
    world.plane.http = Http::Fails;
    world.queue.push_back(Stimulus::LinkDown);
    world.settle();
    let (reports, gets, generation) = (world.plane.reports.len(), world.plane.gets, world.last().generation);

    let mut turns = 0;
    for id in 0..DAYS * DAILY {
        let draft = WindowDraft { rows: 3, sketch: count(&profile, id).encode(), ..world.draft(id) };
        world.queue.push_back(Stimulus::Window(draft));
        let end = world.now.wall.unix_ms + 86_400_000 / DAILY;
        while world.now.wall.unix_ms < end {
            let idle = world.queue.is_empty() && world.agent.as_ref().is_some_and(|a| a.next_deadline().is_none());
            if idle {
                world.pass(end - world.now.wall.unix_ms);
            } else {
                world.turn();
                turns += 1;
            }
        }
        if id % 500 == 499 {
            // The power goes too, now and then.
            world.start();
            world.settle();
        }
        assert_eq!(world.serves(), Some(v1.digest), "window {id}");
        let waiting = world.disk.records.iter().filter(|(key, _)| matches!(key, Key::Window(_)));
        let (number, bytes) = waiting.fold((0, 0), |(n, b), (_, record)| (n + 1, b + record.len()));
        assert!(number <= OUTBOX_MAX_WINDOWS && bytes <= 2 * OUTBOX_MAX_BYTES, "{number} windows, {bytes} bytes");
    }
    assert_eq!((world.plane.reports.len(), world.plane.gets), (reports, gets), "nothing was sent, nothing asked for");
    assert!(turns < DAYS * DAILY * 8, "{turns} turns: an idle device sleeps");

    world.plane.http = Http::Answers;
    world.plane.assigned = Some(Assigned::new(&v2, generation + 1));
    world.queue.push_back(Stimulus::LinkUp);
    world.until("the new model", |w| w.serves() == Some(v2.digest) && w.phase() == Some(Phase::Healthy));
    let waits = |w: &World| w.disk.records.keys().any(|key| matches!(key, Key::Window(_)));
    world.until("every window counted", |w| w.queue.is_empty() && !waits(w));
    let rows: u64 = world.plane.folded.values().map(|w| w.rows).sum();
    assert_eq!(rows, 3 * DAYS * DAILY, "merged, never dropped");
}
