//! [`Rate`]: bytes a second that a path delivers.

/// Smoothed from samples none of which can be more than the truth by much.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    value: Option<f64>,
    /// The sample before, when it was far below what was believed.
    low: Option<f64>,
}

impl Rate {
    /// Takes a sample in; `late` when pictures wait much longer than they should.
    pub(super) fn add(&mut self, sample: f64, late: bool) {
        let Some(value) = self.value else {
            self.value = Some(sample);
            return;
        };
        let low = (late && sample < value * 0.7).then_some(sample);
        let value = match (self.low, low) {
            // two of them are no accident: the path became slower
            (Some(before), Some(low)) => {
                self.low = None;
                before.max(low)
            }
            _ => {
                self.low = low;
                let weight = if sample > value || low.is_some() { 0.5 } else { 0.2 };
                value + (sample - value) * weight
            }
        };
        self.value = Some(value);
    }

    /// What is believed; while it is not known whether the last sample was an accident, that one.
    pub(super) fn get(&self) -> Option<f64> {
        self.low.or(self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_late_samples_cut_at_once() {
        let mut rate = Rate::default();
        rate.add(1000.0, false);
        rate.add(100.0, true);
        assert_eq!(rate.get(), Some(100.0));
        rate.add(90.0, true);
        assert_eq!(rate.get(), Some(100.0));
        (0..8).for_each(|_| rate.add(1000.0, false));
        assert!(rate.get().unwrap() > 990.0);
    }
}
