//! `pinnace keys init`: the drafts of the first metadata.
use std::path::Path;

use pinnace_controlplane::ceremony::change::Expiry;
use pinnace_controlplane::ceremony::first::{self, Holders};
use pinnace_controlplane::ceremony::short;
use pinnace_controlplane::keys;
use pinnace_controlplane::limits::{FAMILY_LIFE_S, TARGETS_LIFE_S};
use pinnace_protocol::trust::TufKey;

use super::{next_steps, publics, write_new};
use crate::args::KeysInitArgs;
use crate::output::{Failure, line};

/// Runs the command.
pub fn run(args: &KeysInitArgs) -> Result<(), Failure> {
    let holders = Holders {
        root: publics(&args.root)?,
        root_threshold: args.root_threshold,
        director_root: publics(&args.director_root)?,
        targets: publics(&args.targets)?,
        targets_threshold: args.targets_threshold,
        snapshot: vec![online(&args.online, "snapshot")?],
        timestamp: vec![online(&args.online, "timestamp")?],
        director: vec![online(&args.online, "director")?],
    };
    let now = super::super::now();
    let expiry = Expiry {
        root: now.saturating_add(args.days.saturating_mul(86_400)),
        targets: now.saturating_add(TARGETS_LIFE_S),
        family: now.saturating_add(FAMILY_LIFE_S),
    };
    let drafts = [
        (args.out.join("image.draft.json"), first::image(&holders, expiry)?),
        (args.out.join("director.draft.json"), first::director(&holders, expiry)?),
    ];
    for (path, draft) in &drafts {
        write_new(path, &draft.to_bytes()?)?;
    }
    for (path, draft) in &drafts {
        line(format!("Draft {}:", path.display()));
        next_steps(path, draft)?;
    }
    line("Last, on the machine of the control plane: pinnace up --data DATA-FOLDER-OF-THE-PLANE");
    Ok(())
}

/// Returns a key of the plane: its public half, from the key when only that is here, or a new one.
fn online(dir: &Path, name: &str) -> Result<TufKey, Failure> {
    let path = dir.join(format!("{name}.key"));
    let public = keys::public_path(&path);
    if public.exists() {
        return Ok(keys::read_public(&public)?);
    }
    if path.exists() {
        let key = keys::read(&path)?;
        keys::write_public(&path, &key)?;
    } else {
        keys::generate(&path)?;
        line(format!("Made the plane's {name} key: {}", path.display()));
    }
    let key = keys::read_public(&public)?;
    line(format!("The plane's {name} key is {}.", short(&key.key_id())));
    Ok(key)
}
