//! `pinnace events`: what happened, in sentences.
use std::time::Duration;

use crate::args::{EventsArgs, Format};
use crate::client::Client;
use crate::output::{self, Failure, line};

/// Time between two looks while following.
const LOOK: Duration = Duration::from_millis(500);
/// Pages read at most before the newest are shown; a page has hundreds of entries.
const PAGES_MAX: usize = 10_000;

/// Runs the command.
pub async fn run(args: EventsArgs) -> Result<(), Failure> {
    let client = Client::new(&args.plane)?;
    let mut newest = Vec::new();
    let mut after = None;
    for _ in 0..PAGES_MAX {
        let page = client.events(after).await?;
        after = page.items.last().map(|e| e.seq).or(after);
        newest.extend(page.items);
        let excess = newest.len().saturating_sub(args.last);
        newest.drain(..excess);
        if page.next.is_none() {
            break;
        }
    }
    let print = |event: &pinnace_controlplane_core::history::EventRecord| {
        if args.plane.output == Format::Json {
            line(serde_json::to_string(event).unwrap_or_default());
        } else {
            line(format!("{}  {}", output::clock(event.at_ms), event.text));
        }
    };
    newest.iter().for_each(print);
    while args.follow {
        tokio::time::sleep(LOOK).await;
        let page = client.events(Some(after.unwrap_or(0))).await?;
        page.items.iter().for_each(print);
        after = page.items.last().map(|e| e.seq).or(after);
    }
    Ok(())
}
