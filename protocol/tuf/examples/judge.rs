//! Judges repositories that arrive as lines of JSON, one verdict a line: for comparisons with other TUF clients.
//!
//! In: `{"now": seconds, "target": path, "root": base64, "files": {name: base64}}`. Out: `ok LENGTH SHA256`, or
//! `no REASON`. Each line is judged by a client that has seen nothing before.
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead as _, Write as _};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use pinnace_protocol::signature::Verifier;
use pinnace_protocol::trust::{Floors, ImageClient, Request, Response, TrustedState};
use serde::Deserialize;

/// Documents that one look-up may ask for.
const DOCUMENTS_MAX: usize = 320;

#[derive(Deserialize)]
struct Case {
    now: u64,
    target: String,
    root: String,
    files: BTreeMap<String, String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let case: Case = serde_json::from_str(&line?)?;
        writeln!(out, "{}", judge(&case)?.replace(['\n', '\r'], " "))?;
        out.flush()?;
    }
    Ok(())
}

fn judge(case: &Case) -> Result<String, base64::DecodeError> {
    let root = BASE64_STANDARD.decode(&case.root)?;
    let trusted = match TrustedState::load_with(&root, BTreeMap::new(), Verifier::EVERY_SCHEME) {
        Ok(trusted) => trusted,
        Err(e) => return Ok(format!("no {e}")),
    };
    let mut client = ImageClient::new(trusted, Floors::default(), case.now);
    for _ in 0..DOCUMENTS_MAX {
        match client.find(&case.target) {
            Request::Done(Some(found)) => {
                let digest = found.sha256().map(|d| d.iter().map(|b| format!("{b:02x}")).collect::<String>());
                return Ok(format!("ok {} {}", found.length(), digest.unwrap_or_default()));
            }
            Request::Done(None) => return Ok("no target".into()),
            Request::Failed(e) => return Ok(format!("no {e}")),
            Request::Fetch(fetch) => {
                let bytes = case.files.get(&fetch.name).map(|text| BASE64_STANDARD.decode(text)).transpose()?;
                drop(client.feed(bytes.as_deref().map_or(Response::NotFound, Response::Bytes)));
            }
        }
    }
    Ok("no end".into())
}
