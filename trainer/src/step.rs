//! One step of training: forward, losses, backward, and the change of the weights.

use anyhow::{Result, ensure};
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use model_core::UNetConfig;
use model_core::config::parameters;
use model_core::nets::{Tap, UNet3d, VaeBranch, backward};

use crate::adam::{Adam, StepSettings, average_towards, numbers};
use crate::checkpoint::Checkpoint;
use crate::config::TrainConfig;
use crate::draws::{Purpose, generator, normal};
use crate::initial::initial_weights;
use crate::loss::variational::{Terms, terms};
use crate::loss::{Loss, Report};
use crate::model;
use crate::patches::Batch;
use crate::schedule::learning_rate;

/// The weights in training, and all that changes with them.
pub struct Learner {
    /// The weights that are trained.
    pub network: UNet3d,
    /// Their moving average, without what only training has: what is measured and exported.
    pub average: UNet3d,
    /// The optimizer.
    pub adam: Adam,
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
}

impl Checkpoint {
    /// Where a run starts.
    pub fn initial(network: &UNetConfig, seed: u64) -> Checkpoint {
        Checkpoint {
            steps: 0,
            validation_is_due: false,
            best: None,
            weights: initial_weights(network, seed),
            average: initial_weights(&network.for_inference(), seed),
            moments: Default::default(),
        }
    }
}

impl Learner {
    /// At a checkpoint, on a device.
    ///
    /// # Errors
    /// When the checkpoint is not of the network.
    pub fn new(
        network: &UNetConfig,
        loss: Loss,
        checkpoint: Checkpoint,
        device: &Device,
    ) -> Result<Learner> {
        let (tracked, plain) = (device.clone().autodiff(), device.clone().without_autodiff());
        let Checkpoint { steps, weights, average, moments, .. } = checkpoint;
        Ok(Learner {
            network: model::build(network, &weights, &tracked)?,
            average: model::build(&network.for_inference(), &average, &plain)?,
            adam: Adam::resumed(parameters(network), steps, moments, &plain)?,
            loss,
            tracked,
        })
    }

    /// Steps the weights and moves their average.
    ///
    /// # Errors
    /// When the loss is no longer finite.
    pub fn step(&mut self, config: &TrainConfig, batch: Batch) -> Result<StepReport> {
        let step = batch.step;
        let (report, branch, gradients) = self.gradients(config, batch)?;
        let settings = StepSettings {
            learning_rate: learning_rate(config, step),
            weight_decay: config.weight_decay,
            clip_norm: config.clip_norm,
        };
        let gradient_norm;
        (self.network, gradient_norm) = self.adam.step(settings, self.network.clone(), gradients);
        // Early on the average follows faster, so that it forgets the random start.
        let done = (step + 1) as f64;
        let early = (1.0 + done) / (10.0 + done);
        let factor = if config.average > 0.0 { config.average.min(early) } else { 0.0 };
        self.average = average_towards(self.average.clone(), &self.network, factor);
        Ok(StepReport { report, branch, gradient_norm })
    }

    /// The losses of a batch, and every parameter's gradient.
    fn gradients(
        &self,
        config: &TrainConfig,
        batch: Batch,
    ) -> Result<(Report, Option<[f64; 2]>, GradientsParams)> {
        let Batch { step, values, labels, cases } = batch;
        let UNetConfig { in_channels, out_channels, .. } = self.network.config;
        let input = self.network.vae.as_ref().map(|vae| (vae, values.clone()));
        let x = model::tensor(values, in_channels, config.patch, &self.tracked);
        let (logits, tap) = self.network.forward_with_tap(x);
        let found = numbers(logits.clone().inner());
        let (mut report, gradient) = self.loss.of(&found, &labels, cases.len());
        let branch = input.map(|(vae, input)| {
            let noise = normal(generator(config.seed, Purpose::Latent, step as u64));
            branch(vae, &tap, &input, noise, config.patch)
        });
        if let Some((terms, _)) = &branch {
            report.loss += terms.loss();
        }
        ensure!(
            report.loss.is_finite(),
            "the loss is no longer a finite number, at step {} on patches of {}: look at these \
             scans, or try a lower learning_rate; the last checkpoint is kept",
            step + 1,
            cases.join(", ")
        );
        let gradient = model::tensor(gradient, out_channels, config.patch, &self.tracked);
        let gradients = backward(vec![(logits, gradient)]);
        let mut gradients = GradientsParams::from_grads(gradients, &self.network);
        let branch = branch.map(|(terms, mut of_branch)| {
            self.network.visit(&mut Move { from: &mut of_branch, to: &mut gradients });
            [terms.reconstruction, terms.divergence]
        });
        Ok((report, branch, gradients))
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
        (output, gradient)
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
