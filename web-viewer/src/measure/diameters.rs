//! The two perpendicular diameters of a shape in a slice, as response criteria for brain tumors take them
//! (Macdonald et al. 1990; RANO, Wen et al. 2010).

/// The ends of the longest diameter and of the longest one perpendicular to it, in pixels; the center of
/// the first pixel is (0, 0).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Diameters {
    /// The ends of the longest diameter.
    pub long: [[f64; 2]; 2],
    /// The ends of the perpendicular one.
    pub short: [[f64; 2]; 2],
}

/// The most border points that are compared in pairs. Of more, every n-th is taken.
const MAX_POINTS: usize = 1200;
/// The distance, in pixels, by which a diameter may leave the shape: the border is made of steps.
const STEP: f64 = 0.75;

/// A filled shape with its spacing.
struct Filled {
    inside: Vec<bool>,
    size: [usize; 2],
    spacing_mm: [f64; 2],
}

/// Returns the diameters of a shape; `None` if it has no pixel.
///
/// The ends lie halfway between a pixel inside and one outside. Holes are filled, so that a ring of
/// enhancement is measured with what it encloses. A diameter does not leave the shape, and the perpendicular
/// one crosses the longest.
///
/// # Shapes
/// - inside: `[height][width]` of `size` = `[width, height]`
pub fn largest_diameters(
    inside: &[bool],
    size: [usize; 2],
    spacing_mm: [f64; 2],
) -> Option<Diameters> {
    let shape = Filled { inside: filled(inside, size), size, spacing_mm };
    let border = shape.border();
    let long = shape.longest(&border)?;
    Some(Diameters { long, short: shape.perpendicular(long) })
}

/// Returns the shape with its holes: the pixels that cannot be reached from the slice's edge.
fn filled(inside: &[bool], [width, height]: [usize; 2]) -> Vec<bool> {
    let mut is_open = vec![false; inside.len()];
    let on_edge = |n: &usize| {
        let (x, y) = (n % width, n / width);
        x == 0 || y == 0 || x + 1 == width || y + 1 == height
    };
    let mut stack: Vec<usize> = (0..inside.len()).filter(on_edge).filter(|&n| !inside[n]).collect();
    stack.iter().for_each(|&n| is_open[n] = true);
    while let Some(n) = stack.pop() {
        let (x, y) = (n % width, n / width);
        let mut visit = |has: bool, other: usize| {
            if has && !inside[other] && !is_open[other] {
                is_open[other] = true;
                stack.push(other);
            }
        };
        visit(x > 0, n.wrapping_sub(1));
        visit(x + 1 < width, n + 1);
        visit(y > 0, n.wrapping_sub(width));
        visit(y + 1 < height, n + width);
    }
    is_open.iter().map(|open| !open).collect()
}

impl Filled {
    fn has(&self, x: isize, y: isize) -> bool {
        let [width, height] = self.size.map(|n| n as isize);
        (0..width).contains(&x) && (0..height).contains(&y) && self.inside[(x + width * y) as usize]
    }

    /// Returns the points halfway between neighbors inside and outside.
    fn border(&self) -> Vec<[f64; 2]> {
        let mut points = Vec::new();
        for n in (0..self.inside.len()).filter(|&n| self.inside[n]) {
            let (x, y) = ((n % self.size[0]) as isize, (n / self.size[0]) as isize);
            for (dx, dy) in [(1, 0), (-1, 0), (0, 1), (0, -1)] {
                if !self.has(x + dx, y + dy) {
                    points.push([x as f64 + 0.5 * dx as f64, y as f64 + 0.5 * dy as f64]);
                }
            }
        }
        let step = points.len().div_ceil(MAX_POINTS).max(1);
        points.into_iter().step_by(step).collect()
    }

    fn squared_mm(&self, a: [f64; 2], b: [f64; 2]) -> f64 {
        (0..2).map(|n| ((a[n] - b[n]) * self.spacing_mm[n]).powi(2)).sum()
    }

    /// Returns the two border points that are farthest apart with the line between them inside.
    fn longest(&self, border: &[[f64; 2]]) -> Option<[[f64; 2]; 2]> {
        let mut pairs: Vec<(f64, u32, u32)> = Vec::new();
        for (n, &a) in border.iter().enumerate() {
            for (m, &b) in border.iter().enumerate().skip(n + 1) {
                pairs.push((self.squared_mm(a, b), n as u32, m as u32));
            }
        }
        // Of equal ones the first, so that the result does not depend on the sorting.
        pairs.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        let ends = |&(_, n, m): &(f64, u32, u32)| [border[n as usize], border[m as usize]];
        pairs.iter().map(ends).find(|&[a, b]| self.holds_line(a, b))
    }

    /// Returns whether a line stays in the shape.
    fn holds_line(&self, a: [f64; 2], b: [f64; 2]) -> bool {
        let length = (a[0] - b[0]).hypot(a[1] - b[1]);
        let num_steps = (2.0 * length).ceil().max(1.0);
        (0..=num_steps as usize).all(|step| {
            let t = step as f64 / num_steps;
            self.is_near([0, 1].map(|n| a[n] + t * (b[n] - a[n])))
        })
    }

    /// Returns whether a point is in a pixel of the shape, or within a step of the center of one.
    fn is_near(&self, [x, y]: [f64; 2]) -> bool {
        let (left, top) = (x.floor() as isize, y.floor() as isize);
        [(0, 0), (1, 0), (0, 1), (1, 1)].iter().any(|(dx, dy)| {
            let (px, py) = (left + dx, top + dy);
            let distance = (x - px as f64).hypot(y - py as f64);
            distance <= STEP && self.has(px, py)
        })
    }

    /// Returns whether a point is inside the border, which lies halfway between pixels.
    fn is_inside(&self, [x, y]: [f64; 2]) -> bool {
        let (left, top) = (x.floor(), y.floor());
        let value =
            |dx: isize, dy: isize| f64::from(self.has(left as isize + dx, top as isize + dy));
        let (u, v) = (x - left, y - top);
        let upper = (1.0 - u) * value(0, 0) + u * value(1, 0);
        let lower = (1.0 - u) * value(0, 1) + u * value(1, 1);
        (1.0 - v) * upper + v * lower >= 0.5 - 1e-9
    }

    /// Returns the longest line inside the shape that crosses another at a right angle.
    fn perpendicular(&self, [a, b]: [[f64; 2]; 2]) -> [[f64; 2]; 2] {
        let [sx, sy] = self.spacing_mm;
        let along_mm = [(b[0] - a[0]) * sx, (b[1] - a[1]) * sy];
        let length_mm = along_mm[0].hypot(along_mm[1]).max(1e-9);
        // A step of an eighth of a pixel at right angles in millimeters, in pixels.
        let step_mm = sx.min(sy) / 8.0;
        let across =
            [-along_mm[1] / length_mm * step_mm / sx, along_mm[0] / length_mm * step_mm / sy];
        let num_places = (length_mm / step_mm / 2.0).ceil().max(1.0) as usize;
        let mut best = (-1.0, [a, a]);
        for place in 0..=num_places {
            let t = place as f64 / num_places as f64;
            let middle = [0, 1].map(|n| a[n] + t * (b[n] - a[n]));
            let end = |sign: f64| {
                let at = |steps: f64| [0, 1].map(|n| middle[n] + sign * steps * across[n]);
                let mut steps = 0.0;
                while self.is_inside(at(steps + 1.0)) {
                    steps += 1.0;
                }
                (steps, at(steps))
            };
            let ((forward, far), (backward, near)) = (end(1.0), end(-1.0));
            if forward + backward > best.0 {
                best = (forward + backward, [near, far]);
            }
        }
        best.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(size: [usize; 2], inside: impl Fn(f64, f64) -> bool) -> Vec<bool> {
        let pixels = (0..size[0] * size[1]).map(|n| [n % size[0], n / size[0]]);
        pixels.map(|[x, y]| inside(x as f64, y as f64)).collect()
    }

    fn lengths_mm(diameters: Diameters, spacing_mm: [f64; 2]) -> [f64; 2] {
        [diameters.long, diameters.short]
            .map(|[a, b]| ((a[0] - b[0]) * spacing_mm[0]).hypot((a[1] - b[1]) * spacing_mm[1]))
    }

    #[test]
    fn a_tilted_ellipse_has_its_axes() {
        // Half axes of 24 and 12 mm, turned by 30°, on pixels of 1 × 2 mm.
        let (sin, cos) = 30f64.to_radians().sin_cos();
        let spacing_mm = [1.0, 2.0];
        let inside = shape([60, 40], |x, y| {
            let (x, y) = (x - 30.0, 2.0 * (y - 20.0));
            let (u, v) = (cos * x + sin * y, cos * y - sin * x);
            (u / 24.0).powi(2) + (v / 12.0).powi(2) <= 1.0
        });
        let diameters = largest_diameters(&inside, [60, 40], spacing_mm).unwrap();
        let [long, short] = lengths_mm(diameters, spacing_mm);
        assert!((long - 48.0).abs() < 2.0 && (short - 24.0).abs() < 2.0, "{long} × {short}");
        let [[a, b], [c, d]] = [diameters.long, diameters.short];
        let dot = (b[0] - a[0]) * (d[0] - c[0]) + 4.0 * (b[1] - a[1]) * (d[1] - c[1]);
        assert!((dot / (long * short)).abs() < 0.02, "a right angle in millimeters");
    }

    #[test]
    fn a_diameter_stays_in_a_bent_shape() {
        // A half ring with radii of 14 and 20: the ends are 40 apart, but not through the shape.
        let inside = shape([50, 30], |x, y| {
            let radius = (x - 25.0).hypot(y - 2.0);
            (14.0..=20.0).contains(&radius) && y >= 2.0
        });
        let diameters = largest_diameters(&inside, [50, 30], [1.0; 2]).unwrap();
        let [long, short] = lengths_mm(diameters, [1.0; 2]);
        // The longest chord of a ring touches the inner circle: 2 √(20² − 14²) = 28.6.
        assert!((long - 28.6).abs() < 2.0, "{long}");
        // Across the ring it is 6; near an end it runs along the ring for 20² − 14² again, halved.
        assert!((6.0..17.0).contains(&short), "{short}");
    }

    #[test]
    fn a_ring_is_measured_with_what_it_encloses() {
        let inside = shape([40, 40], |x, y| (10.0..=15.0).contains(&(x - 20.0).hypot(y - 20.0)));
        let diameters = largest_diameters(&inside, [40, 40], [1.0; 2]).unwrap();
        let [long, short] = lengths_mm(diameters, [1.0; 2]);
        assert!((long - 31.0).abs() < 1.0 && (short - 31.0).abs() < 1.5, "{long} × {short}");
    }

    #[test]
    fn small_shapes_have_the_size_of_their_pixels() {
        assert_eq!(largest_diameters(&[false; 9], [3, 3], [1.0; 2]), None);
        let one = largest_diameters(&[true], [1, 1], [2.0, 3.0]).unwrap();
        let [long, short] = lengths_mm(one, [2.0, 3.0]);
        assert_eq!(long, 3.0);
        assert!((1.0..=2.0).contains(&short), "{short}");
        let all = largest_diameters(&[true; 12], [4, 3], [1.0; 2]).unwrap();
        assert!(lengths_mm(all, [1.0; 2])[0] >= 4.0);
    }
}
