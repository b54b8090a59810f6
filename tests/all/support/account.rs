//! Who servers run as: PostgreSQL refuses to run as root.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use nix::unistd::{Uid, User};

use super::scratch::run;

/// The account that servers run under when the tests run as root.
const SERVER_USER: &str = "postgres";

/// Says whether the tests run as root, who may mount and give files away.
pub fn is_root() -> bool {
    Uid::effective().is_root()
}

/// Prepares a server program to be run as somebody whom it accepts.
pub fn server_command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C");
    if let Some(user) = server_user() {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw()).env("HOME", user.dir);
    }
    command
}

/// Gives a directory and all in it to the account of servers.
pub fn give_to_server(directory: &Path) {
    if let Some(user) = server_user() {
        let owner = format!("{}:{}", user.uid, user.gid);
        run(Command::new("chown").args(["-hR", &owner]).arg(directory));
    }
}

fn server_user() -> Option<User> {
    is_root().then(|| User::from_name(SERVER_USER).unwrap().expect("there is a user postgres"))
}
