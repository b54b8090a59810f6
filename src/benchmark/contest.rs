//! Runs that take turns.

use super::comparison::{Comparison, Side};
use super::error::BenchError;
use super::sample::Sample;

impl Side {
    /// The baseline first; the two change places from round to round, for the one may warm or wear what the
    /// next one finds.
    fn place(self, round: usize) -> usize {
        match self {
            Side::Baseline => 0,
            Side::Original => 1 + round % 2,
            Side::Ours => 2 - round % 2,
        }
    }
}

/// Lets every side of a comparison run once a round.
///
/// # Errors
/// That of the first run that failed.
pub(super) fn hold(
    comparison: &mut Comparison,
    sides: &[Side],
    rounds: usize,
    mut run: impl FnMut(Side, usize) -> Result<Sample, BenchError>,
) -> Result<(), BenchError> {
    comparison.sides = sides.iter().map(|side| (*side, Vec::new())).collect();
    for round in 0..rounds {
        comparison.sides.sort_by_key(|(side, _)| side.place(round));
        for (side, samples) in &mut comparison.sides {
            samples.push(run(*side, round)?);
        }
    }
    comparison.sides.sort_by_key(|(side, _)| side.place(0));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::benchmark::Part;

    #[test]
    fn the_two_take_turns_who_is_first_and_the_baseline_always_is() {
        let mut comparison =
            Comparison { part: Part::BaseBackup, row: "plain", bytes: None, sides: Vec::new() };
        let mut order = Vec::new();
        let sides = [Side::Ours, Side::Baseline, Side::Original];
        hold(&mut comparison, &sides, 2, |side, round| {
            order.push((round, side));
            Ok(Sample::default())
        })
        .unwrap();
        let expected = [
            (0, Side::Baseline),
            (0, Side::Original),
            (0, Side::Ours),
            (1, Side::Baseline),
            (1, Side::Ours),
            (1, Side::Original),
        ];
        assert_eq!(order, expected);
    }
}
