//! Planted bugs: each makes the simulation's own shells misbehave in one way, to prove that a check sees it.
//!
//! The cores stay as they are. Only tests use these; `pinnace sim` never does.

/// A bug in a shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// No bug.
    None,
    /// The device hands bytes to the engine without verifying them.
    SkipVerification,
    /// The device writes floors to one of the two files only, in place.
    FloorsInOneFile,
    /// The device says "sealed" although chunks are only in the page cache.
    SealWithoutSync,
    /// The device mistakes slot A for slot B.
    SwapSlots,
    /// The device does not flush its ledger and pointers.
    NoFlush,
    /// The plane tells one more device than it was asked to.
    TellOneMore,
    /// The plane does not store which windows it has counted.
    ForgetCounted,
    /// The plane acknowledges windows before they are stored.
    AckBeforeCommit,
    /// The device publishes before it commits.
    PublishBeforeCommit,
    /// The plane does not answer hellos.
    SilentPlane,
    /// The device does not store windows.
    LoseWindows,
    /// The plane does not tell devices to go back.
    KeepBad,
}
