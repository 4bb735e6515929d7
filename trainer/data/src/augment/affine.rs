//! Rotation and scaling of a patch.

use rand::Rng;

use super::random::{bernoulli, signed};
use trainer_run::config::AugmentSettings;

/// Draws a matrix from offsets in the patch to offsets in the scan, in voxels. Returns `None` if
/// the patch is neither rotated nor scaled.
pub(super) fn draw(
    random: &mut impl Rng,
    settings: &AugmentSettings,
    spacing_mm: [f64; 3],
) -> Option<[[f32; 3]; 3]> {
    let largest = |amounts: [f64; 3]| amounts.into_iter().fold(0.0, f64::max);
    let angles = bernoulli(random, largest(settings.rotate_degrees), settings.rotate_fraction)
        .then(|| settings.rotate_degrees.map(|limit| limit.to_radians() * signed(random)));
    let factors = bernoulli(random, largest(settings.scale), settings.scale_fraction).then(|| {
        let power = signed(random);
        settings.scale.map(|limit| (1.0 + limit).powf(power))
    });
    (angles.is_some() || factors.is_some()).then(|| {
        scan_from_patch(angles.unwrap_or_default(), factors.unwrap_or([1.0; 3]), spacing_mm)
    })
}

/// Returns the matrix that scales an offset in mm by `factors`, then rotates it about the axes
/// right, front and top in turn. The matrix maps voxels to voxels.
fn scan_from_patch(angles: [f64; 3], factors: [f64; 3], spacing_mm: [f64; 3]) -> [[f32; 3]; 3] {
    let mut matrix = [[0.0; 3]; 3];
    for axis in 0..3 {
        matrix[axis][axis] = factors[axis] * spacing_mm[axis];
    }
    for (axis, angle) in angles.into_iter().enumerate() {
        let (sine, cosine) = angle.sin_cos();
        let (a, b) = ((axis + 1) % 3, (axis + 2) % 3);
        let (x, y) = (matrix[a], matrix[b]);
        matrix[a] = std::array::from_fn(|n| cosine * x[n] - sine * y[n]);
        matrix[b] = std::array::from_fn(|n| sine * x[n] + cosine * y[n]);
    }
    std::array::from_fn(|axis| matrix[axis].map(|x| (x / spacing_mm[axis]) as f32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use trainer_run::rng::{RngStream, generator};

    #[test]
    fn rotations_keep_lengths_and_scaling_changes_them() {
        let map = scan_from_patch([0.3, -0.7, 1.1], [1.2; 3], [1.0; 3]);
        for a in 0..3 {
            for b in 0..3 {
                let product: f32 = (0..3).map(|n| map[a][n] * map[b][n]).sum();
                let expected = if a == b { 1.44 } else { 0.0 };
                assert!((product - expected).abs() < 1e-5, "{map:?}");
            }
        }
    }

    #[test]
    fn rotations_respect_anisotropic_spacing() {
        // A quarter turn about the axis right maps six voxels of 1 mm to one voxel of 6 mm.
        let quarter_turn = [std::f64::consts::FRAC_PI_2, 0.0, 0.0];
        let map = scan_from_patch(quarter_turn, [1.0; 3], [1.0, 1.0, 6.0]);
        let turned: [f32; 3] = std::array::from_fn(|a| map[a][1] * 6.0);
        let expected = [0.0, 0.0, 1.0];
        assert!(turned.iter().zip(expected).all(|(t, e)| (t - e).abs() < 1e-6), "{turned:?}");
    }

    #[test]
    fn drawn_angles_and_factors_are_within_the_settings() {
        let settings = AugmentSettings {
            rotate_degrees: [0.0, 0.0, 20.0],
            scale: [0.1, 0.1, 0.0],
            ..AugmentSettings::none()
        };
        let (mut largest_angle, mut factors) = (0.0f32, Vec::new());
        for number in 0..500 {
            let mut random = generator(1, RngStream::Patch, number);
            let map = draw(&mut random, &settings, [1.0; 3]).unwrap();
            assert_eq!((map[2], map[0][2], map[1][2]), ([0.0, 0.0, 1.0], 0.0, 0.0));
            let factor = map[0][0].hypot(map[1][0]);
            assert!((1.0 / 1.1001..1.1001).contains(&factor), "{factor}");
            factors.push(factor);
            largest_angle = largest_angle.max(map[1][0].atan2(map[0][0]).abs().to_degrees());
        }
        assert!((19.0..20.001).contains(&largest_angle), "{largest_angle}");
        let shrunk = factors.iter().filter(|factor| **factor < 1.0).count();
        assert!((200..300).contains(&shrunk), "expected about half to shrink, found {shrunk}");
    }
}
