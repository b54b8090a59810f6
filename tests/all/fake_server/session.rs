//! What a fake server says, by what it is asked.

use pgsiphon::pg::Lsn;

use crate::recording::fixture::Fixture;
use crate::recording::scram::ScramServer;
use crate::recording::wire::{self, ClientMessage};

/// A session's answers.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// What each connection begins with; the last one serves all further connections too.
    pub startups: Vec<Vec<u8>>,
    /// How commands begin, and the bytes of their answers. The first that fits is taken.
    pub answers: Vec<(String, Vec<u8>)>,
    /// Plays the server's part of SCRAM, if it wants that.
    pub scram: Option<ScramServer>,
    /// WAL is sent wherever it begins, not from where a client asks for it on.
    pub ignores_start: bool,
    /// The end of a WAL stream comes from the server, as at the end of a timeline.
    pub ends_stream: bool,
}

impl Session {
    /// Takes a recorded session apart.
    pub fn from_fixture(fixture: &Fixture) -> Self {
        let mut session = Session::default();
        for recording in &fixture.connections {
            let mut answers = answers(&recording.server).into_iter();
            session.startups.extend(answers.next());
            let commands = wire::client_messages(&recording.client);
            let commands = commands.into_iter().filter_map(|message| match message {
                ClientMessage::Query(command) => Some(beginning(&command)),
                _ => None,
            });
            session.answers.extend(commands.zip(answers));
        }
        let first = fixture.connections.first();
        session.scram = first.and_then(|first| ScramServer::from_recording(fixture, first));
        session
    }

    /// Returns how a connection begins.
    pub fn startup(&self, connection: usize) -> &[u8] {
        let startup = self.startups.get(connection).or(self.startups.last());
        startup.map_or(&[], Vec::as_slice)
    }

    /// Returns the answer to a command; to an unexpected one, nothing that could be taken for good. A WAL
    /// stream begins where the command asks it to.
    pub fn answer(&self, command: &str) -> Vec<u8> {
        let answer = self.answers.iter().find(|(start, _)| command.starts_with(start));
        let answer = answer.map_or(&b"unexpected command"[..], |(_, bytes)| bytes);
        if self.ignores_start || !command.starts_with("START_REPLICATION") {
            return answer.to_vec();
        }
        let start = command.split(' ').find_map(|word| word.parse::<Lsn>().ok());
        let start = start.expect("the command names a position").offset();
        wire::frames(answer).into_iter().flat_map(|frame| wal_from(start, frame)).collect()
    }

    /// Returns how many bytes the program is sent on the first connection.
    pub fn first_connection_size(&self) -> usize {
        let asked = ["SHOW data", "SHOW wal", "IDENTIFY_SYSTEM", "BASE_BACKUP"];
        let answers: usize = asked.iter().map(|command| self.sent_size(command)).sum();
        self.startup(0).len() + answers
    }

    fn sent_size(&self, command: &str) -> usize {
        let answer = self.answers.iter().find(|(start, _)| start.starts_with(command));
        answer.map_or(0, |(_, bytes)| bytes.len())
    }

    /// Replaces the answer to a command.
    pub fn replace(&mut self, command: &str, answer: Vec<u8>) {
        self.answers.insert(0, (command.to_owned(), answer));
    }
}

/// Takes off what a WAL message holds before a position; other messages stay as they are.
fn wal_from(start: u64, message: &[u8]) -> Vec<u8> {
    const HEADER_SIZE: usize = 5 + 1 + 3 * 8;
    let is_wal = message.first() == Some(&b'd') && message.get(5) == Some(&b'w');
    let position = message.get(6..14).and_then(|bytes| bytes.try_into().ok());
    let (true, Some(position)) = (is_wal, position.map(u64::from_be_bytes)) else {
        return message.to_vec();
    };
    let skipped = usize::try_from(start.saturating_sub(position)).expect("recordings are short");
    match (message.get(14..HEADER_SIZE), message.get(HEADER_SIZE + skipped..)) {
        (Some(ends), Some(wal)) if !wal.is_empty() => {
            let position = (position + skipped as u64).to_be_bytes();
            wire::frame(b'd', &[b"w", &position[..], ends, wal].concat())
        }
        _ => Vec::new(),
    }
}

/// The words that tell a command from others: also the name of a setting.
fn beginning(command: &str) -> String {
    let words = if command.starts_with("SHOW") { 2 } else { 1 };
    command.split(' ').take(words).collect::<Vec<_>>().join(" ")
}

/// Cuts the server's bytes after each ReadyForQuery: the start-up, then the answer to each command.
fn answers(server: &[u8]) -> Vec<Vec<u8>> {
    let mut answers = Vec::new();
    let mut answer = Vec::new();
    for frame in wire::frames(server) {
        answer.extend_from_slice(frame);
        if frame.first() == Some(&b'Z') {
            answers.push(std::mem::take(&mut answer));
        }
    }
    answers
}
