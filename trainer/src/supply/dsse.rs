//! DSSE envelopes: a payload, what it is, and signatures over both (Dead Simple Signing Envelope 1.0).
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use pinnace_protocol::trust::Signer;
use serde::{Deserialize, Serialize};

use super::SupplyError;
use super::key::{PublicKey, SigningKey};
use crate::limits::{MAX_ENVELOPE_SIGNATURES, MAX_SUPPLY_DOCUMENT_BYTES};

/// The kind of payload that an in-toto statement is.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

/// A payload with its signatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// The payload, base64.
    payload: String,
    /// What the payload is.
    payload_type: String,
    /// Who signed.
    signatures: Vec<Signature>,
}

/// One signature of an envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Signature {
    /// A hint which key it is; empty when there is none.
    #[serde(default)]
    keyid: String,
    /// The signature, base64.
    sig: String,
}

/// Returns the bytes that a signature covers: kind and payload, each with its length before it.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

impl Envelope {
    /// Returns an envelope around `payload` that nobody has signed yet.
    pub fn new(payload_type: &str, payload: &[u8]) -> Self {
        Self { payload: BASE64.encode(payload), payload_type: payload_type.into(), signatures: Vec::new() }
    }

    /// Reads an envelope called `document` from JSON.
    ///
    /// # Errors
    /// [`SupplyError::Document`] when it is too large, of another shape, or signed by nobody or too many.
    pub fn parse(document: &'static str, bytes: &[u8]) -> Result<Self, SupplyError> {
        let bad = |why: String| SupplyError::Document { document, why };
        if bytes.len() > MAX_SUPPLY_DOCUMENT_BYTES {
            return Err(bad(format!("{} bytes, at most {MAX_SUPPLY_DOCUMENT_BYTES} are read", bytes.len())));
        }
        let envelope: Self = serde_json::from_slice(bytes).map_err(|e| bad(format!("no DSSE envelope: {e}")))?;
        envelope.check(document)?;
        Ok(envelope)
    }

    /// Checks what the shape alone does not say.
    ///
    /// # Errors
    /// [`SupplyError::Document`] when nobody signed or too many did.
    pub(super) fn check(&self, document: &'static str) -> Result<(), SupplyError> {
        match self.signatures.len() {
            1..=MAX_ENVELOPE_SIGNATURES => Ok(()),
            n => Err(SupplyError::Document {
                document,
                why: format!("{n} signatures, 1 to {MAX_ENVELOPE_SIGNATURES} are read"),
            }),
        }
    }

    /// Adds the signature of a P-256 key, named `keyid`.
    ///
    /// # Errors
    /// [`SupplyError::Key`] when the key cannot sign; [`SupplyError::Document`] when the payload is not base64.
    pub fn sign(&mut self, key: &SigningKey, keyid: &str) -> Result<(), SupplyError> {
        let signature = key.sign(&self.signed_bytes()?)?;
        self.signatures.push(Signature { keyid: keyid.into(), sig: BASE64.encode(signature) });
        Ok(())
    }

    /// Adds the signature of an ed25519 key, named as in TUF.
    ///
    /// # Errors
    /// [`SupplyError::Document`] when the payload is not base64.
    pub fn sign_ed25519(&mut self, key: &dyn Signer) -> Result<(), SupplyError> {
        let signature = key.sign(&self.signed_bytes()?);
        self.signatures.push(Signature { keyid: key.key_id(), sig: BASE64.encode(signature) });
        Ok(())
    }

    /// Returns the payload when `key` signed it and it is of kind `payload_type`.
    ///
    /// # Errors
    /// [`SupplyError::Document`] when it is of another kind, [`SupplyError::Signature`] when `key` did not sign it.
    pub fn open(
        &self,
        document: &'static str,
        payload_type: &'static str,
        key: &PublicKey,
    ) -> Result<Vec<u8>, SupplyError> {
        if self.payload_type != payload_type {
            return Err(SupplyError::Document {
                document,
                why: format!("its payload is not `{payload_type}` as it should be"),
            });
        }
        let message = self.signed_bytes()?;
        // Key ids are hints that nobody signed: every signature is tried.
        let signed = self.signatures.iter().take(MAX_ENVELOPE_SIGNATURES).any(|s| {
            let signature = BASE64.decode(&s.sig);
            signature.is_ok_and(|signature| key.verifies(&message, &signature))
        });
        if signed { self.payload(document) } else { Err(SupplyError::Signature { document }) }
    }

    /// Returns the payload, whoever signed it.
    ///
    /// # Errors
    /// [`SupplyError::Document`] when it is not base64.
    pub(super) fn payload(&self, document: &'static str) -> Result<Vec<u8>, SupplyError> {
        BASE64
            .decode(&self.payload)
            .map_err(|e| SupplyError::Document { document, why: format!("its payload is not base64: {e}") })
    }

    /// Returns how many signed.
    pub(super) fn signatures(&self) -> usize {
        self.signatures.len()
    }

    fn signed_bytes(&self) -> Result<Vec<u8>, SupplyError> {
        Ok(pae(&self.payload_type, &self.payload("DSSE envelope")?))
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::tests::new_key;
    use super::*;
    use pinnace_protocol::trust;

    #[test]
    fn pae_is_that_of_the_specification() {
        // The example of the DSSE protocol's text.
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
        assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
        // Lengths are those of bytes, not of characters.
        assert_eq!(pae("\u{e9}", "\u{2713}".as_bytes()), "DSSEv1 2 \u{e9} 3 \u{2713}".as_bytes());
    }

    #[test]
    fn opens_for_every_signer_and_for_nobody_else() {
        let (first, second, stranger) = (new_key(), new_key(), new_key());
        let mut envelope = Envelope::new(IN_TOTO, b"{}");
        envelope.sign(&first, "a").unwrap();
        envelope.sign_ed25519(&trust::SigningKey::from_seed([7; 32])).unwrap();
        envelope.sign(&second, "b").unwrap();
        let envelope = Envelope::parse("test", &serde_json::to_vec(&envelope).unwrap()).unwrap();
        assert_eq!(envelope.signatures(), 3);
        for key in [&first, &second] {
            assert_eq!(envelope.open("test", IN_TOTO, key.public()).unwrap(), b"{}");
        }
        assert!(matches!(envelope.open("test", IN_TOTO, stranger.public()), Err(SupplyError::Signature { .. })));
        assert!(matches!(envelope.open("test", "text/plain", first.public()), Err(SupplyError::Document { .. })));
    }

    #[test]
    fn a_changed_payload_or_kind_is_not_signed() {
        let key = new_key();
        let mut envelope = Envelope::new(IN_TOTO, b"{\"a\":1}");
        envelope.sign(&key, "").unwrap();
        let mut other = envelope.clone();
        other.payload = BASE64.encode(b"{\"a\":2}");
        assert!(matches!(other.open("test", IN_TOTO, key.public()), Err(SupplyError::Signature { .. })));
        envelope.payload_type = "application/json".into();
        let opened = envelope.open("test", "application/json", key.public());
        assert!(matches!(opened, Err(SupplyError::Signature { .. })));
    }

    #[test]
    fn bad_envelopes_are_refused() {
        let many = serde_json::json!({ "payload": "", "payloadType": "", "signatures": vec![serde_json::json!({ "sig": "" }); MAX_ENVELOPE_SIGNATURES + 1] });
        let cases = [
            "".to_owned(),
            "[]".to_owned(),
            "{\"payload\":\"\",\"payloadType\":\"\",\"signatures\":[]}".to_owned(),
            many.to_string(),
            " ".repeat(MAX_SUPPLY_DOCUMENT_BYTES + 1),
        ];
        for case in cases {
            assert!(matches!(Envelope::parse("test", case.as_bytes()), Err(SupplyError::Document { .. })));
        }
        let odd = "{\"payload\":\"*\",\"payloadType\":\"\",\"signatures\":[{\"sig\":\"*\"}]}";
        let odd = Envelope::parse("test", odd.as_bytes()).unwrap();
        assert!(odd.open("test", "", new_key().public()).is_err());
    }
}
