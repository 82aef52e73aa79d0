//! The command line.
use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::Arg::{Long, Short, Value};
use lexopt::ValueExt as _;

use crate::error::Fault;

/// What `--help` prints.
pub const HELP: &str = "\
A TUF client: fetches and verifies what a repository's keys signed.

Usage:
  pinnace-tuf --metadata-dir DIR init TRUSTED_ROOT
  pinnace-tuf --metadata-dir DIR --metadata-url URL refresh
  pinnace-tuf --metadata-dir DIR --metadata-url URL --target-name PATH... --target-base-url URL
              --target-dir DIR download

Options:
  --metadata-dir DIR      where verified metadata is kept: ROLE.json, byte for byte, and the version floors
  --metadata-url URL      where the repository's metadata is
  --target-name PATH      a target to download; may be given several times
  --target-base-url URL   where the repository's targets are
  --target-dir DIR        where to put them

Ends with 0 when everything asked for is verified and stored, else with 1. URLs are plain http.
";

/// Targets of one call.
const TARGETS_MAX: usize = 1024;

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Print the help.
    Help,
    /// Trust this root from now on.
    Init {
        /// Its file.
        trusted_root: PathBuf,
    },
    /// Bring the metadata up to date.
    Refresh {
        /// Where it comes from.
        metadata_url: String,
    },
    /// Refresh, then fetch targets.
    Download {
        /// Where metadata comes from.
        metadata_url: String,
        /// Where targets come from.
        targets_url: String,
        /// Target paths, in this order.
        targets: Vec<String>,
        /// The folder for them.
        into: PathBuf,
    },
}

/// The whole command line.
#[derive(Debug, PartialEq, Eq)]
pub struct Args {
    /// The metadata directory.
    pub metadata_dir: PathBuf,
    /// What to do.
    pub command: Command,
}

impl Args {
    /// Reads the arguments.
    ///
    /// # Errors
    /// `Usage`, saying what is missing or unknown.
    pub fn parse(mut parser: lexopt::Parser) -> Result<Self, Fault> {
        let (mut metadata_dir, mut into) = (None, None);
        let (mut metadata_url, mut targets_url) = (None, None);
        let mut targets = Vec::new();
        let mut words: Vec<OsString> = Vec::new();
        let usage = |e: lexopt::Error| Fault::Usage(e.to_string());
        while let Some(arg) = parser.next().map_err(usage)? {
            match arg {
                Long("metadata-dir") => metadata_dir = Some(PathBuf::from(parser.value().map_err(usage)?)),
                Long("target-dir") => into = Some(PathBuf::from(parser.value().map_err(usage)?)),
                Long("metadata-url") => metadata_url = Some(parser.value().and_then(|v| v.string()).map_err(usage)?),
                Long("target-base-url") => targets_url = Some(parser.value().and_then(|v| v.string()).map_err(usage)?),
                Long("target-name") if targets.len() < TARGETS_MAX => {
                    targets.push(parser.value().and_then(|v| v.string()).map_err(usage)?);
                }
                Long("help") | Short('h') => {
                    return Ok(Self { metadata_dir: PathBuf::new(), command: Command::Help });
                }
                Value(word) if words.len() < 2 => words.push(word),
                other => return Err(usage(other.unexpected())),
            }
        }
        let missing = |what: &str| Fault::Usage(format!("{what} is missing"));
        let mut words = words.into_iter();
        let verb = words.next().ok_or_else(|| missing("the command"))?;
        let root = words.next();
        let metadata_dir = metadata_dir.ok_or_else(|| missing("--metadata-dir"))?;
        let metadata_url = metadata_url.ok_or_else(|| missing("--metadata-url"));
        let command = match (verb.to_str(), root) {
            (Some("init"), root) => {
                Command::Init { trusted_root: root.ok_or_else(|| missing("the trusted root"))?.into() }
            }
            (Some("refresh"), None) => Command::Refresh { metadata_url: metadata_url? },
            (Some("download"), None) if targets.is_empty() => return Err(missing("--target-name")),
            (Some("download"), None) => Command::Download {
                metadata_url: metadata_url?,
                targets_url: targets_url.ok_or_else(|| missing("--target-base-url"))?,
                targets,
                into: into.ok_or_else(|| missing("--target-dir"))?,
            },
            _ => return Err(Fault::Usage(format!("`{}` is no command here", verb.to_string_lossy()))),
        };
        Ok(Self { metadata_dir, command })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, Fault> {
        Args::parse(lexopt::Parser::from_args(line.split_whitespace()))
    }

    #[test]
    fn commands_and_options_come_in_any_order() {
        let init = parse("--metadata-dir m init root.json").unwrap();
        assert_eq!(init.command, Command::Init { trusted_root: "root.json".into() });
        let refresh = parse("refresh --metadata-url http://a/ --metadata-dir m").unwrap();
        assert_eq!(refresh.command, Command::Refresh { metadata_url: "http://a/".into() });
        let line = "--metadata-dir m --metadata-url u --target-name a --target-name b --target-base-url t \
                    --target-dir d download";
        let Command::Download { targets, .. } = parse(line).unwrap().command else { panic!("another command") };
        assert_eq!(targets, ["a", "b"]);
    }

    #[test]
    fn what_is_missing_is_named() {
        for (line, what) in [
            ("--metadata-dir m", "the command"),
            ("refresh --metadata-url u", "--metadata-dir"),
            ("--metadata-dir m refresh", "--metadata-url"),
            ("--metadata-dir m init", "the trusted root"),
            ("--metadata-dir m --metadata-url u download", "--target-name"),
            ("--metadata-dir m dance", "dance"),
            ("--metadata-dir m --metadata-url u refresh now", "refresh"),
            ("--frobnicate", "frobnicate"),
        ] {
            let fault = parse(line).unwrap_err().to_string();
            assert!(fault.contains(what) && fault.contains("hint:"), "{line}: {fault}");
        }
    }
}
