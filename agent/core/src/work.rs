//! What is being done at this moment; nothing of it survives a restart.
use alloc::boxed::Box;

use pinnace_protocol::ids::Digest;
use pinnace_protocol::manifest::{AssignmentCustom, Manifest};
use pinnace_protocol::time::Mono;
use pinnace_protocol::trust::Assignment;

use crate::api::{HttpId, Job};
use crate::fetch::Fetch;
use crate::image::Resolve;

/// A verified assignment of this process.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) assignment: Assignment,
    pub(crate) custom: AssignmentCustom,
    pub(crate) manifest: Digest,
}

/// Where bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Mqtt,
    Http,
}

impl Source {
    /// Returns its name for people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Mqtt => "MQTT",
            Self::Http => "HTTP",
        }
    }
}

/// What a source was asked, and until when it may make no progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Over MQTT; the answer names what it carries.
    Mqtt { until: Mono },
    /// Over HTTP.
    Http { id: HttpId, until: Mono },
    /// Not before then: the server asked us to come back, or others speak first.
    Later { at: Mono },
    /// What is published to all.
    Round { until: Mono },
    /// The disk, to make chunks of what is there.
    Disk { job: Job, until: Mono },
}

impl Asked {
    pub(crate) fn deadline(&self) -> Mono {
        match self {
            Self::Mqtt { until } | Self::Http { until, .. } | Self::Round { until } | Self::Disk { until, .. } => {
                *until
            }
            Self::Later { at } => *at,
        }
    }
    pub(crate) fn is_http(&self, id: HttpId) -> bool {
        matches!(self, Self::Http { id: mine, .. } if *mine == id)
    }
}

/// Why nothing is being done about the target right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// An attempt failed.
    Backoff,
    /// Nobody answers; a new link ends the wait.
    Unanswered,
    /// A better moment is awaited; see `defer`.
    Held,
}

/// One thing at a time.
#[derive(Debug)]
pub(crate) enum Work {
    /// Nothing.
    Idle,
    /// Asks the image repository what the target is.
    Resolving(Box<Resolve>),
    /// The shell makes room for what the manifest lists.
    Preparing { job: Job, until: Mono, manifest: Box<Manifest> },
    /// The shell hashes what is there.
    Scanning { job: Job, until: Mono, manifest: Box<Manifest> },
    /// Chunks come in.
    Fetching(Box<Fetch>),
    /// The shell makes everything durable.
    Sealing { job: Job, until: Mono },
    /// The shell loads the candidate.
    Loading { job: Job, until: Mono },
    /// The candidate is on trial.
    Trying { job: Job, until: Mono },
    /// Nothing until then.
    Waiting { until: Mono, why: Pause },
}

impl Work {
    /// Returns when it must be looked at even if nothing happens.
    pub(crate) fn deadline(&self) -> Option<Mono> {
        match self {
            Self::Idle => None,
            Self::Resolving(r) => Some(r.asked.deadline()),
            Self::Fetching(f) => Some(f.asked.deadline()),
            Self::Preparing { until, .. }
            | Self::Scanning { until, .. }
            | Self::Sealing { until, .. }
            | Self::Loading { until, .. }
            | Self::Trying { until, .. }
            | Self::Waiting { until, .. } => Some(*until),
        }
    }
}
