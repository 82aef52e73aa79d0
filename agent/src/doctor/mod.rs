//! `pinnace-agent doctor`: what may go wrong with a device, before it does, and what to do about it.
//!
//! Works beside a running agent and without one. Nothing is changed: a ledger that no agent holds is opened, read and
//! closed. Every check looks at what it was given ([`Places`]), so that tests can plant each fault.
mod findings;
mod home;
mod identity;
mod local;
mod machine;
mod memory;
mod net;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use pinnace_firmware_targets::DeviceProfile;

use crate::engine::{Engines, LibrarySearch, ProbePolicy};
use crate::identity::Identity;
use crate::ledger::LedgerKind;

pub use findings::{Finding, Findings, Mark};
pub use home::FileSystem;
pub use machine::Machine;

/// Where a doctor looks.
pub struct Places {
    /// The agent's folder.
    pub home: PathBuf,
    /// The local API of the running agent.
    pub listen: SocketAddr,
    /// The root below which `/proc`, `/sys` and `/etc` lie.
    pub root: PathBuf,
    /// Seconds since 1970 by the device's clock.
    pub now_s: u64,
    /// Library of ONNX Runtime, when one is named.
    pub ort: Option<PathBuf>,
    /// How libraries are probed.
    pub policy: ProbePolicy,
    /// The user who asks; files of others cannot be used.
    pub uid: u32,
}

/// Looks at everything and returns what was found.
pub async fn look(places: &Places) -> Findings {
    let mut out = Findings::default();
    home::check(places, &mut out);
    let identity = identity::check(places, &mut out);
    let profile = machine::check_profile(identity.as_ref(), &mut out);
    let machine = Machine::of(&places.root);
    let need = profile.as_ref().map_or(0, |p| u64::from(p.model.budget_mb) * 1_000_000);
    match FileSystem::of(&places.home) {
        Ok(system) => system.check(need, &mut out),
        Err(why) => out.fail("disk", why, "look at the file system of --home (`df`, `dmesg`)"),
    }
    machine.check(profile.as_ref(), &mut out);
    engines(places, profile.as_ref(), &mut out);
    let status = local::check(places.listen, places.now_s, &mut out).await;
    memory::check(places, status.is_some(), &mut out);
    if let Some(identity) = &identity {
        net::check(identity, &mut out).await;
    } else {
        out.warn("broker", "not looked for: without an identity there is no address", "pinnace-agent join TOKEN");
    }
    out
}

fn engines(places: &Places, profile: Option<&DeviceProfile>, out: &mut Findings) {
    let fallback = pinnace_firmware_targets::builtin_names().next().and_then(|name| {
        // Only which engines are looked for depends on it.
        pinnace_firmware_targets::builtin(name).ok()
    });
    let Some(profile) = profile.cloned().or(fallback) else { return };
    let search = LibrarySearch::of_this_system(places.ort.clone(), Vec::new());
    let found = Arc::new(tokio::task::block_in_place(|| Engines::discover(&profile, &search, places.policy.clone())));
    let labels: Vec<String> = found.capabilities().into_iter().map(|c| c.label).collect();
    machine::check_engines(&labels, found.notes(), &profile, out);
}

/// Returns who this device is when that can be read.
fn load(places: &Places) -> Result<Identity, crate::identity::IdentityError> {
    Identity::load(&places.home)
}

/// Returns which ledger lies below `home`.
fn ledger_kind(places: &Places) -> Option<LedgerKind> {
    LedgerKind::found_in(&places.home.join("ledger"))
}

#[cfg(test)]
mod tests;
