//! A step as two digests: enough to tell whether another agent decided the same.
use alloc::vec::Vec;

use pinnace_protocol::cbor;
use pinnace_protocol::ids::Digest;
use serde::{Deserialize, Serialize};

use crate::api::{Effect, Step};

/// The digests of one step's commit and of its effects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepDigest {
    /// SHA-256 of the commit as CBOR; none when nothing was committed.
    pub commit: Option<Digest>,
    /// SHA-256 of the effects, in order, as CBOR; none when there were none.
    pub then: Option<Digest>,
}

impl StepDigest {
    /// Returns the digests of `step`.
    pub fn of(step: &Step) -> Self {
        // The core's own types always encode.
        let digest = |encoded: Result<Vec<u8>, _>| encoded.ok().map(|bytes| Digest::of(&bytes));
        let then: Option<&[Effect]> = Some(step.then.as_slice()).filter(|effects| !effects.is_empty());
        Self {
            commit: step.commit.as_ref().and_then(|batch| digest(cbor::encode(batch))),
            then: then.and_then(|effects| digest(cbor::encode(&effects))),
        }
    }
}
