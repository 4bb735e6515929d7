//! Smooth random fields over a patch: a cubic spline through normal numbers on a coarse grid.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use trainer_run::rng::normal;

/// Values on a coarse grid. Its first and last points lie on a patch's first and last voxels.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlGrid {
    /// Points along right, front, top, at least 1 each.
    pub size: [usize; 3],
    /// Values, `[k][j][i]`.
    pub values: Vec<f32>,
}

impl ControlGrid {
    /// Draws normal numbers with the standard deviation `deviation`.
    pub fn draw(random: &mut impl Rng, size: [usize; 3], deviation: f64) -> ControlGrid {
        let numbers = normal(ChaCha8Rng::seed_from_u64(random.random()));
        let numbers = numbers.take(size.iter().product());
        ControlGrid { size, values: numbers.map(|number| number * deviation as f32).collect() }
    }

    /// Prepares the interpolation of the field over a patch, row by row.
    pub fn rows_over(&self, patch: [usize; 3]) -> FieldRows<'_> {
        let weights = std::array::from_fn(|axis| weights(self.size[axis], patch[axis]));
        FieldRows { grid: self, weights, line: vec![0.0; self.size[0]] }
    }
}

/// The interpolation of a [`ControlGrid`] over a patch.
pub struct FieldRows<'a> {
    grid: &'a ControlGrid,
    /// For each axis, `[point][voxel]`: the weight of a control point at a voxel.
    weights: [Vec<Vec<f32>>; 3],
    /// The grid's values along i, interpolated at the current row's j and k.
    line: Vec<f32>,
}

impl FieldRows<'_> {
    /// Writes the field's values along the row of voxels at `j`, `k`.
    pub fn row(&mut self, j: usize, k: usize, out: &mut [f32]) {
        let [_, _, in_k] = &self.weights;
        self.line.fill(0.0);
        let mut rows = self.grid.values.chunks_exact(self.grid.size[0]);
        for weight_k in in_k.iter().map(|point| point[k]) {
            for weight_j in self.weights[1].iter().map(|point| point[j]) {
                let row = rows.next().expect("the weights cover all rows of the grid");
                let weight = weight_j * weight_k;
                self.line.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
            }
        }
        out.fill(0.0);
        for (&value, weights) in self.line.iter().zip(&self.weights[0]) {
            out.iter_mut().zip(weights).for_each(|(out, weight)| *out += weight * value);
        }
    }
}

/// Returns the weight of each of `points` control points, evenly spread over `voxels`, at each
/// voxel.
///
/// The interpolation is a Catmull-Rom spline (Catmull and Rom 1974): a cubic through the points
/// whose slope at a point is the slope between the point's neighbors. The end points are repeated
/// outside.
fn weights(points: usize, voxels: usize) -> Vec<Vec<f32>> {
    let mut weights = vec![vec![0.0; voxels]; points];
    (0..voxels).for_each(|voxel| {
        let spread = (points - 1) as f64 / (voxels - 1).max(1) as f64;
        let place = voxel as f64 * spread;
        let before = (place as usize).min(points.saturating_sub(2));
        let t = place - before as f64;
        let cubic = [
            t * (t * (2.0 - t) - 1.0) / 2.0,
            (t * t * (3.0 * t - 5.0) + 2.0) / 2.0,
            t * (t * (4.0 - 3.0 * t) + 1.0) / 2.0,
            t * t * (t - 1.0) / 2.0,
        ];
        for (n, weight) in cubic.into_iter().enumerate() {
            let point = (before + n).saturating_sub(1).min(points - 1);
            weights[point][voxel] += weight as f32;
        }
    });
    weights
}

#[cfg(test)]
mod tests {
    use super::*;
    use trainer_run::rng::{RngStream, generator};

    #[test]
    fn a_field_passes_through_its_control_points_and_is_smooth() {
        let grid = ControlGrid { size: [3, 1, 2], values: vec![1.0, 3.0, -2.0, 5.0, 0.0, 1.0] };
        let mut rows = grid.rows_over([9, 4, 5]);
        let mut row = [0.0; 9];
        rows.row(2, 0, &mut row);
        assert!(
            [row[0], row[4], row[8]]
                .iter()
                .zip([1.0, 3.0, -2.0])
                .all(|(a, b)| (a - b).abs() < 1e-6)
        );
        let steps: Vec<f32> = row.windows(2).map(|two| two[1] - two[0]).collect();
        assert!(steps.windows(2).all(|two| (two[1] - two[0]).abs() < 1.2), "{row:?}");
        rows.row(0, 4, &mut row);
        assert!((row[0] - 5.0).abs() < 1e-6 && row[4].abs() < 1e-6, "{row:?}");
    }

    #[test]
    fn weights_sum_to_one_and_reproduce_a_linear_ramp() {
        for points in 1..6 {
            let weights = weights(points, 17);
            for voxel in 0..17 {
                let sum: f32 = weights.iter().map(|point| point[voxel]).sum();
                assert!((sum - 1.0).abs() < 1e-6, "{points} points, voxel {voxel}: {sum}");
            }
        }
        let ramp = |voxel: usize| -> f32 {
            weights(5, 17).iter().enumerate().map(|(n, point)| n as f32 * point[voxel]).sum()
        };
        // Away from the ends, where both neighbors exist.
        (4..=12).for_each(|v| assert!((ramp(v) - v as f32 / 4.0).abs() < 1e-5, "{v}: {}", ramp(v)));
    }

    #[test]
    fn control_points_have_the_given_deviation() {
        let mut random = generator(0, RngStream::Patch, 1);
        let values = ControlGrid::draw(&mut random, [20; 3], 10.0).values;
        let square = values.iter().map(|v| f64::from(v * v)).sum::<f64>() / 8000.0;
        assert!((square.sqrt() - 10.0).abs() < 0.4, "{square}");
    }
}
