//! Statistics of norms: mean and squared deviations of runs of values, merged in a fixed order.

use crate::channels::Statistics;
use crate::vector::{Vector, vectorized};

/// Values whose statistics are computed in f32 before they are merged in f64. Few enough that
/// rounding is invisible, and that a second pass finds them in the cache.
const RUN: usize = 4096;

/// Number, mean and sum of squared deviations of values. They merge without the loss of digits that
/// E\[x²\] − E\[x\]² has (Chan, Golub, LeVeque 1979).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Moments {
    /// Number of values.
    pub count: f64,
    /// Their mean.
    pub mean: f64,
    /// Sum of the squared deviations from the mean.
    pub squares: f64,
}

impl Moments {
    /// Returns the statistics of both sets of values.
    pub fn merge(self, other: Moments) -> Moments {
        let count = self.count + other.count;
        if count == 0.0 {
            return self;
        }
        let (apart, share) = (other.mean - self.mean, other.count / count);
        Moments {
            count,
            mean: self.mean + apart * share,
            squares: self.squares + other.squares + apart * apart * self.count * share,
        }
    }

    /// Returns the statistics of a group of channels for a norm.
    pub fn statistics(self, epsilon: f32) -> Statistics {
        let variance = self.squares / self.count + f64::from(epsilon);
        Statistics { mean: self.mean as f32, inverse_deviation: (1.0 / variance.sqrt()) as f32 }
    }

    /// Merges the statistics of a list, in order.
    pub fn merge_all(list: impl IntoIterator<Item = Moments>) -> Moments {
        list.into_iter().fold(Moments::default(), Moments::merge)
    }

    /// Merges the statistics of the parts of every channel, in order; `parts` is
    /// `[part][channel]`.
    pub fn merge_parts(parts: &[Vec<Moments>]) -> Vec<Moments> {
        let channels = parts.first().map_or(0, Vec::len);
        let of_channel = |c| Moments::merge_all(parts.iter().map(|part: &Vec<Moments>| part[c]));
        (0..channels).map(of_channel).collect()
    }

    /// Computes the statistics of values, run by run.
    pub fn of(values: &[f32]) -> Moments {
        Moments::merge_all(values.chunks(RUN).map(of_run))
    }
}

vectorized! {
    fn of_run(values: &[f32]) -> Moments = of_run_by, 1
}

/// Sums the values, then the squares of their distances from the mean.
#[inline(always)]
fn of_run_by<V: Vector>(values: &[f32]) -> Moments {
    let count = values.len() as f64;
    let mean = sum_of::<V>(values, |x| x, |x| x) / count;
    let (center, centers) = (mean as f32, V::splat(mean as f32));
    let squares = sum_of::<V>(
        values,
        |x| {
            let apart = x.sub(centers);
            apart.mul(apart)
        },
        |x| (x - center) * (x - center),
    );
    // The deviations are from the rounded mean.
    let rounding = mean - f64::from(center);
    Moments { count, mean, squares: squares - count * rounding * rounding }
}

/// Sums `map` of all values; `map_one` is the same for the values after the last whole vector.
#[inline(always)]
fn sum_of<V: Vector>(values: &[f32], map: impl Fn(V) -> V, map_one: impl Fn(f32) -> f32) -> f64 {
    // Two sums hide the latency of an addition.
    let mut sums = [V::splat(0.0); 2];
    let pairs = values.chunks_exact(2 * V::LANES);
    let rest: f64 = pairs.remainder().iter().map(|&x| f64::from(map_one(x))).sum();
    for pair in pairs {
        let (first, second) = pair.split_at(V::LANES);
        sums[0] = sums[0].add(map(V::load(first)));
        sums[1] = sums[1].add(map(V::load(second)));
    }
    f64::from(sums[0].add(sums[1]).sum()) + rest
}
