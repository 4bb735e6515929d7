//! Maps a volume's voxels to the screen: axes reordered and flipped to right, anterior, superior (RAS)
//! by the affine, and the three planes in the clinician's convention.

use model_core::{Grid, Orientation};
use serde::{Deserialize, Serialize};

/// The side of the patient that the left side of the screen shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Convention {
    /// The patient's right, as seen from the feet or from the front.
    #[default]
    Radiological,
    /// The patient's left, as seen from above or from behind.
    Neurological,
}

/// An anatomical plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Plane {
    Axial,
    Coronal,
    Sagittal,
}

impl Plane {
    /// All planes in the page's order.
    pub const ALL: [Plane; 3] = [Plane::Axial, Plane::Coronal, Plane::Sagittal];

    /// Returns the plane's name.
    pub fn name(self) -> &'static str {
        ["Axial", "Coronal", "Sagittal"][self as usize]
    }

    /// Returns the RAS axis perpendicular to the plane.
    pub fn normal(self) -> usize {
        [2, 1, 0][self as usize]
    }
}

/// A volume's axes reordered and flipped to RAS, without moving a voxel.
#[derive(Debug, Clone, PartialEq)]
pub struct RasFrame {
    /// Number of voxels along right, anterior, superior.
    pub dims: [usize; 3],
    /// Voxel spacing along right, anterior, superior.
    pub spacing_mm: [f64; 3],
    orientation: Orientation,
    source_dims: [usize; 3],
}

impl RasFrame {
    /// Makes the frame of a grid. Oblique axes are assigned to the nearest direction.
    pub fn new(grid: &Grid) -> RasFrame {
        let orientation = grid.orientation();
        let spacing_mm = grid.world_from_voxel.spacing_mm();
        RasFrame {
            dims: orientation.canonical_dims(grid.dims),
            spacing_mm: orientation.axes.map(|axis| spacing_mm[axis]),
            orientation,
            source_dims: grid.dims,
        }
    }

    /// Returns the source voxel of a RAS voxel.
    pub fn source_from_ras(&self, ras_voxel: [usize; 3]) -> [usize; 3] {
        self.orientation.source_voxel(self.source_dims, ras_voxel)
    }

    /// Returns the RAS voxel of a source voxel; the inverse of [`RasFrame::source_from_ras`].
    pub fn ras_from_source(&self, source_voxel: [usize; 3]) -> [usize; 3] {
        std::array::from_fn(|axis| {
            let i = source_voxel[self.orientation.axes[axis]];
            if self.orientation.flips[axis] { self.dims[axis] - 1 - i } else { i }
        })
    }

    /// Returns the source position, in voxels, of a position between RAS voxels.
    pub fn source_point_from_ras(&self, ras_point: [f64; 3]) -> [f64; 3] {
        let mut source = [0.0; 3];
        for (axis, &source_axis) in self.orientation.axes.iter().enumerate() {
            source[source_axis] = self.flipped(axis, ras_point[axis]);
        }
        source
    }

    /// Returns the position between RAS voxels of a source position; the inverse of
    /// [`RasFrame::source_point_from_ras`].
    pub fn ras_point_from_source(&self, source_point: [f64; 3]) -> [f64; 3] {
        [0, 1, 2].map(|axis| self.flipped(axis, source_point[self.orientation.axes[axis]]))
    }

    fn flipped(&self, axis: usize, at: f64) -> f64 {
        if self.orientation.flips[axis] { self.dims[axis] as f64 - 1.0 - at } else { at }
    }

    /// Returns the source axis along a RAS axis.
    pub fn source_axis(&self, ras_axis: usize) -> usize {
        self.orientation.axes[ras_axis]
    }

    /// Returns the index of a RAS voxel in the volume's voxels.
    pub fn index(&self, ras_voxel: [usize; 3]) -> usize {
        let [i, j, k] = self.source_from_ras(ras_voxel);
        i + self.source_dims[0] * (j + self.source_dims[1] * k)
    }

    /// Returns the RAS voxel in the middle.
    pub fn center(&self) -> [usize; 3] {
        self.dims.map(|d| d / 2)
    }

    /// Returns the slice of a plane through the crosshair's RAS voxel, clamped to the volume.
    pub fn view(
        &self,
        plane: Plane,
        convention: Convention,
        crosshair: [usize; 3],
    ) -> SliceView<'_> {
        let axes = [[0, 1], [0, 2], [1, 2]][plane as usize];
        // In the radiological convention the screen's right shows the patient's left. In sagittal
        // slices the face looks left in both conventions.
        let is_mirrored = match plane {
            Plane::Sagittal => true,
            _ => convention == Convention::Radiological,
        };
        let crosshair = std::array::from_fn(|axis| crosshair[axis].min(self.dims[axis] - 1));
        SliceView { frame: self, crosshair, axes, is_mirrored }
    }
}

/// A slice. Pixels are voxels, counted from the top left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SliceView<'a> {
    frame: &'a RasFrame,
    /// The crosshair's RAS voxel.
    crosshair: [usize; 3],
    /// The RAS axes across and up the screen.
    axes: [usize; 2],
    /// Whether the horizontal axis runs from right to left.
    is_mirrored: bool,
}

impl SliceView<'_> {
    /// Returns the number of pixels across and down.
    pub fn size(&self) -> [usize; 2] {
        self.axes.map(|axis| self.frame.dims[axis])
    }

    /// Returns the size in millimeters across and down.
    pub fn size_mm(&self) -> [f64; 2] {
        self.axes.map(|axis| self.frame.dims[axis] as f64 * self.frame.spacing_mm[axis])
    }

    /// Returns the RAS voxel of a pixel. A pixel beyond the edge gives the nearest voxel.
    pub fn voxel_at(&self, [across, down]: [usize; 2]) -> [usize; 3] {
        let [width, height] = self.size();
        let (across, down) = (across.min(width - 1), down.min(height - 1));
        let mut voxel = self.crosshair;
        voxel[self.axes[0]] = if self.is_mirrored { width - 1 - across } else { across };
        voxel[self.axes[1]] = height - 1 - down;
        voxel
    }

    /// Returns the position between RAS voxels of a position between pixels; the center of the first pixel is
    /// (0, 0).
    pub fn ras_point_at(&self, [across, down]: [f64; 2]) -> [f64; 3] {
        let [width, height] = self.size().map(|n| n as f64);
        let mut point = self.crosshair.map(|x| x as f64);
        point[self.axes[0]] = if self.is_mirrored { width - 1.0 - across } else { across };
        point[self.axes[1]] = height - 1.0 - down;
        point
    }

    /// Returns the position between pixels of a position between RAS voxels, and how many slices it is away.
    pub fn project(&self, ras_point: [f64; 3]) -> ([f64; 2], f64) {
        let [width, height] = self.size().map(|n| n as f64);
        let [x, y] = self.axes.map(|axis| ras_point[axis]);
        let across = if self.is_mirrored { width - 1.0 - x } else { x };
        let normal = 3 - self.axes[0] - self.axes[1];
        ([across, height - 1.0 - y], ras_point[normal] - self.crosshair[normal] as f64)
    }

    /// Returns the pixel of the crosshair.
    pub fn crosshair_pixel(&self) -> [usize; 2] {
        let [width, height] = self.size();
        let [x, y] = self.axes.map(|axis| self.crosshair[axis]);
        [if self.is_mirrored { width - 1 - x } else { x }, height - 1 - y]
    }

    /// Returns the letters of the patient's directions at the left, right, top and bottom edge.
    pub fn letters(&self) -> [char; 4] {
        let [positive, negative] = [['R', 'A', 'S'], ['L', 'P', 'I']];
        let (across, up) = (self.axes[0], self.axes[1]);
        let [left, right] = match self.is_mirrored {
            true => [positive[across], negative[across]],
            false => [negative[across], positive[across]],
        };
        [left, right, positive[up], negative[up]]
    }

    /// Iterates over the indices of the pixels' voxels in the volume, row by row from the top.
    pub fn indices(&self) -> impl Iterator<Item = usize> {
        let [width, height] = self.size();
        (0..width * height).map(move |n| self.frame.index(self.voxel_at([n % width, n / width])))
    }

    /// Fits the slice into a canvas: centered, as large as possible, in the body's true proportions.
    pub fn fit(&self, canvas: [f64; 2]) -> FittedSlice {
        let (num_pixels, mm) = (self.size(), self.size_mm());
        let scale = (canvas[0] / mm[0]).min(canvas[1] / mm[1]).max(0.0);
        let size = mm.map(|x| x * scale);
        FittedSlice { left_top: [0, 1].map(|n| (canvas[n] - size[n]) / 2.0), size, num_pixels }
    }
}

/// The rectangle of a slice on a canvas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FittedSlice {
    /// The canvas point of the top left corner.
    pub left_top: [f64; 2],
    /// The size on the canvas.
    pub size: [f64; 2],
    pub(super) num_pixels: [usize; 2],
}

impl FittedSlice {
    /// Returns the slice's pixel under a point of the canvas. A point beyond an edge gives the nearest
    /// pixel.
    pub fn pixel_at(&self, point: [f64; 2]) -> [usize; 2] {
        [0, 1].map(|n| {
            let fraction = (point[n] - self.left_top[n]) / self.size[n].max(1e-9);
            // The conversion to an integer saturates at 0.
            ((fraction * self.num_pixels[n] as f64) as usize).min(self.num_pixels[n] - 1)
        })
    }

    /// Returns the canvas point of the upper left corner of a pixel, or of one beyond the last.
    pub fn pixel_corner(&self, pixel: [usize; 2]) -> [f64; 2] {
        [0, 1]
            .map(|n| self.left_top[n] + pixel[n] as f64 / self.num_pixels[n] as f64 * self.size[n])
    }

    /// Returns the canvas point of a pixel's center.
    pub fn pixel_center(&self, pixel: [usize; 2]) -> [f64; 2] {
        self.canvas_point(pixel.map(|n| n as f64))
    }

    /// Returns the canvas point of a position between pixels; the center of the first pixel is (0, 0).
    pub fn canvas_point(&self, position: [f64; 2]) -> [f64; 2] {
        [0, 1].map(|n| {
            let fraction = (position[n] + 0.5) / self.num_pixels[n] as f64;
            self.left_top[n] + fraction * self.size[n]
        })
    }

    /// Returns the position between pixels under a point of the canvas, within the slice.
    pub fn position_at(&self, point: [f64; 2]) -> [f64; 2] {
        [0, 1].map(|n| {
            let fraction = (point[n] - self.left_top[n]) / self.size[n].max(1e-9);
            fraction.clamp(0.0, 1.0) * self.num_pixels[n] as f64 - 0.5
        })
    }
}

#[cfg(test)]
mod tests {
    use model_core::Affine;

    use super::*;

    /// 2 × 3 × 4 voxels along left, posterior, superior (LPS), 1 × 2 × 3 mm.
    fn lps() -> Grid {
        let rows = [[-1., 0., 0., 10.], [0., -2., 0., 20.], [0., 0., 3., 0.]];
        Grid::new([2, 3, 4], Affine::from_rows(rows))
    }

    #[test]
    fn axes_are_reordered_and_flipped_to_ras() {
        let frame = RasFrame::new(&lps());
        assert_eq!(frame.dims, [2, 3, 4]);
        assert_eq!(frame.source_from_ras([0, 0, 0]), [1, 2, 0]);
        // Axes in the order anterior, superior, left.
        let rows = [[0., 0., -1., 0.], [2., 0., 0., 0.], [0., 3., 0.1, 0.]];
        let frame = RasFrame::new(&Grid::new([3, 4, 2], Affine::from_rows(rows)));
        assert_eq!(frame.dims, [2, 3, 4]);
        assert_eq!(frame.spacing_mm.map(|s| s.round()), [1.0, 2.0, 3.0]);
        assert_eq!(frame.source_from_ras([0, 1, 2]), [1, 2, 1]);
        assert_eq!(frame.index([0, 1, 2]), 1 + 3 * (2 + 4));
        assert_eq!(frame.ras_from_source([1, 2, 1]), [0, 1, 2]);
    }

    #[test]
    fn letters_follow_the_convention() {
        let frame = RasFrame::new(&lps());
        let letters = |plane, convention| -> String {
            frame.view(plane, convention, [0, 0, 0]).letters().iter().collect()
        };
        assert_eq!(letters(Plane::Axial, Convention::Radiological), "RLAP");
        assert_eq!(letters(Plane::Axial, Convention::Neurological), "LRAP");
        assert_eq!(letters(Plane::Coronal, Convention::Radiological), "RLSI");
        assert_eq!(letters(Plane::Coronal, Convention::Neurological), "LRSI");
        for convention in [Convention::Radiological, Convention::Neurological] {
            assert_eq!(letters(Plane::Sagittal, convention), "APSI");
        }
    }

    /// The first voxel of an LPS file is at the patient's anterior right, which the radiological convention
    /// shows in the top left pixel.
    #[test]
    fn an_axial_slice_of_an_lps_file_keeps_the_stored_row_order() {
        let frame = RasFrame::new(&lps());
        let view = frame.view(Plane::Axial, Convention::Radiological, [0, 0, 1]);
        assert_eq!(view.indices().collect::<Vec<_>>(), [6, 7, 8, 9, 10, 11]);
        let view = frame.view(Plane::Axial, Convention::Neurological, [0, 0, 1]);
        assert_eq!(view.indices().collect::<Vec<_>>(), [7, 6, 9, 8, 11, 10]);
    }

    #[test]
    fn voxel_at_inverts_crosshair_pixel() {
        let frame = RasFrame::new(&lps());
        for plane in Plane::ALL {
            for convention in [Convention::Radiological, Convention::Neurological] {
                for at in [[0, 0, 0], [1, 2, 3], [0, 1, 2], [9, 9, 9]] {
                    let view = frame.view(plane, convention, at);
                    assert_eq!(view.voxel_at(view.crosshair_pixel()), view.crosshair);
                    assert_eq!(view.indices().count(), view.size()[0] * view.size()[1]);
                }
            }
        }
    }

    #[test]
    fn positions_between_pixels_come_back() {
        let frame = RasFrame::new(&lps());
        assert_eq!(frame.source_point_from_ras([0.0, 0.5, 2.0]), [1.0, 1.5, 2.0]);
        for plane in Plane::ALL {
            for convention in [Convention::Radiological, Convention::Neurological] {
                let view = frame.view(plane, convention, [1, 1, 2]);
                let point = view.ras_point_at([0.25, 1.75]);
                let (position, num_slices) = view.project(point);
                assert_eq!((position, num_slices), ([0.25, 1.75], 0.0));
                let mut above = point;
                above[plane.normal()] += 1.5;
                assert_eq!(view.project(above), ([0.25, 1.75], 1.5));
                let back = frame.ras_point_from_source(frame.source_point_from_ras(point));
                assert_eq!(back, point);
                let fitted = view.fit([200.0, 100.0]);
                let on_canvas = fitted.canvas_point([0.25, 1.25]);
                let again = fitted.position_at(on_canvas);
                assert!((again[0] - 0.25).abs() < 1e-9 && (again[1] - 1.25).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn a_slice_fits_a_canvas_in_true_proportions() {
        let frame = RasFrame::new(&lps());
        // 2 mm across, 6 mm down, on a canvas of 100 × 120.
        let fitted =
            frame.view(Plane::Axial, Convention::Radiological, [0, 0, 0]).fit([100., 120.]);
        assert_eq!(fitted.size, [40.0, 120.0]);
        assert_eq!(fitted.left_top, [30.0, 0.0]);
        for pixel in [[0, 0], [1, 2]] {
            assert_eq!(fitted.pixel_at(fitted.pixel_center(pixel)), pixel);
        }
        assert_eq!(fitted.pixel_at([-5.0, 500.0]), [0, 2]);
    }
}
