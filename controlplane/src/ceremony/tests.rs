use std::collections::BTreeMap;

use pinnace_protocol::signature::Verifier;
use pinnace_protocol::trust::metadata::{ROOT, SNAPSHOT, TARGETS, TIMESTAMP};
use pinnace_protocol::trust::state::next_root;
use pinnace_protocol::trust::{Root, Signer, SigningKey, Targets, TufKey, author, first_root};
use proptest::prelude::*;

use super::change::{self, Expiry, Present};
use super::first::Holders;
use super::*;

const NOW: u64 = 1_800_000_000;
const EXPIRY: Expiry = Expiry { root: NOW + 365 * 86_400, targets: NOW + 180 * 86_400, family: NOW + 90 * 86_400 };

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed([n; 32])
}

fn public(keys: &[u8]) -> Vec<TufKey> {
    keys.iter().map(|n| key(*n).key()).collect()
}

fn id(n: u8) -> String {
    key(n).key_id()
}

/// Roots 1 to 3 (two must sign), targets 4, snapshot 5, timestamp 6, director 7.
fn holders() -> Holders {
    Holders {
        root: public(&[1, 2, 3]),
        root_threshold: 2,
        director_root: Vec::new(),
        targets: public(&[4]),
        targets_threshold: 1,
        snapshot: public(&[5]),
        timestamp: public(&[6]),
        director: public(&[7]),
    }
}

fn signed(mut draft: Draft, keys: &[u8]) -> Draft {
    for n in keys {
        let file = draft.sign(&key(*n)).unwrap();
        draft.attach(&Signatures::parse(&file.to_bytes().unwrap()).unwrap()).unwrap();
    }
    draft
}

/// What the image repository publishes after the first ceremony, with one family of trainer 8 and approver 9.
fn present() -> Present {
    let first = signed(first::image(&holders(), EXPIRY).unwrap(), &[1, 2, 4]);
    first.check_complete().unwrap();
    let files: BTreeMap<String, Vec<u8>> = first.files().unwrap().into_iter().collect();
    let mut top: Targets = first.body(TARGETS).unwrap().unwrap();
    top.delegate("rain", &public(&[8, 9]), 2, &["rain-v*"], false);
    let rain = Targets::new(1, EXPIRY.family);
    Present {
        root: files[ROOT].clone(),
        targets: author::sign(&top, &[&key(4)]).unwrap(),
        families: BTreeMap::from([("rain".into(), author::sign(&rain, &[&key(8), &key(9)]).unwrap())]),
    }
}

fn changed() -> Draft {
    signed(change::image(&present(), "rain", &replace(9, 19), EXPIRY).unwrap(), &[4])
}

fn replace(old: u8, new: u8) -> Change {
    Change { add: public(&[new]), remove: vec![id(old)[..8].to_owned()], threshold: None }
}

fn root_of(draft: &Draft) -> Vec<u8> {
    draft.files().unwrap().into_iter().find(|(role, _)| role == ROOT).unwrap().1
}

#[test]
fn the_first_ceremony_needs_two_roots_and_the_targets_key() {
    let draft = first::image(&holders(), EXPIRY).unwrap();
    let one = signed(draft.clone(), &[1, 4]);
    let Err(DraftError::Missing(lacks)) = one.check_complete() else { panic!("one root key of two is too few") };
    assert_eq!(lacks, [format!("root lacks 1 of 2 root keys (any of {}, {})", short(&id(2)), short(&id(3)))]);
    let done = signed(draft, &[1, 4, 3]);
    done.check_complete().unwrap();
    first_root(&root_of(&done), Verifier::STRICT).unwrap();
    // The draft may travel as a file at any moment.
    assert_eq!(Draft::parse(&done.to_bytes().unwrap()).unwrap(), done);
}

#[test]
fn one_key_counts_once() {
    let draft = signed(first::director(&holders(), EXPIRY).unwrap(), &[1, 1, 1]);
    assert!(draft.check_complete().is_err());
    assert_eq!(draft.needs().unwrap()[0].valid, 1);
}

#[test]
fn a_root_changes_only_by_enough_old_and_enough_new_keys() {
    let present = present();
    let old = first_root(&present.root, Verifier::STRICT).unwrap();
    // Everything is replaced: nobody who signs for the old keys signs for the new ones.
    let change = Change { add: public(&[11, 12, 13]), remove: [1, 2, 3].map(id).to_vec(), threshold: None };
    let draft = change::image(&present, ROOT, &change, EXPIRY).unwrap();
    for (keys, enough) in [
        (&[1_u8, 2, 11, 12][..], true),
        (&[1, 3, 12, 13], true),
        (&[1, 11, 12], false),
        (&[1, 2, 11], false),
        (&[1, 2, 3], false),
        (&[11, 12, 13], false),
        (&[], false),
    ] {
        let signed = signed(draft.clone(), keys);
        assert_eq!(signed.check_complete().is_ok(), enough, "{keys:?}");
        // The ceremony's word is the device's word.
        assert_eq!(next_root(&old, &root_of(&signed), Verifier::STRICT).is_ok(), enough, "{keys:?}");
    }
}

#[test]
fn a_rotation_is_said_in_clear_words() {
    let draft = change::image(&present(), TIMESTAMP, &replace(6, 16), EXPIRY).unwrap();
    let words = describe(&signed(draft, &[1]), NOW).unwrap().join("\n");
    let (old, new) = (id(6), id(16));
    for part in [
        "image root 1 -> 2:".to_owned(),
        format!("timestamp: key {} is replaced by {}", short(&old), short(&new)),
        "root: keys unchanged".to_owned(),
        "devices forget the versions that the old online keys signed".to_owned(),
        "valid until 2028-01-15T08:00:00Z (365 days)".to_owned(),
        format!("1 of 2 root keys (by {}); still missing: 1 of 2 root keys", short(&id(1))),
    ] {
        assert!(words.contains(&part), "`{part}` is missing in:\n{words}");
    }
    assert!(!words.contains("do not sign"), "{words}");
}

#[test]
fn a_draft_against_a_root_that_nobody_signed_is_warned_of() {
    let mut forged = present();
    let mut root: Root =
        pinnace_protocol::trust::Envelope::parse(ROOT, &forged.root, 1 << 20).unwrap().body(ROOT).unwrap();
    root.set_role(ROOT, &public(&[1, 40, 41]), 2);
    forged.root = author::sign(&root, &[&key(1)]).unwrap();
    let draft = change::image(&forged, TIMESTAMP, &replace(6, 16), EXPIRY).unwrap();
    assert!(describe(&draft, NOW).unwrap().join("\n").contains("do not sign this"));
}

#[test]
fn a_stranger_s_text_neither_hides_nor_pretends() {
    let present = present();
    let mut draft = change::image(&present, TIMESTAMP, &replace(6, 16), EXPIRY).unwrap();
    let mut root: Root = draft.body(ROOT).unwrap().unwrap();
    // Another key under the id of the first root key.
    root.keys.insert(id(1), key(66).key());
    draft.documents = vec![Document::unsigned(ROOT, &root).unwrap()];
    let words = describe(&draft, NOW).unwrap().join("\n");
    let pretends =
        format!("root: key {} is replaced by {} (LISTED AS {})", short(&id(1)), short(&id(66)), short(&id(1)));
    assert!(words.contains(&pretends), "{words}");

    let mut rain = Targets::new(2, EXPIRY.family);
    let file = pinnace_protocol::trust::TargetFile::of(b"x", None);
    rain.targets.insert("rain\u{1b}[2K\r-v1\u{202e}".into(), file);
    let mut draft = change::image(&present, "rain", &Change::default(), EXPIRY).unwrap();
    draft.documents = vec![Document::unsigned("rain", &rain).unwrap()];
    let words = describe(&draft, NOW).unwrap().concat();
    assert!(!words.contains(['\u{1b}', '\r', '\u{202e}']), "{words:?}");
}

#[test]
fn foreign_keys_and_changed_drafts_are_refused() {
    let present = present();
    let mut draft = change::image(&present, SNAPSHOT, &replace(5, 15), EXPIRY).unwrap();
    assert!(matches!(draft.sign(&key(50)), Err(DraftError::ForeignKey { .. })));
    // The new online key has no word in its own promotion.
    assert!(matches!(draft.sign(&key(15)), Err(DraftError::ForeignKey { .. })));

    let mut later = EXPIRY;
    later.root += 1;
    let other = change::image(&present, SNAPSHOT, &replace(5, 15), later).unwrap();
    let file = other.sign(&key(1)).unwrap();
    assert!(matches!(draft.attach(&file), Err(DraftError::BadSignature { .. })));
    let targets = change::image(&present, TARGETS, &Change::default(), EXPIRY).unwrap();
    let file = targets.sign(&key(4)).unwrap();
    assert!(matches!(draft.attach(&file), Err(DraftError::NotInDraft { .. })));
    assert_eq!(draft.needs().unwrap()[0].valid, 0, "what is refused leaves no trace");
}

#[test]
fn versions_follow_one_another() {
    let present = present();
    let draft = change::image(&present, ROOT, &Change::default(), EXPIRY).unwrap();
    let mut root: Root = draft.body(ROOT).unwrap().unwrap();
    for version in [1, 3, 99] {
        root.header.version = version;
        let documents = vec![Document::unsigned(ROOT, &root).unwrap()];
        let refused = Draft::new(Repository::Image, documents, draft.present.clone());
        assert!(matches!(refused, Err(DraftError::Malformed { .. })), "version {version}");
    }
}

#[test]
fn new_targets_keys_sign_the_targets_anew() {
    let draft = change::image(&present(), TARGETS, &replace(4, 14), EXPIRY).unwrap();
    let roles: Vec<&str> = draft.documents.iter().map(|one| one.role.as_str()).collect();
    assert_eq!(roles, [ROOT, TARGETS]);
    assert!(signed(draft.clone(), &[1, 2]).check_complete().is_err());
    // The old key does not count any more.
    assert!(matches!(draft.sign(&key(4)), Err(DraftError::ForeignKey { .. })));
    signed(draft, &[1, 2, 14]).check_complete().unwrap();
}

#[test]
fn a_new_approver_signs_the_family_anew_with_the_trainer() {
    let draft = change::image(&present(), "rain", &replace(9, 19), EXPIRY).unwrap();
    let words = describe(&draft, NOW).unwrap().join("\n");
    assert!(
        words.contains(&format!("family rain: key {} is replaced by {}", short(&id(9)), short(&id(19)))),
        "{words}"
    );
    assert!(signed(draft.clone(), &[4, 8]).check_complete().is_err());
    signed(draft, &[4, 8, 19]).check_complete().unwrap();
    // Without new keys the family alone lives longer.
    let renewed = change::image(&present(), "rain", &Change::default(), EXPIRY).unwrap();
    assert_eq!(renewed.documents.len(), 1);
    signed(renewed, &[8, 9]).check_complete().unwrap();
}

#[test]
fn a_change_that_makes_no_sense_is_refused() {
    let present = present();
    let refused = |role: &str, change: Change| change::image(&present, role, &change, EXPIRY).unwrap_err();
    let add = |n: u8| Change { add: public(&[n]), ..Change::default() };
    let remove = |text: &str| Change { remove: vec![text.to_owned()], ..Change::default() };
    let threshold = |n: u64| Change { threshold: Some(n), ..Change::default() };
    assert!(matches!(refused(ROOT, add(1)), DraftError::KnownKey { .. }));
    assert!(matches!(refused(ROOT, remove("nothing!")), DraftError::NoSuchKey { .. }));
    assert!(matches!(refused(ROOT, remove(&id(1)[..3])), DraftError::NoSuchKey { .. }), "three digits are a slip");
    assert!(matches!(refused(ROOT, threshold(4)), DraftError::Threshold { .. }));
    assert!(matches!(refused(ROOT, threshold(0)), DraftError::Threshold { .. }));
    assert!(matches!(refused(TARGETS, remove(&id(4))), DraftError::Threshold { .. }), "no key would be left");
    let two = Change { add: public(&[16]), remove: Vec::new(), threshold: Some(2) };
    assert!(matches!(refused(TIMESTAMP, two), DraftError::Threshold { .. }), "the plane signs with one key");
    assert!(matches!(refused(TIMESTAMP, Change::default()), DraftError::NothingToDo { .. }));
    assert!(matches!(refused("snow", add(20)), DraftError::UnknownRole { .. }));
}

#[test]
fn damaged_files_are_refused_and_never_panic() {
    let draft = signed(first::image(&holders(), EXPIRY).unwrap(), &[1]);
    let bytes = draft.to_bytes().unwrap();
    for cut in (0..bytes.len()).step_by(37) {
        assert!(Draft::parse(&bytes[..cut]).is_err());
    }
    let file = draft.sign(&key(2)).unwrap().to_bytes().unwrap();
    for cut in 0..file.len() - 1 {
        assert!(Signatures::parse(&file[..cut]).is_err(), "cut at {cut}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whoever signs: the ceremony says "enough" exactly when a device would take the new root.
    #[test]
    fn ceremony_and_device_agree(
        old in prop::collection::btree_set(1_u8..9, 1..5),
        new in prop::collection::btree_set(1_u8..9, 1..5),
        old_threshold in 1_u64..4,
        new_threshold in 1_u64..4,
        signers in prop::collection::btree_set(1_u8..9, 0..8),
    ) {
        prop_assume!(old_threshold <= old.len() as u64 && new_threshold <= new.len() as u64);
        let mut holders = holders();
        let old: Vec<u8> = old.into_iter().collect();
        (holders.root, holders.root_threshold) = (public(&old), old_threshold);
        holders.targets = public(&[24]);
        let mut keys = old.clone();
        keys.push(24);
        let first = signed(first::image(&holders, EXPIRY).unwrap(), &keys);
        let bytes = root_of(&first);
        let before = first_root(&bytes, Verifier::STRICT).unwrap();
        let mut next = author::next(&before, EXPIRY.root);
        let new: Vec<u8> = new.into_iter().collect();
        next.set_role(ROOT, &public(&new), new_threshold);
        let documents = vec![Document::unsigned(ROOT, &next).unwrap()];
        let mut draft = Draft::new(Repository::Image, documents, vec![Document::of(ROOT, &bytes).unwrap()]).unwrap();
        for signer in signers {
            match draft.sign(&key(signer)) {
                Ok(file) => draft.attach(&file).unwrap(),
                Err(DraftError::ForeignKey { .. }) => prop_assert!(!old.contains(&signer) && !new.contains(&signer)),
                Err(other) => panic!("{other}"),
            }
        }
        let device = next_root(&before, &root_of(&draft), Verifier::STRICT).is_ok();
        prop_assert_eq!(draft.check_complete().is_ok(), device);
        prop_assert!(!describe(&draft, NOW).unwrap().is_empty());
    }

    /// A draft from a hostile machine: one byte another than it was.
    #[test]
    fn a_changed_draft_is_refused_or_said_in_words(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = changed().to_bytes().unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(draft) = Draft::parse(&bytes) {
            if let Ok(words) = describe(&draft, NOW) {
                prop_assert!(!words.is_empty());
            }
            let _ = (draft.needs(), draft.sign(&key(1)), summary(&draft), draft.check_complete());
        }
    }

    #[test]
    fn no_file_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Draft::parse(&bytes).is_err());
        prop_assert!(Signatures::parse(&bytes).is_err());
    }
}
