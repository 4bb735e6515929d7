//! The backward pass of layers that kept only their output, as in RevTorch: a residual branch runs
//! once more in a graph of its own, which yields its gradient and the value to subtract.

use model_core::network::layers::{ConvNorm, Layer, Step};
use tch::{Tensor, no_grad, with_grad};

use super::graph_ends::{backward_from, leaf};
use super::layers::{FeatureMap, Parameters, depth_to_space, space_to_depth};

/// Returns the gradient of the layers' input, from their output and its gradient. Adds the gradients
/// of the parameters to those present.
pub fn rewind(
    parameters: &Parameters,
    steps: &[&Step],
    output: Tensor,
    gradient: Tensor,
) -> Tensor {
    no_grad(|| {
        let mut state = RewindState {
            value: FeatureMap::Whole(output),
            gradient: FeatureMap::Whole(gradient),
            halves: Vec::new(),
        };
        for step in steps.iter().rev() {
            state = state.back(parameters, &step.layer);
        }
        state.gradient.whole()
    })
}

/// The recovered values and their gradients.
struct RewindState {
    value: FeatureMap,
    gradient: FeatureMap,
    /// Halves taken off by [`Layer::ConcatHalf`], until their [`Layer::PushHalf`].
    halves: Vec<(Tensor, Tensor)>,
}

impl RewindState {
    fn back(mut self, parameters: &Parameters, layer: &Layer) -> RewindState {
        let whole = |value, gradient, halves| RewindState {
            value: FeatureMap::Whole(value),
            gradient: FeatureMap::Whole(gradient),
            halves,
        };
        match layer {
            Layer::Block { f, g } => {
                let ((y1, y2), (d1, d2)) = (self.value.halves(), self.gradient.halves());
                let (x2, d1) = back_branch(parameters, g, &y1, y2, d1, &d2);
                let (x1, d2) = back_branch(parameters, f, &x2, y1, d2, &d1);
                let (value, gradient) = (FeatureMap::Halves(x1, x2), FeatureMap::Halves(d1, d2));
                RewindState { value, gradient, ..self }
            }
            Layer::Reflect { path, .. } => {
                let x = leaf(&parameters.reflect(path, self.value.whole(), true));
                let y = with_grad(|| parameters.reflect(path, x.shallow_clone(), false));
                with_grad(|| backward_from([(y, self.gradient.whole())]));
                whole(x.detach(), x.grad(), self.halves)
            }
            Layer::SpaceToDepth => {
                let [value, gradient] =
                    [self.value, self.gradient].map(|x| depth_to_space(&x.whole()));
                whole(value, gradient, self.halves)
            }
            Layer::DepthToSpace => {
                let [value, gradient] =
                    [self.value, self.gradient].map(|x| space_to_depth(&x.whole()));
                whole(value, gradient, self.halves)
            }
            Layer::ConcatHalf => {
                let ((v1, v2), (d1, d2)) = (self.value.halves(), self.gradient.halves());
                self.halves.push((v1, d1));
                whole(v2, d2, self.halves)
            }
            Layer::PushHalf => {
                let (v1, d1) = self.halves.pop().expect("concatenated further on");
                let value = FeatureMap::Halves(v1, self.value.whole());
                let gradient = FeatureMap::Halves(d1, self.gradient.whole());
                RewindState { value, gradient, ..self }
            }
            Layer::BottleneckHook => self,
            other => unreachable!("{other:?} is not rewound"),
        }
    }
}

/// Inverts `y = x + branch(other)`. Returns x and the gradient of `other`, for the gradients of
/// `other` and of y.
fn back_branch(
    parameters: &Parameters,
    units: &[ConvNorm],
    other: &Tensor,
    y: Tensor,
    gradient_of_other: Tensor,
    gradient_of_y: &Tensor,
) -> (Tensor, Tensor) {
    let other = leaf(other);
    let added = with_grad(|| {
        let added = parameters.branch(units, &other);
        backward_from([(added.shallow_clone(), gradient_of_y.shallow_clone())]);
        added.detach()
    });
    (y - added, gradient_of_other + other.grad())
}
