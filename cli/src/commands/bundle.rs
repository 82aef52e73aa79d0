//! `pinnace bundle`: what was published, what a folder holds, and what third parties may know of it.
use std::path::Path;

use pinnace_protocol::manifest::Role;
use pinnace_trainer::bundle::Bundle;
use pinnace_trainer::limits::MAX_KEY_BYTES;
use pinnace_trainer::supply::key::PublicKey;
use pinnace_trainer::supply::{KEY_FILE, SIGNATURE_FILE, folder};

use super::device::bundle_text;
use super::export::export;
use super::publish::sign_folder;
use crate::args::{BundleCommand, Format};
use crate::client::Client;
use crate::output::{self, Failure, line};

/// Runs the command.
pub async fn run(command: BundleCommand) -> Result<(), Failure> {
    match command {
        BundleCommand::Ls { plane } => {
            let list = Client::new(&plane)?.get("/v1/bundles").await?;
            if plane.output == Format::Json {
                output::json(&list);
                return Ok(());
            }
            let items = list.as_array().or_else(|| list["items"].as_array());
            let rows = items
                .into_iter()
                .flatten()
                .map(|b| {
                    let number = |key: &str| b[key].as_u64().unwrap_or(0).to_string();
                    let state = if !b["retrain_at_ms"].is_null() {
                        "drifted"
                    } else if !b["proven_at_ms"].is_null() {
                        "proven"
                    } else {
                        "published"
                    };
                    vec![bundle_text(&b["bundle"]), state.into(), number("devices"), number("rows")]
                })
                .collect();
            output::table(
                &["bundle", "state", "devices", "rows seen"],
                rows,
                "No bundles yet. Next: pinnace train, then pinnace publish",
            );
        }
        BundleCommand::Inspect { dir } => {
            let bundle = Bundle::load(&dir)?;
            let m = &bundle.manifest;
            line(format!(
                "{} (release {}): {} features, classes {:?}, every blob matches the manifest",
                m.bundle_ref(),
                m.release_counter,
                m.signature.features.len(),
                m.signature.classes
            ));
            let rows = m
                .blobs
                .iter()
                .map(|b| vec![b.name.clone(), b.length.to_string(), b.layout().count().to_string(), b.sha256.short()])
                .collect();
            output::table(&["blob", "bytes", "chunks", "sha256"], rows, "");
        }
        BundleCommand::Lint(args) => tokio::task::block_in_place(|| super::lint::run(&args))?,
        BundleCommand::Sign { dir, keys } => {
            let bundle = sign_folder(&dir, &keys)?;
            line(format!("Signed {} for third parties.", bundle.manifest.bundle_ref()));
            next(&bundle, &dir)?;
        }
        BundleCommand::Export { bundle, dir, root, plane } => {
            let root = root.map(std::fs::read).transpose()?;
            let given = root.is_some();
            let bundle = export(&Client::new(&plane)?, &bundle.parse()?, root, &dir).await?;
            line(format!(
                "Exported {} to {}: {} files, as the release says.",
                bundle.manifest.bundle_ref(),
                dir.display(),
                bundle.contents.len() + 1
            ));
            if !given {
                line("Checked from what this control plane calls its root; name the owner's with --root.");
            }
            next(&bundle, &dir)?;
        }
        BundleCommand::Verify { dir, key } => {
            let verified = folder::verify(&dir, &public_key(&key)?)?;
            line(format!(
                "{}: {} files are as the trainer signed them; built by {} on {}; bill of materials {}",
                verified.model, verified.files, verified.builder, verified.finished, verified.bom
            ));
        }
    }
    Ok(())
}

/// Says how the bundle in `dir` is checked, and by which key.
fn next(bundle: &Bundle, dir: &Path) -> Result<(), Failure> {
    let Some(key) = bundle.content(Role::SigningKey) else {
        line("It was published without a model signature; its release alone vouches for it.");
        return Ok(());
    };
    let dir = dir.display();
    line(format!("Key SHA-256 {}, for third parties to compare", PublicKey::from_pem(key)?.fingerprint()));
    line(format!("Next: pinnace bundle verify {dir} --key KEY.pem, with the publisher's copy of {dir}/{KEY_FILE}"));
    line(format!("  or: model_signing verify key {dir} --signature {dir}/{SIGNATURE_FILE} --public_key KEY.pem"));
    Ok(())
}

fn public_key(path: &Path) -> Result<PublicKey, Failure> {
    let failed = |why: String| {
        Failure::error(format!("{}: {why}\n  hint: name the publisher's public key, a PEM file", path.display()))
    };
    let length = std::fs::metadata(path).map_err(|e| failed(e.to_string()))?.len();
    if length > MAX_KEY_BYTES as u64 {
        return Err(failed(format!("{length} bytes are no key")));
    }
    Ok(PublicKey::from_pem(&std::fs::read(path).map_err(|e| failed(e.to_string()))?)?)
}
