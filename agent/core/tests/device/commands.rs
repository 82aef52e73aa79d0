//! An operator's commands: carried out once, and only when the plane signed them for this device in time.
use ed25519_dalek::SigningKey;
use pinnace_agent_core::{CommandRefusal, Level};
use pinnace_protocol::cbor;
use pinnace_protocol::ids::{DeviceId, TenantId};
use pinnace_protocol::message::{Command, CommandKind, CommandOutcome, Envelope, FailCode, Phase, seal_from_plane};
use pinnace_protocol::topic::Down;
use serde::Serialize;

use crate::repo::{Assigned, Bundle, NOW_S, Repo};
use crate::world::{Stimulus, World};

const HOUR_S: u64 = 3600;

fn running() -> (World, Bundle, Bundle, Bundle) {
    let mut repo = Repo::new();
    let [v1, v2, v3] = [1, 2, 3].map(|version| repo.release_with(version, 50_000, |_| {}));
    let mut world = World::new(repo);
    world.install(&Assigned::new(&v1, 1));
    world.install(&Assigned::new(&v2, 2));
    (world, v1, v2, v3)
}

fn sealed<T: Serialize>(key: &SigningKey, device: &str, kind: &str, body: &T) -> Vec<u8> {
    let (tenant, device) = (TenantId::parse("acme").unwrap(), DeviceId::parse(device).unwrap());
    seal_from_plane(key, &tenant, &device, kind, body).unwrap()
}

fn command(world: &World, number: u64, kind: CommandKind) -> Vec<u8> {
    let command = Command { number, expires_s: world.plane.now_s + HOUR_S, kind };
    sealed(&world.plane.key, "dev-1", "command", &command)
}

fn send(world: &mut World, payload: Vec<u8>) {
    world.queue.push_back(Stimulus::Message(Down::Command, payload));
    world.settle();
}

fn outcomes(world: &World) -> Vec<(u64, CommandOutcome)> {
    world.plane.done.iter().map(|d| (d.number, d.outcome)).collect()
}

#[test]
fn revert_takes_the_newest_model_back_once() {
    let (mut world, v1, v2, v3) = running();
    let first = command(&world, 5, CommandKind::Revert);
    send(&mut world, first.clone());
    world.until("back", |w| w.serves() == Some(v1.digest));
    assert_eq!(outcomes(&world), [(5, CommandOutcome::Done)]);
    assert_eq!((world.phase(), world.failure()), (Some(Phase::Failed), Some(FailCode::Local)));
    world.install(&Assigned::new(&v3, 3));
    // A broker that kept the message plays it again: told again, not done again.
    for _ in 0..3 {
        send(&mut world, first.clone());
    }
    world.start();
    world.settle();
    send(&mut world, first);
    world.until("up", |w| w.serves().is_some());
    assert_eq!(world.serves(), Some(v3.digest));
    assert!(outcomes(&world).iter().all(|o| *o == (5, CommandOutcome::Done)));
    let _ = v2;
}

#[test]
fn an_older_number_is_never_carried_out() {
    let (mut world, ..) = running();
    let pause = command(&world, 9, CommandKind::Pause);
    send(&mut world, pause);
    for number in [0, 1, 8] {
        let older = command(&world, number, CommandKind::Revert);
        send(&mut world, older);
    }
    assert_eq!(outcomes(&world), [(9, CommandOutcome::Done)]);
    assert_eq!(world.log.iter().filter(|(_, text)| text.contains("command 9 came before")).count(), 3);
}

#[test]
fn only_the_plane_commands_and_only_this_device_and_only_in_time() {
    let (world, ..) = running();
    let good = Command { number: 3, expires_s: NOW_S + 30 * 86_400, kind: CommandKind::Revert };
    let soon = Command { expires_s: world.plane.now_s + HOUR_S, ..good.clone() };
    let other_key = SigningKey::from_bytes(&[77; 32]);
    #[derive(Serialize)]
    struct Unknown {
        number: u64,
        expires_s: u64,
        kind: &'static str,
    }
    let shell = Unknown { number: 3, expires_s: soon.expires_s, kind: "shell" };
    let unsigned = Envelope { version: 1, body: cbor::encode(&soon).unwrap(), signature: vec![0; 64] };
    let key = &world.plane.key;
    let attacks: Vec<(&str, Vec<u8>)> = vec![
        ("another key", sealed(&other_key, "dev-1", "command", &soon)),
        ("another device", sealed(key, "dev-2", "command", &soon)),
        ("signed as an acknowledgement", sealed(key, "dev-1", "ack", &soon)),
        ("a word that is none", sealed(key, "dev-1", "command", &shell)),
        ("unsigned", cbor::encode(&unsigned).unwrap()),
        ("bare", cbor::encode(&soon).unwrap()),
        ("noise", vec![0x9f; 300]),
        ("nothing", Vec::new()),
    ];
    for (what, payload) in attacks {
        let (mut world, _, v2, _) = running();
        send(&mut world, payload);
        assert_eq!((world.serves(), world.plane.done.len()), (Some(v2.digest), 0), "{what}");
        assert!(
            world.log.iter().any(|(level, text)| *level == Level::Error && text.contains("command refused")),
            "{what}"
        );
        // And a right one is taken afterwards: nothing was used up.
        let right = command(&world, 3, CommandKind::Pause);
        send(&mut world, right);
        assert_eq!(outcomes(&world), [(3, CommandOutcome::Done)], "{what}");
    }
    for (what, expires_s) in [("too late", world.plane.now_s - 1), ("good for years", world.plane.now_s + 400 * 86_400)]
    {
        let (mut world, _, v2, _) = running();
        let late = sealed(&world.plane.key, "dev-1", "command", &Command { expires_s, ..good.clone() });
        send(&mut world, late);
        assert_eq!((world.serves(), outcomes(&world)), (Some(v2.digest), vec![(3, CommandOutcome::Refused)]), "{what}");
    }
}

#[test]
fn a_pause_survives_restarts_and_holds_everything_but_the_way_back() {
    let (mut world, v1, _, v3) = running();
    let pause = command(&world, 1, CommandKind::Pause);
    send(&mut world, pause);
    world.start();
    world.assign(Assigned::new(&v3, 3));
    world.until("held", |w| w.phase() == Some(Phase::Deferred));
    assert_eq!(world.last().failure.as_ref().unwrap().text, "paused by an operator");
    let mut back = Assigned::new(&v1, 4);
    back.rollback = true;
    world.assign(back);
    world.until("back", |w| w.serves() == Some(v1.digest) && w.phase() == Some(Phase::Healthy));
    world.assign(Assigned::new(&v3, 5));
    world.until("held", |w| w.phase() == Some(Phase::Deferred));
    let resume = command(&world, 2, CommandKind::Resume);
    send(&mut world, resume);
    world.until("healthy", |w| w.serves() == Some(v3.digest));
}

#[test]
fn what_the_shell_does_is_done_once_and_told_with_every_connection() {
    let (mut world, ..) = running();
    let collect = command(&world, 1, CommandKind::CollectDiagnostics);
    send(&mut world, collect.clone());
    send(&mut world, collect);
    assert_eq!(world.commands, [(1, CommandKind::CollectDiagnostics)]);
    let lines: Vec<String> = (0..5000).map(|i| format!("{i:0100}")).collect();
    world.queue.push_back(Stimulus::CommandEnded(1, Ok(("here".into(), lines))));
    world.settle();
    let bytes: usize = world.plane.done[0].lines.iter().map(String::len).sum();
    assert!(bytes > 50_000 && bytes <= pinnace_protocol::limits::DIAGNOSTICS_MAX_BYTES, "{bytes}");
    world.queue.push_back(Stimulus::LinkDown);
    world.queue.push_back(Stimulus::LinkUp);
    world.settle();
    assert_eq!(world.plane.done.len(), 2);
    assert!(world.plane.done[1].lines.is_empty(), "what was collected is sent once");
    // Consent is asked on the device; a late answer to an older command changes nothing.
    let renew = command(&world, 2, CommandKind::Renew);
    send(&mut world, renew);
    world.queue.push_back(Stimulus::CommandEnded(1, Ok(("late".into(), Vec::new()))));
    world.queue.push_back(Stimulus::CommandEnded(2, Err(CommandRefusal::NoConsent)));
    world.settle();
    assert_eq!(outcomes(&world)[2..], [(2, CommandOutcome::Refused)]);
}

#[test]
fn a_restart_is_answered_by_the_next_start_and_anything_else_cut_short_is_not_done_again() {
    let (mut world, ..) = running();
    for (number, kind, outcome) in
        [(1, CommandKind::Restart, CommandOutcome::Done), (2, CommandKind::Renew, CommandOutcome::Failed)]
    {
        let payload = command(&world, number, kind);
        send(&mut world, payload.clone());
        assert_eq!(world.commands.last(), Some(&(number, kind)));
        world.start();
        world.until("told", |w| w.plane.done.last().is_some_and(|d| d.number == number));
        assert_eq!(outcomes(&world).last(), Some(&(number, outcome)));
        let carried_out = world.commands.len();
        send(&mut world, payload);
        assert_eq!(world.commands.len(), carried_out);
    }
}

#[test]
fn at_most_once_whenever_the_power_is_cut() {
    for boundary in 0..60 {
        let (before, ..) = running();
        let payload = command(&before, 1, CommandKind::CollectDiagnostics);
        let mut world = before.fork();
        world.fuses = vec![boundary];
        world.start();
        world.queue.push_back(Stimulus::Message(Down::Command, payload.clone()));
        for _ in 0..30 {
            world.turn();
        }
        world.fuses.clear();
        // Whatever was cut, the broker sends it again.
        for _ in 0..3 {
            world.queue.push_back(Stimulus::Message(Down::Command, payload.clone()));
            for _ in 0..10 {
                world.turn();
            }
        }
        assert!(world.commands.len() <= 1, "boundary {boundary}: {:?}", world.commands);
    }
}
