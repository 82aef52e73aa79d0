//! `pinnace events`: what happened, in sentences.
use std::time::Duration;

use pinnace_controlplane_core::history::EventRecord;

use crate::args::{EventsArgs, Format};
use crate::client::Client;
use crate::output::{self, Failure, line};

/// Time between two looks while following.
const LOOK: Duration = Duration::from_millis(500);

/// Runs the command.
pub async fn run(args: EventsArgs) -> Result<(), Failure> {
    let client = Client::new(&args.plane)?;
    let print = |event: &EventRecord| {
        if args.plane.output == Format::Json {
            line(serde_json::to_string(event).unwrap_or_default());
        } else {
            line(format!("{}  {}", output::clock(event.at_ms), event.text));
        }
    };
    let newest = client.newest_events(args.last).await?;
    newest.items.iter().for_each(print);
    let mut after = newest.items.last().map(|e| e.seq);
    if !args.follow {
        return Ok(());
    }
    loop {
        tokio::time::sleep(LOOK).await;
        let page = match after {
            Some(after) => client.events(Some(after)).await?,
            None => client.newest_events(args.last).await?,
        };
        page.items.iter().for_each(print);
        after = page.items.last().map(|e| e.seq).or(after);
    }
}
