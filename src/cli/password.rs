//! Asking for a password.

use std::fs::File;
use std::io;

use rpassword::ConfigBuilder;

const PROMPT: &str = "Password: ";

/// Asks on the terminal, without echo; without a terminal, asks on standard error and reads standard
/// input, as `simple_prompt` of PostgreSQL does (`src/common/sprompt.c`).
///
/// # Errors
///
/// The terminal or standard input cannot be read.
pub fn prompt() -> io::Result<String> {
    let config = match File::open("/dev/tty") {
        Ok(_) => ConfigBuilder::new(),
        Err(_) => ConfigBuilder::new().input_reader(io::stdin()).output_writer(io::stderr()),
    };
    rpassword::prompt_password_with_config(PROMPT, config.build())
}
