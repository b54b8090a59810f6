//! Under which name the program was called, and what follows from it.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// The release whose command line and messages the drop-in follows.
const FOLLOWED_RELEASE: &str = "18.6";

/// Our own name, and the one used when there is no `argv[0]`.
pub(super) const OWN_NAME: &str = "pgsiphon";

/// A job that has a program of its own in PostgreSQL and a command in ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// Taking a base backup.
    Basebackup,
    /// Receiving WAL.
    Receivewal,
    /// Verifying a stored backup.
    Verifybackup,
}

impl Tool {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Tool; 3] = [Tool::Basebackup, Tool::Receivewal, Tool::Verifybackup];

    /// Returns the name of the original, by which the drop-in is recognised.
    pub const fn original(self) -> &'static str {
        match self {
            Tool::Basebackup => "pg_basebackup",
            Tool::Receivewal => "pg_receivewal",
            Tool::Verifybackup => "pg_verifybackup",
        }
    }

    /// Returns the name of our command.
    pub const fn command(self) -> &'static str {
        match self {
            Tool::Basebackup => "basebackup",
            Tool::Receivewal => "receivewal",
            Tool::Verifybackup => "verifybackup",
        }
    }

    /// Finds the tool whose original has this name.
    pub fn replacing(original: &str) -> Option<Self> {
        Tool::ALL.into_iter().find(|tool| tool.original() == original)
    }
}

/// A command of ours that has options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// What a program of PostgreSQL does, too.
    Tool(Tool),
    /// Receiving WAL as a service.
    Serve,
    /// Checking the service's configuration.
    Check,
    /// Showing what the service does.
    Status,
    /// Comparing this program with those.
    Bench,
}

impl Job {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Job; 7] = [
        Job::Tool(Tool::Basebackup),
        Job::Tool(Tool::Receivewal),
        Job::Tool(Tool::Verifybackup),
        Job::Serve,
        Job::Check,
        Job::Status,
        Job::Bench,
    ];

    /// Returns the name of the command.
    pub const fn command(self) -> &'static str {
        match self {
            Job::Tool(tool) => tool.command(),
            Job::Serve => "serve",
            Job::Check => "check",
            Job::Status => "status",
            Job::Bench => "bench",
        }
    }

    /// Finds the job of a command.
    pub fn commanded(command: &str) -> Option<Self> {
        Job::ALL.into_iter().find(|job| job.command() == command)
    }
}

/// The program as the user called it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    invoked_as: String,
    name: String,
    role: Role,
}

/// What the program is under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A replacement of the tool's original with exactly its options and words.
    DropIn(Tool),
    /// `pgsiphon COMMAND`, which may offer more.
    Native,
}

impl Program {
    /// Recognises the program by `argv[0]`.
    pub fn called(argv0: Option<&OsStr>) -> Self {
        let invoked_as = argv0.map_or_else(|| OsString::from(OWN_NAME), OsStr::to_owned);
        let base = Path::new(&invoked_as).file_name().unwrap_or(&invoked_as);
        let replaced = base.to_str().and_then(Tool::replacing);
        Program {
            name: base.to_string_lossy().into_owned(),
            role: replaced.map_or(Role::Native, Role::DropIn),
            invoked_as: invoked_as.to_string_lossy().into_owned(),
        }
    }

    /// Returns the name that begins each message: the last component of `argv[0]`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the whole of `argv[0]`, which begins the messages that C programs have from `getopt`.
    pub fn invoked_as(&self) -> &str {
        &self.invoked_as
    }

    /// Returns what the user types to have a job done, as usage and hints show it.
    pub fn command_line(&self, job: Job) -> String {
        match self.role {
            Role::DropIn(_) => self.name.clone(),
            Role::Native => format!("{} {}", self.name, job.command()),
        }
    }

    /// Returns what the program is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Returns the line that `--version` prints. The drop-in's begins as the original's does, because
    /// other programs parse it; its name is fixed, whatever `argv[0]` says.
    pub fn version_line(&self) -> String {
        let own = format!("{OWN_NAME} {}", env!("CARGO_PKG_VERSION"));
        match self.role {
            Role::DropIn(tool) => {
                format!("{} (PostgreSQL) {FOLLOWED_RELEASE} ({own})\n", tool.original())
            }
            Role::Native => format!("{own}\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_component_of_argv0_decides_the_role() {
        let (basebackup, receivewal) =
            (Role::DropIn(Tool::Basebackup), Role::DropIn(Tool::Receivewal));
        let table = [
            (Some("pg_basebackup"), "pg_basebackup", basebackup),
            (Some("/usr/bin/pg_basebackup"), "pg_basebackup", basebackup),
            (Some("./pg_receivewal"), "pg_receivewal", receivewal),
            (Some("pg_verifybackup"), "pg_verifybackup", Role::DropIn(Tool::Verifybackup)),
            (Some("./pgsiphon"), "pgsiphon", Role::Native),
            (Some("receivewal"), "receivewal", Role::Native),
            (Some("/pg_basebackup/siphon"), "siphon", Role::Native),
            (Some(""), "", Role::Native),
            (None, "pgsiphon", Role::Native),
        ];
        for (argv0, name, role) in table {
            let program = Program::called(argv0.map(OsStr::new));
            assert_eq!((program.name(), program.role()), (name, role), "{argv0:?}");
        }
    }

    #[test]
    fn version_lines_begin_with_the_name_that_other_programs_look_for() {
        let own = concat!("pgsiphon ", env!("CARGO_PKG_VERSION"));
        let table = [
            ("/x/pg_basebackup", format!("pg_basebackup (PostgreSQL) 18.6 ({own})\n")),
            ("pg_receivewal", format!("pg_receivewal (PostgreSQL) 18.6 ({own})\n")),
            ("pg_verifybackup", format!("pg_verifybackup (PostgreSQL) 18.6 ({own})\n")),
            ("pgsiphon", format!("{own}\n")),
        ];
        for (argv0, line) in table {
            assert_eq!(Program::called(Some(OsStr::new(argv0))).version_line(), line);
        }
    }
}
