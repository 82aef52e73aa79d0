//! The device's judgement: events in, commits and effects out. Pure and deterministic.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod api;
