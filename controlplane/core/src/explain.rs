//! Decisions in plain sentences.
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::gates::{self, Gate, Reason};
use crate::rollout::{AbortBy, Active, Member, MemberState, Outcome, PauseWhy, Rollout, State, Tally};

/// Returns `1 device` or `3 devices`.
pub(crate) fn count(n: u32, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// Returns the time of day of a steward time, UTC, e.g. `14:02`.
pub(crate) fn time_of_day(at_ms: u64) -> String {
    let minutes = at_ms / 60_000;
    format!("{:02}:{:02} UTC", minutes / 60 % 24, minutes % 60)
}

/// Returns a span as people say it.
pub(crate) fn span(ms: u64) -> String {
    match ms / 1000 {
        s @ 0..=119 => format!("{s} s"),
        s @ 120..=7_199 => format!("{} min", s / 60),
        s @ 7_200..=172_799 => format!("{} h", s / 3600),
        s => format!("{} days", s / 86_400),
    }
}

/// Returns a wave's name: `canary`, or its share.
pub(crate) fn wave_name(rollout: &Rollout, index: usize) -> String {
    match rollout.plan.waves.get(index).map(|w| w.permille) {
        None | Some(0) => "canary".into(),
        Some(permille) if permille % 10 == 0 => format!("{} %", permille / 10),
        Some(permille) => format!("{}.{} %", permille / 10, permille % 10),
    }
}

/// Says where a rollout stands, from its present sums.
pub(crate) fn rollout(active: &Active) -> String {
    let (r, t) = (&active.rollout, &active.tally);
    match r.state {
        State::Draft => format!("Waits for somebody to approve it: `pinnace rollout approve {}`.", r.id),
        State::Scheduled => format!("Begins at {}.", time_of_day(r.policy.start_at_ms.unwrap_or(r.created_at_ms))),
        State::Running => running(r, t),
        State::Baking => baking(r, t),
        State::Paused(_) => paused(r, t),
        State::Completed => completed(r, t, r.state_at_ms),
        State::Aborting | State::RollingBack | State::RolledBack | State::RollbackStuck => aborted(active),
    }
}

fn running(r: &Rollout, t: &Tally) -> String {
    let open = t.waiting + t.open();
    let mut text = format!(
        "Wave {} of {} ({}): {} of {} exposed, {} healthy, {} failed, {open} on the way",
        r.wave + 1,
        r.plan.waves.len(),
        wave_name(r, r.wave as usize),
        t.exposed,
        count(r.quota, "device", "devices"),
        t.healthy,
        t.failed
    );
    if t.unreachable > 0 {
        text.push_str(&format!(", {} unreachable", t.unreachable));
    }
    text.push('.');
    text
}

pub(crate) fn baking(r: &Rollout, t: &Tally) -> String {
    format!(
        "Wave {} of {} ({}) has {} and is watched for {}. {}",
        r.wave + 1,
        r.plan.waves.len(),
        wave_name(r, r.wave as usize),
        count(t.healthy, "healthy device", "healthy devices"),
        span(u64::from(r.policy.bake_s) * 1000),
        gates::judge(&r.policy.gates, t)[0].sentence
    )
}

pub(crate) fn paused(r: &Rollout, t: &Tally) -> String {
    let at = time_of_day(r.state_at_ms);
    let card = &gates::judge(&r.policy.gates, t)[0].sentence;
    match r.state {
        State::Paused(PauseWhy::Operator) => {
            format!("Paused by hand at {at}. `pinnace rollout resume {}` goes on.", r.id)
        }
        State::Paused(PauseWhy::Approval) => format!(
            "Paused at {at}: all {} and the wave is too small for statistics. {card} `pinnace rollout promote {}` opens the next wave.",
            count(t.healthy, "device is healthy", "devices are healthy"),
            r.id
        ),
        _ => {
            let mut missing = Vec::new();
            if t.failed > 0 {
                missing.push(format!("{} failed", t.failed));
            }
            if t.waiting + t.unreachable > 0 {
                missing.push(format!("{} did not answer", t.waiting + t.unreachable));
            }
            if t.open() > 0 {
                missing.push(format!("{} did not finish", t.open()));
            }
            let missing = if missing.is_empty() { "no device was left to ask".to_string() } else { missing.join(", ") };
            format!(
                "Paused at {at}: of {} {missing}. {card} `pinnace rollout promote {}` goes on all the same, `abort` takes it back.",
                count(t.exposed, "exposed device", "exposed devices"),
                r.id
            )
        }
    }
}

pub(crate) fn completed(r: &Rollout, t: &Tally, at_ms: u64) -> String {
    let took = span(at_ms.saturating_sub(r.created_at_ms));
    let mut text = format!(
        "Completed at {} after {took}: {} on {}",
        time_of_day(at_ms),
        count(t.healthy, "device is healthy", "devices are healthy"),
        r.bundle
    );
    if t.failed > 0 {
        text.push_str(&format!(", {} kept what they had", t.failed));
    }
    let away = t.waiting + t.unreachable + t.open();
    if away > 0 {
        text.push_str(&format!(", {away} will get it when they come back"));
    }
    text.push('.');
    text
}

/// The sentence that an abort ends with, at any moment of the way back.
fn aborted(active: &Active) -> String {
    let (r, t) = (&active.rollout, &active.tally);
    let Some(abort) = &r.abort else { return String::new() };
    let at = time_of_day(abort.at_ms);
    let who = if r.wave == 0 { "canaries" } else { "devices" };
    let why = match abort.by {
        AbortBy::Operator => format!("by hand ({})", abort.words),
        AbortBy::Superseded => format!("rollout {} takes its place", abort.words),
        AbortBy::Gate(gate) => {
            let numbers = abort.reasons.iter().find(|x| x.gate == gate);
            because(gate, numbers, t, who, &causes(active, gate))
        }
    };
    let previous = previous(active);
    let mut text = format!("Aborted at {at}: {why}. {} exposed, ", count(t.exposed, "device", "devices"));
    text.push_str(&match &previous {
        Some(bundle) => format!("{} kept or took back {bundle}", t.back),
        None => format!("{} kept or took back what they had", t.back),
    });
    if t.superseded > 0 {
        text.push_str(&format!(", {} moved on to a newer rollout", t.superseded));
    }
    if t.going_back > 0 {
        let how = if r.state == State::RollbackStuck { "did not come back in time" } else { "on the way back" };
        text.push_str(&format!(", {} {how}", t.going_back));
    }
    text.push_str(&format!(", {} never touched.", abort.untouched));
    if r.state == State::RollbackStuck {
        let stuck = active.members.values().filter(|m| m.state == MemberState::RollingBack);
        let names: Vec<&str> = stuck.take(NAMED).map(|m| m.device.as_str()).collect();
        text.push_str(&format!(" Look at {}.", names.join(", ")));
    }
    text
}

/// Devices named in one sentence; the page lists all.
const NAMED: usize = 5;

fn because(gate: Gate, numbers: Option<&Reason>, t: &Tally, who: &str, causes: &str) -> String {
    let odds = numbers
        .map_or(String::new(), |n| format!("evidence {}, needed {}", gates::odds(n.evidence), gates::odds(n.needed)));
    let limit = gates::percent(numbers.map_or(0.0, |n| n.limit));
    match gate {
        Gate::Failures => {
            let causes = if causes.is_empty() { String::new() } else { format!("{causes}; ") };
            format!("{} of {} {who} failed ({causes}limit {limit}; {odds})", t.failed, t.accepted)
        }
        Gate::Integrity => format!("{} {who} met a wrong signature or hash ({causes})", t.integrity),
        Gate::Behaviour => format!(
            "on {} of {} {who} the new model was right less often than the old one on the same inputs (limit {limit}; {odds})",
            t.worse, t.compared
        ),
    }
}

/// Returns the causes that devices gave, most frequent first.
fn causes(active: &Active, gate: Gate) -> String {
    let counted = |m: &&Member| match gate {
        Gate::Integrity => m.integrity,
        Gate::Failures | Gate::Behaviour => m.outcome == Some(Outcome::Failed),
    };
    let mut by_cause: BTreeMap<&str, u32> = BTreeMap::new();
    for member in active.members.values().filter(counted) {
        *by_cause.entry(member.failure.as_ref().map_or("silence", |f| f.code.as_str())).or_default() += 1;
    }
    let mut causes: Vec<_> = by_cause.into_iter().collect();
    causes.sort_by_key(|(name, n)| (core::cmp::Reverse(*n), *name));
    let several = causes.len() > 1;
    let say = |(name, n): &(&str, u32)| if several { format!("{n} {name}") } else { (*name).to_string() };
    causes.iter().map(say).collect::<Vec<_>>().join(", ")
}

/// Returns what most exposed devices had before.
fn previous(active: &Active) -> Option<String> {
    let mut by_bundle: BTreeMap<String, u32> = BTreeMap::new();
    for bundle in active.members.values().filter_map(|m| m.previous.as_ref()) {
        *by_bundle.entry(bundle.to_string()).or_default() += 1;
    }
    by_bundle.into_iter().max_by_key(|(_, n)| *n).map(|(bundle, _)| bundle)
}

/// Says where a device stands in a rollout.
pub(crate) fn member(m: &Member, bundle: &str, now_ms: u64) -> String {
    let ago = |at: u64| span(now_ms.saturating_sub(at));
    let why = m.failure.as_ref().map_or_else(
        || "it fell silent".to_string(),
        |f| {
            if f.text.is_empty() { f.code.as_str().to_string() } else { format!("{}: {}", f.code.as_str(), f.text) }
        },
    );
    match m.state {
        MemberState::Offered => {
            format!("It was offered {bundle} {} ago and has not answered yet.", ago(m.offered_at_ms))
        }
        MemberState::Unreachable => format!(
            "It was offered {bundle} {} ago and did not answer: it is switched off or has no connection.",
            ago(m.offered_at_ms)
        ),
        MemberState::Accepted => format!("It has verified the assignment of {bundle} and begins to fetch it."),
        MemberState::Downloading => format!("It is fetching {bundle}."),
        MemberState::Verified => format!("It has every byte of {bundle} and is about to load it."),
        MemberState::Probation => format!("It tries {bundle} on live inputs while the old model watches over it."),
        MemberState::Deferred => format!("It waits for a better moment to go on with {bundle} ({why})."),
        MemberState::Retrying => format!("It could not get {bundle} ({why}) and will be offered it again."),
        MemberState::Healthy => format!("It runs {bundle} and is healthy."),
        MemberState::Failed => format!("It gave {bundle} up ({why}) and serves what it had before."),
        MemberState::RollingBack => {
            format!("{bundle} was taken back; the device was told to return to what it had before.")
        }
        MemberState::RolledBack => format!("{bundle} was taken back; the device runs what it had before."),
        MemberState::Superseded => format!("Its rollout of {bundle} was replaced by a newer one."),
        MemberState::Withdrawn => format!("{bundle} was taken back before the device answered; it keeps what it has."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_spans_read_well() {
        assert_eq!(time_of_day(1_800_000_000_000 + 120_000), "08:02 UTC");
        assert_eq!(span(41_000), "41 s");
        assert_eq!(span(7_100_000), "118 min");
        assert_eq!(span(400_000_000), "4 days");
        assert_eq!(count(1, "device", "devices"), "1 device");
        assert_eq!((gates::percent(0.05).as_str(), gates::percent(0.025).as_str()), ("5 %", "2.5 %"));
    }
}
