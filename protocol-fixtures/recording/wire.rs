//! The little that recordings and fake servers need to know of the protocol. It is kept apart from
//! the library's own code, which it helps to test.

/// Cuts the server's bytes into whole frames; an incomplete last one is left out.
pub fn frames(mut server: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while let Some((frame, rest)) =
        frame_size(server).and_then(|size| server.split_at_checked(size))
    {
        frames.push(frame);
        server = rest;
    }
    frames
}

fn frame_size(bytes: &[u8]) -> Option<usize> {
    let length = bytes.get(1..5)?.try_into().ok()?;
    Some(1 + u32::from_be_bytes(length) as usize)
}

/// Builds a frame.
pub fn frame(tag: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len() + 4).expect("frames are smaller than 4 GiB");
    [&[tag][..], &length.to_be_bytes(), payload].concat()
}

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientMessage {
    /// A request for TLS or GSSAPI encryption.
    EncryptionRequest,
    /// The start-up packet.
    Startup,
    /// A password, or the next step of SASL.
    Password(Vec<u8>),
    /// A command.
    Query(String),
    /// COPY data.
    CopyData(Vec<u8>),
    /// The end of COPY data.
    CopyDone,
    /// Goodbye.
    Terminate,
    /// Anything else.
    Other(u8),
}

/// Cuts a client's bytes into messages.
#[derive(Debug, Default)]
pub struct ClientReader {
    buffer: Vec<u8>,
    is_started: bool,
}

impl ClientReader {
    /// Takes the next bytes.
    pub fn handle(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the next message if it is complete.
    pub fn poll(&mut self) -> Option<ClientMessage> {
        if !self.is_started {
            return self.poll_startup();
        }
        let size = frame_size(&self.buffer).filter(|size| *size <= self.buffer.len())?;
        let frame: Vec<u8> = self.buffer.drain(..size).collect();
        let payload = frame.get(5..).unwrap_or_default();
        Some(match frame.first().copied().unwrap_or_default() {
            b'p' => ClientMessage::Password(payload.to_vec()),
            b'Q' => {
                let text = payload.strip_suffix(&[0]).unwrap_or(payload);
                ClientMessage::Query(String::from_utf8_lossy(text).into_owned())
            }
            b'd' => ClientMessage::CopyData(payload.to_vec()),
            b'c' => ClientMessage::CopyDone,
            b'X' => ClientMessage::Terminate,
            tag => ClientMessage::Other(tag),
        })
    }

    /// Packets before the session have no type byte: a length, then a version or a request code.
    fn poll_startup(&mut self) -> Option<ClientMessage> {
        let word = |at| {
            let bytes = self.buffer.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_be_bytes(bytes))
        };
        let (size, code) = (word(0)? as usize, word(4)?);
        if size > self.buffer.len() {
            return None;
        }
        self.buffer.drain(..size);
        const PROTOCOL_3_0: u32 = 3 << 16;
        const REQUESTS: u32 = 1234 << 16;
        self.is_started = (PROTOCOL_3_0..REQUESTS).contains(&code);
        Some(if self.is_started {
            ClientMessage::Startup
        } else {
            ClientMessage::EncryptionRequest
        })
    }
}

/// Reads all messages of a recorded client.
pub fn client_messages(client: &[u8]) -> Vec<ClientMessage> {
    let mut reader = ClientReader::default();
    reader.handle(client);
    std::iter::from_fn(|| reader.poll()).collect()
}
