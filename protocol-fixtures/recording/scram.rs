//! The server's side of SCRAM-SHA-256 (RFC 5802 and 7677) with the salt, iteration count and nonce of
//! a recording.
//!
//! A client makes up a new nonce for each attempt, so what the server said to another client cannot
//! be played to it: the messages are computed anew from the password.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::fixture::{Fixture, Recording};
use super::wire::{self, ClientMessage};

/// AuthenticationSASLContinue and AuthenticationSASLFinal.
const SASL_CONTINUE: u32 = 11;
const SASL_FINAL: u32 = 12;

/// One exchange with one client.
#[derive(Clone, Debug)]
pub struct ScramServer {
    password: String,
    salt: String,
    iterations: u32,
    /// What the server added to the client's nonce.
    nonce: String,
    client_first_bare: String,
    server_first: String,
}

impl ScramServer {
    /// Takes the values of a recorded exchange; `None` if there was none.
    pub fn from_recording(fixture: &Fixture, recording: &Recording) -> Option<Self> {
        let server_first = wire::frames(&recording.server)
            .into_iter()
            .find_map(|frame| authentication(frame, SASL_CONTINUE))?;
        let messages = wire::client_messages(&recording.client);
        let client_first = messages.iter().find_map(|message| match message {
            ClientMessage::Password(payload) => client_first(payload),
            _ => None,
        })?;
        let nonce = attribute(&server_first, 'r')?;
        Some(ScramServer {
            password: fixture.meta.password.clone()?,
            salt: attribute(&server_first, 's')?.to_owned(),
            iterations: attribute(&server_first, 'i')?.parse().ok()?,
            nonce: nonce.strip_prefix(attribute(&client_first, 'r')?)?.to_owned(),
            client_first_bare: String::new(),
            server_first: String::new(),
        })
    }

    /// Returns what to send instead of a recorded frame, given what the client sent last; frames that
    /// are not of the exchange stay as they are. `None` if the client does not know the password.
    pub fn rewrite(&mut self, frame: &[u8], client: &[u8]) -> Option<Vec<u8>> {
        if authentication(frame, SASL_CONTINUE).is_some() {
            Some(sasl_frame(SASL_CONTINUE, &self.first(client)?))
        } else if authentication(frame, SASL_FINAL).is_some() {
            Some(sasl_frame(SASL_FINAL, &self.last(client)?))
        } else {
            Some(frame.to_vec())
        }
    }

    fn first(&mut self, client: &[u8]) -> Option<String> {
        let message = client_first(client)?;
        let bare = message.splitn(3, ',').nth(2)?;
        let nonce = attribute(bare, 'r')?;
        self.server_first =
            format!("r={nonce}{},s={},i={}", self.nonce, self.salt, self.iterations);
        self.client_first_bare = bare.to_owned();
        Some(self.server_first.clone())
    }

    fn last(&self, client: &[u8]) -> Option<String> {
        let client_final = std::str::from_utf8(client).ok()?;
        let (without_proof, proof) = client_final.rsplit_once(",p=")?;
        let signed = format!("{},{},{without_proof}", self.client_first_bare, self.server_first);
        let salted = self.salted_password()?;
        let stored_key = <Sha256 as sha2::Digest>::digest(hmac(&salted, b"Client Key"));
        let signature = hmac(&stored_key, signed.as_bytes());
        let proof = BASE64_STANDARD.decode(proof).ok()?;
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(p, s)| p ^ s).collect();
        if <Sha256 as sha2::Digest>::digest(client_key) != stored_key {
            return None;
        }
        let server_key = hmac(&salted, b"Server Key");
        let signature = hmac(&server_key, signed.as_bytes());
        Some(format!("v={}", BASE64_STANDARD.encode(signature)))
    }

    /// `Hi(password, salt, i)` of RFC 5802: PBKDF2 with one block.
    fn salted_password(&self) -> Option<Vec<u8>> {
        let salt = BASE64_STANDARD.decode(&self.salt).ok()?;
        let password = self.password.as_bytes();
        let mut round = hmac(password, &[&salt[..], &1_u32.to_be_bytes()].concat());
        let mut salted = round.clone();
        for _ in 1..self.iterations {
            round = hmac(password, &round);
            salted.iter_mut().zip(&round).for_each(|(sum, byte)| *sum ^= byte);
        }
        Some(salted)
    }
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any size");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

/// Returns the text of an authentication request with this code.
fn authentication(frame: &[u8], code: u32) -> Option<String> {
    let payload = frame.strip_prefix(b"R")?.get(4..)?;
    let text = payload.strip_prefix(&code.to_be_bytes())?;
    String::from_utf8(text.to_vec()).ok()
}

fn sasl_frame(code: u32, text: &str) -> Vec<u8> {
    wire::frame(b'R', &[&code.to_be_bytes()[..], text.as_bytes()].concat())
}

/// Reads a SASLInitialResponse: the mechanism, a zero byte, a length, the client's first message.
fn client_first(payload: &[u8]) -> Option<String> {
    let rest = payload.strip_prefix(b"SCRAM-SHA-256\0")?;
    String::from_utf8(rest.get(4..)?.to_vec()).ok()
}

fn attribute(message: &str, name: char) -> Option<&str> {
    message.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}
