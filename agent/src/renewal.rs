//! Renews the device's certificate in time, and after its end: when and how is the core's judgement.
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pinnace_agent_core::api::CommandRefusal;
use pinnace_agent_core::renewal::{Renewal as Plan, Way};
use pinnace_protocol::ids::{DeviceId, TenantId};
use pinnace_protocol::join::{
    CHALLENGE_PATH, ChallengeReply, ChallengeRequest, ExpiredRenewal, JoinReply, RENEW_EXPIRED_PATH, RENEW_PATH,
    RenewRequest, Renewal,
};
use pinnace_protocol::message::ReportKey;
use pinnace_protocol::time::Mono;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::driver::Ask;
use crate::http::{self, ClientIdentity};
use crate::identity::Identity;
use crate::join::{JoinError, REPLY_MAX_BYTES, problem_text, unreachable};
use crate::serve::StatusBoard;

/// Between two looks at clock and link.
const LOOK: Duration = Duration::from_secs(5);
/// Seconds since 1970 that a certificate ends at which does not say so readably: it is renewed at once.
const UNREADABLE: (u64, u64) = (0, 0);

/// Asks for certificates and puts them where they count.
pub struct Renewer {
    home: PathBuf,
    ca_pem: String,
    https_url: String,
    tenant: TenantId,
    device: DeviceId,
    key_pem: String,
    report_key: ReportKey,
    client: Arc<ClientIdentity>,
}

impl Renewer {
    /// Returns the renewer of an identity below `home`; what it gets, `client` shows from the next handshake on.
    pub fn new(home: PathBuf, identity: &Identity, client: Arc<ClientIdentity>) -> Self {
        Self {
            home,
            ca_pem: identity.anchor.ca_pem.clone(),
            https_url: identity.anchor.https_url.clone(),
            tenant: identity.device.tenant.clone(),
            device: identity.device.device.clone(),
            key_pem: identity.key_pem.clone(),
            report_key: identity.report_key.clone(),
            client,
        }
    }

    /// Watches clock and link until `stop`, and renews when the core says so.
    /// What an operator asks for comes from `asked`, by the number of the command, and is answered to `asks`.
    pub async fn run(
        self,
        cert_pem: String,
        seed: u64,
        board: StatusBoard,
        (mut asked, asks): (mpsc::Receiver<u64>, mpsc::Sender<Ask>),
        stop: CancellationToken,
    ) {
        let (begins, ends) = validity(&cert_pem).unwrap_or(UNREADABLE);
        let mut plan = Plan::new(begins, ends, seed);
        let started = Instant::now();
        let mono = || Mono(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
        let mut down_since = Some(mono());
        loop {
            let connected = board.get().link.connected;
            down_since = if connected { None } else { down_since.or_else(|| Some(mono())) };
            let down_ms = down_since.map_or(0, |since| mono().since_ms(since));
            if let Some(way) = plan.way(mono(), unix_s(), down_ms) {
                match self.renew(way).await {
                    Ok(cert_pem) => {
                        tracing::info!(?way, "the device's certificate was renewed");
                        let (begins, ends) = validity(&cert_pem).unwrap_or(UNREADABLE);
                        plan.renewed(mono(), begins, ends);
                    }
                    Err(error) => {
                        tracing::warn!(?way, %error, "the device's certificate was not renewed");
                        plan.failed(mono());
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
                Some(number) = asked.recv() => {
                    let result = match self.renew(Way::Certificate).await {
                        Ok(cert_pem) => {
                            let (begins, ends) = validity(&cert_pem).unwrap_or(UNREADABLE);
                            plan.renewed(mono(), begins, ends);
                            Ok((format!("the certificate is good until {ends} s after 1970"), Vec::new()))
                        }
                        Err(e) => Err(CommandRefusal::Failed(e.to_string())),
                    };
                    // The driver is gone only when the process ends.
                    let _ = asks.send(Ask::Ended((number, result))).await;
                }
            }
        }
    }

    /// Gets a certificate in one way, stores it, and shows it from now on. Returns it, PEM.
    ///
    /// # Errors
    /// [`JoinError`]; the old one stays.
    pub async fn renew(&self, way: Way) -> Result<String, JoinError> {
        let csr_pem = self.request()?;
        let reply: JoinReply = match way {
            Way::Certificate => {
                let tls = http::tls_config(&self.ca_pem, Some(self.client.clone()))?;
                self.post(&http::client(Some(tls))?, RENEW_PATH, &RenewRequest { csr_pem }).await?
            }
            Way::ReportKey => {
                // A certificate that has ended would end the handshake: none is shown.
                let client = http::client(Some(http::tls_config(&self.ca_pem, None)?))?;
                let ask = ChallengeRequest { device: self.device.clone() };
                let ChallengeReply { challenge } = self.post(&client, CHALLENGE_PATH, &ask).await?;
                let renewal = Renewal { challenge, csr_pem };
                let sealed = ExpiredRenewal::seal(&self.report_key, &self.tenant, &self.device, &renewal)
                    .map_err(|e| JoinError::Key(e.to_string()))?;
                self.post(&client, RENEW_EXPIRED_PATH, &sealed).await?
            }
        };
        // Also finds out whether it is for our key.
        self.client.replace(&reply.certificate_pem, &self.key_pem)?;
        Identity::save_certificate(&self.home, &reply.certificate_pem)?;
        Ok(reply.certificate_pem)
    }

    /// Returns a request for the key that the device has.
    fn request(&self) -> Result<String, JoinError> {
        let key = rcgen::KeyPair::from_pem(&self.key_pem);
        let request = key.and_then(|key| rcgen::CertificateParams::default().serialize_request(&key));
        request.and_then(|request| request.pem()).map_err(|e| JoinError::Key(e.to_string()))
    }

    async fn post<T: serde::de::DeserializeOwned>(
        &self,
        client: &reqwest::Client,
        path: &str,
        body: &impl serde::Serialize,
    ) -> Result<T, JoinError> {
        let url = format!("{}{path}", self.https_url);
        let response = client.post(&url).json(body).send().await.map_err(|e| unreachable(&url, &e))?;
        let status = response.status();
        let body =
            http::read_body(response, REPLY_MAX_BYTES).await.map_err(|why| JoinError::Unreachable { url, why })?;
        if !status.is_success() {
            return Err(JoinError::Refused(problem_text(status.as_u16(), &body)));
        }
        serde_json::from_slice(&body).map_err(|e| {
            JoinError::Refused(format!(
                "its answer does not parse: {e}\n  hint: update the older of agent and control plane"
            ))
        })
    }
}

/// Returns from when to when a certificate is good, seconds since 1970; `None` when it cannot be read.
pub fn validity(cert_pem: &str) -> Option<(u64, u64)> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(cert_pem.as_bytes()).ok()?;
    let certificate = pem.parse_x509().ok()?;
    let validity = certificate.validity();
    Some((validity.not_before.timestamp().try_into().ok()?, validity.not_after.timestamp().try_into().ok()?))
}

fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validity_is_read_from_the_certificate_and_damage_is_none() {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 1, 31);
        let pem = params.self_signed(&key).unwrap().pem();
        assert_eq!(validity(&pem), Some((1_767_225_600, 1_769_817_600)));
        assert_eq!(validity(&pem[..pem.len() / 2]), None);
        assert_eq!(validity(""), None);
    }
}
