//! For each check a planted fault that makes it say so; and a device that is well, of which every check says that.
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use pinnace_agent_core::api::{Config, Intervals, Key, Op, SlotName, Stored};
use pinnace_agent_core::inspect::{LeftAlone, Remembered, SlotUse};
use pinnace_agent_core::{Agent, Step};
use pinnace_protocol::ids::{DeviceId, Digest, TenantId};
use pinnace_protocol::join::Anchor;
use pinnace_protocol::message::{FailCode, Failure, Phase, ReportKey};
use pinnace_protocol::signature::Verifier;
use pinnace_protocol::time::{ClockTrust, Mono, Now, Wall};
use pinnace_protocol::trust::author::sign;
use pinnace_protocol::trust::{Root, Signer, SigningKey, TufKey};
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::*;
use crate::identity::DeviceRecord;
use crate::ledger::Change;
use crate::serve::{FullStatus, LinkStatus, ModelStatus, Status, TargetStatus};
use crate::twoslot::TwoSlotFile;

const NOW_S: u64 = 1_800_000_000;
const DAY_S: u64 = 86_400;
const MIB: u64 = 1024 * 1024;

fn root(keys: &[u8], threshold: u64) -> String {
    let keys: Vec<SigningKey> = keys.iter().map(|seed| SigningKey::from_seed([*seed; 32])).collect();
    let public: Vec<TufKey> = keys.iter().map(SigningKey::key).collect();
    let role = |name| (name, public.as_slice(), threshold);
    let root =
        Root::new(1, NOW_S + 1000 * DAY_S, &[role("root"), role("targets"), role("snapshot"), role("timestamp")]);
    let signers: Vec<&dyn Signer> = keys.iter().map(|k| k as &dyn Signer).collect();
    String::from_utf8(sign(&root, &signers).unwrap()).unwrap()
}

fn identity(ends_in_days: i64) -> Identity {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = CertificateParams::default();
    let at = |days: i64| {
        let s = i64::try_from(NOW_S).unwrap() + days * i64::try_from(DAY_S).unwrap();
        rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(u64::try_from(s).unwrap())
    };
    (params.not_before, params.not_after) = (at(-30), at(ends_in_days));
    let cert_pem = params.self_signed(&key).unwrap().pem();
    let report_key = ReportKey::from_bytes(&[9; 32]);
    let tenant = TenantId::parse("acme").unwrap();
    Identity {
        device: DeviceRecord {
            tenant: tenant.clone(),
            device: DeviceId::parse("dev-1").unwrap(),
            device_profile: "x86-gateway".into(),
            labels: Vec::new(),
        },
        anchor: Anchor {
            tenant,
            image_root: root(&[1, 2, 3], 2),
            director_root: root(&[4, 5, 6], 2),
            ca_pem: cert_pem.clone(),
            plane_key: hex::encode(report_key.verifying_key().to_bytes()),
            https_url: "https://127.0.0.1:1".into(),
            mqtt: "127.0.0.1:1".into(),
            issued: NOW_S - 40 * DAY_S,
        },
        cert_pem,
        key_pem: key.serialize_pem(),
        report_key,
    }
}

/// A device that is well, after its first start.
struct Case {
    temp: TempDir,
    places: Places,
    runs: bool,
}

impl Case {
    fn well() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let home = temp.path().join("home");
        fs::create_dir(&home).unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
        let identity = identity(60);
        identity.save(&home).unwrap();
        let config = Config {
            tenant: identity.device.tenant.clone(),
            device: identity.device.device.clone(),
            agent: "0".into(),
            device_profile: "x86-gateway".into(),
            arch: "x86_64".into(),
            labels: Vec::new(),
            engines: Vec::new(),
            memory_mib: 64,
            bundle_max_bytes: MIB,
            plane_key: identity.report_key.verifying_key(),
            verifier: Verifier::STRICT,
            image_root: identity.anchor.image_root.clone().into_bytes(),
            director_root: identity.anchor.director_root.clone().into_bytes(),
            not_before_s: NOW_S - 40 * DAY_S,
            new_epoch: 1,
            seed: 1,
            intervals: Intervals::default(),
        };
        let now = Now { mono: Mono(1), wall: Wall { unix_ms: NOW_S * 1000, trust: ClockTrust::Unknown } };
        let (_, Step { commit, .. }) = Agent::recover(config, Stored::default(), now);
        let batch = commit.unwrap();
        TwoSlotFile::new(&home, "floors").store(&batch.floors.unwrap()).unwrap();
        TwoSlotFile::new(&home, "pointers").store(&batch.pointers.unwrap()).unwrap();
        let put = |op| match op {
            Op::Put { key, bytes } => Change::Put { key: key.to_text(), value: bytes },
            Op::Delete { key } => Change::Delete { key: key.to_text() },
        };
        let changes: Vec<Change> = batch.ops.into_iter().map(put).collect();
        LedgerKind::Sled.open(&home.join("ledger")).unwrap().commit(&changes).unwrap();
        let uid = rustix::process::geteuid().as_raw();
        let places = Places {
            home,
            listen: "127.0.0.1:1".parse().unwrap(),
            root: temp.path().join("root"),
            now_s: NOW_S,
            ort: None,
            policy: ProbePolicy::InProcess,
            uid,
        };
        Self { temp, places, runs: false }
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.places.home.join(name)
    }

    fn identity(&self, change: impl FnOnce(&mut Identity)) {
        let mut identity = Identity::load(&self.places.home).unwrap();
        change(&mut identity);
        identity.save(&self.places.home).unwrap();
    }

    /// Looks at all that lies in the home folder.
    fn look(&self) -> Findings {
        let mut out = Findings::default();
        home::check(&self.places, &mut out);
        let identity = identity::check(&self.places, &mut out);
        machine::check_profile(identity.as_ref(), &mut out);
        memory::check(&self.places, self.runs, &mut out);
        out
    }
}

fn said<'a>(out: &'a Findings, check: &str) -> &'a Finding {
    let found = out.0.iter().find(|f| f.check == check);
    found.unwrap_or_else(|| panic!("no check `{check}` in {:#?}", out.0))
}

/// Asserts that `check` says `mark`, with a hint when it is not well.
#[track_caller]
fn says(out: &Findings, check: &str, mark: Mark) {
    let finding = said(out, check);
    assert_eq!(finding.state, mark, "{finding:?}");
    assert_eq!(finding.hint.is_empty(), mark == Mark::Ok, "{finding:?}");
    assert!(!finding.found.is_empty(), "{finding:?}");
}

type Plant = fn(&mut Case);

#[test]
fn every_fault_in_the_home_folder_is_named() {
    let well = Case::well().look();
    let expected = |f: &Finding| if f.check == "active model" { Mark::Warn } else { Mark::Ok };
    assert!(well.0.iter().all(|f| f.state == expected(f)), "{:#?}", well.0);
    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let faults: [(&str, Mark, Plant); 24] = [
        ("home", Mark::Fail, |c| c.places.home = c.temp.path().join("nowhere")),
        ("home", Mark::Fail, |c| {
            c.places.home = c.temp.path().join("file");
            fs::write(&c.places.home, "x").unwrap();
        }),
        ("owner", Mark::Fail, |c| c.places.uid = 12_345),
        ("home mode", Mark::Fail, |c| mode(&c.places.home, 0o777)),
        ("event log", Mark::Warn, |c| {
            fs::File::create(c.file("events.1")).unwrap().set_len(200 * MIB).unwrap();
        }),
        ("identity", Mark::Fail, |c| fs::remove_dir_all(c.file("identity")).unwrap()),
        ("identity", Mark::Fail, |c| fs::write(c.file("identity/report.key"), "short").unwrap()),
        ("key modes", Mark::Fail, |c| mode(&c.file("identity/tls.key"), 0o644)),
        ("certificate", Mark::Fail, |c| c.places.now_s = NOW_S + 61 * DAY_S),
        ("certificate", Mark::Warn, |c| c.places.now_s = NOW_S - 31 * DAY_S),
        ("certificate", Mark::Fail, |c| c.identity(|i| i.cert_pem = identity(60).cert_pem)),
        ("renewal", Mark::Warn, |c| c.places.now_s = NOW_S + 50 * DAY_S),
        ("anchor", Mark::Fail, |c| c.identity(|i| i.anchor.director_root.insert(9, 'x'))),
        ("anchor", Mark::Fail, |c| c.identity(|i| i.anchor.plane_key = "00".repeat(31))),
        ("development keys", Mark::Warn, |c| c.identity(|i| i.anchor.image_root = root(&[1], 1))),
        ("device profile", Mark::Fail, |c| c.identity(|i| i.device.device_profile = "toaster".into())),
        ("clock", Mark::Fail, |c| c.places.now_s = NOW_S - 41 * DAY_S),
        ("floors", Mark::Warn, |c| fs::write(c.file("floors.1"), "torn").unwrap()),
        ("floors", Mark::Fail, |c| ["floors.0", "floors.1"].iter().for_each(|f| fs::write(c.file(f), "torn").unwrap())),
        ("pointers", Mark::Warn, |c| fs::remove_file(c.file("pointers.0")).unwrap()),
        ("pointers", Mark::Fail, |c| {
            ["pointers.0", "pointers.1"].iter().for_each(|f| fs::write(c.file(f), "x").unwrap())
        }),
        ("ledger", Mark::Warn, |c| fs::remove_dir_all(c.file("ledger")).unwrap()),
        ("ledger", Mark::Fail, |c| {
            let state = Change::Put { key: Key::State.to_text(), value: b"damaged".to_vec() };
            LedgerKind::Sled.open(&c.file("ledger")).unwrap().commit(&[state]).unwrap();
        }),
        ("candidate", Mark::Warn, |c| fs::create_dir_all(c.file("slots/b.part")).unwrap()),
    ];
    for (at, (check, mark, plant)) in faults.into_iter().enumerate() {
        let mut case = Case::well();
        plant(&mut case);
        println!("{at} {check}");
        says(&case.look(), check, mark);
    }
}

#[test]
fn a_held_ledger_is_well_only_when_an_agent_answers() {
    let mut case = Case::well();
    let _held = LedgerKind::Sled.open(&case.file("ledger")).unwrap();
    says(&case.look(), "ledger", Mark::Fail);
    case.runs = true;
    says(&case.look(), "ledger", Mark::Ok);
}

#[test]
fn damaged_models_quarantine_and_a_full_outbox_are_named() {
    let case = Case::well();
    let held = SlotUse { slot: SlotName::A, bundle: "rain/v1".parse().unwrap(), released: vec![1] };
    let failure = Failure { code: FailCode::Network, text: "no chunk came".into() };
    let left =
        |until_s, attempts| LeftAlone { manifest: Digest::of(b"m"), attempts, until_s, failure: failure.clone() };
    let well = Remembered {
        active: None,
        fallback: None,
        candidate: Some((held.clone(), true)),
        target: None,
        attempts: vec![left(0, 1), left(NOW_S - 1, 3)],
        windows: 3,
        windows_lost: 0,
    };
    let look = |found: &Remembered| {
        let mut out = Findings::default();
        memory::judge(&case.places, found, &mut out);
        out
    };
    for check in ["fallback model", "candidate", "quarantine", "outbox"] {
        says(&look(&well), check, Mark::Ok);
    }
    says(&look(&Remembered { active: Some(held.clone()), ..well.clone() }), "active model", Mark::Fail);
    says(&look(&Remembered { fallback: Some(held), ..well.clone() }), "fallback model", Mark::Warn);
    let out = look(&Remembered { attempts: vec![left(NOW_S + 7200, 3)], ..well.clone() });
    says(&out, "quarantine", Mark::Warn);
    assert!(said(&out, "quarantine").found.contains("for 2 h (network: no chunk came)"));
    says(&look(&Remembered { windows: 900, ..well }), "outbox", Mark::Warn);
}

#[test]
fn a_full_foreign_or_read_only_file_system_is_named() {
    let well = FileSystem { free_bytes: 900 * MIB, inodes_free: 9000, inodes: 10_000, magic: 0xef53, read_only: false };
    let look = |system: FileSystem| {
        let mut out = Findings::default();
        system.check(128 * MIB, &mut out);
        out
    };
    for check in ["disk", "inodes", "file system"] {
        says(&look(well), check, Mark::Ok);
    }
    says(&look(FileSystem { free_bytes: 100 * MIB, ..well }), "disk", Mark::Warn);
    says(&look(FileSystem { free_bytes: MIB, ..well }), "disk", Mark::Fail);
    says(&look(FileSystem { inodes_free: 3, ..well }), "inodes", Mark::Fail);
    says(&look(FileSystem { inodes: 0, inodes_free: 0, ..well }), "inodes", Mark::Ok);
    says(&look(FileSystem { magic: 0x0102_1994, ..well }), "file system", Mark::Warn);
    says(&look(FileSystem { read_only: true, ..well }), "file system", Mark::Fail);
    assert!(FileSystem::of(Path::new("/")).unwrap().free_bytes > 0);
    assert!(FileSystem::of(Path::new("/nowhere/at/all")).is_err());
}

#[test]
fn a_machine_that_is_not_what_its_profile_says_is_named() {
    let profile = pinnace_firmware_targets::builtin("x86-gateway").unwrap();
    let unit = include_str!("../../../firmware-targets/systemd/pinnace-agent.service");
    let well = Machine {
        arch: "x86_64".into(),
        memory_mib: 8000,
        available_mib: 4000,
        cores: 4,
        temperature_decic: Some(451),
        files: Some(4096),
        unit: Some(("/etc/systemd/system/pinnace-agent.service".into(), unit.into())),
    };
    let look = |machine: &Machine| {
        let mut out = Findings::default();
        machine.check(Some(&profile), &mut out);
        out
    };
    assert!(look(&well).0.iter().all(|f| f.state == Mark::Ok), "{:#?}", look(&well).0);
    says(&look(&Machine { arch: "aarch64".into(), ..well.clone() }), "architecture", Mark::Fail);
    says(&look(&Machine { memory_mib: 2000, ..well.clone() }), "hardware", Mark::Warn);
    says(&look(&Machine { available_mib: 100, ..well.clone() }), "memory budget", Mark::Warn);
    says(&look(&Machine { temperature_decic: Some(853), ..well.clone() }), "temperature", Mark::Warn);
    says(&look(&Machine { temperature_decic: Some(990), ..well.clone() }), "temperature", Mark::Fail);
    says(&look(&Machine { files: Some(256), ..well.clone() }), "open files", Mark::Warn);
    says(&look(&Machine { unit: None, ..well.clone() }), "service", Mark::Warn);
    let unwatched = unit.replace("WatchdogSec", "#WatchdogSec");
    says(&look(&Machine { unit: Some(("u".into(), unwatched)), ..well }), "service", Mark::Warn);

    let look = |labels: &[&str]| {
        let mut out = Findings::default();
        let labels: Vec<String> = labels.iter().map(ToString::to_string).collect();
        machine::check_engines(&labels, &[], &profile, &mut out);
        out
    };
    says(&look(&["ort 1.27", "tract 0.23"]), "ONNX Runtime", Mark::Ok);
    says(&look(&["tract 0.23"]), "ONNX Runtime", Mark::Warn);
    says(&look(&[]), "engines", Mark::Fail);
}

#[test]
fn a_running_agent_that_is_not_well_is_named() {
    let model = ModelStatus {
        bundle: "rain/v1".into(),
        manifest: String::new(),
        variant: "onnx".into(),
        engine: "tract".into(),
        p50_ns: 1,
        p95_ns: 1,
        memory_kib: 1,
        peak_kib: 1,
        why: "the only one".into(),
        rows: 1,
    };
    let link = LinkStatus { connected: true, address: "plane:8883".into(), error: None, down_since_s: None };
    let failure = Failure { code: FailCode::Golden, text: "row 3 differs".into() };
    let target = |failure| TargetStatus {
        bundle: "rain/v2".parse().unwrap(),
        generation: 2,
        phase: Phase::Failed,
        progress_ppm: 0,
        failure,
    };
    let device = Status { link, reported_s: Some(NOW_S - 3), target: Some(target(None)), ..Status::default() };
    let well = FullStatus {
        agent: "0".into(),
        model: Some(model),
        candidate: None,
        trial: None,
        inferences: 1,
        errors: 0,
        device,
    };
    let look = |ready, change: fn(&mut FullStatus)| {
        let (mut status, mut out) = (well.clone(), Findings::default());
        change(&mut status);
        local::judge(&status, ready, NOW_S, &mut out);
        out
    };
    assert!(look(true, |_| {}).0.iter().all(|f| f.state == Mark::Ok), "{:#?}", look(true, |_| {}).0);
    says(&look(false, |_| {}), "ready", Mark::Fail);
    says(&look(false, |s| (s.model, s.device.target) = (None, None)), "ready", Mark::Warn);
    says(&look(true, |s| s.device.link.connected = false), "link", Mark::Warn);
    says(&look(true, |s| s.device.reported_s = Some(NOW_S - 7200)), "last report", Mark::Warn);
    says(&look(true, |s| s.device.reported_s = None), "last report", Mark::Warn);
    says(&look(true, |s| s.device.clock_jump_s = -4000), "clock jump", Mark::Warn);
    let (mut status, mut out) = (well.clone(), Findings::default());
    status.device.target = Some(target(Some(failure)));
    local::judge(&status, true, NOW_S, &mut out);
    says(&out, "target", Mark::Warn);
}

#[test]
fn each_way_to_the_plane_is_named_where_it_ends() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut identity = identity(60);
        let look = async |identity: &Identity| {
            let mut out = Findings::default();
            net::check(identity, &mut out).await;
            out
        };
        identity.anchor.mqtt = "no port".into();
        says(&look(&identity).await, "broker name", Mark::Fail);
        identity.anchor.mqtt = "does-not-exist.invalid:8883".into();
        says(&look(&identity).await, "broker name", Mark::Fail);
        identity.anchor.mqtt = "127.0.0.1:1".into();
        let out = look(&identity).await;
        says(&out, "broker name", Mark::Ok);
        says(&out, "broker", Mark::Fail);
        says(&out, "control plane", Mark::Fail);
        // Somebody listens, and speaks no TLS.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        identity.anchor.mqtt = listener.local_addr().unwrap().to_string();
        let closes = async { drop(listener.accept().await.unwrap()) };
        let (out, ()) = tokio::join!(look(&identity), closes);
        says(&out, "broker", Mark::Ok);
        says(&out, "broker TLS", Mark::Fail);
        let mut out = Findings::default();
        assert_eq!(local::check("127.0.0.1:1".parse().unwrap(), NOW_S, &mut out).await, None);
        says(&out, "local API", Mark::Warn);
    });
}

#[test]
fn a_whole_look_makes_at_least_25_checks_with_names_of_their_own() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let case = Case::well();
    let out = runtime.block_on(look(&case.places));
    let names: std::collections::BTreeSet<&str> = out.0.iter().map(|f| f.check.as_str()).collect();
    assert_eq!(names.len(), out.0.len(), "{names:?}");
    assert!(names.len() >= 25, "{}: {names:?}", names.len());
    assert!(out.0.iter().all(|f| f.hint.is_empty() == (f.state == Mark::Ok)), "{:#?}", out.0);
}
