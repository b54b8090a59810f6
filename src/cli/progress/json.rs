//! Progress for programs: a JSON object a line.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backup::{Event, Progress};
use crate::cli::report::{Line, Phase, ProgressObject};

/// Lines within a phase come no faster than this.
const INTERVAL: Duration = Duration::from_secs(1);

/// Prints an object when a phase begins, and in between when bytes have come.
#[derive(Debug)]
pub struct ProgressObjects<W> {
    out: W,
    counters: Arc<Progress>,
    phase: Phase,
    printed_at: Option<Instant>,
    printed_bytes: u64,
}

impl<W: Write> ProgressObjects<W> {
    /// Prints what `counters` say to `out`.
    pub fn new(counters: Arc<Progress>, out: W) -> Self {
        ProgressObjects {
            out,
            counters,
            phase: Phase::WaitingForCheckpoint,
            printed_at: None,
            printed_bytes: 0,
        }
    }

    /// Prints the beginning of a phase, and the end of the data.
    pub fn handle(&mut self, event: &Event) {
        match event {
            Event::WaitingForCheckpoint => self.enter(Phase::WaitingForCheckpoint),
            Event::ReceivingStarted => self.enter(Phase::Receiving),
            Event::ReceivingCompleted => self.print(),
            Event::WaitingForWal => self.enter(Phase::WaitingForWal),
            Event::Syncing => self.enter(Phase::Syncing),
            // The rest begins no phase.
            _ => {}
        }
    }

    /// Prints if the last object is old enough and bytes have come since.
    pub fn tick(&mut self, now: Instant) {
        let printed_at = *self.printed_at.get_or_insert(now);
        if self.bytes() != self.printed_bytes && now.duration_since(printed_at) >= INTERVAL {
            self.print();
            self.printed_at = Some(now);
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.print();
    }

    fn print(&mut self) {
        self.printed_bytes = self.bytes();
        let counters = &self.counters;
        let known = |counter| Some(Progress::read(counter)).filter(|number| *number > 0);
        let object = ProgressObject {
            phase: self.phase,
            received_bytes: Progress::read(&counters.received_bytes),
            total_bytes: known(&counters.total_bytes),
            wal_bytes: Progress::read(&counters.wal_bytes),
            tablespaces_done: Progress::read(&counters.tablespaces_done),
            tablespaces_total: known(&counters.tablespaces_total),
        };
        // If nobody listens, the report at the end fails, and tells.
        let _ = Line::Progress(&object).write(&mut self.out);
    }

    fn bytes(&self) -> u64 {
        let received = Progress::read(&self.counters.received_bytes);
        received.saturating_add(Progress::read(&self.counters.wal_bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn objects_come_once_a_second_and_with_each_phase() {
        let counters = Arc::new(Progress::default());
        let mut out = Vec::new();
        let mut objects = ProgressObjects::new(Arc::clone(&counters), &mut out);
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        objects.handle(&Event::WaitingForCheckpoint);
        objects.tick(after(0));
        objects.tick(after(2000));
        counters.total_bytes.store(300, Ordering::Relaxed);
        counters.tablespaces_total.store(1, Ordering::Relaxed);
        objects.handle(&Event::ReceivingStarted);
        objects.handle(&Event::ArchiveStarted);
        Progress::add(&counters.received_bytes, 100);
        Progress::add(&counters.wal_bytes, 7);
        objects.tick(after(2250));
        Progress::add(&counters.received_bytes, 210);
        objects.tick(after(3000));
        Progress::add(&counters.tablespaces_done, 1);
        objects.handle(&Event::ReceivingCompleted);
        objects.handle(&Event::WaitingForWal);
        objects.handle(&Event::Syncing);
        objects.handle(&Event::Completed);
        let line = |phase: &str, received: u64, total: &str, wal: u64, done: u64, all: &str| {
            format!(
                "{{\"type\":\"progress\",\"phase\":\"{phase}\",\"received_bytes\":{received},\
                 \"total_bytes\":{total},\"wal_bytes\":{wal},\"tablespaces_done\":{done},\
                 \"tablespaces_total\":{all}}}\n"
            )
        };
        let lines = [
            line("waiting_for_checkpoint", 0, "null", 0, 0, "null"),
            line("receiving", 0, "300", 0, 0, "1"),
            line("receiving", 100, "300", 7, 0, "1"),
            line("receiving", 310, "300", 7, 1, "1"),
            line("waiting_for_wal", 310, "300", 7, 1, "1"),
            line("syncing", 310, "300", 7, 1, "1"),
        ];
        assert_eq!(String::from_utf8(out).unwrap(), lines.concat());
    }
}
