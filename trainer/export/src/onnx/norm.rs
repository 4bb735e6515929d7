//! Group norm with its activation as nodes of ONNX.

use anyhow::Result;
use model_core::network::config::NORM_EPSILON;
use model_core::{Activation, View};

use super::graph::Graph;
use super::proto::{AttributeProto, TensorProto};

/// How group norms are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Norms {
    /// From means along one axis after the other, the variance around the mean: right to the last
    /// digits however large the volume, in every runtime that sums as it likes
    Means,
    /// As the operator GroupNormalization: for runtimes that have a kernel for it. Those that sum a
    /// whole volume at once in f32, as onnxruntime, lose digits with its size
    Operator,
}

impl Graph<'_> {
    /// A norm from one view to another; `affine` are the names of its scale and shift.
    ///
    /// # Errors
    /// When the constants take more than a file can hold.
    pub fn norm(
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

    /// `(x − mean) · gamma / √(variance + ε) + beta`.
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
        let part = |part: &str| format!("{name}.{part}");
        let mean = self.group_mean(&part("mean"), x.clone(), channels_and_groups);
        let centered = self.node(&part("centered"), "Sub", [x, mean], []);
        let squared = self.node(&part("squared"), "Mul", [centered.clone(), centered.clone()], []);
        let variance = self.group_mean(&part("variance"), squared, channels_and_groups);
        let raised = self.node(&part("raised"), "Add", [variance, "epsilon".into()], []);
        let deviation = self.node(&part("deviation"), "Sqrt", [raised], []);
        let factor = self.node(&part("factor"), "Div", [gamma, deviation], []);
        let scaled = self.node(&part("scaled"), "Mul", [centered, factor], []);
        Ok(self.node(name, "Add", [scaled, beta], []))
    }

    /// For each channel the mean over its group, `[batch, channels, 1, 1, 1]`. A mean over an axis
    /// is one of means over parts of equal size, and each sum is as short as an axis.
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
