//! Exact Euclidean distances between two sets of voxels, on any spacing.
//!
//! One axis after the other, as in Felzenszwalb and Huttenlocher, "Distance Transforms of Sampled
//! Functions" (2012), but only where a distance is asked for: along i from the rows that hold a
//! voxel, along j by the lower envelope of parabolas, along k for the voxels asked for alone.

use super::pair::Bounds;

/// A voxel's i, j, k.
pub(super) type Voxel = [u32; 3];

/// For each voxel of `from` the distance to the nearest of `to`, in millimetres.
///
/// # Panics
/// When one of the two is empty. `to` must be ordered by k, then j, then i.
pub(super) fn distances_mm(from: &[Voxel], to: &[Voxel], spacing_mm: [f64; 3]) -> Vec<f32> {
    let (asked, held) = (bounds(from), bounds(to));
    let [ni, nj, _] = asked.dims();
    let plane = ni * nj;
    // Squared distances within each plane of `to`, at the rows and columns asked for.
    let mut squares = vec![f32::INFINITY; plane * held.dims()[2]];
    for voxels in to.chunk_by(|a, b| a[2] == b[2]) {
        let k = voxels[0][2] as usize - held.low[2];
        within_plane(voxels, &asked, spacing_mm, &mut squares[plane * k..plane * (k + 1)]);
    }
    let distance = |&[i, j, k]: &Voxel| {
        let place = i as usize - asked.low[0] + ni * (j as usize - asked.low[1]);
        let within = |k: usize| squares[place + plane * (k - held.low[2])];
        let planes = held.low[2]..held.high[2];
        across_planes(within, k as usize, planes, spacing_mm[2]).sqrt() as f32
    };
    from.iter().map(distance).collect()
}

fn bounds(voxels: &[Voxel]) -> Bounds {
    let mut bounds = Bounds::EMPTY;
    voxels.iter().for_each(|voxel| bounds.add(voxel.map(|x| x as usize)));
    assert!(bounds != Bounds::EMPTY, "distances between voxels, not to nothing");
    bounds
}

/// Squared distances to the voxels of one plane, for the rows and columns asked for.
///
/// # Shapes
/// `out`: `[j][i]` of `asked`.
fn within_plane(voxels: &[Voxel], asked: &Bounds, spacing_mm: [f64; 3], out: &mut [f32]) {
    let ni = asked.dims()[0];
    let mut sites = Vec::new();
    let mut rows = Vec::new(); // [site][i]
    for row in voxels.chunk_by(|a, b| a[1] == b[1]) {
        sites.push(f64::from(row[0][1]) * spacing_mm[1]);
        along_row(row, asked.low[0]..asked.high[0], spacing_mm[0], &mut rows);
    }
    let mut envelope = Envelope::default();
    for i in 0..ni {
        envelope.build(&sites, |site| f64::from(rows[site * ni + i]));
        let mut part = 0;
        for (j, out) in out[i..].iter_mut().step_by(ni).enumerate() {
            let at = (asked.low[1] + j) as f64 * spacing_mm[1];
            *out = envelope.value(at, &mut part) as f32;
        }
    }
}

/// Squared distances to the voxels of one row, for the columns asked for.
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

/// The lower envelope of parabolas of one width: for each x the least height + (x − site)².
#[derive(Default)]
struct Envelope {
    /// The parabolas in it, from left to right: site and height.
    parts: Vec<(f64, f64)>,
    /// Where each part begins.
    begins: Vec<f64>,
}

impl Envelope {
    /// Of parabolas whose sites ascend.
    fn build(&mut self, sites: &[f64], height: impl Fn(usize) -> f64) {
        self.parts.clear();
        self.begins.clear();
        for (n, &site) in sites.iter().enumerate() {
            let height = height(n);
            let mut begin = f64::NEG_INFINITY;
            while let Some(&(before, low)) = self.parts.last() {
                begin = (height - low + site * site - before * before) / (2.0 * (site - before));
                if begin > self.begins[self.parts.len() - 1] {
                    break;
                }
                // The last part is nowhere the lowest.
                self.parts.pop();
                self.begins.pop();
                begin = f64::NEG_INFINITY;
            }
            self.parts.push((site, height));
            self.begins.push(begin);
        }
    }

    /// The value at x, which may not be left of the x before; `part` is where that one lay.
    fn value(&self, x: f64, part: &mut usize) -> f64 {
        while *part + 1 < self.parts.len() && self.begins[*part + 1] <= x {
            *part += 1;
        }
        let (site, height) = self.parts[*part];
        height + (x - site) * (x - site)
    }
}

/// The least over the planes of the squared distance within it and to it, seen from the plane `k`
/// (which need not be among them): outward, for as long as a plane can hold anything nearer.
fn across_planes(
    within: impl Fn(usize) -> f32,
    k: usize,
    planes: std::ops::Range<usize>,
    spacing_mm: f64,
) -> f64 {
    let mut least = f64::INFINITY;
    let mut is_nearer = |plane: usize| {
        let across = plane.abs_diff(k) as f64 * spacing_mm;
        let across = across * across;
        least = least.min(across + f64::from(within(plane)));
        across < least
    };
    let _ = (planes.start..planes.end.min(k + 1)).rev().all(&mut is_nearer);
    let _ = (planes.start.max(k + 1)..planes.end).all(&mut is_nearer);
    least
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    /// Against every pair, on random voxels and spacings.
    #[test]
    fn distances_are_those_to_the_nearest_of_all() {
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
