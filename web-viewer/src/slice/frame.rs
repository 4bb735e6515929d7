//! Where a volume's voxels lie on the screen: axes turned to right, front, top (RAS) from the
//! affine, and the three planes in a clinician's convention.

use model_core::{Grid, Orientation};
use serde::{Deserialize, Serialize};

/// Which side of the patient the left side of the screen shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Convention {
    /// The patient's right: as if seen from the feet, face to face.
    #[default]
    Radiological,
    /// The patient's left: as if seen from above, from behind.
    Neurological,
}

/// A plane of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Plane {
    Axial,
    Coronal,
    Sagittal,
}

impl Plane {
    /// All three, as the page shows them.
    pub const ALL: [Plane; 3] = [Plane::Axial, Plane::Coronal, Plane::Sagittal];

    /// The plane's name.
    pub fn name(self) -> &'static str {
        ["Axial", "Coronal", "Sagittal"][self as usize]
    }

    /// The RAS axis that the plane's slices follow.
    pub fn normal(self) -> usize {
        [2, 1, 0][self as usize]
    }
}

/// A volume's axes turned to RAS without moving a voxel.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Number of voxels along right, front, top.
    pub dims: [usize; 3],
    /// Distance of neighbors along right, front, top.
    pub spacing_mm: [f64; 3],
    orientation: Orientation,
    source_dims: [usize; 3],
}

impl Frame {
    /// The frame of a grid; oblique axes go to the nearest direction.
    pub fn new(grid: &Grid) -> Frame {
        let orientation = grid.orientation();
        let spacing_mm = grid.world_from_voxel.spacing_mm();
        Frame {
            dims: orientation.canonical_dims(grid.dims),
            spacing_mm: orientation.axes.map(|axis| spacing_mm[axis]),
            orientation,
            source_dims: grid.dims,
        }
    }

    /// The source voxel at a place in RAS order.
    pub fn source_voxel(&self, at: [usize; 3]) -> [usize; 3] {
        self.orientation.source_voxel(self.source_dims, at)
    }

    /// The place in RAS order of a source voxel; undoes [`Frame::source_voxel`].
    pub fn place_of(&self, voxel: [usize; 3]) -> [usize; 3] {
        std::array::from_fn(|world| {
            let along = voxel[self.orientation.axes[world]];
            if self.orientation.flips[world] { self.dims[world] - 1 - along } else { along }
        })
    }

    /// The index among the volume's values of the voxel at a place in RAS order.
    pub fn index(&self, at: [usize; 3]) -> usize {
        let [i, j, k] = self.source_voxel(at);
        i + self.source_dims[0] * (j + self.source_dims[1] * k)
    }

    /// The voxel in the middle.
    pub fn center(&self) -> [usize; 3] {
        self.dims.map(|d| d / 2)
    }

    /// The slice through `at`, as one plane's picture.
    pub fn view(&self, plane: Plane, convention: Convention, at: [usize; 3]) -> SliceView<'_> {
        let axes = [[0, 1], [0, 2], [1, 2]][plane as usize];
        // The screen's right shows the patient's left in the radiological convention; from the
        // side, the face looks left in both.
        let mirrored = match plane {
            Plane::Sagittal => true,
            _ => convention == Convention::Radiological,
        };
        let at = std::array::from_fn(|w| at[w].min(self.dims[w] - 1));
        SliceView { frame: self, at, axes, mirrored }
    }
}

/// One slice: pixels counted from the top left, one a voxel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SliceView<'a> {
    frame: &'a Frame,
    /// The crosshair, in RAS order.
    at: [usize; 3],
    /// The RAS axes across and up the screen.
    axes: [usize; 2],
    mirrored: bool,
}

impl SliceView<'_> {
    /// Pixels across and down.
    pub fn size(&self) -> [usize; 2] {
        self.axes.map(|w| self.frame.dims[w])
    }

    /// Millimeters across and down.
    pub fn size_mm(&self) -> [f64; 2] {
        self.axes.map(|w| self.frame.dims[w] as f64 * self.frame.spacing_mm[w])
    }

    /// The voxel, in RAS order, under a pixel; beyond the edge, the nearest.
    pub fn voxel_at(&self, [across, down]: [usize; 2]) -> [usize; 3] {
        let [width, height] = self.size();
        let (across, down) = (across.min(width - 1), down.min(height - 1));
        let mut at = self.at;
        at[self.axes[0]] = if self.mirrored { width - 1 - across } else { across };
        at[self.axes[1]] = height - 1 - down;
        at
    }

    /// The pixel of the crosshair.
    pub fn crosshair(&self) -> [usize; 2] {
        let [width, height] = self.size();
        let along = self.at[self.axes[0]];
        [if self.mirrored { width - 1 - along } else { along }, height - 1 - self.at[self.axes[1]]]
    }

    /// The patient's directions at the left, right, top and bottom edge.
    pub fn letters(&self) -> [char; 4] {
        let [positive, negative] = [['R', 'A', 'S'], ['L', 'P', 'I']];
        let (across, up) = (self.axes[0], self.axes[1]);
        let [left, right] = match self.mirrored {
            true => [positive[across], negative[across]],
            false => [negative[across], positive[across]],
        };
        [left, right, positive[up], negative[up]]
    }

    /// The index of every pixel's voxel, row by row from the top.
    pub fn indices(&self) -> impl Iterator<Item = usize> {
        let [width, height] = self.size();
        (0..width * height).map(move |n| self.frame.index(self.voxel_at([n % width, n / width])))
    }

    /// Where the slice lies on a canvas of the given size: centered, as large as fits, in the
    /// true proportions of the body.
    pub fn placed(&self, canvas: [f64; 2]) -> Placed {
        let (pixels, mm) = (self.size(), self.size_mm());
        let scale = (canvas[0] / mm[0]).min(canvas[1] / mm[1]).max(0.0);
        let size = mm.map(|x| x * scale);
        Placed { left_top: [0, 1].map(|n| (canvas[n] - size[n]) / 2.0), size, pixels }
    }
}

/// A slice on a canvas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placed {
    /// The canvas point of its top left corner.
    pub left_top: [f64; 2],
    /// Its size on the canvas.
    pub size: [f64; 2],
    pixels: [usize; 2],
}

impl Placed {
    /// The pixel of the slice under a point of the canvas; beyond an edge, the nearest.
    pub fn pixel_at(&self, point: [f64; 2]) -> [usize; 2] {
        [0, 1].map(|n| {
            let along = (point[n] - self.left_top[n]) / self.size[n].max(1e-9);
            // A float becomes an integer saturating at 0.
            ((along * self.pixels[n] as f64) as usize).min(self.pixels[n] - 1)
        })
    }

    /// The canvas point of a pixel's middle.
    pub fn middle_of(&self, pixel: [usize; 2]) -> [f64; 2] {
        [0, 1].map(|n| {
            let along = (pixel[n] as f64 + 0.5) / self.pixels[n] as f64;
            self.left_top[n] + along * self.size[n]
        })
    }
}

#[cfg(test)]
mod tests {
    use model_core::Affine;

    use super::*;

    /// 2 × 3 × 4 voxels along left, back, top (LPS), 1 × 2 × 3 mm.
    fn lps() -> Grid {
        let rows = [[-1., 0., 0., 10.], [0., -2., 0., 20.], [0., 0., 3., 0.]];
        Grid::new([2, 3, 4], Affine::from_rows(rows))
    }

    #[test]
    fn axes_are_turned_to_right_front_top() {
        let frame = Frame::new(&lps());
        assert_eq!(frame.dims, [2, 3, 4]);
        assert_eq!(frame.source_voxel([0, 0, 0]), [1, 2, 0]);
        // Axes in the order front, top, left.
        let rows = [[0., 0., -1., 0.], [2., 0., 0., 0.], [0., 3., 0.1, 0.]];
        let frame = Frame::new(&Grid::new([3, 4, 2], Affine::from_rows(rows)));
        assert_eq!(frame.dims, [2, 3, 4]);
        assert_eq!(frame.spacing_mm.map(|s| s.round()), [1.0, 2.0, 3.0]);
        assert_eq!(frame.source_voxel([0, 1, 2]), [1, 2, 1]);
        assert_eq!(frame.index([0, 1, 2]), 1 + 3 * (2 + 4));
        assert_eq!(frame.place_of([1, 2, 1]), [0, 1, 2]);
    }

    #[test]
    fn letters_follow_the_convention() {
        let frame = Frame::new(&lps());
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

    /// An LPS file's first voxel is at the patient's right front: in the radiological convention
    /// the top left pixel.
    #[test]
    fn an_axial_slice_of_an_lps_file_shows_its_rows_as_they_are_stored() {
        let frame = Frame::new(&lps());
        let view = frame.view(Plane::Axial, Convention::Radiological, [0, 0, 1]);
        assert_eq!(view.indices().collect::<Vec<_>>(), [6, 7, 8, 9, 10, 11]);
        let view = frame.view(Plane::Axial, Convention::Neurological, [0, 0, 1]);
        assert_eq!(view.indices().collect::<Vec<_>>(), [7, 6, 9, 8, 11, 10]);
    }

    #[test]
    fn a_pixel_leads_to_its_voxel_and_back() {
        let frame = Frame::new(&lps());
        for plane in Plane::ALL {
            for convention in [Convention::Radiological, Convention::Neurological] {
                for at in [[0, 0, 0], [1, 2, 3], [0, 1, 2], [9, 9, 9]] {
                    let view = frame.view(plane, convention, at);
                    assert_eq!(view.voxel_at(view.crosshair()), view.at);
                    assert_eq!(view.indices().count(), view.size()[0] * view.size()[1]);
                }
            }
        }
    }

    #[test]
    fn a_slice_fills_a_canvas_in_true_proportions() {
        let frame = Frame::new(&lps());
        // 2 mm across, 6 mm down, on a canvas of 100 × 120.
        let placed =
            frame.view(Plane::Axial, Convention::Radiological, [0, 0, 0]).placed([100., 120.]);
        assert_eq!(placed.size, [40.0, 120.0]);
        assert_eq!(placed.left_top, [30.0, 0.0]);
        for pixel in [[0, 0], [1, 2]] {
            assert_eq!(placed.pixel_at(placed.middle_of(pixel)), pixel);
        }
        assert_eq!(placed.pixel_at([-5.0, 500.0]), [0, 2]);
    }
}
