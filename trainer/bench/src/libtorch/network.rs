//! A network from the input to the logits, and back.
//!
//! The forward pass is a list of sections, and the backward pass walks it from the end. Neighboring
//! stored segments are one section, so a non-reversible network is one graph.

use anyhow::{Result, ensure};
use model_core::network::layers::{Backward, Segment, Step, segments};
use model_core::{Array, BackwardMode, UNetConfig, Weights, check_weights};
use tch::{COptimizer, Device, Kind, Tensor, no_grad};

use super::graph_ends::{backward_from, leaf};
use super::layers::{FeatureMap, Parameters, SkipStack};
use super::rewind::rewind;

/// A network with its parameters on a device.
pub struct Network {
    parameters: Parameters,
    segments: Vec<Segment>,
}

/// A section of a forward pass, with the tensors kept for the backward pass.
enum Section<'a> {
    /// A graph of libtorch's.
    Stored {
        /// The leaf at the start of the graph.
        input: Tensor,
        output: Tensor,
        /// The skip connections to later sections: each as the end of this graph, and as the leaf of
        /// the later ones, which receives its gradient.
        skips: Vec<(Tensor, Tensor)>,
    },
    /// Layers without a graph.
    Rewound { steps: Vec<&'a Step>, output: Tensor },
}

impl Network {
    /// Builds a network, which rewinds if its configuration is reversible. Convolutions are in
    /// `compute`.
    ///
    /// # Errors
    /// Errors for a network with the variational branch or with gradient checkpointing, and for
    /// weights of another network.
    pub fn new(
        config: &UNetConfig,
        weights: &Weights,
        compute: Kind,
        device: Device,
    ) -> Result<Network> {
        check_weights(config, weights)?;
        ensure!(
            config.vae.is_none() && config.backward != BackwardMode::Checkpointed,
            "expected a network without the variational branch and without checkpointing against \
             libtorch"
        );
        let parameter = |(name, array): (&String, &Array)| {
            let shape: Vec<i64> = array.shape.iter().map(|&n| n as i64).collect();
            let tensor = Tensor::from_slice(&array.values).reshape(&shape[..]).to_device(device);
            (name.clone(), tensor.set_requires_grad(true))
        };
        let by_name = weights.iter().map(parameter).collect();
        Ok(Network { parameters: Parameters { by_name, compute }, segments: segments(config) })
    }

    /// Returns the logits, without a graph.
    ///
    /// # Shapes
    /// - x: `[b, in, k, j, i]`
    /// - output: `[b, out, k, j, i]`
    #[cfg(test)]
    pub fn logits(&self, x: &Tensor) -> Tensor {
        no_grad(|| logits(&self.forward(x)))
    }

    /// Runs the forward and the backward pass. Adds the gradients of the parameters to those present.
    /// `gradient` maps the logits to their gradient.
    ///
    /// # Shapes
    /// - x: `[b, in, k, j, i]`
    /// - logits and their gradient: `[b, out, k, j, i]`
    pub fn differentiate(&self, x: &Tensor, gradient: impl FnOnce(&Tensor) -> Tensor) {
        let sections = self.forward(x);
        let mut gradient = gradient(&logits(&sections));
        for section in sections.into_iter().rev() {
            gradient = match section {
                Section::Stored { input, output, skips } => {
                    let skips = skips.into_iter().map(|(end, leaf)| (end, leaf.grad()));
                    backward_from([(output, gradient)].into_iter().chain(skips));
                    input.grad()
                }
                Section::Rewound { steps, output } => {
                    rewind(&self.parameters, &steps, output, gradient)
                }
            };
        }
    }

    fn forward(&self, x: &Tensor) -> Vec<Section<'_>> {
        let mut x = x.shallow_clone();
        let mut skips = SkipStack::default();
        let mut sections = Vec::new();
        for run in self.segments.chunk_by(|a, b| is_stored(a) && is_stored(b)) {
            let steps: Vec<&Step> = run.iter().flat_map(|segment| &segment.steps).collect();
            let mut apply_all = |x: &Tensor| {
                let x = FeatureMap::Whole(x.shallow_clone());
                let apply = |x, step: &&Step| self.parameters.apply(&step.layer, x, &mut skips);
                steps.iter().fold(x, apply).whole()
            };
            if !is_stored(&run[0]) {
                x = no_grad(|| apply_all(&x));
                sections.push(Section::Rewound { steps, output: x.shallow_clone() });
                continue;
            }
            let input = if sections.is_empty() { x } else { leaf(&x) };
            let output = apply_all(&input);
            x = output.detach();
            let pushed = skips.tensors.iter_mut().skip(skips.num_untouched);
            let pushed = pushed.map(|tensor| {
                let leaf = leaf(tensor);
                (std::mem::replace(tensor, leaf.shallow_clone()), leaf)
            });
            let pushed = pushed.collect();
            skips.num_untouched = skips.tensors.len();
            sections.push(Section::Stored { input, output, skips: pushed });
        }
        sections
    }

    /// Returns the gradients of the parameters; zeros for a parameter without one.
    #[cfg(test)]
    pub fn gradients(&self) -> Weights {
        let gradient = |(name, parameter): (&String, &Tensor)| {
            let shape: Vec<usize> = parameter.size().iter().map(|&n| n as usize).collect();
            let gradient = parameter.grad();
            let values = match gradient.defined() {
                true => super::to_vec(&gradient),
                false => vec![0.0; shape.iter().product()],
            };
            (name.clone(), Array { shape, values })
        };
        self.parameters.by_name.iter().map(gradient).collect()
    }

    /// Returns Adam over the parameters, with the β₁, β₂ and ε of [`trainer_train::adam`].
    ///
    /// # Errors
    /// Errors if libtorch fails.
    pub fn adam(&self, learning_rate: f64) -> Result<COptimizer> {
        let mut adam = COptimizer::adam(learning_rate, 0.9, 0.999, 0.0, 1e-8, false)?;
        for parameter in self.parameters.by_name.values() {
            adam.add_parameters(parameter, 0)?;
        }
        Ok(adam)
    }

    /// Clears the gradients.
    pub fn zero_gradients(&mut self) {
        self.parameters.by_name.values_mut().for_each(Tensor::zero_grad);
    }
}

/// Returns the output of the last section, in f32.
fn logits(sections: &[Section]) -> Tensor {
    match sections.last() {
        Some(Section::Stored { output, .. }) => output.detach().to_kind(Kind::Float),
        _ => unreachable!("the last section is the head, which is stored"),
    }
}

/// Returns whether a segment is stored. As in RevTorch, segments that are not rewound are stored;
/// nothing is recomputed.
fn is_stored(segment: &Segment) -> bool {
    segment.backward != Backward::Rewound
}
