//! `pinnace demo`: the whole loop on one machine, with real processes and real weather.
//!
//! Train on five years, sign, bring up control plane and stations, roll out in waves, stream the following years,
//! see drift, retrain, roll out again, publish a model trained after a schema change upstream, see it stopped at the
//! canary and taken back. Every sentence it prints is a decision that the control plane recorded.
pub mod process;
mod story;
mod weather;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pinnace_controlplane::api::types::CreateRollout;
use pinnace_controlplane_core::history::EventKind;
use pinnace_controlplane_core::policy::RolloutPolicy;
use pinnace_protocol::ids::{BundleRef, DeviceId, Family};
use pinnace_protocol::manifest::TrialPolicy;
use pinnace_trainer::data::Dataset;
use pinnace_trainer::learn::Params;
use tokio::sync::mpsc;

use crate::args::DemoArgs;
use crate::client::{ADMIN_TOKEN_FILE, Client};
use crate::commands::asked_to_stop;
use crate::commands::publish::{all_hardware, publish};
use crate::commands::train::{Recipe, quality, train};
use crate::output::{Failure, line};
use process::Supervisor;
use story::Story;

/// Days that the whole fleet streams in a second: years pass in minutes.
const DAYS_PER_SECOND: u32 = 160;
/// Rows of one window of one station.
const WINDOW_ROWS: u32 = 32;
/// Windows of each station that make one interval.
const INTERVAL_WINDOWS: u32 = 2;
/// Rows of a block when thresholds are set. Five years hold too few blocks of an interval's size to learn from, and the
/// last of them drift already; more than half of the reference means that the design's floors apply.
const BLOCK_ROWS: u32 = 1000;
/// Family of the models.
const FAMILY: &str = "rain";
/// Longest wait for a start.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Longest wait for a rollout or for drift.
const STEP_LIMIT: Duration = Duration::from_secs(150);

/// Runs the demo.
pub async fn run(args: DemoArgs) -> Result<(), Failure> {
    let home = Home::prepare(args.data.as_deref())?;
    let (died_tx, died_rx) = std::sync::mpsc::channel();
    let supervisor = Supervisor::new(&home.dir.join("logs"), died_tx)?;
    let mut demo = Demo { supervisor, home, http: free(args.http), devices: args.devices, started: Instant::now() };
    let (died, inbox) = mpsc::unbounded_channel();
    // From the keepers' threads into the runtime.
    std::thread::spawn(move || died_rx.into_iter().try_for_each(|d| died.send(d)));

    let mut ended = std::pin::pin!(asked_to_stop());
    let told = tokio::select! {
        told = demo.tell(inbox) => Some(told),
        () = &mut ended => None,
    };
    let result = match told {
        None => Err(Failure::error("the demo was interrupted before its end")),
        Some(Err(failure)) => Err(failure),
        Some(Ok(())) => {
            if !args.exit {
                line(format!("\nEverything goes on: look around at http://{}/ and press Ctrl-C to end it.", demo.http));
                line(format!(
                    "For other commands: export PINNACE_URL=http://{} PINNACE_DATA={}",
                    demo.http,
                    demo.plane_dir().display()
                ));
                ended.await;
            }
            Ok(())
        }
    };
    let Demo { supervisor, home, .. } = demo;
    tokio::task::block_in_place(|| supervisor.stop());
    if result.is_err() {
        home.keep();
    }
    result
}

/// Returns `wanted` when it is free, else a free port beside it.
fn free(wanted: SocketAddr) -> SocketAddr {
    let bound = TcpListener::bind(wanted).or_else(|_| TcpListener::bind((wanted.ip(), 0)));
    bound.and_then(|l| l.local_addr()).unwrap_or(wanted)
}

/// The demo's folder; a temporary one goes away with it.
struct Home {
    dir: PathBuf,
    temporary: bool,
}

impl Home {
    fn prepare(data: Option<&Path>) -> Result<Self, Failure> {
        let temporary = data.is_none();
        let dir = match data {
            Some(dir) => dir.to_path_buf(),
            None => std::env::temp_dir().join(format!("pinnace-demo-{}", std::process::id())),
        };
        std::fs::create_dir_all(&dir)?;
        if std::fs::read_dir(&dir)?.next().is_some() {
            return Err(Failure::error(format!(
                "{} is not empty\n  hint: name a new folder with --data, or leave it out",
                dir.display()
            )));
        }
        Ok(Self { dir: std::path::absolute(&dir)?, temporary })
    }

    /// Leaves the folder for people to look into.
    fn keep(mut self) {
        if self.temporary {
            line(format!("Logs are kept in {}.", self.dir.join("logs").display()));
        }
        self.temporary = false;
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.temporary {
            // What cannot be removed lies in the system's temporary folder.
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

struct Demo {
    supervisor: Supervisor,
    home: Home,
    http: SocketAddr,
    devices: u32,
    started: Instant,
}

impl Demo {
    fn plane_dir(&self) -> PathBuf {
        self.home.dir.join("plane")
    }

    async fn tell(&mut self, died: mpsc::UnboundedReceiver<process::Died>) -> Result<(), Failure> {
        line(format!("Pinnace demo: {} weather stations, 50 years of daily weather, one control plane.", self.devices));
        let data = weather::write(&self.home.dir)?;
        self.start_plane();
        let first = self.train(1, &weather::until(weather::FIRST_DAYS)?)?;

        // The token file appears when the plane is up.
        let mut story = Story::new(Client::at(&format!("http://{}", self.http), None)?, died, self.started);
        story.healthy(START_LIMIT).await?;
        let token = std::fs::read_to_string(self.plane_dir().join(ADMIN_TOKEN_FILE))?;
        let client = Client::at(&format!("http://{}", self.http), Some(token.trim().into()))?;
        story.tell(&format!("The control plane is up; dashboard: http://{}/", self.http));
        story.tell(&first.1);

        self.start_stations(&client, &data).await?;
        let devices = u64::from(self.devices);
        story
            .until_page("all stations to join", START_LIMIT, "/v1/devices", |page| {
                page["devices"]
                    .as_array()
                    .is_some_and(|d| d.iter().filter(|d| d["seen_at_ms"].as_u64() > Some(0)).count() as u64 == devices)
            })
            .await?;
        story.tell(&format!("{} stations have joined, each with its own certificate.", self.devices));

        let v1 = self.publish(&client, &first.0).await?;
        self.roll_out(&client, &mut story, &v1, true).await?;

        story.tell("The stations predict rain, day after day, through the years that follow.");
        story
            .until("drift in wind and visibility", STEP_LIMIT, |e| {
                e.kind == EventKind::Drift && e.text.contains("wind") && e.text.contains("visibility")
            })
            .await?;
        story.until("the wish to retrain", STEP_LIMIT, |e| e.kind == EventKind::RetrainWanted).await?;

        let days = self.days_so_far(&client).await?;
        let second = self.train(2, &weather::until(days)?)?;
        story.tell(&second.1);
        let v2 = self.publish(&client, &second.0).await?;
        self.roll_out(&client, &mut story, &v2, true).await?;

        let days = self.days_so_far(&client).await?;
        let (a, b) = weather::SWAPPED;
        let third = self.train(3, &weather::swapped(days)?)?;
        story.tell(&format!(
            "Upstream, `{a}` and `{b}` were swapped, and nobody noticed: on its own data the next model looks fine. {}",
            third.1
        ));
        let v3 = self.publish(&client, &third.0).await?;
        self.roll_out(&client, &mut story, &v3, false).await?;
        story
            .until_page("every station to be back on the good model", STEP_LIMIT, "/v1/devices", |page| {
                let good =
                    |d: &serde_json::Value| crate::commands::device::bundle_text(&d["running"]) == v2.to_string();
                page["devices"].as_array().is_some_and(|d| d.iter().filter(|d| good(d)).count() as u64 == devices)
            })
            .await?;
        story.tell(&format!("All {} stations run {v2}. The loop is closed.", self.devices));
        Ok(())
    }

    fn start_plane(&mut self) {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        // Chosen once: devices know the addresses, so a plane that is killed must come back at the same ones.
        let args = [
            "up".into(),
            "--data".into(),
            self.plane_dir().display().to_string(),
            "--http".into(),
            self.http.to_string(),
            "--https".into(),
            free(loopback).to_string(),
            "--mqtt".into(),
            free(loopback).to_string(),
            "--interval-windows".into(),
            INTERVAL_WINDOWS.to_string(),
            "--interval-rows".into(),
            (INTERVAL_WINDOWS * WINDOW_ROWS * self.devices * 3 / 4).to_string(),
        ];
        self.supervisor.start("control-plane", &args);
    }

    async fn start_stations(&mut self, client: &Client, data: &Path) -> Result<(), Failure> {
        for index in 0..self.devices {
            let name = format!("station-{}", index + 1);
            let invite = client.invite_one(DeviceId::parse(&name)?).await?;
            let rate = f64::from(DAYS_PER_SECOND) / f64::from(self.devices);
            let text = |s: &str| s.to_string();
            let args = [
                text("agent"),
                text("run"),
                text("--home"),
                self.home.dir.join(&name).display().to_string(),
                text("--join"),
                invite.token,
                text("--device"),
                name.clone(),
                text("--profile"),
                text("x86-gateway"),
                text("--label"),
                format!("site={}", if index % 2 == 0 { "north" } else { "south" }),
                text("--listen"),
                text("127.0.0.1:0"),
                text("--window-rows"),
                WINDOW_ROWS.to_string(),
                text("--window-seconds"),
                text("20"),
                text("--heartbeat"),
                text("5"),
                text("--source"),
                data.display().to_string(),
                text("--skip"),
                weather::FIRST_DAYS.to_string(),
                text("--stride"),
                self.devices.to_string(),
                text("--offset"),
                index.to_string(),
                text("--rate"),
                rate.to_string(),
                text("--label-column"),
                text(weather::LABEL),
            ];
            self.supervisor.start(&name, &args);
        }
        Ok(())
    }

    fn train(&self, version: u64, data: &Dataset) -> Result<(pinnace_trainer::bundle::Bundle, String), Failure> {
        let recipe = Recipe {
            family: Family::parse(FAMILY)?,
            version,
            params: Params::boosting(),
            block_rows: BLOCK_ROWS,
            source: weather::SOURCE.into(),
            source_digest: weather::digest(),
        };
        let outcome = tokio::task::block_in_place(|| train(data, &recipe, false))?;
        let sentence =
            format!("Trained {FAMILY}/v{version} on {} days: {}.", data.rows(), quality(&outcome.evaluation));
        outcome.bundle.save(&self.home.dir.join("bundles").join(format!("v{version}")))?;
        Ok((outcome.bundle, sentence))
    }

    async fn publish(&self, client: &Client, bundle: &pinnace_trainer::bundle::Bundle) -> Result<BundleRef, Failure> {
        publish(client, bundle, &self.plane_dir().join("keys"), &all_hardware()).await
    }

    /// Rolls a bundle out and waits for the end that is expected.
    async fn roll_out(
        &self,
        client: &Client,
        story: &mut Story,
        bundle: &BundleRef,
        good: bool,
    ) -> Result<(), Failure> {
        let policy = RolloutPolicy {
            trial: TrialPolicy { inferences: 120, deadline_s: 60, p95_us: 500_000, ..TrialPolicy::default() },
            ..RolloutPolicy::demo()
        };
        let id = client.create_rollout(&CreateRollout { bundle: bundle.to_string(), policy }).await?;
        let ended = story
            .until(&format!("the end of the rollout of {bundle}"), STEP_LIMIT, |e| {
                e.rollout.as_ref() == Some(&id)
                    && matches!(e.kind, EventKind::RolloutCompleted | EventKind::RolledBack | EventKind::RollbackStuck)
            })
            .await?;
        if (ended.kind == EventKind::RolloutCompleted) == good {
            return Ok(());
        }
        Err(Failure::error(format!(
            "{bundle} should {}: {}\n  hint: look at http://{}/rollouts/{id}",
            if good { "reach the fleet" } else { "be taken back" },
            ended.text,
            self.http
        )))
    }

    /// Returns how many days have been seen by the fleet, those of the first model included.
    async fn days_so_far(&self, client: &Client) -> Result<usize, Failure> {
        let list = client.get("/v1/bundles").await?;
        let bundles = list.as_array().or_else(|| list["items"].as_array()).into_iter().flatten();
        let rows: u64 = bundles.map(|b| b["rows"].as_u64().unwrap_or(0)).sum();
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        Ok(weather::FIRST_DAYS.saturating_add(rows).min(weather::days()))
    }
}
