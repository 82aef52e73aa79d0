//! Slots in a real folder.
use pinnace_simulator::conformance::hold;
use pinnace_simulator::conformance::slots::{RULES, Tested};

use crate::folders::OnDisk;

fn fresh() -> Result<Box<Tested>, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let home = folder.path().to_owned();
    Ok(Box::new(OnDisk::at(&home, Some(folder))?))
}

#[test]
fn folders_keep_the_rules_of_the_virtual_disk() {
    hold(RULES, fresh).unwrap();
}
