//! How states look: a tone, a drawing and a word, never colour alone.
use maud::{Markup, html};
use pinnace_controlplane_core::gates::Verdict;
use pinnace_controlplane_core::history::EventKind;
use pinnace_controlplane_core::rollout::{MemberState, State};
use pinnace_controlplane_core::views::DeviceCell;
use pinnace_protocol::drift::Level;
use pinnace_protocol::message::Phase;

use super::icons::Icon;
use super::limits::SILENT_AFTER_MS;

/// What a state means for the person who looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tone {
    /// As it should be.
    Good,
    /// On its way.
    Busy,
    /// Waits, or is worth a look.
    Warn,
    /// Went wrong.
    Bad,
    /// Says nothing.
    Idle,
}

impl Tone {
    /// Returns its CSS class.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Busy => "busy",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Idle => "idle",
        }
    }
}

/// Shows a state as drawing and word.
pub fn badge(tone: Tone, icon: Icon, word: &str) -> Markup {
    html! { span class={ "badge " (tone.class()) } { (icon.draw()) (word) } }
}

/// How a device is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceState {
    /// Runs what it should and was heard of lately.
    Current,
    /// On its way to its target.
    Moving,
    /// Waits for a better moment, or should move and does not yet.
    Waiting,
    /// Not heard of for long.
    Silent,
    /// Gave its target up; the old model serves.
    Failed,
    /// Runs no model.
    Empty,
    /// Exists twice; quarantined.
    Cloned,
}

impl DeviceState {
    /// All of them, in the order of legends.
    pub const ALL: [Self; 7] =
        [Self::Current, Self::Moving, Self::Waiting, Self::Silent, Self::Failed, Self::Empty, Self::Cloned];

    /// Returns how a device is at `now_ms`, steward time.
    pub fn of(cell: &DeviceCell, now_ms: u64) -> Self {
        if cell.cloned {
            return Self::Cloned;
        }
        if now_ms.saturating_sub(cell.seen_at_ms) > SILENT_AFTER_MS {
            return Self::Silent;
        }
        match cell.phase {
            Phase::Failed => Self::Failed,
            Phase::Deferred => Self::Waiting,
            Phase::Accepted | Phase::Downloading | Phase::Verified | Phase::Loading | Phase::Probation => Self::Moving,
            Phase::Idle | Phase::Healthy if cell.target.is_some() && cell.target != cell.running => Self::Waiting,
            Phase::Idle | Phase::Healthy if cell.running.is_none() => Self::Empty,
            Phase::Idle | Phase::Healthy => Self::Current,
        }
    }

    /// Returns its place in [`DeviceState::ALL`].
    pub const fn index(self) -> usize {
        match self {
            Self::Current => 0,
            Self::Moving => 1,
            Self::Waiting => 2,
            Self::Silent => 3,
            Self::Failed => 4,
            Self::Empty => 5,
            Self::Cloned => 6,
        }
    }

    /// Returns tone, drawing and word.
    pub const fn look(self) -> (Tone, Icon, &'static str) {
        match self {
            Self::Current => (Tone::Good, Icon::Check, "up to date"),
            Self::Moving => (Tone::Busy, Icon::Moving, "updating"),
            Self::Waiting => (Tone::Warn, Icon::Clock, "waiting"),
            Self::Silent => (Tone::Warn, Icon::Alert, "silent"),
            Self::Failed => (Tone::Bad, Icon::Cross, "gave it up"),
            Self::Empty => (Tone::Idle, Icon::Dash, "no model"),
            Self::Cloned => (Tone::Bad, Icon::Alert, "quarantined: cloned"),
        }
    }

    /// Shows it.
    pub fn badge(self) -> Markup {
        let (tone, icon, word) = self.look();
        badge(tone, icon, word)
    }
}

/// Shows where a device stands with its target.
pub fn phase(phase: Phase, progress_ppm: u32) -> Markup {
    let percent = progress_ppm / 10_000;
    match phase {
        Phase::Idle => badge(Tone::Idle, Icon::Dash, "nothing in progress"),
        Phase::Accepted => badge(Tone::Busy, Icon::Moving, "accepted the assignment"),
        Phase::Downloading => badge(Tone::Busy, Icon::Moving, &format!("downloading, {percent} %")),
        Phase::Verified => badge(Tone::Busy, Icon::Moving, "everything fetched and checked"),
        Phase::Loading => badge(Tone::Busy, Icon::Moving, "loading the candidate"),
        Phase::Probation => badge(Tone::Busy, Icon::Moving, "on probation"),
        Phase::Healthy => badge(Tone::Good, Icon::Check, "healthy"),
        Phase::Failed => badge(Tone::Bad, Icon::Cross, "gave it up"),
        Phase::Deferred => badge(Tone::Warn, Icon::Clock, "waits for a better moment"),
    }
}

/// Shows where a device stands in a rollout.
pub fn member(state: MemberState) -> Markup {
    let (tone, icon) = match state {
        MemberState::Healthy => (Tone::Good, Icon::Check),
        MemberState::Offered
        | MemberState::Accepted
        | MemberState::Downloading
        | MemberState::Verified
        | MemberState::Probation => (Tone::Busy, Icon::Moving),
        MemberState::Deferred | MemberState::Retrying => (Tone::Warn, Icon::Clock),
        MemberState::Unreachable => (Tone::Warn, Icon::Alert),
        MemberState::Failed => (Tone::Bad, Icon::Cross),
        MemberState::RollingBack | MemberState::RolledBack => (Tone::Warn, Icon::Back),
        MemberState::Superseded | MemberState::Withdrawn => (Tone::Idle, Icon::Dash),
    };
    badge(tone, icon, &state.as_str().replace('-', " "))
}

/// Shows where a rollout stands.
pub fn rollout(state: State) -> Markup {
    rollout_named(state.as_str())
}

/// Shows where a rollout stands, from the stable name of its state.
pub fn rollout_named(state: &str) -> Markup {
    let (tone, icon) = match state {
        "completed" => (Tone::Good, Icon::Check),
        "running" => (Tone::Busy, Icon::Moving),
        "baking" => (Tone::Busy, Icon::Clock),
        "draft" | "scheduled" => (Tone::Idle, Icon::Clock),
        "aborting" | "rolling-back" => (Tone::Bad, Icon::Back),
        "rolled-back" => (Tone::Bad, Icon::Back),
        "rollback-stuck" => (Tone::Bad, Icon::Alert),
        _ => (Tone::Warn, Icon::Clock),
    };
    badge(tone, icon, &state.replace('-', " "))
}

/// Shows what a gate says.
pub fn verdict(verdict: Verdict) -> Markup {
    match verdict {
        Verdict::Pass => badge(Tone::Good, Icon::Check, "pass"),
        Verdict::Hold => badge(Tone::Warn, Icon::Clock, "hold"),
        Verdict::Halt => badge(Tone::Bad, Icon::Cross, "halt"),
    }
}

/// Shows how much drift matters.
pub fn level(level: Level) -> Markup {
    match level {
        Level::Calm => badge(Tone::Good, Icon::Check, "calm"),
        Level::Watch => badge(Tone::Warn, Icon::Alert, "watch"),
        Level::Act => badge(Tone::Bad, Icon::Alert, "act"),
    }
}

/// Returns how an entry of the history looks: tone, drawing, and a word for its kind.
pub const fn event(kind: EventKind) -> (Tone, Icon, &'static str) {
    match kind {
        EventKind::DeviceJoined => (Tone::Idle, Icon::Chip, "device joined"),
        EventKind::LabelsSet => (Tone::Idle, Icon::Chip, "labels set"),
        EventKind::BundlePublished => (Tone::Idle, Icon::Cube, "bundle published"),
        EventKind::RolloutCreated => (Tone::Busy, Icon::Wave, "rollout created"),
        EventKind::RolloutApproved => (Tone::Busy, Icon::Wave, "rollout approved"),
        EventKind::WaveStarted => (Tone::Busy, Icon::Wave, "wave started"),
        EventKind::WavePromoted => (Tone::Busy, Icon::Wave, "wave opened by hand"),
        EventKind::WaveBaking => (Tone::Busy, Icon::Clock, "wave baking"),
        EventKind::RolloutPaused => (Tone::Warn, Icon::Clock, "rollout paused"),
        EventKind::RolloutResumed => (Tone::Busy, Icon::Wave, "rollout resumed"),
        EventKind::RolloutCompleted => (Tone::Good, Icon::Check, "rollout completed"),
        EventKind::RolloutAborted => (Tone::Bad, Icon::Cross, "rollout aborted"),
        EventKind::RollingBack => (Tone::Bad, Icon::Back, "rolling back"),
        EventKind::RolledBack => (Tone::Bad, Icon::Back, "rolled back"),
        EventKind::RollbackStuck => (Tone::Bad, Icon::Alert, "rollback stuck"),
        EventKind::DeviceOffered => (Tone::Busy, Icon::Chip, "device offered"),
        EventKind::DeviceAccepted => (Tone::Busy, Icon::Chip, "device accepted"),
        EventKind::DeviceHealthy => (Tone::Good, Icon::Check, "device healthy"),
        EventKind::DeviceFailed => (Tone::Bad, Icon::Cross, "device failed"),
        EventKind::DeviceRetries => (Tone::Warn, Icon::Clock, "device retries"),
        EventKind::DeviceUnreachable => (Tone::Warn, Icon::Alert, "device unreachable"),
        EventKind::DeviceRolledBack => (Tone::Warn, Icon::Back, "device rolled back"),
        EventKind::DeviceAssigned => (Tone::Busy, Icon::Chip, "device assigned"),
        EventKind::WindowRejected => (Tone::Warn, Icon::Alert, "window rejected"),
        EventKind::Drift => (Tone::Warn, Icon::Bars, "drift"),
        EventKind::RetrainWanted => (Tone::Bad, Icon::Bars, "retraining wanted"),
        EventKind::KeysChanged => (Tone::Warn, Icon::Gear, "keys changed"),
        EventKind::DeviceCloned => (Tone::Bad, Icon::Alert, "device cloned"),
        EventKind::DeviceReleased => (Tone::Warn, Icon::Chip, "device released"),
        EventKind::CommandGiven => (Tone::Busy, Icon::Chip, "command given"),
        EventKind::CommandDone => (Tone::Idle, Icon::Chip, "command ended"),
    }
}

/// Returns whether an entry is a decision about the fleet rather than one device's step.
pub const fn is_decision(kind: EventKind) -> bool {
    match kind {
        EventKind::BundlePublished
        | EventKind::RolloutCreated
        | EventKind::RolloutApproved
        | EventKind::WaveStarted
        | EventKind::WavePromoted
        | EventKind::WaveBaking
        | EventKind::RolloutPaused
        | EventKind::RolloutResumed
        | EventKind::RolloutCompleted
        | EventKind::RolloutAborted
        | EventKind::RollingBack
        | EventKind::RolledBack
        | EventKind::RollbackStuck
        | EventKind::Drift
        | EventKind::RetrainWanted
        | EventKind::KeysChanged
        | EventKind::DeviceCloned
        | EventKind::DeviceReleased
        | EventKind::CommandGiven => true,
        EventKind::CommandDone
        | EventKind::DeviceJoined
        | EventKind::LabelsSet
        | EventKind::DeviceOffered
        | EventKind::DeviceAccepted
        | EventKind::DeviceHealthy
        | EventKind::DeviceFailed
        | EventKind::DeviceRetries
        | EventKind::DeviceUnreachable
        | EventKind::DeviceRolledBack
        | EventKind::DeviceAssigned
        | EventKind::WindowRejected => false,
    }
}
