//! Runs that take turns, and the table of what came out.

use crate::support::{AnyError, median};

/// Who runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What both are held against.
    Baseline,
    /// The original.
    Original,
    /// Ours.
    Ours,
}

impl Side {
    /// Everybody.
    pub const ALL: &[Side] = &[Side::Baseline, Side::Original, Side::Ours];

    /// Those who receive.
    pub const BOTH: &[Side] = &[Side::Original, Side::Ours];

    fn turn(self, round: usize) -> usize {
        match self {
            Side::Baseline => 0,
            Side::Original => 1 + round % 2,
            Side::Ours => 2 - round % 2,
        }
    }
}

/// The samples of each side, one a round.
pub struct Contest<T> {
    samples: Vec<(Side, Vec<T>)>,
}

/// A column of a table.
pub struct Column<T> {
    /// Its head.
    pub title: &'static str,
    /// Its value of a sample; NaN where there is none.
    pub value: fn(&T) -> f64,
    /// How many decimals are shown.
    pub decimals: usize,
}

/// How contests are shown.
pub struct Table<T: 'static> {
    /// What the baseline is called.
    pub baseline: &'static str,
    /// What is shown of each sample.
    pub columns: &'static [Column<T>],
}

impl<T> Contest<T> {
    /// Runs every side once a round: the baseline, then the two in turns who is first.
    ///
    /// # Errors
    /// That of the first run that failed.
    pub fn hold(
        sides: &[Side],
        rounds: usize,
        mut run: impl FnMut(Side) -> Result<T, AnyError>,
    ) -> Result<Self, AnyError> {
        let mut samples: Vec<_> = sides.iter().map(|side| (*side, Vec::new())).collect();
        for round in 0..rounds {
            samples.sort_by_key(|(side, _)| side.turn(round));
            for (side, list) in &mut samples {
                let run =
                    run(*side).map_err(|error| format!("{side:?}, round {round}: {error}"))?;
                list.push(run);
            }
        }
        samples.sort_by_key(|(side, _)| side.turn(0));
        Ok(Contest { samples })
    }

    fn values(&self, side: Side, value: fn(&T) -> f64) -> Vec<f64> {
        let list = self.samples.iter().find(|(of, _)| *of == side);
        list.map(|(_, list)| list.iter().map(value).collect()).unwrap_or_default()
    }

    /// Returns ours divided by the original's, round by round.
    fn ratios(&self, value: fn(&T) -> f64) -> Vec<f64> {
        let ours = self.values(Side::Ours, value);
        let ratios = ours.iter().zip(self.values(Side::Original, value)).map(|(a, b)| a / b);
        ratios.filter(|ratio| ratio.is_finite()).collect()
    }
}

impl<T> Table<T> {
    /// Prints the heads of the columns.
    pub fn print_heads(&self) {
        print!("{:26}", "");
        self.columns.iter().for_each(|column| print!("{:>19}", column.title));
        println!();
    }

    /// Prints the medians of a contest, and the ratios.
    pub fn print(&self, row: &str, contest: &Contest<T>) {
        let mut row = row;
        for (side, _) in &contest.samples {
            let name = match side {
                Side::Baseline => self.baseline,
                Side::Original => "original",
                Side::Ours => "ours",
            };
            print!("{row:12}{name:14}");
            row = "";
            for column in self.columns {
                let median = median(contest.values(*side, column.value));
                print!("{:>19}", number(median, column.decimals));
            }
            println!();
        }
        self.print_ratios(contest);
    }

    fn print_ratios(&self, contest: &Contest<T>) {
        if contest.values(Side::Original, |_| 0.0).is_empty() {
            return;
        }
        print!("{:12}{:14}", "", "ratio");
        for column in self.columns {
            print!("{:>19}", spread(contest.ratios(column.value)));
        }
        println!();
    }
}

fn number(value: f64, decimals: usize) -> String {
    if value.is_nan() { "-".to_owned() } else { format!("{value:.decimals$}") }
}

/// Writes the median, the lowest and the highest.
fn spread(ratios: Vec<f64>) -> String {
    let lowest = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = ratios.iter().copied().fold(0.0, f64::max);
    let median = median(ratios);
    if median.is_nan() { "-".to_owned() } else { format!("{median:.2} ({lowest:.2}-{highest:.2})") }
}
