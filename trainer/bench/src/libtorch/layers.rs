//! The layers, made of libtorch's operations as in a PyTorch program.

use std::collections::BTreeMap;

use model_core::Activation;
use model_core::network::config::NORM_EPSILON;
use model_core::network::layers::{ConvNorm, Kernel, Layer, Norm};
use tch::{Kind, Tensor};

/// The parameters of a network.
pub struct Parameters {
    /// Tensors in f32, with the names and shapes of the bundle.
    pub by_name: BTreeMap<String, Tensor>,
    /// The type of the convolutions. As with PyTorch's autocast, norms are in f32, and other
    /// operations keep the type of their input. tch's own autocast supports only f16 on CUDA.
    pub compute: Kind,
}

/// The input or output of a layer.
pub enum FeatureMap {
    /// `[b, c, k, j, i]`
    Whole(Tensor),
    /// The two halves of a reversible block, each `[b, c/2, k, j, i]`.
    Halves(Tensor, Tensor),
}

impl FeatureMap {
    /// Returns one tensor.
    pub fn whole(self) -> Tensor {
        match self {
            FeatureMap::Whole(x) => x,
            FeatureMap::Halves(x1, x2) => Tensor::cat(&[x1, x2], 1),
        }
    }

    /// Returns the two halves as views.
    pub fn halves(self) -> (Tensor, Tensor) {
        match self {
            FeatureMap::Whole(x) => {
                let half = x.size()[1] / 2;
                (x.narrow(1, 0, half), x.narrow(1, half, half))
            }
            FeatureMap::Halves(x1, x2) => (x1, x2),
        }
    }
}

/// The stack of skip connections.
#[derive(Default)]
pub struct SkipStack {
    /// The last one is on top.
    pub tensors: Vec<Tensor>,
    /// The number of tensors at the bottom that were not popped since it was last set.
    pub num_untouched: usize,
}

impl SkipStack {
    fn pop(&mut self) -> Tensor {
        let top = self.tensors.pop().expect("a push for every pop");
        self.num_untouched = self.num_untouched.min(self.tensors.len());
        top
    }
}

impl Parameters {
    fn get(&self, name: &str) -> &Tensor {
        self.by_name.get(name).expect("the weights were checked")
    }

    /// Applies a layer.
    pub fn apply(&self, layer: &Layer, x: FeatureMap, skips: &mut SkipStack) -> FeatureMap {
        match layer {
            Layer::ConvNorm(unit) => FeatureMap::Whole(self.conv_norm(unit, x.whole())),
            Layer::Block { f, g } => {
                let (x1, x2) = x.halves();
                let y1 = x1 + self.branch(f, &x2);
                let y2 = x2 + self.branch(g, &y1);
                FeatureMap::Halves(y1, y2)
            }
            Layer::Reflect { path, .. } => FeatureMap::Whole(self.reflect(path, x.whole(), false)),
            Layer::Pool => {
                FeatureMap::Whole(x.whole().max_pool3d([2; 3], [2; 3], [0; 3], [1; 3], false))
            }
            Layer::Upsample => FeatureMap::Whole(upsample(&x.whole())),
            Layer::SpaceToDepth => FeatureMap::Whole(space_to_depth(&x.whole())),
            Layer::DepthToSpace => FeatureMap::Whole(depth_to_space(&x.whole())),
            Layer::PushSkip => {
                let x = x.whole();
                skips.tensors.push(x.shallow_clone());
                FeatureMap::Whole(x)
            }
            Layer::AddSkip => FeatureMap::Whole(x.whole() + skips.pop()),
            Layer::ConcatSkip => FeatureMap::Whole(Tensor::cat(&[skips.pop(), x.whole()], 1)),
            Layer::PushHalf => {
                let (x1, x2) = x.halves();
                skips.tensors.push(x1);
                FeatureMap::Whole(x2)
            }
            Layer::ConcatHalf => FeatureMap::Halves(skips.pop(), x.whole()),
            Layer::BottleneckHook | Layer::DecoderHook => x,
        }
    }

    /// Applies F or G of a reversible block.
    pub fn branch(&self, units: &[ConvNorm], x: &Tensor) -> Tensor {
        units.iter().fold(x.shallow_clone(), |x, unit| self.conv_norm(unit, x))
    }

    fn conv_norm(&self, unit: &ConvNorm, x: Tensor) -> Tensor {
        match unit.norm {
            Some(norm) if norm.first => self.conv(unit, self.norm(unit, norm, x)),
            Some(norm) => self.norm(unit, norm, self.conv(unit, x)),
            None => self.conv(unit, x),
        }
    }

    fn conv(&self, unit: &ConvNorm, x: Tensor) -> Tensor {
        let [inputs, outputs] = [unit.from, unit.to].map(|channels| channels as i64);
        let (shape, padding, groups) = match unit.kernel {
            Kernel::Pointwise => ([outputs, inputs, 1, 1, 1], 0, 1),
            Kernel::Depthwise3 => ([outputs, 1, 3, 3, 3], 1, outputs),
            Kernel::Conv3 => ([outputs, inputs, 3, 3, 3], 1, 1),
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
        // In place, since the backward pass of the norm does not read its output.
        match norm.activation {
            Activation::Relu => y.relu_(),
            Activation::LeakyRelu => y.leaky_relu_(),
            Activation::Identity => y,
        }
    }

    /// Returns y = W x, or Wᵀ x, with W = I − Uᵀ T U as in [`model_core::nets::Reflection`].
    pub fn reflect(&self, path: &str, x: Tensor, transposed: bool) -> Tensor {
        let vectors = self.get(&format!("{path}.vectors"));
        let lengths = vectors.square().sum_dim_intlist(1, true, Kind::Float).clamp_min(1e-30);
        let u = vectors / lengths.sqrt();
        let t = reflection_factor(&u);
        let t = if transposed { t.tr() } else { t };
        let (u, t) = (u.to_kind(x.kind()), t.to_kind(x.kind()));
        let shape = x.size();
        let x = x.reshape([shape[0], shape[1], -1]);
        let projected = t.matmul(&u.matmul(&x));
        (x - u.tr().matmul(&projected)).reshape(&shape[..])
    }
}

/// Returns T of I − Uᵀ T U: twice the inverse of I − M. M is nilpotent: −2 times the part of U Uᵀ
/// above its diagonal.
fn reflection_factor(u: &Tensor) -> Tensor {
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
pub fn space_to_depth(x: &Tensor) -> Tensor {
    let [b, c, k, j, i] = dims(x);
    // [b, c, k/2, dk, j/2, dj, i/2, di] → [b, c, dk, dj, di, k/2, j/2, i/2]
    let x = x.reshape([b, c, k / 2, 2, j / 2, 2, i / 2, 2]).permute([0, 1, 3, 5, 7, 2, 4, 6]);
    x.reshape([b, 8 * c, k / 2, j / 2, i / 2])
}

/// # Shapes
/// - x: `[b, 8c, k, j, i]`
/// - output: `[b, c, 2k, 2j, 2i]`
pub fn depth_to_space(x: &Tensor) -> Tensor {
    let [b, c, k, j, i] = dims(x);
    // [b, c, dk, dj, di, k, j, i] → [b, c, k, dk, j, dj, i, di]
    let x = x.reshape([b, c / 8, 2, 2, 2, k, j, i]).permute([0, 1, 5, 2, 6, 3, 7, 4]);
    x.reshape([b, c / 8, 2 * k, 2 * j, 2 * i])
}

fn dims(x: &Tensor) -> [i64; 5] {
    x.size().try_into().expect("five axes")
}
