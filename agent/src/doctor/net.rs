//! The ways to the control plane: name, TCP, TLS with our certificate, HTTPS.
use std::net::SocketAddr;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Findings;
use crate::http::{self, ClientIdentity};
use crate::identity::Identity;

/// Time for one step.
const STEP: Duration = Duration::from_secs(10);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;

/// Checks every way, in the order in which they build on each other.
pub(super) async fn check(identity: &Identity, out: &mut Findings) {
    let address = &identity.anchor.mqtt;
    let Some((host, port)) = address.rsplit_once(':').and_then(|(h, p)| Some((h, p.parse::<u16>().ok()?))) else {
        let hint = "join again with a new token: the anchor names the broker";
        return out.fail("broker name", format!("`{address}` is no host and port"), hint);
    };
    let addresses: Vec<SocketAddr> = match timeout(STEP, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(found)) => found.take(ADDRESSES_MAX).collect(),
        Ok(Err(e)) => return unresolved(host, &e.to_string(), out),
        Err(_) => return unresolved(host, "no answer in time", out),
    };
    if addresses.is_empty() {
        return unresolved(host, "the name has no address", out);
    }
    out.ok("broker name", format!("{host} is {}", addresses[0].ip()));
    if let Some(stream) = tcp(&addresses, out).await {
        tls(identity, host, stream, out).await;
    }
    https(identity, out).await;
}

fn unresolved(host: &str, why: &str, out: &mut Findings) {
    let hint = "look at the device's name server (/etc/resolv.conf), or give the plane an address that resolves here";
    out.fail("broker name", format!("{host} does not resolve: {why}"), hint);
}

async fn tcp(addresses: &[SocketAddr], out: &mut Findings) -> Option<TcpStream> {
    let mut last = String::new();
    for address in addresses {
        match timeout(STEP, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                out.ok("broker", format!("{address} accepts connections"));
                return Some(stream);
            }
            Ok(Err(e)) => last = format!("{address}: {e}"),
            Err(_) => last = format!("{address}: no answer within {} s", STEP.as_secs()),
        }
    }
    out.fail("broker", last, "is the broker up, and does a firewall let this device out on that port?");
    None
}

async fn tls(identity: &Identity, host: &str, stream: TcpStream, out: &mut Findings) {
    let hint = "the broker must show a certificate of the plane's authority for this name, and accept ours: compare the \
                clock, look whether the device was revoked, join again as the last way";
    let config = ClientIdentity::new(&identity.cert_pem, &identity.key_pem)
        .and_then(|ours| http::tls_config(&identity.anchor.ca_pem, Some(ours)));
    let (config, name) = match (config, ServerName::try_from(host.to_owned())) {
        (Ok(config), Ok(name)) => (config, name),
        (Err(e), _) => return out.fail("broker TLS", super::identity::first_line(&e), hint),
        (_, Err(e)) => return out.fail("broker TLS", format!("{host}: {e}"), hint),
    };
    match timeout(STEP, TlsConnector::from(config).connect(name, stream)).await {
        Ok(Ok(_)) => out.ok("broker TLS", "handshake with our certificate"),
        Ok(Err(e)) => out.fail("broker TLS", e.to_string(), hint),
        Err(_) => out.fail("broker TLS", "no answer in time", hint),
    }
}

async fn https(identity: &Identity, out: &mut Findings) {
    let url = &identity.anchor.https_url;
    let hint =
        "is `pinnace up` running, and does a firewall let this device out on that port? MQTT alone is enough too";
    let client = ClientIdentity::new(&identity.cert_pem, &identity.key_pem)
        .and_then(|ours| http::tls_config(&identity.anchor.ca_pem, Some(ours)))
        .and_then(|tls| http::client(Some(tls)));
    let client = match client {
        Ok(client) => client,
        Err(e) => return out.fail("control plane", super::identity::first_line(&e), hint),
    };
    // The newest timestamp is there whatever was published.
    let asked = client.get(format!("{url}/repo/metadata/timestamp.json")).timeout(STEP).send().await;
    match asked {
        Ok(answer) if answer.status().is_success() => out.ok("control plane", format!("{url} answers")),
        Ok(answer) if matches!(answer.status().as_u16(), 401 | 403) => {
            let hint = "the device was revoked: `pinnace device invite NAME` lets it join again";
            out.fail("control plane", format!("{url} refuses our certificate: {}", answer.status()), hint);
        }
        Ok(answer) => out.warn("control plane", format!("{url} answers with {}", answer.status()), hint),
        Err(e) => out.fail("control plane", format!("{url}: {}", e.without_url()), hint),
    }
}
