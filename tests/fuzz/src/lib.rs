//! Hostile bytes for everything that reads from a network or a disk.
//!
//! A [`Target`] takes bytes and returns a [`Verdict`]; it panics when a law is broken (what is accepted must say the
//! same when it is written again, floors never sink, nothing unreleased is accepted …). The runner replays the corpus,
//! then mutates it ([`mutate`]), deterministically from a seed, and watches for panics, for more memory than the input's
//! length allows, and for inputs that take far longer than others. No nightly compiler is needed.
//!
//! `targets/` has one file for each reader, `corpus/` its inputs with the verdict each must get.
pub mod corpus;
pub mod coverage;
pub mod execute;
pub mod fixtures;
pub mod fuzz;
pub mod hostile;
pub mod limits;
pub mod memory;
pub mod mutate;
pub mod rng;
pub mod shrink;
pub mod target;
pub mod targets;
pub mod verdict;

pub use target::{Budget, Form, Target};
pub use verdict::Verdict;
