//! Every attack on file (`tests/data/hostile`) is handed to the real reader and refused exactly as its folder says.
use std::fs;
use std::path::Path;

use pinnace_fuzz::hostile::{ABOUT, check, in_tree};

/// Bytes of all attacks: they travel with the source.
const ATTACKS_MAX_BYTES: u64 = 512 * 1024;

fn list() -> String {
    fs::read_to_string(in_tree().join("README.md")).unwrap()
}

#[test]
fn every_attack_on_file_is_refused_as_it_says() {
    let wrong = check(&in_tree(), &list()).unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn copy(from: &Path, to: &Path) -> u64 {
    fs::create_dir_all(to).unwrap();
    fs::read_dir(from)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let target = to.join(path.file_name().unwrap());
            if path.is_dir() { copy(&path, &target) } else { fs::copy(&path, &target).unwrap() }
        })
        .sum()
}

#[test]
fn an_attack_that_would_succeed_or_says_nothing_fails_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let total = copy(&in_tree(), folder.path());
    assert!((10_000..ATTACKS_MAX_BYTES).contains(&total), "{total} bytes");
    let (root, list) = (folder.path(), list());
    let finds = |what: &str| {
        let wrong = check(root, &list).unwrap();
        assert!(wrong.iter().any(|w| w.contains(what)), "{what}: {wrong:?}");
    };
    let about = |attack: &str| root.join(attack).join(ABOUT);
    let change = |attack: &str, from: &str, to: &str| {
        let text = fs::read_to_string(about(attack)).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(about(attack), text.replacen(from, to, 1)).unwrap();
    };
    assert!(check(root, &list).unwrap().is_empty());
    // A sound message where a forged one should be.
    fs::copy(root.join("genuine/director.json"), root.join("foreign-key/director.json")).unwrap();
    finds("foreign-key/director.json: now `accepted`");
    // Refused, for another reason than the one that is meant.
    change("downgrade", "refused: rollback", "refused: expired");
    finds("must be `new: accepted, seen: refused: expired`");
    // A file that nothing is said of, a folder that is not listed, one that says nothing, one that is gone.
    fs::write(root.join("freeze/more.json"), "{}").unwrap();
    finds("freeze/more.json: nothing is said of it");
    fs::create_dir(root.join("new-attack")).unwrap();
    finds("new-attack: README.md does not list this folder");
    finds("new-attack/attack.toml");
    fs::remove_dir_all(root.join("mix-and-match")).unwrap();
    finds("mix-and-match: listed in README.md, and not there");
    // An attack cannot be declared harmless.
    change("genuine", "accepted as log", "refused: Signature");
    finds("genuine/log.cbor: `refused: Signature` is no outcome for this folder");
}
