//! The papers' question: what is the largest volume, depth and width that a GPU can train?

use serde::Serialize;

use super::{Mode, Settings, check, num_parameters, simulate, state_bytes};
use crate::Result;
use crate::config::UNetConfig;

/// The largest of each that fits, the other two as given; nothing where not even the smallest does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fit {
    /// In which mode.
    pub mode: Mode,
    /// The edge of the largest cube, in voxels.
    pub cube: Option<usize>,
    /// The most blocks a level, up to 64, at the size given.
    pub blocks: Option<usize>,
    /// The largest multiple of the widths, up to 16, at the size given.
    pub width: Option<f64>,
}

/// Finds the largest cube, depth and width whose step, with the optimizer's state, fits a budget.
///
/// # Errors
/// [`crate::Error::Network`] when the configuration cannot be built or does not take `dims`.
pub fn fit(
    config: &UNetConfig,
    dims: [usize; 3],
    settings: Settings,
    budget_bytes: u64,
    mode: Mode,
) -> Result<Fit> {
    check(config, dims)?;
    // The branch's size is tied to its patch; the question is about the network.
    let config = mode.of(&config.for_inference());
    let fits = |config: &UNetConfig, dims| {
        let peak = simulate(config, dims, settings).peak.into_iter().max().unwrap_or(0);
        peak + state_bytes(num_parameters(config)) <= budget_bytes
    };
    let multiple = config.size_multiple();
    let cube = largest(2, 1 << 10, |n| fits(&config, [n * multiple; 3])).map(|n| n * multiple);
    let deep = |blocks| UNetConfig { blocks, ..config.clone() };
    let blocks = largest(1, 64, |blocks| fits(&deep(blocks), dims));
    let wide: Vec<(f64, UNetConfig)> = widths(&config);
    let width = largest(1, wide.len(), |n| fits(&wide[n - 1].1, dims)).map(|n| wide[n - 1].0);
    Ok(Fit { mode, cube, blocks, width })
}

/// The largest number of a range that passes, where all below it pass.
fn largest(first: usize, last: usize, passes: impl Fn(usize) -> bool) -> Option<usize> {
    if first > last || !passes(first) {
        return None;
    }
    let (mut good, mut bad) = (first, last + 1);
    while bad - good > 1 {
        // Doubles first: the large ones are the slow ones.
        let middle = (good + (bad - good) / 2).min(2 * good);
        if passes(middle) { good = middle } else { bad = middle }
    }
    Some(good)
}

/// The networks with other widths in the same proportion that can be built, narrowest first.
fn widths(config: &UNetConfig) -> Vec<(f64, UNetConfig)> {
    let first = config.widths[0];
    let scaled = |n: usize| {
        let exact = config.widths.iter().all(|width| (width * n).is_multiple_of(first));
        let widths = config.widths.iter().map(|width| width * n / first).collect();
        let config = UNetConfig { widths, ..config.clone() };
        (exact && config.check().is_ok()).then_some((n as f64 / first as f64, config))
    };
    (2..=16 * first).step_by(2).filter_map(scaled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_that_passes_is_found() {
        assert_eq!(largest(1, 100, |n| n <= 37), Some(37));
        assert_eq!(largest(1, 100, |_| true), Some(100));
        assert_eq!(largest(2, 100, |_| false), None);
    }
}
