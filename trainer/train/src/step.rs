//! One step of training: forward, losses, backward, and the change of the weights.

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
use crate::initial::initial_weights;
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

/// The weights in training, and all that changes with them.
pub struct Learner {
    /// The weights that are trained.
    pub network: UNet3d,
    /// Their moving average, without what only training has: what is measured and exported.
    pub average: UNet3d,
    /// The optimizer.
    pub adam: Adam,
    /// What keeps gradients of half precision in its range.
    pub loss_scale: LossScale,
    /// How its gradient is summed with those of other ranks.
    pub reducer: Arc<dyn Reducer>,
    loss: Loss,
    tracked: Device,
}

/// What a step found.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// Of the network's answer; its loss holds the branch's part too.
    pub report: Report,
    /// The branch's L2 and KL, as they are before they are weighted.
    pub branch: Option<[f64; 2]>,
    /// The gradient's norm, before it is clipped.
    pub gradient_norm: f64,
    /// The cases of a step that changed nothing, since its scaled gradient was not finite.
    pub skipped: Option<Vec<String>>,
}

impl Checkpoint {
    /// Where a run starts.
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
    /// At a checkpoint, on a device, in f32.
    ///
    /// # Errors
    /// When the checkpoint is not of the network.
    pub fn new(
        network: &UNetConfig,
        loss: Loss,
        checkpoint: Checkpoint,
        device: &Device,
    ) -> Result<Learner> {
        Learner::in_precision(network, Precision::F32, loss, checkpoint, device)
    }

    /// The same, training in a precision; the average is measured in f32.
    ///
    /// # Errors
    /// When the checkpoint is not of the network.
    pub fn in_precision(
        network: &UNetConfig,
        precision: Precision,
        loss: Loss,
        checkpoint: Checkpoint,
        device: &Device,
    ) -> Result<Learner> {
        let (tracked, plain) = (device.clone().autodiff(), device.clone().without_autodiff());
        let Checkpoint { steps, weights, average, moments, loss_scale, .. } = checkpoint;
        // A step that was skipped is none of the optimizer's.
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

    /// Steps the weights against the mean gradient of one or more batches, and moves their average.
    /// Of several ranks each is given its own part of the batches; they step alike. Where the loss is
    /// scaled and the gradient is not finite, the step is skipped.
    ///
    /// # Errors
    /// When a loss or the gradient is no longer finite, and no smaller scale is left, or another rank
    /// has ended; the weights are then as they were.
    pub fn step(
        &mut self,
        config: &TrainConfig,
        learning_rate: f64,
        batches: Vec<Batch>,
    ) -> Result<StepReport> {
        let share = self.share(config);
        let count = batches.len() * share.at_once;
        let step = batches.first().expect("at least one batch").number / count;
        let cases: Vec<String> = batches.iter().flat_map(|batch| batch.cases.clone()).collect();
        let mut blame = NonFiniteReport::default();
        let mut total: Option<(StepReport, GradientsParams)> = None;
        for batch in batches {
            let (report, mut gradients) = self.gradients(config, batch, &mut blame)?;
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
        // A loss that is no number can have a gradient that is one: a sigmoid's, beyond the range.
        // Both were summed: all ranks decide alike.
        let is_finite = report.gradient_norm.is_finite() && report.report.loss.is_finite();
        if !is_finite && self.loss_scale.can_skip() {
            self.loss_scale.skip();
            report.skipped = Some(cases);
            return Ok(report);
        }
        if !is_finite {
            let is_loss = !report.report.loss.is_finite();
            return Err(blame.named(&*self.reducer, is_loss, own, step, cases));
        }
        let settings = StepSettings {
            optimizer: config.optimizer,
            learning_rate,
            weight_decay: config.weight_decay,
            clip_norm: config.clip_norm,
        };
        let network = self.network.clone();
        self.network = self.adam.step(settings, network, gradients, report.gradient_norm);
        // Early on the average follows faster, so that it forgets the random start.
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

    /// A step's report and gradients summed over all ranks, and where there are several, this one's
    /// gradient before that.
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

    /// The losses of a batch, and every parameter's gradient; and into `blame`, where the losses are no
    /// numbers, whose they are.
    fn gradients(
        &self,
        config: &TrainConfig,
        batch: Batch,
        blame: &mut NonFiniteReport,
    ) -> Result<(StepReport, GradientsParams)> {
        let Batch { number, values, labels, cases } = batch;
        let in_channels = self.network.config.in_channels();
        let (share, reducer) = (self.share(config), &*self.reducer);
        let mut part = 1.0;
        let total = |sums: &mut [f64]| {
            let mut all = share.spread(sums);
            reducer.sum_numbers(&mut all)?;
            let whole = &all[share.places(sums.len())];
            part = sums[0] / whole[0];
            sums.copy_from_slice(whole);
            Ok(())
        };
        let found = |report| StepReport { report, branch: None, gradient_norm: 0.0, skipped: None };
        if cases.is_empty() {
            // Of this batch all patches are other ranks'; the sums are waited for all the same.
            let (report, _) = self.loss.of_part(&[], &[], 0, total)?;
            let branch = self.network.vae.as_ref().map(|_| [0.0; 2]);
            let report = StepReport { branch, ..found(report) }.of_group(share);
            return Ok((report, GradientsParams::new()));
        }
        let input = self.network.vae.as_ref().map(|vae| (vae, values.clone()));
        let x = model::tensor(values, in_channels, config.patch, &self.tracked);
        let (logits, tap) = self.network.forward_with_tap(x);
        let (report, gradient) = self.loss.of_tensor(logits.clone().inner(), &labels, total)?;
        let mut report = found(report);
        let branch = input.map(|(vae, input)| {
            let noise = normal(generator(config.seed, RngStream::Latent, number as u64));
            let noise = (noise, share.patches().start);
            branch(vae, &tap, &input, noise, part, config.patch, &self.loss_scale)
        });
        let loss = report.report.loss + branch.as_ref().map_or(0.0, |(terms, _)| terms.loss());
        if !loss.is_finite() {
            let of_branch = branch.as_ref().is_some_and(|(terms, _)| !terms.loss().is_finite());
            blame.of_loss(&numbers(logits.clone().inner()), of_branch, cases);
        }
        report = report.of_group(share);
        let gradient = self.loss_scale.seed(gradient.autodiff());
        let gradients = backward(vec![(logits, gradient)]);
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

    /// What a rank adds to the sum over all ranks of what its group found alike.
    fn of_group(mut self, share: BatchShard) -> StepReport {
        if !share.is_main_rank() {
            let Report { loss, cross_entropy, dice } = &mut self.report;
            (*loss, *cross_entropy, *dice) = (0.0, 0.0, 0.0);
        }
        self
    }

    /// All that is a mean over batches.
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

/// The branch's terms and its parameters' gradients. That of the bottom goes into the tap, to be
/// found there by the network's own backward pass: a rewound bottom is no tensor of its graph. The
/// samples are this part of a batch, from its sample `first` on; `noise` is the whole batch's.
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
