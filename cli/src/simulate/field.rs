//! An event log that a device recorded in the field, replayed turn by turn.
use std::path::Path;

use pinnace_simulator::field_log;

use super::{NONDETERMINISM, unusable};
use crate::output::{Failure, line};

/// `pinnace sim replay-log`.
pub fn replay(file: &Path) -> Result<(), Failure> {
    let named = |why: String| unusable(format!("{}: {why}", file.display()));
    let hint = "the file is what `pinnace-agent run --event-log FILE` wrote; copy it from the device";
    let length = std::fs::metadata(file).map_err(|e| named(format!("{e}\n  hint: {hint}")))?.len();
    if length > field_log::MAX_BYTES {
        return Err(named(format!("{length} bytes are more than an agent writes\n  hint: {hint}")));
    }
    let bytes = std::fs::read(file).map_err(|e| named(format!("{e}\n  hint: {hint}")))?;
    let replayed = field_log::replay(&bytes).map_err(|e| named(e.to_string()))?;
    line(replayed.to_string());
    match &replayed.differs {
        None => Ok(()),
        Some(_) => Err(Failure::coded(
            NONDETERMINISM,
            format!(
                "the same events gave another step here than on the device\n  hint: agent {} recorded it, this is {}: other versions may judge otherwise; the same version must not, please report it with the file",
                replayed.recorded_by,
                env!("CARGO_PKG_VERSION")
            ),
        )),
    }
}
