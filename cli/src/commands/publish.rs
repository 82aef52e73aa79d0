//! `pinnace publish`: sign a bundle with the offline keys and hand it to the registry.
use std::collections::BTreeMap;
use std::path::Path;

use pinnace_controlplane::ceremony::{Document, Draft, Repository, describe};
use pinnace_controlplane::keys::{self, KeySet, Offline};
use pinnace_protocol::ids::{BundleRef, Family};
use pinnace_protocol::trust::Signer;
use pinnace_protocol::trust::metadata::{ROOT, TARGETS};
use pinnace_protocol::trust::names::metadata_name;
use pinnace_trainer::bundle::Bundle;
use pinnace_trainer::release::{Current, Release, Signers, release, unsigned};
use pinnace_trainer::supply::{self, key::SigningKey};

use crate::args::PublishArgs;
use crate::client::Client;
use crate::output::{Failure, line};

/// Runs the command.
pub async fn run(args: PublishArgs) -> Result<(), Failure> {
    let client = Client::new(&args.plane)?;
    let hardware = if args.hardware.is_empty() { all_hardware() } else { args.hardware };
    if let Some(path) = &args.draft {
        // Signed for third parties before, with `pinnace bundle sign`, or not at all: no key is at hand here.
        let bundle = Bundle::load(&args.bundle)?;
        let people = args.trainer.as_deref().zip(args.approver.as_deref());
        return draft(&client, &bundle, people, &hardware, path, &args.bundle).await;
    }
    let published = match &args.signed {
        Some(path) => publish_signed(&client, &Bundle::load(&args.bundle)?, path).await?,
        None => {
            let keys = args.keys.unwrap_or_else(|| args.plane.data.join("keys"));
            // Kept in the folder: signing again would make another bundle of the same version.
            let bundle = sign_folder(&args.bundle, &keys)?;
            publish(&client, &bundle, &keys, &hardware).await?
        }
    };
    let hardware = if args.signed.is_some() { "the hardware it was signed for".into() } else { hardware.join(", ") };
    line(format!("Published {published}, signed by trainer and approver for {hardware}."));
    line(format!("Next: pinnace rollout start {published} --watch"));
    Ok(())
}

/// Writes the draft of a release, for people to sign on their own machines.
async fn draft(
    client: &Client,
    bundle: &Bundle,
    people: Option<(&Path, &Path)>,
    hardware: &[String],
    path: &Path,
    folder: &Path,
) -> Result<(), Failure> {
    let family = bundle.manifest.family.as_str();
    let (current, root) = current(client, family).await?;
    let keys = match people {
        Some((trainer, approver)) => Some([keys::read_public(trainer)?, keys::read_public(approver)?]),
        None => None,
    };
    let unsigned = unsigned(bundle, hardware, &current, keys.as_ref(), super::now())?;
    let mut documents = Vec::new();
    if let Some(targets) = &unsigned.targets {
        documents.push(Document::unsigned(TARGETS, targets)?);
    }
    documents.push(Document::unsigned(family, &unsigned.family)?);
    let mut present = vec![Document::of(ROOT, &root)?, Document::of(TARGETS, &current.targets)?];
    if let Some(bytes) = &current.family {
        present.push(Document::of(family, bytes)?);
    }
    let draft = Draft::new(Repository::Image, documents, present)?;
    for text in describe(&draft, super::now())? {
        line(text);
    }
    super::keys::write_new(path, &draft.to_bytes()?)?;
    line(format!("Draft written: {}. Trainer and approver, each where the own key is:", path.display()));
    line(format!("  pinnace keys sign {} --key FILE", path.display()));
    line("Then, with the signature files beside the draft:");
    line(format!("  pinnace publish {} --signed {}", folder.display(), path.display()));
    Ok(())
}

/// Publishes what people signed on their own machines.
async fn publish_signed(client: &Client, bundle: &Bundle, path: &Path) -> Result<BundleRef, Failure> {
    let draft = super::keys::publish::signed(path, &super::keys::publish::beside(path)?)?;
    let family = bundle.manifest.family.to_string();
    let mut files: BTreeMap<String, Vec<u8>> = draft.files()?.into_iter().collect();
    let metadata = files.remove(&family).ok_or_else(|| {
        Failure::error(format!("the draft is not for family {family}\n  hint: name the draft of this bundle"))
    })?;
    let targets_metadata = files.remove(TARGETS);
    let manifest = bundle.manifest.to_bytes()?;
    upload(client, bundle).await?;
    client.release(&Release { role: family, metadata, targets_metadata, manifest }).await
}

async fn upload(client: &Client, bundle: &Bundle) -> Result<(), Failure> {
    for (blob, content) in bundle.manifest.blobs.iter().zip(&bundle.contents) {
        client.put_blob(&blob.sha256.to_hex(), content.clone()).await?;
    }
    Ok(())
}

/// Returns what is published of a family and above it, and the root.
async fn current(client: &Client, family: &str) -> Result<(Current, Vec<u8>), Failure> {
    let repository = client.repository().await?;
    let mut current = Current::default();
    for role in &repository.roles {
        if role.role == TARGETS {
            current.targets = client.metadata(&role.file).await?;
        } else if role.role == family {
            current.family = Some(client.metadata(&role.file).await?);
        }
    }
    let root = client.metadata(&metadata_name(ROOT, Some(repository.root))).await?;
    Ok((current, root))
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
    let (current, _) = current(client, family.as_str()).await?;
    let targets = match current.family {
        Some(_) => None,
        None => Some(set.offline(&Offline::Targets)?),
    };
    let signers =
        Signers { targets: targets.as_ref().map(|k| k as &dyn Signer), trainer: &trainer, approver: &approver };
    let signed = release(bundle, hardware, &current, &signers, super::now())?;
    upload(client, bundle).await?;
    client.release(&signed).await
}
