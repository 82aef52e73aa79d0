//! An operator's word to this device: signed, numbered, with an end, and carried out at most once.
//!
//! The number is committed before anything is done, so that neither a replayed message nor a restart in the middle
//! does it twice. How the last command ended is told with every connection.
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use pinnace_protocol::limits::{COMMAND_LIFE_MAX_S, DIAGNOSTICS_MAX_BYTES, DIAGNOSTICS_MAX_LINES, TEXT_MAX_BYTES};
use pinnace_protocol::message::{Command, CommandDone, CommandKind, CommandOutcome, open_from_plane_with};
use pinnace_protocol::topic::Down;

use crate::Agent;
use crate::api::{CommandRefusal, Config, Effect, Level, UpMessage};
use crate::state::Told;
use crate::turn::Turn;

impl Agent {
    /// Takes a command from the broker: believed only when the plane signed it for this device.
    pub(crate) fn commanded(&mut self, turn: &mut Turn, payload: &[u8]) {
        let Config { verifier, plane_key, tenant, device, .. } = &self.config;
        let kind = Down::Command.as_str();
        let command = match open_from_plane_with::<Command>(*verifier, plane_key, tenant, device, kind, payload) {
            Ok(command) => command,
            Err(e) => return turn.log(Level::Error, format!("command refused: {e}")),
        };
        let last = self.state.told.as_ref().map_or(0, |told| told.number);
        if command.number <= last {
            if command.number == last {
                // Sent again because our answer was lost.
                return self.tell_command(turn, Vec::new());
            }
            let text = format!("command {} refused: command {last} came before", command.number);
            return turn.log(Level::Warn, text);
        }
        let kind = command.kind;
        turn.log(Level::Info, format!("command {}: {}", command.number, kind.as_str()));
        self.state.told = Some(Told { number: command.number, kind, ended: None });
        turn.save();
        let now_s = self.clock.judge_s(turn.now, &self.floors);
        if command.expires_s < now_s {
            return self.command_over(turn, CommandOutcome::Refused, "it came too late".into(), Vec::new());
        }
        if command.expires_s > now_s.saturating_add(COMMAND_LIFE_MAX_S) && self.clock.is_attested() {
            // Whoever holds the key for a while must not leave orders for next year.
            return self.command_over(turn, CommandOutcome::Refused, "it is good for too long".into(), Vec::new());
        }
        let done = |text: &str| (CommandOutcome::Done, String::from(text));
        let (outcome, text) = match kind {
            CommandKind::Revert => {
                if self.revert(turn, "taken back by an operator") {
                    done("the newest model is taken back")
                } else {
                    (CommandOutcome::Refused, "there is no model to go back to".into())
                }
            }
            CommandKind::Pause => {
                self.state.paused = true;
                self.look_at_the_moment(turn);
                done("no install begins until resume")
            }
            CommandKind::Resume => {
                self.state.paused = false;
                self.look_at_the_moment(turn);
                done("installs go on")
            }
            CommandKind::CollectDiagnostics | CommandKind::Renew | CommandKind::Restart => {
                return turn.effect(Effect::Command { number: command.number, kind });
            }
        };
        self.command_over(turn, outcome, text, Vec::new());
    }

    /// The shell is through with a command; late answers to earlier ones are ignored.
    pub(crate) fn command_ended(
        &mut self,
        turn: &mut Turn,
        number: u64,
        result: Result<(String, Vec<String>), CommandRefusal>,
    ) {
        if self.state.told.as_ref().is_none_or(|told| told.number != number || told.ended.is_some()) {
            return;
        }
        match result {
            Ok((text, lines)) => self.command_over(turn, CommandOutcome::Done, text, lines),
            Err(CommandRefusal::NoConsent) => {
                let text = "the device's owner has not consented ([commands] diagnostics in agent.toml)";
                self.command_over(turn, CommandOutcome::Refused, text.into(), Vec::new());
            }
            Err(CommandRefusal::Failed(why)) => self.command_over(turn, CommandOutcome::Failed, why, Vec::new()),
        }
    }

    /// A command was under way when the process ended: a restart is done by that, anything else is not done again.
    pub(crate) fn command_after_restart(&mut self, turn: &mut Turn) {
        let Some(told) = self.state.told.as_mut().filter(|told| told.ended.is_none()) else { return };
        told.ended = Some(match told.kind {
            CommandKind::Restart => (CommandOutcome::Done, "the process was started again".into()),
            _ => (CommandOutcome::Failed, "the process ended in the middle of it".into()),
        });
        turn.save();
    }

    fn command_over(&mut self, turn: &mut Turn, outcome: CommandOutcome, mut text: String, lines: Vec<String>) {
        let end = (0..=TEXT_MAX_BYTES.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        if let Some(told) = &mut self.state.told {
            told.ended = Some((outcome, text));
            turn.save();
        }
        self.tell_command(turn, lines);
    }

    /// Tells how the last command ended, when it has and somebody listens.
    pub(crate) fn tell_command(&mut self, turn: &mut Turn, lines: Vec<String>) {
        if !self.is_linked() {
            return;
        }
        let Some(Told { number, kind, ended: Some((outcome, text)) }) = self.state.told.clone() else { return };
        let mut left = DIAGNOSTICS_MAX_BYTES;
        let fits = |line: &String| {
            let fits = line.len() <= left;
            left = left.saturating_sub(line.len());
            fits
        };
        let lines: Vec<String> = lines.into_iter().take(DIAGNOSTICS_MAX_LINES).take_while(fits).collect();
        let done = CommandDone { counter: self.count(), number, kind, outcome, text, lines };
        turn.effect(Effect::Publish(UpMessage::Done(done)));
    }
}
