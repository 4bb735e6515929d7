//! Where a network's input lies on its source, so that a prediction can be put back.
//!
//! Source grid → canonical order → crop → resampling → padding → network grid.

use serde::{Deserialize, Serialize};

use crate::{Error, Grid, LabelMap, Orientation, Result, resample};

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

    /// Source labels on the network grid, for training: the nearest voxel's, background around.
    ///
    /// # Panics
    /// When the labels are not on the source's grid.
    pub fn place_labels(&self, map: &LabelMap) -> Vec<u8> {
        assert_eq!(map.grid.dims, self.0.source.dims, "labels on the source's grid");
        let cropped = self.crop_values(&map.labels);
        let scaled = nearest(&cropped, self.0.crop_dims, self.0.scaled_dims);
        let mut out = vec![0; self.0.dims.iter().product()];
        self.pad(&scaled, &mut out);
        out
    }

    /// Labels on the network grid put back on the source's: the nearest voxel's, background
    /// outside the crop.
    ///
    /// # Panics
    /// When there are not as many labels as the network grid has voxels.
    pub fn restore(&self, labels: &[u8]) -> LabelMap {
        assert_eq!(labels.len(), self.0.dims.iter().product::<usize>(), "one label a voxel");
        let scaled = self.unpad(labels);
        self.restore_crop(&nearest(&scaled, self.0.scaled_dims, self.0.crop_dims))
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
        LabelMap { grid: self.0.source.clone(), labels: self.restore_values(labels, 0) }
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

/// Each target voxel's nearest source voxel, over the same extent.
fn nearest(values: &[u8], source: [usize; 3], target: [usize; 3]) -> Vec<u8> {
    if source == target {
        return values.to_vec();
    }
    let places = |a: usize| -> Vec<usize> {
        (0..target[a]).map(|n| resample::nearest(n, target[a], source[a])).collect()
    };
    let (i_places, j_places, k_places) = (places(0), places(1), places(2));
    let mut out = Vec::with_capacity(target.iter().product());
    for k in &k_places {
        for j in &j_places {
            let row = source[0] * (j + source[1] * k);
            out.extend(i_places.iter().map(|i| values[row + i]));
        }
    }
    out
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
        LabelMap { grid, labels }
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
                    let at = map.grid.index([i, j, k]);
                    let wanted = if inside { map.labels[at] } else { 0 };
                    assert_eq!(restored.labels[at], wanted, "voxel {i} {j} {k}");
                }
            }
        }
    }

    #[test]
    fn finer_placing_restores_exactly() {
        let placement = placement([6, 8, 8]);
        assert!(placement.is_resampled());
        let map = labels(&placement);
        let once = placement.restore(&placement.place_labels(&map));
        let cropped = placement.crop_values(&map.labels);
        assert_eq!(placement.crop_values(&once.labels), cropped);
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
