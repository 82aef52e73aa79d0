//! Measures what one core of the control plane decides per second: `cargo run --profile ci --example steward_speed`.
use std::time::Instant;

use pinnace_controlplane_core::policy::RolloutPolicy;
use pinnace_controlplane_core::{Command, Config, Event, IntervalBy, Published, RequestId, Step, Steward};
use pinnace_protocol::ids::{BundleRef, DeviceId, Digest, Family};
use pinnace_protocol::manifest::{Blob, Compat, Feature, FeatureKind, Manifest, Role, SPEC, Signature, Task, Variant};
use pinnace_protocol::message::{Counter, Health, Hello, Phase, Report, Window};
use pinnace_protocol::sketch::{Column, Live, Profile, ProfileBuilder, Value};
use pinnace_protocol::time::{ClockTrust, Mono, Now, Wall};

const DEVICES: usize = 10_000;
const FEATURES: usize = 10;
const WINDOWS: usize = 100_000;
const ROWS: usize = 300;
/// Windows in one transaction.
const BATCH: usize = 256;
const NOW: Now = Now { mono: Mono(0), wall: Wall { unix_ms: 1_800_000_000_000, trust: ClockTrust::Attested } };

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let values: Vec<f64> = (0..20_000).map(|i| f64::from((i * 7919) % 10_007) / 100.0).collect();
    let mut builder = ProfileBuilder::new(1000);
    let names: Vec<String> = (0..FEATURES).map(|i| format!("f{i}")).collect();
    for name in &names {
        builder = builder.feature(name, Column::Numeric { values: &values, nulls: None }, 1.0);
    }
    let profile = builder.build()?;
    let (mut steward, _) =
        Steward::recover(Config { interval: IntervalBy::Windows(8), interval_rows: 1_000_000 }, Vec::new(), NOW)?;
    let devices = join(&mut steward, &names, &profile)?;

    let sketch = window(&profile)?;
    let bundle = BundleRef { family: Family::parse("m")?, version: 1 };
    let start = Instant::now();
    let mut step = Step::default();
    let mut stored = 0;
    for i in 0..WINDOWS {
        let (device, seq) = (&devices[i % DEVICES], (i / DEVICES) as u64);
        let message = Window {
            epoch: 1,
            seq,
            bundle: bundle.clone(),
            profile: Digest::of(b""),
            from_unix_ms: 0,
            to_unix_ms: 0,
            rows: ROWS as u64,
            sketch: sketch.clone(),
        };
        steward.handle(NOW, Event::Window { device, message: &message }, &mut step);
        if i % BATCH == BATCH - 1 {
            stored += step.commit.take().map_or(0, |b| b.put.len());
            step.then.clear();
        }
    }
    let took = start.elapsed().as_secs_f64();
    println!(
        "windows: {:.0}/s ({FEATURES} features, {ROWS} rows, {} bytes; {stored} rows)",
        WINDOWS as f64 / took,
        sketch.len()
    );

    let policy = RolloutPolicy { canary: DEVICES as u32, ..RolloutPolicy::demo() };
    let command = Command::CreateRollout { bundle, policy };
    let mut step = Step::default();
    let start = Instant::now();
    steward.handle(NOW, Event::Command { request: RequestId(1), actor: "a", command: &command }, &mut step);
    while steward.next_deadline() == Some(NOW.mono) {
        steward.handle(NOW, Event::Tick, &mut step);
        step.commit = None;
    }
    println!("offers: {DEVICES} devices in {:.0} ms", start.elapsed().as_secs_f64() * 1000.0);
    let phases = [Phase::Accepted, Phase::Downloading, Phase::Verified, Phase::Probation, Phase::Healthy];
    let start = Instant::now();
    for (seq, phase) in phases.into_iter().enumerate() {
        for device in &devices {
            let message = Report {
                counter: Counter { epoch: 1, boot: 1, seq: 10 + seq as u64 },
                generation: 1,
                rollout: None,
                target: None,
                phase,
                progress_ppm: 0,
                failure: None,
                trial: None,
                running: None,
                health: Health::default(),
            };
            steward.handle(NOW, Event::Report { device, message: &message }, &mut step);
            step = Step::default();
        }
    }
    let reports = phases.len() * DEVICES;
    println!("reports: {:.0}/s in a rollout of {DEVICES}", reports as f64 / start.elapsed().as_secs_f64());
    println!("{}", steward.rollouts().first().map_or_else(String::new, |r| r.sentence.clone()));
    Ok(())
}

fn window(profile: &Profile) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut live = Live::new(profile);
    for i in 0..ROWS {
        live.update_row(&[Value::Num((i * 31 % 100) as f64); FEATURES])?;
    }
    Ok(live.encode())
}

fn join(
    steward: &mut Steward,
    names: &[String],
    profile: &Profile,
) -> Result<Vec<DeviceId>, Box<dyn std::error::Error>> {
    let feature = |name: &String| Feature { name: name.clone(), kind: FeatureKind::Numeric, unit: String::new() };
    let manifest = Manifest {
        spec: SPEC.into(),
        family: Family::parse("m")?,
        version: 1,
        release_counter: 1,
        created: 0,
        compat: Compat::default(),
        signature: Signature {
            task: Task::Regression,
            input: "x".into(),
            output: "y".into(),
            label_output: None,
            classes: Vec::new(),
            features: names.iter().map(feature).collect(),
        },
        variants: vec![Variant {
            name: "fp32".into(),
            blob: "m".into(),
            engines: vec!["tract".into()],
            requires: Default::default(),
        }],
        blobs: vec![Blob::describe("m", Role::Model, &[1; 10])],
    };
    let bytes = manifest.to_bytes()?;
    let json = profile.to_json();
    let mut step = Step::default();
    let published =
        Published { manifest: &manifest, sha256: Digest::of(&bytes), length: bytes.len() as u64, profile: &json };
    steward.handle(NOW, Event::BundlePublished(published), &mut step);
    let mut devices = Vec::with_capacity(DEVICES);
    for i in 0..DEVICES {
        let id = DeviceId::parse(&format!("d{i}"))?;
        steward.handle(NOW, Event::DeviceJoined { device: &id, device_profile: "pi", labels: &[] }, &mut step);
        let message = Hello {
            counter: Counter { epoch: 1, boot: 1, seq: 1 },
            nonce: vec![0; 16],
            agent: String::new(),
            device_profile: "pi".into(),
            arch: "aarch64".into(),
            labels: Vec::new(),
            engines: Vec::new(),
            running: None,
            generation: 0,
            next_window: 0,
            clock_unix_ms: 0,
            clock_trust: ClockTrust::Unknown,
            director_root: 1,
        };
        steward.handle(NOW, Event::Hello { device: &id, message: &message }, &mut step);
        step = Step::default();
        devices.push(id);
    }
    Ok(devices)
}
