//! How a bundle's bytes come: patches, what is published to all, parity, alone over MQTT, HTTP; and every way they do not.
use pinnace_protocol::ids::Digest;
use pinnace_protocol::manifest::Manifest;
use pinnace_protocol::message::{FailCode, Phase};
use pinnace_protocol::transfer::PatchOffer;

use crate::plane::{Http, Mqtt};
use crate::repo::{Assigned, Bundle, Repo};
use crate::world::{Stimulus, World};

/// Chunks of the large model: 39 of 28 to 32 KiB.
const MODEL_BYTES: usize = 1_200_000;

fn model(version: u64) -> Vec<u8> {
    (0..MODEL_BYTES as u64).map(|i| (i * 7 + version * 13 + (i >> 9)) as u8).collect()
}

/// Returns a world that runs version 1; version 2 has a large model with parity.
fn world() -> (World, Bundle, Bundle) {
    let mut repo = Repo::new();
    let (v1, v2) = (repo.release_model(1, &model(1)), repo.release_model(2, &model(2)));
    let mut world = World::new(repo);
    world.install(&Assigned::new(&v1, 1));
    world.plane.sent = (0, 0);
    (world, v1, v2)
}

fn chunks(world: &World, bundle: &Bundle) -> (u64, u64) {
    let manifest = Manifest::parse(&bundle.manifest).unwrap();
    let (blob, all) = world.plane.repo.chunks(&manifest.blobs[0].sha256);
    (blob.layout().count(), all.len() as u64)
}

/// Assigns version 2 and lets it become healthy.
fn installs(world: &mut World, v2: &Bundle) {
    world.assign(Assigned::new(v2, 2));
    world.until("version 2 is healthy", |w| w.phase() == Some(Phase::Healthy) && w.serves() == Some(v2.digest));
    world.settle();
    assert!(world.listening.is_empty(), "nobody listens for longer than needed");
}

#[test]
fn what_is_published_to_all_is_taken_and_little_is_asked_for_alone() {
    let (mut world, _, v2) = world();
    let (data, all) = chunks(&world, &v2);
    assert_eq!((data, all), (39, 43));
    installs(&mut world, &v2);
    // The small blob, of one chunk, comes alone.
    assert_eq!((world.plane.sent, world.plane.gets), ((all, 1), 0));
}

#[test]
fn parity_makes_up_for_what_is_lost() {
    for seed in 0..6 {
        let (mut world, _, v2) = world();
        (0..seed).for_each(|_| _ = world.plane.publish_nothing());
        world.plane.loses = 40;
        installs(&mut world, &v2);
        let (to_all, alone) = world.plane.sent;
        assert!(to_all <= 43 + 39 && alone <= 9, "seed {seed}: {:?}", world.plane.sent);
    }
}

#[test]
fn a_plane_that_publishes_nothing_to_all_is_asked_alone() {
    let (mut world, _, v2) = world();
    world.plane.broadcasts = false;
    installs(&mut world, &v2);
    assert_eq!((world.plane.sent, world.plane.gets), ((0, 40), 0));
}

#[test]
fn a_broker_that_drops_half_of_the_chunks_only_takes_longer() {
    for (loses, halves) in [(500, false), (500, true), (1000, true)] {
        let (mut world, _, v2) = world();
        (world.plane.loses, world.plane.halves) = (loses, halves);
        installs(&mut world, &v2);
    }
}

#[test]
fn a_source_that_hangs_or_trickles_is_left_for_the_other() {
    let (mut silent, _, v2) = world();
    silent.assign(Assigned::new(&v2, 2));
    silent.until("downloading", |w| w.phase() == Some(Phase::Downloading));
    silent.plane.mqtt = Mqtt::Silent;
    silent.until("healthy", |w| w.serves() == Some(v2.digest));
    assert!(silent.plane.gets > 0);

    // It starts without a link; HTTP hangs or lies, and MQTT comes back meanwhile.
    for http in [None, Some(Http::Tampers), Some(Http::Fails)] {
        let (mut world, _, v2) = self::world();
        world.plane.broadcasts = false;
        world.assign(Assigned::new(&v2, 2));
        world.until("downloading", |w| w.phase() == Some(Phase::Downloading));
        match http {
            Some(http) => world.plane.http = http,
            None => world.plane.http_hangs = true,
        }
        world.queue.push_back(Stimulus::LinkDown);
        world.turn();
        world.queue.push_back(Stimulus::LinkUp);
        world.until("healthy", |w| w.serves() == Some(v2.digest));
    }
}

#[test]
fn lies_from_both_sides_end_as_an_integrity_failure_and_the_old_model_serves() {
    let (mut world, v1, v2) = world();
    world.assign(Assigned::new(&v2, 2));
    world.until("downloading", |w| w.phase() == Some(Phase::Downloading));
    (world.plane.mqtt, world.plane.http) = (Mqtt::Tampers, Http::Tampers);
    world.until("given up for now", |w| w.failure() == Some(FailCode::Integrity));
    assert_eq!(world.serves(), Some(v1.digest));
    (world.plane.mqtt, world.plane.http) = (Mqtt::Answers, Http::Answers);
    world.until("healthy", |w| w.serves() == Some(v2.digest));
}

/// Offers a patch from version 1 to version 2; in this world it is two digests and padding.
fn offer(world: &mut World, v1: &Bundle, v2: &Bundle) -> PatchOffer {
    let [from, to] = [v1, v2].map(|b| Manifest::parse(&b.manifest).unwrap().blobs[0].sha256);
    let mut patch = [from.0, to.0].concat();
    patch.resize(70_000, 7);
    let offer = PatchOffer::describe(v1.digest, from, to, &patch);
    world.plane.patches.insert(offer.sha256, patch);
    offer
}

#[test]
fn a_patch_is_fetched_instead_of_the_blob() {
    for http in [false, true] {
        let (mut world, v1, v2) = world();
        let offer = offer(&mut world, &v1, &v2);
        let assigned = Assigned { patches: vec![offer], ..Assigned::new(&v2, 2) };
        world.assign(assigned);
        if http {
            world.until("downloading", |w| w.phase() == Some(Phase::Downloading));
            world.queue.push_back(Stimulus::LinkDown);
        }
        world.until("healthy", |w| w.serves() == Some(v2.digest));
        if !http {
            assert_eq!(
                (world.plane.sent, world.plane.gets),
                ((0, 4), 0),
                "three chunks of the patch and the small blob"
            );
        }
    }
}

#[test]
fn a_patch_that_does_not_fit_costs_little() {
    // It makes something else; its base is not here; it is unsound; it is larger than what it saves; nobody has it.
    for fault in 0..5 {
        let (mut world, v1, v2) = world();
        let mut offer = offer(&mut world, &v1, &v2);
        match fault {
            0 => world.bad_patches = true,
            1 => offer.base = Digest::of(b"another"),
            2 => offer.chunks.truncate(8),
            3 => offer.length = 1 << 40,
            _ => offer.sha256 = Digest::of(b"nobody has this"),
        }
        let assigned = Assigned { patches: vec![offer], ..Assigned::new(&v2, 2) };
        world.assign(assigned);
        world.until("healthy", |w| w.serves() == Some(v2.digest));
        assert_eq!(world.plane.sent.0, 43, "fault {fault}: the blob came whole");
    }
}

#[test]
fn after_a_power_cut_the_patch_is_still_known() {
    let (mut world, v1, v2) = world();
    let offer = offer(&mut world, &v1, &v2);
    world.assign(Assigned { patches: vec![offer], ..Assigned::new(&v2, 2) });
    world.until("downloading", |w| w.phase() == Some(Phase::Downloading));
    // The plane is gone for good: only what the ledger holds can say that there is a patch.
    world.plane.deaf = true;
    world.plane.sent = (0, 0);
    world.start();
    world.until("healthy", |w| w.serves() == Some(v2.digest));
    assert!(world.plane.sent.0 == 0 && world.plane.sent.1 <= 4, "{:?}", world.plane.sent);
}
