//! `pinnace-tuf`: the trust core behind the command line of TUF's conformance suite.
//!
//! The very code that runs on devices decides here; this program only fetches, stores and prints. It knows ECDSA and
//! RSA keys beside ed25519, since other people's repositories have them.
mod args;
mod error;
mod fetch;
mod refresh;
mod store;
mod target;

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use args::{Args, Command};
use error::Fault;
use refresh::Session;
use store::MetadataDir;

fn main() -> ExitCode {
    match Args::parse(lexopt::Parser::from_env()).and_then(|args| run(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("pinnace-tuf: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Fault> {
    let dir = MetadataDir::new(&args.metadata_dir);
    match &args.command {
        Command::Help => {
            print!("{}", args::HELP);
            Ok(())
        }
        Command::Init { trusted_root } => dir.init(trusted_root),
        Command::Refresh { metadata_url } => Session::open(dir, metadata_url, now())?.refresh(),
        Command::Download { metadata_url, targets_url, targets, into } => {
            let mut session = Session::open(dir, metadata_url, now())?;
            session.refresh()?;
            targets.iter().try_for_each(|path| target::download(&mut session, path, targets_url, into))
        }
    }
}

/// Returns the wall clock, unix seconds; 0 for a clock before 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
