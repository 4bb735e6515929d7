//! The slow change of brightness across a scan, from its coils. Uncorrected it moves the maximum of
//! mutual information by tenths of a millimeter.

/// The half width of the mean over neighbors. Three means after each other are nearly a Gaussian.
const HALF_WIDTH_MM: f64 = 16.0;
const NUM_MEANS: usize = 3;

/// The largest correction: more is anatomy.
const MAX_CORRECTION: f32 = 2.0;

/// Returns the factor for each voxel that makes the mean of its wide neighborhood in the head the
/// mean of the whole head. Intensities are above `low`, and of the head above `threshold`.
pub(super) fn correction(
    values: &[f32],
    dims: [usize; 3],
    spacing_mm: [f64; 3],
    [low, threshold]: [f32; 2],
) -> Vec<f32> {
    let is_head = |value: f32| value > threshold;
    let mut sums: Vec<f32> =
        values.iter().map(|&v| if is_head(v) { v - low } else { 0.0 }).collect();
    let mut counts: Vec<f32> = values.iter().map(|&v| f32::from(u8::from(is_head(v)))).collect();
    let total = |values: &[f32]| values.iter().map(|&v| f64::from(v)).sum::<f64>();
    let mean = (total(&sums) / total(&counts).max(1.0)) as f32;
    let mut stride = 1;
    for (dim, spacing_mm) in dims.into_iter().zip(spacing_mm) {
        let half_width = ((HALF_WIDTH_MM / spacing_mm).round() as usize).clamp(1, dim);
        for _ in 0..NUM_MEANS {
            sum_neighbors(&mut sums, dim, stride, half_width);
            sum_neighbors(&mut counts, dim, stride, half_width);
        }
        stride *= dim;
    }
    let limits = (1.0 / MAX_CORRECTION, MAX_CORRECTION);
    let factor = |(sum, count): (&f32, &f32)| match *count > 1e-3 && *sum > 0.0 {
        true => (mean * count / sum).max(limits.0).min(limits.1),
        false => 1.0,
    };
    sums.iter().zip(&counts).map(factor).collect()
}

/// Replaces each value by the mean of its neighbors along one axis; values beyond the ends are 0.
fn sum_neighbors(values: &mut [f32], dim: usize, stride: usize, half_width: usize) {
    let scale = 1.0 / (2 * half_width + 1) as f32;
    let mut until = vec![0f32; dim + 1];
    for block in 0..values.len() / (dim * stride) {
        for lane in 0..stride {
            let first = block * dim * stride + lane;
            for n in 0..dim {
                until[n + 1] = until[n] + values[first + n * stride];
            }
            for n in 0..dim {
                let sum =
                    until[(n + half_width + 1).min(dim)] - until[n.saturating_sub(half_width)];
                values[first + n * stride] = sum * scale;
            }
        }
    }
}
