//! A histogram that any thread adds to without a lock.
//!
//! The library's own takes a lock for each value, and holds it while it is written out; a scrape must never hold up a
//! request. Values are whole numbers of a small unit (microseconds, bytes, seconds), so that the sum is exact. A scrape may
//! see a value in its bucket and not yet in the sum: the count is that of the buckets, so it never contradicts them.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeLabelSet, MetricEncoder, NoLabelSet};

/// Upper bounds of the buckets, and what they are counted in.
#[derive(Debug)]
pub(super) struct Buckets {
    /// Ascending; a value that is equal to its bound is inside.
    bounds: &'static [u32],
    /// How many of the small unit make the metric's own.
    scale: f64,
}

/// Durations that a sender or the app decides, in microseconds. Senders give up after 3 s (Slack), 10 s (GitHub), 15 s (Svix)
/// or 30 s: those are bounds, so that "answered in time" can be read off exactly; below, an app's handler is somewhere
/// between some milliseconds and a second.
pub(super) const WEBHOOK: Buckets = Buckets {
    bounds: &[
        2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 3_000_000, 5_000_000, 10_000_000,
        15_000_000, 30_000_000,
    ],
    scale: 1e6,
};
/// What hookward adds, in microseconds: tens of them where all is in memory, about a millisecond with a store on the network,
/// and seconds where a delivery waits for the same one.
pub(super) const OWN: Buckets = Buckets {
    bounds: &[50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000, 5_000_000],
    scale: 1e6,
};
/// Bytes: events are some hundred bytes to some KiB, `max_body` is 1 MiB unless set, and GitHub sends up to 25 MB.
pub(super) const BODY: Buckets =
    Buckets { bounds: &[256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 33_554_432], scale: 1.0 };
/// Whole seconds, as timestamps are. Most are at 0 or 1; 300 is the usual tolerance, and 240 the warning before it.
pub(super) const SKEW: Buckets = Buckets { bounds: &[0, 1, 2, 5, 10, 30, 60, 120, 240, 300, 600], scale: 1.0 };

/// Values by bucket, and their sum.
#[derive(Debug)]
pub(super) struct Histogram {
    buckets: &'static Buckets,
    /// One more than there are bounds.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    pub(super) fn new(buckets: &'static Buckets) -> Self {
        let counts = (0..=buckets.bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { buckets, counts, sum: AtomicU64::new(0) }
    }

    /// Adds a value, in the small unit.
    pub(super) fn observe(&self, value: u64) {
        let bucket = self.buckets.bounds.partition_point(|bound| u64::from(*bound) < value);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
            self.sum.fetch_add(value, Ordering::Relaxed);
        }
    }

    /// Writes it with these labels.
    pub(super) fn encode(&self, encoder: &mut MetricEncoder<'_>, labels: &impl EncodeLabelSet) -> fmt::Result {
        let scale = self.buckets.scale;
        let bounds = self.buckets.bounds.iter().map(|bound| f64::from(*bound) / scale).chain([f64::INFINITY]);
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().fold(0_u64, |count, (_, more)| count.saturating_add(*more));
        let sum = float(self.sum.load(Ordering::Relaxed)) / scale;
        encoder.encode_family(labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

/// The nearest float.
fn float(number: u64) -> f64 {
    let low = u32::try_from(number & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    let high = u32::try_from(number >> 32).unwrap_or(u32::MAX);
    f64::from(high).mul_add(4_294_967_296.0, f64::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(histogram: &Histogram) -> Vec<u64> {
        histogram.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }

    #[test]
    fn a_value_that_is_equal_to_a_bound_is_inside() {
        static BUCKETS: Buckets = Buckets { bounds: &[0, 10, 20], scale: 1.0 };
        let histogram = Histogram::new(&BUCKETS);
        for (value, expected) in
            [(0, [1, 0, 0, 0]), (1, [1, 1, 0, 0]), (10, [1, 2, 0, 0]), (11, [1, 2, 1, 0]), (21, [1, 2, 1, 1])]
        {
            histogram.observe(value);
            assert_eq!(counts(&histogram), expected, "after {value}");
        }
        assert_eq!(histogram.sum.load(Ordering::Relaxed), 43);
    }

    #[test]
    fn bounds_ascend() {
        for buckets in [&WEBHOOK, &OWN, &BODY, &SKEW] {
            assert!(buckets.bounds.is_sorted_by(|one, other| one < other), "{buckets:?}");
        }
    }

    #[test]
    fn a_number_beyond_32_bits_is_the_nearest_float() {
        for (number, expected) in [(0, 0.0), (4_294_967_295, 4_294_967_295.0), (4_294_967_296, 4_294_967_296.0)] {
            assert!((float(number) - expected).abs() < f64::EPSILON, "{number}");
        }
        assert!((float(1 << 40) - 1_099_511_627_776.0).abs() < f64::EPSILON);
    }
}
