//! The noise model: what pairs of times, taken in turns, say about a slow-down.
//!
//! Nothing is assumed about the noise but that it does not know which build runs: swapping the two times of a pair is
//! then as likely as not, so every pattern of signs of the differences is equally likely when both builds are the same.
//! The statistic is the sum of the positive differences, none of which counts for more than twice the middle one, so
//! that a disturbed round is no more than one of many. Its distribution over all 2^n patterns is counted, not
//! estimated. The size of the change is the Hodges-Lehmann estimate, its range that of Wilcoxon's signed ranks.

/// Into how many steps differences are rounded, so that patterns can be counted.
const STEPS: f64 = 32.0;

/// What pairs say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Evidence {
    /// How much slower the second is, as a ratio: 0.03 is 3 %.
    pub(crate) change: f64,
    /// Where the true change is, 99 times in 100.
    pub(crate) range: [f64; 2],
    /// How likely such pairs are, or ones that look slower still, if nothing changed.
    pub(crate) chance: f64,
}

/// Each pair is a time before and a time after, of the same round.
pub(crate) fn weigh(pairs: &[(f64, f64)]) -> Evidence {
    let mut logs: Vec<f64> = pairs
        .iter()
        .map(|(before, after)| (after / before).ln())
        .collect();
    logs.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let weights: Vec<usize> = logs.iter().map(|log| weight(*log, &logs)).collect();
    let slower: usize = logs
        .iter()
        .zip(&weights)
        .filter(|(log, _)| **log > 0.0)
        .map(|(_, weight)| weight)
        .sum();
    let chance = patterns(&weights).iter().skip(slower).sum::<f64>().min(1.0);
    let ranks = patterns(&(1..=logs.len()).collect::<Vec<_>>());
    let mut averages: Vec<f64> = Vec::with_capacity(logs.len() * (logs.len() + 1) / 2);
    for (i, a) in logs.iter().enumerate() {
        averages.extend(logs[i..].iter().map(|b| f64::midpoint(*a, *b)));
    }
    averages.sort_by(f64::total_cmp);
    let cut = outside(&ranks, 0.005).min(averages.len().saturating_sub(1) / 2);
    let at = |index: usize| averages.get(index).map_or(0.0, |log| log.exp_m1());
    let (low, high) = ((averages.len().saturating_sub(1)) / 2, averages.len() / 2);
    Evidence {
        change: f64::midpoint(at(low), at(high)),
        range: [at(cut), at(averages.len().saturating_sub(1 + cut))],
        chance,
    }
}

/// How much a difference counts, from 0 to [`STEPS`].
fn weight(log: f64, sorted: &[f64]) -> usize {
    let cap = 2.0 * sorted[sorted.len() / 2].abs();
    if cap == 0.0 {
        return usize::from(log != 0.0);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most STEPS"
    )]
    let steps = ((log.abs() / cap).min(1.0) * STEPS).ceil() as usize;
    steps
}

/// Which share of all patterns of signs has which sum of positive weights.
fn patterns(weights: &[usize]) -> Vec<f64> {
    let mut shares = vec![0.0; weights.iter().sum::<usize>() + 1];
    shares[0] = 1.0;
    let mut most = 0;
    for weight in weights {
        most += weight;
        for sum in (0..=most).rev() {
            let with = if sum >= *weight { shares[sum - weight] } else { 0.0 };
            shares[sum] = f64::midpoint(shares[sum], with);
        }
    }
    shares
}

/// The largest sum below which no more than this share is.
fn outside(patterns: &[f64], share: f64) -> usize {
    let mut below = 0.0;
    for (sum, part) in patterns.iter().enumerate() {
        below += part;
        if below > share {
            return sum;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_are_those_of_the_tables() {
        // four pairs, all slower: one pattern of sixteen
        let pairs = [(1.0, 1.1), (1.0, 1.2), (1.0, 1.3), (1.0, 1.4)];
        assert_eq!(weigh(&pairs).chance, 1.0 / 16.0);
        let other_way = pairs.map(|(a, b)| (b, a));
        assert_eq!(weigh(&other_way).chance, 1.0);
        // ten equal differences, nine of them up: eleven patterns of 1024 have as many or more
        let mut pairs = vec![(1.0, 1.1); 10];
        pairs[4] = (1.1, 1.0);
        assert_eq!(weigh(&pairs).chance, 11.0 / 1024.0);
        // ranks as in Wilcoxon's table: of ten pairs a sum of 10 or less comes with 0.0420
        let ranks = patterns(&(1..=10).collect::<Vec<_>>());
        let chance: f64 = ranks.iter().take(11).sum();
        assert!((chance - 0.0420).abs() < 0.0001, "{chance}");
    }

    #[test]
    fn equal_times_are_no_evidence() {
        let evidence = weigh(&[(5.0, 5.0); 12]);
        assert_eq!(evidence.change, 0.0);
        assert!(evidence.chance > 0.3, "{evidence:?}");
    }

    #[test]
    fn the_size_does_not_mind_an_outlier() {
        let mut pairs = vec![(100.0, 103.0); 20];
        pairs[3].1 = 900.0;
        let evidence = weigh(&pairs);
        assert!((evidence.change - 0.03).abs() < 1e-9, "{evidence:?}");
        let [low, high] = evidence.range;
        assert!(low < 0.03 + 1e-9 && high > 0.03 - 1e-9, "{evidence:?}");
    }
}
