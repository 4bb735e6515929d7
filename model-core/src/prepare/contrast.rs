//! Recognizes T1, T1Gd, T2 and FLAIR by intensities, for scans whose names and tags state nothing.
//!
//! Six ratios describe a scan of a brain without skull, for example of the bright end of its
//! intensities, which is the cerebrospinal fluid in T2, or of the depth of the brain to its rim, which
//! is above 1 in T1. Their means and covariance are those of 21 cases with tumors. With each case left
//! out in turn, 62 of 84 scans are recognized alone, and 75 if the four scans of a case are assigned
//! together (`tests/prepare/contrast.py`, which also prints the constants). So this is a proposal
//! that a person must confirm.

use std::borrow::Cow;
use std::ops::ControlFlow;

use crate::brain::{extract_brain, is_stripped};
use crate::geometry::resample;
use crate::metrics::distances_mm;
use crate::prepare::brain_mask::apply_brain;
use crate::task::is_same_channel;
use crate::{Bundle, Result, Volume, VoxelBox};

/// The contrasts that are recognized.
const CONTRASTS: [&str; 4] = ["T1", "T1Gd", "T2", "FLAIR"];

/// The mean features of each contrast.
const MEANS: [[f64; NUM_FEATURES]; 4] = [
    [-0.610, 0.205, 0.294, 0.367, 0.137, -0.780],
    [-0.550, 0.222, 0.437, 0.710, 0.123, -0.678],
    [-0.444, 0.552, 0.961, 1.136, -0.117, -0.567],
    [-0.651, 0.297, 0.555, 0.672, -0.014, -0.862],
];

/// The inverse of the covariance of the features within a contrast.
const PRECISION: [[f64; NUM_FEATURES]; NUM_FEATURES] = [
    [55.7, 43.4, -15.1, 2.1, 26.0, -23.0],
    [43.4, 321.3, -200.5, 62.7, 36.5, -32.5],
    [-15.1, -200.5, 374.8, -218.3, -11.1, 23.3],
    [2.1, 62.7, -218.3, 159.3, 1.8, -10.2],
    [26.0, 36.5, -11.1, 1.8, 275.1, 12.6],
    [-23.0, -32.5, 23.3, -10.2, 12.6, 26.7],
];

const NUM_FEATURES: usize = 6;

/// The spacing at which features are computed, that of the cases of the constants.
const SPACING_MM: f64 = 2.0;

/// The fewest voxels of a brain, about 100 ml.
const MIN_VOXELS: usize = 12_500;

/// The most scans that are assigned together. More would take too many permutations.
const MAX_SCANS: usize = 6;

/// The distances of a scan's features to those of each contrast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ContrastDistances([f64; 4]);

impl ContrastDistances {
    /// Returns the distances for a scan, whose brain is extracted first if it has a skull. `None` also
    /// if `control` breaks.
    ///
    /// # Errors
    /// The errors of [`extract_brain`].
    pub fn of_scan(
        scan: &Volume,
        network: &Bundle,
        control: &mut dyn FnMut(f32) -> ControlFlow<()>,
    ) -> Result<Option<ContrastDistances>> {
        let mut brain = [Cow::Borrowed(scan)];
        if !is_stripped(scan) {
            let Some(mask) = extract_brain(network, &[scan], control)? else { return Ok(None) };
            apply_brain(&mut brain, &mask);
        }
        Ok(ContrastDistances::of(&brain[0]))
    }

    /// Returns the distances for a scan of a brain that is 0 outside the brain. `None` if it holds too
    /// little of a brain, or negative intensities.
    pub fn of(brain: &Volume) -> Option<ContrastDistances> {
        let features = features(brain)?;
        Some(ContrastDistances(MEANS.map(|means| {
            let difference: [f64; NUM_FEATURES] = std::array::from_fn(|n| features[n] - means[n]);
            let rows = PRECISION.iter().zip(difference);
            rows.map(|(row, d)| d * row.iter().zip(difference).map(|(p, d)| p * d).sum::<f64>())
                .sum()
        })))
    }

    fn to(&self, channel: &str) -> Option<f64> {
        let contrast = CONTRASTS.iter().position(|contrast| is_same_channel(contrast, channel))?;
        Some(self.0[contrast])
    }
}

/// Assigns scans to channels, at most one scan to each channel, so that the sum of the distances is
/// smallest. Returns the index of each scan's channel; `None` for a scan without distances.
///
/// Channels that are not one of the recognized contrasts get no scan. If there are more scans than
/// channels, or more than six, none is assigned.
pub fn most_likely(scans: &[Option<ContrastDistances>], channels: &[String]) -> Vec<Option<usize>> {
    let known: Vec<ContrastDistances> = scans.iter().copied().flatten().collect();
    let mut best = (f64::INFINITY, vec![None; known.len()]);
    if known.len() <= MAX_SCANS {
        assign(&known, channels, &mut Vec::new(), 0.0, &mut best);
    }
    let mut found = best.1.into_iter();
    scans.iter().map(|scan| scan.and_then(|_| found.next().flatten())).collect()
}

fn assign(
    scans: &[ContrastDistances],
    channels: &[String],
    assigned: &mut Vec<usize>,
    sum: f64,
    best: &mut (f64, Vec<Option<usize>>),
) {
    let Some(scan) = scans.get(assigned.len()) else {
        if sum < best.0 {
            *best = (sum, assigned.iter().copied().map(Some).collect());
        }
        return;
    };
    for (n, channel) in channels.iter().enumerate() {
        if let Some(distance) = scan.to(channel)
            && !assigned.contains(&n)
        {
            assigned.push(n);
            assign(scans, channels, assigned, sum + distance, best);
            assigned.pop();
        }
    }
}

/// Returns the logarithms of six ratios of intensities.
fn features(brain: &Volume) -> Option<[f64; NUM_FEATURES]> {
    let dims = brain.grid().dims;
    let spacing_mm = brain.grid().world_from_voxel.spacing_mm();
    let coarse: [usize; 3] = std::array::from_fn(|axis| {
        let size = dims[axis] as f64 * spacing_mm[axis] / SPACING_MM;
        (size.round().max(1.0) as usize).min(dims[axis])
    });
    let values = resample::image(brain.values(), dims, coarse);
    let spacing_mm =
        std::array::from_fn(|axis| spacing_mm[axis] * dims[axis] as f64 / coarse[axis] as f64);
    let (values, depths) = values_and_depths(&values, coarse, spacing_mm)?;
    let median = percentile(values.clone(), 0.5);
    let shell = |low: f32, high: f32| {
        let inside = depths.iter().map(|depth| (low..high).contains(depth));
        let inside = values.iter().zip(inside).filter(|(_, is_inside)| *is_inside);
        percentile(inside.map(|(value, _)| *value).collect(), 0.5)
    };
    let ratio = |share: f64| percentile(values.clone(), share) / median;
    let ratios = [
        ratio(0.1),
        ratio(0.9),
        ratio(0.98),
        ratio(0.995),
        shell(10.0, 22.0) / shell(3.0, 8.0),
        shell(0.0, 3.0) / median,
    ];
    let features = ratios.map(|ratio| f64::from(ratio).ln());
    features.iter().all(|feature| feature.is_finite()).then_some(features)
}

/// Returns the voxels of a brain and their distances to the outside in millimeters.
fn values_and_depths(
    values: &[f32],
    dims: [usize; 3],
    spacing_mm: [f64; 3],
) -> Option<(Vec<f32>, Vec<f32>)> {
    let whole = VoxelBox::new([0; 3], dims);
    let (mut inside, mut outside, mut brain) = (Vec::new(), Vec::new(), Vec::new());
    for (row, range) in whole.rows(dims).enumerate() {
        for (i, &value) in values[range].iter().enumerate() {
            let voxel = [i, row % dims[1], row / dims[1]].map(|index| index as u32);
            if value == 0.0 {
                outside.push(voxel);
            } else {
                inside.push(voxel);
                brain.push(value);
            }
        }
    }
    let is_usable = inside.len() >= MIN_VOXELS && !outside.is_empty();
    is_usable.then(|| (brain, distances_mm(&inside, &outside, spacing_mm)))
}

/// Returns the value below which a share of the values lies; NaN without values.
fn percentile(mut values: Vec<f32>, share: f64) -> f32 {
    if values.is_empty() {
        return f32::NAN;
    }
    let index = ((values.len() - 1) as f64 * share) as usize;
    *values.select_nth_unstable_by(index, f32::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn scans_are_assigned_together() {
        // Both scans resemble T1 most; the second is almost as much T1Gd.
        let scans = [
            Some(ContrastDistances([1.0, 9.0, 30.0, 20.0])),
            None,
            Some(ContrastDistances([2.0, 3.0, 30.0, 20.0])),
        ];
        let channels = strings(&["t1ce", "ADC", "T1"]);
        assert_eq!(most_likely(&scans, &channels), [Some(2), None, Some(0)]);
        assert_eq!(most_likely(&scans, &channels[1..]), [None; 3], "one free channel");
        assert_eq!(most_likely(&[], &channels), []);
    }

    #[test]
    fn a_scan_without_a_brain_has_no_contrast() {
        let grid = crate::Grid::new([40; 3], crate::Affine::from_spacing([2.0; 3]));
        let flat = Volume::new(grid.clone(), vec![1.0; 64_000]).unwrap();
        assert_eq!(ContrastDistances::of(&flat), None, "no outside");
        let empty = Volume::new(grid, vec![0.0; 64_000]).unwrap();
        assert_eq!(ContrastDistances::of(&empty), None);
    }
}
