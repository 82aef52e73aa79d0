//! S3: once a device had a healthy model, every start finds a runnable one.
use std::collections::BTreeSet;

/// Who had a healthy model, and whose storage was damaged by more than lost power.
#[derive(Debug, Default)]
pub struct Runnable {
    healthy: BTreeSet<usize>,
    damaged: BTreeSet<usize>,
}

impl Runnable {
    /// A candidate became the active model and that is durable.
    pub fn promoted(&mut self, device: usize, was_loaded: bool) -> Result<(), String> {
        self.healthy.insert(device);
        if was_loaded { Ok(()) } else { Err("a model was promoted that is not loaded".into()) }
    }

    /// A bit of a stored bundle flipped: from now on a load may fail.
    pub fn rotted(&mut self, device: usize) {
        self.damaged.insert(device);
    }

    /// Returns whether a device's storage was damaged by more than lost power.
    pub fn is_damaged(&self, device: usize) -> bool {
        self.damaged.contains(&device)
    }

    /// The process has started; `loads` says whether it began to load an active model.
    pub fn started(&self, device: usize, loads: bool) -> Result<(), String> {
        let owed = self.healthy.contains(&device) && !self.is_damaged(device);
        if owed && !loads { Err("it had a healthy model and starts without one".into()) } else { Ok(()) }
    }

    /// A load of the active model ended.
    pub fn loaded(&self, device: usize, result: Result<(), &str>) -> Result<(), String> {
        match result {
            Err(why) if !self.is_damaged(device) => Err(format!("the active model is not runnable: {why}")),
            _ => Ok(()),
        }
    }
}
