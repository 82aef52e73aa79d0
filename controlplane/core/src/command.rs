//! Commands to single devices: who gave which, and how it ended, in the history.
use alloc::format;
use alloc::string::ToString as _;

use pinnace_protocol::ids::DeviceId;
use pinnace_protocol::message::{CommandDone, CommandKind};

use crate::Steward;
use crate::api::{Done, Refusal};
use crate::history::{Entry, EventKind, cut};
use crate::turn::Turn;

impl Steward {
    /// Notes that a person gives a device a command.
    pub(crate) fn give_command(
        &mut self,
        turn: &mut Turn,
        actor: &str,
        device: &DeviceId,
        kind: CommandKind,
    ) -> Result<Done, Refusal> {
        if self.known(device).is_none() {
            return Err(Refusal::UnknownDevice(device.clone()));
        }
        let text = format!("{} told {device}: {}.", cut(actor), kind.as_str());
        self.record(turn, Entry::new(EventKind::CommandGiven, text).by(actor).device(device));
        Ok(Done::Ok)
    }

    /// Notes how a command ended; the shell hands in each answer once.
    pub(crate) fn command_done(&mut self, turn: &mut Turn, device: &DeviceId, done: &CommandDone) {
        if self.known(device).is_none() {
            return;
        }
        let text = format!("{device} says of {}: {}: {}", done.kind.as_str(), done.outcome.as_str(), cut(&done.text));
        let entry = Entry::new(EventKind::CommandDone, text).by("device").device(device);
        self.record(turn, entry.detail("number", done.number.to_string()));
    }
}
