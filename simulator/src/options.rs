//! What to simulate.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Everything random comes from it.
    #[serde(with = "hex_seed")]
    pub seed: u64,
    /// Devices, 1 to [`crate::limits::DEVICES_MAX`].
    pub devices: u32,
    /// Virtual hours at most, 1 to [`crate::limits::HOURS_MAX`]; a run ends earlier when everything has settled.
    pub hours: u32,
    /// What goes wrong.
    pub profile: Profile,
}

/// Seeds are read and written in hexadecimal everywhere.
mod hex_seed {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this form")]
    pub(super) fn serialize<S: Serializer>(seed: &u64, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&format!("{seed:x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
        super::parse_seed(&String::deserialize(d)?).map_err(D::Error::custom)
    }
}

/// Reads a seed: up to 16 hexadecimal digits; of a longer text (a commit hash) the first 16 count.
///
/// # Errors
/// A text with a hint.
pub fn parse_seed(text: &str) -> Result<u64, String> {
    let digits = text.trim().trim_start_matches("0x");
    let digits = digits.get(..16).unwrap_or(digits);
    u64::from_str_radix(digits, 16).map_err(|_| {
        let cut: String = text.chars().take(32).collect();
        format!("`{cut}` is no seed\n  hint: hexadecimal digits, e.g. 7f3a, or a commit hash")
    })
}

/// What goes wrong in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Nothing but delay.
    Calm,
    /// A little of everything: loss, duplicates, reordering, partitions, crashes, power cuts, full disks, clocks.
    Chaos,
    /// Power cuts at random boundaries of commits and slot work, many of them.
    Powerloss,
    /// Chaos, and a broker that changes, replays, withholds, floods and misdirects messages.
    Hostile,
    /// A quiet fleet whose inputs change, or do not: what changed must be found, and nothing else.
    Drift,
}

impl Profile {
    /// All profiles.
    pub const ALL: [Self; 5] = [Self::Calm, Self::Chaos, Self::Powerloss, Self::Hostile, Self::Drift];

    /// Returns the stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Chaos => "chaos",
            Self::Powerloss => "powerloss",
            Self::Hostile => "hostile",
            Self::Drift => "drift",
        }
    }

    /// Returns whether nothing breaks, so that a good bundle has no excuse.
    pub const fn is_quiet(self) -> bool {
        matches!(self, Self::Calm | Self::Drift)
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
            format!("`{cut}` is no profile of faults\n  hint: use calm, chaos, powerloss, hostile or drift")
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

    #[test]
    fn a_commit_hash_is_a_seed() {
        assert_eq!(parse_seed("0x7f3a"), Ok(0x7f3a));
        assert_eq!(parse_seed("77babb8e4c1f5d6a77babb8e4c1f5d6a77babb8e"), Ok(0x77ba_bb8e_4c1f_5d6a));
        assert!(parse_seed("seed").unwrap_err().contains("hint"));
    }

    #[test]
    fn options_read_back() {
        let options = Options { seed: 0x7f3a, devices: 5, hours: 9, profile: Profile::Drift };
        let text = serde_json::to_string(&options).unwrap();
        assert!(text.contains("\"7f3a\""));
        assert_eq!(serde_json::from_str::<Options>(&text).unwrap(), options);
    }
}
