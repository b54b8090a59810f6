//! The tables that `pgsiphon bench` prints.

use std::fmt::Write as _;

use crate::benchmark::{Comparison, Part, Sample, Side, Spread};

/// What is shown of a side's samples.
struct Column {
    head: &'static str,
    width: usize,
    cell: fn(&Comparison, Side) -> Option<String>,
}

const SECONDS: Column = Column {
    head: "seconds",
    width: 19,
    cell: |row, side| Some(with_ends(row.spread(side, |sample| Some(sample.seconds))?, 2)),
};

const RATE: Column = Column {
    head: "MB/s",
    width: 7,
    cell: |row, side| {
        let seconds = row.spread(side, |sample| Some(sample.seconds))?.median;
        Some(format!("{:.0}", row.bytes? as f64 / 1e6 / seconds))
    },
};

const COMMITS: Column = Column {
    head: "commits/s",
    width: 19,
    cell: |row, side| Some(with_ends(row.spread(side, |sample| sample.commits_per_second)?, 0)),
};

const P99: Column = Column {
    head: "p99 ms",
    width: 8,
    cell: |row, side| decimals(row, side, 2, |sample| Some(sample.commit_p99_seconds? * 1e3)),
};

const CLIENT_CPU: Column = Column {
    head: "client CPU s",
    width: 14,
    cell: |row, side| decimals(row, side, 2, |sample| sample.client_cpu_seconds),
};

const SERVER_CPU: Column = Column {
    head: "server CPU s",
    width: 14,
    cell: |row, side| decimals(row, side, 2, |sample| sample.server_cpu_seconds),
};

const MEMORY: Column = Column {
    head: "peak MiB",
    width: 10,
    cell: |row, side| {
        decimals(row, side, 1, |sample| Some(sample.peak_memory_bytes? as f64 / 1_048_576.0))
    },
};

const STORED: Column = Column {
    head: "stored MB",
    width: 11,
    cell: |row, side| decimals(row, side, 0, |sample| Some(sample.stored_bytes? as f64 / 1e6)),
};

/// How many times as fast ours was as this side.
const RATIO: Column = Column {
    head: "pgsiphon to it",
    width: 19,
    cell: |row, side| match side {
        Side::Ours => None,
        Side::Baseline | Side::Original => Some(with_ends(row.speed_against(side)?, 2)),
    },
};

const ROW_WIDTH: usize = 18;
const SIDE_WIDTH: usize = 16;

fn columns(part: Part) -> &'static [Column] {
    const BACKUP: &[Column] = &[SECONDS, RATE, RATIO, CLIENT_CPU, SERVER_CPU, MEMORY, STORED];
    const VERIFY: &[Column] = &[SECONDS, RATE, RATIO, CLIENT_CPU, MEMORY];
    const STANDBY: &[Column] = &[COMMITS, P99, RATIO, CLIENT_CPU, SERVER_CPU, MEMORY];
    match part {
        Part::BaseBackup | Part::SmallFiles | Part::EmptyCluster | Part::CatchUp => BACKUP,
        Part::Verify => VERIFY,
        Part::Standby => STANDBY,
    }
}

/// Returns what a side is called in a part.
pub(super) fn side_name(side: Side, part: Part) -> &'static str {
    match (side, part) {
        (Side::Ours, _) => "pgsiphon",
        (Side::Original, Part::CatchUp | Part::Standby) => "pg_receivewal",
        (Side::Original, Part::Verify) => "pg_verifybackup",
        (Side::Original, Part::BaseBackup | Part::SmallFiles | Part::EmptyCluster) => {
            "pg_basebackup"
        }
        (Side::Baseline, Part::Standby) => "no standby",
        (Side::Baseline, Part::Verify) => "only read",
        (Side::Baseline, _) => "thrown away",
    }
}

/// Returns the heading of a part's table.
pub(super) fn head(part: Part) -> String {
    let mut text = format!("\n{:ROW_WIDTH$}{:SIDE_WIDTH$}", part.name(), "");
    for column in columns(part) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{:>width$}", column.head, width = column.width);
    }
    text.push('\n');
    text
}

/// Returns the lines of a row, one for each side.
pub(super) fn row(comparison: &Comparison) -> String {
    let mut text = String::new();
    let mut name = comparison.row;
    for (side, _) in &comparison.sides {
        let side_name = side_name(*side, comparison.part);
        let mut line = format!("{name:ROW_WIDTH$}{side_name:SIDE_WIDTH$}");
        for column in columns(comparison.part) {
            let cell = (column.cell)(comparison, *side).unwrap_or_default();
            let _ = write!(line, "{cell:>width$}", width = column.width);
        }
        text.push_str(line.trim_end());
        text.push('\n');
        name = "";
    }
    text
}

fn decimals(
    row: &Comparison,
    side: Side,
    decimals: usize,
    value: fn(&Sample) -> Option<f64>,
) -> Option<String> {
    Some(format!("{:.decimals$}", row.spread(side, value)?.median))
}

/// Writes the median, the lowest and the highest.
fn with_ends(Spread { median, lowest, highest }: Spread, decimals: usize) -> String {
    format!("{median:.decimals$} ({lowest:.decimals$}-{highest:.decimals$})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_a_line_for_each_side() {
        let sample = |seconds, peak| Sample {
            seconds,
            client_cpu_seconds: Some(seconds / 2.0),
            peak_memory_bytes: peak,
            stored_bytes: Some(64_000_000),
            ..Sample::default()
        };
        let comparison = Comparison {
            part: Part::BaseBackup,
            row: "plain",
            bytes: Some(2_000_000_000),
            sides: vec![
                (Side::Baseline, vec![Sample { seconds: 0.5, ..Sample::default() }]),
                (Side::Original, vec![sample(4.0, None), sample(2.0, Some(5 << 20))]),
                (Side::Ours, vec![sample(1.0, Some(30 << 20)), sample(1.0, Some(30 << 20))]),
            ],
        };
        let expected = "
base-backup                                   seconds   MB/s     pgsiphon to it  client CPU s  server CPU s  peak MiB  stored MB
plain             thrown away        0.50 (0.50-0.50)   4000   0.50 (0.50-0.50)
                  pg_basebackup      3.00 (2.00-4.00)    667   3.00 (2.00-4.00)          1.50                     5.0         64
                  pgsiphon           1.00 (1.00-1.00)   2000                             0.50                    30.0         64
";
        let printed = head(comparison.part) + &row(&comparison);
        assert_eq!(printed, expected);
    }

    #[test]
    fn a_standby_is_judged_by_commits() {
        let sample = Sample {
            seconds: 8.0,
            commits_per_second: Some(1234.0),
            commit_p99_seconds: Some(0.0125),
            ..Sample::default()
        };
        let comparison = Comparison {
            part: Part::Standby,
            row: "1-client",
            bytes: None,
            sides: vec![(Side::Baseline, vec![sample])],
        };
        let expected = "1-client          no standby         1234 (1234-1234)   12.50\n";
        assert_eq!(row(&comparison), expected);
    }
}
