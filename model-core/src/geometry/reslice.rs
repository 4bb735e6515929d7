//! Resampling onto the grid of another scan, through the affines of both grids and a motion between
//! them. Each voxel of the new grid is sampled at its own place, so that grids may be oblique.

use cpu_kernels::parallel;
use glam::DVec3;

use super::interpolate::{cubic, linear_weights};
use crate::formats::nifti::MAX_VOXEL_BYTES;
use crate::{Affine, Error, Grid, LabelMap, Result, Volume};

/// A volume on another grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Resampled {
    /// The intensities on the reference grid; 0 outside the field of view of the moving volume.
    pub volume: Volume,
    /// The fraction of the reference grid's voxels that lie in the moving volume's field of view.
    pub coverage: f32,
}

/// Resamples `moving` onto `grid`.
///
/// `moving_from_reference` maps world millimeters of `grid` to world millimeters of `moving`. With
/// the identity the position follows from the headers alone.
///
/// Interpolation is cubic (Keys 1981), limited to the range of `moving`; it returns a voxel's own
/// value at its center. Where `grid` is coarser, a voxel is the mean of several samples over its
/// extent along its coarse axes, as a thick slice is. Voxels outside the field of view become 0.
///
/// # Errors
/// [`Error::Geometry`] if a map cannot be inverted; [`Error::TooLarge`].
pub fn resample_onto(
    moving: &Volume,
    grid: &Grid,
    moving_from_reference: &Affine,
) -> Result<Resampled> {
    let samples = Samples::new(moving.grid(), grid, moving_from_reference)?;
    let (values, dims) = (moving.values(), samples.source_dims);
    let [low, high] = moving.range();
    let mut out = vec![0f32; grid.num_voxels()];
    let covered = parallel::map(samples.planes(&mut out), |k, plane| {
        let mut counts = vec![0u16; grid.dims[0]];
        let mut covered = 0;
        for (j, row) in plane.chunks_exact_mut(grid.dims[0]).enumerate() {
            counts.fill(0);
            samples.for_each_in_row([j, k], |i, at| {
                row[i] += cubic(values, dims, at).max(low).min(high);
                counts[i] += 1;
            });
            for (voxel, &count) in row.iter_mut().zip(&counts) {
                let is_inside = samples.is_inside(count);
                *voxel = if is_inside { *voxel / f32::from(count) } else { 0.0 };
                covered += usize::from(is_inside);
            }
        }
        covered
    });
    let coverage = covered.into_iter().sum::<usize>() as f64 / grid.num_voxels().max(1) as f64;
    Ok(Resampled { volume: Volume::new(grid.clone(), out)?, coverage: coverage as f32 })
}

/// Resamples labels onto `grid`; see [`resample_onto`]. Voxels outside become 0.
///
/// A voxel takes the label with the largest share of linear interpolation over its extent. Of equal
/// shares the label with fewer voxels wins, so that thin structures survive.
///
/// # Errors
/// As [`resample_onto`].
pub fn resample_labels_onto(
    moving: &LabelMap,
    grid: &Grid,
    moving_from_reference: &Affine,
) -> Result<LabelMap> {
    let samples = Samples::new(moving.grid(), grid, moving_from_reference)?;
    let (labels, dims) = (moving.labels(), samples.source_dims);
    let mut num_voxels = [0usize; 256];
    labels.iter().for_each(|&label| num_voxels[usize::from(label)] += 1);
    let mut out = vec![0u8; grid.num_voxels()];
    parallel::map(samples.planes(&mut out), |k, plane| {
        let mut shares: Vec<LabelShares> = vec![LabelShares::default(); grid.dims[0]];
        for (j, row) in plane.chunks_exact_mut(grid.dims[0]).enumerate() {
            shares.iter_mut().for_each(LabelShares::clear);
            samples.for_each_in_row([j, k], |i, at| {
                shares[i].count += 1;
                linear_weights(dims, at, |index, weight| shares[i].add(labels[index], weight));
            });
            for (voxel, shares) in row.iter_mut().zip(&shares) {
                if samples.is_inside(shares.count) {
                    *voxel = shares.largest(&num_voxels);
                }
            }
        }
    });
    LabelMap::new(grid.clone(), out)
}

/// The shares of labels in one voxel; few labels meet in one.
#[derive(Debug, Clone, Default)]
struct LabelShares {
    shares: Vec<(u8, f32)>,
    /// The number of samples inside the field of view.
    count: u16,
}

impl LabelShares {
    fn clear(&mut self) {
        self.shares.clear();
        self.count = 0;
    }

    fn add(&mut self, label: u8, weight: f32) {
        match self.shares.iter_mut().find(|(other, _)| *other == label) {
            Some((_, share)) => *share += weight,
            None => self.shares.push((label, weight)),
        }
    }

    fn largest(&self, num_voxels: &[usize; 256]) -> u8 {
        let order = |&(label, share): &(u8, f32)| {
            // A share that is larger by rounding alone is not a majority.
            ((share * 1e5) as i64, std::cmp::Reverse(num_voxels[usize::from(label)]), label)
        };
        self.shares.iter().max_by_key(|share| order(share)).map_or(0, |(label, _)| *label)
    }
}

/// The largest number of samples along one axis of a voxel, which bounds the time.
const MAX_SAMPLES: f64 = 16.0;

/// The places in the source's voxels at which the voxels of a grid are sampled.
struct Samples {
    source_from_grid: Affine,
    source_dims: [usize; 3],
    dims: [usize; 3],
    /// The number of samples in one voxel along i, j and k.
    per_axis: [usize; 3],
}

impl Samples {
    fn new(source: &Grid, grid: &Grid, source_from_grid_world: &Affine) -> Result<Samples> {
        let limit_bytes = MAX_VOXEL_BYTES;
        let num_bytes = grid.dims.iter().try_fold(4u64, |n, &dim| n.checked_mul(dim as u64));
        let found_bytes = num_bytes.unwrap_or(u64::MAX);
        if found_bytes > limit_bytes {
            return Err(Error::TooLarge { what: "the reference grid", limit_bytes, found_bytes });
        }
        grid.world_from_voxel.check()?;
        source_from_grid_world.check()?;
        let source_from_world = source.world_from_voxel.inverse()?;
        let source_from_grid =
            source_from_world.compose(source_from_grid_world).compose(&grid.world_from_voxel);
        let matrix = source_from_grid.0.matrix3;
        let per_axis = [matrix.x_axis, matrix.y_axis, matrix.z_axis].map(|step| {
            // A voxel that is a tenth wider needs no second sample.
            (step.abs().max_element() - 0.1).ceil().clamp(1.0, MAX_SAMPLES) as usize
        });
        Ok(Samples { source_from_grid, source_dims: source.dims, dims: grid.dims, per_axis })
    }

    /// Returns the planes of constant k of a grid's voxels.
    fn planes<'a, T>(&self, voxels: &'a mut [T]) -> Vec<&'a mut [T]> {
        voxels.chunks_exact_mut((self.dims[0] * self.dims[1]).max(1)).collect()
    }

    /// Returns whether at least half of a voxel's samples are inside the field of view.
    fn is_inside(&self, count: u16) -> bool {
        2 * usize::from(count) >= self.per_axis.iter().product()
    }

    /// Calls `visit` with the voxel along i and the source's coordinate of every sample of a row
    /// that lies in the source's field of view.
    fn for_each_in_row(&self, [j, k]: [usize; 2], mut visit: impl FnMut(usize, DVec3)) {
        if self.source_dims.contains(&0) {
            return;
        }
        let offset = |n: usize, axis: usize| (n as f64 + 0.5) / self.per_axis[axis] as f64 - 0.5;
        let step = self.source_from_grid.0.matrix3.x_axis;
        for nk in 0..self.per_axis[2] {
            for nj in 0..self.per_axis[1] {
                for ni in 0..self.per_axis[0] {
                    let at = [offset(ni, 0), j as f64 + offset(nj, 1), k as f64 + offset(nk, 2)];
                    let first = DVec3::from_array(self.source_from_grid.apply(at));
                    for i in inside(first, step, self.source_dims, self.dims[0]) {
                        visit(i, first + step * i as f64);
                    }
                }
            }
        }
    }
}

/// Returns the steps at which a line is inside the field of view of `dims` voxels, whose outer
/// edges lie half a voxel outside the outermost centers.
fn inside(first: DVec3, step: DVec3, dims: [usize; 3], num_steps: usize) -> std::ops::Range<usize> {
    let (mut low, mut high) = (0.0f64, num_steps as f64 - 1.0);
    for axis in 0..3 {
        // Rounding of the affines does not exclude a voxel at the edge.
        let (start, end) = (-0.5 - 1e-6, dims[axis] as f64 - 0.5 + 1e-6);
        let (a, b) = ((start - first[axis]) / step[axis], (end - first[axis]) / step[axis]);
        if step[axis].abs() < 1e-12 {
            if !(start..=end).contains(&first[axis]) {
                return 0..0;
            }
            continue;
        }
        low = low.max(a.min(b));
        high = high.min(a.max(b));
    }
    // `as` saturates, also for a negative or an empty range.
    low.ceil() as usize..(high.floor() + 1.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(dims: [usize; 3], rows: [[f64; 4]; 3]) -> Grid {
        Grid::new(dims, Affine::from_rows(rows))
    }

    /// An oblique grid of 1.3 × 1 × 2 mm.
    fn oblique() -> Grid {
        grid([9, 8, 7], [[1.2, -0.3, 0.1, 5.0], [0.4, 0.9, 0.2, -3.0], [0.1, 0.2, -2.0, 8.0]])
    }

    /// A linear function of the position.
    fn ramp(grid: Grid) -> Volume {
        let mut values = Vec::new();
        for n in 0..grid.num_voxels() {
            let voxel = [
                n % grid.dims[0],
                n / grid.dims[0] % grid.dims[1],
                n / grid.dims[0] / grid.dims[1],
            ];
            let [x, y, z] = grid.world_from_voxel.apply(voxel.map(|v| v as f64));
            values.push((x + 2.0 * y - 0.5 * z) as f32);
        }
        Volume::new(grid, values).unwrap()
    }

    #[test]
    fn the_own_grid_returns_the_own_voxels() {
        let moving = ramp(oblique());
        let found = resample_onto(&moving, moving.grid(), &Affine::IDENTITY).unwrap();
        assert_eq!(found.volume, moving);
        assert_eq!(found.coverage, 1.0);
        let labels = (0..moving.values().len()).map(|n| (n * 7 % 251) as u8).collect();
        let map = LabelMap::new(oblique(), labels).unwrap();
        assert_eq!(resample_labels_onto(&map, map.grid(), &Affine::IDENTITY).unwrap(), map);
    }

    #[test]
    fn a_ramp_stays_a_ramp_on_an_oblique_grid() {
        let spacing_mm = [1.5, 1.0, 2.0];
        let moving = ramp(Grid::new([20, 20, 20], Affine::from_spacing(spacing_mm)));
        let motion =
            Affine::from_rows([[0.8, -0.6, 0.0, 12.0], [0.6, 0.8, 0.0, 5.0], [0.0, 0.0, 1.0, 0.5]]);
        let found = resample_onto(&moving, &oblique(), &motion).unwrap();
        assert!((0.5..1.0).contains(&found.coverage), "{}", found.coverage);
        let (mut num_inner, mut worst) = (0, 0f32);
        for (n, &value) in found.volume.values().iter().enumerate() {
            let voxel = [n % 9, n / 9 % 8, n / 72].map(|v| v as f64);
            let at = motion.apply(oblique().world_from_voxel.apply(voxel));
            // The kernel reaches two voxels.
            if (0..3).all(|a| (1.0..18.0).contains(&(at[a] / spacing_mm[a]))) {
                num_inner += 1;
                worst = worst.max((value - (at[0] + 2.0 * at[1] - 0.5 * at[2]) as f32).abs());
            }
        }
        assert!(num_inner > 100 && worst < 1e-4, "{num_inner} voxels, {worst}");
    }

    /// PIL 13.0: `Image.fromarray(x).resize((16, 1), Image.BICUBIC)` of x = [[1, 0, 0, 5, 0, 2, 9,
    /// 4]], as float32, without the four voxels at each end, where PIL cuts the kernel off, and
    /// with 0 for its negative values.
    #[test]
    fn refining_is_cubic_as_in_pil() {
        let values = vec![1.0, 0.0, 0.0, 5.0, 0.0, 2.0, 9.0, 4.0];
        let moving = Volume::new(Grid::new([8, 1, 1], Affine::IDENTITY), values).unwrap();
        let mut world_from_voxel = Affine::from_spacing([0.5, 1.0, 1.0]);
        world_from_voxel.0.translation.x = -0.25;
        let grid = Grid::new([16, 1, 1], world_from_voxel);
        let found = resample_onto(&moving, &grid, &Affine::IDENTITY).unwrap();
        let expected =
            [0.0, 1.132_812_5, 4.335_937_5, 4.289_062_5, 0.992_187_5, 0.0, 0.984_375, 3.679_687_5];
        let inner = &found.volume.values()[4..12];
        assert!(inner.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{inner:?}");
    }

    #[test]
    fn thick_slices_are_means_of_thin_ones() {
        let fine = Grid::new([1, 1, 20], Affine::IDENTITY);
        let values = (0..20).map(|k| if k / 5 == 2 { 10.0 } else { 0.0 }).collect();
        let mut world_from_voxel = Affine::from_spacing([1.0, 1.0, 5.0]);
        world_from_voxel.0.translation.z = 2.0;
        let slices = Grid::new([1, 1, 5], world_from_voxel);
        let moving = Volume::new(fine.clone(), values).unwrap();
        let found = resample_onto(&moving, &slices, &Affine::IDENTITY).unwrap();
        assert_eq!(found.volume.values(), [0.0, 0.0, 10.0, 0.0, 0.0]);
        assert_eq!(found.coverage, 0.8);
        let labels = (0..20).map(|k| u8::from(k / 5 == 1 && k % 5 > 1) * 7).collect();
        let map = LabelMap::new(fine, labels).unwrap();
        let found = resample_labels_onto(&map, &slices, &Affine::IDENTITY).unwrap();
        assert_eq!(found.labels(), [0, 7, 0, 0, 0]);
    }

    #[test]
    fn impossible_grids_are_refused() {
        let moving = ramp(oblique());
        let flat = Affine::from_spacing([1.0, 0.0, 1.0]);
        assert!(resample_onto(&moving, &oblique(), &flat).is_err());
        let huge = Grid::new([usize::MAX, 3, 3], Affine::IDENTITY);
        let result = resample_onto(&moving, &huge, &Affine::IDENTITY);
        assert!(matches!(result, Err(Error::TooLarge { .. })));
        let empty = Volume::new(Grid::new([0, 2, 2], Affine::IDENTITY), Vec::new()).unwrap();
        let found = resample_onto(&empty, &oblique(), &Affine::IDENTITY).unwrap();
        assert_eq!(found.coverage, 0.0);
        assert!(resample_onto(&moving, empty.grid(), &Affine::IDENTITY).is_ok());
    }
}
