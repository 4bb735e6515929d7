//! A case: the channels of one subject at one time, and its reference labels.

use std::borrow::Borrow;

use crate::{DEFAULT_TOLERANCE_VOXELS, Error, Grid, LabelMap, Result, Task, Volume};

/// The scans of one subject at one time, with the experts' labels if there are any.
///
/// There is one volume for each channel of the task, in the task's order. All volumes and the
/// labels lie on one grid, and the task names every label code.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    name: String,
    channels: Vec<Volume>,
    labels: Option<LabelMap>,
}

impl Case {
    /// Returns a case of this task.
    ///
    /// # Errors
    /// [`Error::InCase`] with one of these errors: [`Error::Scan`] if the number of channels
    /// differs from the task's or all channels are constant, [`Error::Geometry`] if the grids
    /// differ, [`Error::Labels`] if the task does not name a label's code.
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

    /// Returns the case under another name.
    pub fn with_name(self, name: impl Into<String>) -> Case {
        Case { name: name.into(), ..self }
    }

    /// Returns the case's name in its data set.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the volume of each channel, in the task's order.
    pub fn channels(&self) -> &[Volume] {
        &self.channels
    }

    /// Returns the reference labels, if they are known.
    pub fn labels(&self) -> Option<&LabelMap> {
        self.labels.as_ref()
    }

    /// Returns the grid of the channels and the labels.
    pub fn grid(&self) -> &Grid {
        self.channels[0].grid()
    }

    /// Returns the channels and the labels.
    pub fn into_channels_and_labels(self) -> (Vec<Volume>, Option<LabelMap>) {
        (self.channels, self.labels)
    }

    fn check(&self, task: &Task) -> Result<()> {
        check_channels(&self.channels)?;
        for volume in &self.channels {
            self.grid().check_same(volume.grid())?;
        }
        if self.channels.len() != task.channels.len() {
            let expected =
                format!("{} ({})", channel_count(task.channels.len()), task.channels.join(", "));
            return Err(Error::scan(expected, channel_count(self.channels.len())));
        }
        let Some(map) = &self.labels else { return Ok(()) };
        self.grid().check_same(map.grid())?;
        task.check_codes(map.labels())
    }
}

fn channel_count(n: usize) -> String {
    if n == 1 { "1 channel".to_string() } else { format!("{n} channels") }
}

/// Errors if every channel is constant, as a file of NaN is after reading. `ranges` are the lowest
/// and the highest value of each channel.
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

/// Errors if there is no channel, if the channels' grids differ, or if every channel is constant.
pub(crate) fn check_channels<V: Borrow<Volume>>(channels: &[V]) -> Result<()> {
    let mut volumes = channels.iter().map(V::borrow);
    let Some(first) = volumes.next() else {
        return Err(Error::scan("at least one channel", "none"));
    };
    for volume in std::iter::once(first).chain(volumes) {
        first.grid().align(volume.grid(), DEFAULT_TOLERANCE_VOXELS)?;
        if volume.values().is_empty() {
            return Err(Error::scan("at least 1 voxel", 0));
        }
    }
    let ranges: Vec<[f32; 2]> = channels.iter().map(|volume| volume.borrow().range()).collect();
    check_contrast(&ranges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Affine;

    fn volume(dims: [usize; 3]) -> Volume {
        let grid = Grid::new(dims, Affine::IDENTITY);
        let values = (0..grid.num_voxels()).map(|n| n as f32).collect();
        Volume::new(grid, values).unwrap()
    }

    fn labels(code: u8) -> Option<LabelMap> {
        Some(LabelMap::new(volume([2; 3]).grid().clone(), vec![code; 8]).unwrap())
    }

    #[test]
    fn a_case_that_does_not_fit_its_task_is_refused_by_name() {
        let task = Task::builtin("brats2021").unwrap();
        let case = |n, labels| Case::new("case-7", vec![volume([2; 3]); n], labels, &task);
        assert!(case(4, None).is_ok());
        assert!(case(4, labels(4)).is_ok());
        let message = case(4, labels(3)).unwrap_err().to_string();
        assert!(message.contains("[3]") && message.ends_with("(case case-7)"), "{message}");
        let message = case(3, None).unwrap_err().in_file("t1.nii").to_string();
        assert!(message.ends_with("(case case-7) (in t1.nii)"), "{message}");
        assert!(case(0, None).is_err());
        let constant = Volume::new(volume([2; 3]).grid().clone(), vec![3.0; 8]).unwrap();
        let channels = vec![volume([2; 3]), constant.clone(), constant.clone(), constant.clone()];
        assert!(Case::new("", channels, None, &task).is_ok(), "one channel is not constant");
        let message = Case::new("", vec![constant; 4], None, &task).unwrap_err().to_string();
        assert!(message.contains("one value in all voxels"), "{message}");
        let mixed = vec![volume([2; 3]), volume([2; 3]), volume([2; 3]), volume([2, 2, 3])];
        assert!(Case::new("", mixed, None, &task).is_err());
        let mut turned = vec![volume([2; 3]); 4];
        let stored = Grid::new(
            [2; 3],
            Affine::from_rows([[0., 1., 0., 0.], [1., 0., 0., 0.], [0., 0., 1., 0.]]),
        );
        turned[3] = Volume::new(stored, turned[3].values().to_vec()).unwrap();
        assert!(Case::new("", turned, None, &task).is_err(), "another axis order");
    }
}
