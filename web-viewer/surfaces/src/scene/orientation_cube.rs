//! A cube with the letters of the patient's directions.

use glam::{Vec3, Vec3Swizzles};

use super::camera::Camera;

/// A face of the cube that is seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CubeFace {
    /// The direction: R, L, A, P, S or I.
    pub letter: char,
    /// The corners on the screen, right and down from the cube's middle. The cube's half edge is 1.
    pub corners: [[f32; 2]; 4],
    /// The middle of the face on the screen.
    pub middle: [f32; 2],
    /// How much the face is turned to the viewer, from 0 to 1.
    pub facing: f32,
}

/// The directions, in RAS.
const DIRECTIONS: [(char, Vec3); 6] = [
    ('R', Vec3::X),
    ('L', Vec3::NEG_X),
    ('A', Vec3::Y),
    ('P', Vec3::NEG_Y),
    ('S', Vec3::Z),
    ('I', Vec3::NEG_Z),
];

/// Returns the faces of the cube that a camera sees, at most three.
pub fn orientation_cube(camera: Camera) -> Vec<CubeFace> {
    let view_from_world = camera.view_from_world();
    let on_screen = |point: Vec3| {
        let seen = view_from_world * point;
        [seen.x, -seen.y]
    };
    let faces = DIRECTIONS.into_iter().map(|(letter, normal)| {
        // Two edges of the face: the other axes, in order.
        let (across, along) = (normal.yzx(), normal.zxy());
        let corners = [[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0], [-1.0, 1.0]];
        CubeFace {
            letter,
            corners: corners.map(|[a, b]| on_screen(normal + across * a + along * b)),
            middle: on_screen(normal),
            facing: (view_from_world * normal).z,
        }
    });
    // A face that is seen edgewise has no place for a letter.
    faces.filter(|face| face.facing > 0.03).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_camera_sees_front_left_and_top() {
        let letters: String =
            orientation_cube(Camera::default()).iter().map(|face| face.letter).collect();
        assert_eq!(letters, "LAS");
        let from_behind = Camera::default().turned(std::f32::consts::PI, -0.6);
        let letters: String =
            orientation_cube(from_behind).iter().map(|face| face.letter).collect();
        assert_eq!(letters, "RPI");
    }

    #[test]
    fn superior_is_up_and_the_left_is_on_the_right() {
        let faces = orientation_cube(Camera::default());
        let middle = |letter| faces.iter().find(|face| face.letter == letter).unwrap().middle;
        assert!(middle('S')[1] < middle('A')[1] && middle('L')[0] > middle('A')[0]);
        let corner_mean = |n: usize| faces[0].corners.iter().map(|c| c[n]).sum::<f32>() / 4.0;
        assert!((corner_mean(0) - faces[0].middle[0]).abs() < 1e-6);
    }
}
