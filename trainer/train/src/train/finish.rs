//! The end of a training: the best weights on every measured case.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use model_core::metrics::OddsCounts;
use model_core::nets::UNet3d;
use model_core::{Bundle, LabelMap, Task, postprocess, probabilities, region_probabilities};
use trainer_data::cases::{CacheGuard, PreparedCase};
use trainer_run::run_folder::{HELD_OUT, REPORT, Run, read_bundle};

use super::run_log::RunLog;
use super::setup::TrainSetup;
use crate::device::DeviceId;
use crate::{memory, model};

/// A function that is called when a training has come to its end, such as one that writes the
/// report. Returns whether it came to its own end before the training was asked to stop.
pub type OnFinish = fn(&FinishedRun) -> Result<bool>;

/// A run whose training has come to its end.
pub struct FinishedRun<'a> {
    /// The best weights.
    pub bundle: Bundle,
    setup: &'a TrainSetup<'a>,
    log: &'a RunLog,
    stop: &'a AtomicBool,
}

/// A measured case and its segmentation by the best weights.
pub struct MeasuredCase<'a> {
    /// Name.
    pub name: &'a str,
    /// The preprocessed case.
    pub case: CacheGuard<PreparedCase>,
    /// The reference segmentation, on the scan's grid.
    pub reference: LabelMap,
    /// The segmentation by the network, on the scan's grid.
    pub predicted: LabelMap,
    /// The network's logits, on its input's grid.
    logits: Vec<f32>,
    task: &'a Task,
}

impl MeasuredCase<'_> {
    /// Counts the voxels of each region by their predicted probability, on the grid of the network's
    /// input.
    pub fn count_odds(&self, counts: &mut [OddsCounts]) {
        let (case, task, mut outputs) = (&*self.case, self.task, self.logits.clone());
        let dims = case.placement.dims();
        probabilities(&mut outputs, dims.iter().product(), task);
        let by_region = region_probabilities(&outputs, dims.iter().product(), task);
        for ((region, probabilities), counts) in task.regions.iter().zip(by_region).zip(counts) {
            let inside: Vec<bool> = case.labels.iter().map(|l| region.labels.contains(l)).collect();
            counts.count_case(&probabilities, &inside, dims, case.placement.spacing_mm());
        }
    }
}

impl<'a> FinishedRun<'a> {
    pub(super) fn open(
        setup: &'a TrainSetup<'a>,
        log: &'a RunLog,
        stop: &'a AtomicBool,
    ) -> Result<FinishedRun<'a>> {
        Ok(FinishedRun { bundle: read_bundle(setup.out)?, setup, log, stop })
    }

    /// Returns the run's folder.
    pub fn out(&self) -> &Path {
        self.setup.out
    }

    /// Returns the description of the run.
    pub fn run(&self) -> &Run {
        &self.setup.run
    }

    /// Segments every measured case with the best weights, and passes it to `each`. Returns whether
    /// all cases were segmented before the training was asked to stop.
    ///
    /// # Errors
    /// Errors if a case can no longer be read, and as `each`.
    pub fn segment(&self, mut each: impl FnMut(MeasuredCase) -> Result<()>) -> Result<bool> {
        let network = self.network()?;
        let measured = &self.setup.data.measured;
        let count = measured.len();
        for (done, &number) in measured.iter().enumerate() {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            self.log.set_message(format!("the best weights on case {} of {count}", done + 1));
            each(self.segmented(&network, number)?)?;
        }
        Ok(true)
    }

    /// Segments the first training case with the best weights.
    ///
    /// # Errors
    /// Errors if the case can no longer be read.
    pub fn segment_training_case(&self) -> Result<MeasuredCase<'_>> {
        let first = self.setup.data.training.first().context("a run has training cases")?;
        self.segmented(&self.network()?, *first)
    }

    fn network(&self) -> Result<UNet3d> {
        model::build(&self.bundle.card.network, &self.bundle.weights, &self.setup.device)
    }

    fn segmented(&self, network: &UNet3d, number: usize) -> Result<MeasuredCase<'_>> {
        let TrainSetup { data, device, run, .. } = self.setup;
        let reference = data.cases.reference(number)?;
        let case = data.cases.load(number)?;
        let logits = model::logits(network, &case.input, device);
        let predicted = postprocess(&logits, &run.task, &case.placement);
        let (name, task) = (data.cases.name(number), &run.task);
        Ok(MeasuredCase { name, case, reference, predicted, logits, task })
    }

    /// Returns the name of the device.
    pub fn device_name(&self) -> String {
        DeviceId::of(&self.setup.device).to_string()
    }

    /// Returns the most memory that the process has held, in bytes; `None` on a GPU, whose memory the
    /// process does not know, and in a deterministic run, since the number depends on the threads.
    pub fn peak_bytes(&self) -> Option<u64> {
        let is_cpu = DeviceId::of(&self.setup.device).is_cpu();
        let is_counted = is_cpu && !self.setup.run.config.deterministic;
        is_counted.then(memory::peak_process_bytes).flatten()
    }
}

/// Removes the files of an earlier end of the run.
///
/// # Errors
/// Errors if a file cannot be removed.
pub(super) fn remove_results(out: &Path) -> Result<()> {
    for name in [HELD_OUT, REPORT] {
        let file = out.join(name);
        if file.exists() {
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        }
    }
    Ok(())
}
