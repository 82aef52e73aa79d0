//! A whole mirror: whatever it serves, with every online key stolen, no device accepts what was not released.
use pinnace_protocol::ids::Digest;
use serde_json::Value;

use super::metadata::{WORDS, sign_value};
use crate::fixtures::repository::{Device, Files, RELEASES, SEEN};
use crate::fixtures::{NOW, archive};
use crate::target::{Budget, Form, Target};
use crate::verdict::Verdict;

pub const TARGET: Target = Target {
    name: "repository",
    what: "a mirror's files, refreshed and looked up by a new device and by one that has seen the newest publication",
    form: Form::Text,
    max_bytes: 32 * 1024,
    budget: Budget { base: 512 * 1024, per_byte: 256 },
    cost: 16,
    words: &WORDS,
    run,
    repair: Some(repair),
};

fn run(input: &[u8]) -> Verdict {
    let mirror: Files = archive::read(input).into_iter().map(|(name, bytes)| (name, bytes.to_vec())).collect();
    let (new, seen) = (serve(Device::default(), &mirror), serve(SEEN.clone(), &mirror));
    let word = |outcome: &Verdict| outcome.word.clone();
    let detail = format!("{} / {}", new.detail, seen.detail);
    Verdict { word: format!("new: {}, seen: {}", word(&new), word(&seen)), detail }
}

/// Lets a device look everything up and checks what it believes.
///
/// # Panics
/// When it believes what was not released.
pub fn serve(mut device: Device, mirror: &Files) -> Verdict {
    let mut verdict = Verdict::accepted("nothing");
    for (path, manifest) in RELEASES {
        let before = device.floors();
        match device.look_up(mirror, NOW, path) {
            Ok(Some(target)) => {
                let genuine = (manifest.len() as u64, Some(Digest::of(manifest).0));
                assert_eq!((target.length(), target.sha256()), genuine, "{path} is not what was released");
                assert!(target.check(manifest).is_ok());
                verdict = Verdict::accepted(path);
            }
            Ok(None) => {
                if verdict.word == "accepted" && verdict.detail == "nothing" {
                    verdict = Verdict::refused("unreleased", path);
                }
            }
            Err(fault) => verdict = Verdict::refused(fault.kind(), fault),
        }
        assert_eq!(before.join(&device.floors()), device.floors(), "floors never sink");
    }
    verdict
}

/// Signs one document again with the online key of its role, as a thief of those could: snapshot and timestamp.
fn repair(input: &[u8], choice: u64) -> Option<Vec<u8>> {
    let files = archive::read(input);
    let at = usize::try_from(choice).ok()? % files.len().max(1);
    let mut out: Vec<(&str, Vec<u8>)> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.to_vec())).collect();
    let value: Value = serde_json::from_slice(files.get(at)?.1).ok()?;
    let signed = value.get("signed")?;
    let key = if signed.get("_type").and_then(Value::as_str) == Some("snapshot") { 20 } else { 30 };
    out[at].1 = sign_value(signed, &[key])?;
    Some(archive::write(out.iter().map(|(name, bytes)| (*name, bytes.as_slice()))))
}
