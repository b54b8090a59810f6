//! The request for encryption with which a connection may begin, and its answer of one byte.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{ConnectionError, Problem, Stream};

/// What a server says to the wish for encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The exchange may begin.
    Yes,
    /// It has none. The connection can go on without.
    No,
}

/// An answer that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadAnswer {
    /// An error message follows; nobody knows yet if it is the server who says that.
    ErrorResponse,
    /// More than the answer came, not encrypted: somebody on the way may have put it there.
    UnencryptedData,
    /// This means nothing.
    Unknown(u8),
}

/// Sends a request to which the answer is `yes` or `N`. `problem` says in the words of the request what is
/// wrong with any other answer.
pub(super) async fn ask(
    stream: &mut Stream,
    packet: &[u8],
    yes: u8,
    problem: fn(BadAnswer) -> Problem,
) -> Result<Answer, Problem> {
    let lost = |source| Problem::Lost(ConnectionError::send(source));
    stream.write_all(packet).await.map_err(lost)?;
    // Room for more than the one byte, to see if there is more. See CVE-2021-23222.
    let mut answer = [0; 16];
    let lost = |source| Problem::Lost(ConnectionError::receive(source));
    let size = stream.read(&mut answer).await.map_err(lost)?;
    match *answer.get(..size).unwrap_or_default() {
        [] => Err(Problem::Lost(ConnectionError::Closed)),
        [only] if only == yes => Ok(Answer::Yes),
        [b'N'] => Ok(Answer::No),
        [b'E', ..] => Err(problem(BadAnswer::ErrorResponse)),
        [first, ..] if first == yes || first == b'N' => Err(problem(BadAnswer::UnencryptedData)),
        [unknown, ..] => Err(problem(BadAnswer::Unknown(unknown))),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn server_that_resets_the_connection_has_closed_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut ours = Stream::Tcp(TcpStream::connect(address).await.expect("a connection"));
        let (theirs, _) = listener.accept().await.expect("a connection");
        theirs.set_zero_linger().expect("an option");
        drop(theirs);
        let asked = ask(&mut ours, b"request", b'S', |_| Problem::TimedOut);
        let asked = tokio::time::timeout(Duration::from_secs(10), asked).await.expect("an answer");
        assert!(matches!(asked, Err(Problem::Lost(ConnectionError::Closed))), "{asked:?}");
    }
}
