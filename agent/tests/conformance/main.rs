//! The agent's stores keep the rules that the simulator's virtual disk keeps: ledger, records in two files, slots.
#[path = "../common/folders.rs"]
mod folders;
mod ledger;
mod records;
mod slots;
