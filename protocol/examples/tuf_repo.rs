//! Writes a complete image repository into a directory, for other TUF clients to read.
//!
//! ```sh
//! cargo run -p pinnace-protocol --example tuf_repo -- /tmp/repo
//! python tests/python/tuf_accepts.py /tmp/repo
//! ```
//! The keys are made from fixed seeds: this shows the format and is no repository to trust.

use std::error::Error;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use pinnace_protocol::trust::author::{self, publish, sign};
use pinnace_protocol::trust::names::target_name;
use pinnace_protocol::trust::{Root, Signer, SigningKey, TargetFile, Targets, TufKey};
use serde_json::json;

const DAY: u64 = 86_400;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args().nth(1).ok_or("usage: tuf_repo DIRECTORY")?;
    let (metadata, targets_dir) = (Path::new(&directory).join("metadata"), Path::new(&directory).join("targets"));
    std::fs::create_dir_all(&metadata)?;
    std::fs::create_dir_all(&targets_dir)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let [r1, r2, r3, offline, snapshot, timestamp, rotated, trainer, approver] =
        std::array::from_fn(|index| SigningKey::from_seed([index as u8 + 1; 32]));
    let public = |keys: &[&SigningKey]| -> Vec<TufKey> { keys.iter().map(|key| key.key()).collect() };

    let root = Root::new(
        1,
        now + 365 * DAY,
        &[
            ("root", &public(&[&r1, &r2, &r3]), 2),
            ("targets", &public(&[&offline]), 1),
            ("snapshot", &public(&[&snapshot]), 1),
            ("timestamp", &public(&[&timestamp]), 1),
        ],
    );
    std::fs::write(metadata.join("1.root.json"), sign(&root, &[&r1, &r2])?)?;
    // A second root, signed on two machines: readers have to follow the chain and count detached signatures.
    let mut root = author::next(&root, now + 365 * DAY);
    root.set_role("timestamp", &public(&[&rotated]), 1);
    let draft = sign(&root, &[])?;
    let signed = author::attach(&draft, author::detach(&draft, &r1)?)?;
    std::fs::write(metadata.join("2.root.json"), author::attach(&signed, author::detach(&draft, &r3)?)?)?;

    let mut top = Targets::new(1, now + 90 * DAY);
    top.delegate("shuttle", &public(&[&trainer, &approver]), 2, &["shuttle-*", "blobs/*"], true);
    top.extra.insert("x-note".into(), "unknown fields are signed too: \"é\" \\ \n".into());
    let mut family = Targets::new(1, now + 90 * DAY);
    let mut previous: Option<author::Published> = None;
    for release in 1..=2u64 {
        let manifest = format!("{{\"model\":\"shuttle\",\"release\":{release}}}").into_bytes();
        let blob: Vec<u8> = (0..100_000u32).map(|index| (index * 31 + release as u32) as u8).collect();
        let custom = json!({ "hardware_ids": ["pi4"], "release_counter": release, "model": "shuttle" });
        if release > 1 {
            family = author::next(&family, now + 90 * DAY);
        }
        for (path, bytes, custom) in
            [(format!("shuttle-{release}"), manifest, Some(custom)), (format!("blobs/weights-{release}"), blob, None)]
        {
            let file = TargetFile::of(&bytes, custom);
            let name = targets_dir.join(target_name(&path, file.sha256().as_ref()));
            std::fs::create_dir_all(name.parent().unwrap_or(&targets_dir))?;
            std::fs::write(name, &bytes)?;
            family.targets.insert(path, file);
        }
        let published = publish(
            previous.as_ref().map(|old| (&old.snapshot, &old.timestamp)),
            &[("targets", &sign(&top, &[&offline])?), ("shuttle", &sign(&family, &[&trainer, &approver])?)],
            (&snapshot, now + 7 * DAY),
            (&rotated, now + DAY),
        )?;
        for (name, bytes) in &published.files {
            std::fs::write(metadata.join(name), bytes)?;
        }
        previous = Some(published);
    }
    println!("{directory}");
    Ok(())
}
