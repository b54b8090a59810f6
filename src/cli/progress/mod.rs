//! Showing how far a backup or its verification is: as the originals do, with bars, or as JSON.

mod bars;
mod json;
mod line;
mod verifying;

use std::io::{self, IsTerminal as _, Stdout, Write};
use std::sync::Arc;
use std::time::Instant;

use indicatif::ProgressDrawTarget;

pub use bars::ProgressBars;
pub use json::ProgressObjects;
pub use line::{ProgressLine, Screen};
pub use verifying::{Share, VerifyDisplay, VerifyLine};

use super::args::{BasebackupRequest, ReportForm, ShowProgress};
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
    /// As JSON objects.
    Objects(ProgressObjects<Stdout>),
}

impl ProgressDisplay {
    /// Chooses the display that suits the request, the program's name and standard error.
    pub fn choose(program: &Program, request: &BasebackupRequest, counters: Arc<Progress>) -> Self {
        let is_terminal = io::stderr().is_terminal();
        match (request.progress, program.role()) {
            (ShowProgress::No, _) => ProgressDisplay::None,
            (ShowProgress::Yes, _) if request.report == ReportForm::Json => {
                ProgressDisplay::Objects(ProgressObjects::new(counters, io::stdout()))
            }
            (ShowProgress::Yes, Role::Native) if is_terminal => {
                let bars = ProgressBars::new(counters, ProgressDrawTarget::stderr());
                ProgressDisplay::Bars(Box::new(bars))
            }
            (ShowProgress::Yes, Role::Native | Role::DropIn(_)) => {
                let screen = if is_terminal { Screen::Terminal } else { Screen::Log };
                ProgressDisplay::Line(ProgressLine::new(counters, request.verbosity, screen))
            }
        }
    }

    /// Shows what an event changes; lines go to `out`.
    pub fn handle(&mut self, event: &Event, out: &mut impl Write) {
        match self {
            ProgressDisplay::None => {}
            ProgressDisplay::Line(line) => line.handle(event, out),
            ProgressDisplay::Bars(bars) => bars.handle(event),
            ProgressDisplay::Objects(objects) => objects.handle(event),
        }
    }

    /// Shows what the counters say; lines go to `out`.
    pub fn tick(&mut self, now: Instant, out: &mut impl Write) {
        match self {
            ProgressDisplay::None => {}
            ProgressDisplay::Line(line) => line.tick(now, out),
            ProgressDisplay::Bars(bars) => bars.tick(),
            ProgressDisplay::Objects(objects) => objects.tick(now),
        }
    }

    /// Runs `print` so that its text does not mix with the display.
    pub fn suspend<R>(&self, print: impl FnOnce() -> R) -> R {
        match self {
            ProgressDisplay::None | ProgressDisplay::Line(_) | ProgressDisplay::Objects(_) => {
                print()
            }
            ProgressDisplay::Bars(bars) => bars.suspend(print),
        }
    }
}
