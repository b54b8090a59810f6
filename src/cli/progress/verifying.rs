//! Progress of verifying: in the original's form, a line of numbers, or as a bar.

use std::io::{self, IsTerminal as _, Stderr, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget};

use super::Screen;
use super::bars::style;
use crate::cli::program::{Program, Role};
use crate::verify::VerifyProgress;

/// Lines come no faster than this, but for the last one.
const INTERVAL: Duration = Duration::from_secs(1);

/// The bar.
const VERIFYING: &str = "verifying [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} ETA {eta}";

/// How many bytes are verified out of how many; of none until it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Those that were read.
    pub done: u64,
    /// Those that are to be read.
    pub total: u64,
}

impl From<&VerifyProgress> for Share {
    fn from(progress: &VerifyProgress) -> Self {
        Share { done: progress.done(), total: progress.total() }
    }
}

/// Shows how far verifying is.
#[derive(Debug)]
pub enum VerifyDisplay<W> {
    /// As lines of numbers.
    Line(VerifyLine<W>),
    /// As a bar.
    Bar(ProgressBar),
}

impl VerifyDisplay<Stderr> {
    /// Chooses the display that suits the program's name and standard error.
    pub fn choose(program: &Program) -> Self {
        match (program.role(), io::stderr().is_terminal()) {
            (Role::Native, true) => VerifyDisplay::bar(ProgressDrawTarget::stderr()),
            (Role::DropIn(_), true) => {
                VerifyDisplay::Line(VerifyLine::new(Screen::Terminal, io::stderr()))
            }
            (_, false) => VerifyDisplay::Line(VerifyLine::new(Screen::Log, io::stderr())),
        }
    }
}

impl<W: Write> VerifyDisplay<W> {
    /// Draws a bar on `target`.
    pub fn bar(target: ProgressDrawTarget) -> Self {
        let bar = ProgressBar::with_draw_target(None, target);
        VerifyDisplay::Bar(bar.with_style(style(VERIFYING)))
    }

    /// Shows how far it is, if that is known. Cheap; wants to be called a few times a second.
    pub fn tick(&mut self, now: Instant, share: Share) {
        match self {
            _ if share.total == 0 => {}
            VerifyDisplay::Line(line) => line.tick(now, share),
            VerifyDisplay::Bar(bar) => {
                bar.set_length(share.total);
                bar.set_position(share.done);
            }
        }
    }

    /// Shows how far it came, and leaves the line.
    pub fn finish(&mut self, share: Share) {
        match self {
            VerifyDisplay::Line(line) if share.total > 0 => line.finish(share),
            VerifyDisplay::Line(_) => {}
            VerifyDisplay::Bar(bar) => bar.finish_and_clear(),
        }
    }
}

/// A line of numbers, rewritten on a terminal.
#[derive(Debug)]
pub struct VerifyLine<W> {
    screen: Screen,
    out: W,
    printed_at: Option<Instant>,
}

impl<W: Write> VerifyLine<W> {
    /// Prints to `out`.
    pub fn new(screen: Screen, out: W) -> Self {
        VerifyLine { screen, out, printed_at: None }
    }

    fn tick(&mut self, now: Instant, share: Share) {
        match self.printed_at {
            None => self.begin(share),
            Some(at) if now.saturating_duration_since(at) < INTERVAL => return,
            Some(_) => self.print(share, self.overwritten()),
        }
        self.printed_at = Some(now);
    }

    /// Prints the first line. It is the original's also if it comes late: nothing is done.
    fn begin(&mut self, share: Share) {
        self.print(Share { done: 0, ..share }, self.overwritten());
    }

    fn finish(&mut self, share: Share) {
        if self.printed_at.is_none() {
            self.begin(share);
        }
        self.print(share, '\n');
    }

    /// Returns what ends a line that another one follows.
    fn overwritten(&self) -> char {
        match self.screen {
            Screen::Terminal => '\r',
            Screen::Log => '\n',
        }
    }

    /// Formats the line as `progress_report` in `pg_verifybackup.c` does.
    fn print(&mut self, share: Share, end: char) {
        let percent = u128::from(share.done) * 100 / u128::from(share.total.max(1));
        let total = (share.total / 1024).to_string();
        let done = share.done / 1024;
        let width = total.len();
        let line = format!("{done:>width$}/{total} kB ({percent}%) verified{end}");
        // As with messages, there is nowhere to complain.
        let _ = self.out.write_all(line.as_bytes()).and_then(|()| self.out.flush());
    }
}

#[cfg(test)]
mod tests {
    use indicatif::InMemoryTerm;

    use super::*;

    /// Returns what is shown of a total of 200 MB at these milliseconds, with so many kilobytes done.
    fn shown(screen: Screen, ticks: &[(u64, u64)], last: u64) -> String {
        let mut out = Vec::new();
        let mut display = VerifyDisplay::Line(VerifyLine::new(screen, &mut out));
        let start = Instant::now();
        let share = |done| Share { done: done << 10, total: 204_800 << 10 };
        display.tick(start, Share::default());
        for (milliseconds, done) in ticks {
            display.tick(start + Duration::from_millis(*milliseconds), share(*done));
        }
        display.finish(share(last));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_come_once_a_second_from_nothing_to_the_end() {
        let ticks = [(0, 7), (500, 10_000), (1000, 20_480), (1900, 81_920), (2000, 102_400)];
        let lines = "     0/204800 kB (0%) verified|\
             \x2020480/204800 kB (10%) verified|\
             102400/204800 kB (50%) verified|\
             204800/204800 kB (100%) verified\n";
        assert_eq!(shown(Screen::Log, &ticks, 204_800), lines.replace('|', "\n"));
        assert_eq!(shown(Screen::Terminal, &ticks, 204_800), lines.replace('|', "\r"));
    }

    #[test]
    fn a_backup_that_is_verified_at_once_shows_the_first_line_and_the_last() {
        let lines = "     0/204800 kB (0%) verified\n102400/204800 kB (50%) verified\n";
        assert_eq!(shown(Screen::Log, &[], 102_400), lines);
    }

    #[test]
    fn nothing_is_shown_if_nothing_is_read() {
        let mut out = Vec::new();
        let mut display = VerifyDisplay::Line(VerifyLine::new(Screen::Log, &mut out));
        display.tick(Instant::now(), Share::default());
        display.finish(Share::default());
        assert_eq!(out, b"");
    }

    #[test]
    fn the_bar_shows_what_is_done_and_leaves_nothing_behind() {
        let screen = InMemoryTerm::new(10, 80);
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(screen.clone()), 255);
        let mut display = VerifyDisplay::<Stderr>::bar(target);
        display.tick(Instant::now(), Share { done: 4 << 20, total: 8 << 20 });
        let shown = screen.contents();
        assert!(shown.starts_with("verifying [====="), "{shown}");
        assert!(shown.contains("] 4.00 MiB/8.00 MiB "), "{shown}");
        display.finish(Share { done: 8 << 20, total: 8 << 20 });
        assert_eq!(screen.contents(), "");
    }
}
