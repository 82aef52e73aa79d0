//! The manifest of a bundle, and the plan of chunks that follows from it.
use pinnace_protocol::limits::{MANIFEST_MAX_BLOBS, MANIFEST_MAX_BYTES};
use pinnace_protocol::manifest::{Manifest, ManifestError, Role};

use crate::target::{Budget, Form, Target};
use crate::verdict::{Verdict, magnitude, variant};

pub const TARGET: Target = Target {
    name: "manifest",
    what: "the manifest of a bundle, with its lists of chunks",
    form: Form::Json,
    max_bytes: MANIFEST_MAX_BYTES + 64,
    budget: Budget { base: 64 * 1024, per_byte: 200 },
    cost: 1,
    words: &[
        "spec",
        "pinnace-manifest/1",
        "family",
        "version",
        "release_counter",
        "created",
        "compat",
        "hardware",
        "arch",
        "memory_mib",
        "signature",
        "task",
        "classification",
        "regression",
        "input",
        "output",
        "label_output",
        "classes",
        "features",
        "name",
        "kind",
        "numeric",
        "categorical",
        "unit",
        "variants",
        "blob",
        "engines",
        "tract",
        "blobs",
        "role",
        "model",
        "golden",
        "profile",
        "card",
        "length",
        "sha256",
        "chunk",
        "chunks",
        "32768",
        "131072",
        "2147483648",
        "model.onnx",
        "unknown-role",
        "../",
        "rain",
    ],
    run,
    repair: None,
};

/// Chunks of a blob that are looked at one by one.
const CHUNKS_MAX: u64 = 4096;

fn run(input: &[u8]) -> Verdict {
    let manifest = match Manifest::parse(input) {
        Ok(manifest) => manifest,
        Err(ManifestError::Invalid { field, why }) => return Verdict::refused(field, why),
        Err(fault) => return Verdict::refused(&variant(&fault), fault),
    };
    match manifest.to_bytes() {
        Ok(bytes) => assert_eq!(Manifest::parse(&bytes).as_ref(), Ok(&manifest), "it says the same when written again"),
        Err(ManifestError::TooLarge { .. }) => {}
        Err(fault) => assert!(manifest.blobs.iter().any(|b| b.role == Role::Other), "{fault}"),
    }
    let path = manifest.target_path();
    assert!(!path.contains(['/', '\\', '\0', '%']) && !path.starts_with('.'), "{path:?} is no plain name");
    assert!(manifest.blobs.len() <= MANIFEST_MAX_BLOBS);
    assert_eq!(manifest.total_bytes(), manifest.blobs.iter().map(|b| b.length).sum::<u64>());
    for blob in &manifest.blobs {
        let (count, digests) = (blob.layout().count(), blob.chunk_digests());
        assert_eq!(digests.len() as u64, count, "one digest for each chunk");
        assert_eq!(blob.layout().len(count), 0, "nothing behind the last chunk");
        assert_eq!(blob.layout().len(u64::MAX), 0);
        if count <= CHUNKS_MAX {
            let lengths = (0..count).map(|i| blob.layout().len(i));
            assert!(lengths.clone().all(|l| l > 0 && l <= blob.chunk));
            assert_eq!(lengths.sum::<u64>(), blob.length);
        }
        assert!(!blob.name.contains(['/', '\\', '\0']) && !blob.name.starts_with('.'), "{:?}", blob.name);
    }
    for v in &manifest.variants {
        assert!(manifest.blob_named(&v.blob).is_some_and(|b| b.role == Role::Model));
    }
    let roles = manifest.blobs.iter().map(|b| 1 << (b.role as u32)).fold(0, |a, b| a | b);
    Verdict::accepted(format!("{} blobs, roles {roles:x}", magnitude(manifest.blobs.len() as u64)))
}
