//! Where a step's numbers are none: the cases that they come from.

use anyhow::{Error, anyhow};
use burn::tensor::Tensor;

use crate::adam::numbers;
use crate::parallel::{Reducer, report_non_finite};

/// Cases whose losses are no numbers, as far as this rank knows.
#[derive(Default)]
pub(super) struct NonFiniteReport {
    /// The network's answer to them is none.
    certain: Vec<String>,
    /// They are of batches whose loss is none.
    suspected: Vec<String>,
}

impl NonFiniteReport {
    /// Of a batch whose loss is no number: the cases whose logits are none, or all, where that does not
    /// tell them apart. Those of a branch are of all cases.
    pub fn of_loss(&mut self, logits: &[f32], is_of_branch: bool, cases: Vec<String>) {
        let samples = logits.chunks_exact(logits.len() / cases.len());
        let is_culprit = |sample: &[f32]| sample.iter().any(|logit| !logit.is_finite());
        let found = samples.zip(&cases).filter(|(sample, _)| is_culprit(sample));
        let found: Vec<String> = found.map(|(_, case)| case.clone()).collect();
        let is_told = is_of_branch && found.is_empty();
        self.certain.extend(if is_told { cases.clone() } else { found });
        self.suspected.extend(cases);
    }

    /// The error of a step on which no rank can go on, since the summed loss, or else the summed
    /// gradient, is no number: which of this rank's cases it comes from, or what another rank says that
    /// knows better. `own` is this rank's gradient, where there are other ranks.
    pub fn named(
        self,
        reducer: &dyn Reducer,
        is_loss: bool,
        own: Option<Tensor<1>>,
        step: usize,
        cases: Vec<String>,
    ) -> Error {
        let is_number = |own: Tensor<1>| numbers(own).iter().all(|slope| slope.is_finite());
        let NonFiniteReport { certain, suspected } = self;
        let (what, certain, suspected) = if is_loss {
            // The gradients of such a loss are no numbers on any rank.
            ("loss", certain, suspected)
        } else if own.is_some_and(is_number) {
            ("gradient", Vec::new(), cases.clone())
        } else {
            ("gradient", cases.clone(), Vec::new())
        };
        if let Err(said) = report_non_finite(reducer, !certain.is_empty(), !suspected.is_empty()) {
            return said;
        }
        let found = [certain, suspected, cases].into_iter().find(|cases| !cases.is_empty());
        anyhow!(
            "the {what} is no longer a finite number, at step {} on patches of {}: look at these \
             scans (`rewind inspect`), or try a lower learning_rate; the last checkpoint is kept",
            step + 1,
            found.unwrap_or_default().join(", ")
        )
    }
}
