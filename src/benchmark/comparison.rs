//! Samples of both sides, and what they say.

use super::config::Part;
use super::sample::Sample;

/// Who ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What can be reached at best.
    Baseline,
    /// PostgreSQL's program.
    Original,
    /// This program.
    Ours,
}

/// A row: the same job done by each side, once a round.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// What it belongs to.
    pub part: Part,
    /// Its name, unique within the part.
    pub row: &'static str,
    /// How many bytes the job has, as the server sends them before any compression.
    pub bytes: Option<u64>,
    /// The samples of each side that took part, in the order of the rounds.
    pub sides: Vec<(Side, Vec<Sample>)>,
}

/// The middle and the ends of a list of numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle value, or the mean of both in the middle.
    pub median: f64,
    /// The lowest.
    pub lowest: f64,
    /// The highest.
    pub highest: f64,
}

impl Spread {
    /// Returns that of finite numbers; `None` if there is none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let above = values.get(values.len() / 2)?;
        let below = values.get((values.len() - 1) / 2)?;
        Some(Spread {
            median: f64::midpoint(*below, *above),
            lowest: *values.first()?,
            highest: *values.last()?,
        })
    }
}

impl Comparison {
    /// Returns the samples of a side; none if it did not take part.
    pub fn samples(&self, side: Side) -> &[Sample] {
        let found = self.sides.iter().find(|(of, _)| *of == side);
        found.map_or(&[], |(_, samples)| samples)
    }

    /// Returns the spread of one value of a side's samples.
    pub fn spread(&self, side: Side, value: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.samples(side).iter().filter_map(value))
    }

    /// Returns how many times as fast ours was as another side, round by round.
    pub fn speed_against(&self, other: Side) -> Option<Spread> {
        let pairs = self.samples(Side::Ours).iter().zip(self.samples(other));
        Spread::of(pairs.map(|(ours, other)| ours.speed() / other.speed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(original: &[f64], ours: &[f64]) -> Comparison {
        let samples = |seconds: &[f64]| {
            seconds
                .iter()
                .map(|seconds| Sample { seconds: *seconds, ..Sample::default() })
                .collect()
        };
        Comparison {
            part: Part::BaseBackup,
            row: "plain",
            bytes: None,
            sides: vec![(Side::Original, samples(original)), (Side::Ours, samples(ours))],
        }
    }

    #[test]
    fn the_median_of_an_even_number_of_values_is_between_those_in_the_middle() {
        let spread = |values: &[f64]| Spread::of(values.iter().copied());
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[f64::NAN]), None);
        assert_eq!(spread(&[2.0]), Some(Spread { median: 2.0, lowest: 2.0, highest: 2.0 }));
        let even = spread(&[4.0, 1.0, 2.0, 3.0]);
        assert_eq!(even, Some(Spread { median: 2.5, lowest: 1.0, highest: 4.0 }));
    }

    #[test]
    fn ratios_are_those_of_the_same_round() {
        let ratio = comparison(&[2.0, 30.0, 3.0], &[1.0, 10.0, 1.0]).speed_against(Side::Original);
        assert_eq!(ratio, Some(Spread { median: 3.0, lowest: 2.0, highest: 3.0 }));
        assert_eq!(comparison(&[2.0], &[1.0]).speed_against(Side::Baseline), None);
    }

    #[test]
    fn commits_count_where_there_are_some() {
        let sample = Sample { seconds: 8.0, commits_per_second: Some(500.0), ..Sample::default() };
        assert_eq!(sample.speed(), 500.0);
    }
}
