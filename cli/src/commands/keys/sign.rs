//! `pinnace keys sign`: one key's word on a draft.
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use pinnace_controlplane::ceremony::{describe, short};
use pinnace_controlplane::keys;
use pinnace_protocol::trust::Signer as _;

use super::write_new;
use crate::output::{Failure, line};

/// Runs the command.
pub fn run(path: &Path, key: &Path, yes: bool) -> Result<(), Failure> {
    let draft = super::draft(path)?;
    let key = keys::read(key)?;
    let signatures = draft.sign(&key)?;
    for text in describe(&draft, super::super::now())? {
        line(text);
    }
    let id = key.key_id();
    let documents: Vec<String> =
        signatures.documents().map(|(role, version)| format!("{role} version {version}")).collect();
    if !yes && !asked(&format!("Sign {} with key {}?", documents.join(" and "), short(&id)))? {
        return Err(Failure::error("not signed\n  hint: nothing was written"));
    }
    let out = signature_path(path, short(&id));
    write_new(&out, &signatures.to_bytes()?)?;
    line(format!("Signed {}: {}", documents.join(" and "), out.display()));
    line("Carry this file back to the draft. It is no secret.");
    Ok(())
}

/// Returns the name of a signature file.
pub fn signature_path(draft: &Path, key: &str) -> PathBuf {
    let mut name = draft.as_os_str().to_owned();
    name.push(format!(".{key}.sig.json"));
    name.into()
}

/// Asks a yes-or-no question; anything but yes is no.
fn asked(question: &str) -> Result<bool, Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        // A script that means it says so; an empty pipe must not sign.
        line(format!("{question} [y/N] (answer with `y` on standard input, or say --yes)"));
    } else {
        let mut out = std::io::stdout();
        write!(out, "{question} [y/N] ")?;
        out.flush()?;
    }
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
