//! One training step: forward, losses, backward, and the update of the weights.

use std::cell::Cell;
use std::sync::Arc;
use trainer_data::patches::BatchShard;

use anyhow::Result;
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use model_core::UNetConfig;
use model_core::nets::{BottleneckHook, Precision, UNet3d, VaeBranch, backward};
use model_core::network::layers::parameters;

use crate::adam::{Adam, StepSettings, average_towards, norm, numbers};
use crate::checkpoint::Checkpoint;
use crate::device::DeviceId;
use crate::initial::initial_weights;
use crate::loss::deep::{coarser, level_weights};
use crate::loss::variational::{Terms, terms};
use crate::loss::{Loss, Report};
use crate::loss_scale::LossScale;
use crate::model;
use crate::parallel::{Reducer, SingleRank, sum_gradients};
use trainer_data::patches::Batch;
use trainer_run::config::TrainConfig;
use trainer_run::metrics::{Metric, Scalars};
use trainer_run::rng::{RngStream, generator, normal};

mod lists;
mod non_finite;

use lists::{Add, Move, Scale};
use non_finite::NonFiniteReport;

/// The weights in training, and the state that changes with them.
pub struct Learner {
    /// The trained weights.
    pub network: UNet3d,
    /// The moving average of the weights, without the layers that only training has. Validations
    /// measure it, and bundles hold it.
    pub average: UNet3d,
    /// The optimizer.
    pub adam: Adam,
    /// The scale that keeps half-precision gradients in range.
    pub loss_scale: LossScale,
    /// Sums the gradient with those of other ranks.
    pub reducer: Arc<dyn Reducer>,
    loss: Loss,
    tracked: Device,
}

/// The losses and the gradient norm of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// The losses of the logits; `loss` includes the variational branch's terms.
    pub report: Report,
    /// L2 and KL of the variational branch, unweighted.
    pub branch: Option<[f64; 2]>,
    /// The norm of the gradient before it is clipped.
    pub gradient_norm: f64,
    /// The cases of a skipped step, whose scaled gradient was not finite.
    pub skipped: Option<Vec<String>>,
}

impl Checkpoint {
    /// Returns the start of a run.
    pub fn initial(network: &UNetConfig, seed: u64) -> Checkpoint {
        Checkpoint {
            steps: 0,
            validation_is_due: false,
            validations: Vec::new(),
            weights: initial_weights(network, seed),
            average: initial_weights(&network.for_inference(), seed),
            moments: Default::default(),
            loss_scale: LossScale::default(),
        }
    }
}

impl Learner {
    /// Loads a checkpoint onto a device, to train in f32.
    ///
    /// # Errors
    /// Errors if the checkpoint is of another network.
    pub fn new(
        network: &UNetConfig,
        loss: Loss,
        checkpoint: Checkpoint,
        device: &Device,
    ) -> Result<Learner> {
        Learner::in_precision(network, Precision::F32, loss, checkpoint, device)
    }

    /// Loads a checkpoint onto a device, to train in a precision. The average is measured in f32.
    ///
    /// # Errors
    /// Errors if the checkpoint is of another network.
    pub fn in_precision(
        network: &UNetConfig,
        precision: Precision,
        loss: Loss,
        checkpoint: Checkpoint,
        device: &Device,
    ) -> Result<Learner> {
        let (tracked, plain) = (device.clone().autodiff(), device.clone().without_autodiff());
        let Checkpoint { steps, weights, average, moments, loss_scale, .. } = checkpoint;
        // The optimizer does not count skipped steps.
        let taken = steps - loss_scale.skipped;
        Ok(Learner {
            network: model::build_in(network, &weights, precision, &tracked)?,
            average: model::build(&network.for_inference(), &average, &plain)?,
            adam: Adam::resumed(parameters(network), taken, moments, &plain)?,
            loss_scale: loss_scale.resumed(precision),
            reducer: Arc::new(SingleRank),
            loss,
            tracked,
        })
    }

    /// Steps the weights against the mean gradient of one or more batches, and updates their average.
    ///
    /// Each rank passes its own shard of the batches, and all ranks make the same update. A scaled loss
    /// whose gradient is not finite skips the step.
    ///
    /// # Errors
    /// Errors if the loss or the gradient is not finite and no smaller scale is left, or another rank
    /// has ended. The weights are then unchanged.
    pub fn step(
        &mut self,
        config: &TrainConfig,
        learning_rate: f64,
        batches: Vec<Batch>,
    ) -> Result<StepReport> {
        let is_alone = self.reducer.num_ranks() == 1;
        if !(is_alone && DeviceId::of(&self.tracked).is_cpu()) {
            return self.step_here(config, learning_rate, batches);
        }
        // On a thread of the kernels' pool, a kernel starts without waking another thread first.
        // Several ranks share the pool: a rank could take up the step of another, and would wait for
        // itself.
        rayon::scope(|_| self.step_here(config, learning_rate, batches))
    }

    fn step_here(
        &mut self,
        config: &TrainConfig,
        learning_rate: f64,
        batches: Vec<Batch>,
    ) -> Result<StepReport> {
        let share = self.share(config);
        let count = batches.len() * share.at_once;
        let step = batches.first().expect("at least one batch").number / count;
        let cases: Vec<String> = batches.iter().flat_map(|batch| batch.cases.clone()).collect();
        let mut non_finite_report = NonFiniteReport::default();
        let mut total: Option<(StepReport, GradientsParams)> = None;
        for batch in batches {
            let (report, mut gradients) = self.gradients(config, batch, &mut non_finite_report)?;
            total = Some(match total {
                None => (report, gradients),
                Some((sum, mut gradients_sum)) => {
                    let mut add = Add { from: &mut gradients, to: &mut gradients_sum };
                    self.network.visit(&mut add);
                    (sum.plus(&report), gradients_sum)
                }
            });
        }
        let (mut report, mut gradients) = total.expect("at least one batch");
        let own;
        (gradients, own) = self.sum_over_ranks(&mut report, gradients)?;
        report.scale(1.0 / count as f64);
        let factor = 1.0 / (count as f64 * self.loss_scale.factor().unwrap_or(1.0));
        if factor != 1.0 {
            self.network.visit(&mut Scale { gradients: &mut gradients, factor });
        }
        report.gradient_norm = norm(&self.network, &gradients);
        // A loss that is not finite can have a finite gradient: that of a sigmoid beyond the range.
        // Both are sums over all ranks, so that all ranks decide alike.
        let is_finite = report.gradient_norm.is_finite() && report.report.loss.is_finite();
        if !is_finite && self.loss_scale.can_skip() {
            self.loss_scale.skip();
            report.skipped = Some(cases);
            return Ok(report);
        }
        if !is_finite {
            let is_loss = !report.report.loss.is_finite();
            return Err(non_finite_report.named(&*self.reducer, is_loss, own, step, cases));
        }
        let settings = StepSettings {
            optimizer: config.optimizer,
            learning_rate,
            weight_decay: config.weight_decay,
            clip_norm: config.clip_norm,
        };
        let network = self.network.clone();
        self.network = self.adam.step(settings, network, gradients, report.gradient_norm);
        // At first the average follows faster, so that it forgets the random start.
        let done = (step + 1) as f64;
        let early = (1.0 + done) / (10.0 + done);
        let factor = if config.average > 0.0 { config.average.min(early) } else { 0.0 };
        self.average = average_towards(self.average.clone(), &self.network, factor);
        self.loss_scale.keep();
        Ok(report)
    }

    fn share(&self, config: &TrainConfig) -> BatchShard {
        let (rank, num_ranks) = (self.reducer.rank(), self.reducer.num_ranks());
        BatchShard::new(config.batch, config.accumulate, rank, num_ranks)
    }

    /// Sums a step's report and gradients over all ranks. With several ranks, also returns this rank's
    /// gradient before the sum.
    fn sum_over_ranks(
        &self,
        report: &mut StepReport,
        gradients: GradientsParams,
    ) -> Result<(GradientsParams, Option<Tensor<1>>)> {
        if self.reducer.num_ranks() == 1 {
            return Ok((gradients, None));
        }
        let mut numbers = report.numbers();
        let device = self.tracked.clone().without_autodiff();
        let (gradients, own) =
            sum_gradients(&*self.reducer, &self.network, gradients, &mut numbers, &device)?;
        report.set_numbers(numbers);
        Ok((gradients, Some(own)))
    }

    /// Computes the losses of a batch and the gradient of every parameter. Records the cases of losses
    /// that are not finite in `non_finite`.
    fn gradients(
        &self,
        config: &TrainConfig,
        batch: Batch,
        non_finite: &mut NonFiniteReport,
    ) -> Result<(StepReport, GradientsParams)> {
        let Batch { number, values, labels, cases } = batch;
        let in_channels = self.network.config.in_channels();
        let (share, reducer) = (self.share(config), &*self.reducer);
        let part = Cell::new(1.0);
        let total = |sums: &mut [f64]| {
            let mut all = share.spread(sums);
            reducer.sum_numbers(&mut all)?;
            let whole = &all[share.places(sums.len())];
            part.set(sums[0] / whole[0]);
            sums.copy_from_slice(whole);
            Ok(())
        };
        let weights = level_weights(self.network.deep_heads.len());
        let found = |report| StepReport { report, branch: None, gradient_norm: 0.0, skipped: None };
        if cases.is_empty() {
            // Other ranks have all patches of this batch. The sums still need this rank.
            let mut report = self.loss.of_part(&[], &[], 0, total)?.0;
            report.loss *= weights[0];
            for weight in &weights[1..] {
                report.loss += weight * self.loss.of_part(&[], &[], 0, total)?.0.loss;
            }
            let branch = self.network.vae.as_ref().map(|_| [0.0; 2]);
            let report = StepReport { branch, ..found(report) }.for_group_sum(share);
            return Ok((report, GradientsParams::new()));
        }
        let input = self.network.vae.as_ref().map(|vae| (vae, values.clone()));
        let x = model::tensor(values, in_channels, config.patch, &self.tracked);
        let (logits, hooks) = self.network.forward_with_hooks(x);
        let (report, mut gradient) = self.loss.of_tensor(logits.clone().inner(), &labels, total)?;
        let mut report = found(report);
        report.report.loss *= weights[0];
        if weights.len() > 1 {
            gradient = gradient.mul_scalar(weights[0]);
        }
        let mut outputs = vec![(logits.clone(), gradient)];
        let deep = self.network.deep_logits(&hooks).into_iter().rev();
        for (level, (deep, weight)) in deep.zip(&weights[1..]).enumerate() {
            let labels = coarser(&labels, config.patch, 2 << level);
            let (of_level, gradient) = self.loss.of_tensor(deep.clone().inner(), &labels, total)?;
            report.report.loss += weight * of_level.loss;
            outputs.push((deep, gradient.mul_scalar(*weight)));
        }
        let branch = input.map(|(vae, input)| {
            let noise = normal(generator(config.seed, RngStream::Latent, number as u64));
            let noise = (noise, share.patches().start);
            let tap = &hooks.bottleneck;
            branch(vae, tap, &input, noise, part.get(), config.patch, &self.loss_scale)
        });
        let loss = report.report.loss + branch.as_ref().map_or(0.0, |(terms, _)| terms.loss());
        if !loss.is_finite() {
            let of_branch = branch.as_ref().is_some_and(|(terms, _)| !terms.loss().is_finite());
            non_finite.of_loss(&numbers(logits.clone().inner()), of_branch, cases);
        }
        report = report.for_group_sum(share);
        let seed = |(logits, gradient): (Tensor<5>, Tensor<5>)| {
            (logits, self.loss_scale.seed(gradient.autodiff()))
        };
        drop(logits);
        let gradients = backward(outputs.into_iter().map(seed).collect());
        let mut gradients = GradientsParams::from_grads(gradients, &self.network);
        if let Some((terms, mut of_branch)) = branch {
            self.network.visit(&mut Move { from: &mut of_branch, to: &mut gradients });
            report.report.loss += terms.loss();
            report.branch = Some([terms.reconstruction, terms.divergence]);
        }
        Ok((report, gradients))
    }
}

impl StepReport {
    /// Returns the scalars for the log.
    pub fn scalars(&self) -> Scalars {
        let Report { loss, cross_entropy, dice } = self.report;
        let mut scalars = Scalars::from_iter([
            (Metric::Loss, loss),
            (Metric::CrossEntropy, cross_entropy),
            (Metric::PatchDice, dice),
            (Metric::GradientNorm, self.gradient_norm),
        ]);
        if let Some([l2, kl]) = self.branch {
            scalars.extend([(Metric::VaeL2, l2), (Metric::VaeKl, kl)]);
        }
        scalars
    }

    /// Clears the values that all ranks of a group share on all but one of them, before the sum over
    /// all ranks.
    fn for_group_sum(mut self, share: BatchShard) -> StepReport {
        if !share.is_main_rank() {
            let Report { loss, cross_entropy, dice } = &mut self.report;
            (*loss, *cross_entropy, *dice) = (0.0, 0.0, 0.0);
        }
        self
    }

    /// Returns the values that are means over batches.
    fn numbers(&self) -> [f64; 5] {
        let Report { loss, cross_entropy, dice } = self.report;
        let [reconstruction, divergence] = self.branch.unwrap_or_default();
        [loss, cross_entropy, dice, reconstruction, divergence]
    }

    fn set_numbers(&mut self, numbers: [f64; 5]) {
        let [loss, cross_entropy, dice, reconstruction, divergence] = numbers;
        self.report = Report { loss, cross_entropy, dice };
        self.branch = self.branch.map(|_| [reconstruction, divergence]);
    }

    fn plus(mut self, other: &StepReport) -> StepReport {
        self.report.loss += other.report.loss;
        self.report.cross_entropy += other.report.cross_entropy;
        self.report.dice += other.report.dice;
        self.branch = (self.branch.zip(other.branch)).map(|([a, b], [c, d])| [a + c, b + d]);
        self
    }

    fn scale(&mut self, factor: f64) {
        self.report.loss *= factor;
        self.report.cross_entropy *= factor;
        self.report.dice *= factor;
        self.branch = self.branch.map(|terms| terms.map(|term| term * factor));
    }
}

/// Computes the branch's terms and the gradients of its parameters.
///
/// The gradient of the bottleneck goes into the hook, from which the network's backward pass takes it:
/// a rewound bottleneck is no tensor of the branch's graph. The samples are this rank's `part` of a
/// batch, from sample `first` on; `noise` is that of the whole batch.
fn branch(
    vae: &VaeBranch,
    tap: &BottleneckHook,
    input: &[f32],
    (noise, first): (impl Iterator<Item = f32>, usize),
    part: f64,
    patch: [usize; 3],
    loss_scale: &LossScale,
) -> (Terms, GradientsParams) {
    let bottom = tap.take().autodiff().require_grad();
    let [batch, ..] = bottom.dims();
    let [_, units] = vae.decode.weight.dims();
    let noise = noise.skip(first * units);
    let noise = TensorData::new(noise.take(batch * units).collect(), [batch, units, 1, 1, 1]);
    let branch = vae.forward(bottom.clone(), Tensor::from_data(noise, &bottom.device()));
    let outputs = [branch.reconstruction, branch.mean, branch.log_variance];
    let [reconstruction, mean, log_variance] =
        outputs.each_ref().map(|output| numbers(output.clone().inner()));
    let num_voxels = patch.iter().product();
    let mut terms = terms(&reconstruction, input, &mean, &log_variance, batch, num_voxels);
    if part < 1.0 {
        terms = terms.as_part(part);
    }
    let gradients = [&terms.by_reconstruction, &terms.by_mean, &terms.by_log_variance];
    let outputs = outputs.into_iter().zip(gradients).map(|(output, gradient)| {
        let gradient = TensorData::new(gradient.clone(), output.dims());
        let gradient = Tensor::from_data(gradient, &output.device());
        (output, loss_scale.seed(gradient))
    });
    let mut gradients = backward(outputs.collect());
    tap.give(bottom.grad_remove(&mut gradients).expect("the branch depends on the bottom"));
    (terms, GradientsParams::from_grads(gradients, vae))
}
