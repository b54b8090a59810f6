//! The way to an encrypted connection: request, answer, exchange of tokens.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::blocking::step;
use super::packet::{LENGTH_SIZE, TOKEN_SIZE_MAX, length, put};
use super::{Context, Credentials, GssError, GssStream, Purpose, Target};
use crate::net::request::{self, Answer, BadAnswer};
use crate::net::{ConnectionError, Problem, Stream};

/// GSSENCRequest: the length of the packet and the code 1234, 5680.
const REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];

/// Asks a server for encryption.
pub(in crate::net) async fn request(stream: &mut Stream) -> Result<Answer, Problem> {
    let problem = |answer| {
        Problem::Gss(match answer {
            BadAnswer::ErrorResponse => GssError::ErrorResponse,
            BadAnswer::UnencryptedData => GssError::UnencryptedData,
            BadAnswer::Unknown(byte) => GssError::InvalidAnswer(byte),
        })
    };
    request::ask(stream, &REQUEST, b'G', problem).await
}

/// Exchanges tokens with the server until both sides are proven, and encrypts from then on.
///
/// No byte is read here but those of tokens, so that nothing that is not encrypted can pass for the
/// server's.
pub(in crate::net) async fn encrypt(
    mut stream: Stream,
    target: Target<'_>,
    credentials: Credentials,
) -> Result<GssStream, Problem> {
    let context = Context::new(Purpose::Encryption, target, Some(credentials));
    let (mut context, mut token) =
        step(context.map_err(Problem::Gss)?, None).await.map_err(Problem::Gss)?;
    loop {
        send_token(&mut stream, &token).await?;
        if context.is_complete() {
            return Ok(GssStream::new(stream, context));
        }
        let answer = receive_token(&mut stream).await?;
        (context, token) = step(context, Some(answer)).await.map_err(Problem::Gss)?;
    }
}

async fn send_token(stream: &mut Stream, token: &[u8]) -> Result<(), Problem> {
    if token.is_empty() {
        return Ok(());
    }
    let mut packet = BytesMut::new();
    put(token, TOKEN_SIZE_MAX, &mut packet).map_err(Problem::Gss)?;
    stream.write_all(&packet).await.map_err(send_failed)
}

async fn receive_token(stream: &mut Stream) -> Result<Vec<u8>, Problem> {
    let mut header = [0; LENGTH_SIZE];
    stream.read_exact(&mut header).await.map_err(receive_failed)?;
    // A length that starts with this byte would be far too long, so it is an error message. It cannot be
    // trusted, for the server has not proven who it is.
    if header.starts_with(b"E") {
        return Err(Problem::Gss(GssError::ErrorResponse));
    }
    let size = length(&header, TOKEN_SIZE_MAX).map_err(Problem::Gss)?.unwrap_or_default();
    let mut token = vec![0; size];
    stream.read_exact(&mut token).await.map_err(receive_failed)?;
    Ok(token)
}

fn send_failed(error: io::Error) -> Problem {
    Problem::Lost(ConnectionError::send(error))
}

fn receive_failed(error: io::Error) -> Problem {
    Problem::Lost(match error.kind() {
        io::ErrorKind::UnexpectedEof => ConnectionError::Closed,
        _ => ConnectionError::receive(error),
    })
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::*;

    /// Our socket and that of a server that has said this and will say no more.
    async fn server(says: &[u8]) -> (Stream, UnixStream) {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
        theirs.write_all(says).await.expect("room in the socket");
        theirs.shutdown().await.expect("an open socket");
        (Stream::Unix(ours), theirs)
    }

    #[tokio::test]
    async fn answers_to_the_request_have_one_byte() {
        let closed = ConnectionError::Closed.to_string();
        let table = [
            ("G", Ok(Answer::Yes)),
            ("N", Ok(Answer::No)),
            ("Gx", Err("received unencrypted data after GSSAPI encryption response")),
            ("Nx", Err("received unencrypted data after GSSAPI encryption response")),
            ("E\0\0", Err("server sent an error response during GSS encryption exchange")),
            ("S", Err("received invalid response to GSSAPI negotiation: S")),
            ("\x1b", Err("received invalid response to GSSAPI negotiation: \\x1b")),
            ("", Err(&*closed)),
        ];
        for (says, expected) in table {
            let (mut ours, _theirs) = server(says.as_bytes()).await;
            let answer = request(&mut ours).await.map_err(|problem| problem.to_string());
            assert_eq!(answer, expected.map_err(str::to_owned), "{says:?}");
        }
    }

    #[tokio::test]
    async fn tokens_are_whole_and_bounded() {
        let closed = ConnectionError::Closed.to_string();
        let table = [
            ("\0\0\0\x02ab and more", Ok("ab")),
            ("\0\0\0\0", Ok("")),
            ("\0\x01\0\0", Err("oversize GSSAPI packet sent by the server (65536 > 65532)")),
            ("E\0\0\0", Err("server sent an error response during GSS encryption exchange")),
            ("\0\0\0\x02a", Err(&*closed)),
            ("\0\0\0", Err(&*closed)),
        ];
        for (says, expected) in table {
            let (mut ours, _theirs) = server(says.as_bytes()).await;
            let token = receive_token(&mut ours).await.map_err(|problem| problem.to_string());
            assert_eq!(
                token,
                expected.map(|token| token.as_bytes().to_vec()).map_err(str::to_owned),
                "{says:?}"
            );
        }
    }
}
