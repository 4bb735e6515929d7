//! Slices of a case in the radiological convention: the patient's right is on the left.

use model_core::{LabelMap, Orientation};

use super::GrayImage;

/// A plane of a case. Its pixels are ordered from the upper left corner of the screen.
pub(super) struct Slice {
    pub(super) name: &'static str,
    /// The directions on the left, on the right, above and below.
    pub(super) letters: [char; 4],
    /// The slice's index along its normal, from 0.
    pub(super) index: usize,
    /// The number of slices along the normal.
    pub(super) count: usize,
    pub(super) width: usize,
    pub(super) height: usize,
    /// The spacing across and down.
    pub(super) spacing_mm: [f64; 2],
    pub(super) shades: Vec<u8>,
    pub(super) reference: Vec<u8>,
    pub(super) predicted: Vec<u8>,
}

/// A view of a case. Axes are numbered right, front, top.
struct View {
    name: &'static str,
    normal: usize,
    across: usize,
    down: usize,
    letters: [char; 4],
}

const VIEWS: [View; 3] = [
    View { name: "axial", normal: 2, across: 0, down: 1, letters: ['R', 'L', 'A', 'P'] },
    View { name: "coronal", normal: 1, across: 0, down: 2, letters: ['R', 'L', 'S', 'I'] },
    View { name: "sagittal", normal: 0, across: 1, down: 2, letters: ['A', 'P', 'S', 'I'] },
];

/// Returns an axial, a coronal and a sagittal slice, and a description of their choice: the slices
/// with most disagreeing voxels, else those with most of the reference, else the middle ones.
pub(super) fn slices(
    scan: &GrayImage,
    reference: &LabelMap,
    predicted: &LabelMap,
) -> ([Slice; 3], &'static str) {
    let (grid, orientation) = (&scan.grid, scan.grid.orientation());
    let dims = orientation.canonical_dims(grid.dims);
    let spacing = grid.world_from_voxel.spacing_mm();
    let spacing_mm = orientation.axes.map(|axis| spacing[axis]);
    let differ = |n: usize| reference.labels()[n] != predicted.labels()[n];
    let (indices, choice) = largest_slices(grid.dims, &orientation, differ)
        .map(|indices| (indices, "where most voxels disagree"))
        .or_else(|| {
            let is_labeled = |n: usize| reference.labels()[n] != 0;
            let indices = largest_slices(grid.dims, &orientation, is_labeled)?;
            Some((indices, "where the reference is largest"))
        })
        .unwrap_or((dims.map(|n| n / 2), "in the middle"));
    let slice = |View { name, normal, across, down, letters }: View| {
        let (width, height) = (dims[across], dims[down]);
        let mut voxels = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                // Pixels run from the patient's right, from the front and from the top.
                let mut canonical = indices;
                (canonical[across], canonical[down]) = (width - 1 - x, height - 1 - y);
                voxels.push(grid.index(orientation.source_voxel(grid.dims, canonical)));
            }
        }
        let pixels = |values: &[u8]| voxels.iter().map(|&voxel| values[voxel]).collect();
        Slice {
            name,
            letters,
            index: indices[normal],
            count: dims[normal],
            width,
            height,
            spacing_mm: [spacing_mm[across], spacing_mm[down]],
            shades: pixels(&scan.voxels),
            reference: pixels(reference.labels()),
            predicted: pixels(predicted.labels()),
        }
    };
    (VIEWS.map(slice), choice)
}

/// Returns, for right, front and top, the slice with most voxels that satisfy the predicate.
/// Returns `None` if no voxel does.
fn largest_slices(
    dims: [usize; 3],
    orientation: &Orientation,
    predicate: impl Fn(usize) -> bool,
) -> Option<[usize; 3]> {
    let mut totals = dims.map(|n| vec![0u32; n]);
    let mut voxel = 0;
    for k in 0..dims[2] {
        for j in 0..dims[1] {
            for i in 0..dims[0] {
                if predicate(voxel) {
                    [i, j, k].iter().zip(&mut totals).for_each(|(&at, total)| total[at] += 1);
                }
                voxel += 1;
            }
        }
    }
    let largest = |total: &Vec<u32>| -> Option<usize> {
        let max = *total.iter().max().filter(|max| **max > 0)?;
        total.iter().position(|count| *count == max)
    };
    let source = [largest(&totals[0])?, largest(&totals[1])?, largest(&totals[2])?];
    let canonical = |world: usize| {
        let axis = orientation.axes[world];
        if orientation.flips[world] { dims[axis] - 1 - source[axis] } else { source[axis] }
    };
    Some(std::array::from_fn(canonical))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model_core::{Affine, Grid};

    /// Two voxels at known positions of the body, stored in three axis orders: the right is on the
    /// left of the screen, front and top are above.
    #[test]
    fn slices_have_the_radiological_orientation() {
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
            let mut scan = GrayImage { grid: grid.clone(), voxels: empty.labels().to_vec() };
            let mut reference = empty.clone();
            // Far right, front and top. The disagreement is in the same slices.
            scan.voxels[at([4., 8., 9.])] = 255;
            reference.labels_mut()[at([4., 8., 9.])] = 1;
            let ([axial, coronal, sagittal], choice) = slices(&scan, &reference, &empty);
            assert_eq!(choice, "where most voxels disagree");
            for slice in [&axial, &coronal, &sagittal] {
                // All three slices contain the voxel, in the upper left corner of the screen.
                assert_eq!((slice.shades[0], slice.reference[0]), (255, 1), "{}", slice.name);
                assert_eq!(slice.shades.iter().filter(|shade| **shade > 0).count(), 1);
            }
            assert_eq!((axial.index, axial.count), (3, 4));
            assert_eq!((sagittal.index, sagittal.count), (4, 5));
            assert_eq!((axial.spacing_mm, sagittal.spacing_mm), ([1., 2.], [2., 3.]));
            let (_, choice) = slices(&scan, &reference, &reference);
            assert_eq!(choice, "where the reference is largest");
            let ([axial, ..], choice) = slices(&scan, &empty, &empty);
            assert_eq!((axial.index, choice), (2, "in the middle"));
        }
    }
}
