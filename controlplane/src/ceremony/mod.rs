//! The key ceremony: new roots and delegations are drafted here, signed on other machines, and put together again.
//!
//! ```text
//! published ──► change ──► Draft ──► (carried to each machine) ──► Signatures ──► attach ──► published
//!                            └─► words: what is signed, what changes, who is still missing
//! ```
//! Nothing here has a clock, a disk or a secret of its own: the same bytes give the same answer on every machine.
//! [`development`] is the exception: the first metadata of a plane whose keys all lie beside it.
pub mod change;
pub mod development;
mod draft;
mod error;
pub mod first;
mod needs;
mod signatures;
#[cfg(test)]
mod tests;
mod words;

pub use change::Change;
pub use development::{FirstMetadata, FirstMetadataError};
pub use draft::{Document, Draft, Repository};
pub use error::DraftError;
pub use needs::{Need, NeededKey, Who};
pub use signatures::Signatures;
pub use words::{describe, summary};

/// Digits of a key id that people read.
const SHORT_ID: usize = 8;

/// Returns the beginning of a key id, as people read it.
pub fn short(id: &str) -> &str {
    id.get(..SHORT_ID).unwrap_or(id)
}
