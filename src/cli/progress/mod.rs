//! Showing how far a backup is: as the original does, or with bars.

mod bars;
mod line;

use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;
use std::time::Instant;

use indicatif::ProgressDrawTarget;

pub use bars::ProgressBars;
pub use line::{ProgressLine, Screen};

use super::args::{ShowProgress, Verbosity};
use super::program::{Program, Role};
use crate::backup::{Event, Progress};

/// How progress is shown.
#[derive(Debug)]
pub enum ProgressDisplay {
    /// Not at all.
    None,
    /// As lines of numbers.
    Line(ProgressLine),
    /// As bars.
    Bars(Box<ProgressBars>),
}

impl ProgressDisplay {
    /// Chooses the display that suits the program's name and standard error.
    pub fn choose(
        program: &Program,
        progress: ShowProgress,
        verbosity: Verbosity,
        counters: Arc<Progress>,
    ) -> Self {
        let is_terminal = io::stderr().is_terminal();
        match (progress, program.role()) {
            (ShowProgress::No, _) => ProgressDisplay::None,
            (ShowProgress::Yes, Role::Native) if is_terminal => {
                let bars = ProgressBars::new(counters, ProgressDrawTarget::stderr());
                ProgressDisplay::Bars(Box::new(bars))
            }
            (ShowProgress::Yes, Role::Native | Role::DropIn) => {
                let screen = if is_terminal { Screen::Terminal } else { Screen::Log };
                ProgressDisplay::Line(ProgressLine::new(counters, verbosity, screen))
            }
        }
    }

    /// Shows what an event changes; lines go to `out`.
    pub fn handle(&mut self, event: &Event, out: &mut impl Write) {
        match self {
            ProgressDisplay::None => {}
            ProgressDisplay::Line(line) => line.handle(event, out),
            ProgressDisplay::Bars(bars) => bars.handle(event),
        }
    }

    /// Shows what the counters say; lines go to `out`.
    pub fn tick(&mut self, now: Instant, out: &mut impl Write) {
        match self {
            ProgressDisplay::None => {}
            ProgressDisplay::Line(line) => line.tick(now, out),
            ProgressDisplay::Bars(bars) => bars.tick(),
        }
    }

    /// Runs `print` so that its text does not mix with the display.
    pub fn suspend<R>(&self, print: impl FnOnce() -> R) -> R {
        match self {
            ProgressDisplay::None | ProgressDisplay::Line(_) => print(),
            ProgressDisplay::Bars(bars) => bars.suspend(print),
        }
    }
}
