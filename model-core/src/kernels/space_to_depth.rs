//! Space to depth and its inverse (pixel shuffle; Shi et al. 2016). The op loses nothing, so it is
//! invertible.

use burn::Tensor;
use burn::backend::Flex;

use super::cpu::{CpuValues, is_cpu, tensor};
use super::profiler::{OpKind, forward_scope};
use super::{OpMemory, OpShape, Parent, primitive, record};
use cpu_kernels::channels::Channels;
use cpu_kernels::slab::Slab;
use cpu_kernels::space_to_depth as cpu;

/// Turns every 2³ voxels into channels: output channel 8c + 4dk + 2dj + di holds voxel (2k + dk, 2j
/// + dj, 2i + di) of channel c. All axes must be even.
///
/// # Shapes
/// - x: `[b, c, k, j, i]`
/// - output: `[b, 8c, k/2, j/2, i/2]`
pub fn space_to_depth(x: Tensor<5>) -> Tensor<5> {
    let [.., k, j, i] = x.dims();
    assert!([k, j, i].iter().all(|n| n % 2 == 0), "even axes, found {:?}", x.dims());
    shuffle(x, true)
}

/// The inverse of [`space_to_depth`].
///
/// # Shapes
/// - x: `[b, 8c, k, j, i]`
/// - output: `[b, c, 2k, 2j, 2i]`
pub fn depth_to_space(x: Tensor<5>) -> Tensor<5> {
    assert!(x.dims()[1].is_multiple_of(8), "a multiple of 8 channels, found {:?}", x.dims());
    shuffle(x, false)
}

/// Memory of [`space_to_depth`] and [`depth_to_space`]: nothing, since they only move values.
pub fn memory(op_shape: &OpShape) -> OpMemory {
    let scratch = op_shape.widening_bytes(2 * op_shape.num_input_elements());
    OpMemory { forward_bytes: scratch, backward_bytes: scratch, ..OpMemory::default() }
}

fn shuffle(x: Tensor<5>, to_depth: bool) -> Tensor<5> {
    let _scope = forward_scope(OpKind::SpaceToDepth, &x);
    if !is_cpu(&x) {
        return composed(x, to_depth);
    }
    if !x.device().is_autodiff() {
        return on_cpu(&x, to_depth);
    }
    let x = Parent::<Flex, 5>::new(x);
    // A permutation: its gradient is its inverse.
    record::<Flex, 1, 5>([x.guard], on_cpu(&x.value, to_depth), move |gradient, _, _| {
        let gradient = Tensor::<5>::from_primitive::<Flex>(gradient);
        [Some(primitive::<Flex, 5>(on_cpu(&gradient, !to_depth)))]
    })
}

fn on_cpu(x: &Tensor<5>, to_depth: bool) -> Tensor<5> {
    let [b, c, k, j, i] = x.dims();
    let values = CpuValues::new(x);
    let (source, mut output) =
        (Channels::new(values.slice(), None), vec![0.0; values.slice().len()]);
    let from = Slab::whole([i, j, k]);
    let shape = match to_depth {
        true => {
            let to = Slab::whole([i / 2, j / 2, k / 2]);
            cpu::space_to_depth(source, &from, &mut output, &to);
            [b, 8 * c, k / 2, j / 2, i / 2]
        }
        false => {
            let to = Slab::whole([2 * i, 2 * j, 2 * k]);
            cpu::depth_to_space(source, &from, &mut output, &to);
            [b, c / 8, 2 * k, 2 * j, 2 * i]
        }
    };
    tensor(output, shape, x)
}

/// The same with burn's own ops, two axes at a time.
fn composed(x: Tensor<5>, to_depth: bool) -> Tensor<5> {
    let [b, c, k, j, i] = x.dims();
    if to_depth {
        // [b·c, k/2, dk, j/2, dj, i/2, di] → [b·c, dk, dj, di, k/2, j/2, i/2]
        let x = x.reshape([b * c, k / 2, 2, j / 2, 2, i / 2, 2]);
        let x = x.permute([0, 2, 4, 6, 1, 3, 5]);
        x.reshape([b, 8 * c, k / 2, j / 2, i / 2])
    } else {
        let x = x.reshape([b * c / 8, 2, 2, 2, k, j, i]);
        let x = x.permute([0, 4, 1, 5, 2, 6, 3]);
        x.reshape([b, c / 8, 2 * k, 2 * j, 2 * i])
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_same, random};
    use super::*;

    #[test]
    fn equals_burns_operations() {
        for shape in [[2, 3, 4, 6, 10], [1, 1, 2, 2, 2], [1, 2, 8, 2, 34]] {
            let inputs = (random(shape), random([1; 4]));
            assert_same(&inputs, |(x, _)| space_to_depth(x), |(x, _)| composed(x, true));
            let inputs = (space_to_depth(random(shape)), random([1; 4]));
            assert_same(&inputs, |(x, _)| depth_to_space(x), |(x, _)| composed(x, false));
        }
    }

    /// Computed by hand: eight voxels become eight channels in the order k, j, i.
    #[test]
    fn voxels_become_channels_and_come_back() {
        let x = Tensor::<1>::from_floats([0., 1., 2., 3., 4., 5., 6., 7.], &Default::default());
        let x = x.reshape([1, 1, 2, 2, 2]);
        let y = space_to_depth(x.clone());
        assert_eq!(y.dims(), [1, 8, 1, 1, 1]);
        assert_eq!(y.clone().into_data().try_into_vec::<f32>().unwrap()[5], 5.0);
        assert_eq!(depth_to_space(y).into_data(), x.into_data());
    }
}
