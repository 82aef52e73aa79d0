//! G5: signature and hash failures. They hint at an attack or corruption, so a few devices end a rollout at once.
use super::{Gate, Reason, Verdict};
use crate::policy::GatePolicy;

/// Returns what `failed` of `of` devices with a signature or hash failure mean.
pub fn judge(policy: &GatePolicy, failed: u32, of: u32) -> (Verdict, Reason) {
    let needed = policy.integrity_devices;
    let verdict = if failed >= needed { Verdict::Halt } else { Verdict::Pass };
    let value = if of == 0 { 0.0 } else { f64::from(failed) / f64::from(of) };
    // No odds here: the count itself is what is compared.
    (
        verdict,
        Reason { gate: Gate::Integrity, value, limit: 0.0, evidence: f64::from(failed), needed: f64::from(needed) },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_devices_end_it_whatever_the_size() {
        let policy = GatePolicy::default();
        assert_eq!(judge(&policy, 1, 1).0, Verdict::Pass);
        assert_eq!(judge(&policy, 2, 10_000).0, Verdict::Halt);
    }
}
