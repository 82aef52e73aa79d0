//! A new certificate for a device that slept through the end of its old one: proven by its report key.
//!
//! The device's clock may be anything and its certificate opens no door, so the plane gives it a challenge that is good
//! for minutes and once. Challenges are not stored: a key of this process marks them, so that asking for many costs
//! nothing. Only those answered by a joined device are remembered until they end.
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use pinnace_protocol::ids::{DeviceId, Digest};
use pinnace_protocol::join::{EXPIRED_RENEWABLE_DAYS, ExpiredRenewal, JoinReply};

use crate::driver::parse_key;
use crate::join::{Admissions, JoinError};
use crate::limits::{CHALLENGE_LIFE_S, CHALLENGES_USED_MAX};

/// Seconds of a day.
const DAY_S: u64 = 86_400;
/// Bytes of a challenge: time, randomness, mark.
const CHALLENGE_BYTES: usize = 8 + 16 + 32;

/// Makes challenges and knows its own.
pub struct Challenges {
    key: [u8; 32],
    /// Answered ones by their randomness, with their end in seconds since 1970.
    used: Mutex<BTreeMap<[u8; 16], u64>>,
}

impl Challenges {
    /// Returns a maker with a key of its own: after a restart devices ask again.
    pub fn new() -> Result<Self, JoinError> {
        Ok(Self { key: random()?, used: Mutex::default() })
    }

    fn mark(&self, time: &[u8; 8], random: &[u8; 16], device: &DeviceId) -> [u8; 32] {
        // Every part has a fixed length, so that nothing can be appended to what was hashed.
        let device = Digest::of(device.as_str().as_bytes());
        Digest::of(&[&self.key[..], time, random, &device.0].concat()).0
    }

    fn make(&self, device: &DeviceId, now: u64) -> Result<String, JoinError> {
        let (time, random) = (now.to_be_bytes(), random()?);
        let mark = self.mark(&time, &random, device);
        Ok(hex::encode([&time[..], &random, &mark].concat()))
    }

    /// Returns the randomness and the end of a challenge of ours for this device that is not too old.
    fn read(&self, text: &str, device: &DeviceId, now: u64) -> Option<([u8; 16], u64)> {
        let mut bytes = [0; CHALLENGE_BYTES];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        let (time, rest) = bytes.split_first_chunk::<8>()?;
        let (random, mark) = rest.split_first_chunk::<16>()?;
        let made = u64::from_be_bytes(*time);
        let ends = made.saturating_add(CHALLENGE_LIFE_S);
        // A comparison that takes longer for a better guess gives 32 random bytes away no sooner than five minutes.
        (mark == self.mark(time, random, device) && now < ends && made <= now).then_some((*random, ends))
    }

    /// Uses a challenge up.
    fn claim(&self, random: [u8; 16], ends: u64, now: u64) -> Result<(), JoinError> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.contains_key(&random) {
            return Err(JoinError::Renew("its challenge was used before"));
        }
        if used.len() >= CHALLENGES_USED_MAX {
            used.retain(|_, ends| *ends > now);
        }
        if used.len() >= CHALLENGES_USED_MAX {
            return Err(JoinError::TooMany("certificates renewed at once"));
        }
        used.insert(random, ends);
        Ok(())
    }
}

fn random<const N: usize>() -> Result<[u8; N], JoinError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| JoinError::Random(e.to_string()))?;
    Ok(bytes)
}

impl Admissions {
    /// Returns a challenge for a device; the same for names that nobody has.
    ///
    /// # Errors
    /// [`JoinError::Random`].
    pub fn challenge(&self, device: &DeviceId) -> Result<String, JoinError> {
        self.challenges.make(device, self.clock.unix_s())
    }

    /// Gives a device a new certificate for its report key's signature over a challenge and a request.
    ///
    /// # Errors
    /// [`JoinError::Renew`] when the key is not the device's present one, its certificate was revoked or ended more than
    /// [`EXPIRED_RENEWABLE_DAYS`] ago, or the challenge is not good (any more).
    pub async fn renew_expired(&self, request: &ExpiredRenewal) -> Result<JoinReply, JoinError> {
        let now = self.clock.unix_s();
        // One answer for a name that nobody has and for a wrong key: strangers learn nothing from it.
        let stranger = JoinError::Renew("its report key is not the one that this device joined with");
        let Some(known) = self.reader.enrolled_one(&request.device).await? else { return Err(stranger) };
        let opened = parse_key(&known.report_key).and_then(|key| request.open(&key, &self.tenant));
        let Some(renewal) = opened else { return Err(stranger) };
        let Some((random, ends)) = self.challenges.read(&renewal.challenge, &request.device, now) else {
            return Err(JoinError::Renew("its challenge is not ours or too old"));
        };
        let certificate = self.reader.certificate(&known.serial).await?;
        let Some(certificate) = certificate.filter(|c| c.revoked.is_none()) else {
            return Err(JoinError::Renew("it was revoked"));
        };
        if now > certificate.not_after.saturating_add(EXPIRED_RENEWABLE_DAYS * DAY_S) {
            return Err(JoinError::Renew("it ended more than 90 days ago"));
        }
        self.challenges.claim(random, ends, now)?;
        let reply = self.issue_anew(&request.device, &known.serial, &renewal.csr_pem).await?;
        tracing::info!(device = %request.device, "a device renewed its certificate with its report key");
        Ok(reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_of_one_device_for_minutes_and_once() {
        let (ours, others) = (Challenges::new().unwrap(), Challenges::new().unwrap());
        let (a, b) = (DeviceId::parse("a").unwrap(), DeviceId::parse("b").unwrap());
        let text = ours.make(&a, 1_000).unwrap();
        let (random, ends) = ours.read(&text, &a, 1_000 + CHALLENGE_LIFE_S - 1).unwrap();
        assert_eq!(ours.read(&text, &a, 1_000 + CHALLENGE_LIFE_S), None, "too old");
        assert_eq!(ours.read(&text, &a, 999), None, "of a clock that went back");
        assert_eq!(ours.read(&text, &b, 1_000), None, "another device's");
        assert_eq!(others.read(&text, &a, 1_000), None, "another process's");
        for bad in ["", "zz", &text[2..], &format!("{text}00"), &format!("00{}", &text[..text.len() - 2])] {
            assert_eq!(ours.read(bad, &a, 1_000), None, "{bad}");
        }
        ours.claim(random, ends, 1_000).unwrap();
        assert!(matches!(ours.claim(random, ends, 1_000), Err(JoinError::Renew(_))));
        // Full of live ones it refuses; those that ended make room.
        for n in 1..CHALLENGES_USED_MAX as u128 {
            ours.claim((n << 64).to_be_bytes(), ends, 1_000).unwrap();
        }
        assert!(matches!(ours.claim([7; 16], ends, 1_000), Err(JoinError::TooMany(_))));
        ours.claim([7; 16], ends + CHALLENGE_LIFE_S, ends).unwrap();
    }
}
