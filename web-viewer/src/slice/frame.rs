//! Where a volume's voxels lie on the screen: axes turned to right, front, top (RAS) from the
//! affine, and the three planes in a clinician's convention.

use model_core::{Affine, Grid};
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

/// A volume's axes turned to RAS without touching a voxel: strides instead of copies.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Number of voxels along right, front, top.
    pub dims: [usize; 3],
    /// Distance of neighbors along right, front, top.
    pub spacing_mm: [f64; 3],
    /// Which source axis runs along right, front, top.
    source_axis: [usize; 3],
    /// Whether it runs the other way.
    reversed: [bool; 3],
    source_dims: [usize; 3],
}

impl Frame {
    /// The frame of a grid; oblique axes go to the nearest direction.
    pub fn new(grid: &Grid) -> Frame {
        let source_axis = nearest_axes(&grid.world_from_voxel);
        let rows = grid.world_from_voxel.rows();
        let spacing_mm = grid.world_from_voxel.spacing_mm();
        Frame {
            dims: source_axis.map(|a| grid.dims[a]),
            spacing_mm: source_axis.map(|a| spacing_mm[a]),
            source_axis,
            reversed: std::array::from_fn(|w| rows[w][source_axis[w]] < 0.0),
            source_dims: grid.dims,
        }
    }

    /// The source voxel at a place in RAS order.
    pub fn source_voxel(&self, at: [usize; 3]) -> [usize; 3] {
        let mut voxel = [0; 3];
        for w in 0..3 {
            let along = if self.reversed[w] { self.dims[w] - 1 - at[w] } else { at[w] };
            voxel[self.source_axis[w]] = along;
        }
        voxel
    }

    /// The index of that voxel among the volume's values.
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

/// For right, front, top the voxel axis nearest to it, each axis once, the clearest first.
fn nearest_axes(world_from_voxel: &Affine) -> [usize; 3] {
    let (rows, spacing) = (world_from_voxel.rows(), world_from_voxel.spacing_mm());
    let cosine = |w: usize, a: usize| (rows[w][a] / spacing[a]).abs();
    let mut pairs: Vec<(usize, usize)> = (0..9).map(|n| (n / 3, n % 3)).collect();
    pairs.sort_by(|&(w, a), &(v, b)| cosine(v, b).total_cmp(&cosine(w, a)));
    let mut axes = [None; 3];
    for (w, a) in pairs {
        if axes[w].is_none() && !axes.contains(&Some(a)) {
            axes[w] = Some(a);
        }
    }
    axes.map(|a| a.expect("nine pairs leave no axis out"))
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
}

#[cfg(test)]
mod tests {
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

    /// The file's first voxel is the patient's right, front, bottom... in LPS: so in the
    /// radiological axial slice it is the top left pixel, as the file's rows are read.
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
}
