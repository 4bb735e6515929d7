//! Writes group norms with their activations as ONNX nodes.

use anyhow::Result;
use model_core::network::config::NORM_EPSILON;
use model_core::{Activation, View};

use super::graph::Graph;
use super::options::Norms;
use super::proto::{AttributeProto, TensorProto};

impl Graph<'_> {
    /// Adds a norm from one view to another. `affine` are the names of its scale and shift.
    ///
    /// # Errors
    /// Errors if the constants exceed the size of a file.
    pub fn add_norm(
        &mut self,
        [from, to]: [&View; 2],
        groups: usize,
        affine: [&str; 2],
        activation: Activation,
    ) -> Result<()> {
        let name = affine[0].trim_end_matches(".gamma");
        let x = self.read(from);
        let normed = match self.norms {
            Norms::Means => self.norm_by_means(name, x, [to.channels.len(), groups], affine)?,
            Norms::Operator => {
                let channels = [to.channels.len()];
                let [gamma, beta] = affine.map(|parameter| self.weight(parameter, &channels));
                let attributes = [
                    AttributeProto::int("num_groups", groups),
                    AttributeProto::float("epsilon", NORM_EPSILON),
                ];
                self.node(name, "GroupNormalization", [x, gamma?, beta?], attributes)
            }
        };
        let name = format!("{name}.activation");
        let result = match activation {
            Activation::Identity => normed,
            Activation::Relu => self.node(&name, "Relu", [normed], []),
            Activation::LeakyRelu => {
                let slope = AttributeProto::float("alpha", activation.negative_slope());
                self.node(&name, "LeakyRelu", [normed], [slope])
            }
        };
        self.write(to, &result);
        Ok(())
    }

    /// Adds `(x − mean) · gamma / √(variance + ε) + beta`. Returns its name.
    fn norm_by_means(
        &mut self,
        name: &str,
        x: String,
        channels_and_groups: [usize; 2],
        affine: [&str; 2],
    ) -> Result<String> {
        let channels = channels_and_groups[0];
        let [gamma, beta] = affine.map(|parameter| self.weight(parameter, &[channels, 1, 1, 1]));
        let (gamma, beta) = (gamma?, beta?);
        self.share("epsilon", || TensorProto::floats("epsilon", &[1], &[NORM_EPSILON]));
        let node_name = |suffix: &str| format!("{name}.{suffix}");
        let mean = self.group_mean(&node_name("mean"), x.clone(), channels_and_groups);
        let centered = self.node(&node_name("centered"), "Sub", [x, mean], []);
        let squared =
            self.node(&node_name("squared"), "Mul", [centered.clone(), centered.clone()], []);
        let variance = self.group_mean(&node_name("variance"), squared, channels_and_groups);
        let raised = self.node(&node_name("raised"), "Add", [variance, "epsilon".into()], []);
        let deviation = self.node(&node_name("deviation"), "Sqrt", [raised], []);
        let factor = self.node(&node_name("factor"), "Div", [gamma, deviation], []);
        let scaled = self.node(&node_name("scaled"), "Mul", [centered, factor], []);
        Ok(self.node(name, "Add", [scaled, beta], []))
    }

    /// Adds the mean of each channel's group. Returns its name.
    ///
    /// It is computed as means of means along single axes, so that each sum is short.
    ///
    /// # Shapes
    /// - output: `[batch, channels, 1, 1, 1]`
    fn group_mean(&mut self, name: &str, x: String, [channels, groups]: [usize; 2]) -> String {
        let mut mean = x;
        for (axis, letter) in [(4, "i"), (3, "j"), (2, "k")] {
            let axis = self.integers(&[axis]);
            mean = self.node(&format!("{name}.{letter}"), "ReduceMean", [mean, axis], []);
        }
        let members = channels / groups;
        if members == 1 {
            return mean;
        }
        // A 0 keeps the axis as it is.
        let apart = self.integers(&[0, groups, members, 1, 1]);
        let apart = self.node(&format!("{name}.apart"), "Reshape", [mean, apart], []);
        let axis = self.integers(&[2]);
        let mean = self.node(&format!("{name}.group"), "ReduceMean", [apart, axis], []);
        let each = self.integers(&[1, 1, members, 1, 1]);
        let each = self.node(&format!("{name}.each"), "Expand", [mean, each], []);
        let together = self.integers(&[0, channels, 1, 1, 1]);
        self.node(&format!("{name}.channels"), "Reshape", [each, together], [])
    }
}
