//! The direction from which a scene is seen, and the projection onto the screen.

use glam::{Mat3, Vec3};

use crate::surface::Mesh;

/// The largest and the smallest magnification.
const MOST: f32 = 24.0;
const LEAST: f32 = 0.25;

/// The part of the shorter side of the screen that the scene fills.
const FILLED: f32 = 0.9;

/// A camera that looks at the middle of the scene, without perspective, so that a scale bar is right at
/// every depth. The patient's head stays up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Camera {
    /// The direction to the viewer around the patient's long axis, in radians: 0 is anterior, π/2 the
    /// patient's right.
    azimuth: f32,
    /// The direction to the viewer above the axial plane, in radians, from −π/2 to π/2.
    elevation: f32,
    /// The magnification: 1 shows the whole scene.
    zoom: f32,
    /// The movement of the picture, in radii of the scene, right and up.
    moved: [f32; 2],
}

impl Default for Camera {
    /// From the front, somewhat from the patient's left and from above: the patient's right is on the
    /// left, as in radiological slices.
    fn default() -> Camera {
        Camera { azimuth: -0.45, elevation: 0.3, zoom: 1.0, moved: [0.0; 2] }
    }
}

/// The part of the world that a camera shows as a whole: a ball.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// The middle, in RAS millimeters.
    pub center_mm: [f32; 3],
    /// The radius.
    pub radius_mm: f32,
}

impl Frame {
    /// Returns the smallest frame that holds meshes, with its middle in that of their common box.
    /// `None` without a vertex.
    pub fn around<'a>(meshes: impl Iterator<Item = &'a Mesh> + Clone) -> Option<Frame> {
        let boxes = meshes.clone().filter_map(Mesh::bounds_mm).map(|bounds| bounds.map(Vec3::from));
        let [low, high] = boxes.reduce(|[l, h], [low, high]| [l.min(low), h.max(high)])?;
        let center = (low + high) / 2.0;
        let squares = meshes.flat_map(|mesh| &mesh.vertices);
        let squares = squares.map(|vertex| center.distance_squared((*vertex).into()));
        let radius_mm = squares.fold(0.0, f32::max).sqrt().max(1e-3);
        Some(Frame { center_mm: center.into(), radius_mm })
    }
}

/// The map from the world to points of a screen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Projection {
    /// From RAS to right, up and toward the viewer.
    pub view_from_world: Mat3,
    center: Vec3,
    middle: [f32; 2],
    /// The points of the screen for each millimeter.
    pub points_per_mm: f32,
}

impl Camera {
    /// Turns the scene with the pointer: to the right, and down, in radians.
    pub fn turned(self, right: f32, down: f32) -> Camera {
        let quarter = std::f32::consts::FRAC_PI_2;
        Camera {
            azimuth: (self.azimuth + right) % std::f32::consts::TAU,
            elevation: (self.elevation + down).clamp(-quarter, quarter),
            ..self
        }
    }

    /// Multiplies the magnification.
    pub fn magnified(self, times: f32) -> Camera {
        let zoom = (self.zoom * times).clamp(LEAST, MOST);
        // The middle of the picture stays there.
        let moved = self.moved.map(|x| x * zoom / self.zoom);
        Camera { zoom, moved, ..self }.kept_in_sight()
    }

    /// Moves the picture by points of a screen of `size`, right and down.
    pub fn shifted(self, size: [f32; 2], right: f32, down: f32) -> Camera {
        let radius = self.points_per_radius(size).max(1e-6);
        let [x, y] = self.moved;
        let zoom = self.zoom;
        let moved = [x + right / radius * zoom, y - down / radius * zoom];
        Camera { moved, ..self }.kept_in_sight()
    }

    fn kept_in_sight(self) -> Camera {
        Camera { moved: self.moved.map(|x| x.clamp(-self.zoom, self.zoom)), ..self }
    }

    /// Returns the magnification.
    pub fn zoom(self) -> f32 {
        self.zoom
    }

    fn points_per_radius(self, size: [f32; 2]) -> f32 {
        self.zoom * FILLED * size[0].min(size[1]) / 2.0
    }

    /// Returns the turn from RAS to right, up and toward the viewer.
    pub fn view_from_world(self) -> Mat3 {
        let (sin, cos) = self.azimuth.sin_cos();
        let right = Vec3::new(-cos, sin, 0.0);
        let (above, ahead) = self.elevation.sin_cos();
        let toward = Vec3::new(ahead * sin, ahead * cos, above);
        let up = toward.cross(right);
        Mat3::from_cols(right, up, toward).transpose()
    }

    /// Returns the projection of a frame onto a screen of `size` points.
    pub fn project(self, frame: &Frame, size: [f32; 2]) -> Projection {
        let per_radius = self.points_per_radius(size);
        let per_moved = per_radius / self.zoom;
        Projection {
            view_from_world: self.view_from_world(),
            center: frame.center_mm.into(),
            middle: [
                size[0] / 2.0 + self.moved[0] * per_moved,
                size[1] / 2.0 - self.moved[1] * per_moved,
            ],
            points_per_mm: per_radius / frame.radius_mm,
        }
    }
}

impl Projection {
    /// Returns the point of the screen, right and down, and the height toward the viewer in mm.
    pub fn apply(&self, world_mm: [f32; 3]) -> [f32; 3] {
        let [x, y, z] = (self.view_from_world * (Vec3::from(world_mm) - self.center)).into();
        let scale = self.points_per_mm;
        [self.middle[0] + scale * x, self.middle[1] - scale * y, z]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Frame = Frame { center_mm: [10.0, 20.0, 30.0], radius_mm: 50.0 };
    const FRONT: Camera = Camera { azimuth: 0.0, elevation: 0.0, zoom: 1.0, moved: [0.0; 2] };

    fn at(camera: Camera, ras: [f32; 3]) -> [f32; 3] {
        let world = std::array::from_fn(|axis| FRAME.center_mm[axis] + ras[axis]);
        let [x, y, z] = camera.project(&FRAME, [200.0, 100.0]).apply(world);
        [x - 100.0, y - 50.0, z]
    }

    #[test]
    fn from_the_front_the_patients_right_is_on_the_left() {
        assert!(at(FRONT, [1.0, 0.0, 0.0])[0] < 0.0);
        assert!(at(FRONT, [0.0, 0.0, 1.0])[1] < 0.0, "superior is up");
        assert_eq!(at(FRONT, [0.0, 1.0, 0.0])[2], 1.0, "anterior is near");
        assert!(FRONT.view_from_world().determinant() > 0.999);
        // The ball of the frame fits the shorter side.
        assert_eq!(at(FRONT, [0.0, 0.0, 50.0])[1], -45.0);
    }

    #[test]
    fn the_scene_follows_the_pointer() {
        // A point near the viewer moves as the pointer does.
        let near = [0.0, 40.0, 0.0];
        assert!(at(FRONT.turned(0.3, 0.0), near)[0] > 5.0);
        assert!(at(FRONT.turned(0.0, 0.3), near)[1] > 5.0);
        let far = FRONT.turned(0.0, 100.0);
        assert!((at(far, [0.0, 0.0, 1.0])[2] - 1.0).abs() < 1e-5, "not beyond the top");
        let moved = FRONT.magnified(2.0).shifted([200.0, 100.0], 7.0, -3.0);
        let [x, y, _] = at(moved, [0.0; 3]);
        assert!((x - 7.0).abs() < 1e-4 && (y + 3.0).abs() < 1e-4, "{x} {y}");
    }

    #[test]
    fn magnification_has_limits_and_keeps_the_scene_in_sight() {
        let camera = FRONT.magnified(1e9).shifted([200.0, 100.0], 1e9, 1e9);
        assert_eq!(camera.zoom(), MOST);
        let whole = camera.magnified(1e-9);
        assert_eq!(whole.zoom(), LEAST);
        let [x, y, _] = at(whole.magnified(4.0), [0.0; 3]);
        assert!(x.abs() <= 100.0 && y.abs() <= 50.0, "{x} {y}");
    }

    #[test]
    fn a_frame_holds_every_vertex() {
        let mesh = |vertices: &[[f32; 3]]| Mesh { vertices: vertices.to_vec(), triangles: vec![] };
        let meshes = [mesh(&[[0.0; 3], [4.0, 2.0, 2.0]]), mesh(&[[-2.0, 0.0, 1.0]]), mesh(&[])];
        let frame = Frame::around(meshes.iter()).unwrap();
        assert_eq!(frame.center_mm, [1.0, 1.0, 1.0]);
        assert!((frame.radius_mm - 11.0f32.sqrt()).abs() < 1e-6, "{}", frame.radius_mm);
        assert_eq!(Frame::around(meshes[2..].iter()), None);
    }
}
