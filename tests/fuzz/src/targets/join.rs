//! Joining: the token, the anchor document, request and reply.
use pinnace_protocol::ids::Digest;
use pinnace_protocol::join::{Anchor, JoinReply, JoinRequest, JoinToken};

use crate::target::{Budget, Form, Target};
use crate::verdict::Verdict;

pub const TARGET: Target = Target {
    name: "join",
    what: "join tokens, anchor documents, join requests and replies",
    form: Form::Json,
    max_bytes: 16 * 1024,
    budget: Budget { base: 64 * 1024, per_byte: 64 },
    cost: 1,
    words: &[
        "pn1.",
        "url",
        "secret",
        "anchor",
        "tenant",
        "plane_key",
        "https_url",
        "mqtt",
        "issued",
        "device",
        "csr_pem",
        "report_key",
        "device_profile",
        "labels",
        "certificate_pem",
        "image_root",
        "director_root",
        "ca_pem",
    ],
    run,
    repair: None,
};

fn run(input: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(input);
    let token = JoinToken::parse(&text);
    if let Ok(token) = token {
        assert_eq!(JoinToken::parse(&token.to_text()).as_ref(), Ok(&token), "it says the same when written again");
        assert_eq!(token.secret_hash().len(), 64);
        return Verdict { word: "accepted as token".into(), detail: String::new() };
    }
    let digest = Digest::of(input);
    assert!(Anchor::open(input, &Digest([0; 32])).is_err(), "another document than the token's");
    let anchor = Anchor::open(input, &digest);
    if let Ok(anchor) = anchor {
        let bytes = anchor.to_bytes();
        assert_eq!(Anchor::open(&bytes, &Digest::of(&bytes)), Ok(anchor), "it says the same when written again");
        return Verdict { word: "accepted as anchor".into(), detail: String::new() };
    }
    let (request, reply) = (serde_json::from_slice::<JoinRequest>(input), serde_json::from_slice::<JoinReply>(input));
    match (request, reply) {
        (Ok(request), _) => Verdict { word: "accepted as request".into(), detail: request.labels.len().to_string() },
        (_, Ok(_)) => Verdict { word: "accepted as reply".into(), detail: String::new() },
        (Err(a), Err(b)) => {
            let token = token.err().map(|e| e.why).unwrap_or_default();
            Verdict::refused("none of the four", format!("{token} {:?} {a} {b}", anchor.err()))
        }
    }
}
