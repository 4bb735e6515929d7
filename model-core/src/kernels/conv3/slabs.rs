//! Convolution slab by slab along k. A library convolution that copies its input and output into
//! another layout then copies one slab at a time.

#[cfg(any(feature = "gpu", test))]
use burn::Tensor;

use super::super::OpShape;

/// Upper bound of a slab's input and output; a slab has at least one plane and its two neighbors.
const MAX_SLAB_BYTES: u64 = 256 << 20;

/// Returns the planes of a slab.
pub(super) fn num_planes(op_shape: &OpShape) -> usize {
    let [ni, nj, nk] = op_shape.dims;
    let plane = OpShape { dims: [ni, nj, 1], ..*op_shape };
    let bytes =
        plane.num_input_elements().saturating_add(plane.num_elements(op_shape.out_channels))
            * op_shape.float_bytes;
    // Without the border plane on either side.
    ((MAX_SLAB_BYTES / bytes.max(1)) as usize).saturating_sub(2).clamp(1, nk.max(1))
}

/// Returns the bytes of a slab's input and of twice its output.
pub(super) fn bytes(op_shape: &OpShape) -> u64 {
    let [ni, nj, nk] = op_shape.dims;
    let slab = OpShape { dims: [ni, nj, (num_planes(op_shape) + 2).min(nk)], ..*op_shape };
    slab.num_input_elements().saturating_add(2 * slab.num_elements(op_shape.out_channels))
        * op_shape.float_bytes
}

/// Returns, for each slab, its first and last plane and those of its input, which has one more
/// plane on each side if there is one.
#[cfg(any(feature = "gpu", test))]
fn slabs(nk: usize, planes: usize) -> impl Iterator<Item = [usize; 4]> {
    let starts = (0..nk).step_by(planes);
    starts.map(move |start| {
        let end = (start + planes).min(nk);
        [start, end, start.saturating_sub(1), (end + 1).min(nk)]
    })
}

/// Applies `convolve` (stride 1, padding 1) to x slab by slab. Returns `None` if `convolve` does.
///
/// # Shapes
/// - x: `[b, in, k, j, i]`
/// - output: `[b, to, k, j, i]`
#[cfg(any(feature = "gpu", test))]
pub(super) fn convolve(
    x: &Tensor<5>,
    to: usize,
    planes: usize,
    convolve: impl Fn(Tensor<5>) -> Option<Tensor<5>>,
) -> Option<Tensor<5>> {
    let [b, _, nk, nj, ni] = x.dims();
    if planes >= nk {
        return convolve(x.clone());
    }
    let mut output = Tensor::empty([b, to, nk, nj, ni], (&x.device(), x.dtype()));
    for [start, end, from, until] in slabs(nk, planes) {
        let slab = convolve(x.clone().narrow(2, from, until - from))?;
        let slab = slab.narrow(2, start - from, end - start);
        output = output.slice_assign([0..b, 0..to, start..end, 0..nj, 0..ni], slab);
    }
    Some(output)
}

/// Sums `weight_grad` over all slabs of x and of the gradient of the output.
///
/// # Shapes
/// - x: `[b, in, k, j, i]`
/// - gradient: `[b, out, k, j, i]`
#[cfg(any(feature = "gpu", test))]
pub(super) fn weight_gradient(
    x: &Tensor<5>,
    gradient: &Tensor<5>,
    planes: usize,
    weight_grad: impl Fn(Tensor<5>, Tensor<5>) -> Option<Tensor<5>>,
) -> Option<Tensor<5>> {
    let [b, to, nk, nj, ni] = gradient.dims();
    if planes >= nk {
        return weight_grad(x.clone(), gradient.clone());
    }
    let mut sum: Option<Tensor<5>> = None;
    for [start, end, from, until] in slabs(nk, planes) {
        // The border planes belong to another slab, so their gradient is zero here.
        let nothing =
            |planes| Tensor::zeros([b, to, planes, nj, ni], (&gradient.device(), gradient.dtype()));
        let border = [start - from, until - end].map(|n| (n > 0).then(|| nothing(n)));
        let [before, after] = border;
        let inner = gradient.clone().narrow(2, start, end - start);
        let parts = before.into_iter().chain([inner]).chain(after).collect();
        let part = weight_grad(x.clone().narrow(2, from, until - from), Tensor::cat(parts, 2))?;
        sum = Some(match sum {
            Some(sum) => sum + part,
            None => part,
        });
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::super::super::KernelInput;
    use super::super::super::tests::random;
    use super::super::{Conv3Kernels, conv3};
    use super::*;
    use burn::backend::Flex;

    fn assert_near(a: Tensor<5>, b: Tensor<5>) {
        let worst = (a - b).abs().max().into_scalar::<f32>();
        assert!(worst < 1e-4, "{worst}");
    }

    /// Covers slabs of one plane, a shorter last slab, and a single slab.
    #[test]
    fn slabs_give_what_the_whole_gives() {
        let (x, weight) = (random([2, 3, 7, 4, 5]), random([4, 3, 3, 3, 3]));
        let gradient = random([2, 4, 7, 4, 5]);
        for planes in [1, 2, 3, 6, 7] {
            let forward = convolve(&x, 4, planes, |x| Some(conv3(x, weight.clone()))).unwrap();
            assert_near(forward, conv3(x.clone(), weight.clone()));
            let weight_grad =
                |x, gradient| Some(Flex::weight_gradient(&KernelInput::from(x), &gradient));
            let slabs = weight_gradient(&x, &gradient, planes, weight_grad).unwrap();
            assert_near(slabs, Flex::weight_gradient(&x.clone().into(), &gradient));
        }
        assert!(convolve(&x, 4, 2, |_| None).is_none());
    }

    #[test]
    fn a_slab_stays_within_its_bytes_and_is_at_least_a_plane() {
        let op_shape = |dims| OpShape {
            in_channels: 30,
            out_channels: 30,
            float_bytes: 2,
            batch: 1,
            dims,
            ..OpShape::default()
        };
        let level_0 = op_shape([240, 240, 160]);
        assert!((30..=40).contains(&num_planes(&level_0)), "{}", num_planes(&level_0));
        assert!(bytes(&level_0) <= 3 * MAX_SLAB_BYTES / 2);
        assert_eq!(num_planes(&op_shape([1 << 14, 1 << 14, 4])), 1);
        assert_eq!(num_planes(&op_shape([8, 8, 4])), 4);
    }
}
