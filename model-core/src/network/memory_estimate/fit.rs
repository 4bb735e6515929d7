//! Finds the largest volume, depth and width that a GPU can train.

use serde::Serialize;

use super::{MAX_AXIS, Settings, can_rewind, check, num_parameters, simulate, state_bytes};
use crate::Result;
use crate::network::config::{BackwardMode, UNetConfig};

/// Upper bound of the blocks that are tried: that of a legal network.
const MAX_BLOCKS: usize = 64;

/// The largest volume, depth and width that fit, each with the others as given; `None` if not even
/// the smallest fits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fit {
    /// The mode.
    pub mode: BackwardMode,
    /// The memory budget.
    pub budget_bytes: u64,
    /// The largest volume whose axes differ by at most one step of the sizes that the network takes, in
    /// voxels.
    pub volume: Option<LargestFit<[usize; 3]>>,
    /// Most levels at the given size. Each level below the network's own is twice as wide as the one
    /// above.
    pub levels: Option<LargestFit<usize>>,
    /// Most blocks per level of the encoder, and of a decoder with as many, at the given size;
    /// `None` also for networks without blocks.
    pub blocks: Option<LargestFit<usize>>,
    /// Largest multiple of the widths, at the given size. Norms have fewer groups where the widths
    /// require it.
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

/// Finds the largest volume, depth and width whose step, with the optimizer's state, fits a budget.
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
    let volume = |n: usize| [0, 1, 2].map(|axis| (n + axis) / 3 * multiple);
    let found_volume = largest(6, 3 * (MAX_AXIS / multiple), |n| fits(&config, volume(n)));
    let most_levels = (1..usize::BITS as usize).take_while(|levels| {
        deep(&config, *levels).is_ok_and(|deep| deep.check_size(dims).is_ok())
    });
    let levels = largest(1, most_levels.count(), |levels| {
        deep(&config, levels).is_ok_and(|deep| fits(&deep, dims))
    });
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
        volume: found_volume
            .map(|LargestFit { value, or_more }| LargestFit { value: volume(value), or_more }),
        levels,
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

/// Returns the network with a number of levels.
fn deep(config: &UNetConfig, levels: usize) -> Result<UNetConfig> {
    config.with(|deep| {
        let last = deep.widths[deep.widths.len() - 1];
        let further =
            (1..).map(|n| last.saturating_mul(1usize.checked_shl(n).unwrap_or(usize::MAX)));
        deep.widths = deep.widths.iter().copied().chain(further).take(levels).collect();
    })
}

/// Returns the networks with proportional widths that can be built, narrowest first.
fn widths(config: &UNetConfig) -> Vec<(f64, UNetConfig)> {
    let first = config.widths[0];
    let scaled = |n: usize| {
        let exact = config.widths.iter().all(|width| (width * n).is_multiple_of(first));
        let widths: Vec<usize> = config.widths.iter().map(|width| width * n / first).collect();
        let groups = config.groups.map(|groups| {
            (1..=groups).rev().find(|n| widths.iter().all(|width| (width / 2).is_multiple_of(*n)))
        });
        let config = config.with(|wider| {
            wider.groups = groups.flatten();
            wider.widths = widths;
        });
        Some((n as f64 / first as f64, config.ok().filter(|_| exact)?))
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

    #[test]
    fn what_needs_the_whole_budget_is_the_largest_that_fits() {
        let config = UNetConfig::preset("demo", 4, 3).unwrap();
        let mode = BackwardMode::Reversible;
        let bytes = |config: &UNetConfig, dims| {
            let found =
                crate::network::memory_estimate::estimate(config, dims, Settings::default())
                    .unwrap();
            let run = found.runs.iter().find(|run| run.mode == mode).unwrap();
            run.peak_bytes + found.state_bytes
        };
        let fitting = |dims, budget| fit(&config, dims, Settings::default(), budget, mode).unwrap();
        fn exactly<T>(value: T) -> Option<LargestFit<T>> {
            Some(LargestFit { value, or_more: false })
        }
        let box_bytes = bytes(&config, [48, 56, 56]);
        assert_eq!(fitting([16; 3], box_bytes).volume, exactly([48, 56, 56]));
        assert_eq!(fitting([16; 3], box_bytes - 1).volume, exactly([48, 48, 56]));

        let deeper = deep(&config, 5).unwrap();
        assert_eq!(deeper.widths, [16, 32, 48, 64, 128]);
        let of_levels = fitting([64; 3], bytes(&deeper, [64; 3])).levels;
        assert_eq!(of_levels, exactly(5));
        // The size allows no more.
        assert_eq!(fitting([64; 3], 1 << 40).levels, Some(LargestFit { value: 6, or_more: true }));
        assert_eq!(fitting([48; 3], 1 << 40).levels, Some(LargestFit { value: 5, or_more: true }));

        let wider = config.with(|wider| {
            (wider.widths, wider.groups) = (vec![20, 40, 60, 80], Some(2));
        });
        let wider = wider.unwrap();
        assert_eq!(fitting([32; 3], bytes(&wider, [32; 3])).width, exactly(1.25));
    }
}
