//! Why a command line is refused, in the words of `pg_basebackup` 18.

use super::syntax::SyntaxError;
use super::values::ValueError;
use crate::cli::program::Program;

/// A command line that is not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// An option that does not exist or is used in a way it does not allow. The line begins with the
    /// whole of `argv[0]` and has no severity.
    #[error(transparent)]
    Syntax(SyntaxError),
    /// `--help` or `--version` after other arguments; there is nothing to say but the hint.
    #[error("option is recognized only as the first argument")]
    Misplaced,
    /// A value that cannot be understood.
    #[error(transparent)]
    Value(ValueError),
    /// Options that do not go together, or are not enough.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The first argument of `pgsiphon` is no command.
    #[error("unrecognized command \"{0}\"")]
    UnknownCommand(String),
    /// `pgsiphon` without arguments.
    #[error("no command specified")]
    NoCommand,
}

/// Options that are well formed but make no sense together, in the order in which they are looked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say it")]
pub enum Conflict {
    #[error("too many command-line arguments (first is \"{0}\")")]
    TooManyArguments(String),
    #[error("must specify output directory or backup target")]
    NoDirectory,
    #[error("cannot stream write-ahead logs in tar mode to stdout")]
    StreamingToStdout,
    #[error("replication slots can only be used with WAL streaming")]
    SlotWithoutStreaming,
    #[error("--no-slot cannot be used with slot name")]
    NoSlotWithName,
    #[error("--create-slot needs a slot to be specified using --slot")]
    CreateSlotWithoutName,
    #[error("WAL directory location can only be specified in plain mode")]
    WalDirectoryInTarMode,
    #[error("WAL directory location must be an absolute path")]
    WalDirectoryRelative,
    #[error("--progress and --no-estimate-size are incompatible options")]
    ProgressWithoutEstimate,
    #[error("--no-manifest and --manifest-checksums are incompatible options")]
    NoManifestWithChecksums,
    #[error("--no-manifest and --manifest-force-encode are incompatible options")]
    NoManifestWithForceEncode,
}

impl UsageError {
    /// Returns the command whose `--help` the user is pointed at. Values that are wrong have none: the
    /// message says which ones are right.
    pub fn helpful_command(&self, program: &Program) -> Option<String> {
        match self {
            UsageError::Value(_) => None,
            UsageError::Syntax(_) | UsageError::Misplaced | UsageError::Conflict(_) => {
                Some(program.basebackup_command())
            }
            UsageError::UnknownCommand(_) | UsageError::NoCommand => {
                Some(program.name().to_owned())
            }
        }
    }
}
