//! Every input of the corpus gets the verdict on record, and the corpus says something about every target.
use std::collections::BTreeSet;
use std::fs;

use pinnace_fuzz::{corpus, targets};

/// Bytes of the whole corpus: it is read by people and travels with the source.
const CORPUS_MAX_BYTES: usize = 1024 * 1024;

#[test]
fn every_input_of_the_corpus_gets_the_verdict_on_record() {
    let (folder, all) = (corpus::in_tree(), targets::all());
    let (now, recorded) = (corpus::judge(&folder, &all).unwrap(), corpus::recorded(&folder).unwrap());
    let built = |key: &str| all.iter().any(|t| key.starts_with(&format!("{}/", t.name)));
    let known = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let known: BTreeSet<String> = known.filter(|name| name != corpus::VERDICTS).collect();
    let mut wrong = Vec::new();
    for (item, word) in &now {
        if recorded.get(item) != Some(word) {
            wrong.push(format!("{item}: now `{word}`, on record {:?}", recorded.get(item)));
        }
    }
    wrong.extend(
        recorded.keys().filter(|key| built(key) && !now.contains_key(*key)).map(|key| format!("{key} is gone")),
    );
    let folders = recorded.keys().filter_map(|key| key.split_once('/')).map(|(target, _)| target.to_owned());
    assert_eq!(folders.collect::<BTreeSet<_>>(), known, "every folder is a target's");
    assert!(
        wrong.is_empty(),
        "judgement has changed; if that is meant, run `pinnace-fuzz record`:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn the_corpus_of_every_target_has_sound_and_refused_inputs() {
    let recorded = corpus::recorded(&corpus::in_tree()).unwrap();
    for target in targets::all() {
        let words: Vec<&String> =
            recorded.iter().filter(|(key, _)| key.starts_with(&format!("{}/", target.name))).map(|(_, w)| w).collect();
        let refused = words.iter().filter(|w| w.contains("refused")).count();
        let taken = words.iter().filter(|w| !w.starts_with("refused")).count();
        assert!(refused > 0 && taken > 0, "{}: {taken} taken, {refused} refused", target.name);
    }
}

#[test]
fn the_corpus_is_small() {
    let mut total = 0;
    for target in targets::all() {
        total += corpus::load(&corpus::in_tree(), target.name).unwrap().iter().map(|i| i.bytes.len()).sum::<usize>();
    }
    assert!((1..CORPUS_MAX_BYTES).contains(&total), "{total} bytes");
}
