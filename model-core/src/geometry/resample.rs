//! Resampling on the voxel grid, for scans whose spacing differs from the network's.
//!
//! Images, labels and predictions share the function [`coordinate`]. It keeps the outer edges of
//! the first and the last voxel in place, so that resampled maps stay aligned with each other.

use crate::VoxelBox;

/// Returns the coordinate of the center of voxel `n` of `from`, in units of `to` voxels over the
/// same extent.
fn coordinate(n: usize, from: usize, to: usize) -> f64 {
    (n as f64 + 0.5) * to as f64 / from as f64 - 0.5
}

/// The weights of source voxels in an output voxel when the grid becomes coarser. Both filters are
/// linear interpolation when it becomes finer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DownsamplingFilter {
    /// A triangle two output voxels wide, the anti-aliasing of PIL and of PyTorch's `interpolate`.
    Triangle,
    /// The overlap with the output voxel, so that a structure one source voxel wide keeps its
    /// share.
    Area,
}

/// The weights of consecutive source voxels in one output voxel, which sum to 1.
#[derive(Debug, Clone, PartialEq)]
struct VoxelWeights {
    start: usize,
    weights: Vec<f32>,
}

/// The resampling along one axis.
#[derive(Debug, Clone, PartialEq)]
struct Axis {
    /// For each output voxel, the weights of the source voxels.
    outputs: Vec<VoxelWeights>,
    /// The number of source voxels.
    source: usize,
}

impl Axis {
    /// Resamples `source` voxels to `target` voxels over the same extent.
    fn new(source: usize, target: usize, filter: DownsamplingFilter) -> Self {
        let outputs = (0..target).map(|n| voxel_weights(n, source, target, filter)).collect();
        Axis { outputs, source }
    }

    /// Restricts the axis to the source voxels `first..end`; values outside are taken as 0.
    ///
    /// Returns the first output voxel with a weight, and the axis of the output voxels from there.
    fn restricted(&self, first: usize, end: usize) -> (usize, Axis) {
        let clipped = |output: &VoxelWeights| {
            let VoxelWeights { start, weights } = output;
            let from = (*start).max(first);
            let to = (start + weights.len()).min(end);
            let weights = weights.get(from - start..to.max(from) - start)?;
            (!weights.is_empty())
                .then(|| VoxelWeights { start: from - first, weights: weights.to_vec() })
        };
        let lowest = self.outputs.iter().position(|output| clipped(output).is_some());
        let outputs = self.outputs.iter().filter_map(clipped).collect();
        (lowest.unwrap_or(0), Axis { outputs, source: end - first })
    }
}

/// Returns the weights of the source voxels in output voxel `n`.
fn voxel_weights(
    n: usize,
    source: usize,
    target: usize,
    filter: DownsamplingFilter,
) -> VoxelWeights {
    let ratio = source as f64 / target as f64;
    let center = coordinate(n, target, source);
    let (half_width, weight): (f64, &dyn Fn(f64) -> f64) = match filter {
        DownsamplingFilter::Area if ratio > 1.0 => (0.5 * (ratio + 1.0), &|at: f64| {
            let (low, high) = (center - 0.5 * ratio, center + 0.5 * ratio);
            (high.min(at + 0.5) - low.max(at - 0.5)).max(0.0)
        }),
        _ => {
            let width = ratio.max(1.0);
            (width, &move |at: f64| (1.0 - (at - center).abs() / width).max(0.0))
        }
    };
    let last = source - 1;
    let low = (center - half_width).ceil().clamp(0.0, last as f64) as usize;
    let high = (center + half_width).floor().clamp(low as f64, last as f64) as usize;
    let mut weights: Vec<f64> = (low..=high).map(|at| weight(at as f64)).collect();
    // Rounding leaves weights of 1e-16 at the ends, which would enlarge every restricted axis.
    let is_relevant = |weight: &f64| *weight > 1e-9;
    let first = weights.iter().position(is_relevant).unwrap_or(0);
    let end = weights.iter().rposition(is_relevant).map_or(weights.len(), |last| last + 1);
    weights = weights[first..end].to_vec();
    let sum: f64 = weights.iter().sum();
    VoxelWeights { start: low + first, weights: weights.iter().map(|w| (w / sum) as f32).collect() }
}

/// Resamples an image of `source` voxels to `target` voxels over the same extent, one axis after
/// the other.
pub(crate) fn image(values: &[f32], source: [usize; 3], target: [usize; 3]) -> Vec<f32> {
    let axes =
        std::array::from_fn(|a| Axis::new(source[a], target[a], DownsamplingFilter::Triangle));
    along_axes(values, &axes)
}

/// Resamples labels of `source` voxels to `target` voxels over the same extent.
///
/// Each label is resampled as a map of 0 and 1. An output voxel takes the label with the largest
/// share. Of equal shares the label with fewer voxels wins, so that a rim one voxel thick survives.
pub(crate) fn labels(values: &[u8], source: [usize; 3], target: [usize; 3]) -> Vec<u8> {
    if source == target {
        return values.to_vec();
    }
    let axes: [Axis; 3] =
        std::array::from_fn(|a| Axis::new(source[a], target[a], DownsamplingFilter::Area));
    let num_voxels = target.iter().product();
    let mut boxes = label_boxes(values, source);
    boxes.sort_unstable_by_key(|label_box| (label_box.count, label_box.label));
    let (mut out, mut largest) = (vec![0u8; num_voxels], vec![0f32; num_voxels]);
    for LabelBox { label, bounds, .. } in boxes {
        let restricted: [(usize, Axis); 3] =
            std::array::from_fn(|a| axes[a].restricted(bounds.start[a], bounds.end[a]));
        let inside = one_hot(values, source, label, &bounds);
        let [(i0, i), (j0, j), (k0, k)] = restricted;
        let [ni, nj] = [&i, &j].map(|axis| axis.outputs.len());
        let shares = along_axes(&inside, &[i, j, k]);
        for (row, shares) in shares.chunks_exact(ni).enumerate() {
            let at = i0 + target[0] * (j0 + row % nj + target[1] * (k0 + row / nj));
            let voxels = out[at..at + ni].iter_mut().zip(&mut largest[at..at + ni]);
            for ((voxel, largest), &share) in voxels.zip(shares) {
                // A share that is larger by rounding alone is not a majority.
                if share > *largest + 1e-6 {
                    (*voxel, *largest) = (label, share);
                }
            }
        }
    }
    out
}

/// The bounding box of one label's voxels.
struct LabelBox {
    label: u8,
    count: usize,
    bounds: VoxelBox,
}

/// Returns the bounding box of every label that is present.
fn label_boxes(values: &[u8], [ni, nj, _]: [usize; 3]) -> Vec<LabelBox> {
    let mut boxes: Vec<Option<LabelBox>> = (0..256).map(|_| None).collect();
    for (row, labels) in values.chunks_exact(ni).enumerate() {
        let (j, k) = (row % nj, row / nj);
        for (i, &label) in labels.iter().enumerate() {
            let new = || LabelBox { label, count: 0, bounds: VoxelBox::EMPTY };
            let label_box = boxes[usize::from(label)].get_or_insert_with(new);
            label_box.count += 1;
            label_box.bounds.include([i, j, k]);
        }
    }
    boxes.into_iter().flatten().collect()
}

/// Returns a box of voxels as 1 for `label` and 0 for the others.
fn one_hot(values: &[u8], dims: [usize; 3], label: u8, bounds: &VoxelBox) -> Vec<f32> {
    bounds.crop(values, dims, |other| f32::from(u8::from(other == label)))
}

/// Sums weighted source voxels along i, then j, then k.
fn along_axes(values: &[f32], [i_axis, j_axis, k_axis]: &[Axis; 3]) -> Vec<f32> {
    let [ti, tj, tk] = [i_axis, j_axis, k_axis].map(|axis| axis.outputs.len());
    let (si, sj, sk) = (i_axis.source, j_axis.source, k_axis.source);
    let mut along_i = Vec::with_capacity(ti * sj * sk);
    for row in values.chunks_exact(si) {
        along_i.extend(i_axis.outputs.iter().map(|output| {
            let pairs = output.weights.iter().zip(&row[output.start..]);
            pairs.map(|(weight, value)| weight * value).sum::<f32>()
        }));
    }
    let mut along_j = vec![0.0; ti * tj * sk];
    for (plane, out) in along_i.chunks_exact(ti * sj).zip(along_j.chunks_exact_mut(ti * tj)) {
        sum_rows(plane, out, ti, j_axis);
    }
    drop(along_i);
    let mut out = vec![0.0; ti * tj * tk];
    sum_rows(&along_j, &mut out, ti * tj, k_axis);
    out
}

/// Adds weighted source rows of `length` values to each output row.
fn sum_rows(values: &[f32], out: &mut [f32], length: usize, axis: &Axis) {
    for (row, output) in out.chunks_exact_mut(length).zip(&axis.outputs) {
        let sources = values[output.start * length..].chunks(length);
        for (weight, source) in output.weights.iter().zip(sources) {
            row.iter_mut().zip(source).for_each(|(sum, value)| *sum += weight * value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ratios of spacings in data sets, finer and coarser, and an uneven one.
    const SIZES: [[usize; 2]; 8] =
        [[40, 20], [40, 10], [48, 30], [48, 32], [20, 40], [17, 40], [40, 39], [30, 31]];

    #[test]
    fn a_ramp_stays_a_ramp() {
        let ramp: Vec<f32> = (0..4).map(|n| n as f32).collect();
        assert_eq!(image(&ramp, [4, 1, 1], [4, 1, 1]), ramp);
        let fine = image(&ramp, [1, 1, 4], [1, 1, 8]);
        assert_eq!(fine, [0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0]);
        let long: Vec<f32> = (0..12).map(|n| n as f32).collect();
        let coarse = image(&long, [1, 12, 1], [1, 6, 1]);
        assert!(coarse[1..5].iter().zip([2.5, 4.5, 6.5, 8.5]).all(|(a, b)| (a - b).abs() < 1e-5));
    }

    /// PIL 13.0: `Image.fromarray(x).resize((3, 1), Image.BILINEAR)` of x = [[1, 0, 0, 5, 0, 2,
    /// 9]], as float32.
    #[test]
    fn shrinking_is_anti_aliased_as_in_pil() {
        let found = image(&[1.0, 0.0, 0.0, 5.0, 0.0, 2.0, 9.0], [7, 1, 1], [3, 1, 1]);
        let expected = [0.357_142_9, 2.176_470_5, 4.071_429];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}");
    }

    /// Takes the mean over balls whose surfaces cut the voxels in many ways. The center of a single
    /// ball's labels moves by half a voxel more or less at one side.
    #[test]
    fn images_and_labels_keep_their_centers() {
        for [source, target] in SIZES {
            let (mut image_shift, mut label_shift, mut restored_shift) = (0.0, 0.0, 0.0);
            for n in 0..16 {
                let center = source as f64 * 0.5 + f64::from(n) * 0.37 - 2.8;
                let radius = source as f64 * 0.3 + f64::from(n % 5) * 0.23;
                let dims = [source, 24, 24];
                let inside = |n: usize| {
                    let voxel = [n % source, n / source % 24, n / source / 24];
                    let squares = [
                        (voxel[0] as f64 - center) / radius,
                        (voxel[1] as f64 - 11.7) / 9.3,
                        (voxel[2] as f64 - 11.2) / 8.1,
                    ];
                    squares.map(|x| x * x).iter().sum::<f64>() < 1.0
                };
                let ball: Vec<u8> = (0..source * 576).map(|n| u8::from(inside(n))).collect();
                let as_image: Vec<f32> = ball.iter().map(|&l| f32::from(l)).collect();
                let coarse = [target, 24, 24];
                let resampled = labels(&ball, dims, coarse);
                let back = labels(&resampled, coarse, dims);
                let image: Vec<f64> =
                    image(&as_image, dims, coarse).into_iter().map(f64::from).collect();
                let [ball, resampled, back] =
                    [ball, resampled, back].map(|map| map.into_iter().map(f64::from).collect());
                let truth = centroid_along_i(ball, source, source);
                image_shift += (centroid_along_i(image, target, source) - truth) / 16.0;
                label_shift += (centroid_along_i(resampled, target, source) - truth) / 16.0;
                restored_shift += (centroid_along_i(back, source, source) - truth) / 16.0;
            }
            for shift in [image_shift, label_shift, restored_shift] {
                assert!(
                    shift.abs() < 0.02,
                    "{source} to {target}: {image_shift} {label_shift} {restored_shift}"
                );
            }
        }
    }

    /// Returns the center of mass along i of values with `size` voxels along i, in voxels of
    /// `source`.
    fn centroid_along_i(values: Vec<f64>, size: usize, source: usize) -> f64 {
        let sum: f64 = values.iter().sum();
        let moments =
            values.iter().enumerate().map(|(n, v)| v * coordinate(n % size, size, source));
        moments.sum::<f64>() / sum
    }

    #[test]
    fn a_rim_one_voxel_thick_survives() {
        for first in [3, 4] {
            let mut row = vec![0u8; 16];
            row[first..13].fill(1);
            (row[first], row[12]) = (2, 2);
            let half = labels(&row, [16, 1, 1], [8, 1, 1]);
            assert_eq!(half.iter().filter(|&&label| label == 2).count(), 2, "{half:?}");
        }
    }

    #[test]
    fn bounding_boxes_do_not_change_the_labels() {
        let dims = [9, 8, 7];
        let values: Vec<u8> = (0..9 * 8 * 7).map(|n| (n * n / 50 % 256) as u8).collect();
        for target in [[5, 8, 3], [18, 16, 14], [4, 16, 7]] {
            let found = labels(&values, dims, target);
            // The same without boxes: whole maps of all labels' shares, in the order of their
            // counts.
            let axes: [Axis; 3] =
                std::array::from_fn(|a| Axis::new(dims[a], target[a], DownsamplingFilter::Area));
            let mut present: Vec<(usize, u8)> = (0..=255u8)
                .map(|label| (values.iter().filter(|&&v| v == label).count(), label))
                .filter(|(count, _)| *count > 0)
                .collect();
            present.sort_by_key(|(count, _)| *count);
            let shares: Vec<(u8, Vec<f32>)> = present
                .iter()
                .map(|&(_, label)| {
                    (
                        label,
                        along_axes(
                            &one_hot(&values, dims, label, &VoxelBox::new([0; 3], dims)),
                            &axes,
                        ),
                    )
                })
                .collect();
            for (n, &label) in found.iter().enumerate() {
                let best = shares.iter().map(|(_, s)| s[n]).fold(0.0, f32::max);
                let own = shares.iter().find(|(l, _)| *l == label).unwrap().1[n];
                assert!(best - own < 1e-5, "{target:?} voxel {n}: {own} of {best}");
            }
        }
    }
}
