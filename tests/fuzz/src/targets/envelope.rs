//! Signed messages: a device's, as the plane opens them, and the plane's, as a device does.
use ed25519_dalek::{Signer as _, Verifier as _};
use pinnace_protocol::cbor;
use pinnace_protocol::limits::PAYLOAD_MAX_BYTES;
use pinnace_protocol::message::{
    self, Ack, CommandDone, Envelope, EnvelopeError, Hello, LogLines, Report, Want, Window, open_from_plane,
};
use pinnace_protocol::topic::{Down, Up};
use serde::de::DeserializeOwned;

use crate::fixtures::device::{NAMES, signed_bytes};
use crate::target::{Budget, Form, Target};
use crate::verdict::{Verdict, variant};

pub const TARGET: Target = Target {
    name: "envelope",
    what: "signed messages of a device and of the plane, opened for each topic",
    form: Form::Cbor,
    max_bytes: 16 * 1024,
    budget: Budget { base: 64 * 1024, per_byte: 120 },
    cost: 1,
    words: &["hello", "report", "window", "want", "log", "ack"],
    run,
    repair: Some(repair),
};

fn run(input: &[u8]) -> Verdict {
    let mut outcomes = vec![(
        "ack",
        open_from_plane::<Ack>(&NAMES.plane.verifying_key(), &NAMES.tenant, &NAMES.device, Down::Ack.as_str(), input)
            .map(drop),
    )];
    for kind in Up::ALL {
        let outcome = match kind {
            Up::Hello => open::<Hello>(kind, input),
            Up::Report => open::<Report>(kind, input),
            Up::Window => open::<Window>(kind, input),
            Up::Want => open::<Want>(kind, input),
            Up::Log => open::<LogLines>(kind, input),
            Up::Done => open::<CommandDone>(kind, input),
        };
        outcomes.push((kind.as_str(), outcome));
    }
    for (kind, outcome) in &outcomes {
        // Whatever got as far as its shape was signed for this topic.
        let shaped = matches!(outcome, Err(EnvelopeError::Cbor(cbor::CborError::Shape { .. })));
        let envelope = cbor::decode::<Envelope>(input, PAYLOAD_MAX_BYTES);
        if let Ok(envelope) = envelope
            && (outcome.is_ok() || shaped)
        {
            let (direction, key) = if *kind == "ack" { (b'd', &NAMES.plane) } else { (b'u', &NAMES.report) };
            let signature = envelope.signature.as_slice().try_into().expect("64 bytes");
            let signed = signed_bytes(direction, kind, &envelope.body);
            assert!(key.verifying_key().verify(&signed, &signature).is_ok(), "{kind} was not signed");
        }
    }
    if let Some((kind, _)) = outcomes.iter().find(|(_, outcome)| outcome.is_ok()) {
        return Verdict { word: format!("accepted as {kind}"), detail: String::new() };
    }
    // The one that came furthest speaks.
    let shape = outcomes.iter().find(|(_, o)| matches!(o, Err(e) if !matches!(e, EnvelopeError::Signature { .. })));
    let (kind, error) = shape.or(outcomes.first()).and_then(|(k, o)| Some((*k, o.as_ref().err()?))).expect("refused");
    Verdict::refused(&variant(error), format!("{kind} {error}"))
}

fn open<T: DeserializeOwned>(kind: Up, input: &[u8]) -> Result<(), EnvelopeError> {
    let key = NAMES.report.verifying_key();
    message::open::<T>(&key, &NAMES.tenant, &NAMES.device, kind.as_str(), input).map(drop)
}

/// Signs the body again for one of the topics.
fn repair(input: &[u8], choice: u64) -> Option<Vec<u8>> {
    let mut envelope: Envelope = cbor::decode(input, PAYLOAD_MAX_BYTES).ok()?;
    let kinds = [("hello", b'u'), ("report", b'u'), ("window", b'u'), ("want", b'u'), ("log", b'u'), ("ack", b'd')];
    let (kind, direction) = kinds[usize::try_from(choice % kinds.len() as u64).ok()?];
    let key = if direction == b'd' { &NAMES.plane } else { &NAMES.report };
    envelope.signature = key.sign(&signed_bytes(direction, kind, &envelope.body)).to_vec();
    cbor::encode(&envelope).ok()
}
