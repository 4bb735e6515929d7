//! Where a network's input lies on its source, so that a prediction can be put back.
//!
//! Source grid → canonical order → crop → resampling → padding → network grid.

use serde::{Deserialize, Serialize};

use crate::{Error, Grid, LabelMap, Orientation, Result, geometry::resample};

/// The way from a source grid to a network's input, and back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Placement(Stored);

/// A placement's numbers; axes are right, front, top, except for the source grid's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Stored {
    source: Grid,
    /// First canonical voxel of the crop.
    crop_start: [usize; 3],
    /// Canonical voxels of the crop.
    crop_dims: [usize; 3],
    /// The crop's voxels after resampling; the same as before when there is none.
    scaled_dims: [usize; 3],
    /// Voxels of padding before the crop.
    pad_before: [usize; 3],
    /// The network grid.
    dims: [usize; 3],
}

impl TryFrom<Stored> for Placement {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        let Stored { source, crop_start, crop_dims, scaled_dims, pad_before, dims } = &stored;
        let canonical = source.orientation().canonical_dims(source.dims);
        let inside = |start: usize, length: usize, whole: usize| {
            length > 0 && start.checked_add(length).is_some_and(|end| end <= whole)
        };
        let limit = 1 << 15;
        let fits = (0..3).all(|a| {
            inside(crop_start[a], crop_dims[a], canonical[a])
                && inside(pad_before[a], scaled_dims[a], dims[a])
                && canonical[a] <= limit
                && dims[a] <= limit
        });
        source.world_from_voxel.check()?;
        match fits {
            true => Ok(Placement(stored)),
            false => Err(Error::geometry("a crop within its source", format!("{stored:?}"))),
        }
    }
}

impl From<Placement> for Stored {
    fn from(placement: Placement) -> Self {
        placement.0
    }
}

impl Placement {
    /// From a crop of canonical voxels, resampled to `scaled_dims`, in the middle of `dims`.
    pub(crate) fn new(
        source: Grid,
        crop_start: [usize; 3],
        crop_dims: [usize; 3],
        scaled_dims: [usize; 3],
        dims: [usize; 3],
    ) -> Result<Self> {
        let pad_before = std::array::from_fn(|a| dims[a].saturating_sub(scaled_dims[a]) / 2);
        Placement::try_from(Stored { source, crop_start, crop_dims, scaled_dims, pad_before, dims })
    }

    /// Whether the network sees another spacing than the source has.
    pub fn is_resampled(&self) -> bool {
        self.0.scaled_dims != self.0.crop_dims
    }

    /// The grid that a prediction is put back on.
    pub fn source(&self) -> &Grid {
        &self.0.source
    }

    /// Voxels of the network's input along right, front, top.
    pub fn dims(&self) -> [usize; 3] {
        self.0.dims
    }

    /// The spacing along right, front, top of the network's input.
    pub fn spacing_mm(&self) -> [f64; 3] {
        let source = self.0.source.world_from_voxel.spacing_mm();
        let axes = self.0.source.orientation().axes;
        std::array::from_fn(|a| {
            source[axes[a]] * self.0.crop_dims[a] as f64 / self.0.scaled_dims[a] as f64
        })
    }

    /// The crop that the network sees: its first voxel and its extent, in canonical voxels.
    pub fn crop(&self) -> ([usize; 3], [usize; 3]) {
        (self.0.crop_start, self.0.crop_dims)
    }

    /// The crop's extent after resampling; the rest of the network grid is padding.
    pub fn scaled_dims(&self) -> [usize; 3] {
        self.0.scaled_dims
    }

    /// Puts values of the resampled crop in the middle of the network grid, zeros around them.
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

    /// The resampled crop's part of values on the network grid; undoes [`Placement::pad`].
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

    /// Source labels on the network grid, for training; background around them. Where spacings
    /// differ, each voxel takes the label with the largest share of it.
    ///
    /// # Panics
    /// When the labels are not on the source's grid.
    pub fn place_labels(&self, map: &LabelMap) -> Vec<u8> {
        assert_eq!(map.grid().dims, self.0.source.dims, "labels on the source's grid");
        let cropped = self.crop_values(map.labels());
        let scaled = resample::labels(&cropped, self.0.crop_dims, self.0.scaled_dims);
        let mut out = vec![0; self.0.dims.iter().product()];
        self.pad(&scaled, &mut out);
        out
    }

    /// Labels on the network grid put back on the source's; background outside the crop. Where
    /// spacings differ, each voxel takes the label with the largest share of it.
    ///
    /// # Panics
    /// When there are not as many labels as the network grid has voxels.
    pub fn restore(&self, labels: &[u8]) -> LabelMap {
        assert_eq!(labels.len(), self.0.dims.iter().product::<usize>(), "one label a voxel");
        let scaled = self.unpad(labels);
        self.restore_crop(&resample::labels(&scaled, self.0.scaled_dims, self.0.crop_dims))
    }

    /// Intensities or logits on the network grid put back on the source's, interpolated linearly
    /// where spacings differ; `outside` is the value outside the crop.
    ///
    /// # Shapes
    /// - values: `[k][j][i]` on the network grid
    /// - output: the source's voxels in its own order
    ///
    /// # Panics
    /// When there are not as many values as the network grid has voxels.
    pub fn restore_image(&self, values: &[f32], outside: f32) -> Vec<f32> {
        assert_eq!(values.len(), self.0.dims.iter().product::<usize>(), "one value a voxel");
        self.restore_values(&self.scale_back(values), outside)
    }

    /// Values on the network grid at the voxels of the canonical crop.
    pub(crate) fn scale_back(&self, values: &[f32]) -> Vec<f32> {
        let scaled = self.unpad(values);
        match self.is_resampled() {
            true => resample::image(&scaled, self.0.scaled_dims, self.0.crop_dims),
            false => scaled,
        }
    }

    /// The canonical crop of values on the source grid.
    pub(crate) fn crop_values<T: Copy>(&self, values: &[T]) -> Vec<T> {
        let orientation = self.0.source.orientation();
        let mut out = Vec::with_capacity(self.0.crop_dims.iter().product());
        self.for_each_in_crop(&orientation, |index| out.push(values[index]));
        out
    }

    /// Labels of the canonical crop on the source grid, background outside.
    pub(crate) fn restore_crop(&self, labels: &[u8]) -> LabelMap {
        let labels = self.restore_values(labels, 0);
        LabelMap::new(self.0.source.clone(), labels).expect("a label for each voxel of the source")
    }

    /// Values of the canonical crop on the source grid; undoes [`Placement::crop_values`].
    pub(crate) fn restore_values<T: Copy>(&self, values: &[T], outside: T) -> Vec<T> {
        let source = &self.0.source;
        let mut out = vec![outside; source.num_voxels()];
        let mut values = values.iter();
        self.for_each_in_crop(&source.orientation(), |index| {
            out[index] = *values.next().expect("one value a voxel of the crop");
        });
        out
    }

    fn for_each_in_crop(&self, orientation: &Orientation, mut visit: impl FnMut(usize)) {
        let (start, [ni, nj, nk]) = self.crop();
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
        Placement::new(source, [1, 0, 2], [3, 4, 4], scaled_dims, [8, 8, 9]).unwrap()
    }

    fn labels(placement: &Placement) -> LabelMap {
        let grid = placement.source().clone();
        let labels = (0..grid.num_voxels()).map(|n| (n * 7 % 251) as u8).collect();
        LabelMap::new(grid, labels).unwrap()
    }

    #[test]
    fn restoring_undoes_placing_within_the_crop() {
        let placement = placement([3, 4, 4]);
        assert!(!placement.is_resampled());
        let map = labels(&placement);
        let restored = placement.restore(&placement.place_labels(&map));
        for k in 0..6 {
            for j in 0..5 {
                for i in 0..4 {
                    // Right is −j: the canonical voxel is [4 − j, i, k].
                    let inside = (1..4).contains(&(4 - j)) && (2..6).contains(&k);
                    let at = map.grid().index([i, j, k]);
                    let wanted = if inside { map.labels()[at] } else { 0 };
                    assert_eq!(restored.labels()[at], wanted, "voxel {i} {j} {k}");
                }
            }
        }
    }

    #[test]
    fn whole_blocks_of_labels_survive_a_coarser_network() {
        // Labels of 2 × 2 × 2 voxels, and a network at twice the spacing that sees blocks whole.
        let source = Grid::new([8, 6, 4], Affine::from_spacing([1.0; 3]));
        let placement = Placement::new(source, [0; 3], [8, 6, 4], [4, 3, 2], [4; 3]).unwrap();
        let mut map = labels(&placement);
        for n in 0..map.labels().len() {
            let (i, j, k) = (n % 8, n / 8 % 6, n / 48);
            map.labels_mut()[n] = (i / 2 + 4 * (j / 2) + 12 * (k / 2)) as u8;
        }
        let placed = placement.place_labels(&map);
        let seen = placement.unpad(&placed);
        assert_eq!(seen, (0..24).collect::<Vec<u8>>());
        // On the way back every block keeps its center, though corners may go to a neighbor.
        let restored = placement.restore(&placed);
        let same = restored.labels().iter().zip(map.labels()).filter(|(a, b)| a == b).count();
        assert!(same * 2 > map.labels().len(), "{same} of {}", map.labels().len());
    }

    #[test]
    fn a_placement_travels_as_json_and_a_false_one_is_refused() {
        let placement = placement([6, 8, 8]);
        let json = serde_json::to_string(&placement).unwrap();
        assert_eq!(serde_json::from_str::<Placement>(&json).unwrap(), placement);
        let hostile = json.replace("\"crop_start\":[1", "\"crop_start\":[3");
        assert_ne!(hostile, json);
        assert!(serde_json::from_str::<Placement>(&hostile).is_err());
    }
}
