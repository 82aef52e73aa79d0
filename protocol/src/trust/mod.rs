//! What may run on a device, and why: The Update Framework with Uptane's split in two repositories.
//!
//! The *image repository* says what exists; offline keys sign it ([`ImageClient`]). The *director* says what one device
//! should run; an online key signs it ([`verify_director`]). A device runs only what both say ([`intersect`]), and an
//! engine takes only a [`VerifiedBundle`]. [`Floors`] remember the oldest that may still be accepted.
//!
//! Expiry gates installing, never running: nothing here is asked before a model that is installed runs.

pub mod author;
pub mod bundle;
pub mod canonical;
pub mod client;
pub mod delegation;
pub mod director;
pub mod envelope;
pub mod error;
pub mod floors;
pub mod iso_time;
pub mod json;
pub mod key;
pub mod limits;
mod lookup;
pub mod metadata;
pub mod names;
mod open;
mod record;
pub mod released;
pub mod request;
pub mod state;

pub use bundle::{VerifiedBundle, VerifiedManifest};
pub use client::ImageClient;
pub use director::{
    Assignment, DirectorBundle, VerifiedDirector, follow_director_roots, verify_director, verify_director_with,
};
pub use envelope::{Envelope, SignatureEntry};
pub use error::TrustError;
pub use floors::{Floors, Recovered};
pub use key::{PublicKey, Signer, SigningKey, TufKey};
pub use metadata::{Body, MetaFile, RoleKeys, Root, Snapshot, TargetFile, Targets, Timestamp};
pub use released::{Released, intersect};
pub use request::{Document, Fetch, Request, Response, VerifiedTarget};
pub use state::{Store, TrustedState, first_root};
