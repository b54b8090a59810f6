//! Under which name the program was called, and what follows from it.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// The release whose command line and messages the drop-in follows.
const FOLLOWED_RELEASE: &str = "18.6";

/// The name by which the drop-in is recognised.
pub(super) const DROP_IN_NAME: &str = "pg_basebackup";

/// Our own name, and the one used when there is no `argv[0]`.
pub(super) const OWN_NAME: &str = "pgsiphon";

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
    /// A replacement of `pg_basebackup` with exactly its options and words.
    DropIn,
    /// `pgsiphon COMMAND`, which may offer more.
    Native,
}

impl Program {
    /// Recognises the program by `argv[0]`.
    pub fn called(argv0: Option<&OsStr>) -> Self {
        let invoked_as = argv0.map_or_else(|| OsString::from(OWN_NAME), OsStr::to_owned);
        let base = Path::new(&invoked_as).file_name().unwrap_or(&invoked_as);
        Program {
            name: base.to_string_lossy().into_owned(),
            role: if base == DROP_IN_NAME { Role::DropIn } else { Role::Native },
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

    /// Returns what the user types to take a base backup, as usage and hints show it.
    pub fn basebackup_command(&self) -> String {
        match self.role {
            Role::DropIn => self.name.clone(),
            Role::Native => format!("{} basebackup", self.name),
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
            Role::DropIn => format!("{DROP_IN_NAME} (PostgreSQL) {FOLLOWED_RELEASE} ({own})\n"),
            Role::Native => format!("{own}\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_component_of_argv0_decides_the_role() {
        let table = [
            (Some("pg_basebackup"), "pg_basebackup", Role::DropIn),
            (Some("/usr/bin/pg_basebackup"), "pg_basebackup", Role::DropIn),
            (Some("./pgsiphon"), "pgsiphon", Role::Native),
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
        let line = |argv0: &str| Program::called(Some(OsStr::new(argv0))).version_line();
        let own = concat!("pgsiphon ", env!("CARGO_PKG_VERSION"));
        assert_eq!(line("/x/pg_basebackup"), format!("pg_basebackup (PostgreSQL) 18.6 ({own})\n"));
        assert_eq!(line("pgsiphon"), format!("{own}\n"));
    }
}
