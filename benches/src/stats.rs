//! Many measurements of one thing, and the few figures that describe them.

use std::time::Duration;

/// Measurements of one thing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<Duration>);

/// What describes measurements. The median and not the mean, because another program on the machine makes a few of them arbitrarily
/// long; the 10th and the 90th percentile, to show how far they can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    /// A tenth took less.
    pub(crate) p10: Duration,
    /// Half took less.
    pub(crate) median: Duration,
    /// A tenth took more.
    pub(crate) p90: Duration,
    /// How many there were.
    pub(crate) count: usize,
}

impl Samples {
    /// Adds one.
    pub(crate) fn push(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    /// Adds all of `other`.
    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// What describes them; `None` if there are none.
    pub(crate) fn summary(&self) -> Option<Summary> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        Some(Summary {
            p10: quantile(&sorted, 0.1)?,
            median: quantile(&sorted, 0.5)?,
            p90: quantile(&sorted, 0.9)?,
            count: sorted.len(),
        })
    }
}

impl Summary {
    /// How many times as long as `limit` it takes, by the medians.
    pub(crate) fn times(&self, limit: Duration) -> f64 {
        self.median.as_secs_f64() / limit.as_secs_f64()
    }
}

/// The value at `share` of the way through `sorted`, between two neighbours in proportion (R's type 7).
fn quantile(sorted: &[Duration], share: f64) -> Option<Duration> {
    let place = share * sorted.len().checked_sub(1)? as f64;
    let (below, between) = (place.floor(), place.fract());
    let low = *sorted.get(below as usize)?;
    let high = sorted.get(below as usize + 1).copied().unwrap_or(low);
    Some(low + (high - low).mul_f64(between))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(micros: impl IntoIterator<Item = u64>) -> Samples {
        Samples(micros.into_iter().map(Duration::from_micros).collect())
    }

    fn figures(samples: &Samples) -> [u128; 3] {
        let Summary { p10, median, p90, .. } = samples.summary().unwrap();
        [p10.as_micros(), median.as_micros(), p90.as_micros()]
    }

    #[test]
    fn percentiles_are_where_they_belong_whatever_the_order() {
        assert_eq!(figures(&samples(0..=100)), [10, 50, 90]);
        assert_eq!(figures(&samples((0..=100).rev())), [10, 50, 90]);
    }

    #[test]
    fn between_two_samples_it_is_in_proportion() {
        assert_eq!(figures(&samples([100, 200])), [110, 150, 190]);
        assert_eq!(figures(&samples([10, 20, 30, 1000])), [13, 25, 709]);
    }

    #[test]
    fn one_sample_is_every_percentile_and_none_is_nothing() {
        assert_eq!(figures(&samples([7])), [7, 7, 7]);
        assert_eq!(Samples::default().summary(), None);
    }

    #[test]
    fn a_few_long_ones_do_not_move_the_median() {
        let mut quiet = samples([10; 95]);
        quiet.extend(samples([1_000_000; 5]));
        assert_eq!(figures(&quiet), [10, 10, 10]);
        assert_eq!(quiet.summary().unwrap().count, 100);
    }

    #[test]
    fn a_ratio_is_of_medians() {
        let summary = samples([10, 30, 90]).summary().unwrap();
        assert_eq!(summary.times(Duration::from_micros(20)), 1.5);
    }
}
