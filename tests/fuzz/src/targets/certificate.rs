//! Certificate requests of devices that join, and client certificates: DER, read before anything is known of the sender.
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use pinnace_controlplane::ca::{CertificateAuthority, Identity, Peer};

use crate::fixtures::NOW;
use crate::fixtures::device::NAMES;
use crate::target::{Budget, Form, Target};
use crate::verdict::{Verdict, variant};

pub const REQUEST: Target = Target {
    name: "csr",
    what: "a certificate request (PKCS #10, DER), and the certificate that is made for it",
    form: Form::Bytes,
    max_bytes: 4 * 1024,
    budget: Budget { base: 128 * 1024, per_byte: 200 },
    cost: 1,
    words: &["\u{30}\u{0}", "\u{6}\u{3}\u{55}\u{4}\u{3}", "$plane", "dev-2", "\u{2}\u{1}\u{0}"],
    run: request,
    repair: None,
};

pub const CERTIFICATE: Target = Target {
    name: "certificate",
    what: "a client certificate (X.509, DER): who it speaks for",
    form: Form::Bytes,
    max_bytes: 4 * 1024,
    budget: Budget { base: 64 * 1024, per_byte: 200 },
    cost: 1,
    words: &[
        "$plane",
        "$pinnace",
        "acme",
        "dev-1",
        "\u{6}\u{3}\u{55}\u{4}\u{3}",
        "\u{6}\u{3}\u{55}\u{4}\u{a}",
        "\u{0}",
    ],
    run: certificate,
    repair: None,
};

static AUTHORITY: LazyLock<CertificateAuthority> =
    LazyLock::new(|| CertificateAuthority::create("fixtures", NOW).expect("an authority can be made"));

fn request(input: &[u8]) -> Verdict {
    let body = BASE64.encode(input);
    let pem = format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n");
    match AUTHORITY.issue_device(&pem, &NAMES.tenant, &NAMES.device, NOW) {
        Err(fault) => Verdict::refused(&variant(&fault), fault),
        Ok(issued) => {
            // Names in a request are ignored: the certificate is the device's, whatever it asked for.
            let text: String = issued.certificate_pem.lines().filter(|l| !l.starts_with('-')).collect();
            let peer = Peer::from_certificate(&BASE64.decode(text).expect("base64")).expect("our own certificate");
            let ours = Identity::Device { tenant: NAMES.tenant.clone(), device: NAMES.device.clone() };
            assert_eq!((peer.identity, peer.serial), (ours, issued.serial), "it speaks for this device alone");
            Verdict::accepted("a certificate was made")
        }
    }
}

fn certificate(input: &[u8]) -> Verdict {
    match Peer::from_certificate(input) {
        Err(fault) => Verdict::refused(&variant(&fault), fault),
        Ok(peer) => Verdict::accepted(match peer.identity {
            Identity::Plane => "the plane",
            Identity::Device { .. } => "a device",
        }),
    }
}
