//! The position of a network's input on its source, so that a prediction can be restored to the
//! source's grid.
//!
//! Source grid → canonical order → crop → resampling → padding → network grid.

use serde::{Deserialize, Serialize};

use crate::{Error, Grid, LabelMap, Orientation, Result, VoxelBox, geometry::resample};

/// The steps from a source grid to a network's input, and back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredPlacement", into = "StoredPlacement")]
pub struct Placement(StoredPlacement);

/// The numbers of a placement. Axes are right, front, top, except for the source grid's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct StoredPlacement {
    source: Grid,
    /// The first canonical voxel of the crop.
    crop_start: [usize; 3],
    /// The canonical voxels of the crop along each axis.
    crop_dims: [usize; 3],
    /// The crop's voxels after resampling; equal to `crop_dims` without resampling.
    scaled_dims: [usize; 3],
    /// The voxels of padding before the crop.
    pad_before: [usize; 3],
    /// The voxels of the network's input along each axis.
    dims: [usize; 3],
}

impl TryFrom<StoredPlacement> for Placement {
    type Error = Error;

    fn try_from(stored: StoredPlacement) -> Result<Self> {
        let StoredPlacement { source, crop_start, crop_dims, scaled_dims, pad_before, dims } =
            &stored;
        let canonical = source.orientation().canonical_dims(source.dims);
        let inside = |start: usize, length: usize, whole: usize| {
            length > 0 && start.checked_add(length).is_some_and(|end| end <= whole)
        };
        let max_dim = 1 << 15;
        let fits = (0..3).all(|a| {
            inside(crop_start[a], crop_dims[a], canonical[a])
                && inside(pad_before[a], scaled_dims[a], dims[a])
                && canonical[a] <= max_dim
                && dims[a] <= max_dim
        });
        source.world_from_voxel.check()?;
        match fits {
            true => Ok(Placement(stored)),
            false => Err(Error::geometry("a crop within its source", format!("{stored:?}"))),
        }
    }
}

impl From<Placement> for StoredPlacement {
    fn from(placement: Placement) -> Self {
        placement.0
    }
}

impl Placement {
    /// Returns the placement of a crop of canonical voxels that is resampled to `scaled_dims` and
    /// put in the middle of `dims` voxels.
    ///
    /// # Errors
    /// [`Error::Geometry`] if a step does not fit into the next.
    pub(crate) fn new(
        source: Grid,
        crop: VoxelBox,
        scaled_dims: [usize; 3],
        dims: [usize; 3],
    ) -> Result<Self> {
        let pad_before = std::array::from_fn(|a| dims[a].saturating_sub(scaled_dims[a]) / 2);
        Placement::try_from(StoredPlacement {
            source,
            crop_start: crop.start,
            crop_dims: crop.dims(),
            scaled_dims,
            pad_before,
            dims,
        })
    }

    /// Returns whether the network's spacing differs from the source's.
    pub fn is_resampled(&self) -> bool {
        self.0.scaled_dims != self.0.crop_dims
    }

    /// Returns the grid to which a prediction is restored.
    pub fn source(&self) -> &Grid {
        &self.0.source
    }

    /// Returns the voxels of the network's input along right, front, top.
    pub fn dims(&self) -> [usize; 3] {
        self.0.dims
    }

    /// Returns the spacing of the network's input along right, front, top.
    pub fn spacing_mm(&self) -> [f64; 3] {
        let source = self.0.source.world_from_voxel.spacing_mm();
        let axes = self.0.source.orientation().axes;
        std::array::from_fn(|a| {
            source[axes[a]] * self.0.crop_dims[a] as f64 / self.0.scaled_dims[a] as f64
        })
    }

    /// Returns the network's crop, in canonical voxels.
    pub fn crop(&self) -> VoxelBox {
        VoxelBox::new(self.0.crop_start, self.0.crop_dims)
    }

    /// Returns the crop's extent after resampling; the rest of the network's input is padding.
    pub fn scaled_dims(&self) -> [usize; 3] {
        self.0.scaled_dims
    }

    /// Copies values of the resampled crop into the middle of the network grid.
    pub(crate) fn pad<T: Copy + Default>(&self, values: &[T], out: &mut [T]) {
        let ([si, sj, sk], [pi, pj, pk]) = (self.0.scaled_dims, self.0.pad_before);
        let [di, dj, _] = self.0.dims;
        for k in 0..sk {
            for j in 0..sj {
                let from = si * (j + sj * k);
                let to = pi + di * (j + pj + dj * (k + pk));
                out[to..to + si].copy_from_slice(&values[from..from + si]);
            }
        }
    }

    /// Returns the resampled crop from values on the network grid; inverts [`Placement::pad`].
    pub(crate) fn unpad<T: Copy>(&self, values: &[T]) -> Vec<T> {
        let ([si, sj, sk], [pi, pj, pk]) = (self.0.scaled_dims, self.0.pad_before);
        let [di, dj, _] = self.0.dims;
        let mut out = Vec::with_capacity(si * sj * sk);
        for k in 0..sk {
            for j in 0..sj {
                let from = pi + di * (j + pj + dj * (k + pk));
                out.extend_from_slice(&values[from..from + si]);
            }
        }
        out
    }

    /// Returns source labels on the network grid for training, surrounded by background. With
    /// resampling, each voxel takes the label with the largest share of its volume.
    ///
    /// # Panics
    /// If the labels are not on the source's grid.
    pub fn place_labels(&self, map: &LabelMap) -> Vec<u8> {
        assert_eq!(map.grid().dims, self.0.source.dims, "labels on the source's grid");
        let cropped = self.crop_values(map.labels());
        let scaled = resample::labels(&cropped, self.0.crop_dims, self.0.scaled_dims);
        let mut out = vec![0; self.0.dims.iter().product()];
        self.pad(&scaled, &mut out);
        out
    }

    /// Restores labels on the network grid to the source's grid, with background outside the crop.
    /// With resampling, each voxel takes the label with the largest share of its volume.
    ///
    /// # Panics
    /// If there is not one label for each voxel of the network grid.
    pub fn restore(&self, labels: &[u8]) -> LabelMap {
        assert_eq!(labels.len(), self.0.dims.iter().product::<usize>(), "one label for each voxel");
        let scaled = self.unpad(labels);
        self.restore_crop(&resample::labels(&scaled, self.0.scaled_dims, self.0.crop_dims))
    }

    /// Restores intensities or logits on the network grid to the source's grid, with linear
    /// interpolation if the spacings differ. `outside` is the value outside the crop.
    ///
    /// # Shapes
    /// - values: `[k][j][i]` on the network grid
    /// - output: `[k][j][i]` on the source grid, in its own order
    ///
    /// # Panics
    /// If there is not one value for each voxel of the network grid.
    pub fn restore_image(&self, values: &[f32], outside: f32) -> Vec<f32> {
        assert_eq!(values.len(), self.0.dims.iter().product::<usize>(), "one value for each voxel");
        self.restore_values(&self.scale_back(values), outside)
    }

    /// Resamples values on the network grid to the voxels of the canonical crop.
    pub(crate) fn scale_back(&self, values: &[f32]) -> Vec<f32> {
        let scaled = self.unpad(values);
        match self.is_resampled() {
            true => resample::image(&scaled, self.0.scaled_dims, self.0.crop_dims),
            false => scaled,
        }
    }

    /// Returns the canonical crop of values on the source grid.
    fn crop_values<T: Copy>(&self, values: &[T]) -> Vec<T> {
        let orientation = self.0.source.orientation();
        let mut out = Vec::with_capacity(self.0.crop_dims.iter().product());
        self.for_each_in_crop(&orientation, |index| out.push(values[index]));
        out
    }

    /// Restores labels of the canonical crop to the source grid, with background outside.
    pub(crate) fn restore_crop(&self, labels: &[u8]) -> LabelMap {
        let labels = self.restore_values(labels, 0);
        LabelMap::new(self.0.source.clone(), labels).expect("a label for each voxel of the source")
    }

    /// Restores values of the canonical crop to the source grid; inverts [`Placement::crop_values`]
    /// within the crop.
    fn restore_values<T: Copy>(&self, values: &[T], outside: T) -> Vec<T> {
        let source = &self.0.source;
        let mut out = vec![outside; source.num_voxels()];
        let mut values = values.iter();
        self.for_each_in_crop(&source.orientation(), |index| {
            out[index] = *values.next().expect("one value for each voxel of the crop");
        });
        out
    }

    /// Calls `visit` with the source index of each voxel of the crop, in canonical order.
    fn for_each_in_crop(&self, orientation: &Orientation, mut visit: impl FnMut(usize)) {
        let (start, [ni, nj, nk]) = (self.0.crop_start, self.0.crop_dims);
        let source = &self.0.source;
        for k in 0..nk {
            for j in 0..nj {
                for i in 0..ni {
                    let canonical = [start[0] + i, start[1] + j, start[2] + k];
                    visit(source.index(orientation.source_voxel(source.dims, canonical)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Affine;

    fn placement(scaled_dims: [usize; 3]) -> Placement {
        // i points to the front, j to the left, k to the top.
        let rows = [[0., -1., 0., 0.], [1., 0., 0., 0.], [0., 0., 1., 0.]];
        let source = Grid::new([4, 5, 6], Affine::from_rows(rows));
        Placement::new(source, VoxelBox::new([1, 0, 2], [3, 4, 4]), scaled_dims, [8, 8, 9]).unwrap()
    }

    fn labels(placement: &Placement) -> LabelMap {
        let grid = placement.source().clone();
        let labels = (0..grid.num_voxels()).map(|n| (n * 7 % 251) as u8).collect();
        LabelMap::new(grid, labels).unwrap()
    }

    #[test]
    fn restoring_inverts_placing_within_the_crop() {
        let placement = placement([3, 4, 4]);
        assert!(!placement.is_resampled());
        let map = labels(&placement);
        let restored = placement.restore(&placement.place_labels(&map));
        for k in 0..6 {
            for j in 0..5 {
                for i in 0..4 {
                    // Right is −j: the canonical voxel is [4 − j, i, k].
                    let is_inside = (1..4).contains(&(4 - j)) && (2..6).contains(&k);
                    let at = map.grid().index([i, j, k]);
                    let expected = if is_inside { map.labels()[at] } else { 0 };
                    assert_eq!(restored.labels()[at], expected, "voxel {i} {j} {k}");
                }
            }
        }
    }

    #[test]
    fn blocks_of_labels_survive_a_coarser_network() {
        // Blocks of 2 × 2 × 2 voxels, each of which is one voxel at the network's double spacing.
        let source = Grid::new([8, 6, 4], Affine::from_spacing([1.0; 3]));
        let placement =
            Placement::new(source, VoxelBox::new([0; 3], [8, 6, 4]), [4, 3, 2], [4; 3]).unwrap();
        let mut map = labels(&placement);
        for n in 0..map.labels().len() {
            let (i, j, k) = (n % 8, n / 8 % 6, n / 48);
            map.labels_mut()[n] = (i / 2 + 4 * (j / 2) + 12 * (k / 2)) as u8;
        }
        let placed = placement.place_labels(&map);
        let unpadded = placement.unpad(&placed);
        assert_eq!(unpadded, (0..24).collect::<Vec<u8>>());
        // Restored blocks keep their centers, though their corners may go to a neighbor.
        let restored = placement.restore(&placed);
        let same = restored.labels().iter().zip(map.labels()).filter(|(a, b)| a == b).count();
        assert!(same * 2 > map.labels().len(), "{same} of {}", map.labels().len());
    }

    #[test]
    fn json_restores_a_placement_and_an_invalid_one_is_refused() {
        let placement = placement([6, 8, 8]);
        let json = serde_json::to_string(&placement).unwrap();
        assert_eq!(serde_json::from_str::<Placement>(&json).unwrap(), placement);
        let hostile = json.replace("\"crop_start\":[1", "\"crop_start\":[3");
        assert_ne!(hostile, json);
        assert!(serde_json::from_str::<Placement>(&hostile).is_err());
    }
}
