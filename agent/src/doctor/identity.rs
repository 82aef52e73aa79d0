//! Who the device is: names, keys, certificate, trust anchor, and the clock they are judged by.
use std::os::unix::fs::MetadataExt as _;

use pinnace_protocol::signature::Verifier;
use pinnace_protocol::trust::first_root;
use pinnace_protocol::trust::metadata::ROOT;

use super::{Findings, Places};
use crate::identity::{Identity, IdentityError};
use crate::renewal::validity;

/// Seconds of a day.
const DAY_S: u64 = 86_400;
/// The files that only their owner may read.
const SECRETS: [&str; 2] = ["tls.key", "report.key"];

/// Checks the identity and returns it when it can be used.
pub(super) fn check(places: &Places, out: &mut Findings) -> Option<Identity> {
    let identity = match super::load(places) {
        Ok(identity) => identity,
        Err(e @ IdentityError::Missing(_)) => {
            out.fail("identity", first_line(&e), "pinnace-agent join TOKEN; `pinnace device invite` makes the token");
            return None;
        }
        Err(e) => {
            out.fail("identity", first_line(&e), "join again with a new token; the running model is kept");
            return None;
        }
    };
    out.ok("identity", format!("{} of {}", identity.device.device, identity.device.tenant));
    modes(places, out);
    certificate(&identity, places.now_s, out);
    anchor(&identity, out);
    Some(identity)
}

/// Returns an error's first line; its hint stands in the finding's own place.
pub(super) fn first_line(e: &impl std::fmt::Display) -> String {
    e.to_string().lines().next().unwrap_or_default().to_owned()
}

fn modes(places: &Places, out: &mut Findings) {
    let folder = places.home.join("identity");
    let open: Vec<String> = SECRETS
        .iter()
        .map(|name| folder.join(name))
        .filter(|file| std::fs::metadata(file).is_ok_and(|found| found.mode() & 0o077 != 0))
        .map(|file| file.display().to_string())
        .collect();
    if open.is_empty() {
        out.ok("key modes", "readable by their owner alone");
    } else {
        let hint = format!("chmod 600 {}; join again if others may have read them", open.join(" "));
        out.fail("key modes", format!("others can read {}", open.join(", ")), hint);
    }
}

fn certificate(identity: &Identity, now: u64, out: &mut Findings) {
    let hint = "the agent renews it by itself once it reaches the control plane; after its end also, for 90 days";
    let Some((begins, ends)) = validity(&identity.cert_pem) else {
        return out.fail("certificate", "cannot be read", "join again with a new token");
    };
    if crate::http::ClientIdentity::new(&identity.cert_pem, &identity.key_pem).is_err() {
        out.fail("certificate", "does not belong to the key beside it", "join again with a new token");
    } else if now >= ends {
        out.fail("certificate", format!("ended {} days ago", (now - ends) / DAY_S), hint);
    } else if now < begins {
        let found = format!("begins in {} h by this device's clock", (begins - now).div_ceil(3600));
        out.warn("certificate", found, "set the clock; the agent judges by signed time all the same");
    } else {
        out.ok("certificate", format!("ends in {} days", (ends - now) / DAY_S));
    }
    // It is asked for from two thirds of its life on; five sixths gone means that asking does not help.
    let late = begins + ends.saturating_sub(begins) / 6 * 5;
    if now >= late {
        out.warn("renewal", "overdue: more than five sixths of the certificate's life are over", hint);
    } else {
        out.ok("renewal", "not overdue");
    }
}

fn anchor(identity: &Identity, out: &mut Findings) {
    let anchor = &identity.anchor;
    let hint = "join again with a new token: what may be trusted comes from there";
    let roots = [("image", &anchor.image_root), ("director", &anchor.director_root)];
    let mut weak = Vec::new();
    let mut unsound = Vec::new();
    for (name, text) in roots {
        match first_root(text.as_bytes(), Verifier::STRICT) {
            Ok(root) => {
                if root.role(ROOT).is_ok_and(|role| role.threshold < 2) {
                    weak.push(name);
                }
            }
            Err(e) => unsound.push(format!("{name} root: {}", first_line(&e))),
        }
    }
    let mut key = [0; 32];
    let is_key = hex::decode_to_slice(&anchor.plane_key, &mut key).is_ok()
        && ed25519_dalek::VerifyingKey::from_bytes(&key).is_ok();
    if !is_key {
        unsound.push("the plane's message key is no key".into());
    }
    if crate::http::tls_config(&anchor.ca_pem, None).is_err() {
        unsound.push("the certificate authority cannot be read".into());
    }
    if unsound.is_empty() {
        out.ok("anchor", "both roots, message key and authority are sound");
    } else {
        out.fail("anchor", unsound.join("; "), hint);
    }
    if weak.is_empty() {
        out.ok("development keys", "both roots need more than one key");
    } else {
        let found = format!("one key is enough to replace the {} root", weak.join(" and the "));
        let hint = "fine for trying out; a fleet's keys come from a ceremony: docs/KEYS.md, `pinnace keys init`";
        out.warn("development keys", found, hint);
    }
}
