//! The desk where commands to single devices wait for their answers; nothing of it survives a restart but the history.
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pinnace_protocol::ids::DeviceId;
use pinnace_protocol::limits::{DIAGNOSTICS_MAX_LINES, TEXT_MAX_BYTES};
use pinnace_protocol::message::{Command, CommandDone, CommandKind};

use crate::api::types::LastCommand;
use crate::limits::{COMMANDS_MAX, DIAGNOSTICS_MAX};

#[derive(Debug)]
struct Slip {
    number: u64,
    kind: CommandKind,
    /// Sealed, with the second after which it is void; none once it was answered.
    waiting: Option<(u64, Vec<u8>)>,
    answer: Option<(&'static str, String)>,
    lines: Vec<String>,
}

/// The last command of each device.
#[derive(Debug, Default)]
pub struct Desk(Mutex<BTreeMap<DeviceId, Slip>>);

impl Desk {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<DeviceId, Slip>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a command that was sent, sealed as `bytes`; it replaces an earlier one of the device.
    pub fn given(&self, device: &DeviceId, command: &Command, bytes: Vec<u8>) {
        let waiting = Some((command.expires_s, bytes));
        let slip = Slip { number: command.number, kind: command.kind, waiting, answer: None, lines: Vec::new() };
        self.put(device, slip);
    }

    fn put(&self, device: &DeviceId, slip: Slip) {
        let mut slips = self.lock();
        if slips.len() >= COMMANDS_MAX && !slips.contains_key(device) {
            // The oldest number was given longest ago.
            let oldest = slips.iter().min_by_key(|(_, slip)| slip.number).map(|(device, _)| device.clone());
            oldest.map(|device| slips.remove(&device));
        }
        slips.insert(device.clone(), slip);
    }

    /// Returns the command that a device which connects has not answered yet and that is still good.
    pub fn waiting(&self, device: &DeviceId, now_s: u64) -> Option<Vec<u8>> {
        let slips = self.lock();
        let (expires_s, bytes) = slips.get(device)?.waiting.as_ref()?;
        (*expires_s >= now_s).then(|| bytes.clone())
    }

    /// Takes a device's answer; returns whether it is news. Devices repeat it with every connection.
    pub fn answered(&self, device: &DeviceId, done: &CommandDone) -> bool {
        let is_old = |slip: &Slip| slip.number > done.number || (slip.number == done.number && slip.answer.is_some());
        if self.lock().get(device).is_some_and(is_old) {
            return false;
        }
        let plain = |text: &str, max: usize| text.chars().filter(|c| !c.is_control()).take(max).collect::<String>();
        let lines = done.lines.iter().take(DIAGNOSTICS_MAX_LINES).map(|line| plain(line, usize::MAX)).collect();
        let answer = Some((done.outcome.as_str(), plain(&done.text, TEXT_MAX_BYTES)));
        self.put(device, Slip { number: done.number, kind: done.kind, waiting: None, answer, lines });
        let mut slips = self.lock();
        let mut with_lines: Vec<_> = slips.iter_mut().filter(|(_, slip)| !slip.lines.is_empty()).collect();
        if with_lines.len() > DIAGNOSTICS_MAX
            && let Some((_, oldest)) = with_lines.iter_mut().min_by_key(|(_, slip)| slip.number)
        {
            oldest.lines = Vec::new();
        }
        true
    }

    /// Returns the last command of a device and how it ended.
    pub fn last(&self, device: &DeviceId) -> Option<LastCommand> {
        let slips = self.lock();
        let slip = slips.get(device)?;
        let (outcome, text) =
            slip.answer.clone().map_or((None, String::new()), |(word, text)| (Some(word.into()), text));
        Some(LastCommand {
            number: slip.number,
            kind: slip.kind.as_str().into(),
            outcome,
            text,
            lines: slip.lines.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinnace_protocol::message::{CommandOutcome, Counter};

    fn device(number: usize) -> DeviceId {
        DeviceId::parse(&format!("dev-{number}")).unwrap()
    }

    fn command(number: u64) -> Command {
        Command { number, expires_s: 100, kind: CommandKind::CollectDiagnostics }
    }

    fn done(number: u64, lines: usize) -> CommandDone {
        CommandDone {
            counter: Counter::default(),
            number,
            kind: CommandKind::CollectDiagnostics,
            outcome: CommandOutcome::Done,
            text: "here\u{1b}[31m".into(),
            lines: vec!["a line".into(); lines],
        }
    }

    #[test]
    fn a_command_waits_until_it_is_answered_or_void_and_an_answer_is_news_once() {
        let desk = Desk::default();
        desk.given(&device(1), &command(7), vec![1]);
        assert_eq!((desk.waiting(&device(1), 100), desk.waiting(&device(1), 101)), (Some(vec![1]), None));
        assert!(!desk.answered(&device(1), &done(6, 0)), "of a command before");
        assert!(desk.answered(&device(1), &done(7, 2)));
        assert!(!desk.answered(&device(1), &done(7, 0)), "repeated");
        let last = desk.last(&device(1)).unwrap();
        assert_eq!((last.outcome.as_deref(), last.text.as_str(), last.lines.len()), (Some("done"), "here[31m", 2));
        assert_eq!(desk.waiting(&device(1), 0), None);
        // After a restart of the plane nothing is remembered, and the answer is taken.
        assert!(desk.answered(&device(2), &done(9, 0)));
    }

    #[test]
    fn the_desk_is_bounded() {
        let desk = Desk::default();
        for number in 0..COMMANDS_MAX + 10 {
            desk.given(&device(number), &command(number as u64), Vec::new());
        }
        assert_eq!(desk.lock().len(), COMMANDS_MAX);
        for number in 0..DIAGNOSTICS_MAX + 10 {
            desk.answered(&device(number + 100), &done(1_000_000 + number as u64, 3));
        }
        assert_eq!(desk.lock().values().filter(|slip| !slip.lines.is_empty()).count(), DIAGNOSTICS_MAX);
    }
}
