//! The real dashboard on a simulated fleet.
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use futures_util::stream;
use pinnace_controlplane::api::problem::Problem;
use pinnace_controlplane::api::types::{HealthReply, StatsReply};
use pinnace_controlplane::ui::{self, Release, Source};
use pinnace_controlplane_core::Steward;
use pinnace_controlplane_core::history::EventRecord;
use pinnace_controlplane_core::views::{BundleCell, DevicePage, DriftPage, FleetPage, RolloutCell, RolloutPage};
use pinnace_protocol::ids::{BundleRef, DeviceId, RolloutId, TenantId};
use pinnace_simulator::{Case, Moment, Simulation};
use tokio::sync::oneshot;

use super::args::ServeArgs;
use super::{options, unusable};
use crate::output::{Failure, line};

/// Real time between two steps of the simulation.
const STEP: Duration = Duration::from_millis(50);
/// Requests that wait for the simulation; a browser asks for a handful at a time.
const WAITING_MAX: usize = 256;
/// The policy that the control plane sets on every page.
const CSP: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; \
                   frame-ancestors 'none'";

type Question = Box<dyn FnOnce(&Simulation) + Send>;

/// The simulation lives in a thread of its own; pages ask it.
#[derive(Clone)]
struct Watched {
    ask: SyncSender<Question>,
}

/// `pinnace sim serve`.
pub async fn run(args: ServeArgs) -> Result<(), Failure> {
    let options = options(&args.fleet)?;
    let wrong =
        || unusable(format!("`{}` is no speed\n  hint: e.g. 60x: an hour in a minute", args.speed.escape_debug()));
    let speed: u64 = args.speed.trim_end_matches('x').parse().map_err(|_| wrong())?;
    if speed == 0 {
        return Err(wrong());
    }
    let (ask, questions) = sync_channel(WAITING_MAX);
    let case = Case::draw(&options);
    std::thread::spawn(move || simulate(&case, speed, &questions));
    let app = Router::new()
        .route(
            "/v1/events/stream",
            get(|| async { Sse::new(stream::pending::<Result<Event, Infallible>>()).keep_alive(KeepAlive::new()) }),
        )
        .merge(ui::routes(Watched { ask }))
        .layer(tower_http::set_header::SetResponseHeaderLayer::overriding(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(CSP),
        ));
    let listener = tokio::net::TcpListener::bind(args.listen).await.map_err(|e| {
        Failure::error(format!("{} cannot be used: {e}\n  hint: choose another address with --listen", args.listen))
    })?;
    let address = listener.local_addr().unwrap_or(args.listen);
    line(format!(
        "{} simulated devices, {speed} virtual seconds in one: http://{address}/ (Ctrl-C ends it)",
        args.fleet.devices
    ));
    let stop = async {
        // Without a signal handler the default ends the program as well.
        _ = tokio::signal::ctrl_c().await;
    };
    axum::serve(listener, app).with_graceful_shutdown(stop).await.map_err(|e| Failure::error(e.to_string()))
}

/// Lets virtual time follow real time, and answers questions in between.
fn simulate(case: &Case, speed: u64, questions: &Receiver<Question>) {
    let mut simulation = Simulation::new(case);
    let (started, mut goes_on) = (Instant::now(), true);
    loop {
        if goes_on {
            let real_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            goes_on = simulation.advance(Moment(real_ms.saturating_mul(speed)));
        }
        match questions.recv_timeout(STEP) {
            Ok(question) => {
                question(&simulation);
                questions.try_iter().take(WAITING_MAX).for_each(|question| question(&simulation));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

impl Watched {
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Simulation) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let (answer, waits) = oneshot::channel();
        let asked: Question = Box::new(move |simulation| {
            // Whoever asked may have gone.
            _ = answer.send(question(simulation));
        });
        self.ask.try_send(asked).map_err(|e| match e {
            TrySendError::Full(_) => {
                Problem::unavailable("the simulation is busy\n  hint: load the page again, or choose a lower --speed")
            }
            TrySendError::Disconnected(_) => Problem::unavailable("the simulation has ended\n  hint: start it again"),
        })?;
        waits.await.map_err(|_| Problem::unavailable("the simulation has ended\n  hint: start it again"))
    }

    async fn steward<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Steward) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let down =
            "the simulated control plane is down at this moment\n  hint: it comes back by itself; load the page again";
        self.ask(|simulation| simulation.steward().map(question)).await?.ok_or_else(|| Problem::unavailable(down))
    }
}

impl Source for Watched {
    async fn fleet(&self) -> Result<Arc<FleetPage>, Problem> {
        self.steward(|s| Arc::new(s.fleet())).await
    }

    async fn device(&self, id: &DeviceId) -> Result<Option<DevicePage>, Problem> {
        let id = id.clone();
        self.steward(move |s| s.device(&id)).await
    }

    async fn rollouts(&self) -> Result<Vec<RolloutCell>, Problem> {
        self.steward(Steward::rollouts).await
    }

    async fn rollout(&self, id: &RolloutId) -> Result<Option<RolloutPage>, Problem> {
        let id = id.clone();
        self.steward(move |s| s.rollout(&id)).await
    }

    async fn bundles(&self) -> Result<Vec<BundleCell>, Problem> {
        self.steward(Steward::bundles).await
    }

    async fn release(&self, bundle: &BundleCell) -> Release {
        let version = bundle.bundle.version;
        match self.ask(move |simulation| simulation.release(version)).await {
            Ok(Some((manifest, card))) => Release { manifest: Some(manifest), card: Some(card) },
            Ok(None) | Err(_) => Release::default(),
        }
    }

    async fn drift(&self, bundle: &BundleRef) -> Result<Option<DriftPage>, Problem> {
        let bundle = bundle.clone();
        self.steward(move |s| s.drift(&bundle)).await
    }

    async fn events(&self, before: Option<u64>, limit: usize) -> Result<Vec<EventRecord>, Problem> {
        self.steward(move |s| s.events(before, limit)).await
    }

    fn health(&self) -> HealthReply {
        HealthReply {
            healthy: true,
            tenant: TenantId::parse("sim").unwrap_or_else(|_| unreachable!("`sim` is an identifier")),
            version: format!("{} (simulated)", env!("CARGO_PKG_VERSION")),
            development_keys: false,
            broker_connected: true,
            roles: Vec::new(),
            complaints: Vec::new(),
        }
    }

    fn stats(&self) -> StatsReply {
        StatsReply::default()
    }
}
