//! The walk back through layers that kept their output alone, in RevTorch's manner: a half-block is
//! computed once more in a graph of its own, which gives both its gradient and what is taken away.

use model_core::network::layers::{ConvNorm, Layer, Step};
use tch::{Tensor, no_grad, with_grad};

use super::layers::{Parameters, Parts, squeeze, unsqueeze};
use super::pieces::{back_from, leaf};

/// The gradient of the layers' input, from their output and its gradient; adds the parameters'
/// gradients to their `grad`.
pub(super) fn rewind(
    parameters: &Parameters,
    steps: &[&Step],
    output: Tensor,
    gradient: Tensor,
) -> Tensor {
    no_grad(|| {
        let mut walk = Walk {
            value: Parts::Whole(output),
            gradient: Parts::Whole(gradient),
            kept: Vec::new(),
        };
        for step in steps.iter().rev() {
            walk = walk.back(parameters, &step.layer);
        }
        walk.gradient.whole()
    })
}

/// The values, recovered on the way, and their gradients.
struct Walk {
    value: Parts,
    gradient: Parts,
    /// Halves kept aside, values and gradients.
    kept: Vec<(Tensor, Tensor)>,
}

impl Walk {
    fn back(mut self, parameters: &Parameters, layer: &Layer) -> Walk {
        let whole = |value, gradient, kept| Walk {
            value: Parts::Whole(value),
            gradient: Parts::Whole(gradient),
            kept,
        };
        match layer {
            Layer::Block { f, g } => {
                let ((y1, y2), (d1, d2)) = (self.value.halves(), self.gradient.halves());
                let (x2, d1) = back_half(parameters, g, &y1, y2, d1, &d2);
                let (x1, d2) = back_half(parameters, f, &x2, y1, d2, &d1);
                Walk { value: Parts::Halves(x1, x2), gradient: Parts::Halves(d1, d2), ..self }
            }
            Layer::Reflect { path, .. } => {
                let x = leaf(&parameters.reflect(path, self.value.whole(), true));
                let y = with_grad(|| parameters.reflect(path, x.shallow_clone(), false));
                with_grad(|| back_from([(y, self.gradient.whole())]));
                whole(x.detach(), x.grad(), self.kept)
            }
            Layer::SpaceToDepth => {
                let both = [self.value, self.gradient].map(|x| unsqueeze(&x.whole()));
                let [value, gradient] = both;
                whole(value, gradient, self.kept)
            }
            Layer::DepthToSpace => {
                let both = [self.value, self.gradient].map(|x| squeeze(&x.whole()));
                let [value, gradient] = both;
                whole(value, gradient, self.kept)
            }
            Layer::ConcatHalf => {
                let ((v1, v2), (d1, d2)) = (self.value.halves(), self.gradient.halves());
                self.kept.push((v1, d1));
                whole(v2, d2, self.kept)
            }
            Layer::PushHalf => {
                let (v1, d1) = self.kept.pop().expect("joined further on");
                let value = Parts::Halves(v1, self.value.whole());
                Walk { value, gradient: Parts::Halves(d1, self.gradient.whole()), ..self }
            }
            Layer::BottleneckHook => self,
            other => unreachable!("{other:?} is not rewound"),
        }
    }
}

/// Takes one half-block back: `y = x + half(other)`, with the gradients of `other` and of y. Gives x
/// and the gradient of `other`.
fn back_half(
    parameters: &Parameters,
    units: &[ConvNorm],
    other: &Tensor,
    y: Tensor,
    gradient_of_other: Tensor,
    gradient_of_y: &Tensor,
) -> (Tensor, Tensor) {
    let other = leaf(other);
    let added = with_grad(|| {
        let added = parameters.half(units, &other);
        back_from([(added.shallow_clone(), gradient_of_y.shallow_clone())]);
        added.detach()
    });
    (y - added, gradient_of_other + other.grad())
}
