//! The only description of a task: its channels, its labels and its regions.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

use crate::{Error, Result, texts};

/// A segmentation task whose description was checked once: it does not contradict itself.
///
/// It is read as its [`TaskDescription`] and changed by [`Task::with`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "TaskDescription", into = "TaskDescription")]
pub struct Task(TaskDescription);

/// The description of a task: the channels, the labels, the scored regions, and whether the network
/// predicts labels or regions. [`Task::new`] checks it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskDescription {
    /// A short name, such as "BraTS 2023".
    pub name: String,
    /// The names of the input channels, in the network's order.
    pub channels: Vec<String>,
    /// The foreground labels. Background has code 0 and is not listed.
    pub labels: Vec<Label>,
    /// The regions that are scored, measured and displayed, in this order.
    pub regions: Vec<Region>,
    /// The meaning of the network's outputs.
    pub head: Head,
}

/// An exclusive label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// The label's name.
    pub name: String,
    /// The label's value on disk, never 0.
    pub code: u8,
}

/// A set of labels that is scored as one. Regions may overlap or nest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// The region's name.
    pub name: String,
    /// The codes of the region's labels.
    pub labels: Vec<u8>,
    /// The code written to voxels where this region is the last predicted one (Brügger et al. 2019:
    /// whole tumor as edema, then core, then enhancing tumor).
    pub writes: u8,
    /// The region's sRGB color on screen.
    pub color: [u8; 3],
}

/// The conversion of logits to labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// One output for each region, which is present where its logit is positive.
    Sigmoid,
    /// One output for each label, background first. The largest logit wins.
    Softmax,
}

/// Region colors that are distinct on gray, for the color-blind too (Okabe and Ito 2008).
const COLORS: [[u8; 3]; 7] = [
    [230, 159, 0],
    [86, 180, 233],
    [213, 94, 0],
    [0, 158, 115],
    [240, 228, 66],
    [0, 114, 178],
    [204, 121, 167],
];

impl TryFrom<TaskDescription> for Task {
    type Error = Error;

    fn try_from(description: TaskDescription) -> Result<Task> {
        Task::new(description)
    }
}

impl From<Task> for TaskDescription {
    fn from(task: Task) -> TaskDescription {
        task.0
    }
}

impl Deref for Task {
    type Target = TaskDescription;

    fn deref(&self) -> &TaskDescription {
        &self.0
    }
}

impl Task {
    /// Returns the task of a description.
    ///
    /// # Errors
    /// [`Error::Task`], naming the first contradiction.
    pub fn new(description: TaskDescription) -> Result<Task> {
        description.check()?;
        Ok(Task(description))
    }

    /// Returns the task with a changed description.
    ///
    /// # Errors
    /// As [`Task::new`].
    pub fn with(&self, change: impl FnOnce(&mut TaskDescription)) -> Result<Task> {
        let mut description = self.0.clone();
        change(&mut description);
        Task::new(description)
    }

    /// Returns a task of exclusive labels, each of which is also a region. `labels` are the foreground
    /// codes with their names.
    ///
    /// # Errors
    /// As [`Task::new`].
    pub fn exclusive(name: &str, channels: Vec<String>, labels: Vec<(u8, String)>) -> Result<Task> {
        Task::new(exclusive(name, channels, labels))
    }

    /// Returns the number of output channels of a network for this task.
    pub fn num_outputs(&self) -> usize {
        match self.head {
            Head::Sigmoid => self.regions.len(),
            Head::Softmax => self.labels.len() + 1,
        }
    }

    /// Returns the code that each output channel writes.
    pub fn output_codes(&self) -> Vec<u8> {
        match self.head {
            Head::Sigmoid => self.regions.iter().map(|region| region.writes).collect(),
            Head::Softmax => {
                std::iter::once(0).chain(self.labels.iter().map(|label| label.code)).collect()
            }
        }
    }

    /// Errors if `labels` contain a code that the task does not name. Unknown codes are never guessed.
    ///
    /// # Errors
    /// [`Error::Labels`], listing the unknown codes and the task's labels.
    pub fn check_codes(&self, labels: &[u8]) -> Result<()> {
        let mut present = [false; 256];
        labels.iter().for_each(|&label| present[usize::from(label)] = true);
        let is_named = |code: u8| code == 0 || self.labels.iter().any(|label| label.code == code);
        let is_unknown = |code: &u8| present[usize::from(*code)] && !is_named(*code);
        let unknown: Vec<u8> = (0..=255).filter(is_unknown).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let text = |label: &Label| format!("{} {}", label.code, label.name);
        let labels: Vec<String> = self.labels.iter().map(text).collect();
        let expected = format!("{}: 0 background, {}", self.name, labels.join(", "));
        Err(Error::labels(expected, format!("{unknown:?}")))
    }

    /// Errors if this task cannot replace the task that a data set states: the number of channels and
    /// the label codes must be equal, since the data set's files depend on them.
    ///
    /// # Errors
    /// [`Error::Task`].
    pub fn check_agrees(&self, stated: &Task) -> Result<()> {
        let summary = |task: &Task| {
            let mut codes: Vec<u8> = task.labels.iter().map(|label| label.code).collect();
            codes.sort_unstable();
            (task.channels.len(), codes)
        };
        let text =
            |(channels, codes): (usize, Vec<u8>)| format!("{channels} channels, labels {codes:?}");
        match summary(self) == summary(stated) {
            true => Ok(()),
            false => Err(Error::task(
                format!("{}, as the data set says", text(summary(stated))),
                format!("{} in {}", text(summary(self)), self.name),
            )),
        }
    }
}

impl TaskDescription {
    /// Errors if the description contradicts itself.
    ///
    /// # Errors
    /// [`Error::Task`], naming the first contradiction.
    fn check(&self) -> Result<()> {
        self.check_names()?;
        let codes: Vec<u8> = self.labels.iter().map(|label| label.code).collect();
        if self.channels.is_empty() || self.channels.len() > 64 {
            return Err(Error::task("1 to 64 channels", self.channels.len()));
        }
        if self.labels.is_empty() || self.regions.is_empty() {
            return Err(Error::task("at least one label and one region", "none"));
        }
        if codes.contains(&0) || (1..codes.len()).any(|n| codes[..n].contains(&codes[n])) {
            return Err(Error::task("distinct label codes from 1 to 255", format!("{codes:?}")));
        }
        for region in &self.regions {
            let is_named = |code: &u8| codes.contains(code);
            let writes_own_label = region.labels.contains(&region.writes);
            if region.labels.is_empty() || !region.labels.iter().all(is_named) || !writes_own_label
            {
                return Err(Error::task(
                    format!("region {:?} to unite labels among {codes:?}", region.name),
                    format!("{:?}, writing {}", region.labels, region.writes),
                ));
            }
        }
        match self.head {
            Head::Sigmoid => self.check_written_codes(),
            Head::Softmax => Ok(()),
        }
    }

    /// Errors if the regions write a label's voxels with another code. Even a perfect prediction would
    /// be written with wrong labels.
    fn check_written_codes(&self) -> Result<()> {
        for Label { name, code } in &self.labels {
            let last = self.regions.iter().rfind(|region| region.labels.contains(code));
            match last.map(|region| region.writes) {
                Some(written) if written == *code => {}
                written => {
                    return Err(Error::task(
                        format!(
                            "regions, in the order in which they are written, that give label \
                             {code} ({name}) back as {code}"
                        ),
                        match written {
                            Some(written) => format!("regions that write {written} for it"),
                            None => "no region that holds it".to_string(),
                        },
                    ));
                }
            }
        }
        Ok(())
    }

    /// Errors if there are too many regions, or if a name is too long or has control characters.
    fn check_names(&self) -> Result<()> {
        if self.regions.len() > 255 || self.regions.iter().any(|r| r.labels.len() > 255) {
            let found = self.regions.len();
            return Err(Error::task("at most 255 regions, each of at most 255 labels", found));
        }
        let names = std::iter::once(("a task's name", &self.name))
            .chain(self.channels.iter().map(|name| ("a channel's name", name)))
            .chain(self.labels.iter().map(|label| ("a label's name", &label.name)))
            .chain(self.regions.iter().map(|region| ("a region's name", &region.name)));
        match names.filter_map(|(what, name)| texts::name_fault(what, name)).next() {
            None => Ok(()),
            Some((expected, found)) => Err(Error::task(expected, found)),
        }
    }
}

/// Returns the description of a task of exclusive labels, each of which is also a region.
pub(super) fn exclusive(
    name: &str,
    channels: Vec<String>,
    labels: Vec<(u8, String)>,
) -> TaskDescription {
    let region = |(n, (code, name)): (usize, &(u8, String))| Region {
        name: name.clone(),
        labels: vec![*code],
        writes: *code,
        color: region_color(n),
    };
    TaskDescription {
        name: name.to_string(),
        channels,
        regions: labels.iter().enumerate().map(region).collect(),
        labels: labels.into_iter().map(|(code, name)| Label { name, code }).collect(),
        head: Head::Softmax,
    }
}

/// Returns the color of a task's n-th region.
pub(super) fn region_color(n: usize) -> [u8; 3] {
    COLORS[n % COLORS.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_that_write_wrong_labels_are_refused() {
        let check = |regions: &[(&[u8], u8)]| {
            let task = Task::builtin("brats2023").unwrap();
            let region = |(n, &(labels, writes)): (usize, &(&[u8], u8))| Region {
                labels: labels.to_vec(),
                writes,
                ..task.regions[n].clone()
            };
            let regions = regions.iter().enumerate().map(region).collect();
            task.with(|task| task.regions = regions).map(drop).map_err(|error| error.to_string())
        };
        assert_eq!(check(&[(&[1, 2, 3], 2), (&[1, 3], 1), (&[3], 3)]), Ok(()));
        let inner_first = check(&[(&[3], 3), (&[1, 3], 1), (&[1, 2, 3], 2)]).unwrap_err();
        assert!(inner_first.contains("label 1 (necrotic core)"), "{inner_first}");
        assert!(check(&[(&[1, 2, 3], 3), (&[1, 3], 1), (&[3], 3)]).is_err());
        assert!(check(&[(&[1, 3], 1), (&[3], 3)]).unwrap_err().contains("no region"));
    }

    #[test]
    fn a_region_of_an_unknown_label_is_refused() {
        let task = Task::builtin("brats2023").unwrap();
        let changed = task.with(|task| task.regions[1].labels = vec![1, 4]);
        assert!(matches!(changed, Err(Error::Task { .. })));
    }
}
