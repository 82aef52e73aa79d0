//! Changes to a JSON document that leave it one; looks into strings that hold JSON themselves.
use serde_json::{Map, Value};

use super::bytes;
use crate::limits::TREE_NODES_MAX;
use crate::rng::Rng;

/// Returns the document with one branch changed; `None` when the bytes are no JSON.
pub fn mutate(input: &[u8], other: &[u8], words: &[&str], rng: &mut Rng) -> Option<Vec<u8>> {
    let mut value: Value = serde_json::from_slice(input).ok()?;
    change_one(&mut value, other, words, rng);
    serde_json::to_vec(&value).ok()
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(map) => map.values().map(count).sum(),
        _ => 0,
    }
}

/// Calls `work` on the branch with number `index`, counted from 0 in order of reading.
fn at<'v>(value: &'v mut Value, index: &mut usize) -> Option<&'v mut Value> {
    if *index == 0 {
        return Some(value);
    }
    *index -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| at(item, index)),
        Value::Object(map) => map.values_mut().find_map(|item| at(item, index)),
        _ => None,
    }
}

fn random<'v>(value: &'v mut Value, rng: &mut Rng) -> Option<&'v mut Value> {
    let mut index = rng.index(count(value).min(TREE_NODES_MAX));
    at(value, &mut index)
}

fn change_one(root: &mut Value, other: &[u8], words: &[&str], rng: &mut Rng) {
    let donor = rng.one_in(2).then(|| random(root, rng).map(|v| v.clone())).flatten();
    let foreign = || serde_json::from_slice::<Value>(other).ok();
    let Some(value) = random(root, rng) else { return };
    // A document within a string: the director's message is made of them.
    if let Value::String(text) = value
        && !rng.one_in(4)
        && let Ok(mut inner @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(text)
    {
        change_one(&mut inner, b"", words, rng);
        *text = inner.to_string();
        return;
    }
    match rng.below(8) {
        0 => *value = plain(words, rng),
        1 if donor.is_some() => *value = donor.unwrap_or_default(),
        2 => {
            if let Some(mut foreign) = foreign() {
                *value = random(&mut foreign, rng).map(|v| v.clone()).unwrap_or_default();
            }
        }
        3 => {
            let (deep, list) = (1 + rng.length(64), rng.one_in(2));
            let mut inner = std::mem::take(value);
            for _ in 0..deep {
                inner =
                    if list { Value::Array(vec![inner]) } else { Value::Object(Map::from_iter([("a".into(), inner)])) };
            }
            *value = inner;
        }
        _ => inside(value, words, rng),
    }
}

/// Changes a branch where it stands.
fn inside(value: &mut Value, words: &[&str], rng: &mut Rng) {
    match value {
        Value::Null | Value::Bool(_) => *value = plain(words, rng),
        Value::Number(number) => {
            let old = number.as_u64().unwrap_or(0);
            *value = match rng.below(4) {
                0 => old.wrapping_add(1).into(),
                1 => old.wrapping_sub(1).into(),
                2 => bytes::edge(rng).into(),
                _ => (bytes::edge(rng) as i64).into(),
            };
        }
        Value::String(text) => {
            if rng.one_in(3) && !words.is_empty() {
                *text = (*rng.pick(words)).to_owned();
            } else {
                let mut raw = std::mem::take(text).into_bytes();
                bytes::mutate(&mut raw, b"", words, rng);
                *text = String::from_utf8_lossy(&raw).into_owned();
            }
        }
        Value::Array(items) if items.is_empty() => items.push(plain(words, rng)),
        Value::Array(items) => {
            let at = rng.index(items.len());
            match rng.below(4) {
                0 => drop(items.remove(at)),
                1 => items.swap(at, 0),
                2 => items.push(plain(words, rng)),
                _ => {
                    let item = items[at].clone();
                    let many = 1 + rng.length(40);
                    items.extend(std::iter::repeat_n(item, many));
                }
            }
        }
        Value::Object(map) => {
            let key = map.keys().nth(rng.index(map.len())).cloned();
            match (rng.below(4), key) {
                (0, Some(key)) => drop(map.remove(&key)),
                (1, Some(key)) => {
                    let item = map.remove(&key).unwrap_or_default();
                    map.insert(name(words, rng), item);
                }
                (2, Some(key)) => {
                    let item = map.get(&key).cloned().unwrap_or_default();
                    map.insert(name(words, rng), item);
                }
                _ => drop(map.insert(name(words, rng), plain(words, rng))),
            }
        }
    }
}

fn name(words: &[&str], rng: &mut Rng) -> String {
    if words.is_empty() || rng.one_in(4) { format!("k{}", rng.below(100)) } else { (*rng.pick(words)).to_owned() }
}

fn plain(words: &[&str], rng: &mut Rng) -> Value {
    match rng.below(8) {
        0 => Value::Null,
        1 => rng.one_in(2).into(),
        2 => bytes::edge(rng).into(),
        3 => (bytes::edge(rng) as i64).into(),
        4 => Value::Array(Vec::new()),
        5 => Value::Object(Map::new()),
        6 => "\u{0}é\u{1F600}\\\"/../".repeat(rng.length(20)).into(),
        _ => name(words, rng).into(),
    }
}
