//! Makes a finding smaller while it stays the same finding.
use crate::execute::execute;
use crate::target::Target;

/// Returns the smallest input found for which `holds`, which holds for `input`; asks at most `runs` times.
pub fn shrink(input: &[u8], mut runs: usize, mut holds: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let mut best = input.to_vec();
    let mut try_one = |candidate: Vec<u8>, best: &mut Vec<u8>, runs: &mut usize| {
        if *runs == 0 {
            return false;
        }
        *runs -= 1;
        let better = holds(&candidate);
        if better {
            *best = candidate;
        }
        better
    };
    // Ever smaller pieces are left out.
    let mut piece = best.len().div_ceil(2);
    while piece > 0 && runs > 0 {
        let mut at = 0;
        while at < best.len() && runs > 0 {
            let mut candidate = best.clone();
            candidate.drain(at..(at + piece).min(best.len()));
            if !try_one(candidate, &mut best, &mut runs) {
                at += piece;
            }
        }
        piece = if piece == 1 { 0 } else { piece.div_ceil(2) };
    }
    // What cannot be left out is made plain.
    for at in 0..best.len() {
        for plain in [0, b'0', b'a'] {
            if best[at] == plain {
                break;
            }
            let mut candidate = best.clone();
            candidate[at] = plain;
            if try_one(candidate, &mut best, &mut runs) {
                break;
            }
        }
    }
    best
}

/// Returns a smaller input with the same fault, or the input itself when there is none.
pub fn shrink_fault(target: &Target, input: &[u8], runs: usize) -> Vec<u8> {
    let Err(fault) = execute(target, input).result else { return input.to_vec() };
    shrink(input, runs, |candidate| execute(target, candidate).result.is_err_and(|found| found.is_like(&fault)))
}
