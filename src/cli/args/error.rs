//! Why a command line is refused, in the words of the originals of release 18.

use super::getopt::SyntaxError;
use super::values::ValueError;
use crate::cli::program::{Job, Program};
use crate::pg::CompressionError;

/// A command line that is not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// The options of a command are wrong.
    #[error("{1}")]
    Options(Job, OptionsError),
    /// The first argument of `pgsiphon` is no command.
    #[error("unrecognized command \"{0}\"")]
    UnknownCommand(String),
    /// `pgsiphon` without arguments.
    #[error("no command specified")]
    NoCommand,
    /// `pgsiphon completions` without arguments.
    #[error("no shell specified")]
    NoShell,
    /// There are no completions for this shell.
    #[error(
        "unrecognized shell \"{0}\", must be \"bash\", \"elvish\", \"fish\", \"powershell\", or \"zsh\""
    )]
    UnknownShell(String),
    /// There are no completions for this program.
    #[error("unrecognized program \"{typed}\", must be {}", one_of(.known))]
    UnknownProgram {
        /// What stands in the place of its name.
        typed: String,
        /// The programs.
        known: Vec<&'static str>,
    },
    /// There is no such manual page.
    #[error("unrecognized manual page \"{typed}\", must be {}", one_of(.known))]
    UnknownPage {
        /// What stands in the place of its name.
        typed: String,
        /// The pages.
        known: Vec<&'static str>,
    },
    /// A command of our own got more than it takes.
    #[error("too many command-line arguments (first is \"{0}\")")]
    TooManyOperands(String),
}

/// Lists three names or more.
fn one_of(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    match quoted.split_last() {
        Some((last, others)) => format!("{}, or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// What is wrong with the options of a tool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
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
}

/// Options that are well formed but make no sense together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say it")]
pub enum Conflict {
    #[error("too many command-line arguments (first is \"{0}\")")]
    TooManyArguments(String),
    #[error("cannot specify both format and backup target")]
    FormatWithTarget,
    #[error("must specify output directory or backup target")]
    NoDirectory,
    #[error("cannot specify both output directory and backup target")]
    DirectoryWithTarget,
    #[error(transparent)]
    Compression(#[from] CompressionError),
    #[error("client-side compression is not possible when a backup target is specified")]
    ClientCompressionWithTarget,
    #[error("only tar mode backups can be compressed")]
    CompressionInPlainMode,
    #[error("WAL cannot be streamed when a backup target is specified")]
    StreamingWithTarget,
    #[error("cannot stream write-ahead logs in tar mode to stdout")]
    StreamingToStdout,
    #[error("replication slots can only be used with WAL streaming")]
    SlotWithoutStreaming,
    #[error("--no-slot cannot be used with slot name")]
    NoSlotWithName,
    #[error("--create-slot needs a slot to be specified using --slot")]
    CreateSlotWithoutName,
    #[error("WAL directory location cannot be specified along with a backup target")]
    WalDirectoryWithTarget,
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
    #[error("incremental backups are not supported yet")]
    Incremental,
    #[error("--json cannot be used when the backup is written to standard output")]
    JsonToStdout,
    #[error("cannot use --create-slot together with --drop-slot")]
    CreateAndDropSlot,
    #[error("--drop-slot needs a slot to be specified using --slot")]
    DropSlotWithoutName,
    #[error("cannot use --synchronous together with --no-sync")]
    SynchronousWithoutSync,
    #[error("no target directory specified")]
    NoTargetDirectory,
    #[error("no backup directory specified")]
    NoBackupDirectory,
    #[error("no configuration file specified")]
    NoConfigFile,
    #[error("no directory specified to work in")]
    NoWorkDirectory,
    #[error("part \"{0}\" cannot be measured on a given server")]
    PartOfPrivateServer(&'static str),
    #[error("cannot specify both -P/--progress and -q/--quiet")]
    ProgressWithQuiet,
}

impl OptionsError {
    /// Says whether the help may tell more. Of values that are wrong the message says which ones are right.
    fn has_hint(&self) -> bool {
        match self {
            OptionsError::Value(_)
            | OptionsError::Conflict(
                Conflict::Compression(_) | Conflict::Incremental | Conflict::ProgressWithQuiet,
            ) => false,
            OptionsError::Syntax(_) | OptionsError::Misplaced | OptionsError::Conflict(_) => true,
        }
    }
}

impl UsageError {
    /// Returns the command whose `--help` the user is pointed at, if it would help.
    pub fn helpful_command(&self, program: &Program) -> Option<String> {
        match self {
            UsageError::Options(job, error) => error.has_hint().then(|| program.command_line(*job)),
            UsageError::UnknownShell(_)
            | UsageError::UnknownProgram { .. }
            | UsageError::UnknownPage { .. } => None,
            UsageError::UnknownCommand(_)
            | UsageError::NoCommand
            | UsageError::NoShell
            | UsageError::TooManyOperands(_) => Some(program.name().to_owned()),
        }
    }
}
