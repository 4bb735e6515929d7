//! The results of a run, case by case: all scores, and pictures of the worst cases only.

use anyhow::Result;
use model_core::metrics::Settings;
use model_core::{LabelMap, Task};

use super::held_out::{CaseResult, Picture};
use super::picture::{Gray, picture};

/// Takes results one after the other.
pub struct Collector<'a> {
    task: &'a Task,
    settings: Settings,
    num_pictures: usize,
    cases: Vec<CaseResult>,
    /// Mean Dice with the picture, the worst first.
    worst: Vec<(f64, Picture)>,
}

impl<'a> Collector<'a> {
    /// Keeps pictures of so many cases.
    pub fn new(task: &'a Task, settings: Settings, num_pictures: usize) -> Collector<'a> {
        Collector { task, settings, num_pictures, cases: Vec::new(), worst: Vec::new() }
    }

    /// Scores a prediction, and pictures it over the scan's [`channel`] where it is among the worst
    /// so far.
    ///
    /// # Errors
    /// When the three are not on one grid; those of `gray`.
    pub fn add(
        &mut self,
        name: &str,
        reference: &LabelMap,
        predicted: &LabelMap,
        gray: impl FnOnce() -> Result<Gray>,
    ) -> Result<()> {
        reference.grid().check_same(predicted.grid())?;
        let result = CaseResult::measure(name, predicted, reference, self.task, &self.settings);
        let (task, shown) = (self.task, &self.task.channels[channel(self.task)]);
        self.add_result(result, || picture(&gray()?, shown, reference, predicted, task))
    }

    /// Takes a case's scores; the picture (caption and PNG) is made only where it is among the
    /// worst so far.
    ///
    /// # Errors
    /// Those of the picture.
    pub fn add_result(
        &mut self,
        result: CaseResult,
        picture: impl FnOnce() -> Result<(String, Vec<u8>)>,
    ) -> Result<()> {
        let case = result.name.clone();
        let dice = result.dice();
        self.cases.push(result);
        let Some(dice) = dice else { return Ok(()) };
        let place = self.worst.partition_point(|(other, _)| *other <= dice);
        if place < self.num_pictures {
            let (caption, png) = picture()?;
            self.worst.insert(place, (dice, Picture { case, caption, png }));
            self.worst.truncate(self.num_pictures);
        }
        Ok(())
    }

    /// All results in the order that they came, and the pictures, the worst case first.
    pub fn finish(self) -> (Vec<CaseResult>, Vec<Picture>) {
        (self.cases, self.worst.into_iter().map(|(_, picture)| picture).collect())
    }
}

/// The channel that shows most to the eye: FLAIR where there is one, else the first.
pub fn channel(task: &Task) -> usize {
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
    fn only_the_worst_cases_are_pictured() {
        let task = Task::builtin("brats2023").unwrap();
        assert_eq!(channel(&task), 3);
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
