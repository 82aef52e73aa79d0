//! Documents for third parties: the OpenSSF model signature (a Sigstore bundle around a DSSE envelope).
use std::sync::LazyLock;

use pinnace_trainer::supply::{dsse, key::PublicKey, model_signature::SignedFiles};

use crate::target::{Budget, Form, Target};
use crate::verdict::{Verdict, variant};

pub const TARGET: Target = Target {
    name: "supply",
    what: "model signatures and DSSE envelopes that third parties wrote",
    form: Form::Json,
    max_bytes: 16 * 1024,
    budget: Budget { base: 64 * 1024, per_byte: 100 },
    cost: 1,
    words: &[
        "mediaType",
        "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial",
        "publicKey",
        "hint",
        "dsseEnvelope",
        "payload",
        "payloadType",
        "application/vnd.in-toto+json",
        "signatures",
        "sig",
        "keyid",
        "tlogEntries",
        "eyJ9",
    ],
    run,
    repair: None,
};

/// The public half of the key that signed the corpus; the other half is gone.
static KEY: LazyLock<PublicKey> =
    LazyLock::new(|| PublicKey::from_pem(include_bytes!("supply_key.pem")).expect("a P-256 key"));

fn run(input: &[u8]) -> Verdict {
    let envelope = dsse::Envelope::parse("the envelope", input);
    if let Ok(envelope) = &envelope {
        _ = envelope.open("the envelope", dsse::IN_TOTO, &KEY);
    }
    match SignedFiles::open(input, &KEY) {
        Ok(_) => Verdict::accepted("a model signature"),
        Err(fault) => Verdict::refused(&variant(&fault), format!("{fault} {}", envelope.is_ok())),
    }
}
