//! Magnification of a slice on its canvas.

use super::FittedSlice;

/// The largest magnification.
const MOST: f64 = 24.0;

/// How far a slice is magnified and moved. The default shows the whole slice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Zoom {
    /// The magnification, at least 1.
    factor: f64,
    /// The movement of the slice's middle from the canvas's, in sizes of the unmagnified slice.
    moved: [f64; 2],
}

impl Default for Zoom {
    fn default() -> Zoom {
        Zoom { factor: 1.0, moved: [0.0; 2] }
    }
}

impl Zoom {
    /// Returns the magnification.
    pub fn factor(self) -> f64 {
        self.factor
    }

    /// Returns where a fitted slice lies with this magnification.
    pub fn apply(self, fitted: FittedSlice) -> FittedSlice {
        let size = fitted.size.map(|x| x * self.factor);
        let left_top = [0, 1].map(|n| {
            let middle = fitted.left_top[n] + (0.5 + self.moved[n]) * fitted.size[n];
            middle - size[n] / 2.0
        });
        FittedSlice { left_top, size, ..fitted }
    }

    /// Multiplies the magnification. The point of the slice under `point` of the canvas stays there.
    pub fn about(self, fitted: FittedSlice, point: [f64; 2], times: f64) -> Zoom {
        let factor = (self.factor * times).clamp(1.0, MOST);
        let times = factor / self.factor;
        let moved = [0, 1].map(|n| {
            let size = fitted.size[n].max(1e-9);
            let from_middle = (point[n] - fitted.left_top[n]) / size - 0.5;
            from_middle + (self.moved[n] - from_middle) * times
        });
        Zoom { factor, moved }.kept_in_sight()
    }

    /// Moves the slice by a distance on the canvas.
    pub fn shifted(self, fitted: FittedSlice, by: [f64; 2]) -> Zoom {
        let moved = [0, 1].map(|n| self.moved[n] + by[n] / fitted.size[n].max(1e-9));
        Zoom { moved, ..self }.kept_in_sight()
    }

    /// Limits the movement: the magnified slice covers the place of the whole one.
    fn kept_in_sight(self) -> Zoom {
        let most = self.factor / 2.0 - 0.5;
        Zoom { moved: self.moved.map(|x| x.clamp(-most, most)), ..self }
    }
}

#[cfg(test)]
mod tests {
    use model_core::{Affine, Grid};

    use super::super::{Convention, Plane, RasFrame};
    use super::*;

    fn near(a: [f64; 2], b: [f64; 2]) -> bool {
        a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9)
    }

    /// 40 × 20 voxels of 1 mm on 100 × 100 points: 100 × 50 points from (0, 25).
    fn fitted() -> FittedSlice {
        let frame = RasFrame::new(&Grid::new([40, 20, 2], Affine::from_spacing([1.0; 3])));
        frame.view(Plane::Axial, Convention::Neurological, [0; 3]).fit([100.0; 2])
    }

    #[test]
    fn the_point_under_the_pointer_stays() {
        let (fitted, point) = (fitted(), [70.0, 40.0]);
        let mut zoom = Zoom::default();
        assert_eq!(zoom.apply(fitted), fitted);
        for times in [2.0, 1.5, 0.8] {
            let pixel = zoom.apply(fitted).pixel_at(point);
            zoom = zoom.about(fitted, point, times);
            assert_eq!(zoom.apply(fitted).pixel_at(point), pixel);
        }
        assert!((zoom.factor() - 2.4).abs() < 1e-9);
        // Back to the whole slice, wherever the pointer is.
        assert_eq!(zoom.about(fitted, [3.0, 90.0], 0.01), Zoom::default());
    }

    #[test]
    fn a_magnified_slice_moves_and_stays_in_sight() {
        let fitted = fitted();
        let whole = Zoom::default().shifted(fitted, [30.0, 0.0]);
        assert_eq!(whole, Zoom::default(), "a whole slice stays");
        let zoom = Zoom::default().about(fitted, [50.0, 50.0], 4.0);
        let moved = zoom.shifted(fitted, [10.0, -20.0]);
        let (before, after) = (zoom.apply(fitted), moved.apply(fitted));
        assert!(near(after.left_top, [before.left_top[0] + 10.0, before.left_top[1] - 20.0]));
        // However far it is dragged, it covers the points of the whole slice: from (0, 25) to (100, 75).
        let far = moved.shifted(fitted, [1e6, -1e6]).apply(fitted);
        assert!(near(far.left_top, [0.0, 75.0 - far.size[1]]));
    }
}
