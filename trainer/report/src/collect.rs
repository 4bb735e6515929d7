//! Collects the results of a run case by case: the scores of all cases, and pictures of the worst.

use anyhow::Result;
use model_core::metrics::Settings;
use model_core::{LabelMap, Task};

use super::held_out::{CaseResult, Picture};
use super::picture::{GrayImage, picture};

/// Collects the results of cases.
pub struct Collector<'a> {
    task: &'a Task,
    settings: Settings,
    num_pictures: usize,
    cases: Vec<CaseResult>,
    /// The mean Dice and the picture of the worst cases, the worst first.
    worst: Vec<(f64, Picture)>,
}

impl<'a> Collector<'a> {
    /// Returns a collector that keeps the pictures of `num_pictures` cases.
    pub fn new(task: &'a Task, settings: Settings, num_pictures: usize) -> Collector<'a> {
        Collector { task, settings, num_pictures, cases: Vec::new(), worst: Vec::new() }
    }

    /// Scores a prediction. If it is among the worst so far, makes its picture over the scan's
    /// [`pictured_channel`], which `scan` returns.
    ///
    /// # Errors
    /// Errors if the scan and the two label maps are not on one grid. The errors of `scan`.
    pub fn add(
        &mut self,
        name: &str,
        reference: &LabelMap,
        predicted: &LabelMap,
        scan: impl FnOnce() -> Result<GrayImage>,
    ) -> Result<()> {
        reference.grid().check_same(predicted.grid())?;
        let result = CaseResult::measure(name, predicted, reference, self.task, &self.settings);
        let (task, channel) = (self.task, &self.task.channels[pictured_channel(self.task)]);
        self.add_result(result, || picture(&scan()?, channel, reference, predicted, task))
    }

    /// Adds the scores of a case. `picture` returns a caption and a PNG; it is called only if the
    /// case is among the worst so far.
    ///
    /// # Errors
    /// The errors of `picture`.
    pub fn add_result(
        &mut self,
        result: CaseResult,
        picture: impl FnOnce() -> Result<(String, Vec<u8>)>,
    ) -> Result<()> {
        let case = result.name.clone();
        let dice = result.dice();
        self.cases.push(result);
        let Some(dice) = dice else { return Ok(()) };
        let rank = self.worst.partition_point(|(other, _)| *other <= dice);
        if rank < self.num_pictures {
            let (caption, png) = picture()?;
            self.worst.insert(rank, (dice, Picture { case, caption, png }));
            self.worst.truncate(self.num_pictures);
        }
        Ok(())
    }

    /// Returns all results in the order of their addition, and the pictures, the worst case first.
    pub fn finish(self) -> (Vec<CaseResult>, Vec<Picture>) {
        (self.cases, self.worst.into_iter().map(|(_, picture)| picture).collect())
    }
}

/// Returns the number of the channel on which lesions are seen best: FLAIR if there is one, else
/// the first.
pub fn pictured_channel(task: &Task) -> usize {
    let is_flair = |name: &String| {
        let name = name.to_lowercase();
        name.contains("flair") || name == "t2f"
    };
    task.channels.iter().position(is_flair).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::held_out::RegionResult;

    #[test]
    fn only_the_worst_cases_have_pictures() {
        let task = Task::builtin("brats2023").unwrap();
        assert_eq!(pictured_channel(&task), 3);
        let mut collector = Collector::new(&task, Settings::default(), 2);
        let mut num_pictured = 0;
        for (n, dice) in
            [Some(0.5), Some(0.9), None, Some(0.7), Some(0.8), Some(0.1)].into_iter().enumerate()
        {
            let regions = vec![RegionResult { dice, ..RegionResult::default() }];
            let result = CaseResult { name: format!("case {n}"), regions, warnings: Vec::new() };
            let picture = || {
                num_pictured += 1;
                Ok((String::new(), vec![n as u8]))
            };
            collector.add_result(result, picture).unwrap();
        }
        let (cases, pictures) = collector.finish();
        let names: Vec<&str> = pictures.iter().map(|picture| picture.case.as_str()).collect();
        assert_eq!((cases.len(), names, num_pictured), (6, vec!["case 5", "case 0"], 4));
    }
}
