//! How many files and connections this process may have open.
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit to what the system allows; returns how many files may be open then.
///
/// Most systems begin with 1,024 for the sake of old programs and allow far more.
pub fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum || setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_err() {
        // Unlimited is told as none.
        return current.unwrap_or(u64::MAX);
    }
    maximum.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_raised_limit_stays() {
        let first = super::raise();
        assert!(first > 0 && super::raise() == first);
    }
}
