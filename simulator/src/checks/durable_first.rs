//! S8: what a message says is durable before it is sent, so that no power cut can undo it.
use pinnace_agent_core::{Key, UpMessage};
use pinnace_controlplane_core::{Row, Table};
use pinnace_protocol::ids::DeviceId;

use crate::disk::Disk;
use crate::plane::Store;

/// A device publishes: what it says is on its disk already.
pub fn published_is_durable(disk: &Disk, message: &UpMessage) -> Result<(), String> {
    let said = match message {
        UpMessage::Hello(hello) => hello.generation,
        UpMessage::Report(report) => report.generation,
        UpMessage::Window(window) => {
            let durable = disk.ledger.is_durable(&Key::Window(window.seq));
            let missing = || format!("window {} is published and not durable", window.seq);
            return if durable { Ok(()) } else { Err(missing()) };
        }
        UpMessage::Want(_) | UpMessage::Done(_) => return Ok(()),
    };
    let durable = disk.generation().unwrap_or(0);
    if said > durable {
        return Err(format!("generation {said} is told, generation {durable} is durable"));
    }
    Ok(())
}

/// The plane publishes an order: the device's row names it already.
pub fn order_is_durable(store: &Store, device: &DeviceId, generation: u64) -> Result<(), String> {
    let stored = match store.row(Table::Device, device.as_str()) {
        Some(Row::Device(row)) => row.generation,
        _ => 0,
    };
    if generation > stored {
        return Err(format!("generation {generation} is ordered for {device}, generation {stored} is stored"));
    }
    Ok(())
}
