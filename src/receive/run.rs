//! Receiving from beginning to end, over as many connections as it takes.

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::pauses::Pauses;
use super::session::Session;
use super::{Event, Observer, OnDisconnect, ReceiveConfig, ReceiveError};
use crate::net::conninfo::ConnectOptions;
use crate::net::{self, Connection};
use crate::pg::{Lsn, TimelineId};
use crate::pipeline::InPlace;

/// WAL to receive.
#[derive(Clone, Copy)]
pub struct ReceiveJob<'a> {
    /// What is wanted.
    pub config: &'a ReceiveConfig,
    /// The server, for later connections.
    pub connect: &'a ConnectOptions,
    /// Hears of events.
    pub observer: &'a dyn Observer,
    /// Cancelled when the user wants no more.
    pub interrupt: &'a CancellationToken,
    /// Where blocking work can be left, if something runs it there.
    pub in_place: Option<&'a InPlace>,
}

/// What is known from one connection to the next.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The cluster that is received from, as its first server printed it.
    pub(super) system_identifier: Option<String>,
    /// The timeline of the last stream, and up to where it was received.
    pub(super) last_stream: Option<(TimelineId, Lsn)>,
    /// Whether anything was written since the last failure.
    pub(super) has_streamed: bool,
    /// The highest position that was written.
    pub(super) written_max: Lsn,
    /// Whether the user or the end position has ended the last stream.
    pub(super) is_over: bool,
    /// WAL from here on was found to be gone, and need not be received.
    pub(super) gone_from: Option<Lsn>,
    /// The same, and receiving is to go on behind it.
    pub(super) skip_from: Option<Lsn>,
    /// The position from which on WAL was found to be gone.
    pub(super) told_gone_from: Option<Lsn>,
    /// Whether the user was told that the log's form is not known.
    pub(super) unchecked_is_told: bool,
}

impl Memory {
    /// Begins with a cluster that was received from before, if it is known; no other one is received from then.
    pub fn of_cluster(system_identifier: Option<String>) -> Self {
        Memory { system_identifier, ..Memory::default() }
    }

    /// Returns the cluster that is received from, as its first server printed it.
    pub fn system_identifier(&self) -> Option<&str> {
        self.system_identifier.as_deref()
    }

    /// Lets the next attempt go on where its server is, if WAL was found to be gone that the user lets go of. Until
    /// then, it is asked for: another server of the cluster may have it.
    pub fn skip_what_is_gone(&mut self) {
        self.skip_from = self.gone_from.take().or(self.skip_from);
    }

    /// Says whether anything was written since this was asked last, so that the next attempt need not wait for long.
    pub fn take_success(&mut self) -> bool {
        std::mem::take(&mut self.has_streamed)
    }
}

/// Receives WAL, at first over a connection that is ready for commands, until the end position is reached or the user
/// wants no more.
///
/// # Errors
/// What another connection would not cure, see [`ReceiveError::is_final`]; with [`OnDisconnect::Stop`],
/// [`ReceiveError::Disconnected`] after the observer has heard of the failure.
pub async fn run(job: ReceiveJob<'_>, connection: Connection) -> Result<(), ReceiveError> {
    let (mut memory, mut pauses) = (Memory::default(), Pauses::default());
    let mut connection = Some(connection);
    loop {
        let Err(error) = attempt(job, &mut memory, connection.take()).await else {
            return Ok(());
        };
        if error.is_final() || memory.is_over {
            return Err(error);
        }
        memory.skip_what_is_gone();
        if memory.take_success() {
            pauses.reset();
        }
        job.observer.report(Event::Failed(error));
        if job.config.on_disconnect == OnDisconnect::Stop {
            return Err(ReceiveError::Disconnected);
        }
        let pause = pauses.next_pause();
        job.observer.report(Event::Disconnected { pause });
        tokio::select! {
            () = sleep(pause) => {}
            () = job.interrupt.cancelled() => return Ok(()),
        }
    }
}

/// Receives over one connection, which is made if there is none, until the end position is reached, the user wants no
/// more, or that fails.
///
/// # Errors
/// What went wrong. If it is not final, see [`ReceiveError::is_final`], another attempt may do better, after a pause;
/// the memory must be the same.
pub async fn attempt(
    job: ReceiveJob<'_>,
    memory: &mut Memory,
    connection: Option<Connection>,
) -> Result<(), ReceiveError> {
    let begin = async {
        let connection = match connection {
            Some(connection) => connection,
            // Whoever made the first connection has shown these already.
            None => net::connect(job.connect, &mut Vec::new()).await?,
        };
        Session::begin(job, memory, connection).await
    };
    let session = tokio::select! {
        session = begin => session?,
        () = job.interrupt.cancelled() => return Ok(()),
    };
    session.run().await
}
