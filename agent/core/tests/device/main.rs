//! The agent core in an in-memory shell: a small signed repository, a director, a disk that can lose power.
mod clocks;
mod commands;
mod damage;
mod defer;
mod disk;
mod failures;
mod hostile;
mod install;
mod log;
mod offline;
mod plane;
mod power;
mod repo;
mod tape;
mod transfer;
mod windows;
mod world;
