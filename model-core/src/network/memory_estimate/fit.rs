//! Finds the largest volume, depth and width that a GPU can train.

use serde::Serialize;

use super::{MAX_AXIS, Settings, can_rewind, check, num_parameters, simulate, state_bytes};
use crate::Result;
use crate::network::config::{BackwardMode, UNetConfig};

/// Upper bound of the blocks that are tried: that of a legal network.
const MAX_BLOCKS: usize = 64;

/// The largest cube, depth and width that fit, each with the others as given; `None` if not even
/// the smallest fits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fit {
    /// The mode.
    pub mode: BackwardMode,
    /// The memory budget.
    pub budget_bytes: u64,
    /// The edge of the largest cube, in voxels.
    pub cube: Option<LargestFit<usize>>,
    /// Most blocks per level of the encoder, and of a decoder with as many, at the given size;
    /// `None` also for networks without blocks.
    pub blocks: Option<LargestFit<usize>>,
    /// Largest multiple of the widths, at the given size.
    pub width: Option<LargestFit<f64>>,
}

/// A largest value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LargestFit<T> {
    /// The largest value that fits.
    pub value: T,
    /// Whether larger values were not tried.
    pub or_more: bool,
}

/// Finds the largest cube, depth and width whose step, with the optimizer's state, fits a budget.
/// The variational branch is omitted, since it is built for one size.
///
/// # Errors
/// [`crate::Error::Network`] if the configuration cannot be built or does not accept `dims`.
pub fn fit(
    config: &UNetConfig,
    dims: [usize; 3],
    settings: Settings,
    budget_bytes: u64,
    mode: BackwardMode,
) -> Result<Fit> {
    check(config, dims, settings.batch)?;
    let config = config.for_inference().in_mode(mode);
    let fits = |config: &UNetConfig, dims| {
        let peak = simulate(config, dims, settings).peak.into_iter().max().unwrap_or(0);
        peak.saturating_add(state_bytes(num_parameters(config))) <= budget_bytes
    };
    let multiple = config.size_multiple();
    let cube = largest(2, MAX_AXIS / multiple, |n| fits(&config, [n * multiple; 3]));
    let blocks = match can_rewind(&config) {
        true => largest(1, MAX_BLOCKS, |blocks| {
            config.with(|deeper| deeper.blocks = blocks).is_ok_and(|deeper| fits(&deeper, dims))
        }),
        false => None,
    };
    let wide: Vec<(f64, UNetConfig)> = widths(&config);
    let width = largest(1, wide.len(), |n| fits(&wide[n - 1].1, dims));
    Ok(Fit {
        mode,
        budget_bytes,
        cube: cube.map(|found| LargestFit { value: found.value * multiple, ..found }),
        blocks,
        width: width
            .map(|LargestFit { value, or_more }| LargestFit { value: wide[value - 1].0, or_more }),
    })
}

/// Returns the largest number of a range that passes, if all smaller ones pass too.
fn largest(first: usize, last: usize, passes: impl Fn(usize) -> bool) -> Option<LargestFit<usize>> {
    if first > last || !passes(first) {
        return None;
    }
    let (mut good, mut bad) = (first, last + 1);
    while bad - good > 1 {
        // Doubles first, since large candidates are slow to evaluate.
        let middle = (good + (bad - good) / 2).min(2 * good);
        if passes(middle) { good = middle } else { bad = middle }
    }
    Some(LargestFit { value: good, or_more: good == last })
}

/// Returns the networks with proportional widths that can be built, narrowest first.
fn widths(config: &UNetConfig) -> Vec<(f64, UNetConfig)> {
    let first = config.widths[0];
    let scaled = |n: usize| {
        let exact = config.widths.iter().all(|width| (width * n).is_multiple_of(first));
        let widths = config.widths.iter().map(|width| width * n / first).collect();
        let config = config.with(|wider| wider.widths = widths).ok().filter(|_| exact)?;
        Some((n as f64 / first as f64, config))
    };
    (2..=16 * first).step_by(2).filter_map(scaled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_that_passes_is_found() {
        let found = |value, or_more| Some(LargestFit { value, or_more });
        assert_eq!(largest(1, 100, |n| n <= 37), found(37, false));
        assert_eq!(largest(1, 100, |_| true), found(100, true));
        assert_eq!(largest(2, 100, |_| false), None);
    }
}
