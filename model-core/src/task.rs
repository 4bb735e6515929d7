//! What a network is asked: its channels, labels and regions. The only description of a task.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What the channels are, what the labels are, which regions are scored, and whether the network
/// answers in labels or in regions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// A short name, such as "BraTS 2023".
    pub name: String,
    /// What each input channel shows, in the network's order.
    pub channels: Vec<String>,
    /// The foreground labels; background is code 0 and not listed.
    pub labels: Vec<Label>,
    /// The regions that are scored, measured and shown, in this order.
    pub regions: Vec<Region>,
    /// How the network's outputs are read.
    pub head: Head,
}

/// An exclusive label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// The label's name.
    pub name: String,
    /// Its value on disk, never 0.
    pub code: u8,
}

/// A set of labels that is scored as one; regions may overlap or nest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// The region's name.
    pub name: String,
    /// The codes of the labels that it unites.
    pub labels: Vec<u8>,
    /// The code written where this region is predicted and no later one is (Brügger et al. 2019:
    /// whole tumor as edema, then core, then enhancing tumor).
    pub writes: u8,
    /// Its color on screen, sRGB.
    pub color: [u8; 3],
}

/// How logits become labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// One output a region, each present where its logit is positive.
    Sigmoid,
    /// One output a label, background first; the largest wins.
    Softmax,
}

/// Distinct on gray for the color-blind too (Okabe and Ito 2008).
const COLORS: [[u8; 3]; 7] = [
    [230, 159, 0],
    [86, 180, 233],
    [213, 94, 0],
    [0, 158, 115],
    [240, 228, 66],
    [0, 114, 178],
    [204, 121, 167],
];

impl Task {
    /// A built-in task by name: `brats2021` (enhancing tumor is label 4) or `brats2023` (label 3).
    ///
    /// # Errors
    /// [`Error::Task`] for another name.
    pub fn builtin(name: &str) -> Result<Task> {
        match name {
            "brats2021" => Ok(brats("BraTS 2021", 4)),
            "brats2023" => Ok(brats("BraTS 2023", 3)),
            _ => Err(Error::task("one of brats2021, brats2023", format!("{name:?}"))),
        }
    }

    /// A task of exclusive labels, each scored as a region of its own; `labels` are the foreground
    /// codes with their names.
    pub fn exclusive(name: &str, channels: Vec<String>, labels: Vec<(u8, String)>) -> Task {
        let region = |(n, (code, name)): (usize, &(u8, String))| Region {
            name: name.clone(),
            labels: vec![*code],
            writes: *code,
            color: COLORS[n % COLORS.len()],
        };
        Task {
            name: name.to_string(),
            channels,
            regions: labels.iter().enumerate().map(region).collect(),
            labels: labels.into_iter().map(|(code, name)| Label { name, code }).collect(),
            head: Head::Softmax,
        }
    }

    /// The number of output channels of a network for this task.
    pub fn num_outputs(&self) -> usize {
        match self.head {
            Head::Sigmoid => self.regions.len(),
            Head::Softmax => self.labels.len() + 1,
        }
    }

    /// For each output channel the code it writes.
    pub fn output_codes(&self) -> Vec<u8> {
        match self.head {
            Head::Sigmoid => self.regions.iter().map(|region| region.writes).collect(),
            Head::Softmax => {
                std::iter::once(0).chain(self.labels.iter().map(|label| label.code)).collect()
            }
        }
    }

    /// Refuses a description that contradicts itself.
    ///
    /// # Errors
    /// [`Error::Task`], naming the first contradiction.
    pub fn check(&self) -> Result<()> {
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
            let known = |code: &u8| codes.contains(code);
            let writes_own = region.labels.contains(&region.writes);
            if region.labels.is_empty() || !region.labels.iter().all(known) || !writes_own {
                return Err(Error::task(
                    format!("region {:?} to unite labels among {codes:?}", region.name),
                    format!("{:?}, writing {}", region.labels, region.writes),
                ));
            }
        }
        Ok(())
    }
}

fn brats(name: &str, enhancing: u8) -> Task {
    let label = |name: &str, code| Label { name: name.to_string(), code };
    let region = |name: &str, labels: &[u8], writes, color| Region {
        name: name.to_string(),
        labels: labels.to_vec(),
        writes,
        color,
    };
    Task {
        name: name.to_string(),
        channels: ["T1", "T1Gd", "T2", "FLAIR"].map(String::from).to_vec(),
        labels: vec![
            label("necrotic core", 1),
            label("edema", 2),
            label("enhancing tumor", enhancing),
        ],
        regions: vec![
            region("whole tumor", &[1, 2, enhancing], 2, COLORS[0]),
            region("tumor core", &[1, enhancing], 1, COLORS[1]),
            region("enhancing tumor", &[enhancing], enhancing, COLORS[2]),
        ],
        head: Head::Sigmoid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builtin_tasks_are_consistent() {
        for name in ["brats2021", "brats2023"] {
            let task = Task::builtin(name).unwrap();
            task.check().unwrap();
            assert_eq!(task.num_outputs(), 3);
        }
        assert_eq!(Task::builtin("brats2021").unwrap().output_codes(), [2, 1, 4]);
        assert!(Task::builtin("brats").is_err());
    }

    #[test]
    fn contradictions_are_refused() {
        let mut task = Task::builtin("brats2023").unwrap();
        task.regions[1].labels = vec![1, 4];
        assert!(matches!(task.check(), Err(Error::Task { .. })));
    }
}
