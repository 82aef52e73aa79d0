//! Revocation lists (RFC 5280): which certificates are void before their end, for brokers and readers that are not ours.

use std::collections::BTreeSet;

use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};
use rustls::pki_types::{CertificateRevocationListDer, pem::PemObject};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;

use super::{CaError, CertificateAuthority, DAY_S, Serial, certificate_der, issue_error, since_1970};

/// Days that a revocation list is good for. OpenSSL refuses **every** client when the list that it holds has ended: a
/// forgotten timer would put the whole fleet out. As long as the broker's own certificate, therefore; an old list hides
/// little, since a revoked certificate ends by itself within [`super::DEVICE_DAYS`].
pub const REVOCATION_LIST_DAYS: u64 = 365;
/// Seconds after which a list is signed anew though nothing changed.
pub const REVOCATION_RENEW_S: u64 = DAY_S;
/// Seconds that a list is dated back. A broker that holds several lists goes by the one dated latest, in whole seconds:
/// each is dated at least one second after the last, and a day has room for more revocations than a fleet has devices.
pub const REVOCATION_BACKDATE_S: u64 = DAY_S;

/// A signed revocation list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationList {
    pem: String,
    der: Vec<u8>,
    serials: BTreeSet<Serial>,
    this_update: u64,
    next_update: u64,
}

impl RevocationList {
    /// Returns the list, PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Returns the list, DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Returns the serial numbers on it.
    pub const fn serials(&self) -> &BTreeSet<Serial> {
        &self.serials
    }

    /// Returns the second since 1970 that it is dated.
    pub const fn this_update(&self) -> u64 {
        self.this_update
    }

    /// Returns its end, in seconds since 1970.
    pub const fn next_update(&self) -> u64 {
        self.next_update
    }

    /// Returns whether it still says what is true at `now`, and is neither old nor, after a wrong clock, dated in the future.
    pub fn is_good(&self, revoked: &[(Serial, u64)], now: u64) -> bool {
        let signed_at = self.next_update.saturating_sub(REVOCATION_LIST_DAYS * DAY_S);
        let same =
            self.serials.len() == revoked.len() && revoked.iter().all(|(serial, _)| self.serials.contains(serial));
        same && self.this_update <= now && signed_at <= now && now - signed_at < REVOCATION_RENEW_S
    }

    fn read(pem: &str) -> Option<Self> {
        let der = CertificateRevocationListDer::from_pem_slice(pem.as_bytes()).ok()?;
        let (rest, list) = CertificateRevocationList::from_der(&der).ok()?;
        let second = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).ok();
        let serials = list.iter_revoked_certificates().map(|entry| Serial::from_bytes(entry.raw_serial()));
        rest.is_empty().then_some(())?;
        Some(Self {
            serials: serials.collect::<Option<_>>()?,
            this_update: second(list.last_update())?,
            next_update: second(list.next_update()?)?,
            pem: pem.to_owned(),
            der: der.to_vec(),
        })
    }
}

impl CertificateAuthority {
    /// Signs a list of `revoked` (serial numbers, and when they were revoked), to come after `last`.
    ///
    /// # Errors
    /// [`CaError::Issue`].
    pub fn revocation_list(
        &self,
        revoked: &[(Serial, u64)],
        last: Option<&RevocationList>,
        now: u64,
    ) -> Result<RevocationList, CaError> {
        // A list dated in the future comes from a wrong clock: nobody can go by it, so nothing has to come after it.
        let after = last.map(|last| last.this_update + 1).filter(|second| *second <= now).unwrap_or(0);
        let this_update = after.max(now.saturating_sub(REVOCATION_BACKDATE_S));
        let next_update = now.saturating_add(REVOCATION_LIST_DAYS * DAY_S);
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let params = CertificateRevocationListParams {
            this_update: epoch + since_1970(this_update),
            next_update: epoch + since_1970(next_update),
            // Rises with the date, and needs no memory of its own.
            crl_number: SerialNumber::from(this_update),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .iter()
                .map(|(serial, at)| RevokedCertParams {
                    serial_number: SerialNumber::from_slice(serial.as_bytes()),
                    revocation_time: epoch + since_1970(*at),
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let pem = params.signed_by(&self.issuer).and_then(|list| list.pem()).map_err(issue_error)?;
        RevocationList::read(&pem).ok_or_else(|| CaError::Issue("the revocation list does not read back".to_owned()))
    }

    /// Reads a list back; `None` unless this authority signed it.
    pub fn read_revocation_list(&self, pem: &str) -> Option<RevocationList> {
        let list = RevocationList::read(pem)?;
        let authority = certificate_der(self.certificate_pem())?;
        let (_, authority) = X509Certificate::from_der(&authority).ok()?;
        let (_, signed) = CertificateRevocationList::from_der(&list.der).ok()?;
        signed.verify_signature(authority.public_key()).ok()?;
        Some(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn serial(n: u8) -> Serial {
        Serial::from_bytes(&[0x41, n]).unwrap()
    }

    #[test]
    fn a_list_says_who_is_revoked_and_only_its_authority_signs_it() {
        let authority = CertificateAuthority::create("a", NOW).unwrap();
        let empty = authority.revocation_list(&[], None, NOW).unwrap();
        assert!(empty.serials().is_empty() && empty.is_good(&[], NOW));
        let revoked = [(serial(1), NOW - 5), (serial(2), NOW)];
        let list = authority.revocation_list(&revoked, Some(&empty), NOW).unwrap();
        assert_eq!(list.serials().iter().cloned().collect::<Vec<_>>(), [serial(1), serial(2)]);
        assert!(list.is_good(&revoked, NOW) && !list.is_good(&revoked[..1], NOW) && !empty.is_good(&revoked, NOW));
        assert_eq!(authority.read_revocation_list(list.pem()), Some(list.clone()));

        let foreign = CertificateAuthority::create("a", NOW).unwrap();
        assert_eq!(foreign.read_revocation_list(list.pem()), None);
        for damaged in ["", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", &list.pem()[..200]] {
            assert_eq!(authority.read_revocation_list(damaged), None);
        }
    }

    #[test]
    fn each_list_is_dated_after_the_last_and_never_after_now() {
        let authority = CertificateAuthority::create("a", NOW).unwrap();
        let mut last = authority.revocation_list(&[], None, NOW).unwrap();
        for n in 0..100 {
            let next = authority.revocation_list(&[(serial(n), NOW)], Some(&last), NOW).unwrap();
            assert!(next.this_update() > last.this_update() && next.this_update() <= NOW);
            last = next;
        }
        // A clock ten years ahead leaves a list behind that nobody can use; the next one is usable again.
        let ahead = authority.revocation_list(&[], Some(&last), NOW + 3_650 * DAY_S).unwrap();
        assert!(!ahead.is_good(&[], NOW));
        let after = authority.revocation_list(&[], Some(&ahead), NOW).unwrap();
        assert!(after.this_update() <= NOW && after.is_good(&[], NOW));
    }

    #[test]
    fn a_list_is_signed_anew_long_before_its_end() {
        let authority = CertificateAuthority::create("a", NOW).unwrap();
        let list = authority.revocation_list(&[], None, NOW).unwrap();
        assert_eq!(list.next_update(), NOW + REVOCATION_LIST_DAYS * DAY_S);
        assert!(list.is_good(&[], NOW + REVOCATION_RENEW_S - 1) && !list.is_good(&[], NOW + REVOCATION_RENEW_S));
        assert!(!list.is_good(&[], NOW - 1), "a clock that was set back");
    }
}
