//! Tells the user what a backup reports.

use std::cell::RefCell;
use std::io::{Stderr, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::args::{BasebackupRequest, Verbosity};
use super::messages::Messages;
use super::program::Program;
use super::progress::ProgressDisplay;
use crate::backup::{BackupError, CleanUp, DirectoryRole, Event, Progress, Reporter};

/// Prints events as messages and keeps the progress display going.
#[derive(Debug)]
pub struct TerminalReporter<W: Write> {
    // Events and ticks come from one thread, but through shared references.
    terminal: RefCell<Terminal<W>>,
}

#[derive(Debug)]
struct Terminal<W: Write> {
    messages: Messages<W>,
    verbosity: Verbosity,
    display: ProgressDisplay,
}

impl TerminalReporter<Stderr> {
    /// Prints to standard error as the command line asks for; progress is read from `counters`.
    pub fn on_stderr(
        program: &Program,
        request: &BasebackupRequest,
        counters: Arc<Progress>,
    ) -> Self {
        let messages = Messages::to_stderr(program.name());
        let display = ProgressDisplay::choose(program, request, counters);
        TerminalReporter::new(messages, request.verbosity, display)
    }
}

impl<W: Write> TerminalReporter<W> {
    /// Prints with `messages`, each step only if `verbosity` says so.
    pub fn new(messages: Messages<W>, verbosity: Verbosity, display: ProgressDisplay) -> Self {
        TerminalReporter { terminal: RefCell::new(Terminal { messages, verbosity, display }) }
    }

    /// Brings the progress display up to date. Cheap; wants to be called a few times a second.
    pub fn tick(&self, now: Instant) {
        let Terminal { messages, display, .. } = &mut *self.terminal.borrow_mut();
        display.tick(now, messages.out());
    }

    /// Takes the progress display away and returns the messages.
    pub fn finish(self) -> Messages<W> {
        self.terminal.into_inner().messages
    }
}

impl<W: Write> Reporter for TerminalReporter<W> {
    fn report(&self, event: Event) {
        let Terminal { messages, verbosity, display } = &mut *self.terminal.borrow_mut();
        display.handle(&event, messages.out());
        display.suspend(|| tell(messages, *verbosity, &event));
    }

    fn failed(&self, error: &BackupError) {
        let Terminal { messages, display, .. } = &mut *self.terminal.borrow_mut();
        display.suspend(|| explain(messages, error));
    }
}

fn explain<W: Write>(messages: &mut Messages<W>, error: &BackupError) {
    if let BackupError::Damaged(..) = error {
        error.to_string().lines().for_each(|finding| messages.error(finding));
        messages.detail("What was received is not what the server listed in the manifest.");
    } else {
        messages.error(error);
    }
    if let Some(hint) = error.hint() {
        messages.hint(hint);
    }
}

fn tell<W: Write>(messages: &mut Messages<W>, verbosity: Verbosity, event: &Event) {
    match event {
        Event::Notice(notice) => messages.raw(notice),
        Event::CleanUp(CleanUp::Failed(reason)) => messages.error(reason),
        Event::CleanUp(step) => messages.info(clean_up_text(step)),
        Event::WalStreamBroken { reason, resume_at } => {
            messages.warning(format_args!("WAL streaming was interrupted: {reason}"));
            messages.detail(format_args!("It is resumed at {resume_at} on a new connection."));
        }
        Event::StandbySettingLeftOut(keyword) => {
            messages.warning(format_args!(
                "connection option \"{keyword}\" is not written into primary_conninfo"
            ));
            messages.detail("A standby of this server's release does not know it.");
        }
        step => {
            let text = step_text(step).filter(|_| verbosity == Verbosity::Verbose);
            text.into_iter().for_each(|text| messages.info(text));
        }
    }
}

/// Returns what `--verbose` tells of a step, in the original's words.
fn step_text(event: &Event) -> Option<String> {
    Some(match event {
        Event::WaitingForCheckpoint => {
            "initiating base backup, waiting for checkpoint to complete".to_owned()
        }
        Event::CheckpointCompleted => "checkpoint completed".to_owned(),
        Event::WalStart(start, timeline) => {
            format!("write-ahead log start point: {start} on timeline {timeline}")
        }
        Event::StartingWalReceiver => "starting background WAL receiver".to_owned(),
        Event::CreatedTemporarySlot(name) => {
            format!("created temporary replication slot \"{name}\"")
        }
        Event::CreatedSlot(name) => format!("created replication slot \"{name}\""),
        Event::WalEnd(end) => format!("write-ahead log end point: {end}"),
        Event::WaitingForWal => "waiting for background process to finish streaming ...".to_owned(),
        Event::Syncing => "syncing data to disk ...".to_owned(),
        Event::RenamingManifest => "renaming backup_manifest.tmp to backup_manifest".to_owned(),
        Event::Completed => "base backup completed".to_owned(),
        Event::ReceivingStarted
        | Event::ArchiveStarted
        | Event::ArchiveCompleted
        | Event::ReceivingCompleted
        | Event::WalStreamBroken { .. }
        | Event::StandbySettingLeftOut(_)
        | Event::Notice(_)
        | Event::CleanUp(_) => return None,
    })
}

fn clean_up_text(step: &CleanUp) -> String {
    match step {
        CleanUp::Removing(role, path) => format!("removing {}", named(*role, path)),
        CleanUp::RemovingContents(role, path) => {
            format!("removing contents of {}", named(*role, path))
        }
        CleanUp::Kept(role, path) => {
            format!("{} not removed at user's request", named(*role, path))
        }
        CleanUp::Failed(reason) => reason.clone(),
    }
}

fn named(role: DirectoryRole, path: &Path) -> String {
    let kind = match role {
        DirectoryRole::Data => "data directory",
        DirectoryRole::Wal => "WAL directory",
        DirectoryRole::Tablespace => "tablespace directory",
    };
    format!("{kind} \"{}\"", path.display())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::cli::progress::{ProgressLine, Screen};
    use crate::pg::{Lsn, TimelineId};
    use crate::protocol::ServerMessage;

    fn told(verbosity: Verbosity, events: Vec<Event>) -> String {
        let messages = Messages::new(Vec::new(), "prog", None);
        let reporter = TerminalReporter::new(messages, verbosity, ProgressDisplay::None);
        for event in events {
            reporter.report(event);
        }
        String::from_utf8(reporter.finish().out().clone()).unwrap()
    }

    /// The events of a backup with -X stream, in order.
    fn backup() -> Vec<Event> {
        vec![
            Event::WaitingForCheckpoint,
            Event::CheckpointCompleted,
            Event::WalStart(Lsn::new(0x500_0028), TimelineId::FIRST),
            Event::StartingWalReceiver,
            Event::CreatedTemporarySlot("pg_basebackup_31041".into()),
            Event::ReceivingStarted,
            Event::ArchiveStarted,
            Event::ArchiveCompleted,
            Event::ReceivingCompleted,
            Event::WalEnd(Lsn::new(0x500_0120)),
            Event::WaitingForWal,
            Event::Syncing,
            Event::RenamingManifest,
            Event::Completed,
        ]
    }

    #[test]
    fn verbose_tells_each_step_in_the_original_words_and_quiet_none() {
        let lines = "\
prog: initiating base backup, waiting for checkpoint to complete
prog: checkpoint completed
prog: write-ahead log start point: 0/5000028 on timeline 1
prog: starting background WAL receiver
prog: created temporary replication slot \"pg_basebackup_31041\"
prog: write-ahead log end point: 0/5000120
prog: waiting for background process to finish streaming ...
prog: syncing data to disk ...
prog: renaming backup_manifest.tmp to backup_manifest
prog: base backup completed
";
        assert_eq!(told(Verbosity::Verbose, backup()), lines);
        assert_eq!(told(Verbosity::Quiet, backup()), "");
        let created = vec![Event::CreatedSlot("sl".into())];
        let line = "prog: created replication slot \"sl\"\n";
        assert_eq!(told(Verbosity::Verbose, created), line);
    }

    #[test]
    fn notices_troubles_and_clean_up_are_told_also_when_quiet() {
        let notice = ServerMessage {
            severity: "WARNING".into(),
            message: "checksum verification failed".into(),
            hint: Some("Look.".into()),
            ..ServerMessage::default()
        };
        let broken = Event::WalStreamBroken {
            reason: "server closed the connection unexpectedly".into(),
            resume_at: Lsn::new(0x300_0000),
        };
        let (data, wal) = (DirectoryRole::Data, DirectoryRole::Wal);
        let events = vec![
            Event::Notice(notice),
            broken,
            Event::CleanUp(CleanUp::Removing(data, "o".into())),
            Event::CleanUp(CleanUp::RemovingContents(wal, "/w".into())),
            Event::CleanUp(CleanUp::Removing(DirectoryRole::Tablespace, "/t".into())),
            Event::CleanUp(CleanUp::Kept(data, "o".into())),
            Event::CleanUp(CleanUp::Kept(wal, "/w".into())),
            Event::CleanUp(CleanUp::Failed("failed to remove data directory".into())),
        ];
        let lines = "\
WARNING:  checksum verification failed
HINT:  Look.
prog: warning: WAL streaming was interrupted: server closed the connection unexpectedly
prog: detail: It is resumed at 0/3000000 on a new connection.
prog: removing data directory \"o\"
prog: removing contents of WAL directory \"/w\"
prog: removing tablespace directory \"/t\"
prog: data directory \"o\" not removed at user's request
prog: WAL directory \"/w\" not removed at user's request
prog: error: failed to remove data directory
";
        assert_eq!(told(Verbosity::Quiet, events), lines);
    }

    #[test]
    fn progress_lines_stand_between_the_steps() {
        let counters = Arc::new(Progress::default());
        counters.total_bytes.store(2048, Ordering::Relaxed);
        counters.received_bytes.store(2048, Ordering::Relaxed);
        counters.tablespaces_total.store(1, Ordering::Relaxed);
        let line = ProgressLine::new(counters, Verbosity::Quiet, Screen::Log);
        let messages = Messages::new(Vec::new(), "prog", None);
        let reporter =
            TerminalReporter::new(messages, Verbosity::Quiet, ProgressDisplay::Line(line));
        for event in backup() {
            reporter.report(event);
        }
        let told = String::from_utf8(reporter.finish().out().clone()).unwrap();
        let lines = "\
waiting for checkpoint
2/2 kB (100%), 0/1 tablespace
2/2 kB (100%), 1/1 tablespace
";
        assert_eq!(told, lines);
    }
}
