//! How the bytes of a bundle travel: how blobs are cut, which pieces are missing, parity to make up for lost ones, and
//! offers of patches.
//!
//! One file, one role: [`cuts`] how a blob is divided, [`bitmap`] what is missing, [`stripes`] which parity chunk makes
//! up for which chunks, `parity` (feature of the same name) the code itself, [`offer`] a patch from what a device has.
pub mod bitmap;
pub mod cuts;
pub mod offer;
#[cfg(feature = "parity")]
pub mod parity;
pub mod stripes;

pub use bitmap::Bitmap;
pub use cuts::Cuts;
pub use offer::PatchOffer;
pub use stripes::Stripes;
