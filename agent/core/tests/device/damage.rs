//! Files of the store truncated, emptied, deleted, flipped or replaced by an older copy, one and two at a time, while a
//! mirror replays what was genuine once: nothing old comes back, and the honest plane gets the device on again.
use pinnace_agent_core::Key;
use pinnace_protocol::message::Phase;
use pinnace_protocol::topic::Down;

use crate::disk::Disk;
use crate::plane::{Http, Mqtt};
use crate::repo::{Assigned, Bundle, Repo};
use crate::world::{Stimulus, World};

/// A file of the store.
#[derive(Debug, Clone, PartialEq)]
enum File {
    Floors(usize),
    Pointers(usize),
    Record(Key),
}

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Damage {
    Truncated,
    Emptied,
    Deleted,
    Flipped,
    Older,
}

const DAMAGES: [Damage; 5] = [Damage::Truncated, Damage::Emptied, Damage::Deleted, Damage::Flipped, Damage::Older];

fn read(disk: &Disk, file: &File) -> Option<Vec<u8>> {
    match file {
        File::Floors(at) => disk.floors[*at].clone(),
        File::Pointers(at) => disk.pointers[*at].clone(),
        File::Record(key) => disk.records.get(key).cloned(),
    }
}

fn write(disk: &mut Disk, file: &File, bytes: Option<Vec<u8>>) {
    match (file, bytes) {
        (File::Floors(at), bytes) => disk.floors[*at] = bytes,
        (File::Pointers(at), bytes) => disk.pointers[*at] = bytes,
        (File::Record(key), Some(bytes)) => _ = disk.records.insert(key.clone(), bytes),
        (File::Record(key), None) => _ = disk.records.remove(key),
    }
}

fn spoil(disk: &mut Disk, older: &Disk, file: &File, damage: Damage) {
    let bytes = read(disk, file).unwrap();
    let half = bytes.len() / 2;
    let spoiled = match damage {
        Damage::Truncated => Some(bytes[..half].to_vec()),
        Damage::Emptied => Some(Vec::new()),
        Damage::Deleted => None,
        Damage::Flipped => {
            let mut bytes = bytes;
            bytes[half] ^= 1;
            Some(bytes)
        }
        Damage::Older => read(older, file),
    };
    write(disk, file, spoiled);
}

/// A device that went from v1 to v2, its disk as it was with v1, and what the world said then.
struct Past {
    world: World,
    disk: Disk,
    repo: Repo,
    director: Vec<u8>,
    v2: Bundle,
    v3: Bundle,
}

fn past() -> Past {
    let mut repo = Repo::new();
    let v1 = repo.release_with(1, 5_000, |_| {});
    let mut world = World::new(repo.clone());
    world.install(&Assigned::new(&v1, 1));
    let (disk, old) = (world.disk.clone(), world.plane.repo.clone());
    let director = {
        let now_s = world.plane.now_s;
        world.plane.repo.direct("dev-1", None, now_s, Some(&Assigned::new(&v1, 2)))
    };
    world.pass(3_600_000);
    let v2 = world.plane.repo.release_with(2, 5_000, |_| {});
    world.install(&Assigned::new(&v2, 3));
    let v3 = world.plane.repo.release_with(3, 5_000, |_| {});
    world.plane.assigned = Some(Assigned::new(&v2, 3));
    Past { world, disk, repo: old, director, v2, v3 }
}

fn files(disk: &Disk) -> Vec<File> {
    let records = disk.records.keys().filter(|key| !matches!(key, Key::Window(_))).cloned().map(File::Record);
    [File::Floors(0), File::Floors(1), File::Pointers(0), File::Pointers(1)].into_iter().chain(records).collect()
}

/// Starts the damaged device before a mirror and a broker that replay the past, then before the honest plane.
fn survive(past: &Past, changes: &[(&File, Damage)]) {
    let mut world = past.world.fork();
    for (file, damage) in changes {
        spoil(&mut world.disk, &past.disk, file, *damage);
    }
    let honest = world.plane.repo.clone();
    // Nobody who holds a key answers; what was signed once is served and sent again.
    (world.plane.repo, world.plane.deaf) = (past.repo.clone(), true);
    world.forgive_damage();
    world.start();
    world.settle_for(60);
    world.queue.push_back(Stimulus::Message(Down::Director, past.director.clone()));
    world.settle_for(60);
    assert_eq!(world.serves(), Some(past.v2.digest), "{changes:?}: the running model is untouched");
    assert_eq!(world.trying, None, "{changes:?}: nothing old is tried");

    (world.plane.repo, world.plane.deaf) = (honest, false);
    (world.plane.mqtt, world.plane.http) = (Mqtt::Answers, Http::Answers);
    world.start();
    world.assign(Assigned::new(&past.v3, 9));
    world.until("the newest is healthy", |w| w.serves() == Some(past.v3.digest) && w.phase() == Some(Phase::Healthy));
}

#[test]
fn a_store_with_one_damaged_file_takes_nothing_old_and_goes_on() {
    let past = past();
    let files = files(&past.world.disk);
    assert!(files.len() >= 9, "{files:?}");
    for file in &files {
        for damage in DAMAGES {
            survive(&past, &[(file, damage)]);
        }
    }
}

#[test]
fn a_store_with_two_damaged_files_takes_nothing_old_and_goes_on() {
    let past = past();
    let files = files(&past.world.disk);
    for (at, one) in files.iter().enumerate() {
        for other in &files[at + 1..] {
            for first in DAMAGES {
                for second in DAMAGES {
                    survive(&past, &[(one, first), (other, second)]);
                }
            }
        }
    }
}
