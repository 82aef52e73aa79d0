//! What to simulate.
use std::fmt;
use std::str::FromStr;

/// One run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Everything random comes from it.
    pub seed: u64,
    /// Devices, 1 to [`crate::limits::DEVICES_MAX`].
    pub devices: u32,
    /// Virtual hours at most, [`crate::limits::HOURS_MIN`] at least; a run ends earlier when everything has settled.
    pub hours: u32,
    /// What goes wrong.
    pub profile: Profile,
}

/// What goes wrong in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Nothing but delay.
    Calm,
    /// A little of everything: loss, duplicates, reordering, partitions, crashes, power cuts, full disks.
    Chaos,
    /// Power cuts at random boundaries of commits and slot work, many of them.
    Powerloss,
    /// Chaos, and a broker that changes, replays and misdirects messages.
    Hostile,
}

impl Profile {
    /// All profiles.
    pub const ALL: [Self; 4] = [Self::Calm, Self::Chaos, Self::Powerloss, Self::Hostile];

    /// Returns the stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Chaos => "chaos",
            Self::Powerloss => "powerloss",
            Self::Hostile => "hostile",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|p| p.as_str() == text).ok_or_else(|| {
            let cut: String = text.chars().take(32).collect();
            format!("`{cut}` is no profile of faults\n  hint: use calm, chaos, powerloss or hostile")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_reads_back() {
        for profile in Profile::ALL {
            assert_eq!(profile.to_string().parse(), Ok(profile));
        }
        assert!("storm".parse::<Profile>().unwrap_err().contains("hint"));
    }
}
