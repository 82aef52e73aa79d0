//! A device that slept through the end of its certificate, against a real plane: the agent's own code over real TLS.
use std::path::Path;
use std::sync::Arc;

use pinnace_agent::http::{self, ClientIdentity};
use pinnace_agent::identity::Identity;
use pinnace_agent::join::{JoinError, fetch_anchor, join};
use pinnace_agent::renewal::{Renewer, validity};
use pinnace_agent_core::renewal::Way;
use pinnace_controlplane::api::types::InviteRequest;
use pinnace_controlplane::ca::CertificateAuthority;
use pinnace_controlplane::store::Extra;
use pinnace_controlplane::{Config, ControlPlane, Handle};
use pinnace_protocol::ids::{DeviceId, TenantId};
use pinnace_protocol::join::{
    CHALLENGE_PATH, ChallengeReply, ChallengeRequest, ExpiredRenewal, JoinReply, JoinToken, RENEW_EXPIRED_PATH, Renewal,
};
use pinnace_protocol::message::ReportKey;
use reqwest::StatusCode;

const DAY_S: u64 = 86_400;

fn device() -> DeviceId {
    DeviceId::parse("gateway-1").unwrap()
}

async fn plane(dir: &Path) -> Handle {
    ControlPlane::start(Config::local(dir.into(), TenantId::parse("acme").unwrap())).await.unwrap()
}

async fn invite(plane: &Handle) -> JoinToken {
    let request = InviteRequest { device: Some(device()), ..InviteRequest::default() };
    plane.state().admissions.invite(request).await.unwrap().0
}

/// Puts a certificate in place of the device's that ended `days` ago, on the device and in the plane's books.
async fn age(plane: &Handle, dir: &Path, home: &Path, days: u64) -> Identity {
    let mut identity = Identity::load(home).unwrap();
    let key = rcgen::KeyPair::from_pem(&identity.key_pem).unwrap();
    let csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
    let now = plane.state().clock.unix_s();
    let read = |name: &str| std::fs::read_to_string(dir.join("ca").join(name)).unwrap();
    let ca = CertificateAuthority::load(&read("authority.pem"), &read("authority.key")).unwrap();
    let old = ca.issue_device(&csr, &identity.device.tenant, &device(), now - (30 + days) * DAY_S).unwrap();
    let last = plane.state().reader.enrolled_one(&device()).await.unwrap().unwrap();
    let renew = Extra::Renew {
        device: device(),
        old: last.serial,
        now,
        serial: old.serial.to_string(),
        not_after: old.not_after,
        pem: old.certificate_pem.clone(),
    };
    plane.state().driver.write(renew).await.unwrap();
    Identity::save_certificate(home, &old.certificate_pem).unwrap();
    identity.cert_pem = old.certificate_pem;
    identity
}

fn renewer(home: &Path, identity: &Identity) -> (Renewer, Arc<ClientIdentity>) {
    let client = ClientIdentity::new(&identity.cert_pem, &identity.key_pem).unwrap();
    (Renewer::new(home.into(), identity, client.clone()), client)
}

/// Returns the status with which the device is let in, when its handshake succeeds.
async fn opens_a_door(identity: &Identity, client: Arc<ClientIdentity>) -> Option<StatusCode> {
    let tls = http::tls_config(&identity.anchor.ca_pem, Some(client)).unwrap();
    let url = format!("{}/repo/metadata/timestamp.json", identity.anchor.https_url);
    Some(http::client(Some(tls)).unwrap().get(url).send().await.ok()?.status())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_was_off_for_sixty_days_comes_back_by_its_report_key() {
    let (dir, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let plane = plane(dir.path()).await;
    let token = invite(&plane).await.to_text();
    join(home.path(), &token, device(), "x86-gateway", Vec::new()).await.unwrap();
    let identity = age(&plane, dir.path(), home.path(), 60).await;
    let (renewer, client) = renewer(home.path(), &identity);
    assert_eq!(opens_a_door(&identity, client.clone()).await, None, "its certificate opens nothing");
    assert!(renewer.renew(Way::Certificate).await.is_err());
    let new = renewer.renew(Way::ReportKey).await.unwrap();
    let door = opens_a_door(&identity, client.clone()).await;
    assert_eq!(door, Some(StatusCode::OK), "the same client shows the new certificate");
    assert!(validity(&new).unwrap().1 > plane.state().clock.unix_s() + 29 * DAY_S);
    assert_eq!(Identity::load(home.path()).unwrap().cert_pem, new, "it is there after a restart");
    // And from now on as always.
    renewer.renew(Way::Certificate).await.unwrap();
    assert_eq!(opens_a_door(&identity, client).await, Some(StatusCode::OK));
    plane.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_whose_certificate_has_ended_renews_it_by_itself() {
    let (dir, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let plane = plane(dir.path()).await;
    let token = invite(&plane).await.to_text();
    join(home.path(), &token, device(), "x86-gateway", Vec::new()).await.unwrap();
    let identity = age(&plane, dir.path(), home.path(), 60).await;
    let (renewer, client) = renewer(home.path(), &identity);
    let stop = tokio_util::sync::CancellationToken::new();
    let board = pinnace_agent::serve::StatusBoard::new(Default::default());
    // Nobody asks for anything.
    let (_commands, asked) = tokio::sync::mpsc::channel(1);
    let (asks, _answers) = tokio::sync::mpsc::channel(1);
    let task = tokio::spawn(renewer.run(identity.cert_pem.clone(), 7, board, (asked, asks), stop.clone()));
    let renewed = async {
        while opens_a_door(&identity, client.clone()).await.is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), renewed).await.unwrap();
    stop.cancel();
    task.await.unwrap();
    plane.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_certificate_for_the_late_the_replaced_the_revoked_a_foreign_key_or_the_same_words_twice() {
    let (dir, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let plane = plane(dir.path()).await;
    let token = invite(&plane).await;
    join(home.path(), &token.to_text(), device(), "x86-gateway", Vec::new()).await.unwrap();
    let refused = |result: Result<String, JoinError>, why: &str| match result {
        Err(JoinError::Refused(text)) => assert!(text.contains(why) && text.contains("hint:"), "{text}"),
        other => panic!("{why}: {other:?}"),
    };

    let late = age(&plane, dir.path(), home.path(), 91).await;
    refused(renewer(home.path(), &late).0.renew(Way::ReportKey).await, "more than 90 days ago");
    let mut identity = age(&plane, dir.path(), home.path(), 89).await;

    // By hand, so that the same words can be said twice.
    let anchor = fetch_anchor(&token).await.unwrap();
    let client = http::client(Some(http::tls_config(&anchor.ca_pem, None).unwrap())).unwrap();
    let post = |path: &str, body: String| {
        client.post(format!("{}{path}", anchor.https_url)).header("content-type", "application/json").body(body).send()
    };
    let ask = serde_json::to_string(&ChallengeRequest { device: device() }).unwrap();
    let challenge: ChallengeReply = post(CHALLENGE_PATH, ask).await.unwrap().json().await.unwrap();
    let (_, csr_pem) = pinnace_controlplane::ca::new_request().unwrap();
    let renewal = Renewal { challenge: challenge.challenge, csr_pem };
    let words = ExpiredRenewal::seal(&identity.report_key, &anchor.tenant, &device(), &renewal).unwrap();
    let words = serde_json::to_string(&words).unwrap();
    let first = post(RENEW_EXPIRED_PATH, words.clone()).await.unwrap();
    assert_eq!(first.status(), StatusCode::OK);
    assert_eq!(first.json::<JoinReply>().await.unwrap().device, device());
    let again = post(RENEW_EXPIRED_PATH, words).await.unwrap();
    assert_eq!(again.status(), StatusCode::FORBIDDEN);
    assert!(again.text().await.unwrap().contains("used before"));

    let own = std::mem::replace(&mut identity.report_key, ReportKey::from_bytes(&[9; 32]));
    refused(renewer(home.path(), &identity).0.renew(Way::ReportKey).await, "report key is not the one");
    identity.report_key = own;

    // Another machine takes the name: the old key is nobody's any more.
    let (other, token) = (tempfile::tempdir().unwrap(), invite(&plane).await.to_text());
    let successor = join(other.path(), &token, device(), "x86-gateway", Vec::new()).await.unwrap();
    refused(renewer(home.path(), &identity).0.renew(Way::ReportKey).await, "report key is not the one");
    renewer(other.path(), &successor).0.renew(Way::ReportKey).await.unwrap();
    plane.state().admissions.revoke(&device()).await.unwrap();
    refused(renewer(other.path(), &successor).0.renew(Way::ReportKey).await, "revoked");
    plane.shutdown().await.unwrap();
}
