//! What a person may do to a rollout: buttons where scripts run, the command to type where they do not.
use maud::{Markup, html};
use pinnace_controlplane_core::rollout::{PauseWhy, State};
use pinnace_protocol::ids::RolloutId;

use super::parts;

/// Something a person may ask of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Let a draft begin.
    Approve,
    /// Stop offering.
    Pause,
    /// Go on.
    Resume,
    /// Open the next wave now.
    Promote,
    /// Take it back everywhere.
    Abort,
}

impl Action {
    /// Returns the verb, which is also the name in the API and of the command.
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Promote => "promote",
            Self::Abort => "abort",
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Approve => "Approve",
            Self::Pause => "Pause",
            Self::Resume => "Resume",
            Self::Promote => "Open the next wave",
            Self::Abort => "Abort and take back",
        }
    }

    const fn consequence(self) -> &'static str {
        match self {
            Self::Approve => "The first wave begins: canaries are offered the bundle.",
            Self::Pause => "No further device is offered the bundle. Devices that were told go on.",
            Self::Resume => "The rollout goes on where it was; the wave gets its whole time again.",
            Self::Promote => {
                "The next wave begins now, whatever evidence is still missing. The gates keep watching and still abort."
            }
            Self::Abort => {
                "Every exposed device is told to go back to what it had before. This cannot be undone; a new rollout can be started."
            }
        }
    }

    /// Returns what the steward accepts in a state, so that no button is shown that cannot work.
    pub fn allowed(state: State) -> &'static [Self] {
        match state {
            State::Draft => &[Self::Approve, Self::Abort],
            State::Scheduled => &[Self::Abort],
            State::Running | State::Baking => &[Self::Pause, Self::Promote, Self::Abort],
            State::Paused(PauseWhy::Operator | PauseWhy::Inconclusive | PauseWhy::Approval) => {
                &[Self::Resume, Self::Promote, Self::Abort]
            }
            State::Completed | State::Aborting | State::RollingBack | State::RolledBack | State::RollbackStuck => &[],
        }
    }
}

/// Shows what may be asked now. Buttons stay hidden until the script that makes them work has run.
pub fn buttons(id: &RolloutId, state: State) -> Markup {
    let allowed = Action::allowed(state);
    html! {
        @if !allowed.is_empty() {
            div class="actions" {
                @for action in allowed {
                    button type="button" hidden class={ "button" @if *action == Action::Abort { " danger" } }
                        data-action={ "/v1/rollouts/" (id) "/" (action.verb()) }
                        data-title={ (action.label()) ": " (id) } data-text=(action.consequence())
                        data-reason[*action == Action::Abort] { (action.label()) }
                }
                details class="cli" {
                    summary { "By command" }
                    @for action in allowed { (parts::command(&format!("pinnace rollout {} {id}", action.verb()))) }
                }
            }
        }
    }
}

/// The question before anything is changed, with the token it needs.
pub fn dialog() -> Markup {
    html! {
        dialog id="confirm" aria-labelledby="confirm-title" {
            form method="dialog" {
                h2 id="confirm-title" {}
                p id="confirm-text" {}
                p class="field" id="confirm-reason" hidden {
                    label for="reason" { "Why? It goes into the history." }
                    input id="reason" name="reason" maxlength="400" autocomplete="off";
                }
                p class="field" id="confirm-token" {
                    label for="token" { "Admin token" }
                    input id="token" name="token" type="password" autocomplete="off" spellcheck="false";
                    span class="meta" { "The content of " code { "admin.token" } " in the data directory. Kept in this tab until it is closed." }
                }
                p id="confirm-error" class="failure" role="alert" hidden {}
                div class="actions" {
                    button type="submit" value="cancel" class="button" formnovalidate { "Not now" }
                    button type="button" id="confirm-go" class="button primary" { "Yes, do it" }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_button_is_offered_that_the_steward_refuses() {
        for state in [State::Completed, State::Aborting, State::RollingBack, State::RolledBack, State::RollbackStuck] {
            assert!(Action::allowed(state).is_empty(), "{state:?}");
        }
        for state in [State::Draft, State::Scheduled, State::Running, State::Baking, State::Paused(PauseWhy::Operator)]
        {
            assert_eq!(Action::allowed(state).contains(&Action::Abort), state.is_open(), "{state:?}");
        }
        assert!(!Action::allowed(State::Running).contains(&Action::Resume));
    }
}
