//! The layers, with libtorch's own operations, as someone would put them together in PyTorch.

use std::collections::BTreeMap;

use model_core::Activation;
use model_core::network::config::NORM_EPSILON;
use model_core::network::layers::{ConvNorm, Kernel, Layer, Norm};
use tch::{Kind, Tensor};

/// The parameters by name, and in which type the network computes.
pub(super) struct Parameters {
    /// In f32, as the bundle names and shapes them.
    pub by_name: BTreeMap<String, Tensor>,
    /// Of the convolutions, by the rules of PyTorch's autocast: they take half precision, norms f32,
    /// and what is between them the type that comes in. Written out, since tch's autocast knows
    /// nothing but f16 on CUDA.
    pub compute: Kind,
}

/// x: whole, or as the halves that reversible blocks work on.
pub(super) enum Parts {
    /// `[b, c, k, j, i]`
    Whole(Tensor),
    /// Both `[b, c/2, k, j, i]`.
    Halves(Tensor, Tensor),
}

impl Parts {
    /// Joined.
    pub fn whole(self) -> Tensor {
        match self {
            Parts::Whole(x) => x,
            Parts::Halves(x1, x2) => Tensor::cat(&[x1, x2], 1),
        }
    }

    /// Split into views.
    pub fn halves(self) -> (Tensor, Tensor) {
        match self {
            Parts::Whole(x) => {
                let half = x.size()[1] / 2;
                (x.narrow(1, 0, half), x.narrow(1, half, half))
            }
            Parts::Halves(x1, x2) => (x1, x2),
        }
    }
}

/// The tensors kept aside for the decoder, the last one on top.
#[derive(Default)]
pub(super) struct Kept {
    /// From the first.
    pub tensors: Vec<Tensor>,
    /// How many of them were there all the while since this was last set to their number.
    pub untouched: usize,
}

impl Kept {
    fn pop(&mut self) -> Tensor {
        let last = self.tensors.pop().expect("every join has its Keep");
        self.untouched = self.untouched.min(self.tensors.len());
        last
    }
}

impl Parameters {
    fn get(&self, name: &str) -> &Tensor {
        self.by_name.get(name).expect("the weights were checked")
    }

    /// Takes x, gives the next.
    pub fn layer(&self, layer: &Layer, x: Parts, kept: &mut Kept) -> Parts {
        match layer {
            Layer::ConvNorm(unit) => Parts::Whole(self.unit(unit, x.whole())),
            Layer::Block { f, g } => {
                let (x1, x2) = x.halves();
                let y1 = x1 + self.half(f, &x2);
                let y2 = x2 + self.half(g, &y1);
                Parts::Halves(y1, y2)
            }
            Layer::Reflect { path, .. } => Parts::Whole(self.reflect(path, x.whole(), false)),
            Layer::Pool => {
                Parts::Whole(x.whole().max_pool3d([2; 3], [2; 3], [0; 3], [1; 3], false))
            }
            Layer::Upsample => Parts::Whole(upsample(&x.whole())),
            Layer::SpaceToDepth => Parts::Whole(squeeze(&x.whole())),
            Layer::DepthToSpace => Parts::Whole(unsqueeze(&x.whole())),
            Layer::PushSkip => {
                let x = x.whole();
                kept.tensors.push(x.shallow_clone());
                Parts::Whole(x)
            }
            Layer::AddSkip => Parts::Whole(x.whole() + kept.pop()),
            Layer::ConcatSkip => Parts::Whole(Tensor::cat(&[kept.pop(), x.whole()], 1)),
            Layer::PushHalf => {
                let (x1, x2) = x.halves();
                kept.tensors.push(x1);
                Parts::Whole(x2)
            }
            Layer::ConcatHalf => Parts::Halves(kept.pop(), x.whole()),
            Layer::BottleneckHook => x,
        }
    }

    /// F or G of a reversible block.
    pub fn half(&self, units: &[ConvNorm], x: &Tensor) -> Tensor {
        units.iter().fold(x.shallow_clone(), |x, unit| self.unit(unit, x))
    }

    fn unit(&self, unit: &ConvNorm, x: Tensor) -> Tensor {
        match unit.norm {
            Some(norm) if norm.first => {
                let x = self.norm(unit, norm, x);
                self.convolve(unit, x)
            }
            Some(norm) => {
                let x = self.convolve(unit, x);
                self.norm(unit, norm, x)
            }
            None => self.convolve(unit, x),
        }
    }

    fn convolve(&self, unit: &ConvNorm, x: Tensor) -> Tensor {
        let [from, to] = [unit.from, unit.to].map(|channels| channels as i64);
        let (shape, padding, groups) = match unit.kernel {
            Kernel::Pointwise => ([to, from, 1, 1, 1], 0, 1),
            Kernel::Depthwise3 => ([to, 1, 3, 3, 3], 1, to),
            Kernel::Conv3 => ([to, from, 3, 3, 3], 1, 1),
        };
        let weight = self.get(&unit.weight()).view(shape).to_kind(self.compute);
        let bias = unit.bias().map(|name| self.get(&name).to_kind(self.compute));
        let x = x.to_kind(self.compute);
        x.conv3d(&weight, bias.as_ref(), [1; 3], [padding; 3], [1; 3], groups)
    }

    fn norm(&self, unit: &ConvNorm, norm: Norm, x: Tensor) -> Tensor {
        let [gamma, beta] = unit.affine().map(|name| self.get(&name).shallow_clone());
        let (groups, epsilon) = (norm.groups as i64, f64::from(NORM_EPSILON));
        let x = x.to_kind(Kind::Float);
        let mut y = x.group_norm(groups, Some(gamma), Some(beta), epsilon, true);
        // In place: the norm's backward pass does not need what it gave.
        match norm.activation {
            Activation::Relu => y.relu_(),
            Activation::LeakyRelu => y.leaky_relu_(),
            Activation::Identity => y,
        }
    }

    /// y = W x, or Wᵀ x, with W = I − Uᵀ T U as [`model_core::nets::Reflection`] has it.
    pub fn reflect(&self, path: &str, x: Tensor, transposed: bool) -> Tensor {
        let vectors = self.get(&format!("{path}.vectors"));
        let lengths = vectors.square().sum_dim_intlist(1, true, Kind::Float).clamp_min(1e-30);
        let u = vectors / lengths.sqrt();
        let t = factor(&u);
        let t = if transposed { t.tr() } else { t };
        let (u, t) = (u.to_kind(x.kind()), t.to_kind(x.kind()));
        let shape = x.size();
        let x = x.reshape([shape[0], shape[1], -1]);
        let projected = t.matmul(&u.matmul(&x));
        (x - u.tr().matmul(&projected)).reshape(&shape[..])
    }
}

/// T of I − Uᵀ T U: twice the inverse of I − M, where M, nilpotent, is −2 times the part of U Uᵀ
/// above its diagonal.
fn factor(u: &Tensor) -> Tensor {
    let r = u.size()[0];
    let mut m = u.matmul(&u.tr()).triu(1) * -2.0;
    let mut t = Tensor::eye(r, (Kind::Float, u.device())) + &m;
    let mut power = 2;
    while power < r {
        m = m.matmul(&m);
        t = &t + t.matmul(&m);
        power *= 2;
    }
    t * 2.0
}

fn upsample(x: &Tensor) -> Tensor {
    let size: Vec<i64> = x.size()[2..].iter().map(|n| 2 * n).collect();
    x.upsample_trilinear3d(&size[..], false, None, None, None)
}

/// # Shapes
/// - x: `[b, c, k, j, i]`
/// - output: `[b, 8c, k/2, j/2, i/2]`
pub(super) fn squeeze(x: &Tensor) -> Tensor {
    let [b, c, k, j, i] = dims(x);
    // [b, c, k/2, dk, j/2, dj, i/2, di] → [b, c, dk, dj, di, k/2, j/2, i/2]
    let x = x.reshape([b, c, k / 2, 2, j / 2, 2, i / 2, 2]).permute([0, 1, 3, 5, 7, 2, 4, 6]);
    x.reshape([b, 8 * c, k / 2, j / 2, i / 2])
}

/// # Shapes
/// - x: `[b, 8c, k, j, i]`
/// - output: `[b, c, 2k, 2j, 2i]`
pub(super) fn unsqueeze(x: &Tensor) -> Tensor {
    let [b, c, k, j, i] = dims(x);
    // [b, c, dk, dj, di, k, j, i] → [b, c, k, dk, j, dj, i, di]
    let x = x.reshape([b, c / 8, 2, 2, 2, k, j, i]).permute([0, 1, 5, 2, 6, 3, 7, 4]);
    x.reshape([b, c / 8, 2 * k, 2 * j, 2 * i])
}

fn dims(x: &Tensor) -> [i64; 5] {
    x.size().try_into().expect("five axes")
}
