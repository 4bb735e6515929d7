//! What the user measured.

use serde::{Deserialize, Serialize};

/// A position in RAS+ millimeters.
pub type Point = [f64; 3];

/// Below this, a diameter is not measurable by RANO (Wen et al. 2010, table 3).
const MEASURABLE_MM: f64 = 10.0;

/// The points of a measurement, in RAS+ millimeters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Shape {
    /// The distance between two points.
    Length([Point; 2]),
    /// The angle at the second of three points.
    Angle([Point; 3]),
    /// The ends of the longest diameter, then those of the one perpendicular to it.
    Diameters([Point; 4]),
}

/// A measurement with its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    /// What was measured, for the user.
    pub name: String,
    /// The points.
    pub shape: Shape,
}

/// Returns the distance between two points.
pub fn distance_mm(a: Point, b: Point) -> f64 {
    (0..3).map(|axis| (a[axis] - b[axis]).powi(2)).sum::<f64>().sqrt()
}

/// Returns the angle at `b` between the lines to `a` and `c`; 0 if a line has no length.
pub fn angle_deg(a: Point, b: Point, c: Point) -> f64 {
    let [u, v] = [a, c].map(|end| [0, 1, 2].map(|axis| end[axis] - b[axis]));
    let lengths = distance_mm(a, b) * distance_mm(c, b);
    let dot: f64 = (0..3).map(|axis| u[axis] * v[axis]).sum();
    if lengths > 0.0 { (dot / lengths).clamp(-1.0, 1.0).acos().to_degrees() } else { 0.0 }
}

impl Shape {
    /// Returns the points.
    pub fn points(&self) -> &[Point] {
        match self {
            Shape::Length(points) => points,
            Shape::Angle(points) => points,
            Shape::Diameters(points) => points,
        }
    }

    /// Moves a point.
    pub fn move_point(&mut self, n: usize, to: Point) {
        let points: &mut [Point] = match self {
            Shape::Length(points) => points,
            Shape::Angle(points) => points,
            Shape::Diameters(points) => points,
        };
        if let Some(point) = points.get_mut(n) {
            *point = to;
        }
    }

    /// Returns the lines between the points, as pairs of their indices.
    pub fn lines(&self) -> &'static [[usize; 2]] {
        match self {
            Shape::Length(_) => &[[0, 1]],
            Shape::Angle(_) => &[[0, 1], [1, 2]],
            Shape::Diameters(_) => &[[0, 1], [2, 3]],
        }
    }

    /// Returns the values in words: mm, degrees, mm × mm.
    pub fn text(&self) -> String {
        match *self {
            Shape::Length([a, b]) => format!("{:.1} mm", distance_mm(a, b)),
            Shape::Angle([a, b, c]) => format!("{:.1}°", angle_deg(a, b, c)),
            Shape::Diameters([a, b, c, d]) => {
                format!("{:.1} × {:.1} mm", distance_mm(a, b), distance_mm(c, d))
            }
        }
    }

    /// Returns a further sentence about the values; empty if there is none.
    pub fn note(&self) -> String {
        let Shape::Diameters([a, b, c, d]) = *self else { return String::new() };
        let (long, short) = (distance_mm(a, b), distance_mm(c, d));
        let angle = angle_deg([0.0; 3], [0.0; 3], [0.0; 3]).max({
            let along = [0, 1, 2].map(|axis| b[axis] - a[axis]);
            let across = [0, 1, 2].map(|axis| d[axis] - c[axis]);
            angle_deg(along, [0.0; 3], across)
        });
        let measurable = match long >= MEASURABLE_MM && short >= MEASURABLE_MM {
            true => "",
            false => ", below 10 mm: not measurable by RANO",
        };
        let tilted = match (angle - 90.0).abs() > 1.0 && long > 0.0 && short > 0.0 {
            true => format!(", {angle:.0}° to each other"),
            false => String::new(),
        };
        format!("Product {:.0} mm²{tilted}{measurable}", long * short)
    }

    /// Returns whether all numbers are finite.
    pub fn is_finite(&self) -> bool {
        self.points().as_flattened().iter().all(|x| x.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_angles_are_those_of_space() {
        let length = Shape::Length([[0.0; 3], [2.0, 3.0, 6.0]]);
        assert_eq!(length.text(), "7.0 mm");
        // Along two edges of a cube, and to the opposite corner.
        let angle = Shape::Angle([[1.0, 0.0, 0.0], [0.0; 3], [1.0, 1.0, 1.0]]);
        assert_eq!(angle.text(), "54.7°");
        assert_eq!(angle_deg([1.0; 3], [1.0; 3], [2.0; 3]), 0.0);
        assert_eq!(angle_deg([-3.0, 0.0, 0.0], [0.0; 3], [5.0, 0.0, 0.0]), 180.0);
    }

    #[test]
    fn diameters_state_their_product_and_whether_they_count() {
        let cross = |long: f64, short: f64, tilt: f64| {
            let (x, y) = (long / 2.0, short / 2.0);
            Shape::Diameters([[-x, 0.0, 0.0], [x, 0.0, 0.0], [-tilt, -y, 0.0], [tilt, y, 0.0]])
        };
        assert_eq!(cross(31.2, 20.0, 0.0).text(), "31.2 × 20.0 mm");
        assert_eq!(cross(31.2, 20.0, 0.0).note(), "Product 624 mm²");
        assert!(cross(31.2, 9.9, 0.0).note().contains("not measurable by RANO"));
        assert!(cross(30.0, 20.0, 5.0).note().contains("63° to each other"));
        let mut moved = cross(30.0, 20.0, 0.0);
        moved.move_point(3, [0.0, 14.0, 0.0]);
        assert_eq!(moved.text(), "30.0 × 24.0 mm");
        moved.move_point(4, [9.0; 3]);
        assert_eq!(moved.text(), "30.0 × 24.0 mm", "there is no fifth point");
    }
}
