//! Computes exact Euclidean distances between two sets of voxels, for any spacing.
//!
//! The distances are computed one axis after the other, as in Felzenszwalb and Huttenlocher, "Distance
//! Transforms of Sampled Functions" (2012), but only where they are needed: along i in the rows that
//! have a voxel, along j by the lower envelope of parabolas, along k for the queried voxels alone.

use crate::VoxelBox;

/// The indices i, j, k of a voxel.
pub(crate) type Voxel = [u32; 3];

/// Returns for each voxel of `from` the distance to the nearest voxel of `to`, in millimeters. `to`
/// must be ordered by k, then j, then i.
///
/// # Panics
/// If one of the sets is empty.
pub(crate) fn distances_mm(from: &[Voxel], to: &[Voxel], spacing_mm: [f64; 3]) -> Vec<f32> {
    let (from_bounds, to_bounds) = (bounds(from), bounds(to));
    let [ni, nj, _] = from_bounds.dims();
    let plane = ni * nj;
    // Squared distances within each plane of `to`, at the rows and columns of `from`.
    let mut squares = vec![f32::INFINITY; plane * to_bounds.dims()[2]];
    for voxels in to.chunk_by(|a, b| a[2] == b[2]) {
        let k = voxels[0][2] as usize - to_bounds.start[2];
        within_plane(voxels, &from_bounds, spacing_mm, &mut squares[plane * k..plane * (k + 1)]);
    }
    let distance = |&[i, j, k]: &Voxel| {
        let position = i as usize - from_bounds.start[0] + ni * (j as usize - from_bounds.start[1]);
        let within = |k: usize| squares[position + plane * (k - to_bounds.start[2])];
        let planes = to_bounds.start[2]..to_bounds.end[2];
        across_planes(within, k as usize, planes, spacing_mm[2]).sqrt() as f32
    };
    from.iter().map(distance).collect()
}

/// Returns the bounding box of voxels.
fn bounds(voxels: &[Voxel]) -> VoxelBox {
    let mut bounds = VoxelBox::EMPTY;
    voxels.iter().for_each(|voxel| bounds.include(voxel.map(|x| x as usize)));
    assert!(!bounds.is_empty(), "at least one voxel");
    bounds
}

/// Computes squared distances to the voxels of one plane, for the rows and columns of `queried`.
///
/// # Shapes
/// `out`: `[j][i]` of `queried`.
fn within_plane(voxels: &[Voxel], queried: &VoxelBox, spacing_mm: [f64; 3], out: &mut [f32]) {
    let ni = queried.dims()[0];
    let mut sites = Vec::new();
    let mut rows = Vec::new(); // [site][i]
    for row in voxels.chunk_by(|a, b| a[1] == b[1]) {
        sites.push(f64::from(row[0][1]) * spacing_mm[1]);
        along_row(row, queried.start[0]..queried.end[0], spacing_mm[0], &mut rows);
    }
    let mut envelope = Envelope::default();
    for i in 0..ni {
        envelope.build(&sites, |site| f64::from(rows[site * ni + i]));
        let mut index = 0;
        for (j, out) in out[i..].iter_mut().step_by(ni).enumerate() {
            let at = (queried.start[1] + j) as f64 * spacing_mm[1];
            *out = envelope.value(at, &mut index) as f32;
        }
    }
}

/// Appends squared distances to the voxels of one row, for the queried columns.
fn along_row(
    voxels: &[Voxel],
    columns: std::ops::Range<usize>,
    spacing_mm: f64,
    out: &mut Vec<f32>,
) {
    let steps = |n: usize, i: usize| voxels[n][0].abs_diff(i as u32);
    let mut nearest = 0;
    for i in columns {
        while nearest + 1 < voxels.len() && steps(nearest + 1, i) <= steps(nearest, i) {
            nearest += 1;
        }
        let distance = f64::from(steps(nearest, i)) * spacing_mm;
        out.push((distance * distance) as f32);
    }
}

/// The lower envelope of parabolas: for each x the least height + (x − site)².
#[derive(Default)]
struct Envelope {
    /// The site and the height of each parabola in the envelope, from left to right.
    parabolas: Vec<(f64, f64)>,
    /// The x from which each parabola is the lowest.
    starts: Vec<f64>,
}

impl Envelope {
    /// Computes the envelope of parabolas whose sites ascend.
    fn build(&mut self, sites: &[f64], height: impl Fn(usize) -> f64) {
        self.parabolas.clear();
        self.starts.clear();
        for (n, &site) in sites.iter().enumerate() {
            let height = height(n);
            let mut start = f64::NEG_INFINITY;
            while let Some(&(before, low)) = self.parabolas.last() {
                start = (height - low + site * site - before * before) / (2.0 * (site - before));
                if start > self.starts[self.parabolas.len() - 1] {
                    break;
                }
                // The last parabola is not the lowest anywhere.
                self.parabolas.pop();
                self.starts.pop();
                start = f64::NEG_INFINITY;
            }
            self.parabolas.push((site, height));
            self.starts.push(start);
        }
    }

    /// Returns the envelope at x. `index` is the parabola of the previous call, whose x must not be
    /// larger.
    fn value(&self, x: f64, index: &mut usize) -> f64 {
        while *index + 1 < self.parabolas.len() && self.starts[*index + 1] <= x {
            *index += 1;
        }
        let (site, height) = self.parabolas[*index];
        height + (x - site) * (x - site)
    }
}

/// Returns the least squared distance from plane `k` to a voxel in one of `planes`. `within` is the
/// squared distance within a plane. The search moves outward and stops at the first plane that is
/// farther away than the nearest voxel found. Plane `k` need not be one of `planes`.
fn across_planes(
    within: impl Fn(usize) -> f32,
    k: usize,
    planes: std::ops::Range<usize>,
    spacing_mm: f64,
) -> f64 {
    let mut least = f64::INFINITY;
    let mut can_be_nearer = |plane: usize| {
        let across = plane.abs_diff(k) as f64 * spacing_mm;
        let across = across * across;
        least = least.min(across + f64::from(within(plane)));
        across < least
    };
    let _ = (planes.start..planes.end.min(k + 1)).rev().all(&mut can_be_nearer);
    let _ = (planes.start.max(k + 1)..planes.end).all(&mut can_be_nearer);
    least
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    /// Compares with all pairs of random voxels.
    #[test]
    fn distances_are_the_least_over_all_pairs() {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        for round in 0..40 {
            let spacing = [0.7, 1.0, 2.5].map(|s| s * random.random_range(0.5..1.5));
            let mut draw = |count, offset: u32| {
                let voxel = |_| std::array::from_fn(|_| offset + random.random_range(0..9));
                let mut voxels: Vec<Voxel> = (0..count).map(voxel).collect();
                voxels.sort_by_key(|&[i, j, k]| (k, j, i));
                voxels
            };
            let (from, to) = (draw(20, round % 3 * 5), draw(1 + round as usize, 4));
            let found = distances_mm(&from, &to, spacing);
            for (a, found) in from.iter().zip(found) {
                let square = |b: &Voxel| -> f64 {
                    let steps = |axis: usize| f64::from(a[axis]) - f64::from(b[axis]);
                    (0..3).map(|axis| (steps(axis) * spacing[axis]).powi(2)).sum()
                };
                let least = to.iter().map(square).fold(f64::INFINITY, f64::min).sqrt();
                assert!((f64::from(found) - least).abs() < 1e-5, "{found}, expected {least}");
            }
        }
    }
}
