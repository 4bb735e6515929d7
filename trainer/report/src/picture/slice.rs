//! Slices of a case in the radiological convention: the patient's right on the left.

use model_core::{LabelMap, Orientation};

use super::Gray;

/// A plane of a case as the screen shows it, from its upper left corner.
pub(super) struct Slice {
    pub(super) name: &'static str,
    /// What lies on the left, on the right, above, below.
    pub(super) letters: [char; 4],
    /// Where it lies: from 0, and of how many.
    pub(super) place: (usize, usize),
    pub(super) width: usize,
    pub(super) height: usize,
    /// Millimetres of a voxel across and down.
    pub(super) spacing_mm: [f64; 2],
    pub(super) gray: Vec<u8>,
    pub(super) reference: Vec<u8>,
    pub(super) predicted: Vec<u8>,
}

/// The plane's name, its normal, what runs across and what down (of right, front, top), letters.
const VIEWS: [(&str, usize, [usize; 2], [char; 4]); 3] = [
    ("axial", 2, [0, 1], ['R', 'L', 'A', 'P']),
    ("coronal", 1, [0, 2], ['R', 'L', 'S', 'I']),
    ("sagittal", 0, [1, 2], ['A', 'P', 'S', 'I']),
];

/// The axial, coronal and sagittal slice where most voxels disagree, where none do those with most
/// of the reference, else the middle ones; and which of the three it was.
pub(super) fn slices(
    gray: &Gray,
    reference: &LabelMap,
    predicted: &LabelMap,
) -> ([Slice; 3], &'static str) {
    let (grid, orientation) = (&gray.grid, gray.grid.orientation());
    let dims = orientation.canonical_dims(grid.dims);
    let spacing = grid.world_from_voxel.spacing_mm();
    let spacing_mm = orientation.axes.map(|axis| spacing[axis]);
    let differ = |n: usize| reference.labels()[n] != predicted.labels()[n];
    let (places, why) = most(grid.dims, &orientation, differ)
        .map(|places| (places, "where most voxels disagree"))
        .or_else(|| {
            let places = most(grid.dims, &orientation, |n| reference.labels()[n] != 0)?;
            Some((places, "where the reference is largest"))
        })
        .unwrap_or((dims.map(|n| n / 2), "in the middle"));
    let slice = |(name, normal, [across, down], letters): (_, usize, [usize; 2], _)| {
        let (width, height) = (dims[across], dims[down]);
        let mut voxels = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                // Screens run from the patient's right, from the front and from the top.
                let mut canonical = places;
                (canonical[across], canonical[down]) = (width - 1 - x, height - 1 - y);
                voxels.push(grid.index(orientation.source_voxel(grid.dims, canonical)));
            }
        }
        let of = |values: &[u8]| voxels.iter().map(|&voxel| values[voxel]).collect();
        Slice {
            name,
            letters,
            place: (places[normal], dims[normal]),
            width,
            height,
            spacing_mm: [spacing_mm[across], spacing_mm[down]],
            gray: of(&gray.voxels),
            reference: of(reference.labels()),
            predicted: of(predicted.labels()),
        }
    };
    (VIEWS.map(slice), why)
}

/// For each of the world's axes the slice across it with most voxels that count; none where none
/// does.
fn most(
    dims: [usize; 3],
    orientation: &Orientation,
    counts: impl Fn(usize) -> bool,
) -> Option<[usize; 3]> {
    let mut totals = dims.map(|n| vec![0u32; n]);
    let mut voxel = 0;
    for k in 0..dims[2] {
        for j in 0..dims[1] {
            for i in 0..dims[0] {
                if counts(voxel) {
                    [i, j, k].iter().zip(&mut totals).for_each(|(&at, total)| total[at] += 1);
                }
                voxel += 1;
            }
        }
    }
    let largest = |total: &Vec<u32>| -> Option<usize> {
        let most = *total.iter().max().filter(|most| **most > 0)?;
        total.iter().position(|count| *count == most)
    };
    let source = [largest(&totals[0])?, largest(&totals[1])?, largest(&totals[2])?];
    let place = |world: usize| {
        let axis = orientation.axes[world];
        if orientation.flips[world] { dims[axis] - 1 - source[axis] } else { source[axis] }
    };
    Some(std::array::from_fn(place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model_core::{Affine, Grid};

    /// Two voxels at known places of the body, stored in three orders: right stands left on the
    /// screen, front and top stand above.
    #[test]
    fn slices_stand_as_a_radiologist_expects_them() {
        let identity = [[1., 0., 0., 0.], [0., 2., 0., 0.], [0., 0., 3., 0.]];
        let lps = [[-1., 0., 0., 4.], [0., -2., 0., 8.], [0., 0., 3., 0.]];
        // i points to the top, j to the left, k to the front.
        let mixed = [[0., -1., 0., 4.], [0., 0., 2., 0.], [3., 0., 0., 0.]];
        for (dims, rows) in [([5, 5, 4], identity), ([5, 5, 4], lps), ([4, 5, 5], mixed)] {
            let grid = Grid::new(dims, Affine::from_rows(rows));
            let voxel_from_world = grid.world_from_voxel.inverse().unwrap();
            let at = |world: [f64; 3]| {
                grid.index(voxel_from_world.apply(world).map(|x| x.round() as usize))
            };
            let empty = LabelMap::background(grid.clone());
            let mut gray = Gray { grid: grid.clone(), voxels: empty.labels().to_vec() };
            let mut reference = empty.clone();
            // Far right, front, top; and the disagreement in the same slices.
            gray.voxels[at([4., 8., 9.])] = 255;
            reference.labels_mut()[at([4., 8., 9.])] = 1;
            let ([axial, coronal, sagittal], why) = slices(&gray, &reference, &empty);
            assert_eq!(why, "where most voxels disagree");
            for slice in [&axial, &coronal, &sagittal] {
                // All three meet in the voxel, in the upper left corner of the screen.
                assert_eq!((slice.gray[0], slice.reference[0]), (255, 1), "{}", slice.name);
                assert_eq!(slice.gray.iter().filter(|shade| **shade > 0).count(), 1);
            }
            assert_eq!((axial.place, sagittal.place), ((3, 4), (4, 5)));
            assert_eq!((axial.spacing_mm, sagittal.spacing_mm), ([1., 2.], [2., 3.]));
            let (_, why) = slices(&gray, &reference, &reference);
            assert_eq!(why, "where the reference is largest");
            let ([axial, ..], why) = slices(&gray, &empty, &empty);
            assert_eq!((axial.place.0, why), (2, "in the middle"));
        }
    }
}
