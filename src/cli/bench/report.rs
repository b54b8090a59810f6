//! What `pgsiphon bench --json` prints. The names of the fields are what other programs rely on: they may
//! become more, not others.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use crate::benchmark::{Comparison, Machine, Sample, Side, Spread};
use crate::cli::report::write_object;

/// What was measured.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename = "report")]
pub(super) struct BenchReport<'a> {
    machine: Machine,
    rounds: usize,
    rows: Vec<RowObject<'a>>,
    seconds: f64,
}

/// A row; each side's samples are in the order of the rounds.
#[derive(Clone, Debug, Serialize)]
struct RowObject<'a> {
    part: &'static str,
    row: &'static str,
    bytes: Option<u64>,
    baseline: &'a [Sample],
    original: &'a [Sample],
    ours: &'a [Sample],
    /// How many times as fast ours was, round by round.
    speed_to_baseline: Option<SpreadObject>,
    speed_to_original: Option<SpreadObject>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct SpreadObject {
    median: f64,
    lowest: f64,
    highest: f64,
}

impl<'a> BenchReport<'a> {
    /// Reports what was measured.
    pub(super) fn new(
        machine: Machine,
        rounds: usize,
        comparisons: &'a [Comparison],
        elapsed: Duration,
    ) -> Self {
        let rows = comparisons.iter().map(RowObject::from).collect();
        BenchReport { machine, rounds, rows, seconds: elapsed.as_secs_f64() }
    }

    /// Writes the object and ends the line.
    ///
    /// # Errors
    /// If `out` fails.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        write_object(self, out)
    }
}

impl<'a> From<&'a Comparison> for RowObject<'a> {
    fn from(comparison: &'a Comparison) -> Self {
        RowObject {
            part: comparison.part.name(),
            row: comparison.row,
            bytes: comparison.bytes,
            baseline: comparison.samples(Side::Baseline),
            original: comparison.samples(Side::Original),
            ours: comparison.samples(Side::Ours),
            speed_to_baseline: comparison.speed_against(Side::Baseline).map(SpreadObject::from),
            speed_to_original: comparison.speed_against(Side::Original).map(SpreadObject::from),
        }
    }
}

impl From<Spread> for SpreadObject {
    fn from(Spread { median, lowest, highest }: Spread) -> Self {
        SpreadObject { median, lowest, highest }
    }
}
