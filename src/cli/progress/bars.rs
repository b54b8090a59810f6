//! Progress on a terminal as bars, drawn in place.

use std::sync::Arc;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::backup::{Event, Progress};

/// The bar of the data, while their total is known.
const RECEIVING: &str =
    "{prefix} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} ETA {eta} {msg}";
/// The same without a total.
const RECEIVING_UNKNOWN: &str = "{spinner} {prefix} {bytes} {bytes_per_sec} {msg}";
/// A phase that only passes.
const WAITING: &str = "{spinner} {prefix} ({elapsed})";
/// The WAL that comes over the second connection.
const WAL: &str = "  WAL {bytes}";

/// Draws bars for the phases of a backup.
#[derive(Debug)]
pub struct ProgressBars {
    counters: Arc<Progress>,
    screen: MultiProgress,
    data: ProgressBar,
    /// Present once WAL is streamed.
    wal: Option<ProgressBar>,
    phase: Phase,
}

/// What is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing to show.
    Idle,
    WaitingForCheckpoint,
    Receiving,
    WaitingForWal,
    Syncing,
}

impl ProgressBars {
    /// Shows what `counters` say on `target`.
    pub fn new(counters: Arc<Progress>, target: ProgressDrawTarget) -> Self {
        let screen = MultiProgress::with_draw_target(target);
        let data = screen.add(ProgressBar::no_length());
        ProgressBars { counters, screen, data, wal: None, phase: Phase::Idle }
    }

    /// Goes to the phase that an event begins.
    pub fn handle(&mut self, event: &Event) {
        match event {
            Event::WaitingForCheckpoint => self.enter(Phase::WaitingForCheckpoint),
            Event::ReceivingStarted => self.enter(Phase::Receiving),
            Event::StartingWalReceiver => self.add_wal(),
            Event::WaitingForWal => self.enter(Phase::WaitingForWal),
            Event::Syncing => self.enter(Phase::Syncing),
            Event::ReceivingCompleted | Event::Completed => self.enter(Phase::Idle),
            // The rest begins no phase.
            _ => {}
        }
    }

    /// Takes over the counters and draws what changed.
    pub fn tick(&mut self) {
        match self.phase {
            Phase::Idle => return,
            Phase::Receiving => self.show_received(),
            Phase::WaitingForCheckpoint | Phase::WaitingForWal | Phase::Syncing => self.data.tick(),
        }
        if let Some(wal) = &self.wal {
            wal.set_position(Progress::read(&self.counters.wal_bytes));
        }
    }

    /// Runs `print` while the bars are off the screen.
    pub fn suspend<R>(&self, print: impl FnOnce() -> R) -> R {
        self.screen.suspend(print)
    }

    /// Takes the bars off the screen.
    pub fn clear(&mut self) {
        self.enter(Phase::Idle);
        if let Some(wal) = self.wal.take() {
            wal.finish_and_clear();
        }
        // The screen is only decoration.
        let _ = self.screen.clear();
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        let prefix = match phase {
            Phase::Idle => return self.data.finish_and_clear(),
            Phase::WaitingForCheckpoint => "waiting for checkpoint",
            Phase::Receiving => "receiving",
            Phase::WaitingForWal => "waiting for WAL",
            Phase::Syncing => "syncing",
        };
        // Elapsed time and rate are those of the phase.
        self.data.reset();
        self.data.set_prefix(prefix);
        self.data.set_style(style(WAITING));
        if phase == Phase::Receiving {
            self.show_received();
        }
    }

    fn show_received(&self) {
        let total = Progress::read(&self.counters.total_bytes);
        let received = Progress::read(&self.counters.received_bytes);
        let tablespaces = Progress::read(&self.counters.tablespaces_total);
        let done = Progress::read(&self.counters.tablespaces_done);
        if total == 0 {
            self.data.set_style(style(RECEIVING_UNKNOWN));
        } else if self.data.length() != Some(total.max(received)) {
            // The server's estimate may be too small.
            self.data.set_length(total.max(received));
            self.data.set_style(style(RECEIVING));
        }
        if tablespaces > 0 {
            self.data.set_message(format!("tablespaces {done}/{tablespaces}"));
        }
        self.data.set_position(received);
    }

    fn add_wal(&mut self) {
        let wal = self.screen.add(ProgressBar::no_length());
        wal.set_style(style(WAL));
        self.wal = Some(wal);
    }
}

impl Drop for ProgressBars {
    fn drop(&mut self) {
        self.clear();
    }
}

pub(super) fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style.expect("the templates are constants that the tests draw").progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use indicatif::{InMemoryTerm, TermLike as _};

    use super::*;

    fn bars() -> (Arc<Progress>, InMemoryTerm, ProgressBars) {
        let counters = Arc::new(Progress::default());
        let screen = InMemoryTerm::new(10, 80);
        // Drawn at once, so that the test sees each state.
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(screen.clone()), 255);
        let bars = ProgressBars::new(Arc::clone(&counters), target);
        (counters, screen, bars)
    }

    fn lines(screen: &InMemoryTerm) -> Vec<String> {
        screen.contents().lines().map(str::to_owned).collect()
    }

    #[test]
    fn each_phase_shows_what_is_known_of_it() {
        let (counters, screen, mut bars) = bars();
        bars.handle(&Event::WaitingForCheckpoint);
        bars.tick();
        assert!(screen.contents().contains("waiting for checkpoint (0s)"), "{}", screen.contents());

        counters.total_bytes.store(8 << 20, Ordering::Relaxed);
        counters.tablespaces_total.store(2, Ordering::Relaxed);
        bars.handle(&Event::StartingWalReceiver);
        bars.handle(&Event::ReceivingStarted);
        Progress::add(&counters.received_bytes, 4 << 20);
        Progress::add(&counters.wal_bytes, 3 << 20);
        Progress::add(&counters.tablespaces_done, 1);
        bars.tick();
        let shown = lines(&screen);
        assert!(shown[0].starts_with("receiving [====="), "{shown:?}");
        assert!(shown[0].contains("] 4.00 MiB/8.00 MiB "), "{shown:?}");
        assert!(shown[0].ends_with(" tablespaces 1/2"), "{shown:?}");
        assert_eq!(shown[1], "  WAL 3.00 MiB");

        for (event, text) in
            [(Event::WaitingForWal, "waiting for WAL"), (Event::Syncing, "syncing")]
        {
            bars.handle(&event);
            bars.tick();
            assert!(lines(&screen)[0].contains(text), "{}", screen.contents());
        }
    }

    #[test]
    fn an_estimate_that_was_too_small_grows_with_the_data() {
        let (counters, screen, mut bars) = bars();
        counters.total_bytes.store(1 << 20, Ordering::Relaxed);
        bars.handle(&Event::ReceivingStarted);
        Progress::add(&counters.received_bytes, 2 << 20);
        bars.tick();
        assert!(screen.contents().contains("] 2.00 MiB/2.00 MiB "), "{}", screen.contents());
    }

    #[test]
    fn messages_are_printed_above_the_bars_and_nothing_stays_at_the_end() {
        let (counters, screen, mut bars) = bars();
        counters.total_bytes.store(1 << 20, Ordering::Relaxed);
        bars.handle(&Event::StartingWalReceiver);
        bars.handle(&Event::ReceivingStarted);
        bars.tick();
        bars.suspend(|| screen.write_line("prog: checkpoint completed")).unwrap();
        let shown = lines(&screen);
        assert_eq!(shown[0], "prog: checkpoint completed");
        assert!(shown[1].starts_with("receiving ["), "{shown:?}");
        drop(bars);
        assert_eq!(screen.contents(), "prog: checkpoint completed");
    }
}
