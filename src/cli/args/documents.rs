//! Shell completions and manual pages, made of the definitions that the command line is read by.

use std::ffi::{OsStr, OsString};
use std::{io, iter};

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command, ValueEnum as _};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::COMMANDS;
use super::error::UsageError;
use super::getopt::shown;
use super::typed;
use crate::cli::program::{Job, OWN_NAME, Program, Tool};

/// What the environment decides about the connection, as in libpq.
const CONNECTION_ENVIRONMENT: [(&str, &str); 6] = [
    (
        "PGHOST, PGHOSTADDR, PGPORT, PGUSER, PGDATABASE, PGSERVICE, PGSERVICEFILE, PGSYSCONFDIR",
        "Which server is meant, unless an option says it.",
    ),
    (
        "PGPASSWORD, PGPASSFILE",
        "The password, and the file in which passwords are looked up. Other users may see the \
         environment of a process on some systems; the file is safer.",
    ),
    (
        "PGSSLMODE, PGSSLNEGOTIATION, PGSSLROOTCERT, PGSSLCERT, PGSSLKEY, PGSSLCRL, PGSSLCRLDIR, \
         PGSSLSNI, PGSSLMINPROTOCOLVERSION, PGSSLMAXPROTOCOLVERSION",
        "How the connection is encrypted, and whom it trusts.",
    ),
    (
        "PGREQUIREAUTH, PGREQUIREPEER, PGCHANNELBINDING, PGGSSENCMODE, PGKRBSRVNAME, \
         PGGSSDELEGATION",
        "How both sides prove who they are.",
    ),
    (
        "PGCONNECT_TIMEOUT, PGTARGETSESSIONATTRS, PGLOADBALANCEHOSTS",
        "Which of several servers is taken, and how long one is waited for.",
    ),
    (
        "PGAPPNAME, PGOPTIONS",
        "The name by which the server shows the connection, and settings for it.",
    ),
];

/// What the environment decides about messages.
const MESSAGE_ENVIRONMENT: [(&str, &str); 2] = [
    ("PG_COLOR", "Whether messages are coloured: always, auto (on a terminal) or never."),
    (
        "PG_COLORS",
        "The colours, as SGR codes: error=01;31:warning=01;35:note=01;36:locus=01 by default.",
    ),
];

/// The commands of `pgsiphon` with all that they take.
const COMMANDS_IN_FULL: [(&str, &str); 9] = [
    (
        "basebackup [OPTION]...",
        "Takes a base backup of a running server, see pgsiphon-basebackup(1).",
    ),
    (
        "receivewal [OPTION]...",
        "Receives the write-ahead log of a running server, see pgsiphon-receivewal(1).",
    ),
    (
        "verifybackup [OPTION]... BACKUPDIR",
        "Verifies a stored backup against its manifest, see pgsiphon-verifybackup(1).",
    ),
    (
        "serve --config FILE",
        "Receives the write-ahead log of many servers, as a service, see pgsiphon-serve(1).",
    ),
    (
        "check --config FILE [OPTION]...",
        "Checks the configuration of the service, and its servers, see pgsiphon-check(1).",
    ),
    ("status [OPTION]...", "Shows what the service does, see pgsiphon-status(1)."),
    (
        "bench [OPTION]... -D DIRECTORY [PART]...",
        "Compares this program with PostgreSQL's, side by side, see pgsiphon-bench(1).",
    ),
    (
        "completions bash|elvish|fish|powershell|zsh [PROGRAM]",
        "Prints what makes a shell complete the options of pgsiphon (default), pg_basebackup, \
         pg_receivewal or pg_verifybackup.",
    ),
    (
        "man [PAGE]",
        "Prints a manual page: pgsiphon (default), pgsiphon-basebackup, pgsiphon-receivewal, \
         pgsiphon-verifybackup, pgsiphon-serve, pgsiphon-check, pgsiphon-status, pgsiphon-bench, \
         pg_basebackup, pg_receivewal or pg_verifybackup.",
    ),
];

/// What the exit codes but 0 mean.
const FAILURE: (&str, &str) = ("1", "Anything else; a message says what.");

/// A program or a part of one that has options and a manual page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    /// `pgsiphon` with its commands.
    Own,
    /// A command of `pgsiphon`.
    Command(Job),
    /// A tool under the name of its original.
    DropIn(Tool),
}

/// Returns what `pgsiphon completions SHELL [PROGRAM]` prints.
pub(super) fn completions(arguments: &[OsString]) -> Result<String, UsageError> {
    let (shell, program) = match arguments {
        [] => return Err(UsageError::NoShell),
        [shell] => (shell, OsStr::new(OWN_NAME)),
        [shell, program] => (shell, program.as_os_str()),
        [_, _, extra, ..] => return Err(UsageError::TooManyOperands(shown(extra))),
    };
    let known = shell.to_str().and_then(|name| Shell::from_str(name, false).ok());
    let shell = known.ok_or_else(|| UsageError::UnknownShell(shown(shell)))?;
    let subject = Subject::programs().find(|subject| program == subject.name());
    let subject = subject.ok_or_else(|| UsageError::UnknownProgram {
        typed: shown(program),
        known: Subject::programs().map(Subject::name).collect(),
    })?;
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut subject.described(), subject.name(), &mut script);
    Ok(String::from_utf8_lossy(&script).into_owned())
}

/// Returns what `pgsiphon man [PAGE]` prints.
pub(super) fn manual_page(arguments: &[OsString]) -> Result<String, UsageError> {
    let page = match arguments {
        [] => OsStr::new(OWN_NAME),
        [page] => page.as_os_str(),
        [_, extra, ..] => return Err(UsageError::TooManyOperands(shown(extra))),
    };
    let subject = Subject::all().find(|subject| page == subject.name());
    let subject = subject.ok_or_else(|| UsageError::UnknownPage {
        typed: shown(page),
        known: Subject::all().map(Subject::name).collect(),
    })?;
    let mut text = Vec::new();
    subject.write_page(&mut text).expect("a vector takes any bytes");
    Ok(String::from_utf8_lossy(&text).into_owned())
}

impl Subject {
    /// Lists what has a manual page.
    fn all() -> impl Iterator<Item = Self> {
        let commands = Job::ALL.into_iter().map(Subject::Command);
        let originals = Tool::ALL.into_iter().map(Subject::DropIn);
        iter::once(Subject::Own).chain(commands).chain(originals)
    }

    /// Lists what a shell runs, and can complete the options of.
    fn programs() -> impl Iterator<Item = Self> {
        Subject::all().filter(|subject| !matches!(subject, Subject::Command(_)))
    }

    /// Returns the name of the page, for a program also its own.
    const fn name(self) -> &'static str {
        match self {
            Subject::Own => OWN_NAME,
            Subject::Command(Job::Tool(Tool::Basebackup)) => "pgsiphon-basebackup",
            Subject::Command(Job::Tool(Tool::Receivewal)) => "pgsiphon-receivewal",
            Subject::Command(Job::Tool(Tool::Verifybackup)) => "pgsiphon-verifybackup",
            Subject::Command(Job::Serve) => "pgsiphon-serve",
            Subject::Command(Job::Check) => "pgsiphon-check",
            Subject::Command(Job::Status) => "pgsiphon-status",
            Subject::Command(Job::Bench) => "pgsiphon-bench",
            Subject::DropIn(tool) => tool.original(),
        }
    }

    /// Describes a program or command as a user sees it.
    fn described(self) -> Command {
        match self {
            Subject::DropIn(tool) => shown_options(Job::Tool(tool), tool.original()).name(self.name()),
            Subject::Command(job) => shown_options(job, OWN_NAME)
                .name(self.name())
                .bin_name(format!("{OWN_NAME} {}", job.command())),
            Subject::Own => bare(OWN_NAME)
                .about("Streams physical backups and write-ahead log out of PostgreSQL servers, and verifies them.")
                .override_usage(format!("{OWN_NAME} COMMAND [OPTION]..."))
                .args(first_arguments())
                .subcommands(COMMANDS.map(|(name, about)| own_command(name).about(about))),
        }
    }

    fn write_page(self, page: &mut Vec<u8>) -> io::Result<()> {
        // The values' names and the texts tell the possible values already.
        let command = self.described().mut_args(|option| {
            let takes_value = option.get_action().takes_values();
            if takes_value { option.hide_possible_values(true) } else { option }
        });
        let man = Man::new(command)
            .source(format!("{OWN_NAME} {}", env!("CARGO_PKG_VERSION")))
            .manual("PostgreSQL backups");
        man.render_title(page)?;
        man.render_name_section(page)?;
        man.render_synopsis_section(page)?;
        man.render_description_section(page)?;
        man.render_options_section(page)?;
        let mut sections = Roff::new();
        // Names of variables and commands must not be split.
        sections.control("nh", []);
        if self == Subject::Own {
            definitions(&mut sections, "COMMANDS", &COMMANDS_IN_FULL);
        }
        definitions(&mut sections, "ENVIRONMENT", &self.environment());
        definitions(&mut sections, "EXIT STATUS", &[("0", self.success()), FAILURE]);
        sections.to_writer(page)
    }

    /// Lists the variables that matter.
    fn environment(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Subject::Command(Job::Tool(Tool::Verifybackup))
            | Subject::DropIn(Tool::Verifybackup) => MESSAGE_ENVIRONMENT.to_vec(),
            Subject::Command(Job::Status) => MESSAGE_ENVIRONMENT.to_vec(),
            Subject::Own
            | Subject::Command(
                Job::Bench
                | Job::Serve
                | Job::Check
                | Job::Tool(Tool::Basebackup | Tool::Receivewal),
            )
            | Subject::DropIn(Tool::Basebackup | Tool::Receivewal) => {
                [&CONNECTION_ENVIRONMENT[..], &MESSAGE_ENVIRONMENT].concat()
            }
        }
    }

    /// Says what exit code 0 means.
    fn success(self) -> &'static str {
        match self {
            Subject::Own => "What the command says it does is done.",
            Subject::Command(Job::Tool(Tool::Basebackup)) | Subject::DropIn(Tool::Basebackup) => {
                "The backup is complete, compared with its manifest, and on stable storage, unless \
                 options waived that."
            }
            Subject::Command(Job::Tool(Tool::Receivewal)) | Subject::DropIn(Tool::Receivewal) => {
                "The end position was reached, or SIGINT or SIGTERM ended receiving, and all that was \
                 received is on stable storage, unless options waived that; or the slot was created or \
                 dropped."
            }
            Subject::Command(Job::Tool(Tool::Verifybackup))
            | Subject::DropIn(Tool::Verifybackup) => {
                "All that was looked at is as the manifest says, and sound."
            }
            Subject::Command(Job::Serve) => {
                "SIGINT or SIGTERM ended the service, and all that was received is on stable storage, \
                 unless the configuration waived that."
            }
            Subject::Command(Job::Check) => "No error was found; there may be warnings.",
            Subject::Command(Job::Status) => {
                "Every server is received from, and no WAL is missing."
            }
            Subject::Command(Job::Bench) => {
                "Everything was measured, and everything that was created for it is removed."
            }
        }
    }
}

fn definitions(roff: &mut Roff, section: &str, entries: &[(&str, &str)]) {
    roff.control("SH", [section]);
    for (term, text) in entries {
        roff.control("TP", []).text([bold(*term)]).text([roman(*text)]);
    }
}

fn own_command(name: &'static str) -> Command {
    let names = |subjects: &mut dyn Iterator<Item = Subject>| {
        PossibleValuesParser::new(subjects.map(Subject::name))
    };
    match (name, Job::commanded(name)) {
        (_, Some(job)) => shown_options(job, OWN_NAME),
        ("completions", None) => bare(name)
            .arg(Arg::new("SHELL").value_parser(clap::value_parser!(Shell)))
            .arg(Arg::new("PROGRAM").value_parser(names(&mut Subject::programs()))),
        (_, None) => bare(name).arg(Arg::new("PAGE").value_parser(names(&mut Subject::all()))),
    }
}

/// Returns a command with the options that are worth showing to who calls the program so.
fn shown_options(job: Job, called: &str) -> Command {
    let read = typed::command(job, &Program::called(Some(OsStr::new(called))));
    let options = read.get_arguments().filter(|option| !option.is_hide_set()).cloned();
    let command = bare(job.command()).args(options).args(first_arguments());
    let usage = read.get_overridden_usage().map(ToString::to_string).unwrap_or_default();
    command.about(read.get_about().cloned().unwrap_or_default()).override_usage(usage)
}

fn bare(name: &'static str) -> Command {
    Command::new(name)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
}

fn first_arguments() -> [Arg; 2] {
    let option = |name: &'static str, short, help: &'static str| {
        let option = Arg::new(name).long(name).short(short).help(help);
        option.action(ArgAction::SetTrue).help_heading("As the first argument")
    };
    [
        option("version", 'V', "Show the version, then exit"),
        option("help", '?', "Show the options, then exit"),
    ]
}
