//! `pinnace keys`: the ceremony. Secrets stay where they were made; drafts and signatures travel as files.
mod init;
pub mod publish;
mod rotate;
mod show;
mod sign;

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use pinnace_controlplane::ceremony::{Draft, short};
use pinnace_controlplane::keys;
use pinnace_controlplane::limits::DRAFT_MAX_BYTES;
use pinnace_protocol::trust::{Signer as _, TufKey};

use crate::args::KeysCommand;
use crate::output::{Failure, line};

/// Runs the command.
pub async fn run(command: KeysCommand) -> Result<(), Failure> {
    match command {
        KeysCommand::Generate { file } => generate(&file),
        KeysCommand::Show { file: Some(file), .. } => show::file(&file),
        KeysCommand::Show { file: None, plane } => show::plane(&plane).await,
        KeysCommand::Init(args) => init::run(&args),
        KeysCommand::Rotate(args) => rotate::run(args).await,
        KeysCommand::Sign { draft, key, yes } => sign::run(&draft, &key, yes),
        KeysCommand::Publish { draft, signatures, plane } => publish::run(&draft, signatures, &plane).await,
    }
}

fn generate(file: &Path) -> Result<(), Failure> {
    let key = keys::generate(file)?;
    line(format!("Key {} (id {}).", short(&key.key_id()), key.key_id()));
    line(format!("  public  {}", key.key().keyval.public));
    line(format!("  secret  {} - keep it on this machine, and a copy of it in a safe place", file.display()));
    line(format!("  public half, to be carried: {}", keys::public_path(file).display()));
    Ok(())
}

/// Reads a file of at most `cap` bytes.
fn read(path: &Path, cap: usize) -> Result<Vec<u8>, Failure> {
    let fault =
        |e: std::io::Error| Failure::error(format!("{} cannot be read: {e}\n  hint: check the path", path.display()));
    let length = std::fs::metadata(path).map_err(fault)?.len();
    if length > cap as u64 {
        return Err(Failure::error(format!(
            "{} has {length} bytes, at most {cap} are read\n  hint: name another file",
            path.display()
        )));
    }
    std::fs::read(path).map_err(fault)
}

/// Writes a file that must not be there yet, or holds the same bytes already.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if std::fs::read(path).is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    if path.exists() {
        return Err(Failure::error(format!(
            "{} exists and holds something else\n  hint: move it away, or name another with --out",
            path.display()
        )));
    }
    write(path, bytes)
}

/// Writes a file; the folder is made when it is not there.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let fault = |e: std::io::Error| {
        let path = path.display();
        Failure::error(format!("{path} cannot be written: {e}\n  hint: look at free space and permissions"))
    };
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        // It may become the plane's data folder.
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(fault)?;
    }
    std::fs::write(path, bytes).map_err(fault)
}

fn draft(path: &Path) -> Result<Draft, Failure> {
    Draft::parse(&read(path, DRAFT_MAX_BYTES)?).map_err(|e| Failure::error(format!("{}: {e}", path.display())))
}

fn publics(paths: &[PathBuf]) -> Result<Vec<TufKey>, Failure> {
    Ok(paths.iter().map(|path| keys::read_public(path)).collect::<Result<_, _>>()?)
}

/// Returns the keys of one kind, in words: "1 of 3".
fn of(threshold: u64, keys: usize) -> String {
    format!("{threshold} of {keys}")
}

/// Returns a span of seconds until an end, in words.
pub fn until(expires: u64, now: u64) -> String {
    if expires == 0 {
        return "-".into();
    }
    let span = |s: u64| match s {
        0..7_200 => format!("{} min", s / 60),
        7_200..172_800 => format!("{} h", s / 3_600),
        _ => format!("{} d", s / 86_400),
    };
    if expires > now { span(expires - now) } else { format!("EXPIRED {} ago", span(now - expires)) }
}

/// Returns what to type next for a draft.
fn next_steps(path: &Path, draft: &Draft) -> Result<(), Failure> {
    for need in draft.needs()? {
        let Some(missing) = need.still_missing() else { continue };
        line(format!("  {} needs {missing}", need.role));
    }
    line("Where each of these keys is:");
    line(format!("  pinnace keys sign {} --key FILE", path.display()));
    line("Then, with the signature files beside the draft:");
    let into = if draft.is_first() { " --data DATA-FOLDER-OF-THE-PLANE" } else { "" };
    line(format!("  pinnace keys publish {}{into}", path.display()));
    Ok(())
}
