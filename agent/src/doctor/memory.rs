//! What the device remembers: floors, pointers, ledger, and the models that they name.
use pinnace_agent_core::api::Key;
use pinnace_agent_core::inspect::{Remembered, SlotUse, are_pointers_sound, remembered};
use pinnace_agent_core::limits::{ATTEMPTS_MAX, OUTBOX_MAX_WINDOWS};
use pinnace_protocol::trust::{Floors, Released};

use super::identity::first_line;
use super::{Findings, Mark, Places};
use crate::ledger::LedgerError;
use crate::slots::Slots;
use crate::twoslot::TwoSlotFile;

/// Seconds that a clock may be behind a signed time: documents are signed by another clock.
const SKEW_S: u64 = 300;
/// Seconds since 1970 when this source was written.
const NOT_BEFORE_S: u64 = crate::run::NOT_BEFORE_S;

/// Checks what is on disk; `runs` says that an agent holds the ledger rightly.
pub(super) fn check(places: &Places, runs: bool, out: &mut Findings) {
    floors(places, out);
    pointers(places, out);
    if let Some(found) = ledger(places, runs, out) {
        judge(places, &found, out);
    }
}

/// Judges what the device remembers.
pub(super) fn judge(places: &Places, found: &Remembered, out: &mut Findings) {
    match &found.active {
        Some(active) => model("active model", active, true, places, out),
        None => out.warn("active model", "none yet", "assign a bundle: `pinnace rollout start`"),
    }
    match &found.fallback {
        Some(fallback) => model("fallback model", fallback, false, places, out),
        None => out.ok("fallback model", "none: the next release leaves one"),
    }
    candidate(places, found, out);
    quarantine(places.now_s, found, out);
    let full = found.windows * 2 > OUTBOX_MAX_WINDOWS;
    out.add(
        "outbox",
        if full { Mark::Warn } else { Mark::Ok },
        format!("{} of {OUTBOX_MAX_WINDOWS} windows wait, {} were merged or lost", found.windows, found.windows_lost),
        "bring the device online: the oldest windows are merged when there is no room for more",
    );
}

fn floors(places: &Places, out: &mut Findings) {
    let hint = "one sound record is enough; with none, nothing is installed until the director answers. Check the disk";
    let records = match TwoSlotFile::new(&places.home, "floors").load() {
        Ok(records) => records,
        Err(e) => return out.fail("floors", first_line(&e), hint),
    };
    if records.iter().all(Option::is_none) {
        out.warn("floors", "none yet", "they are written at the first start: `pinnace-agent run`");
        return clock(places.now_s, NOT_BEFORE_S, out);
    }
    let read: Vec<Floors> = records.iter().flatten().filter_map(|bytes| Floors::decode(bytes).ok()).collect();
    match read.len() {
        2 => out.ok("floors", "both records are sound"),
        1 => out.warn("floors", "one of both records is damaged or missing", hint),
        _ => out.fail("floors", "both records are damaged", hint),
    }
    let floor = read.iter().map(Floors::time).max().unwrap_or(0).max(NOT_BEFORE_S);
    clock(places.now_s, floor, out);
}

fn clock(now: u64, floor: u64, out: &mut Findings) {
    if now.saturating_add(SKEW_S) < floor {
        let found = format!("{} h behind a time that was signed", (floor - now) / 3600);
        out.fail("clock", found, "set it, and let a time service keep it (timedatectl set-ntp true)");
    } else {
        out.ok("clock", "not before the last signed time");
    }
}

fn pointers(places: &Places, out: &mut Findings) {
    let hint = "both are repaired at the next start; if this returns, the storage wears out";
    let records = match TwoSlotFile::new(&places.home, "pointers").load() {
        Ok(records) => records,
        Err(e) => return out.fail("pointers", first_line(&e), hint),
    };
    if records.iter().all(Option::is_none) {
        return out.ok("pointers", "none yet");
    }
    match records.iter().flatten().filter(|bytes| are_pointers_sound(bytes)).count() {
        2 => out.ok("pointers", "both records are sound"),
        1 => out.warn("pointers", "one of both records is damaged or missing", hint),
        _ => out.fail("pointers", "both records are damaged", hint),
    }
}

fn ledger(places: &Places, runs: bool, out: &mut Findings) -> Option<Remembered> {
    let kind = super::ledger_kind(places);
    let Some(kind) = kind else {
        out.warn("ledger", "none yet", "it is made at the first start: `pinnace-agent run`");
        return None;
    };
    let hint = "check free space and the disk; the agent goes on from the last commit, or from the pointers without it";
    let opened = kind.open(&places.home.join("ledger")).and_then(|ledger| ledger.load());
    let records = match opened {
        Ok(records) => records,
        Err(LedgerError::InUse { .. }) if runs => {
            out.ok("ledger", format!("{}, held by the running agent", kind.as_str()));
            return None;
        }
        Err(e @ LedgerError::InUse { .. }) => {
            let hint =
                "another process holds it, and no agent answers at --listen: find it (`fuser`), or name its address";
            out.fail("ledger", first_line(&e), hint);
            return None;
        }
        Err(e @ LedgerError::NotBuilt) => {
            out.warn("ledger", first_line(&e), "use the program that runs on this device");
            return None;
        }
        Err(e) => {
            out.fail("ledger", first_line(&e), hint);
            return None;
        }
    };
    let records: Vec<(Key, Vec<u8>)> =
        records.into_iter().filter_map(|(key, bytes)| Some((Key::parse(&key)?, bytes))).collect();
    let found = remembered(&records);
    if found.is_some() || records.is_empty() {
        out.ok("ledger", format!("{}, {} records", kind.as_str(), records.len()));
    } else {
        out.fail("ledger", "it opens, but its state record is damaged or missing", hint);
    }
    found
}

/// Proves the bytes of a model that may have to run.
fn model(name: &str, held: &SlotUse, serves: bool, places: &Places, out: &mut Findings) {
    let proved = Released::from_ledger(&held.released).map_err(|e| first_line(&e)).and_then(|released| {
        let slots = Slots::open(&places.home).map_err(|e| first_line(&e))?;
        slots.open_bundle(held.slot, &released).map(|_| ()).map_err(|e| first_line(&e))
    });
    match proved {
        Ok(()) => out.ok(name, format!("{} in slot {}, every byte verified", held.bundle, held.slot)),
        Err(why) => {
            let hint =
                "it is fetched again by itself when the control plane is reached; replace the storage if this returns";
            let mark = if serves { Mark::Fail } else { Mark::Warn };
            out.add(name, mark, format!("{} in slot {}: {why}", held.bundle, held.slot), hint);
        }
    }
}

fn candidate(places: &Places, found: &Remembered, out: &mut Findings) {
    let hint = "it is removed when the next bundle comes; to have the room now: stop the agent and remove the folder";
    match &found.candidate {
        Some((held, true)) => out.ok("candidate", format!("{} is whole and waits for its trial", held.bundle)),
        Some((held, false)) => out.ok("candidate", format!("{} is on its way", held.bundle)),
        None => {
            let parts = ["a.part", "b.part"].map(|part| places.home.join("slots").join(part));
            match parts.iter().find(|part| part.exists()) {
                Some(part) => out.warn("candidate", format!("nobody wants {} any more", part.display()), hint),
                None => out.ok("candidate", "nothing left over"),
            }
        }
    }
}

fn quarantine(now: u64, found: &Remembered, out: &mut Findings) {
    let left: Vec<String> = found
        .attempts
        .iter()
        .filter(|a| a.attempts >= ATTEMPTS_MAX && a.until_s > now)
        .map(|a| {
            let (digest, hours) = (a.manifest.to_hex(), (a.until_s - now).div_ceil(3600));
            format!("{} for {hours} h ({}: {})", &digest[..12], a.failure.code.as_str(), a.failure.text)
        })
        .collect();
    if left.is_empty() {
        out.ok("quarantine", "no bundle is left alone");
    } else {
        let hint = "remove the cause named there; a newer assignment is tried at once";
        out.warn("quarantine", left.join("; "), hint);
    }
}
