//! Shell completions and manual pages, made of the definitions that the command line is read by.

use std::ffi::{OsStr, OsString};
use std::io;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command, ValueEnum as _};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::COMMANDS;
use super::error::UsageError;
use super::getopt::shown;
use super::typed;
use crate::cli::program::{DROP_IN_NAME, OWN_NAME, Program};

/// The page of `pgsiphon basebackup`.
const BASEBACKUP_PAGE: &str = "pgsiphon-basebackup";

/// What the environment decides; the connection's share is libpq's.
const ENVIRONMENT: [(&str, &str); 8] = [
    (
        "PGHOST, PGHOSTADDR, PGPORT, PGUSER, PGDATABASE, PGSERVICE, PGSERVICEFILE, PGSYSCONFDIR",
        "Whose backup is taken, unless an option says it.",
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
    ("PG_COLOR", "Whether messages are coloured: always, auto (on a terminal) or never."),
    (
        "PG_COLORS",
        "The colours, as SGR codes: error=01;31:warning=01;35:note=01;36:locus=01 by default.",
    ),
];

/// The commands of `pgsiphon` with all that they take.
const COMMANDS_IN_FULL: [(&str, &str); 3] = [
    (
        "basebackup [OPTION]...",
        "Takes a base backup of a running server, see pgsiphon-basebackup(1).",
    ),
    (
        "completions bash|elvish|fish|powershell|zsh [pgsiphon|pg_basebackup]",
        "Prints what makes a shell complete the options of the program, by default pgsiphon.",
    ),
    (
        "man [pgsiphon|pgsiphon-basebackup|pg_basebackup]",
        "Prints a manual page, by default this one.",
    ),
];

/// What the exit code means.
const EXIT_STATUS: [(&str, &str); 2] = [
    (
        "0",
        "The backup is complete, compared with its manifest, and on stable storage, unless options \
         waived that.",
    ),
    ("1", "Anything else; a message says what."),
];

/// Which options go with which program or page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    /// `pgsiphon` with its commands.
    Own,
    /// `pgsiphon basebackup`.
    Basebackup,
    /// `pg_basebackup`.
    DropIn,
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
    let known = known.ok_or_else(|| UsageError::UnknownShell(shown(shell)))?;
    let (subject, name) = match program.to_str() {
        Some(OWN_NAME) => (Subject::Own, OWN_NAME),
        Some(DROP_IN_NAME) => (Subject::DropIn, DROP_IN_NAME),
        _ => return Err(UsageError::UnknownProgram(shown(program))),
    };
    let mut script = Vec::new();
    clap_complete::generate(known, &mut subject.described(), name, &mut script);
    Ok(String::from_utf8_lossy(&script).into_owned())
}

/// Returns what `pgsiphon man [PAGE]` prints.
pub(super) fn manual_page(arguments: &[OsString]) -> Result<String, UsageError> {
    let page = match arguments {
        [] => OsStr::new(OWN_NAME),
        [page] => page.as_os_str(),
        [_, extra, ..] => return Err(UsageError::TooManyOperands(shown(extra))),
    };
    let subject = match page.to_str() {
        Some(OWN_NAME) => Subject::Own,
        Some(BASEBACKUP_PAGE) => Subject::Basebackup,
        Some(DROP_IN_NAME) => Subject::DropIn,
        _ => return Err(UsageError::UnknownPage(shown(page))),
    };
    let mut text = Vec::new();
    subject.write_page(&mut text).expect("a vector takes any bytes");
    Ok(String::from_utf8_lossy(&text).into_owned())
}

impl Subject {
    /// Describes a program or command as a user sees it.
    fn described(self) -> Command {
        match self {
            Subject::DropIn => shown_options(DROP_IN_NAME, DROP_IN_NAME),
            Subject::Basebackup => {
                shown_options(BASEBACKUP_PAGE, OWN_NAME).bin_name("pgsiphon basebackup")
            }
            Subject::Own => bare(OWN_NAME)
                .about("Streams physical backups out of PostgreSQL servers.")
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
        definitions(&mut sections, "ENVIRONMENT", &ENVIRONMENT);
        definitions(&mut sections, "EXIT STATUS", &EXIT_STATUS);
        sections.to_writer(page)
    }
}

fn definitions(roff: &mut Roff, section: &str, entries: &[(&str, &str)]) {
    roff.control("SH", [section]);
    for (term, text) in entries {
        roff.control("TP", []).text([bold(*term)]).text([roman(*text)]);
    }
}

fn own_command(name: &'static str) -> Command {
    let operand = |operand: &'static str, values: &[&'static str]| {
        Arg::new(operand).value_parser(PossibleValuesParser::new(values.to_vec()))
    };
    let pages = [OWN_NAME, BASEBACKUP_PAGE, DROP_IN_NAME];
    match name {
        "completions" => bare(name)
            .arg(Arg::new("SHELL").value_parser(clap::value_parser!(Shell)))
            .arg(operand("PROGRAM", &[OWN_NAME, DROP_IN_NAME])),
        "man" => bare(name).arg(operand("PAGE", &pages)),
        _ => shown_options(name, OWN_NAME),
    }
}

/// Returns a command with the options of a base backup that are worth showing.
fn shown_options(name: &'static str, called: &str) -> Command {
    let read = typed::command(&Program::called(Some(OsStr::new(called))));
    let options = read.get_arguments().filter(|option| !option.is_hide_set()).cloned();
    let command = bare(name).args(options).args(first_arguments());
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
