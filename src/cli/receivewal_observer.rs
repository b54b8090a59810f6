//! Tells the user what happens while WAL is received.

use std::io::{self, IsTerminal as _, Stderr, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::args::{ShowProgress, Verbosity};
use super::messages::Messages;
use super::program::Program;
use super::progress::Screen;
use crate::pg::Lsn;
use crate::receive::{Event, Hole, HoleCause, Observer, ReceiveStatus};

/// Prints events as messages.
#[derive(Debug)]
pub struct TerminalObserver<W: Write> {
    verbosity: Verbosity,
    screen: Mutex<Shown<W>>,
}

/// What the user sees.
#[derive(Debug)]
struct Shown<W: Write> {
    messages: Messages<W>,
    status: Option<StatusLine>,
}

/// Shows how far receiving is.
#[derive(Debug)]
pub struct StatusLine {
    screen: Screen,
    shown: Option<(Instant, ReceiveStatus)>,
}

/// Status lines come no faster than this.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

impl StatusLine {
    /// Begins with nothing shown.
    pub fn new(screen: Screen) -> Self {
        StatusLine { screen, shown: None }
    }

    /// Shows a status, if it is news and the last one is old enough.
    fn show(&mut self, status: ReceiveStatus, now: Instant, out: &mut impl Write) {
        let is_due = self.shown.is_none_or(|(at, shown)| {
            shown != status && now.saturating_duration_since(at) >= STATUS_INTERVAL
        });
        if !is_due {
            return;
        }
        self.shown = Some((now, status));
        let end = match self.screen {
            Screen::Terminal => '\r',
            Screen::Log => '\n',
        };
        // There is nowhere to complain.
        let _ = write!(out, "{:<90}{end}", status_text(status)).and_then(|()| out.flush());
    }

    /// Leaves the line, so that something else can be printed.
    fn leave(&mut self, out: &mut impl Write) {
        if self.screen == Screen::Terminal && self.shown.is_some() {
            let _ = writeln!(out);
        }
    }
}

fn status_text(status: ReceiveStatus) -> String {
    let ReceiveStatus { timeline, received, flushed, server_end, lag, .. } = status;
    let behind = server_end.checked_sub(received).unwrap_or(0);
    let flushed = match flushed {
        Lsn::INVALID => String::new(),
        flushed => format!(", on stable storage up to {flushed}"),
    };
    let lag = lag.map(|lag| format!(", {:.1} s", lag.as_secs_f64())).unwrap_or_default();
    format!("received {received} (timeline {timeline}){flushed}; {} kB{lag} behind", behind / 1024)
}

impl TerminalObserver<Stderr> {
    /// Prints to standard error.
    pub fn on_stderr(program: &Program, verbosity: Verbosity, progress: ShowProgress) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let status = match (progress, is_terminal) {
            (ShowProgress::No, _) => None,
            (ShowProgress::Yes, true) => Some(StatusLine::new(Screen::Terminal)),
            (ShowProgress::Yes, false) => Some(StatusLine::new(Screen::Log)),
        };
        TerminalObserver::new(Messages::to_stderr(program.name()), verbosity, status)
    }
}

impl<W: Write> TerminalObserver<W> {
    /// Prints with `messages`, each step only if `verbosity` says so, and a status line if there is one.
    pub fn new(messages: Messages<W>, verbosity: Verbosity, status: Option<StatusLine>) -> Self {
        TerminalObserver { verbosity, screen: Mutex::new(Shown { messages, status }) }
    }

    /// Returns the messages.
    pub fn finish(self) -> Messages<W> {
        self.screen.into_inner().unwrap_or_else(PoisonError::into_inner).messages
    }

    fn screen(&self) -> MutexGuard<'_, Shown<W>> {
        // At worst, a line is half written.
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Write + Send> Observer for TerminalObserver<W> {
    fn report(&self, event: Event) {
        let Shown { messages, status } = &mut *self.screen();
        if let Some(line) = status.as_mut().filter(|_| is_told(self.verbosity, &event)) {
            line.leave(messages.out());
        }
        tell(messages, self.verbosity, &event);
    }

    fn note(&self, status: ReceiveStatus) {
        let Shown { messages, status: line } = &mut *self.screen();
        if let Some(line) = line {
            line.show(status, Instant::now(), messages.out());
        }
    }
}

/// Says whether anything will be printed.
fn is_told(verbosity: Verbosity, event: &Event) -> bool {
    verbosity == Verbosity::Verbose || step_text(event).is_none()
}

fn tell<W: Write>(messages: &mut Messages<W>, verbosity: Verbosity, event: &Event) {
    match event {
        Event::SkippedFile { name, size, is_compressed } => {
            messages.warning(skipped(name, *size, *is_compressed));
        }
        Event::Hole(hole) => {
            messages.warning(missing(hole));
            messages.detail(why(hole.cause));
        }
        Event::OtherBranch { timeline, left_at, stored_to } => {
            messages.warning(format_args!(
                "server left timeline {timeline} at {left_at}, stored up to {stored_to}"
            ));
        }
        Event::NotRenamed { name } => {
            messages.info(format_args!("not renaming \"{name}.partial\", segment is not complete"));
        }
        Event::DiskStalled => {
            messages.warning("disk does not take WAL; the connection is given up until it does");
        }
        Event::Failed(error) => messages.error(error),
        Event::Disconnected { pause } => {
            messages.info(format_args!("disconnected; waiting {} to try again", seconds(*pause)));
        }
        Event::UncheckedFormat { origin } => {
            messages.warning(format_args!("WAL of {origin} is not checked"));
            messages.detail("The format of its pages and records is not known.");
        }
        Event::SideFileFailed { reason } => {
            messages.warning(reason);
            messages.detail("The WAL itself is not affected.");
        }
        Event::Notice(notice) => messages.raw(notice),
        step => {
            let text = step_text(step).filter(|_| verbosity == Verbosity::Verbose);
            text.into_iter().for_each(|text| messages.info(text));
        }
    }
}

/// Returns what `--verbose` tells of a step, in the original's words.
fn step_text(event: &Event) -> Option<String> {
    Some(match event {
        Event::Starting { at, timeline } => {
            format!("starting log streaming at {at} (timeline {timeline})")
        }
        Event::FinishedSegment { end, timeline } => {
            format!("finished segment at {end} (timeline {timeline})")
        }
        Event::SwitchedTimeline { timeline, at } => {
            format!("switched to timeline {timeline} at {at}")
        }
        Event::ReachedEnd { at, timeline } => {
            format!("stopped log streaming at {at} (timeline {timeline})")
        }
        Event::Interrupted => "received interrupt signal, exiting".to_owned(),
        Event::Started { .. }
        | Event::SkippedFile { .. }
        | Event::OtherBranch { .. }
        | Event::Hole(_)
        | Event::NotRenamed { .. }
        | Event::DiskStalled
        | Event::Failed(_)
        | Event::Disconnected { .. }
        | Event::UncheckedFormat { .. }
        | Event::SideFileFailed { .. }
        | Event::Notice(_) => return None,
    })
}

fn skipped(name: &str, size: u64, is_compressed: bool) -> String {
    match is_compressed {
        false => format!("segment file \"{name}\" has incorrect size {size}, skipping"),
        true => format!(
            "compressed segment file \"{name}\" has incorrect uncompressed size {size}, skipping"
        ),
    }
}

fn missing(hole: &Hole) -> String {
    let Hole { from, to, timeline, directory, .. } = hole;
    let directory = directory.display();
    match from {
        Some(from) => format!(
            "WAL from {from} to {to} (timeline {timeline}) is missing in directory \"{directory}\""
        ),
        None => {
            format!("WAL before {to} (timeline {timeline}) is not in directory \"{directory}\"")
        }
    }
}

fn why(cause: HoleCause) -> &'static str {
    match cause {
        HoleCause::EmptyDirectory => {
            "The directory holds no segment, and no replication slot says where to start."
        }
        HoleCause::SlotWithoutPosition => {
            "The directory holds no segment, and the replication slot holds no WAL."
        }
        HoleCause::RemovedByServer => "The server has removed it.",
    }
}

/// Says how long a pause is in whole seconds, rounded up.
fn seconds(pause: Duration) -> String {
    match pause.as_secs() + u64::from(pause.subsec_nanos() > 0) {
        1 => "1 second".to_owned(),
        count => format!("{count} seconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::{Lsn, TimelineId, Timestamp};
    use crate::protocol::ServerMessage;
    use crate::receive::ReceiveError;

    fn told(verbosity: Verbosity, events: Vec<Event>) -> String {
        let observer =
            TerminalObserver::new(Messages::new(Vec::new(), "prog", None), verbosity, None);
        events.into_iter().for_each(|event| observer.report(event));
        String::from_utf8(observer.finish().out().clone()).unwrap()
    }

    #[test]
    fn verbose_tells_each_step_in_the_original_words_and_quiet_none() {
        let (first, second) = (TimelineId::FIRST, TimelineId::try_from(2).unwrap());
        let steps = || {
            vec![
                Event::Starting { at: Lsn::new(0x16_0100_0000), timeline: first },
                Event::FinishedSegment { end: Lsn::new(0x16_0200_0000), timeline: first },
                Event::SwitchedTimeline { timeline: second, at: Lsn::new(0x16_0200_0128) },
                Event::ReachedEnd { at: Lsn::new(0x16_0200_0200), timeline: second },
                Event::Interrupted,
            ]
        };
        let lines = "\
prog: starting log streaming at 16/1000000 (timeline 1)
prog: finished segment at 16/2000000 (timeline 1)
prog: switched to timeline 2 at 16/2000128
prog: stopped log streaming at 16/2000200 (timeline 2)
prog: received interrupt signal, exiting
";
        assert_eq!(told(Verbosity::Verbose, steps()), lines);
        assert_eq!(told(Verbosity::Quiet, steps()), "");
    }

    #[test]
    fn troubles_are_told_also_when_quiet() {
        let notice = ServerMessage {
            severity: "WARNING".into(),
            message: "replication is slow".into(),
            ..ServerMessage::default()
        };
        let name = "000000010000000000000002";
        let disconnected =
            |milliseconds| Event::Disconnected { pause: Duration::from_millis(milliseconds) };
        let events = vec![
            Event::SkippedFile { name: name.into(), size: 100, is_compressed: false },
            Event::SkippedFile { name: format!("{name}.gz"), size: 0, is_compressed: true },
            Event::NotRenamed { name: format!("{name}.gz") },
            Event::DiskStalled,
            Event::Failed(ReceiveError::ServerShutDown),
            disconnected(1000),
            disconnected(2001),
            Event::UncheckedFormat { origin: "server version 19beta1".into() },
            Event::SideFileFailed {
                reason: "could not write file \"x\": No space left on device".into(),
            },
            Event::Notice(Box::new(notice)),
        ];
        let lines = "\
prog: warning: segment file \"000000010000000000000002\" has incorrect size 100, skipping
prog: warning: compressed segment file \"000000010000000000000002.gz\" has incorrect uncompressed size 0, skipping
prog: not renaming \"000000010000000000000002.gz.partial\", segment is not complete
prog: warning: disk does not take WAL; the connection is given up until it does
prog: error: replication stream was terminated before stop point
prog: disconnected; waiting 1 second to try again
prog: disconnected; waiting 3 seconds to try again
prog: warning: WAL of server version 19beta1 is not checked
prog: detail: The format of its pages and records is not known.
prog: warning: could not write file \"x\": No space left on device
prog: detail: The WAL itself is not affected.
WARNING:  replication is slow
";
        assert_eq!(told(Verbosity::Quiet, events), lines);
    }

    #[test]
    fn the_status_is_shown_once_a_second_and_left_for_messages() {
        let status = |received, lag| ReceiveStatus {
            timeline: TimelineId::FIRST,
            received: Lsn::new(received),
            written: Lsn::INVALID,
            flushed: Lsn::INVALID,
            server_end: Lsn::new(0x500_0000),
            lag,
        };
        let mut line = StatusLine::new(Screen::Log);
        let (mut out, now) = (Vec::new(), Instant::now());
        line.show(status(0x400_0000, Some(Duration::from_millis(2340))), now, &mut out);
        line.show(status(0x480_0000, None), now + STATUS_INTERVAL / 2, &mut out);
        line.show(status(0x500_0000, None), now + STATUS_INTERVAL, &mut out);
        line.show(status(0x500_0000, None), now + STATUS_INTERVAL * 2, &mut out);
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.lines().map(str::trim_end).collect();
        let expected = [
            "received 0/4000000 (timeline 1); 16384 kB, 2.3 s behind",
            "received 0/5000000 (timeline 1); 0 kB behind",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_hole_is_told_from_where_to_where_and_why() {
        let hole = |from, cause| {
            Event::Hole(Hole {
                from,
                to: Lsn::new(0x500_0000),
                timeline: TimelineId::FIRST,
                cause,
                noticed: Timestamp::from_micros(0),
                directory: "d".into(),
            })
        };
        let before = "prog: warning: WAL before 0/5000000 (timeline 1) is not in directory \"d\"\n";
        let between = "prog: warning: WAL from 0/3000000 to 0/5000000 (timeline 1) is missing in directory \"d\"\n";
        let table = [
            (
                None,
                HoleCause::EmptyDirectory,
                before,
                "The directory holds no segment, and no replication slot says where to start.",
            ),
            (
                None,
                HoleCause::SlotWithoutPosition,
                before,
                "The directory holds no segment, and the replication slot holds no WAL.",
            ),
            (
                Some(Lsn::new(0x300_0000)),
                HoleCause::RemovedByServer,
                between,
                "The server has removed it.",
            ),
        ];
        for (from, cause, warning, detail) in table {
            let lines = format!("{warning}prog: detail: {detail}\n");
            assert_eq!(told(Verbosity::Quiet, vec![hole(from, cause)]), lines);
        }
    }
}
