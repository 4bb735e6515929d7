//! A result beside another label map: of another reader, or of an earlier study.

use model_core::formats::nifti;
use model_core::{DEFAULT_TOLERANCE_VOXELS, Error, Grid, LabelMap};
use serde::Serialize;

use crate::share::{self, SharedRegion, SharedResult};

/// The other label map.
#[derive(Debug, Clone, PartialEq)]
pub struct OtherMap {
    /// The name of its file.
    pub file: String,
    /// For each region of the result the codes in the other map and the volume there; `None` if the other
    /// map does not know the region.
    pub regions: Vec<Option<OtherRegion>>,
    /// The labels on the result's grid; `None` if they lie on another one, as those of an earlier study.
    pub labels: Option<LabelMap>,
}

/// A region in the other map.
#[derive(Debug, Clone, PartialEq)]
pub struct OtherRegion {
    /// The label codes.
    pub codes: Vec<u8>,
    /// The volume.
    pub volume_ml: f64,
}

/// A region in both maps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RegionComparison {
    /// The region's name.
    pub name: String,
    /// The volume in the other map.
    pub other_ml: f64,
    /// The volume in the result.
    pub volume_ml: f64,
    /// The Dice coefficient; `None` if the maps lie on different grids, or the region is empty in both.
    pub dice: Option<f64>,
    /// The volume that is in one of the maps alone; `None` if they lie on different grids.
    pub disagreement_ml: Option<f64>,
}

impl OtherMap {
    /// Reads a label map (NIfTI). If the page saved it, its regions are found by name, otherwise by the
    /// codes of the result's regions.
    ///
    /// # Errors
    /// A message for the user, with the file.
    pub fn read(file: &str, bytes: &[u8], result: &SharedResult) -> Result<OtherMap, String> {
        let in_file = |error: Error| format!("{error} (in {file})");
        let grid: &Grid = result.labels.grid();
        let saved = match nifti::comment(bytes).filter(|text| share::is_share_fragment(text)) {
            Some(comment) => {
                let labels = nifti::read_labels(bytes).map_err(in_file)?;
                share::read_file(&comment, labels).transpose()
            }
            None => Ok(None),
        };
        let saved = saved.map_err(|error| format!("{error} (in {file})"))?;
        let codes = |region: &SharedRegion| match &saved {
            Some(saved) => {
                let other = saved.regions.iter().find(|other| other.name == region.name)?;
                Some(other.codes.clone())
            }
            None => Some(region.codes.clone()),
        };
        let codes: Vec<Option<Vec<u8>>> = result.regions.iter().map(codes).collect();
        let reader = || nifti::Reader::open(bytes);
        let (labels, is_aligned) =
            match reader().and_then(|reader| reader.labels_on(grid, DEFAULT_TOLERANCE_VOXELS)) {
                Ok((labels, _)) => (labels, true),
                Err(Error::Geometry { .. }) => {
                    (reader().and_then(|reader| reader.labels()).map_err(in_file)?, false)
                }
                Err(error) => return Err(in_file(error)),
            };
        let region = |codes: Option<Vec<u8>>| {
            codes.map(|codes| OtherRegion { volume_ml: labels.volume_ml(&codes), codes })
        };
        let regions = codes.into_iter().map(region).collect();
        Ok(OtherMap { file: file.to_string(), regions, labels: is_aligned.then_some(labels) })
    }

    /// Compares the regions that both maps know.
    pub fn compare(&self, result: &SharedResult) -> Vec<RegionComparison> {
        let joint = self.labels.as_ref().map(|other| joint_counts(&result.labels, other));
        let voxel_ml = result.labels.grid().world_from_voxel.voxel_volume_mm3() / 1000.0;
        let regions = result.regions.iter().zip(&self.regions);
        let compare = |(region, other): (&SharedRegion, &Option<OtherRegion>)| {
            let other = other.as_ref()?;
            let counts = joint.as_ref().map(|joint| {
                let [mut both, mut one] = [0u64; 2];
                for (n, &count) in joint.iter().enumerate().filter(|(_, count)| **count > 0) {
                    let here = region.codes.contains(&((n / 256) as u8));
                    let there = other.codes.contains(&((n % 256) as u8));
                    both += if here && there { count } else { 0 };
                    one += if here != there { count } else { 0 };
                }
                (both, one)
            });
            let dice = counts.filter(|(both, one)| both + one > 0);
            Some(RegionComparison {
                name: region.name.clone(),
                other_ml: other.volume_ml,
                volume_ml: region.volume_ml,
                dice: dice.map(|(both, one)| 2.0 * both as f64 / (2 * both + one) as f64),
                disagreement_ml: counts.map(|(_, one)| one as f64 * voxel_ml),
            })
        };
        regions.filter_map(compare).collect()
    }
}

impl RegionComparison {
    /// Returns the change from the other map to the result, in words.
    pub fn change_text(&self) -> String {
        let change = self.volume_ml - self.other_ml;
        match self.other_ml {
            0.0 => format!("{change:+.2} ml"),
            other => format!("{change:+.2} ml, {:+.0} %", 100.0 * change / other),
        }
    }
}

/// Returns how many voxels have each code in the first and in the second map, at 256 · first + second.
fn joint_counts(first: &LabelMap, second: &LabelMap) -> Vec<u64> {
    let mut counts = vec![0; 1 << 16];
    for (a, b) in first.labels().iter().zip(second.labels()) {
        counts[256 * usize::from(*a) + usize::from(*b)] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use model_core::Affine;

    use super::*;
    use crate::numbers::tests::result;

    /// The result's map with one more voxel of code 1 and without the first, under another code.
    fn changed(code: u8) -> LabelMap {
        let mut labels = result().labels;
        let changed = labels.labels_mut();
        changed.iter_mut().for_each(|label| *label *= code);
        (changed[0], changed[9], changed[10]) = (0, code, code);
        labels
    }

    #[test]
    fn another_readers_map_is_compared_voxel_by_voxel() {
        let file = nifti::write_labels(&changed(1));
        let other = OtherMap::read("b.nii.gz", &file, &result()).unwrap();
        let [region] = &other.compare(&result())[..] else { panic!("one region") };
        assert_eq!((region.volume_ml, region.other_ml), (0.024, 0.032));
        // Two voxels in both, one here alone, two there alone.
        assert_eq!(region.dice, Some(4.0 / 7.0));
        assert_eq!(region.disagreement_ml, Some(0.024));
        assert_eq!(region.change_text(), "-0.01 ml, -25 %");
    }

    #[test]
    fn a_saved_results_regions_are_found_by_name() {
        let labels = changed(5);
        let mut saved = SharedResult { labels: labels.clone(), ..result() };
        saved.regions[0].codes = vec![5];
        saved.regions[0].volume_ml = 0.032;
        let write = |saved: &SharedResult| {
            let comment = share::file_comment(saved).unwrap();
            nifti::write_labels_with_texts(&labels, "", &comment)
        };
        let other = OtherMap::read("b.nii.gz", &write(&saved), &result()).unwrap();
        assert_eq!(other.compare(&result())[0].dice, Some(4.0 / 7.0));
        saved.regions[0].name = "another".into();
        let other = OtherMap::read("b.nii.gz", &write(&saved), &result()).unwrap();
        assert_eq!(other.compare(&result()), []);
    }

    #[test]
    fn of_an_earlier_study_the_volumes_are_compared() {
        let grid = Grid::new([2, 2, 2], Affine::from_spacing([3.0; 3]));
        let file = nifti::write_labels(&LabelMap::new(grid, vec![1; 8]).unwrap());
        let other = OtherMap::read("earlier.nii.gz", &file, &result()).unwrap();
        assert_eq!(other.labels, None);
        let region = &other.compare(&result())[0];
        assert!((region.other_ml - 0.216).abs() < 1e-9);
        assert_eq!((region.dice, region.disagreement_ml), (None, None));
        let error = OtherMap::read("x.nii", b"text", &result()).unwrap_err();
        assert!(error.contains("x.nii"), "{error}");
    }
}
