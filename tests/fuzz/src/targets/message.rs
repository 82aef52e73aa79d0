//! CBOR documents between device and plane: read as every type there is.
use std::fmt::Debug;

use pinnace_protocol::cbor::{self, CborError};
use pinnace_protocol::limits::PAYLOAD_MAX_BYTES;
use pinnace_protocol::message::{Ack, Envelope, Frame, Hello, LogLines, Report, Want, Window};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::target::{Budget, Form, Target};
use crate::verdict::{Verdict, variant};

pub const TARGET: Target = Target {
    name: "message",
    what: "CBOR of every message: chunk frames, acknowledgements, hellos, reports, windows, wants, log lines, envelopes",
    form: Form::Cbor,
    max_bytes: 16 * 1024,
    // An array of 65,536 empty strings is 64 KiB on the wire and 1.5 MiB as strings.
    budget: Budget { base: 64 * 1024, per_byte: 120 },
    cost: 1,
    words: &["Meta", "Chunk", "Chunks", "Healthy", "3.snapshot.json", "\u{0}", "dev-1", "tract"],
    run,
    repair: None,
};

fn run(input: &[u8]) -> Verdict {
    let all = [
        read::<Frame>("frame", input),
        read::<Ack>("ack", input),
        read::<Hello>("hello", input),
        read::<Report>("report", input),
        read::<Window>("window", input),
        read::<Want>("want", input),
        read::<LogLines>("log", input),
        read::<Envelope>("envelope", input),
    ];
    let taken: Vec<&str> = all.iter().filter_map(|r| r.as_ref().ok().copied()).collect();
    if taken.is_empty() {
        let kind = all[0].as_ref().err().map(variant).unwrap_or_default();
        let texts: Vec<String> = all.iter().filter_map(|r| Some(r.as_ref().err()?.to_string())).collect();
        // The hint is the same for all.
        let why: String = texts.iter().filter_map(|t| t.lines().next()).map(|t| t.get(..60).unwrap_or(t)).collect();
        return Verdict::refused(&kind, why);
    }
    Verdict { word: format!("accepted as {}", taken.join(", ")), detail: String::new() }
}

fn read<T: DeserializeOwned + Serialize + PartialEq + Debug>(
    name: &'static str,
    input: &[u8],
) -> Result<&'static str, CborError> {
    let value: T = cbor::decode(input, PAYLOAD_MAX_BYTES)?;
    let written = cbor::encode(&value).expect("our own types can be written");
    assert_eq!(cbor::decode::<T>(&written, PAYLOAD_MAX_BYTES + 64).as_ref(), Ok(&value), "{name} says the same");
    Ok(name)
}
