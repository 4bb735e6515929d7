//! Rotation and scaling of a patch.

use rand::Rng;

use super::{bernoulli, signed};
use trainer_run::config::AugmentSettings;

/// From offsets to a patch's center, in voxels, to offsets in the scan; none where neither happens.
pub(super) fn draw(
    random: &mut impl Rng,
    settings: &AugmentSettings,
    spacing_mm: [f64; 3],
) -> Option<[[f32; 3]; 3]> {
    let most = |amounts: [f64; 3]| amounts.into_iter().fold(0.0, f64::max);
    let angles = bernoulli(random, most(settings.rotate_degrees), settings.rotate_fraction)
        .then(|| settings.rotate_degrees.map(|most| most.to_radians() * signed(random)));
    let factors = bernoulli(random, most(settings.scale), settings.scale_fraction).then(|| {
        let power = signed(random);
        settings.scale.map(|most| (1.0 + most).powf(power))
    });
    (angles.is_some() || factors.is_some())
        .then(|| map(angles.unwrap_or_default(), factors.unwrap_or([1.0; 3]), spacing_mm))
}

/// Rotations about right, front and top, one after the other, of an offset in mm that was
/// multiplied by the factors; from voxels to voxels.
fn map(angles: [f64; 3], factors: [f64; 3], spacing_mm: [f64; 3]) -> [[f32; 3]; 3] {
    let mut map = [[0.0; 3]; 3];
    for axis in 0..3 {
        map[axis][axis] = factors[axis] * spacing_mm[axis];
    }
    for (axis, angle) in angles.into_iter().enumerate() {
        let (sine, cosine) = angle.sin_cos();
        let (a, b) = ((axis + 1) % 3, (axis + 2) % 3);
        let (x, y) = (map[a], map[b]);
        map[a] = std::array::from_fn(|n| cosine * x[n] - sine * y[n]);
        map[b] = std::array::from_fn(|n| sine * x[n] + cosine * y[n]);
    }
    std::array::from_fn(|axis| map[axis].map(|x| (x / spacing_mm[axis]) as f32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use trainer_run::rng::{RngStream, generator};

    #[test]
    fn rotations_keep_lengths_and_scaling_changes_them() {
        let map = map([0.3, -0.7, 1.1], [1.2; 3], [1.0; 3]);
        for a in 0..3 {
            for b in 0..3 {
                let product: f32 = (0..3).map(|n| map[a][n] * map[b][n]).sum();
                let expected = if a == b { 1.44 } else { 0.0 };
                assert!((product - expected).abs() < 1e-5, "{map:?}");
            }
        }
    }

    #[test]
    fn thick_slices_are_turned_as_what_they_show() {
        // A quarter turn about right takes six voxels of 1 mm to one of 6 mm.
        let map = map([std::f64::consts::FRAC_PI_2, 0.0, 0.0], [1.0; 3], [1.0, 1.0, 6.0]);
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
        let (mut most_angle, mut factors) = (0.0f32, Vec::new());
        for number in 0..500 {
            let mut random = generator(1, RngStream::Patch, number);
            let map = draw(&mut random, &settings, [1.0; 3]).unwrap();
            assert_eq!((map[2], map[0][2], map[1][2]), ([0.0, 0.0, 1.0], 0.0, 0.0));
            let factor = map[0][0].hypot(map[1][0]);
            assert!((1.0 / 1.1001..1.1001).contains(&factor), "{factor}");
            factors.push(factor);
            most_angle = most_angle.max(map[1][0].atan2(map[0][0]).abs().to_degrees());
        }
        assert!((19.0..20.001).contains(&most_angle), "{most_angle}");
        let shrunk = factors.iter().filter(|factor| **factor < 1.0).count();
        assert!((200..300).contains(&shrunk), "as often up as down: {shrunk}");
    }
}
