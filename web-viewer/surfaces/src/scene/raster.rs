//! Draws triangles into a buffer with depths (Pineda, "A parallel algorithm for polygon
//! rasterization", SIGGRAPH 1988).

/// The steps of a point of the screen in which corners are rounded. With integers, neighboring
/// triangles leave no gaps.
const STEP: i64 = 16;

/// The largest coordinate of a corner in steps. Products of two stay far below 2⁶³.
const FARTHEST: i32 = 1 << 24;

/// A projected corner of a triangle.
#[derive(Debug, Clone, Copy, Default)]
pub struct Corner {
    /// The point of the screen, right and down, in steps.
    steps: [i32; 2],
    /// The height toward the viewer.
    pub height: f32,
    /// The brightness.
    pub brightness: f32,
    /// The opacity.
    pub opacity: f32,
}

impl Corner {
    /// Makes a corner at a point of the screen.
    pub fn new(point: [f32; 2], height: f32, brightness: f32, opacity: f32) -> Corner {
        // The conversion saturates, and maps NaN to 0.
        let steps = point.map(|x| ((x * STEP as f32) as i32).clamp(-FARTHEST, FARTHEST));
        Corner { steps, height, brightness, opacity }
    }
}

/// The nearest surface at each pixel.
#[derive(Debug, Default)]
pub struct Layer {
    size: [usize; 2],
    /// The height of the nearest surface toward the viewer; −∞ where there is none.
    pub heights: Vec<f32>,
    /// The brightness and the opacity of the nearest surface.
    pub looks: Vec<[f32; 2]>,
    /// The shape of the nearest surface.
    pub shapes: Vec<u16>,
}

impl Layer {
    /// Empties the layer, for a picture of `size` pixels.
    pub fn clear(&mut self, size: [usize; 2]) {
        let num_pixels = size[0] * size[1];
        self.size = size;
        self.heights.clear();
        self.heights.resize(num_pixels, f32::NEG_INFINITY);
        // What these held is overwritten together with a height.
        self.looks.resize(num_pixels, [0.0; 2]);
        self.shapes.resize(num_pixels, 0);
    }

    /// Draws a triangle where it is nearer than what is there, if it faces the viewer: if its corners
    /// are counterclockwise on the screen.
    pub fn draw(&mut self, corners: [&Corner; 3], shape: u16) {
        let [a, b, c] = corners.map(|corner| corner.steps.map(i64::from));
        // Twice the area, in steps; positive if counterclockwise, because the screen's y points down.
        let area = (c[0] - a[0]) * (b[1] - a[1]) - (b[0] - a[0]) * (c[1] - a[1]);
        if area <= 0 {
            return;
        }
        let [mut first, mut last] = [[0; 2]; 2];
        for axis in 0..2 {
            let low = a[axis].min(b[axis]).min(c[axis]);
            let high = a[axis].max(b[axis]).max(c[axis]);
            // Pixels whose middles are between the lowest and the highest corner.
            let from = (low - STEP / 2 + STEP - 1).div_euclid(STEP).max(0);
            let to = (high - STEP / 2).div_euclid(STEP).min(self.size[axis] as i64 - 1);
            if from > to {
                return;
            }
            [first[axis], last[axis]] = [from, to];
        }
        // The weight of each corner grows with the distance from the opposite edge.
        let start = first.map(|pixel| pixel * STEP + STEP / 2);
        let edges = [[b, c], [c, a], [a, b]].map(|[from, to]| {
            let [dx, dy] = [to[0] - from[0], to[1] - from[1]];
            let at_start = (start[0] - from[0]) * dy - (start[1] - from[1]) * dx;
            [at_start, dy * STEP, -dx * STEP]
        });
        // A value at the first corner, and the weights of its differences at the others.
        let scale = 1.0 / area as f32;
        let [second, third] = [edges[1], edges[2]].map(|edge| edge.map(|x| x as f32 * scale));
        let mix = |value: fn(&Corner) -> f32| {
            let [first, b, c] = corners.map(value);
            let part = |n: usize| second[n] * (b - first) + third[n] * (c - first);
            [first + part(0), part(1), part(2)]
        };
        let height = mix(|corner| corner.height);
        let brightness = mix(|corner| corner.brightness);
        let opacity = mix(|corner| corner.opacity);
        let mut row_weights = edges.map(|edge| edge[0]);
        for y in first[1]..=last[1] {
            let down = (y - first[1]) as f32;
            let mut weights = row_weights;
            let row = y as usize * self.size[0];
            let mut is_entered = false;
            for x in first[0]..=last[0] {
                if weights[0] | weights[1] | weights[2] >= 0 {
                    is_entered = true;
                    let right = (x - first[0]) as f32;
                    let at = |[base, dx, dy]: [f32; 3]| base + right * dx + down * dy;
                    let (pixel, height) = (row + x as usize, at(height));
                    if height > self.heights[pixel] {
                        self.heights[pixel] = height;
                        self.looks[pixel] = [at(brightness), at(opacity)];
                        self.shapes[pixel] = shape;
                    }
                } else if is_entered {
                    // A triangle has no gap within a row.
                    break;
                }
                for (weight, edge) in weights.iter_mut().zip(&edges) {
                    *weight += edge[1];
                }
            }
            for (weight, edge) in row_weights.iter_mut().zip(&edges) {
                *weight += edge[2];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corner(x: f32, y: f32, height: f32) -> Corner {
        Corner::new([x, y], height, x, 1.0)
    }

    fn layer() -> Layer {
        let mut layer = Layer::default();
        layer.clear([8, 4]);
        layer
    }

    #[test]
    fn a_square_of_two_triangles_has_no_gap() {
        let mut layer = layer();
        let [a, b, c, d] = [
            corner(1.0, 1.0, 0.0),
            corner(1.0, 3.0, 0.0),
            corner(6.0, 3.0, 5.0),
            corner(6.0, 1.0, 5.0),
        ];
        layer.draw([&a, &b, &c], 1);
        layer.draw([&a, &c, &d], 2);
        for n in 0..32 {
            let (x, y) = (n % 8, n / 8);
            let is_inside = (1..6).contains(&x) && (1..3).contains(&y);
            assert_eq!(layer.heights[n] > f32::NEG_INFINITY, is_inside, "{x} {y}");
            if is_inside {
                let expected = x as f32 + 0.5;
                assert!((layer.looks[n][0] - expected).abs() < 1e-4, "{x} {y}");
                assert!((layer.heights[n] - (expected - 1.0)).abs() < 1e-4, "{x} {y}");
            }
        }
    }

    #[test]
    fn the_nearer_surface_wins_in_any_order() {
        let triangle = |height| {
            [corner(0.0, 0.0, height), corner(0.0, 8.0, height), corner(16.0, 0.0, height)]
        };
        for heights in [[1.0, 2.0], [2.0, 1.0]] {
            let mut layer = layer();
            for height in heights {
                let [a, b, c] = triangle(height);
                layer.draw([&a, &b, &c], height as u16);
            }
            assert_eq!((layer.heights[0], layer.shapes[0]), (2.0, 2));
        }
    }

    #[test]
    fn triangles_that_face_away_or_lie_outside_draw_nothing() {
        let mut layer = layer();
        let (a, b, c) = (corner(0.0, 0.0, 0.0), corner(0.0, 4.0, 0.0), corner(8.0, 0.0, 0.0));
        layer.draw([&a, &c, &b], 1);
        let far = [corner(1e30, 0.0, 0.0), corner(f32::NAN, 4.0, 0.0), corner(-1e30, -9.0, 0.0)];
        layer.draw([&far[0], &far[1], &far[2]], 1);
        layer.draw([&a, &a, &b], 1);
        assert!(layer.heights.iter().all(|height| *height == f32::NEG_INFINITY));
    }
}
