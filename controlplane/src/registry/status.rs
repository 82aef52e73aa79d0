//! Which keys hold each role, and when its document expires: for operators, metrics, banner and doctor alike.
use pinnace_protocol::trust::metadata::{Header, ROOT, SNAPSHOT, TARGETS, TIMESTAMP};
use pinnace_protocol::trust::{Root, TufKey};
use serde::{Deserialize, Serialize};

use super::{DIRECTOR, DirectorRoots, IMAGE, Published};
use crate::limits::{
    FAMILY_LIFE_S, REFRESH_PART, ROOT_LIFE_S, SNAPSHOT_LIFE_S, TARGETS_LIFE_S, TIMESTAMP_LIFE_S, WARN_PART_ONLINE,
};

/// How near a document's end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expiry {
    /// Far.
    Fine,
    /// So near that somebody should act.
    Soon,
    /// Past: devices install nothing that depends on it.
    Expired,
}

/// A role of one repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleStatus {
    /// `image` or `director`.
    pub repository: String,
    /// `root`, `targets`, `snapshot`, `timestamp`, `online` (the director's one key) or a family.
    pub role: String,
    /// The version of its document; 0 for what is signed for each device alone.
    pub version: u64,
    /// When the document expires, seconds since 1970; 0 for what is signed for each device alone.
    pub expires: u64,
    /// How near that is.
    pub expiry: Expiry,
    /// Different keys that must sign.
    pub threshold: u64,
    /// Its keys.
    pub keys: Vec<KeyPlace>,
}

/// A key of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPlace {
    /// Its id.
    pub id: String,
    /// Its public half, hexadecimal.
    pub public: String,
    /// Where its file lies in the plane's key folder; `None` when it is elsewhere.
    pub place: Option<String>,
}

impl RoleStatus {
    /// Returns repository and role, as people say it.
    pub fn name(&self) -> String {
        format!("{} {}", self.repository, self.role)
    }
}

/// Judges an expiry at `now`: near when less than a third of the usual life is left. What the plane renews by itself at
/// that moment is near only when the renewal is overdue.
fn judge(expires: u64, life: u64, online: bool, now: u64) -> Expiry {
    let part = if online { WARN_PART_ONLINE } else { REFRESH_PART };
    if expires <= now {
        Expiry::Expired
    } else if expires - now < life / part {
        Expiry::Soon
    } else {
        Expiry::Fine
    }
}

fn places(ids: &[String], known: &std::collections::BTreeMap<String, TufKey>) -> Vec<KeyPlace> {
    let named = ids.iter().filter_map(|id| Some((id, known.get(id)?)));
    named.map(|(id, key)| KeyPlace { id: id.clone(), public: key.keyval.public.clone(), place: None }).collect()
}

/// Returns all roles of both repositories at `now`, seconds since 1970; places are filled in by [`locate`].
pub fn roles(published: &Published, director: &DirectorRoots, now: u64) -> Vec<RoleStatus> {
    let mut all = Vec::new();
    let mut of_root = |repository: &str, root: &Root, role: &str, name: &str, life: Option<(u64, u64, u64)>| {
        let Ok(holders) = root.role(role) else { return };
        let (version, expires, life) = life.unwrap_or((0, 0, 0));
        let expiry =
            if life == 0 { Expiry::Fine } else { judge(expires, life, matches!(role, SNAPSHOT | TIMESTAMP), now) };
        all.push(RoleStatus {
            repository: repository.into(),
            role: name.into(),
            version,
            expires,
            expiry,
            threshold: holders.threshold,
            keys: places(&holders.keyids, &root.keys),
        });
    };
    let image = published.root();
    let header = |header: &Header, life| Some((header.version, header.expires, life));
    of_root(IMAGE, image, ROOT, ROOT, header(&image.header, ROOT_LIFE_S));
    of_root(IMAGE, image, TARGETS, TARGETS, published.header_of(TARGETS).and_then(|top| header(top, TARGETS_LIFE_S)));
    of_root(IMAGE, image, SNAPSHOT, SNAPSHOT, header(&published.snapshot().header, SNAPSHOT_LIFE_S));
    of_root(IMAGE, image, TIMESTAMP, TIMESTAMP, header(&published.timestamp().header, TIMESTAMP_LIFE_S));
    let root = director.newest();
    of_root(DIRECTOR, root, ROOT, ROOT, header(&root.header, ROOT_LIFE_S));
    of_root(DIRECTOR, root, TIMESTAMP, "online", None);
    all.extend(families(published, now));
    all
}

fn families(published: &Published, now: u64) -> Vec<RoleStatus> {
    let list = published.delegations();
    list.roles
        .iter()
        .filter_map(|role| {
            let header = published.header_of(&role.name)?;
            Some(RoleStatus {
                repository: IMAGE.into(),
                role: role.name.clone(),
                version: header.version,
                expires: header.expires,
                expiry: judge(header.expires, FAMILY_LIFE_S, false, now),
                threshold: role.threshold,
                keys: places(&role.keyids, &list.keys),
            })
        })
        .collect()
}

/// Says where the keys of the roles lie, as far as their files are in the plane's key folder.
pub fn locate(roles: &mut [RoleStatus], holdings: &[(TufKey, String)]) {
    for key in roles.iter_mut().flat_map(|role| &mut role.keys) {
        let held = holdings.iter().find(|(held, _)| held.keyval.public == key.public);
        key.place = held.map(|(_, place)| place.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_third_of_a_life_is_near_and_a_renewal_gets_its_time() {
        let now = 1_800_000_000;
        let cases = [
            (ROOT_LIFE_S / 3, ROOT_LIFE_S, false, Expiry::Fine),
            (ROOT_LIFE_S / 3 - 1, ROOT_LIFE_S, false, Expiry::Soon),
            (1, ROOT_LIFE_S, false, Expiry::Soon),
            (0, ROOT_LIFE_S, false, Expiry::Expired),
            // The plane renews it at a third; only when that fails somebody must look.
            (TIMESTAMP_LIFE_S / 3 - 1, TIMESTAMP_LIFE_S, true, Expiry::Fine),
            (TIMESTAMP_LIFE_S / 6 - 1, TIMESTAMP_LIFE_S, true, Expiry::Soon),
            (0, TIMESTAMP_LIFE_S, true, Expiry::Expired),
        ];
        for (left, life, online, expected) in cases {
            assert_eq!(judge(now + left, life, online, now), expected, "{left} of {life}");
        }
    }
}
