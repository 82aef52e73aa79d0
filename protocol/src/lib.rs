//! The language spoken in every room of Pinnace: ids, limits, topics, messages, manifest, trust, sketch, drift.
//!
//! Everything here is pure: no clock, disk, socket, thread or random source exists in this crate.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod cbor;
pub mod drift;
pub mod ids;
pub mod join;
pub mod limits;
pub mod manifest;
pub mod message;
pub mod signature;
pub mod sketch;
pub mod time;
pub mod topic;
pub mod transfer;
pub mod trust;
