//! `pinnace publish`: sign a bundle with the offline keys and hand it to the registry.
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use pinnace_controlplane::keys::{KeySet, Offline};
use pinnace_protocol::ids::{BundleRef, Family};
use pinnace_protocol::trust::Signer;
use pinnace_trainer::bundle::Bundle;
use pinnace_trainer::release::{Current, Signers, release};
use pinnace_trainer::supply::{self, key::SigningKey};

use crate::args::PublishArgs;
use crate::client::Client;
use crate::output::{Failure, line};

/// Runs the command.
pub async fn run(args: PublishArgs) -> Result<(), Failure> {
    let client = Client::new(&args.plane)?;
    let keys = args.keys.unwrap_or_else(|| args.plane.data.join("keys"));
    // Kept in the folder: signing again would make another bundle of the same version.
    let bundle = sign_folder(&args.bundle, &keys)?;
    let hardware = if args.hardware.is_empty() { all_hardware() } else { args.hardware };
    let published = publish(&client, &bundle, &keys, &hardware).await?;
    line(format!("Published {published}, signed by trainer and approver for {}.", hardware.join(", ")));
    line(format!("Next: pinnace rollout start {published} --watch"));
    Ok(())
}

/// Returns every hardware class known.
pub fn all_hardware() -> Vec<String> {
    pinnace_firmware_targets::builtin_names().map(ToString::to_string).collect()
}

/// Signs the bundle in folder `dir` for third parties, with the offline keys in `keys`.
///
/// # Errors
/// [`Failure`] when it is no whole bundle, a key is missing, or the folder cannot be written.
pub fn sign_folder(dir: &Path, keys: &Path) -> Result<Bundle, Failure> {
    // Checked before any key is touched.
    let family = Bundle::load(dir)?.manifest.family;
    let set = KeySet::open(keys);
    let (trainer, _) = set.family(&family)?;
    Ok(supply::sign_folder(dir, &third_party_key(&set, &family)?, &trainer)?)
}

fn third_party_key(set: &KeySet, family: &Family) -> Result<SigningKey, Failure> {
    Ok(SigningKey::from_pem(set.third_party(family)?.as_bytes())?)
}

/// Signs `bundle` with the offline keys in `keys`, uploads its blobs, then releases it.
///
/// # Errors
/// [`Failure`] when a key is missing or the registry refuses; nothing is visible then.
pub async fn publish(client: &Client, bundle: &Bundle, keys: &Path, hardware: &[String]) -> Result<BundleRef, Failure> {
    let family = &bundle.manifest.family;
    let set = KeySet::open(keys);
    let (trainer, approver) = set.family(family)?;
    let bundle = &supply::sign(bundle, &third_party_key(&set, family)?, &trainer)?;
    let repository = client.repository().await?;
    let mut current = Current::default();
    for role in &repository.roles {
        if role.role == "targets" {
            current.targets = client.metadata(&role.file).await?;
        } else if role.role == family.as_str() {
            current.family = Some(client.metadata(&role.file).await?);
        }
    }
    let targets = match current.family {
        Some(_) => None,
        None => Some(set.offline(&Offline::Targets)?),
    };
    let signers =
        Signers { targets: targets.as_ref().map(|k| k as &dyn Signer), trainer: &trainer, approver: &approver };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let signed = release(bundle, hardware, &current, &signers, now)?;
    for (blob, content) in bundle.manifest.blobs.iter().zip(&bundle.contents) {
        client.put_blob(&blob.sha256.to_hex(), content.clone()).await?;
    }
    client.release(&signed).await
}
