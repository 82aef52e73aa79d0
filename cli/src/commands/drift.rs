//! `pinnace drift`: features against time, in the terminal.
use pinnace_protocol::ids::BundleRef;
use serde_json::Value;

use super::device::bundle_text;
use crate::args::{DriftArgs, Format};
use crate::client::Client;
use crate::output::{self, Failure, line};

/// Intervals shown: a terminal is 80 characters wide.
const COLUMNS_MAX: usize = 24;

/// Runs the command.
pub async fn run(args: DriftArgs) -> Result<(), Failure> {
    let client = Client::new(&args.plane)?;
    let bundle = match args.bundle {
        Some(bundle) => bundle,
        None => newest(&client).await?,
    };
    let name: BundleRef = bundle.parse()?;
    let page = client.get(&format!("/v1/bundles/{}/{}/drift", name.family, name.version)).await?;
    if args.plane.output == Format::Json {
        output::json(&page);
        return Ok(());
    }
    line(format!("{bundle}: {}", page["sentence"].as_str().unwrap_or("")));
    line(page["persistence"].as_str().unwrap_or(""));
    let rows = page["features"].as_array().into_iter().flatten().map(row).collect();
    output::table(
        &["feature", "weight", "newest PSI*", "over time (. calm, w watch, A act)"],
        rows,
        "No rows were counted yet.",
    );
    Ok(())
}

async fn newest(client: &Client) -> Result<String, Failure> {
    let list = client.get("/v1/bundles").await?;
    let items = list.as_array().or_else(|| list["items"].as_array()).cloned().unwrap_or_default();
    let running = items.iter().filter(|b| b["devices"].as_u64().unwrap_or(0) > 0);
    running.max_by_key(|b| b["published_at_ms"].as_u64()).map(|b| bundle_text(&b["bundle"])).ok_or_else(|| {
        Failure::error("no bundle runs anywhere\n  hint: `pinnace bundle ls`, then `pinnace rollout start <bundle>`")
    })
}

fn row(feature: &Value) -> Vec<String> {
    let cells: Vec<&Value> = feature["cells"].as_array().into_iter().flatten().collect();
    let strip: String = cells[cells.len().saturating_sub(COLUMNS_MAX)..]
        .iter()
        .map(|c| match c["level"].as_str() {
            Some("act") => 'A',
            Some("watch") => 'w',
            Some(_) => '.',
            None => ' ',
        })
        .collect();
    let newest = cells.iter().rev().find_map(|c| c["score"].as_f64());
    vec![
        feature["name"].as_str().unwrap_or("").into(),
        format!("{:.0} %", feature["importance"].as_f64().unwrap_or(0.0) * 100.0),
        newest.map_or_else(|| "-".into(), |score| format!("{score:.3}")),
        strip,
    ]
}
