//! A session that stays, for what is asked often.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use super::server::Server;

/// What follows the answer to a question.
const END: &str = "-- end --\n";

/// A `psql` that is talked to. It ends with the value, whatever it is doing.
#[derive(Debug)]
pub struct Session {
    psql: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    /// Opens one in the database `postgres`.
    pub fn with(server: &Server) -> Self {
        let mut command = server.client("psql");
        command.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-f", "-"]);
        let mut psql = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = psql.stdin.take().unwrap();
        let output = BufReader::new(psql.stdout.take().unwrap());
        Session { psql, input, output }
    }

    /// Runs statements and returns their output; panics if one fails.
    #[track_caller]
    pub fn ask(&mut self, statements: &str) -> String {
        // A broken pipe is noticed below.
        let _ = write!(self.input, "{statements};\n\\echo '{}'\n", END.trim_end());
        let mut answer = String::new();
        while !answer.ends_with(END) {
            let count = self.output.read_line(&mut answer).unwrap();
            assert!(count > 0, "the session ended at {statements}: {answer}");
        }
        answer.truncate(answer.len() - END.len());
        answer.trim_end().to_owned()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.psql.kill();
        let _ = self.psql.wait();
    }
}
