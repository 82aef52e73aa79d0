//! `pinnace bundle`: what was published, and what a folder holds.
use pinnace_trainer::bundle::Bundle;

use super::device::bundle_text;
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
                .map(|b| vec![b.name.clone(), b.length.to_string(), b.chunk_count().to_string(), b.sha256.short()])
                .collect();
            output::table(&["blob", "bytes", "chunks", "sha256"], rows, "");
        }
    }
    Ok(())
}
