//! A case: the channels of one subject at one time, and the labels that are known of it.

use crate::{DEFAULT_TOLERANCE_VOXELS, Error, LabelMap, Result, Task, Volume};

/// What a network sees of one subject, and the expert's answer where there is one.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The case's name in its data set.
    pub name: String,
    /// One volume a channel, in the task's order, all on one grid.
    pub channels: Vec<Volume>,
    /// The reference labels, on the same grid.
    pub labels: Option<LabelMap>,
}

impl Case {
    /// A case that fits its task: as many channels, one grid, label codes of the task's scheme.
    ///
    /// # Errors
    /// [`Error::Scan`], [`Error::Geometry`] or [`Error::Labels`]; each in an
    /// [`Error::InCase`].
    pub fn new(
        name: impl Into<String>,
        channels: Vec<Volume>,
        labels: Option<LabelMap>,
        task: &Task,
    ) -> Result<Case> {
        let case = Case { name: name.into(), channels, labels };
        match case.check(task) {
            Ok(()) => Ok(case),
            Err(error) => Err(Error::InCase { case: case.name, error: Box::new(error) }),
        }
    }

    fn check(&self, task: &Task) -> Result<()> {
        check_channels(&self.channels)?;
        if self.channels.len() != task.channels.len() {
            let expected =
                format!("{} ({})", channels(task.channels.len()), task.channels.join(", "));
            return Err(Error::scan(expected, channels(self.channels.len())));
        }
        let Some(map) = &self.labels else { return Ok(()) };
        self.channels[0].grid().check_same(map.grid())?;
        task.check_codes(map.labels())
    }
}

fn channels(n: usize) -> String {
    if n == 1 { "1 channel".to_string() } else { format!("{n} channels") }
}

/// Refuses a scan without contrast: one value in all voxels of every channel, which is also what is
/// left of a file of NaN. `ranges` are the lowest and the highest value of each channel.
///
/// # Errors
/// [`Error::Scan`].
pub fn check_contrast(ranges: &[[f32; 2]]) -> Result<()> {
    match ranges.iter().all(|[low, high]| low >= high) {
        true => {
            Err(Error::scan("a scan with contrast", "one value in all voxels of every channel"))
        }
        false => Ok(()),
    }
}

/// Refuses an empty list of channels, channels of other voxels, and a scan without contrast.
pub(crate) fn check_channels(channels: &[Volume]) -> Result<()> {
    let Some(first) = channels.first() else {
        return Err(Error::scan("at least one channel", "none"));
    };
    for volume in channels {
        first.grid().align(volume.grid(), DEFAULT_TOLERANCE_VOXELS)?;
        if volume.values().is_empty() {
            return Err(Error::scan("at least 1 voxel", 0));
        }
    }
    check_contrast(&channels.iter().map(Volume::range).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Affine, Grid};

    fn volume(dims: [usize; 3]) -> Volume {
        let grid = Grid::new(dims, Affine::IDENTITY);
        let values = (0..grid.num_voxels()).map(|n| n as f32).collect();
        Volume::new(grid, values).unwrap()
    }

    fn labels(code: u8) -> Option<LabelMap> {
        Some(LabelMap::new(volume([2; 3]).grid().clone(), vec![code; 8]).unwrap())
    }

    #[test]
    fn a_case_fits_its_task_or_is_refused_by_name() {
        let task = Task::builtin("brats2021").unwrap();
        let case = |n, labels| Case::new("case-7", vec![volume([2; 3]); n], labels, &task);
        assert!(case(4, None).is_ok());
        assert!(case(4, labels(4)).is_ok());
        let message = case(4, labels(3)).unwrap_err().to_string();
        assert!(message.contains("[3]") && message.ends_with("(case case-7)"), "{message}");
        let blamed = case(3, None).unwrap_err().in_file("t1.nii").to_string();
        assert!(blamed.ends_with("(case case-7) (in t1.nii)"), "a file is named too: {blamed}");
        assert!(case(0, None).is_err());
        let flat = Volume::new(volume([2; 3]).grid().clone(), vec![3.0; 8]).unwrap();
        let channels = vec![volume([2; 3]), flat.clone(), flat.clone(), flat.clone()];
        assert!(Case::new("", channels, None, &task).is_ok(), "one channel shows something");
        let message = Case::new("", vec![flat; 4], None, &task).unwrap_err().to_string();
        assert!(message.contains("one value in all voxels"), "{message}");
        let mixed = vec![volume([2; 3]), volume([2; 3]), volume([2; 3]), volume([2, 2, 3])];
        assert!(Case::new("", mixed, None, &task).is_err());
    }
}
