//! Invitations: made, listed, withdrawn. Only the hash of the secret is kept; its beginning is the invitation's id.
use std::collections::BTreeSet;

use pinnace_protocol::ids::DeviceId;
use pinnace_protocol::join::JoinToken;
use serde::{Deserialize, Serialize};

use crate::join::{Admissions, JoinError};
use crate::limits::{
    LISTED_NAMES_MAX, PAGE_MAX, TOKEN_ID_DIGITS, TOKEN_LIFE_MAX_S, TOKEN_LIFE_S, TOKEN_NAMES_MAX, TOKEN_USES_MAX,
    TOKENS_MAX,
};
use crate::store::{Extra, NewToken, StoredToken};

/// `POST /v1/invites`: whom to let in. Empty: one device of any free name, within a day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InviteRequest {
    /// The only name the invitation admits; it may also replace a device of that name.
    pub device: Option<DeviceId>,
    /// Seconds it is good for; a day when left out.
    pub life_s: Option<u64>,
    /// Devices it admits; as many as names are listed when left out, or one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uses: Option<u64>,
    /// The only names it admits, each once; any when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<DeviceId>,
}

/// Where an invitation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InvitationState {
    /// It admits devices.
    Open,
    /// It admitted as many as it may.
    Used,
    /// Its time is over.
    Ended,
    /// An operator withdrew it, or made a newer one for the same name.
    Withdrawn,
}

/// An invitation as listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// Names it, for withdrawing; says nothing of its secret.
    pub id: String,
    /// Where it stands.
    pub state: InvitationState,
    /// The only name it admits.
    pub device: Option<String>,
    /// When it was made, seconds since 1970.
    pub created: u64,
    /// Its end, seconds since 1970.
    pub expires: u64,
    /// Devices it admits.
    pub uses: u64,
    /// Devices it admitted.
    pub used: u64,
    /// Names on its list; 0 when it admits any.
    pub names: u64,
}

/// A device that an invitation admitted or may admit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitedDevice {
    /// Its name.
    pub device: String,
    /// When it joined with this invitation, seconds since 1970; `None` for one that is only listed.
    pub joined: Option<u64>,
}

/// `GET /v1/invites/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationDetail {
    /// The invitation.
    pub invitation: Invitation,
    /// Names on its list and devices it admitted.
    pub devices: Vec<InvitedDevice>,
}

impl Invitation {
    fn of(token: StoredToken, now: u64) -> Self {
        let state = match token {
            _ if token.withdrawn.is_some() => InvitationState::Withdrawn,
            _ if token.used >= token.uses => InvitationState::Used,
            _ if token.expires <= now => InvitationState::Ended,
            _ => InvitationState::Open,
        };
        Self {
            id: invitation_id(&token.hash).to_owned(),
            state,
            device: token.device,
            created: token.created,
            expires: token.expires,
            uses: token.uses,
            used: token.used,
            names: token.names,
        }
    }
}

/// Returns the id of the invitation whose secret has this hash.
pub fn invitation_id(hash: &str) -> &str {
    hash.get(..TOKEN_ID_DIGITS).unwrap_or(hash)
}

impl Admissions {
    /// Makes an invitation. Returns it with its end, seconds since 1970; only its hash is kept.
    ///
    /// # Errors
    /// [`JoinError::TooMany`] when too many are open; [`JoinError::Field`] when the request contradicts itself.
    pub async fn invite(&self, request: InviteRequest) -> Result<(JoinToken, u64), JoinError> {
        let now = self.clock.unix_s();
        let life_s = request.life_s.unwrap_or(TOKEN_LIFE_S);
        if life_s == 0 || life_s > TOKEN_LIFE_MAX_S {
            return Err(JoinError::Field("life_s"));
        }
        let (uses, names) = bounds(&request)?;
        if self.reader.open_tokens(now).await? >= TOKENS_MAX {
            return Err(JoinError::TooMany("open invitations"));
        }
        let listed = names.len() as i64;
        if listed > 0 && self.reader.listed_names().await? + listed > LISTED_NAMES_MAX {
            return Err(JoinError::TooMany("names on the lists of invitations"));
        }
        let mut secret = [0_u8; 32];
        getrandom::fill(&mut secret).map_err(|e| JoinError::Random(e.to_string()))?;
        let (url, anchor) = self.anchor.clone();
        let token = JoinToken { url, secret: hex::encode(secret), anchor };
        let expires = now.saturating_add(life_s);
        let (hash, device) = (token.secret_hash(), request.device);
        let new = NewToken { hash, device, created: now, expires, uses, names };
        self.driver.write(Extra::Invite(Box::new(new))).await?;
        Ok((token, expires))
    }

    /// Returns the newest invitations, at most [`PAGE_MAX`]; those that ended go when the next one is made.
    ///
    /// # Errors
    /// [`JoinError::Store`].
    pub async fn invitations(&self) -> Result<Vec<Invitation>, JoinError> {
        let now = self.clock.unix_s();
        Ok(self.reader.tokens(PAGE_MAX).await?.into_iter().map(|t| Invitation::of(t, now)).collect())
    }

    /// Returns one invitation with its devices.
    ///
    /// # Errors
    /// [`JoinError::NoInvitation`] when there is none of this id.
    pub async fn invitation(&self, id: &str) -> Result<InvitationDetail, JoinError> {
        let token = self.by_id(id).await?;
        let devices = self.reader.token_devices(&token.hash).await?;
        let devices = devices.into_iter().map(|d| InvitedDevice { device: d.device, joined: d.at }).collect();
        Ok(InvitationDetail { invitation: Invitation::of(token, self.clock.unix_s()), devices })
    }

    /// Lets an open invitation admit nobody any more; devices that joined with it stay.
    ///
    /// # Errors
    /// [`JoinError::NoInvitation`] when none of this id is open.
    pub async fn withdraw(&self, id: &str) -> Result<(), JoinError> {
        let now = self.clock.unix_s();
        let token = self.by_id(id).await?;
        if !token.is_open(now) {
            return Err(JoinError::NoInvitation(id.to_owned()));
        }
        Ok(self.driver.write(Extra::Withdraw { token: token.hash, now }).await?)
    }

    async fn by_id(&self, id: &str) -> Result<StoredToken, JoinError> {
        let none = || JoinError::NoInvitation(id.chars().take(TOKEN_ID_DIGITS).collect());
        if id.len() != TOKEN_ID_DIGITS || !id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(none());
        }
        let mut found = self.reader.tokens_like(id).await?;
        match (found.pop(), found.is_empty()) {
            (Some(token), true) => Ok(token),
            _ => Err(none()),
        }
    }
}

/// Returns how many devices and which names are meant.
fn bounds(request: &InviteRequest) -> Result<(u64, Vec<DeviceId>), JoinError> {
    let names: BTreeSet<&DeviceId> = request.allow.iter().collect();
    if names.len() != request.allow.len() || names.len() > TOKEN_NAMES_MAX {
        return Err(JoinError::Field("allow"));
    }
    let listed = names.len() as u64;
    let uses = request.uses.unwrap_or(listed.max(1));
    // An invitation for one name may replace a device: it is for one device and has no list.
    let one_name = request.device.is_some();
    if uses == 0 || uses > TOKEN_USES_MAX || (listed > 0 && uses > listed) || (one_name && uses != 1) {
        return Err(JoinError::Field("uses"));
    }
    if one_name && listed > 0 {
        return Err(JoinError::Field("allow"));
    }
    Ok((uses, request.allow.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_contradict_themselves_are_refused() {
        let id = |text: &str| DeviceId::parse(text).unwrap();
        let ask = |device: Option<&str>, uses: Option<u64>, allow: &[&str]| {
            let allow = allow.iter().map(|a| id(a)).collect();
            bounds(&InviteRequest { device: device.map(id), life_s: None, uses, allow }).map(|(uses, _)| uses).ok()
        };
        assert_eq!(ask(None, None, &[]), Some(1));
        assert_eq!(ask(None, Some(7), &[]), Some(7));
        assert_eq!(ask(None, None, &["a", "b"]), Some(2));
        assert_eq!(ask(None, Some(1), &["a", "b"]), Some(1));
        assert_eq!(ask(Some("a"), Some(1), &[]), Some(1));
        for (device, uses, allow) in [
            (None, Some(0), &[][..]),
            (None, Some(TOKEN_USES_MAX + 1), &[]),
            (None, Some(3), &["a", "b"]),
            (None, None, &["a", "a"]),
            (Some("a"), Some(2), &[]),
            (Some("a"), None, &["a"]),
        ] {
            assert_eq!(ask(device, uses, allow), None, "{device:?} {uses:?} {allow:?}");
        }
        let many: Vec<_> = (0..=TOKEN_NAMES_MAX).map(|n| id(&n.to_string())).collect();
        assert!(bounds(&InviteRequest { allow: many, ..InviteRequest::default() }).is_err());
    }
}
