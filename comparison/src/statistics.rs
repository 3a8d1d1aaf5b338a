//! Numbers that were measured several times.

/// A median, and the range around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Measured {
    /// What was measured in some rounds; at least one.
    pub fn of(rounds: impl IntoIterator<Item = f64>) -> Self {
        let mut rounds: Vec<f64> = rounds.into_iter().collect();
        rounds.sort_by(f64::total_cmp);
        let middle = rounds.len() / 2;
        let median = if rounds.len() % 2 == 0 { (rounds[middle - 1] + rounds[middle]) / 2.0 } else { rounds[middle] };
        Self { median, least: rounds[0], most: rounds[rounds.len() - 1] }
    }

    /// What was measured once.
    pub fn once(value: f64) -> Self {
        Self { median: value, least: value, most: value }
    }

    /// By how much this is more than `base`, round by round.
    pub fn ratio(rounds: &[f64], base: &[f64]) -> Self {
        Self::of(rounds.iter().zip(base).map(|(value, base)| value / base))
    }
}

/// The value below which `share` (0 to 1) of the values are. Sorts them.
pub fn percentile(values: &mut [f64], share: f64) -> f64 {
    let at = ((values.len() as f64 * share) as usize).min(values.len() - 1);
    *values.select_nth_unstable_by(at, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Measured::of([5.0, 1.0, 2.0]), Measured { median: 2.0, least: 1.0, most: 5.0 });
        assert_eq!(Measured::of([4.0, 1.0]).median, 2.5);
        assert_eq!(Measured::ratio(&[2.0, 9.0, 8.0], &[1.0, 3.0, 4.0]).median, 2.0);
    }

    #[test]
    fn a_percentile_has_that_share_below_it() {
        let values: Vec<f64> = (0..1000).rev().map(f64::from).collect();
        for (share, value) in [(0.0, 0.0), (0.5, 500.0), (0.999, 999.0), (1.0, 999.0)] {
            assert_eq!(percentile(&mut values.clone(), share), value, "{share}");
        }
    }
}
