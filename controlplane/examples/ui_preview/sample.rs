//! A made-up fleet of weather stations: one rollout under way, one taken back, drift in two features.
use std::sync::Arc;

use pinnace_controlplane::api::problem::Problem;
use pinnace_controlplane::api::types::{HealthReply, StatsReply};
use pinnace_controlplane::ui::{Release, Source};
use pinnace_controlplane_core::ManifestTarget;
use pinnace_controlplane_core::clone::Cloned;
use pinnace_controlplane_core::fleet::{Device, Target};
use pinnace_controlplane_core::gates::{self, Gate};
use pinnace_controlplane_core::history::{Detail, EventKind, EventRecord};
use pinnace_controlplane_core::plan::{Plan, PlannedWave};
use pinnace_controlplane_core::policy::RolloutPolicy;
use pinnace_controlplane_core::rollout::{AbortBy, Abortion, Member, MemberState, Outcome, Rollout, State, Tally};
use pinnace_controlplane_core::views::{
    BundleCell, DeviceCell, DevicePage, DriftPage, FeatureRow, FleetPage, HeatCell, Histogram, IntervalColumn,
    RolloutCell, RolloutPage, RunningCount, WavePlace, WaveRung,
};
use pinnace_protocol::drift::performance::{Estimate, Source as Origin};
use pinnace_protocol::drift::{Distance, FeatureDrift, Level, Reason};
use pinnace_protocol::ids::{BundleRef, DeviceId, Digest, RolloutId, TenantId};
use pinnace_protocol::message::{Counter, FailCode, Failure, Health, Phase, Running, TrialStats};

/// When the sample was taken, milliseconds since 1970.
pub const NOW: u64 = 1_764_000_000_000;
const MINUTE: u64 = 60_000;
const WAVES: [(&str, u32); 3] = [("canary", 2), ("50 %", 4), ("100 %", 8)];

/// Made-up pages.
#[derive(Clone)]
pub struct Sample {
    /// How many devices there are.
    pub devices: usize,
    /// What replaces the sentences, to try hostile words.
    pub words: Option<&'static str>,
    /// Whether the plane is well.
    pub healthy: bool,
}

fn bundle(version: u64) -> BundleRef {
    format!("rain/v{version}").parse().expect("a bundle's name")
}

fn device_id(index: usize) -> DeviceId {
    DeviceId::parse(&format!("station-{:02}", index + 1)).expect("a device's name")
}

fn rollout_id(version: u64) -> RolloutId {
    RolloutId::parse(&format!("rain-v{version}-r{version}")).expect("a rollout's name")
}

fn crash() -> Failure {
    Failure { code: FailCode::Golden, text: "golden vector 7 of 32: expected 0.81, got 0.34".into() }
}

impl Sample {
    /// Returns a fleet of so many devices.
    pub fn new(devices: usize) -> Self {
        Self { devices, words: None, healthy: true }
    }

    fn say(&self, text: &str) -> String {
        self.words.unwrap_or(text).to_owned()
    }

    fn cell(&self, index: usize) -> DeviceCell {
        let (running, target, phase, progress_ppm, failure, silent) = match index % 8 {
            0 | 1 => (3, 3, Phase::Healthy, 1_000_000, None, 0),
            2 => (2, 3, Phase::Probation, 1_000_000, None, 0),
            3 => (2, 3, Phase::Downloading, 430_000, None, 0),
            5 if index < 400 => (2, 2, Phase::Failed, 0, Some(crash()), 0),
            6 if index < 90 => (1, 2, Phase::Deferred, 0, None, 0),
            7 if index < 500 => (2, 2, Phase::Idle, 0, None, 47 * MINUTE),
            _ => (2, 2, Phase::Idle, 0, None, 0),
        };
        DeviceCell {
            device: device_id(index),
            device_profile: if index.is_multiple_of(3) { "rpi4-4g".into() } else { "gateway-x86".into() },
            labels: vec![format!("site={}", if index.is_multiple_of(2) { "north" } else { "south" })],
            running: Some(bundle(running)),
            target: Some(bundle(target)),
            rollout: (target == 3).then(|| rollout_id(3)),
            phase,
            progress_ppm,
            seen_at_ms: NOW - silent - 3_000 - 1_700 * (index as u64 % 9),
            failure,
            cloned: index == 4,
        }
    }

    fn cells(&self) -> Vec<DeviceCell> {
        let mut cells: Vec<DeviceCell> = (0..self.devices).map(|i| self.cell(i)).collect();
        // The steward lists devices by name.
        cells.sort_by(|a, b| a.device.cmp(&b.device));
        cells
    }

    fn tally(version: u64) -> Tally {
        match version {
            3 => Tally { exposed: 4, accepted: 4, healthy: 2, compared: 2, ..Tally::default() },
            4 => Tally { exposed: 2, accepted: 2, failed: 2, back: 2, compared: 0, ..Tally::default() },
            _ => Tally { exposed: 8, accepted: 8, healthy: 8, compared: 8, ..Tally::default() },
        }
    }

    fn state(version: u64) -> State {
        match version {
            3 => State::Running,
            4 => State::RolledBack,
            _ => State::Completed,
        }
    }

    fn sentence(&self, version: u64) -> String {
        self.say(match version {
            3 => "Wave 2 of 3 (50 %): 4 of 4 exposed, 2 healthy, 0 failed, 2 on the way; waits for their trials.",
            4 => "Aborted at 14:02 UTC: 2 of 2 canaries failed (limit 5 %; evidence 166:1, needed 100:1). 2 devices exposed, 2 rolled back in 9 s, 6 never touched.",
            _ => "Completed at 12:40 UTC: 8 of 8 devices are healthy on rain/v2.",
        })
    }

    fn rollout_page(&self, version: u64) -> RolloutPage {
        let tally = Self::tally(version);
        let policy = RolloutPolicy::demo();
        let state = Self::state(version);
        let wave = match version {
            3 => 1,
            4 => 0,
            _ => 2,
        };
        let cards = gates::judge(&policy.gates, &tally);
        let abort = (version == 4).then(|| Abortion {
            by: AbortBy::Gate(Gate::Failures),
            at_ms: NOW - 70 * MINUTE,
            reasons: gates::halts(&policy.gates, &tally),
            words: String::new(),
            exposed: 2,
            untouched: 6,
        });
        let plan = Plan {
            generation: 1,
            eligible: 8,
            waves: WAVES.iter().map(|(_, quota)| PlannedWave { permille: 0, quota: *quota }).collect(),
        };
        let members = (0..tally.exposed as usize).map(|i| self.member(version, i)).collect();
        let waves = WAVES.iter().enumerate().map(|(i, (name, quota))| {
            let place = match i.cmp(&wave) {
                std::cmp::Ordering::Less => WavePlace::Passed,
                std::cmp::Ordering::Equal => WavePlace::Present,
                std::cmp::Ordering::Greater => WavePlace::Later,
            };
            let before = if i == 0 { 0 } else { WAVES[i - 1].1 };
            let exposed = tally.exposed.min(*quota).saturating_sub(before);
            let failed = if version == 4 { exposed } else { 0 };
            let healthy = if version == 4 || (version == 3 && i > 0) { 0 } else { exposed };
            WaveRung { name: (*name).into(), quota: *quota, exposed, healthy, failed, place }
        });
        RolloutPage {
            now_ms: NOW,
            rollout: Rollout {
                id: rollout_id(version),
                number: version,
                bundle: bundle(version),
                policy,
                author: "operator".into(),
                created_at_ms: NOW - 90 * MINUTE / version,
                state,
                state_at_ms: NOW - 4 * MINUTE,
                plan,
                wave: wave as u32,
                quota: WAVES[wave].1,
                wave_at_ms: NOW - 5 * MINUTE,
                abort,
                reasons: cards.iter().map(|c| c.reason).collect(),
                sentence: self.sentence(version),
            },
            state: state.as_str(),
            waves: waves.collect(),
            gates: cards.into(),
            tally,
            members,
            sentence: self.sentence(version),
            events: self.history().into_iter().filter(|e| e.rollout == Some(rollout_id(version))).collect(),
        }
    }

    fn member(&self, version: u64, index: usize) -> Member {
        let failed = version == 4;
        let (state, outcome) = match (version, index) {
            (4, _) => (MemberState::RolledBack, Some(Outcome::Failed)),
            (3, 2) => (MemberState::Probation, None),
            (3, 3) => (MemberState::Downloading, None),
            _ => (MemberState::Healthy, Some(Outcome::Healthy)),
        };
        Member {
            rollout: rollout_id(version),
            device: device_id(index),
            wave: u32::from(index >= 2),
            state,
            outcome,
            offered_at_ms: NOW - 6 * MINUTE,
            accepted_at_ms: Some(NOW - 6 * MINUTE + 800),
            settled_at_ms: outcome.map(|_| NOW - 3 * MINUTE),
            generation: 7,
            attempts: 1,
            retry_at_ms: None,
            failure: failed
                .then(|| Failure { text: self.say("golden vector 7 of 32: expected 0.81, got 0.34"), ..crash() }),
            integrity: false,
            trial: Some(Self::trial()),
            worse: outcome.filter(|_| !failed).map(|_| false),
            previous: Some(bundle(version - 1)),
        }
    }

    fn trial() -> TrialStats {
        TrialStats {
            inferences: 214,
            errors: 0,
            not_finite: 0,
            varied: true,
            p95_us: 412,
            baseline_p95_us: 396,
            compared: 214,
            disagreements: 9,
            judged: 180,
            candidate_right: 151,
            active_right: 148,
        }
    }

    fn history(&self) -> Vec<EventRecord> {
        let mut out: Vec<EventRecord> = Vec::new();
        let mut add = |minutes: u64, kind, version: u64, device: Option<usize>, rollout: bool, text: &str| {
            let seq = out.len() as u64;
            let aborted = kind == EventKind::RolloutAborted;
            let reasons =
                if aborted { gates::halts(&RolloutPolicy::demo().gates, &Self::tally(4)) } else { Vec::new() };
            out.push(EventRecord {
                seq,
                at_ms: NOW - minutes * MINUTE,
                kind,
                actor: if kind == EventKind::RolloutCreated { self.say("operator") } else { "steward".into() },
                device: device.map(device_id),
                rollout: rollout.then(|| rollout_id(version)),
                bundle: Some(bundle(version)),
                text: self.say(text),
                reasons,
                details: vec![Detail { name: "note".into(), value: "made up".into() }],
                previous: Digest([0; 32]),
                digest: Digest([0; 32]),
            });
        };
        add(190, EventKind::DeviceJoined, 1, Some(0), false, "station-01 joined as rpi4-4g.");
        add(140, EventKind::BundlePublished, 2, None, false, "rain/v2 was signed and published (release 2).");
        add(130, EventKind::RolloutCreated, 2, None, true, "operator created the rollout of rain/v2 to 8 devices.");
        add(110, EventKind::RolloutCompleted, 2, None, true, "rain/v2 is on all 8 devices; every wave passed.");
        add(95, EventKind::BundlePublished, 4, None, false, "rain/v4 was signed and published (release 4).");
        add(90, EventKind::RolloutCreated, 4, None, true, "operator created the rollout of rain/v4 to 8 devices.");
        add(89, EventKind::WaveStarted, 4, None, true, "Wave 1 of 3 (canary) begins: 2 devices.");
        add(
            72,
            EventKind::DeviceFailed,
            4,
            Some(0),
            true,
            "station-01 gave rain/v4 up (golden: golden vector 7 of 32: expected 0.81, got 0.34).",
        );
        add(
            71,
            EventKind::DeviceFailed,
            4,
            Some(1),
            true,
            "station-02 gave rain/v4 up (golden: golden vector 7 of 32: expected 0.81, got 0.34).",
        );
        add(
            70,
            EventKind::RolloutAborted,
            4,
            None,
            true,
            "Aborted: 2 of 2 canaries failed (limit 5 %; evidence 166:1, needed 100:1).",
        );
        add(70, EventKind::RolledBack, 4, None, true, "2 devices exposed, 2 rolled back in 9 s, 6 never touched.");
        add(
            40,
            EventKind::Drift,
            2,
            None,
            false,
            "rain/v2: dew point (PSI* 0.61 is above 0.25) drifted most, sea-level pressure too.",
        );
        add(
            31,
            EventKind::RetrainWanted,
            2,
            None,
            false,
            "rain/v2 should be trained anew: three of the last four intervals drifted.",
        );
        add(9, EventKind::BundlePublished, 3, None, false, "rain/v3 was signed and published (release 3).");
        add(8, EventKind::RolloutCreated, 3, None, true, "operator created the rollout of rain/v3 to 8 devices.");
        add(7, EventKind::WaveStarted, 3, None, true, "Wave 1 of 3 (canary) begins: 2 devices.");
        add(6, EventKind::DeviceHealthy, 3, Some(0), true, "station-01 is healthy on rain/v3 after 214 inferences.");
        add(6, EventKind::DeviceHealthy, 3, Some(1), true, "station-02 is healthy on rain/v3 after 214 inferences.");
        add(5, EventKind::WaveStarted, 3, None, true, "Wave 2 of 3 (50 %) begins: 2 more devices.");
        out
    }

    fn drift_page(&self, version: u64) -> DriftPage {
        let columns = 36usize;
        let drifted = |i: usize| version == 2 && i >= 24;
        let intervals: Vec<IntervalColumn> = (0..columns)
            .map(|i| {
                let part = i + 1 == columns;
                let level = if drifted(i) { Level::Act } else { Level::Calm };
                IntervalColumn {
                    first: i as u64,
                    last: i as u64,
                    from_ms: Some(NOW - (columns - i) as u64 * 5 * MINUTE),
                    rows: if part { 310 } else { 1_460 },
                    windows: 8,
                    complete: !part,
                    level,
                    sentence: self.say(if drifted(i) {
                        "dew point drifted most."
                    } else {
                        "Live data look like training."
                    }),
                    performance: Some(estimate(i, drifted(i))),
                }
            })
            .collect();
        let named: [(&str, f64, f64); 6] = [
            ("dew point", 0.31, 0.61),
            ("sea-level pressure", 0.24, 0.33),
            ("humidity", 0.19, 0.14),
            ("temperature", 0.14, 0.03),
            ("wind direction", 0.08, 0.01),
            ("month", 0.04, 0.0),
        ];
        let features = named.iter().enumerate().map(|(f, (name, importance, strength))| {
            let score = |i: usize| if drifted(i) { *strength } else { 0.01 * ((i * 7 + f * 3) % 6) as f64 };
            let level = |s: f64| match s {
                s if s >= 0.25 => Level::Act,
                s if s >= 0.1 => Level::Watch,
                _ => Level::Calm,
            };
            let newest = columns - 2;
            let name = if f == 0 { self.say(name) } else { (*name).into() };
            FeatureRow {
                cells: (0..columns).map(|i| Some(HeatCell { score: score(i), level: level(score(i)) })).collect(),
                histogram: Some(if f < 4 {
                    numbers(f, if drifted(newest) { *strength } else { 0.0 })
                } else {
                    categories(f)
                }),
                newest: Some(feature_drift(&name, *importance, score(newest), level(score(newest)))),
                importance: *importance,
                name,
            }
        });
        DriftPage {
            bundle: bundle(version),
            features: features.collect(),
            persistence: if version == 2 { "Three of the last four intervals drifted: this lasts.".into() } else { "No drift in the last intervals.".into() },
            performance: Some(estimate(columns - 2, version == 2)),
            drivers: if version == 2 { vec!["dew point".into(), "sea-level pressure".into(), "humidity".into()] } else { Vec::new() },
            retrain_at_ms: (version == 2).then_some(NOW - 31 * MINUTE),
            sentence: self.say(if version == 2 {
                "2 of 6 features call for action, 55 % of the model's importance: dew point (PSI* 0.61 is above 0.25), sea-level pressure (PSI* 0.33 is above 0.25)."
            } else {
                "Live data look like training: no feature drifted."
            }),
            intervals,
        }
    }

    fn bundle_cells(&self) -> Vec<BundleCell> {
        let cells = self.cells();
        let one = |version: u64| BundleCell {
            bundle: bundle(version),
            manifest: ManifestTarget {
                path: format!("rain-v{version}.manifest.json"),
                length: 5_210,
                sha256: Digest::of(&version.to_be_bytes()),
            },
            release_counter: version,
            classes: vec![self.say("dry"), "rain".into()],
            published_at_ms: NOW - (5 - version) * 33 * MINUTE,
            proven_at_ms: (version <= 2).then_some(NOW - 100 * MINUTE),
            retrain_at_ms: (version == 2).then_some(NOW - 31 * MINUTE),
            devices: cells.iter().filter(|c| c.running == Some(bundle(version))).count() as u32,
            rows: if version == 4 { 0 } else { 14_000 * version },
        };
        if self.devices == 0 { Vec::new() } else { vec![one(4), one(3), one(2), one(1)] }
    }
}

fn estimate(i: usize, drifted: bool) -> Estimate {
    let accuracy = if drifted { 0.778 } else { 0.842 } + 0.006 * ((i * 5 % 7) as f64 / 7.0 - 0.5);
    let source = if i % 9 < 4 { Origin::Measured } else { Origin::Estimated };
    Estimate {
        accuracy,
        standard_error: 0.009,
        reference: 0.846,
        n: 1_460,
        source,
        sentence: format!("Accuracy is {:.1} % over 1460 answers; it was 84.6 % on reference data.", accuracy * 100.0),
    }
}

fn numbers(feature: usize, shift: f64) -> Histogram {
    let bell = |centre: f64| {
        let raw: Vec<f64> = (0..38).map(|i| (-((f64::from(i) - centre) / 7.0).powi(2) / 2.0).exp()).collect();
        let total: f64 = raw.iter().sum();
        raw.into_iter().map(|v| v / total).collect::<Vec<f64>>()
    };
    Histogram {
        bins: (0..38).map(|i| format!("bin {i}")).collect(),
        edges: (0..37).map(|i| 960.0 + f64::from(i) * (2.0 + feature as f64)).collect(),
        reference: bell(18.0),
        live: bell(18.0 + shift * 14.0),
    }
}

fn categories(feature: usize) -> Histogram {
    let names = ["N", "NE", "E", "SE", "S", "SW", "W", "NW", "(other)", "(none)"];
    let share = |i: usize, by: usize| [0.08, 0.06, 0.07, 0.1, 0.16, 0.21, 0.2, 0.12, 0.0, 0.0][(i + by) % 10];
    Histogram {
        bins: names.iter().map(|n| (*n).into()).collect(),
        edges: Vec::new(),
        reference: (0..10).map(|i| share(i, 0)).collect(),
        live: (0..10).map(|i| share(i, feature % 2)).collect(),
    }
}

fn feature_drift(name: &str, importance: f64, score: f64, level: Level) -> FeatureDrift {
    let reasons = match level {
        Level::Calm => Vec::new(),
        Level::Watch => vec![Reason::Shape { distance: Distance::PsiStar, value: score, limit: 0.1 }],
        Level::Act => vec![
            Reason::Shape { distance: Distance::PsiStar, value: score, limit: 0.25 },
            Reason::OutOfRange { share: 0.021, reference: 0.001 },
        ],
    };
    FeatureDrift {
        name: name.into(),
        importance,
        n: 1_460,
        psi: score + 0.03,
        psi_star: score,
        js: score / 2.0,
        js_star: score / 2.1,
        hellinger: score / 3.0,
        l_inf: score / 9.0,
        ks: Some(score / 2.5),
        ks_bound: Some(0.01),
        w1: Some(score * 1.4),
        p_value: if score > 0.05 { 1e-12 } else { 0.31 },
        nulls: 0.002,
        unseen: None,
        out_of_range: Some(0.021),
        level,
        reasons,
    }
}

impl Source for Sample {
    async fn fleet(&self) -> Result<Arc<FleetPage>, Problem> {
        let devices = self.cells();
        let mut running: Vec<RunningCount> = (1..=3)
            .map(|version| RunningCount {
                bundle: Some(bundle(version)),
                devices: devices.iter().filter(|d| d.running == Some(bundle(version))).count() as u32,
            })
            .filter(|r| r.devices > 0)
            .collect();
        running.sort_by_key(|r| std::cmp::Reverse(r.devices));
        let rows = if devices.is_empty() { 0 } else { 52_560 };
        Ok(Arc::new(FleetPage { now_ms: NOW, devices, running, rows, cloned: 1, refused: 3 }))
    }

    async fn device(&self, id: &DeviceId) -> Result<Option<DevicePage>, Problem> {
        let Some(index) = (0..self.devices).find(|i| device_id(*i) == *id) else { return Ok(None) };
        let cell = self.cell(index);
        let running = cell.running.clone().map(|bundle| Running {
            manifest: Digest::of(bundle.to_string().as_bytes()),
            bundle,
            generation: 6,
            variant: "fp32".into(),
            engine: "tract 0.23".into(),
        });
        let target = cell.target.clone().map(|bundle| Target {
            bundle,
            rollout: cell.rollout.clone(),
            rollback: false,
            trial: RolloutPolicy::demo().trial,
            since_ms: NOW - 6 * MINUTE,
        });
        let why = match cell.phase {
            Phase::Healthy => "It passed the trial of rain/v3 after 214 inferences and runs it.",
            Phase::Probation => "It tries rain/v3 on live inputs beside rain/v2: 120 of 200 inferences so far.",
            Phase::Downloading => "It is fetching rain/v3: 43 % of its bytes are on disk.",
            Phase::Failed => {
                "It gave rain/v4 up (golden vector 7 of 32: expected 0.81, got 0.34) and runs rain/v2 again."
            }
            Phase::Deferred => "It waits for a better moment: it is busy.",
            _ if cell.cloned => {
                "It exists twice: process start 12 used message number 1 in two connections. Quarantined 180 s ago: it keeps what it runs, gets nothing new, and is not counted."
            }
            _ => "It belongs to a later wave of rain/v3 and has not been told yet.",
        };
        Ok(Some(DevicePage {
            now_ms: NOW,
            device: Device {
                id: id.clone(),
                device_profile: cell.device_profile,
                arch: "aarch64".into(),
                declared: vec!["site=north".into()],
                given: Vec::new(),
                joined_at_ms: NOW - 190 * MINUTE,
                seen_at_ms: cell.seen_at_ms,
                epochs: vec![1],
                hello: Counter::default(),
                report: Counter::default(),
                nonce: Vec::new(),
                agent: "0.1.0".into(),
                engines: vec!["tract 0.23".into(), "onnxruntime 1.23".into()],
                running,
                generation: 7,
                accepted: 7,
                target,
                good: Some(bundle(2)),
                phase: cell.phase,
                progress_ppm: cell.progress_ppm,
                failure: cell.failure,
                trial: Some(Self::trial()),
                health: Health {
                    cpu_permille: 120,
                    memory_mib: 1_260,
                    memory_total_mib: 3_792,
                    agent_mib: 38,
                    disk_free_mib: 9_120,
                    temperature_decic: 523,
                    uptime_s: 423_000,
                    inferences: 8_123,
                    errors: 2,
                    outbox: 1,
                    windows_lost: 0,
                },
                quarantine: Vec::new(),
                rejected_windows: 0,
                heard: Vec::new(),
                present: Default::default(),
                cloned: cell.cloned.then(|| Cloned {
                    since_ms: NOW - 3 * MINUTE,
                    why: "process start 12 used message number 1 in two connections".into(),
                }),
            },
            labels: vec!["site=north".into(), "canary=true".into()],
            memberships: if index < 4 { vec![self.member(3, index)] } else { Vec::new() },
            why: self.say(why),
            timeline: self.history().into_iter().filter(|e| e.device.as_ref() == Some(id)).collect(),
        }))
    }

    async fn rollouts(&self) -> Result<Vec<RolloutCell>, Problem> {
        let one = |version: u64| RolloutCell {
            id: rollout_id(version),
            bundle: bundle(version),
            state: Self::state(version).as_str(),
            wave: (if version == 3 { 1 } else { 0 }, 3),
            author: self.say("operator"),
            created_at_ms: NOW - 90 * MINUTE / version,
            tally: Self::tally(version),
            sentence: self.sentence(version),
        };
        Ok(if self.devices == 0 { Vec::new() } else { vec![one(3), one(4), one(2)] })
    }

    async fn rollout(&self, id: &RolloutId) -> Result<Option<RolloutPage>, Problem> {
        Ok((2..=4).find(|v| rollout_id(*v) == *id && self.devices > 0).map(|v| self.rollout_page(v)))
    }

    async fn bundles(&self) -> Result<Vec<BundleCell>, Problem> {
        Ok(self.bundle_cells())
    }

    async fn release(&self, _bundle: &BundleCell) -> Release {
        Release {
            manifest: None,
            card: Some(self.say("# rain\n\nWill it rain tomorrow? Gradient boosted trees on 8 daily measurements.\n\nAccuracy on held-out days: 84.6 %.\nTrained on the first five years of one station; not for other climates.")),
        }
    }

    async fn drift(&self, bundle: &BundleRef) -> Result<Option<DriftPage>, Problem> {
        if self.devices == 0 || bundle.family.as_str() != "rain" || !(1..=4).contains(&bundle.version) {
            return Ok(None);
        }
        let mut page = self.drift_page(bundle.version);
        if bundle.version == 4 {
            page.intervals.clear();
        }
        Ok(Some(page))
    }

    async fn events(&self, before: Option<u64>, limit: usize) -> Result<Vec<EventRecord>, Problem> {
        let all = if self.devices == 0 { Vec::new() } else { self.history() };
        Ok(all.into_iter().rev().filter(|e| before.is_none_or(|b| e.seq < b)).take(limit).collect())
    }

    fn health(&self) -> HealthReply {
        let development = "offline keys lie beside the control plane (development key set)".to_owned();
        let mut complaints = if self.healthy { Vec::new() } else { vec!["no connection to the broker".to_owned()] };
        complaints.push(development);
        HealthReply {
            healthy: self.healthy,
            tenant: TenantId::parse("demo").expect("a tenant's name"),
            version: "0.1.0".into(),
            development_keys: true,
            broker_connected: self.healthy,
            roles: Vec::new(),
            complaints,
        }
    }

    fn stats(&self) -> StatsReply {
        StatsReply {
            uptime_s: 11_400,
            messages: 18_221,
            commits: 9_120,
            events: 18_400,
            commit_max_us: 8_120,
            ..StatsReply::default()
        }
    }
}
