//! One step of training: forward, losses, backward, and the change of the weights.

use anyhow::{Result, ensure};
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use model_core::UNetConfig;
use model_core::config::parameters;
use model_core::nets::{Precision, Tap, UNet3d, VaeBranch, backward};

use crate::adam::{Adam, StepSettings, average_towards, norm, numbers};
use crate::checkpoint::Checkpoint;
use crate::config::TrainConfig;
use crate::draws::{Purpose, generator, normal};
use crate::initial::initial_weights;
use crate::loss::variational::{Terms, terms};
use crate::loss::{Loss, Report};
use crate::loss_scale::LossScale;
use crate::model;
use crate::patches::Batch;

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
            loss,
            tracked,
        })
    }

    /// Steps the weights against the mean gradient of one or more batches, and moves their average.
    /// Where the loss is scaled and the gradient is not finite, the step is skipped.
    ///
    /// # Errors
    /// When a loss or the gradient is no longer finite, and no smaller scale is left; the weights are
    /// then as they were.
    pub fn step(
        &mut self,
        config: &TrainConfig,
        learning_rate: f64,
        batches: Vec<Batch>,
    ) -> Result<StepReport> {
        let count = batches.len();
        let step = batches.first().expect("at least one batch").number / count;
        let cases: Vec<String> = batches.iter().flat_map(|batch| batch.cases.clone()).collect();
        let mut total: Option<(StepReport, GradientsParams)> = None;
        for batch in batches {
            let (report, mut gradients) = self.gradients(config, batch)?;
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
        report.scale(1.0 / count as f64);
        let factor = 1.0 / (count as f64 * self.loss_scale.factor().unwrap_or(1.0));
        if factor != 1.0 {
            self.network.visit(&mut Scale { gradients: &mut gradients, factor });
        }
        report.gradient_norm = norm(&self.network, &gradients);
        if !report.gradient_norm.is_finite() && self.loss_scale.can_skip() {
            self.loss_scale.skip();
            report.skipped = Some(cases);
            return Ok(report);
        }
        ensure_finite("gradient", report.gradient_norm, step, &cases)?;
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

    /// The losses of a batch, and every parameter's gradient.
    fn gradients(
        &self,
        config: &TrainConfig,
        batch: Batch,
    ) -> Result<(StepReport, GradientsParams)> {
        let Batch { number, values, labels, cases } = batch;
        let UNetConfig { in_channels, .. } = self.network.config;
        let input = self.network.vae.as_ref().map(|vae| (vae, values.clone()));
        let x = model::tensor(values, in_channels, config.patch, &self.tracked);
        let (logits, tap) = self.network.forward_with_tap(x);
        let (mut report, gradient) = self.loss.of_tensor(logits.clone().inner(), &labels);
        let branch = input.map(|(vae, input)| {
            let noise = normal(generator(config.seed, Purpose::Latent, number as u64));
            branch(vae, &tap, &input, noise, config.patch, &self.loss_scale)
        });
        if let Some((terms, _)) = &branch {
            report.loss += terms.loss();
        }
        let step = number / config.accumulate;
        // Where a step may be skipped, its gradient tells: it is no number either.
        if !report.loss.is_finite() && !self.loss_scale.can_skip() {
            let culprits = culprits(&numbers(logits.clone().inner()), cases);
            ensure_finite("loss", report.loss, step, &culprits)?;
        }
        let gradient = self.loss_scale.seed(gradient.autodiff());
        let gradients = backward(vec![(logits, gradient)]);
        let mut gradients = GradientsParams::from_grads(gradients, &self.network);
        let branch = branch.map(|(terms, mut of_branch)| {
            self.network.visit(&mut Move { from: &mut of_branch, to: &mut gradients });
            [terms.reconstruction, terms.divergence]
        });
        Ok((StepReport { report, branch, gradient_norm: 0.0, skipped: None }, gradients))
    }
}

/// The cases whose logits are no numbers; all, where that does not tell them apart.
fn culprits(logits: &[f32], cases: Vec<String>) -> Vec<String> {
    let samples = logits.chunks_exact(logits.len() / cases.len());
    let is_culprit = |sample: &[f32]| sample.iter().any(|logit| !logit.is_finite());
    let found = samples.zip(&cases).filter(|(sample, _)| is_culprit(sample));
    let found: Vec<String> = found.map(|(_, case)| case.clone()).collect();
    if found.is_empty() { cases } else { found }
}

/// Refuses to go on from a number that is none, and names the cases that it came from.
fn ensure_finite(what: &str, value: f64, step: usize, cases: &[String]) -> Result<()> {
    ensure!(
        value.is_finite(),
        "the {what} is no longer a finite number, at step {} on patches of {}: look at these scans \
         (`rewind inspect`), or try a lower learning_rate; the last checkpoint is kept",
        step + 1,
        cases.join(", ")
    );
    Ok(())
}

impl StepReport {
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
/// found there by the network's own backward pass: a rewound bottom is no tensor of its graph.
fn branch(
    vae: &VaeBranch,
    tap: &Tap,
    input: &[f32],
    noise: impl Iterator<Item = f32>,
    patch: [usize; 3],
    loss_scale: &LossScale,
) -> (Terms, GradientsParams) {
    let bottom = tap.take().autodiff().require_grad();
    let [batch, ..] = bottom.dims();
    let [_, units] = vae.decode.weight.dims();
    let noise = TensorData::new(noise.take(batch * units).collect(), [batch, units, 1, 1, 1]);
    let branch = vae.forward(bottom.clone(), Tensor::from_data(noise, &bottom.device()));
    let outputs = [branch.reconstruction, branch.mean, branch.log_variance];
    let [reconstruction, mean, log_variance] =
        outputs.each_ref().map(|output| numbers(output.clone().inner()));
    let num_voxels = patch.iter().product();
    let terms = terms(&reconstruction, input, &mean, &log_variance, batch, num_voxels);
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

/// Moves a module's gradients from one list to another.
struct Move<'a> {
    from: &'a mut GradientsParams,
    to: &'a mut GradientsParams,
}

impl ModuleVisitor for Move<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.from.remove::<D>(param.id) {
            self.to.register(param.id, gradient);
        }
    }
}

/// Adds a module's gradients to those of another list.
struct Add<'a> {
    from: &'a mut GradientsParams,
    to: &'a mut GradientsParams,
}

impl ModuleVisitor for Add<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.from.remove::<D>(param.id) {
            let sum = match self.to.remove::<D>(param.id) {
                Some(sum) => sum + gradient,
                None => gradient,
            };
            self.to.register(param.id, sum);
        }
    }
}

/// Multiplies a module's gradients by a factor.
struct Scale<'a> {
    gradients: &'a mut GradientsParams,
    factor: f64,
}

impl ModuleVisitor for Scale<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.gradients.register(param.id, gradient.mul_scalar(self.factor));
        }
    }
}
