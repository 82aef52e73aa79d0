//! The authority's own promises; verification by TLS is tested with real connections in `tests/broker_clients`.

use proptest::prelude::*;
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ED25519};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;

const NOW: u64 = 1_800_000_000;

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn ids() -> (TenantId, DeviceId) {
    (TenantId::parse("acme").unwrap(), DeviceId::parse("station-7").unwrap())
}

#[test]
fn a_device_certificate_says_what_the_plane_decided_whatever_was_asked_for() {
    let authority = CertificateAuthority::create("a", NOW).unwrap();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut asked = CertificateParams::new(vec!["plane.example".to_owned()]).unwrap();
    asked.distinguished_name.push(DnType::CommonName, PLANE_COMMON_NAME);
    asked.distinguished_name.push(DnType::OrganizationName, PLANE_ORGANIZATION);
    asked.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let request = asked.serialize_request(&key).unwrap().pem().unwrap();
    let (tenant, device) = ids();
    let issued = authority.issue_device(&request, &tenant, &device, NOW).unwrap();

    let der = der(&issued.certificate_pem);
    let peer = Peer::from_certificate(&der).unwrap();
    assert_eq!(peer.identity, Identity::Device { tenant, device });
    assert_eq!((peer.serial, peer.not_after), (issued.serial, NOW + 30 * 86_400));
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    assert!(certificate.subject_alternative_name().unwrap().is_none() && !certificate.is_ca());
    let uses = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(uses.client_auth && !uses.server_auth && !uses.any);
    assert_eq!(certificate.validity().not_before.timestamp(), (NOW - BACKDATE_S) as i64);
    assert_eq!(certificate.public_key().subject_public_key.data.as_ref(), key.public_key_raw());
}

#[test]
fn requests_that_prove_nothing_are_refused() {
    let authority = CertificateAuthority::create("a", NOW).unwrap();
    let (tenant, device) = ids();
    let issue = |request: &str| authority.issue_device(request, &tenant, &device, NOW);
    let (_, good) = new_request().unwrap();
    assert!(issue(&good).is_ok());
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let other_key = CertificateParams::default().serialize_request(&ed25519).unwrap().pem().unwrap();
    assert!(issue(&other_key).unwrap_err().to_string().contains("P-256"));
    // The signature is near the end: one changed character breaks it.
    let body_end = good.find("-----END").unwrap() - 6;
    let old = &good[body_end..=body_end];
    let mut broken = good.clone();
    broken.replace_range(body_end..=body_end, if old == "A" { "B" } else { "A" });
    for bad in [
        broken.as_str(),
        "",
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        &good[..100],
        &"x".repeat(REQUEST_MAX_BYTES + 1),
    ] {
        let error = issue(bad).unwrap_err();
        assert!(matches!(error, CaError::Request(_)) && error.to_string().contains("\n  hint: "), "{error}");
    }
}

#[test]
fn an_authority_goes_on_after_a_restart_and_only_with_its_own_key() {
    let authority = CertificateAuthority::create("a", NOW).unwrap();
    let again = CertificateAuthority::load(authority.certificate_pem(), &authority.key_pem()).unwrap();
    assert_eq!((again.certificate_pem(), again.key_pem()), (authority.certificate_pem(), authority.key_pem()));
    let before = der(&authority.issue_plane(NOW).unwrap().issued.certificate_pem);
    let after = der(&again.issue_plane(NOW).unwrap().issued.certificate_pem);
    let (_, root) = X509Certificate::from_der(Box::leak(Box::new(der(authority.certificate_pem())))).unwrap();
    for certificate in [&before, &after] {
        let (_, c) = X509Certificate::from_der(certificate).unwrap();
        assert_eq!(c.issuer(), root.subject());
        c.verify_signature(Some(root.public_key())).unwrap();
        assert_eq!(Peer::from_certificate(certificate).unwrap().identity, Identity::Plane);
    }
    assert_ne!(before, after, "serial numbers differ");

    let other = CertificateAuthority::create("a", NOW).unwrap();
    let error = |certificate: &str, key: &str| CertificateAuthority::load(certificate, key).err().unwrap();
    assert!(matches!(error(authority.certificate_pem(), &other.key_pem()), CaError::KeyMismatch));
    assert!(matches!(error("", &authority.key_pem()), CaError::Load(_)));
    assert!(matches!(error(authority.certificate_pem(), "nonsense"), CaError::Load(_)));
    let server = authority.issue_server(&[], NOW).unwrap();
    assert!(matches!(error(&server.issued.certificate_pem, &server.key_pem), CaError::Load(_)), "not an authority's");
}

#[test]
fn revoked_certificates_are_listed() {
    let authority = CertificateAuthority::create("a", NOW).unwrap();
    let issued = authority.issue_plane(NOW).unwrap().issued;
    let written = authority.revocation_list(&[(issued.serial.clone(), NOW)], None, NOW).unwrap();
    let (_, block) = x509_parser::pem::parse_x509_pem(written.pem().as_bytes()).unwrap();
    assert_eq!(block.contents, written.der());
    let (_, list) = x509_parser::revocation_list::CertificateRevocationList::from_der(&block.contents).unwrap();
    let serials: Vec<_> =
        list.iter_revoked_certificates().map(|r| Serial::from_bytes(r.raw_serial()).unwrap()).collect();
    assert_eq!(serials, [issued.serial]);
    let root = der(authority.certificate_pem());
    let (_, root) = X509Certificate::from_der(&root).unwrap();
    list.verify_signature(root.public_key()).unwrap();
}

/// A certificate with any names, signed by whoever.
fn named(common_names: &[&str], organizations: &[&str]) -> CertificateDer<'static> {
    let key = new_key().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for name in common_names {
        params.distinguished_name.push(DnType::CommonName, *name);
    }
    for (n, name) in organizations.iter().enumerate() {
        let kind = if n == 0 { DnType::OrganizationName } else { DnType::OrganizationalUnitName };
        params.distinguished_name.push(kind, *name);
    }
    params.self_signed(&key).unwrap().der().clone()
}

#[test]
fn names_that_could_mean_more_than_one_device_are_refused() {
    for (common_name, organization) in [
        ("+", "acme"),
        ("#", "acme"),
        ("a/b", "acme"),
        ("a\0b", "acme"),
        ("", "acme"),
        ("d1", ""),
        ("d1", "+"),
        ("d1", "a/b"),
        ("D1", "acme"),
        ("$plane", "acme"),
        ("d1", "$pinnace"),
        ("d\u{e9}", "acme"),
        ("d1 ", "acme"),
    ] {
        let error = Peer::from_certificate(&named(&[common_name], &[organization]));
        assert!(
            matches!(error, Err(IdentityError::Id(_) | IdentityError::Name(_))),
            "{common_name} {organization}: {error:?}"
        );
    }
    assert_eq!(Peer::from_certificate(&named(&[], &["acme"])), Err(IdentityError::Name("common name")));
    assert_eq!(Peer::from_certificate(&named(&["d1"], &[])), Err(IdentityError::Name("organization")));
    assert!(Peer::from_certificate(&named(&["d1"], &["acme", "unit"])).is_ok());
}

#[test]
fn serial_numbers_have_one_spelling() {
    assert_eq!(Serial::from_bytes(&[0, 0, 1, 2]), Serial::from_hex("0102"));
    assert_eq!(Serial::from_hex("000102").unwrap().to_string(), "0102");
    for bad in ["", "00", "xyz", "1", &"11".repeat(21)] {
        assert_eq!(Serial::from_hex(bad), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn damaged_certificates_and_requests_never_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        noise in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = named(&["d1"], &["acme"]).to_vec();
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        let _ = Peer::from_certificate(&bytes);
        prop_assert!(Peer::from_certificate(&noise).is_err());
    }
}
