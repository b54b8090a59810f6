//! Progress in the original's form: a line of numbers, rewritten on a terminal.

use std::io::Write;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backup::{Event, Progress};
use crate::cli::args::Verbosity;

/// Lines come no faster than this, but for the ones at the ends of archives.
const INTERVAL: Duration = Duration::from_secs(1);

/// Width of the file's name; longer ones lose their beginning.
const FILE_NAME_COLUMNS: usize = 35;

/// Whether standard error is a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// The line is written over itself.
    Terminal,
    /// Lines follow each other.
    Log,
}

/// Prints the line when it is due.
#[derive(Debug)]
pub struct ProgressLine {
    counters: Arc<Progress>,
    verbosity: Verbosity,
    screen: Screen,
    archives_done: u64,
    /// The time of the last tick, and of the last line.
    now: Option<Instant>,
    printed_at: Option<Instant>,
    printed_bytes: u64,
}

impl ProgressLine {
    /// Shows what `counters` say.
    pub fn new(counters: Arc<Progress>, verbosity: Verbosity, screen: Screen) -> Self {
        ProgressLine {
            counters,
            verbosity,
            screen,
            archives_done: 0,
            now: None,
            printed_at: None,
            printed_bytes: 0,
        }
    }

    /// Prints what an event makes due. An archive's end shows twice, with the old count and with the
    /// new one when the next archive begins, because the server and the client of 15 and newer each
    /// cause a line there.
    pub fn handle(&mut self, event: &Event, out: &mut impl Write) {
        match event {
            Event::WaitingForCheckpoint if self.verbosity == Verbosity::Quiet => {
                self.write("waiting for checkpoint", Ending::MayBeOverwritten, out);
            }
            Event::ArchiveStarted if self.archives_done > 0 => self.print(out),
            Event::ArchiveCompleted => {
                self.print(out);
                self.archives_done += 1;
            }
            Event::ReceivingCompleted => self.print_last(out),
            // The rest has no place in the line.
            _ => {}
        }
    }

    /// Prints a line if the last one is old enough and bytes have come since.
    pub fn tick(&mut self, now: Instant, out: &mut impl Write) {
        self.now = Some(now);
        let printed_at = *self.printed_at.get_or_insert(now);
        let has_moved = Progress::read(&self.counters.received_bytes) != self.printed_bytes;
        if has_moved && now.duration_since(printed_at) >= INTERVAL {
            self.print(out);
        }
    }

    fn print(&mut self, out: &mut impl Write) {
        let current = self.counters.current_file();
        let file = match self.verbosity {
            Verbosity::Quiet => FileField::Absent,
            Verbosity::Verbose if current.as_os_str().is_empty() => FileField::Unknown,
            Verbosity::Verbose => FileField::Name(&current),
        };
        let line = self.numbers(self.archives_done).line(file);
        self.write(&line, Ending::MayBeOverwritten, out);
        self.printed_at = self.now;
        self.printed_bytes = Progress::read(&self.counters.received_bytes);
    }

    fn print_last(&mut self, out: &mut impl Write) {
        let file = match self.verbosity {
            Verbosity::Quiet => FileField::Absent,
            Verbosity::Verbose => FileField::Finished,
        };
        let archives = Progress::read(&self.counters.tablespaces_total);
        let line = self.numbers(archives).line(file);
        self.write(&line, Ending::Final, out);
    }

    fn numbers(&self, archives_done: u64) -> Numbers {
        Numbers {
            received_bytes: Progress::read(&self.counters.received_bytes),
            total_bytes: Progress::read(&self.counters.total_bytes),
            tablespaces_done: archives_done,
            tablespaces_total: Progress::read(&self.counters.tablespaces_total),
        }
    }

    fn write(&self, text: &str, ending: Ending, out: &mut impl Write) {
        let end = match (ending, self.screen) {
            (Ending::MayBeOverwritten, Screen::Terminal) => '\r',
            (Ending::MayBeOverwritten, Screen::Log) | (Ending::Final, _) => '\n',
        };
        // As with messages, there is nowhere to complain.
        let _ = out.write_all(format!("{text}{end}").as_bytes()).and_then(|()| out.flush());
    }
}

#[derive(Clone, Copy)]
enum Ending {
    MayBeOverwritten,
    Final,
}

/// What stands in the line.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    received_bytes: u64,
    total_bytes: u64,
    tablespaces_done: u64,
    tablespaces_total: u64,
}

/// What follows the numbers.
#[derive(Clone, Copy, Debug)]
enum FileField<'a> {
    /// Nothing: files are shown only to who asked for each step.
    Absent,
    /// Blanks: the server stores the backup, and does not say where it is. The original says 100 % here.
    Unknown,
    /// The current file.
    Name(&'a Path),
    /// Blanks that cover the last name.
    Finished,
}

impl Numbers {
    /// Formats the line as `progress_report` in `pg_basebackup.c` does. The estimate may be too small;
    /// then the total grows with what was received, and the percentage stays at 100.
    fn line(self, file: FileField<'_>) -> String {
        let done_kb = self.received_bytes / 1024;
        let estimated_kb = self.total_bytes / 1024;
        let total = done_kb.max(estimated_kb).to_string();
        let percent = match file {
            FileField::Finished => 100,
            FileField::Absent | FileField::Unknown | FileField::Name(_) => {
                percentage(done_kb, estimated_kb)
            }
        };
        let plural = if self.tablespaces_total == 1 { "" } else { "s" };
        let numbers = format!(
            "{done_kb:>width$}/{total} kB ({percent}%), {}/{} tablespace{plural}",
            self.tablespaces_done,
            self.tablespaces_total,
            width = total.len(),
        );
        match file {
            FileField::Absent => numbers,
            FileField::Unknown | FileField::Finished => {
                format!("{numbers} {:width$}", "", width = FILE_NAME_COLUMNS + 5)
            }
            FileField::Name(path) => {
                format!("{numbers} ({:<FILE_NAME_COLUMNS$})", shortened(path))
            }
        }
    }
}

fn percentage(done: u64, total: u64) -> u64 {
    done.saturating_mul(100).checked_div(total).unwrap_or(0).min(100)
}

/// Returns the end of a name that is too long, marked with dots.
fn shortened(path: &Path) -> String {
    const MARK: &str = "...";
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() <= FILE_NAME_COLUMNS {
        return path.to_string_lossy().into_owned();
    }
    let kept = bytes.len() - (FILE_NAME_COLUMNS - MARK.len());
    let end = bytes.get(kept..).unwrap_or_default();
    format!("{MARK}{}", String::from_utf8_lossy(end))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    fn numbers(received_kb: u64, total_kb: u64, done: u64, total: u64) -> Numbers {
        Numbers {
            received_bytes: received_kb * 1024 + 1023,
            total_bytes: total_kb * 1024,
            tablespaces_done: done,
            tablespaces_total: total,
        }
    }

    /// Captured from pg_basebackup 18.6, but for the first three.
    #[test]
    fn lines_have_the_original_widths() {
        let name = |path: &'static str| FileField::Name(Path::new(path));
        let n1 = "/tmp/clisrv/n1/PG_18_202506291/5/16386";
        let table = [
            (numbers(0, 0, 0, 0), FileField::Absent, "0/0 kB (0%), 0/0 tablespaces"),
            (
                numbers(10754, 40795, 0, 1),
                FileField::Unknown,
                "10754/40795 kB (26%), 0/1 tablespace                                         ",
            ),
            (numbers(7, 40795, 0, 1), FileField::Absent, "    7/40795 kB (0%), 0/1 tablespace"),
            (
                numbers(10754, 40795, 0, 3),
                FileField::Absent,
                "10754/40795 kB (26%), 0/3 tablespaces",
            ),
            (
                numbers(40808, 40795, 2, 3),
                FileField::Absent,
                "40808/40808 kB (100%), 2/3 tablespaces",
            ),
            (
                numbers(10754, 40795, 1, 3),
                name(n1),
                "10754/40795 kB (26%), 1/3 tablespaces (...lisrv/n1/PG_18_202506291/5/16386)",
            ),
            (
                numbers(37939, 40795, 2, 3),
                name("o/base/1/2663"),
                "37939/40795 kB (92%), 2/3 tablespaces (o/base/1/2663                      )",
            ),
            (
                numbers(40808, 40795, 3, 3),
                FileField::Finished,
                "40808/40808 kB (100%), 3/3 tablespaces                                         ",
            ),
        ];
        for (numbers, file, line) in table {
            assert_eq!(numbers.line(file), line);
        }
    }

    #[test]
    fn names_are_shortened_past_35_bytes() {
        let exact = "a".repeat(35);
        assert_eq!(shortened(Path::new(&exact)), exact);
        let longer = format!("b{exact}");
        assert_eq!(shortened(Path::new(&longer)), format!("...{}", "a".repeat(32)));
    }

    /// Plays a backup of two tablespaces and returns what is printed.
    fn played(verbosity: Verbosity, screen: Screen) -> String {
        let counters = Arc::new(Progress::default());
        counters.total_bytes.store(300 * 1024, Ordering::Relaxed);
        counters.tablespaces_total.store(2, Ordering::Relaxed);
        let mut line = ProgressLine::new(Arc::clone(&counters), verbosity, screen);
        let mut out = Vec::new();
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        let receive = |kb: u64| Progress::add(&counters.received_bytes, kb * 1024);
        line.handle(&Event::WaitingForCheckpoint, &mut out);
        line.tick(after(0), &mut out);
        counters.set_current_file("o/16384.tar".into());
        line.handle(&Event::ArchiveStarted, &mut out);
        receive(50);
        line.tick(after(999), &mut out);
        line.tick(after(1000), &mut out);
        receive(50);
        line.tick(after(1250), &mut out);
        line.handle(&Event::ArchiveCompleted, &mut out);
        line.handle(&Event::ArchiveStarted, &mut out);
        counters.set_current_file("o/base.tar".into());
        receive(150);
        line.tick(after(2000), &mut out);
        line.tick(after(2250), &mut out);
        line.tick(after(9000), &mut out);
        receive(60);
        line.handle(&Event::ArchiveCompleted, &mut out);
        line.handle(&Event::ReceivingCompleted, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_log_gets_a_line_a_second_and_at_the_ends_of_archives() {
        let lines = "\
waiting for checkpoint
 50/300 kB (16%), 0/2 tablespaces
100/300 kB (33%), 0/2 tablespaces
100/300 kB (33%), 1/2 tablespaces
250/300 kB (83%), 1/2 tablespaces
310/310 kB (100%), 1/2 tablespaces
310/310 kB (100%), 2/2 tablespaces
";
        assert_eq!(played(Verbosity::Quiet, Screen::Log), lines);
    }

    #[test]
    fn on_a_terminal_only_the_last_line_stays() {
        let quiet = played(Verbosity::Quiet, Screen::Terminal);
        assert_eq!(
            quiet,
            played(Verbosity::Quiet, Screen::Log).trim_end().replace('\n', "\r") + "\n"
        );
    }

    #[test]
    fn verbose_lines_name_the_file_and_cover_it_at_the_end() {
        let all = played(Verbosity::Verbose, Screen::Log);
        let lines: Vec<&str> = all.lines().collect();
        let name = format!("(o/16384.tar{})", " ".repeat(24));
        assert_eq!(lines[0], format!(" 50/300 kB (16%), 0/2 tablespaces {name}"));
        assert_eq!(lines[2], format!("100/300 kB (33%), 1/2 tablespaces {name}"));
        assert_eq!(lines[5], format!("310/310 kB (100%), 2/2 tablespaces {}", " ".repeat(40)));
    }
}
