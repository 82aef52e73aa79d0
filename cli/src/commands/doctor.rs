//! `pinnace doctor`: what may go wrong with a control plane, before it does.
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use pinnace_agent::doctor::{Findings as Report, Mark};
use pinnace_controlplane::api::types::KeysReply;
use pinnace_controlplane::keys::{self, KeySet};
use pinnace_controlplane::limits::{CLOCK_SKEW_S, TIMESTAMP_LIFE_S};
use pinnace_controlplane::registry::status::{self, Expiry, RoleStatus};
use pinnace_controlplane::registry::{DIRECTOR, DirectorRoots, IMAGE, Published};
use pinnace_controlplane::store;

use super::keys::until;
use crate::args::{DoctorArgs, Format, Plane};
use crate::client::{ADMIN_TOKEN_FILE, Client};
use crate::output::{self, Failure, line};

/// Free bytes below which a plane is in danger: a release may have hundreds of megabytes.
const FREE_WARN_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// Free bytes below which the next release or window may not be written.
const FREE_FAIL_BYTES: u64 = 256 * 1024 * 1024;
/// 2026-01-01T00:00:00Z: this program did not exist before.
const NOT_BEFORE_S: u64 = 1_767_225_600;

/// Runs the command.
pub async fn run(args: DoctorArgs) -> Result<(), Failure> {
    let mut report = Report::default();
    let now = super::now();
    let set = KeySet::open(&args.plane.data.join("keys"));
    let answered = running(&args.plane, &mut report).await;
    let stored = folder(&args.plane, &set, answered.is_some(), &mut report).await;
    if answered.is_none() && stored.is_none() {
        let hint = "start it with `pinnace up`, name its address with --url, or its data folder with --data";
        report.add("control plane", Mark::Fail, "neither answers nor has a data folder here", hint);
    }
    if let Some(roles) = answered.as_ref().map(|reply| &reply.roles).or(stored.as_ref()) {
        check_roles(roles, now, &mut report);
        let development = answered.as_ref().map_or_else(|| set.is_development(), |reply| reply.development_keys);
        if !development {
            check_places(roles, &mut report);
        }
        check_clock(roles, answered.as_ref().map(|reply| reply.now), now, &mut report);
    }
    let failed = report.any_fails();
    print(&report, args.plane.output);
    if failed {
        Err(Failure::error("something fails\n  hint: follow the hints above, then run `pinnace doctor` again"))
    } else {
        Ok(())
    }
}

fn print(report: &Report, format: Format) {
    if format == Format::Json {
        output::json(&serde_json::json!(report.0));
        return;
    }
    let rows = report.0.iter().map(|f| vec![f.check.clone(), f.state.as_str().into(), f.found.clone()]);
    output::table(&["check", "state", "found"], rows.collect(), "Nothing was checked.");
    for finding in report.0.iter().filter(|finding| !finding.hint.is_empty()) {
        line(format!("{} {}: {}", finding.state.as_str(), finding.check, finding.hint));
    }
}

/// Checks the running plane; `None` when it does not answer.
async fn running(plane: &Plane, report: &mut Report) -> Option<KeysReply> {
    let reply = match Client::new(plane) {
        Ok(client) => client.keys().await.ok().map(|keys| (client, keys)),
        Err(_) => None,
    };
    let Some((client, keys)) = reply else {
        let hint = "start it with `pinnace up`; what its data folder shows is checked below";
        report.add("control plane", Mark::Warn, format!("{} does not answer", plane.url), hint);
        return None;
    };
    report.ok("control plane", format!("{} answers", plane.url));
    // An unwell plane answers with status 503, and with the same body.
    let metrics = client.text("/metrics").await.unwrap_or_default();
    let truth = |name: &str| metrics.lines().any(|line| line == format!("{name} 1"));
    if truth("pinnace_broker_connected") {
        report.ok("broker", "connected");
    } else {
        report.add(
            "broker",
            Mark::Fail,
            "not connected",
            "look at the plane's log; check the broker's address and certificate",
        );
    }
    if keys.development_keys {
        development(report);
    }
    Some(keys)
}

fn development(report: &mut Report) {
    let hint = "hold a ceremony before real devices join: `pinnace keys init --help`; docs/KEYS.md has every command";
    report.add("offline keys", Mark::Warn, "they lie beside the control plane: development set", hint);
}

/// Checks the data folder; returns the roles that its database shows.
async fn folder(plane: &Plane, set: &KeySet, answered: bool, report: &mut Report) -> Option<Vec<RoleStatus>> {
    let data = &plane.data;
    if !data.is_dir() {
        if answered {
            let found = format!("{} is not here", data.display());
            report.add(
                "data folder",
                Mark::Warn,
                found,
                "run doctor on the plane's machine with --data to check keys, disk and database",
            );
        }
        return None;
    }
    check_modes(data, report);
    check_disk(data, report);
    if !answered && set.is_development() {
        development(report);
    }
    let database = data.join("plane.sqlite");
    if !database.exists() {
        report.add("database", Mark::Warn, "there is none yet", "the first `pinnace up` makes it");
        return None;
    }
    match stored(&database, set).await {
        Ok((roles, unused)) => {
            report.ok("database", "opens, the repository in it is readable");
            report.ok("online keys", "the roots name keys that are here");
            for file in unused {
                let hint = "after a rotation the old key is of no use: delete its file";
                report.add("online keys", Mark::Warn, format!("{file} is named by no root"), hint);
            }
            Some(roles)
        }
        Err((name, text)) => {
            let (found, hint) = text
                .split_once("\n  hint: ")
                .unwrap_or((&text, "look at the disk; restore the folder from its backup"));
            report.add(name, Mark::Fail, found, hint);
            None
        }
    }
}

type Stored = (Vec<RoleStatus>, Vec<String>);

/// Reads the roles from the database and holds the online keys against them.
async fn stored(database: &Path, set: &KeySet) -> Result<Stored, (&'static str, String)> {
    let fault = |e: store::StoreError| ("database", e.to_string());
    let reader = store::open_to_read(database).await.map_err(fault)?;
    let files = reader.metadata(IMAGE).await.map_err(fault)?;
    let director = reader.metadata(DIRECTOR).await.map_err(fault)?;
    reader.close().await;
    let files = files.into_iter().map(|(name, bytes)| (name, bytes.into())).collect();
    let published = Published::load(files).map_err(|e| ("repository", e.to_string()))?;
    for role in ["snapshot", "timestamp"] {
        set.online_of(published.root(), role).map_err(|e| ("online keys", e.to_string()))?;
    }
    let director = DirectorRoots::load(director, set).map_err(|e| ("online keys", e.to_string()))?;
    let mut roles = status::roles(&published, &director, super::now());
    let holdings = set.holdings();
    status::locate(&mut roles, &holdings);
    let named = |public: &str| roles.iter().flat_map(|role| &role.keys).any(|key| key.public == public);
    // The message key is named by the anchor, not by a root.
    let online = holdings.iter().filter(|(_, place)| place.starts_with("online/") && place != "online/plane.key");
    let unused = online.filter(|(key, _)| !named(&key.keyval.public)).map(|(_, place)| place.clone()).collect();
    Ok((roles, unused))
}

/// Checks that secrets are readable by their owner alone.
fn check_modes(data: &Path, report: &mut Report) {
    let mut secrets: Vec<PathBuf> = vec![data.join(ADMIN_TOKEN_FILE), data.join("ca/authority.key")];
    let mut damaged = Vec::new();
    for dir in ["keys/online", "keys/offline"] {
        match keys::key_files(&data.join(dir)) {
            Ok(files) => {
                damaged.extend(
                    files.iter().filter(|file| keys::read(file).is_err()).map(|file| file.display().to_string()),
                );
                secrets.extend(files);
            }
            Err(error) => report.add(
                "key files",
                Mark::Fail,
                error.to_string().replace('\n', " "),
                "look at the folder's owner and mode",
            ),
        }
    }
    if !damaged.is_empty() {
        report.add(
            "key files",
            Mark::Fail,
            format!("not readable as keys: {}", damaged.join(", ")),
            "restore them from their backup, or rotate these keys",
        );
    }
    let open: Vec<String> = secrets
        .iter()
        .filter(|file| std::fs::metadata(file).is_ok_and(|found| found.permissions().mode() & 0o077 != 0))
        .map(|file| file.display().to_string())
        .collect();
    if open.is_empty() {
        report.ok("permissions", "secrets are readable by their owner alone");
    } else {
        let hint = format!("chmod 600 {}; rotate what others may have read", open.join(" "));
        report.add("permissions", Mark::Fail, format!("others can read {}", open.join(", ")), hint);
    }
}

fn check_disk(data: &Path, report: &mut Report) {
    let Ok(found) = rustix::fs::statvfs(data) else {
        return report.add("disk", Mark::Fail, "cannot be asked", "look at the file system of the data folder");
    };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let mark = match free {
        0..FREE_FAIL_BYTES => Mark::Fail,
        FREE_FAIL_BYTES..FREE_WARN_BYTES => Mark::Warn,
        _ => Mark::Ok,
    };
    report.add(
        "disk",
        mark,
        format!("{} MiB free", free / 1_048_576),
        "make room: the plane stops when its database cannot be written",
    );
}

fn check_roles(roles: &[RoleStatus], now: u64, report: &mut Report) {
    for role in roles {
        let mark = match role.expiry {
            Expiry::Fine => Mark::Ok,
            Expiry::Soon => Mark::Warn,
            Expiry::Expired => Mark::Fail,
        };
        if role.expires > 0 {
            let online = matches!(role.role.as_str(), "snapshot" | "timestamp");
            let hint = match (online, role.repository.as_str()) {
                (true, _) => "the plane renews it by itself: its log says why it did not".to_owned(),
                (false, "director") => "pinnace keys rotate director-root, then sign and publish the draft".to_owned(),
                (false, _) => format!("pinnace keys rotate {}, then sign and publish the draft", role.role),
            };
            report.add(
                role.name(),
                mark,
                format!("version {}, expires in {}", role.version, until(role.expires, now)),
                hint,
            );
        }
        let keys = role.keys.len() as u64;
        let name = format!("{} keys", role.name());
        let found = format!("{} of {keys} must sign", role.threshold);
        let hint = format!(
            "pinnace keys rotate {} --add NEW.pub",
            if role.repository == "director" { "director-root" } else { &role.role }
        );
        if keys < role.threshold || keys == 0 {
            report.add(
                name,
                Mark::Fail,
                found,
                "fewer keys than signatures needed: nobody can sign this role any more",
            );
        } else if role.role == "root" && role.threshold < 2 {
            report.add(
                name,
                Mark::Warn,
                format!("{found}: whoever takes one key takes the fleet"),
                format!("{hint} --threshold 2"),
            );
        } else if role.role == "root" && keys == role.threshold {
            report.add(name, Mark::Warn, format!("{found}: none may be lost"), hint);
        } else if role.role == "root" {
            report.ok(name, found);
        }
    }
}

/// Says which keys that belong elsewhere lie beside the plane under whatever name; of a development set all do.
fn check_places(roles: &[RoleStatus], report: &mut Report) {
    let offline = roles.iter().filter(|role| !matches!(role.role.as_str(), "snapshot" | "timestamp" | "online"));
    for role in offline {
        let here: Vec<&str> = role.keys.iter().filter_map(|key| key.place.as_deref()).collect();
        if here.is_empty() {
            continue;
        }
        let hint = "move the file to the machine of its owner; rotate the key when others may have read it";
        report.add(format!("{} keys", role.name()), Mark::Warn, format!("beside the plane: {}", here.join(", ")), hint);
    }
}

fn check_clock(roles: &[RoleStatus], plane: Option<u64>, now: u64, report: &mut Report) {
    let hint = "set the clock, and let a time service keep it (timedatectl set-ntp true)";
    let timestamp = roles.iter().find(|role| role.role == "timestamp");
    // Signed by this plane not before its expiry less its life.
    let signed = timestamp.map_or(0, |role| role.expires.saturating_sub(TIMESTAMP_LIFE_S));
    if now < NOT_BEFORE_S || now.saturating_add(CLOCK_SKEW_S) < signed {
        let found = "behind the moment at which the present timestamp was signed";
        report.add("clock", Mark::Fail, found, hint);
    } else if plane.is_some_and(|plane| plane.abs_diff(now) > CLOCK_SKEW_S) {
        let skew = plane.map_or(0, |plane| plane.abs_diff(now));
        report.add("clock", Mark::Warn, format!("{skew} s apart from the control plane's"), hint);
    } else {
        report.ok("clock", "agrees with what was signed");
    }
}
