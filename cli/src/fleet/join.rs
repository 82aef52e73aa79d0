//! Lets the devices in that are not yet: an invitation each from the operator's API, then the agent's own way to join.
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use indicatif::ProgressBar;
use pinnace_agent::http;
use pinnace_agent::join::{JoinError, Pending, fetch_anchor};
use pinnace_protocol::ids::DeviceId;
use pinnace_protocol::join::{ANCHOR_PATH, Anchor, JoinToken};

use super::counters::Counters;
use super::home::{Home, Member};
use super::limits::{JOIN_AGAIN_MS, JOIN_TRIES, JOINS_AT_ONCE};
use crate::client::Client;
use crate::output::Failure;

/// How devices are called and what they say of themselves.
pub struct Names {
    /// First part of every name.
    pub prefix: String,
    /// How many.
    pub count: u32,
    /// Hardware class.
    pub device_profile: String,
    /// Labels.
    pub labels: Vec<String>,
}

impl Names {
    /// Returns all names, in order.
    ///
    /// # Errors
    /// [`Failure`] when the prefix makes no names.
    pub fn all(&self) -> Result<Vec<DeviceId>, Failure> {
        (1..=self.count).map(|n| Ok(DeviceId::parse(&format!("{}-{n:05}", self.prefix))?)).collect()
    }
}

/// A fleet that may connect.
pub struct Joined {
    /// What it trusts.
    pub anchor: Anchor,
    /// Its devices, in the order of their names.
    pub members: Vec<Member>,
    /// Devices that joined now.
    pub new: u64,
    /// How long that took.
    pub took: Duration,
}

/// Lets every device join that `home` does not know.
///
/// # Errors
/// [`Failure`] of the first device that is not let in; those before it are kept.
pub async fn join(
    client: &Client,
    names: &Names,
    mut home: Home,
    counters: &Counters,
    bar: &ProgressBar,
) -> Result<Joined, Failure> {
    let all = names.all()?;
    let missing: Vec<DeviceId> = all.iter().filter(|name| !home.members.contains_key(*name)).cloned().collect();
    bar.set_length(missing.len() as u64);
    let began = Instant::now();
    let anchor = match missing.first() {
        // The hash in a token says which anchor to believe.
        Some(first) => fetch_anchor(&invite(client, first).await?).await?,
        // Compared below with the one that was believed when they joined.
        None => serde_json::from_value(client.get(ANCHOR_PATH).await?)?,
    };
    home.adopt(&anchor)?;
    let door = Arc::new(Door {
        client: client.clone(),
        http: http::client(Some(http::tls_config(&anchor.ca_pem, None)?))?,
        anchor_digest: pinnace_protocol::ids::Digest::of(&anchor.to_bytes()),
        anchor,
        device_profile: names.device_profile.clone(),
        labels: names.labels.clone(),
    });
    let new = missing.len() as u64;
    let mut asked =
        stream::iter(missing).map(|name| tokio::spawn(Arc::clone(&door).let_in(name))).buffer_unordered(JOINS_AT_ONCE);
    while let Some(member) = asked.next().await {
        home.keep(member??)?;
        counters.joined.add(1);
        bar.inc(1);
    }
    drop(asked);
    let wanted: HashSet<&DeviceId> = all.iter().collect();
    let members = home.members.into_values().filter(|m| wanted.contains(&m.device)).collect();
    Ok(Joined { anchor: door.anchor.clone(), members, new, took: began.elapsed() })
}

async fn invite(client: &Client, name: &DeviceId) -> Result<JoinToken, Failure> {
    Ok(JoinToken::parse(&client.invite_one(name.clone()).await?.token)?)
}

/// What all devices need to join.
struct Door {
    client: Client,
    http: reqwest::Client,
    anchor: Anchor,
    anchor_digest: pinnace_protocol::ids::Digest,
    device_profile: String,
    labels: Vec<String>,
}

impl Door {
    async fn let_in(self: Arc<Self>, name: DeviceId) -> Result<Member, Failure> {
        let token = invite(&self.client, &name).await?;
        if token.anchor != self.anchor_digest {
            return Err(Failure::error(
                "the control plane changed its trust anchor while the fleet joined\n  hint: was it started again with other addresses? begin anew",
            ));
        }
        let pending = Pending::new(&token, name, &self.device_profile, self.labels.clone())?;
        let mut tries = 1;
        let identity = loop {
            match pending.send(&self.http, &self.anchor).await {
                Ok(identity) => break identity,
                Err(JoinError::Unreachable { .. }) if tries < JOIN_TRIES => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(JOIN_AGAIN_MS)).await;
                }
                Err(e) => return Err(e.into()),
            }
        };
        Ok(Member {
            device: identity.device.device,
            cert_pem: identity.cert_pem,
            key_pem: identity.key_pem,
            report_seed: identity.report_key.to_bytes(),
        })
    }
}
