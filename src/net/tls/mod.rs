//! TLS as libpq has it, with rustls instead of OpenSSL. Follows `fe-secure-openssl.c` and
//! `PQconnectPoll` (`fe-connect.c`) of libpq 18.
//!
//! In reading order: `request` asks the server, `handshake` begins the session; `identity` is our
//! certificate; `verifier` judges the server's, with `trust`, `purpose`, `revocation` and
//! `names`.

mod certificate;
mod error;
mod identity;
mod key_log;
mod names;
mod purpose;
mod revocation;
mod stream;
mod trust;
mod verifier;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, SupportedProtocolVersion};
use tokio_rustls::TlsConnector;

use super::conninfo::{SslMode, SslNegotiation, TlsOptions, TlsVersion};
use super::request::{self, Answer, BadAnswer};
use super::{Problem, Stream};
use crate::protocol::{PolicyError, Transport};
use identity::Identity;
use key_log::KeyLogFile;
use trust::Authorities;
use verifier::Verifier;

pub use error::{FileError, TlsError};
pub use names::NameError;
pub use stream::TlsStream;

/// PostgreSQL's protocol among those of TLS's application protocol negotiation.
const PROTOCOL: &[u8] = b"postgresql";

/// Asks a server for TLS.
pub(super) async fn request(stream: &mut Stream) -> Result<Answer, Problem> {
    let mut packet = BytesMut::new();
    frontend::ssl_request(&mut packet);
    let problem = |answer| {
        Problem::Tls(match answer {
            BadAnswer::ErrorResponse => TlsError::ErrorResponse,
            BadAnswer::UnencryptedData => TlsError::UnencryptedData,
            BadAnswer::Unknown(byte) => TlsError::InvalidResponse(byte),
        })
    };
    request::ask(stream, &packet, b'S', problem).await
}

/// A session that has begun.
#[derive(Debug)]
pub(super) struct Secured {
    pub(super) stream: TlsStream,
    /// What authentication has to know of it.
    pub(super) transport: Transport,
    /// Why the server has not seen our certificate, if it has not.
    pub(super) missing_certificate: Option<PolicyError>,
}

/// Begins the session with a server that goes by a name.
pub(super) async fn handshake(
    stream: Stream,
    options: &TlsOptions,
    host: &str,
) -> Result<Secured, TlsError> {
    let (config, identity) = configuration(options, host)?;
    let connector = TlsConnector::from(Arc::new(config));
    let range = (options.version_min, options.version_max);
    let range = (range.0.unwrap_or(TlsVersion::V1_2), range.1.unwrap_or(TlsVersion::V1_3));
    let stream = connector.connect(server_name(options, host), stream::buffered(stream)).await;
    let stream = stream.map_err(|error| TlsError::from_handshake(error, range))?;
    let session = stream.get_ref().1;
    if options.negotiation == SslNegotiation::Direct && session.alpn_protocol() != Some(PROTOCOL) {
        return Err(TlsError::NoProtocolChosen);
    }
    let certificate = session.peer_certificates().and_then(<[_]>::first);
    let end_point = certificate::end_point(certificate.map_or(&[], |der| der.as_ref()));
    let transport = Transport::Tls { end_point };
    let missing_certificate = identity.why_not_shown();
    Ok(Secured { stream: TlsStream::new(stream), transport, missing_certificate })
}

fn configuration(
    options: &TlsOptions,
    host: &str,
) -> Result<(ClientConfig, Arc<Identity>), TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions = versions(options)?;
    let authorities = Authorities::load(options)?;
    let identity = Arc::new(Identity::load(options, provider.key_provider)?);
    let algorithms = provider.signature_verification_algorithms;
    let host = (options.mode == SslMode::VerifyFull).then(|| host.to_owned());
    let verifier = Arc::new(Verifier { algorithms, authorities, host });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(TlsError::Session)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(identity.clone());
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.resumption = Resumption::disabled();
    if let Some(log) = options.key_log_file.as_deref().and_then(KeyLogFile::open) {
        config.key_log = Arc::new(log);
    }
    Ok((config, identity))
}

/// Lists the versions that are allowed; there is at least one.
fn versions(options: &TlsOptions) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
    let known =
        [(TlsVersion::V1_2, &rustls::version::TLS12), (TlsVersion::V1_3, &rustls::version::TLS13)];
    let is_allowed = |version: TlsVersion| {
        options.version_min.is_none_or(|min| version >= min)
            && options.version_max.is_none_or(|max| version <= max)
    };
    let allowed = known.into_iter().filter(|(version, _)| is_allowed(*version));
    let allowed: Vec<_> = allowed.map(|(_, version)| version).collect();
    if allowed.is_empty() { Err(TlsError::VersionTooOld) } else { Ok(allowed) }
}

/// Returns the name to tell the server; an address stands for none, as it is never told.
fn server_name(options: &TlsOptions, host: &str) -> ServerName<'static> {
    let nameless = ServerName::from(IpAddr::from(Ipv4Addr::UNSPECIFIED));
    match ServerName::try_from(host.to_owned()) {
        Ok(name) if options.sends_server_name => name,
        _ => nameless,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::ConnectionError;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::UnixStream;

    #[tokio::test(flavor = "current_thread")]
    async fn answers_to_the_request_have_one_byte() {
        let closed = ConnectionError::Closed.to_string();
        let table = [
            ("S", Ok(Answer::Yes)),
            ("N", Ok(Answer::No)),
            ("Sx", Err("received unencrypted data after SSL response")),
            ("Nx", Err("received unencrypted data after SSL response")),
            ("E\0\0", Err("server sent an error response during SSL exchange")),
            ("X", Err("received invalid response to SSL negotiation: X")),
            ("", Err(&*closed)),
        ];
        for (bytes, expected) in table {
            let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
            theirs.write_all(bytes.as_bytes()).await.expect("room in the socket");
            theirs.shutdown().await.expect("an open socket");
            let answer = request(&mut Stream::Unix(ours)).await;
            let answer = answer.map_err(|problem| problem.to_string());
            assert_eq!(answer, expected.map_err(str::to_owned), "{bytes}");
        }
    }
}
