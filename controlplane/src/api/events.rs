//! The history: pages, and a live stream that can be taken up again where it broke.
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, stream};
use pinnace_controlplane_core::history::EventRecord;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, broadcast};

use super::problem::Problem;
use super::store_problem;
use super::types::EventPage;
use crate::limits::{EVENT_KEEP_ALIVE_S, PAGE_DEFAULT, PAGE_MAX};
use crate::state::AppState;

/// Which part of the history.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventQuery {
    /// The sequence number after which the page begins; without it, the page is the newest one.
    after: Option<u64>,
    /// Entries of the page.
    limit: Option<usize>,
}

pub(super) async fn list(
    State(state): State<AppState>,
    Query(query): Query<EventQuery>,
) -> Result<Json<EventPage>, Problem> {
    let limit = query.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
    let items = match query.after {
        Some(after) => state.events_after(Some(after), limit).await,
        None => state.events_newest(limit).await,
    };
    let items = items.map_err(store_problem)?;
    let next = (query.after.is_some() && items.len() == limit).then(|| items.last().map(|e| e.seq)).flatten();
    Ok(Json(EventPage { items, next }))
}

/// Streams entries as they become durable. With `Last-Event-ID` (or `?after=`), everything after that entry comes first.
pub(super) async fn stream(
    State(state): State<AppState>,
    Query(query): Query<EventQuery>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let permit = state.streams.clone().try_acquire_owned().map_err(|_| {
        Problem::unavailable(
            "too many listeners of the event stream\n  hint: close some dashboards, or poll /v1/events",
        )
    })?;
    let last = headers.get("last-event-id").and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok()).or(query.after);
    // Subscribed before anything is read, so that nothing falls between.
    let live = state.events.subscribe();
    let last = match last {
        Some(seq) => Some(seq),
        None => state.events_newest(1).await.map_err(store_problem)?.last().map(|e| e.seq),
    };
    let tail = Tail { state, live, last, waiting: VecDeque::new(), behind: true, _permit: permit };
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(EVENT_KEEP_ALIVE_S));
    Ok(Sse::new(stream::unfold(tail, Tail::next)).keep_alive(keep_alive))
}

/// A listener: reads from the store while it is behind, then from the live channel.
struct Tail {
    state: AppState,
    live: broadcast::Receiver<Arc<EventRecord>>,
    /// The last entry sent; `None` before the first ever.
    last: Option<u64>,
    waiting: VecDeque<EventRecord>,
    behind: bool,
    _permit: OwnedSemaphorePermit,
}

impl Tail {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            if let Some(record) = self.waiting.pop_front() {
                if self.last.is_some_and(|last| record.seq <= last) {
                    continue;
                }
                self.last = Some(record.seq);
                let event = Event::default().id(record.seq.to_string());
                // A record of plain data always serialises.
                let event = event.json_data(&record).unwrap_or_default();
                return Some((Ok(event), self));
            }
            if self.behind {
                match self.state.events_after(self.last, PAGE_MAX).await {
                    Ok(records) => {
                        self.behind = records.len() == PAGE_MAX;
                        self.waiting = records.into();
                    }
                    Err(error) => {
                        tracing::error!(%error, "the event stream cannot be read");
                        return None;
                    }
                }
                continue;
            }
            let received = tokio::select! {
                () = self.state.stop.cancelled() => return None,
                received = self.live.recv() => received,
            };
            match received {
                Ok(record) => self.waiting.push_back(record.as_ref().clone()),
                // Too slow for the channel: what was missed is in the store.
                Err(broadcast::error::RecvError::Lagged(_)) => self.behind = true,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}
