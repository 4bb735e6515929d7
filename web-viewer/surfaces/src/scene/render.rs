//! Draws shapes as RGBA pixels: opaque ones with their depths, shells over them.

use glam::Vec3;

use super::camera::{Camera, Frame, Projection};
use super::light::{brightness, lit, shell_opacity};
use super::raster::{Corner, Layer};
use crate::surface::Mesh;

/// A surface to be drawn.
#[derive(Clone, Copy)]
pub struct Shape<'a> {
    /// The surface, in RAS millimeters.
    pub mesh: &'a Mesh,
    /// The unit normal of each vertex, outward.
    pub normals: &'a [[f32; 3]],
    /// The color, sRGB.
    pub color: [u8; 3],
    /// Whether the surface is drawn as a shell, through which others are seen.
    pub is_shell: bool,
}

/// How smooth edges are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quality {
    /// One sample for each pixel, while the scene turns.
    Draft,
    /// Four samples for each pixel.
    Smooth,
}

/// A shell is drawn over a surface inside it unless it lies farther behind than this part of the scene's
/// radius. Where the two touch, the shell is drawn evenly.
const TOUCHING: f32 = 0.03;

/// The buffers of a picture, kept for the next one.
#[derive(Default)]
pub struct Renderer {
    corners: Vec<Corner>,
    solid: Layer,
    shells: Vec<Layer>,
    pixels: Vec<u8>,
}

impl Renderer {
    /// Draws shapes on black. Equal inputs give equal pixels.
    ///
    /// Takes 14 bytes for each sample, once for the opaque shapes and once for each shell.
    ///
    /// # Shapes
    /// - size: the width and the height in pixels
    /// - output: 4 bytes (RGBA) for each pixel, row by row from the top
    ///
    /// # Panics
    /// If a shape has not one normal for each vertex.
    pub fn draw(
        &mut self,
        shapes: &[Shape<'_>],
        camera: Camera,
        frame: &Frame,
        size: [usize; 2],
        quality: Quality,
    ) -> &[u8] {
        let samples = match quality {
            Quality::Draft => 1,
            Quality::Smooth => 2,
        };
        let sampled = size.map(|pixels| pixels * samples);
        let projection = camera.project(frame, sampled.map(|points| points as f32));
        self.solid.clear(sampled);
        let num_shells = shapes.iter().filter(|shape| shape.is_shell).count();
        self.shells.resize_with(num_shells, Layer::default);
        let mut shells = self.shells.iter_mut();
        for (n, shape) in shapes.iter().enumerate() {
            let layer = match shape.is_shell {
                true => {
                    let shell = shells.next().expect("a layer for each shell");
                    shell.clear(sampled);
                    shell
                }
                false => &mut self.solid,
            };
            draw_shape(layer, &mut self.corners, shape, &projection, n as u16);
        }
        let colors: Vec<[u8; 3]> = shapes.iter().map(|shape| shape.color).collect();
        self.blend(&colors, TOUCHING * frame.radius_mm, size, samples);
        &self.pixels
    }

    /// Blends the layers, and averages the samples of each pixel.
    fn blend(&mut self, colors: &[[u8; 3]], touching: f32, size: [usize; 2], samples: usize) {
        let Renderer { solid, shells, pixels, .. } = self;
        let blending = Blending { solid, shells, colors, touching };
        let share = 1.0 / (samples * samples) as f32;
        pixels.clear();
        pixels.resize(4 * size[0] * size[1], 0);
        let mut over = Vec::with_capacity(shells.len());
        for (y, row) in pixels.chunks_exact_mut((4 * size[0]).max(4)).enumerate() {
            let first = y * samples * size[0] * samples;
            for (x, pixel) in row.chunks_exact_mut(4).enumerate() {
                pixel[3] = 255;
                let mut sum = [0.0f32; 3];
                let mut is_covered = false;
                for line in 0..samples {
                    let start = first + x * samples + line * size[0] * samples;
                    for at in start..start + samples {
                        is_covered |= blending.add(at, &mut over, &mut sum);
                    }
                }
                if !is_covered {
                    continue;
                }
                for (byte, sum) in pixel.iter_mut().zip(sum) {
                    *byte = (sum * share + 0.5) as u8;
                }
            }
        }
    }
}

/// What the samples are blended from.
struct Blending<'a> {
    solid: &'a Layer,
    shells: &'a [Layer],
    colors: &'a [[u8; 3]],
    touching: f32,
}

impl Blending<'_> {
    /// Adds the color of a sample, and returns whether a shape covers it. `over` is room for the shells
    /// over the opaque surface, by height.
    fn add(&self, at: usize, over: &mut Vec<(f32, usize)>, sum: &mut [f32; 3]) -> bool {
        let height = self.solid.heights[at];
        over.clear();
        for (shell, layer) in self.shells.iter().enumerate() {
            let own = layer.heights[at];
            if own > f32::NEG_INFINITY && own >= height - self.touching {
                over.push((own, shell));
            }
        }
        let mut color = [0.0; 3];
        if height > f32::NEG_INFINITY {
            color = lit(self.colors[usize::from(self.solid.shapes[at])], self.solid.looks[at][0]);
        } else if over.is_empty() {
            return false;
        }
        if over.len() > 1 {
            over.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        }
        for (_, shell) in over {
            let layer = &self.shells[*shell];
            let [brightness, opacity] = layer.looks[at];
            let own = lit(self.colors[usize::from(layer.shapes[at])], brightness);
            for (value, own) in color.iter_mut().zip(own) {
                *value += (own - *value) * opacity;
            }
        }
        sum.iter_mut().zip(color).for_each(|(sum, value)| *sum += value);
        true
    }
}

/// Draws a shape into its layer.
fn draw_shape(
    layer: &mut Layer,
    corners: &mut Vec<Corner>,
    shape: &Shape<'_>,
    projection: &Projection,
    number: u16,
) {
    let Mesh { vertices, triangles } = shape.mesh;
    assert_eq!(vertices.len(), shape.normals.len(), "a normal for each vertex");
    corners.clear();
    corners.extend(vertices.iter().zip(shape.normals).map(|(vertex, normal)| {
        let [x, y, height] = projection.apply(*vertex);
        let normal = projection.view_from_world * Vec3::from(*normal);
        let opacity = if shape.is_shell { shell_opacity(normal) } else { 1.0 };
        Corner::new([x, y], height, brightness(normal), opacity)
    }));
    for triangle in triangles {
        layer.draw(triangle.map(|n| &corners[n as usize]), number);
    }
}

#[cfg(test)]
mod tests {
    use model_core::Affine;

    use super::*;
    use crate::surface::region_mesh;
    use crate::surface::test_balls::ball;

    const SIZE: [usize; 2] = [60, 40];

    struct Ball {
        mesh: Mesh,
        normals: Vec<[f32; 3]>,
    }

    impl Ball {
        fn new(radius: f64, offset_mm: f64) -> Ball {
            let middle = radius.ceil() + 2.0;
            let mut rows = Affine::from_spacing([1.0; 3]).rows();
            rows.iter_mut().for_each(|row| row[3] = -middle);
            rows[1][3] += offset_mm;
            let mesh = region_mesh(&ball(radius, Affine::from_rows(rows)), &[1]);
            let normals = mesh.normals();
            Ball { mesh, normals }
        }

        fn shape(&self, color: [u8; 3], is_shell: bool) -> Shape<'_> {
            Shape { mesh: &self.mesh, normals: &self.normals, color, is_shell }
        }
    }

    fn draw(shapes: &[Shape<'_>], quality: Quality) -> Vec<u8> {
        let frame = Frame { center_mm: [0.0; 3], radius_mm: 10.0 };
        Renderer::default().draw(shapes, Camera::default(), &frame, SIZE, quality).to_vec()
    }

    fn pixel(pixels: &[u8], [x, y]: [usize; 2]) -> [u8; 3] {
        std::array::from_fn(|n| pixels[4 * (x + SIZE[0] * y) + n])
    }

    #[test]
    fn a_ball_is_a_disk_of_its_radius() {
        let ball = Ball::new(8.0, 0.0);
        for quality in [Quality::Draft, Quality::Smooth] {
            let pixels = draw(&[ball.shape([0, 255, 0], false)], quality);
            let num_lit = pixels.chunks_exact(4).filter(|pixel| pixel[1] > 20).count() as f64;
            // 20 points × 0.9 for 10 mm.
            let expected = std::f64::consts::PI * (8.0f64 * 2.0 * 0.9).powi(2);
            assert!((num_lit / expected - 1.0).abs() < 0.06, "{num_lit} {expected}");
            assert_eq!(pixel(&pixels, [0, 0]), [0; 3]);
            assert!(pixels.chunks_exact(4).all(|pixel| pixel[3] == 255));
            // The light comes from the upper left.
            let [bright, dark] = [[24, 13], [37, 27]].map(|at| pixel(&pixels, at)[1]);
            assert!(bright > dark + 40, "{bright} {dark}");
        }
    }

    #[test]
    fn an_inner_surface_is_seen_through_a_shell() {
        let (outer, inner) = (Ball::new(9.0, 0.0), Ball::new(4.0, 0.0));
        let shapes = [outer.shape([255, 0, 0], true), inner.shape([0, 0, 255], false)];
        let pixels = draw(&shapes, Quality::Draft);
        let [red, _, blue] = pixel(&pixels, [30, 20]);
        assert!(blue > 120 && red > 30, "{red} {blue}");
        let [red, _, blue] = pixel(&pixels, [42, 20]);
        assert!(blue < 10 && red > 20, "beside the inner ball: {red} {blue}");
        // The order of the shapes does not matter.
        assert_eq!(pixels, draw(&[shapes[1], shapes[0]], Quality::Draft));
    }

    #[test]
    fn an_opaque_surface_hides_what_is_behind_it() {
        let (near, far) = (Ball::new(5.0, 4.0), Ball::new(5.0, -4.0));
        let shapes = [far.shape([255, 0, 0], true), near.shape([0, 0, 255], false)];
        let pixels = draw(&shapes, Quality::Draft);
        let at_near = draw(&[near.shape([0, 0, 255], false)], Quality::Draft);
        let at_middle = [33, 18];
        assert!(pixel(&at_near, at_middle)[2] > 100);
        assert_eq!(pixel(&pixels, at_middle), pixel(&at_near, at_middle));
    }

    #[test]
    fn a_picture_without_shapes_or_pixels_is_black_or_empty() {
        assert!(draw(&[], Quality::Smooth).chunks_exact(4).all(|pixel| pixel == [0, 0, 0, 255]));
        let frame = Frame { center_mm: [0.0; 3], radius_mm: 10.0 };
        let ball = Ball::new(3.0, 0.0);
        let shapes = [ball.shape([9; 3], true)];
        let mut renderer = Renderer::default();
        let empty = renderer.draw(&shapes, Camera::default(), &frame, [0, 5], Quality::Draft);
        assert!(empty.is_empty());
    }
}
