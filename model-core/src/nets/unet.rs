//! A whole network, built from its configuration.

use burn::module::Module;
use burn::tensor::{Device, FloatDType, Tensor};

use super::{ConvNorm, FeatureMap, Hooks, Precision, Segment, Skips, VaeBranch, cast};
use crate::kernels::{on_backend, seeded_loss};
use crate::network::config::UNetConfig;
use crate::network::layers::{self, segments};

/// A 3D U-Net from input to logits.
#[derive(Module, Debug)]
pub struct UNet3d {
    /// All layers but the head, in the order in which data passes them.
    pub segments: Vec<Segment>,
    /// 1³ convolution to the logits of regions or labels.
    pub head: Segment,
    /// The heads of deep supervision, the lowest level first, during training.
    pub deep_heads: Vec<ConvNorm>,
    /// The variational branch, during training.
    pub vae: Option<VaeBranch>,
    /// The configuration that the network was built from.
    #[module(skip)]
    pub config: UNetConfig,
    /// The precision that the network computes in.
    #[module(skip)]
    pub precision: Precision,
}

impl UNet3d {
    /// Creates a network in f32 with random weights from the device's seed.
    pub fn new(config: &UNetConfig, device: &Device) -> Self {
        Self::in_precision(config, Precision::F32, device)
    }

    /// Creates a network that computes in `precision`. Parameters and logits stay f32.
    pub fn in_precision(config: &UNetConfig, precision: Precision, device: &Device) -> Self {
        let mut described = segments(config);
        let head = described.pop().expect("a network ends with its head");
        let segment = |segment: &layers::Segment| Segment::new(segment, precision, device);
        UNet3d {
            segments: described.iter().map(segment).collect(),
            head: segment(&head),
            deep_heads: layers::deep_heads(config)
                .iter()
                .map(|head| ConvNorm::new(head, precision, device))
                .collect(),
            vae: config.vae.as_ref().map(|vae| VaeBranch::new(config, vae, device)),
            config: config.clone(),
            precision,
        }
    }

    /// # Shapes
    /// - x: `[b, in, k, j, i]`; each axis must pass
    ///   [`NetworkSettings::check_size`](crate::NetworkSettings::check_size)
    /// - output: `[b, out, k, j, i]`, logits
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        self.run(x, None)
    }

    /// Returns the logits, and what the parts that only training has read.
    ///
    /// # Shapes
    /// As [`UNet3d::forward`].
    pub fn forward_with_hooks(&self, x: Tensor<5>) -> (Tensor<5>, Hooks) {
        let hooks = Hooks::default();
        (self.run(x, Some(&hooks)), hooks)
    }

    /// Returns the logits of the heads of deep supervision after a forward pass, the lowest level
    /// first. Each level has half the voxels of the next along every axis.
    pub fn deep_logits(&self, hooks: &Hooks) -> Vec<Tensor<5>> {
        let heads = self.deep_heads.iter().zip(hooks.take_levels());
        let logits = |(head, x): (&ConvNorm, Tensor<5>)| head.forward(x.into()).whole();
        heads.map(logits).map(|logits| cast(logits, FloatDType::F32)).collect()
    }

    fn run(&self, x: Tensor<5>, hooks: Option<&Hooks>) -> Tensor<5> {
        let mut skips = Skips::default();
        let x = FeatureMap::Whole(cast(x, self.precision.compute));
        let segments = self.segments.iter();
        let x = segments.fold(x, |x, segment| segment.forward(x, &mut skips, hooks));
        cast(self.head.forward(x, &mut skips, None).whole(), FloatDType::F32)
    }
}

/// Runs one backward pass from several outputs, each with its gradient. No product of output and
/// gradient is computed.
///
/// # Shapes
/// - outputs and gradients: `[b, c, k, j, i]`
pub fn backward(outputs: Vec<(Tensor<5>, Tensor<5>)>) -> burn::tensor::Gradients {
    let mut losses = outputs.into_iter().map(|(output, gradient)| {
        let gradient = gradient.inner();
        on_backend!(output, B => seeded_loss::<B>(output.into(), gradient).0)
    });
    let first = losses.next().expect("at least one output");
    losses.fold(first, |sum, loss| sum + loss).backward()
}
